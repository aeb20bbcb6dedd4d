#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
pc.py [--build DIR] [--bench] [--rounds N]

In a PC that QEMU emulates, whose USB controller can do all that real ones can (tests/lab/boot --pc): a sound card that is given
away, played through isochronous transfers, and a headset (lab-headset), played and recorded, also by usbredir. With --bench,
instead: USB/IP beside the kernel's own server, for the same stick by turns; prints figures and judges nothing.
"""

import argparse
import array
import contextlib
import os
import statistics
import subprocess
import sys
import time
import wave
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIME = 3300     # seconds, for a machine that has other things to do: it needs two minutes of a processor


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parents[1] / "build/dev")
    parser.add_argument("--bench", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


GIVEN = arguments()
if not Path("/run/lab/command").exists():       # not in the guest yet
    found = subprocess.run([HERE.parent / "interop/venv.sh"], stdout=subprocess.PIPE, text=True, check=True)
    how = ["--pc", "2"] if GIVEN.bench else ["--pc", "1", "--device", str(GIVEN.build / "tests/lab/lab-headset")]
    boot = [str(HERE / "boot"), *how, "--time", str(TIME), "--"]
    os.execv(boot[0], [*boot, found.stdout.strip(), "-B", __file__, *sys.argv[1:]])

sys.path.insert(0, str(HERE.parent))

import yaml                                                         # noqa: E402
from harness.exporter import config                                 # noqa: E402
from harness.program import Program, run, sweep, wait_until         # noqa: E402

import usb_speed                                                    # noqa: E402
from agent_user import AgentPlace, programs                         # noqa: E402
from attached import Attached, device                               # noqa: E402
from hardware import PLUG_TIMEOUT                                   # noqa: E402
from usbredir_guest import RedirGuest                               # noqa: E402

HEARD = Path("/run/lab/heard.wav")
RATE = 48000
PERIOD = 32749                          # a prime below the largest sample


def say(text):
    print(f"pc: {text}", flush=True)


def plugged_in(product):
    """The device of that name, of those that tests/lab/boot gives the machine."""
    return next(path.parent for path in Path("/sys/bus/usb/devices").glob("*/product")
                if path.read_text().strip() == product)


class Bench:
    """The programs in this machine, on their own or with a lab service between them."""

    def __init__(self, build):
        self.build = programs(build)
        self.place = AgentPlace(self.build)
        self.ctl = self.build / "ctl/jmpctl"
        self.stack = contextlib.ExitStack()

    def start(self, *how, **more):
        program = Program(*how, env=self.place.env, **more)
        self.stack.callback(program.forget)
        self.stack.callback(program.stop)
        return program

    def direct(self, export):
        """The words with which jmpctl reaches an agent with that export."""
        agent = self.start([self.build / "agent/jmp-agent", "run", "--tls-grpc-listener", "127.0.0.1:0", "--tls-grpc-insecure",
                            "--exporter-config", self.place.file("direct.yaml", config(export))])
        endpoint = agent.wait_line(r"listening on (127\.0\.0\.1:[1-9]\d*)", timeout=120)[1]
        return [self.ctl, "--tls-grpc", endpoint, "--tls-grpc-insecure"]

    def leased(self, export):
        """The same, in a lease of a lab service, through its router."""
        labd, data = self.build / "labd/jmp-labd", self.place.root / "labd"
        service = self.start([labd, "serve", "--listen", "127.0.0.1:0", "--data-dir", data])
        service.wait_line(r"listening on 127\.0\.0\.1:[1-9]", timeout=120)
        client, exporter = self.place.root / "client.yaml", self.place.root / "exporter.yaml"
        for words in (["client", "alice", "-o", client], ["exporter", "pc", "-o", exporter]):
            run([labd, "create", *words, "--data-dir", data], env=self.place.env, timeout=60).ok()
        settings = yaml.safe_load(exporter.read_text()) | {"export": export}
        agent = self.start([self.build / "agent/jmp-agent", "run", "--exporter-config",
                            self.place.file("pc.yaml", yaml.safe_dump(settings))])
        agent.wait_line("status AVAILABLE reported", timeout=120)
        ctl = [self.ctl, "--client-config", client]
        shell = self.start([*ctl, "shell", "-n", "pc", "--", "sh", "-c", "echo lease $JMP_LEASE; exec sleep 3600"])
        return [*ctl, "--lease", shell.wait_line(r"^lease (\S+)", timeout=120)[1]]

    def close(self):
        self.stack.close()
        self.place.close()


def sound(times=0):
    """A second of it, in which no two moments are alike: one channel counts, and the other how often that has begun anew."""
    samples = array.array("h")
    for n in range(RATE):
        samples.extend((n % PERIOD + 1, n // PERIOD + 1 + times))
    return samples.tobytes()


def write_sound(path, content):
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(content + bytes(2 * len(content)))     # silence behind it: what is on its way when it stops is lost


def card_of(find):
    """The sound card that the kernel makes of the device."""
    return wait_until(lambda: find() and sorted(find().glob("*:*/sound/card*")), PLUG_TIMEOUT, "no sound card")[0].name[4:]


# The kernel gives up when nothing moves for as long as the buffer plays: programs that run for the first time may be fetched
# from a busy machine meanwhile.
def player(card, path):
    return ["aplay", "-q", "-B", "4000000", "-F", "500000", "-D", f"hw:{card},0", path]


def recorder(card, path):
    return ["arecord", "-q", "-B", "4000000", "-F", "500000", "-D", f"hw:{card},0", "-t", "raw", "-f", "S16_LE", "-c", "2",
            "-r", str(RATE), "-s", str(RATE * 3 // 2), path]


def compare_sound(heard, said):
    at = heard.find(said[:400])
    assert at >= 0, "nothing of it was heard"
    heard = heard[at:at + len(said)]
    wrong = next((i for i, (a, b) in enumerate(zip(said, heard)) if a != b), len(heard))
    theirs, ours = (data[wrong:wrong + 16].hex(" ", 4) for data in (said, heard))
    assert wrong == len(said), f"as it was said up to byte {wrong} of {len(said)}: {theirs} was heard as {ours}"


def test_sound(bench):
    """All that was played is heard, in order and unchanged; by what the card itself gave to its ear."""
    speaker = plugged_in("QEMU USB Audio")
    copy = Attached(bench.place, bench.direct({"usb": device(speaker)}), "usb")
    assert not list(speaker.glob("*:*/sound")), "the kernel's driver still has the device"
    card = card_of(copy.sysfs)
    run(["amixer", "-c", card, "sset", "Audio Output Volume Control", "100%"], env=bench.place.env, timeout=60).ok()
    said = bench.place.root / "said.wav"
    write_sound(said, sound())
    run(player(card, said), env=bench.place.env, timeout=120).ok()
    copy.detach()
    compare_sound(HEARD.read_bytes(), sound())
    say(f"{RATE} frames of sound were played by isochronous transfers; none is missing")
    wait_until(lambda: list(speaker.glob("*:*/sound")), PLUG_TIMEOUT, "the kernel has it not back")


class Headset:
    """One that hears what it says, as the sound card that the kernel makes of it."""

    def __init__(self, bench, find):
        self.card = card_of(find)
        self.said, self.recorded = bench.place.root / "said.wav", bench.place.root / "recorded"
        self.start = bench.start

    def begin(self, times):
        """Records and plays. Return: both programs."""
        write_sound(self.said, sound(times))
        recording = self.start(recorder(self.card, self.recorded))
        state = Path(f"/proc/asound/card{self.card}/pcm0c/sub0/status")
        wait_until(lambda: "RUNNING" in state.read_text(), 60, "the microphone is not listened to")
        return recording, self.start(player(self.card, self.said))

    def echo(self, times):
        """All that is played is recorded, in order and unchanged, and nothing of what was played before."""
        for program in self.begin(times):
            assert program.wait(120) == 0, program.tail()
        compare_sound(self.recorded.read_bytes(), sound(times))


def test_headset(bench):
    """Packets come and go at the same time. The end of each recording calls transfers back."""
    plugged = plugged_in("Echoing headset")
    copy = Attached(bench.place, bench.direct({"usb": device(plugged)}), "usb")
    headset = Headset(bench, copy.sysfs)
    for times in range(3):
        headset.echo(times)
    say(f"{RATE} frames of sound were recorded by isochronous transfers, {times + 1} times; none is missing")

    programs = headset.begin(3)
    wait_until(lambda: headset.recorded.stat().st_size > RATE, 60, "nothing is recorded")
    copy.detach()
    for program in programs:
        assert program.wait(120) != 0, f"{program.name} did not notice that it was unplugged"
    Headset(bench, lambda: plugged).echo(4)
    say("unplugged while it recorded, the headset is back with this machine's driver, and works")


def test_redirected_headset(bench):
    """The same for a virtual machine, by usbredir; a test is its guest."""
    plugged = plugged_in("Echoing headset")
    speaker, microphone, packet = 0x01, 0x82, RATE // 4000 * 4
    forward = bench.start([*bench.direct({"usb": device(plugged)}), "usb", "redir", "forward-tcp", "0"])
    guest = RedirGuest(forward.wait_line(r"127\.0\.0\.1:(\d+)", timeout=60)[1])
    guest.configure(1)
    for interface in (1, 2):
        guest.set_interface(interface, 1)
    guest.start_stream(microphone, 32, 16)
    guest.start_stream(speaker, 32, 16)
    said = sound(5) + bytes(4 * RATE)
    # As fast as the device takes it: the server has half of 512 packets before the first is played, so this program may be
    # 64 ms too late or too early.
    begun = time.monotonic()
    for count in range(len(said) // packet):
        if count % 4 == 0:
            time.sleep(max(begun + count / 4000 - time.monotonic(), 0))
        guest.send_packet(speaker, said[count * packet:(count + 1) * packet])
    wait_until(lambda: len(guest.sound) >= 6 * RATE, 60, "nothing more is heard")
    for endpoint in (speaker, microphone):
        guest.stop_stream(endpoint)
    for interface in (1, 2):
        guest.set_interface(interface, 0)
    assert not guest.failed and {0, 52, 72} <= guest.sizes, f"statuses {guest.failed}, packets of {sorted(guest.sizes)} bytes"
    compare_sound(bytes(guest.sound), sound(5))
    guest.close()
    forward.stop()
    Headset(bench, lambda: plugged).echo(6)
    say(f"{RATE} frames of sound went through usbredir and back; none is missing")


def measure(copy):
    """Of an attached stick."""
    disk = copy.node("*:*/host*/target*/*/block/sd*")
    figures = {"bulk in, MB/s": usb_speed.disk_rate(disk, False), "bulk out, MB/s": usb_speed.disk_rate(disk, True),
               "control, p50, us": usb_speed.control_time(copy.sysfs())}
    copy.detach()
    return figures


def compare(bench, rounds):
    stick = plugged_in("QEMU USB HARDDRIVE")
    given = {"usb": device(stick)}
    at_home = lambda: list(stick.glob("*:*/host*"))     # noqa: E731
    usbipd = Program(["usbipd"], env=usb_speed.SBIN)
    bench.stack.callback(usbipd.stop)
    usbipd.wait_line("listening on", timeout=60)
    ways = {"kernel": lambda: usb_speed.KernelCopy(stick.name)}
    for name, words in (("direct", bench.direct(given)), ("labd", bench.leased(given))):
        ways[name] = lambda words=words: Attached(bench.place, words, "usb")
    figures = {}
    for _ in range(rounds):
        for way, attach in ways.items():
            begun = time.monotonic()
            for what, value in measure(attach()).items():
                figures.setdefault(what, {}).setdefault(way, []).append(value)
            wait_until(at_home, PLUG_TIMEOUT, "the kernel has it not back")
            say(f"{way}: {time.monotonic() - begun:.0f} s, " +
                ", ".join(f"{what} {values[way][-1]:.1f}" for what, values in figures.items()))
    say(f"{'USB/IP, a stick':20} {'kernel':>9} {'direct':>9} {'ratio':>6} {'labd':>9} {'ratio':>6}   aim 0.7")
    for what, ways in figures.items():
        kernel, *ours = (statistics.median(values) for values in ways.values())
        text = "".join(f" {value:9.1f} {kernel / value if what.endswith('us') else value / kernel:6.2f}" for value in ours)
        say(f"{what:20} {kernel:9.1f}{text}")


def main():
    bench = Bench(GIVEN.build)
    try:
        if GIVEN.bench:
            compare(bench, GIVEN.rounds)
        else:
            test_sound(bench)
            test_headset(bench)
            test_redirected_headset(bench)
    except AssertionError:
        for program in Program.running:
            print(f"--- {program.name}", program.tail(), sep="\n")
        raise
    finally:
        bench.close()
        sweep()


if __name__ == "__main__":
    main()
