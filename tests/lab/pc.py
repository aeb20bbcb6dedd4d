#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
pc.py [--build DIR] [--bench] [--rounds N]

In a PC that QEMU emulates, whose USB controller can do all that real ones can (tests/lab/boot --pc): a sound card that is given
away, played through isochronous transfers; a headset (lab-headset), played and recorded, also by usbredir; and a camera
(lab-camera). With --bench, instead: USB/IP beside the kernel's own server, for the same sticks by turns; prints figures and judges
nothing.
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
PLAYED = ["headset", "camera"]
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
    how = ["--pc", "1", *(f"--device={GIVEN.build}/tests/lab/lab-{name}" for name in PLAYED if not GIVEN.bench)]
    boot = [str(HERE / "boot"), *how, "--time", str(TIME), "--"]
    os.execv(boot[0], [*boot, found.stdout.strip(), "-B", __file__, *sys.argv[1:]])

sys.path.insert(0, str(HERE.parent))

import yaml                                                         # noqa: E402
from harness.exporter import config                                 # noqa: E402
from harness.program import Program, run, sweep, wait_until         # noqa: E402

import usb_speed                                                    # noqa: E402
from agent_user import AgentPlace, programs                         # noqa: E402
from attached import Attached, device                               # noqa: E402
from hardware import Hardware, PLUG_TIMEOUT                                # noqa: E402
from usbfs import UsbFs                                             # noqa: E402
from usbredir_guest import RedirGuest                               # noqa: E402

HEARD = Path("/run/lab/heard.wav")
RATE = 48000
PERIOD = 32749                          # a prime below the largest sample
UNPLUG = 0x40, 1                        # a request of tests/lab/redirected.h
FRAMES, FRAME_SIZE = 10, 2 * 320 * 240  # pictures of the camera, of the 12 that it sends


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
        self.agent = self.start([self.build / "agent/jmp-agent", "run", "--tls-grpc-listener", "127.0.0.1:0",
                                 "--tls-grpc-insecure", "--exporter-config", self.place.file("direct.yaml", config(export))])
        endpoint = self.agent.wait_line(r"listening on (127\.0\.0\.1:[1-9]\d*)", timeout=120)[1]
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
            "-r", str(RATE), "-s", str(RATE * 11 // 10), path]


def compare_bytes(found, wanted, how):
    if found == wanted:
        return
    wrong = next((i for i, (a, b) in enumerate(zip(wanted, found)) if a != b), min(len(found), len(wanted)))
    theirs, ours = (data[wrong:wrong + 16].hex(" ", 4) for data in (wanted, found))
    raise AssertionError(f"{len(found)} of {len(wanted)} bytes, from byte {wrong} on not as they were: {theirs} was {how} as {ours}")


def compare_sound(heard, said):
    at = heard.find(said[:400])
    assert at >= 0, "nothing of it was heard"
    compare_bytes(heard[at:at + len(said)], said, "heard")


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


    def break_off(self, times, how):
        """What records and plays ends by itself when the device goes."""
        programs = self.begin(times)
        wait_until(lambda: self.recorded.stat().st_size > RATE, 60, "nothing is recorded")
        how()
        for program in programs:
            assert program.wait(120) != 0, f"{program.name} did not notice that the device has gone"


def test_headset(bench):
    """Packets come and go at the same time. The end of each recording calls transfers back."""
    plugged = plugged_in("Echoing headset")
    copy = Attached(bench.place, bench.direct({"usb": device(plugged)}), "usb")
    headset = Headset(bench, copy.sysfs)
    for times in range(3):
        headset.echo(times)
    say(f"{RATE} frames of sound were recorded by isochronous transfers, {times + 1} times; none is missing")

    headset.break_off(times + 1, copy.detach)
    Headset(bench, lambda: plugged).echo(4)
    say("detached while it recorded, the headset is back with this machine's driver, and works")


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
    said, at_once = sound(5) + bytes(4 * RATE), 32 * packet
    # What the server gets too early or too late is lost: it keeps 16 transfers, and forgets part of one when it has no more. So
    # it is sent whole ones, a little slower than it plays them, and there are never more on their way there and back. Unless
    # all stands still: then half of that waits for the other half, and QEMU for 60 ms of sound.
    due = time.monotonic()
    for at in range(0, len(said), at_once):
        guest.wait_sound(at - 15 * at_once, 0.5)
        due = max(due + 0.009, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0))
        guest.send_packets(speaker, said[at:at + at_once], packet)
    assert guest.wait_sound(6 * RATE, 60), "not all is heard"
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


