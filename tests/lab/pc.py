#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
pc.py [--build DIR] [--bench] [--rounds N]

In a PC that QEMU emulates, whose USB controller can do all that real ones can (tests/lab/boot --pc): a sound card that is given
away, played through isochronous transfers. With --bench, instead: USB/IP beside the kernel's own server, for the same stick by
turns; prints figures and judges nothing.
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
TIME = 3300     # seconds, for a machine that has other things to do: it needs a minute of a processor
if not Path("/run/lab/command").exists():       # not in the guest yet
    found = subprocess.run([HERE.parent / "interop/venv.sh"], stdout=subprocess.PIPE, text=True, check=True)
    boot = [str(HERE / "boot"), "--pc", "2" if "--bench" in sys.argv else "1", "--time", str(TIME), "--"]
    os.execv(boot[0], [*boot, found.stdout.strip(), "-B", __file__, *sys.argv[1:]])

sys.path.insert(0, str(HERE.parent))

import yaml                                                         # noqa: E402
from harness.exporter import config                                 # noqa: E402
from harness.program import Program, run, sweep, wait_until         # noqa: E402

import usb_speed                                                    # noqa: E402
from agent_user import AgentPlace, programs                         # noqa: E402
from attached import Attached, device                               # noqa: E402
from hardware import PLUG_TIMEOUT                                   # noqa: E402

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


def sound():
    """A second of it, in which no two moments are alike: one channel counts, and the other how often that has begun anew."""
    samples = array.array("h")
    for n in range(RATE):
        samples.extend((n % PERIOD + 1, n // PERIOD + 1))
    return samples.tobytes()


def test_sound(bench):
    """All that was played is heard, in order and unchanged; by what the card itself gave to its ear."""
    speaker = plugged_in("QEMU USB Audio")
    copy = Attached(bench.place, bench.direct({"usb": device(speaker)}), "usb")
    assert not list(speaker.glob("*:*/sound")), "the kernel's driver still has the device"
    card = wait_until(lambda: sorted(copy.sysfs().glob("*:*/sound/card*")), PLUG_TIMEOUT, "no sound card")[0].name[4:]
    run(["amixer", "-c", card, "sset", "Audio Output Volume Control", "100%"], env=bench.place.env, timeout=60).ok()
    said = bench.place.root / "said.wav"
    with wave.open(str(said), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(sound() + bytes(4 * RATE))     # silence behind it: what is on its way when it stops is lost
    # The kernel gives up when nothing moves for as long as the buffer plays: programs that run for the first time may be fetched
    # from a busy machine meanwhile.
    run(["aplay", "-q", "-B", "4000000", "-F", "500000", "-D", f"hw:{card},0", said], env=bench.place.env, timeout=120).ok()
    copy.detach()
    heard = HEARD.read_bytes()
    at = heard.find(sound()[:400])
    assert at >= 0, "nothing of it was heard"
    wrong = next((i for i, (a, b) in enumerate(zip(sound(), heard[at:])) if a != b), None)
    assert wrong is None and len(heard) - at >= len(sound()), f"heard as it was said up to byte {wrong} of {len(sound())}"
    say(f"{RATE} frames of sound were played by isochronous transfers; none is missing")
    wait_until(lambda: list(speaker.glob("*:*/sound")), PLUG_TIMEOUT, "the kernel has it not back")


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parents[1] / "build/dev")
    parser.add_argument("--bench", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    bench = Bench(given.build)
    try:
        if given.bench:
            compare(bench, given.rounds)
        else:
            test_sound(bench)
    except AssertionError:
        for program in Program.running:
            print(f"--- {program.name}", program.tail(), sep="\n")
        raise
    finally:
        bench.close()
        sweep()


if __name__ == "__main__":
    main()