def test_camera(bench):
    """Packets of 3 KiB in each microframe, for which the kernel has transfers of 96 KiB; more than once."""
    copy = Attached(bench.place, bench.direct({"usb": device(plugged_in("Painting camera"))}), "usb")
    eye, seen = copy.node("*:*/video4linux/video*"), bench.place.root / "seen"
    painted = array.array("I", (frame << 24 | word for frame in range(FRAMES) for word in range(FRAME_SIZE // 4))).tobytes()
    for _ in range(2):
        # With memory for each picture: nothing that is seen here depends on how fast it is written down.
        run(["v4l2-ctl", "-d", eye, f"--stream-mmap={FRAMES}", f"--stream-count={FRAMES}", f"--stream-to={seen}"],
            env=bench.place.env, timeout=120).ok()
        compare_bytes(seen.read_bytes(), painted, "seen")
    copy.detach()
    say(f"{FRAMES} pictures of {FRAME_SIZE} bytes were seen by isochronous transfers, twice; nothing is missing")


def test_unplugged_headset(bench):
    """In earnest, with packets on their way."""
    copy = Attached(bench.place, bench.direct({"usb": device(plugged_in("Echoing headset"))}), "usb")

    def unplug():
        try:
            UsbFs(copy.sysfs()).control(*UNPLUG)
        except OSError:
            return
        raise AssertionError("it answers")

    Headset(bench, copy.sysfs).break_off(7, unplug)
    bench.agent.wait_line("1209:0004 in port .* has gone", timeout=60)
    copy.detach()
    say("pulled out while it recorded, the headset is gone here and there")


def measure(copy):
    """Of an attached stick."""
    disk = copy.node("*:*/host*/target*/*/block/sd*")
    figures = {"bulk in, MB/s": usb_speed.disk_rate(disk, False), "bulk out, MB/s": usb_speed.disk_rate(disk, True),
               "control, p50, us": usb_speed.control_time(copy.sysfs())}
    copy.detach()
    return figures


def compare(bench, rounds):
    usbipd = Program(["usbipd"], env=usb_speed.SBIN)
    bench.stack.callback(usbipd.stop)
    usbipd.wait_line("listening on", timeout=60)
    hardware = Hardware(bench.place.root, GIVEN.build / "tests/lab")
    bench.stack.callback(hardware.close)
    # The first answers at once, so that nothing but the servers is measured; the other is on a bus that looks at what there is to do
    # once in a microframe, as real ones do.
    sticks = {"no bus": plugged_in("QEMU USB HARDDRIVE"),
              "125 us": hardware.storage(size=2 * usb_speed.SIZE).gadget.sysfs()}
    given = {kind.replace(" ", ""): device(sysfs) for kind, sysfs in sticks.items()}
    words = {"direct": bench.direct(given), "labd": bench.leased(given)}
    figures = {}
    for _ in range(rounds):
        for kind, sysfs in sticks.items():
            for way in ("kernel", "direct", "labd"):
                copy = (usb_speed.KernelCopy(sysfs.name) if way == "kernel" else
                        Attached(bench.place, words[way], kind.replace(" ", "")))
                for what, value in measure(copy).items():
                    figures.setdefault((kind, what), {}).setdefault(way, []).append(value)
                wait_until(lambda: list(sysfs.glob("*:*/host*")), PLUG_TIMEOUT, "the kernel has it not back")
                say(f"{kind}, {way}: " + ", ".join(f"{what} {values[way][-1]:.1f}" for (where, what), values in figures.items()
                                                   if where == kind))
    say(f"{'USB/IP, a stick':28} {'kernel':>9} {'direct':>9} {'ratio':>6} {'labd':>9} {'ratio':>6}   aim 0.7")
    for (kind, what), ways in figures.items():
        kernel, *ours = (statistics.median(values) for values in ways.values())
        text = "".join(f" {value:9.1f} {kernel / value if what.endswith('us') else value / kernel:6.2f}" for value in ours)
        say(f"{kind + ', ' + what:28} {kernel:9.1f}{text}")


def main():
    bench = Bench(GIVEN.build)
    try:
        if GIVEN.bench:
            compare(bench, GIVEN.rounds)
        else:
            test_sound(bench)
            test_headset(bench)
            test_redirected_headset(bench)
            test_camera(bench)
            test_unplugged_headset(bench)
    except AssertionError:
        for program in Program.running:
            print(f"--- {program.name}", program.tail(), sep="\n")
        raise
    finally:
        bench.close()
        sweep()


if __name__ == "__main__":
    main()
