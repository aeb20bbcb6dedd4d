# SPDX-License-Identifier: Apache-2.0
"""Consoles on USB adapters: our agent, the stock client and jmpctl at one end, the board's end of the cable at the other."""

import functools
import hashlib
import itertools
import random
import subprocess
from pathlib import Path

import pytest
from harness.background import Background
from harness.board import payload
from harness.exporter import SERIAL, driver
from harness.place import BIN
from harness.program import Program, run, wait_until
from harness.stock import Raw, client, failure

MIB = 1 << 20
_numbers = itertools.count()

FTDI_TTY = "*:*/ttyUSB*"


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def jmpctl(build):
    return build / "ctl/jmpctl"


class Viewer(Program):
    """One stream of the console, of the stock client or of ours, from before the first byte. What the board says lands
    in a file, what is written to `process.stdin` goes to the board."""

    def __init__(self, place, exporter, jmpctl, *, stock=False, stdin=subprocess.PIPE):
        self.target = place.root / f"seen-{next(_numbers)}"
        env = {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1"}
        argv = [BIN / "j"] if stock else [jmpctl, "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure"]
        super().__init__([*argv, "serial", "pipe", "-o", self.target], env=env, stdin=stdin,
                         name="j pipe" if stock else "jmpctl pipe")

    def type(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def seen(self):
        try:
            return self.target.read_bytes()
        except FileNotFoundError:
            return b""

    def wait_size(self, size, timeout=120):
        wait_until(lambda: len(self.seen()) >= size or not self.alive(), timeout,
                   lambda: f"{len(self.seen())} of {size} bytes were seen\n{self.tail()}")
        return self.seen()

    def wait_seen(self, text, timeout=60):
        wait_until(lambda: text in self.seen() or not self.alive(), timeout,
                   lambda: f"{text!r} was not seen, but {self.seen()[-200:]!r}\n{self.tail()}")
        assert self.alive(), f"the stream has ended\n{self.tail()}"

    def greet(self, wires):
        """Once the board has got a line the stream is up."""
        self.type(b"are you there?\n")
        wires.expect(b"are you there?\n", timeout=60)


@pytest.fixture
def view(place, jmpctl):
    viewers = []

    def start(exporter, **how):
        viewers.append(Viewer(place, exporter, jmpctl, **how))
        return viewers[-1]

    yield start
    for viewer in viewers:
        viewer.stop()
        viewer.forget()


def carry(place, start_viewer, wires, size, seed):
    """Both ways at once; each end has what the other gave. The stock client sends what is in a file, not what is typed."""
    there, back = payload(size, f"{seed} there"), payload(size, f"{seed} back")
    with open(place.file("there", b"go\n" + there), "rb") as stdin:
        viewer = start_viewer(stdin=stdin)
    wires.expect(b"go\n", timeout=90)
    saying = Background(wires.write, back, timeout=150)
    assert digest(wires.read(size, timeout=150)) == digest(there)
    saying.result(150)
    assert digest(viewer.wait_size(size)) == digest(back)


@pytest.mark.parametrize("baudrate, stock", [(9600, False), (115200, False), (921600, False), (3000000, False), (9600, True),
                                             (3000000, True)])
def test_every_byte_arrives_both_ways_at_once(hardware, serve, view, place, baudrate, stock):
    port = hardware.serial()
    wires = port.wires()
    exporter = serve({"serial": driver(SERIAL, url=str(port.tty), baudrate=baudrate)})
    # A cable without a clock: what changes with the speed is how much is worth carrying.
    carry(place, functools.partial(view, exporter, stock=stock), wires, MIB if baudrate > 9600 else MIB // 16, baudrate)


@pytest.mark.parametrize("baudrate", [9600, 115200, 921600, 3000000])
def test_an_adapter_is_told_the_speed_and_carries_it(hardware, serve, view, place, baudrate):
    adapter = hardware.program("lab-ftdi", "FT01")
    exporter = serve({"serial": driver(SERIAL, url=str(adapter.node(FTDI_TTY)), baudrate=baudrate)})
    told = adapter.program.wait_line("^baud 9600$" if baudrate == 9600 else "^baud (?!9600$)")
    told = int(told.string.split()[1])
    assert abs(told - baudrate) < baudrate / 100     # the nearest that its divisor gives
    carry(place, functools.partial(view, exporter), adapter.wires, MIB // 4, baudrate)


def described(port, gadget, how):
    """The configuration that finds this port, by each of the ways."""
    sysfs = gadget.sysfs()
    if how == "by-path":
        links = Path("/dev/serial/by-path")
        return {"url": next(str(p) for p in links.iterdir() if p.resolve() == port.tty)}
    return {
        "usb_port": {"usb_port": sysfs.name},
        "usb_id": {"usb_id": f"1d6b:0104:{(sysfs / 'serial').read_text().strip()}"},
        "udev": {"udev": {"ID_SERIAL_SHORT": (sysfs / "serial").read_text().strip()[:-1] + "?"}},
    }[how]


@pytest.mark.parametrize("how", ["by-path", "usb_port", "usb_id", "udev"])
def test_an_adapter_is_found_again_under_another_name(hardware, serve, view, how):
    port = hardware.serial(serial="WANDERER")
    other = hardware.serial(serial="NEIGHBOUR")
    old = port.tty
    wires = port.wires()
    exporter = serve({"serial": driver(SERIAL, **described(port, port.gadget, how))})
    viewer = view(exporter)
    viewer.greet(wires)
    wires.write(b"before\n")
    viewer.wait_seen(b"before\n")

    # Its name is taken by somebody else while it is away.
    port.gadget.unplug()
    other.gadget.unplug()
    wires.close()
    wait_until(lambda: not old.exists(), 20, f"{old} is still there")
    other.gadget.plug()
    port.gadget.plug(port=5 if how in ("usb_id", "udev") else None)
    holder = None
    if port.tty == old:     # the kernel gave it the same number: the number has to be taken
        port.gadget.unplug()
        holder = hardware.serial(serial="SQUATTER")
        port.gadget.plug()
    assert port.tty != old

    wires = port.wires()
    viewer.greet(wires)
    wires.write(b"after\n")
    viewer.wait_seen(b"after\n")
    wires.close()
    del holder


def test_several_adapters_that_fit_are_named_and_none_is_opened(hardware, serve, place):
    ports = [hardware.serial(vid=0x1209, pid=0x0001, serial=f"TWIN{i}") for i in range(2)]
    exporter = serve({"serial": driver(SERIAL, usb_id="1209:0001"),
                      "good": driver(SERIAL, usb_id="1209:0001:TWIN1")})
    exporter.program.wait_line("2 serial ports have usb_id 1209:0001.*ttyACM")
    with Raw(exporter.endpoint) as raw:
        error = failure(lambda: raw.call(raw.uuid("serial"), "set_dtr", True))
        assert all(str(port.tty) in error.details() for port in ports)
        raw.call(raw.uuid("good"), "set_dtr", True)


def repeat_until_heard(viewer, wires, turn):
    """What is typed while the port is away is typed in vain, so it is typed until the board hears it."""
    for _ in range(30):
        viewer.type(b"turn %d\n" % turn)
        try:
            wires.expect(b"turn %d\n" % turn, timeout=3)
            return
        except AssertionError:
            continue
    raise AssertionError(f"the board hears nothing in turn {turn}\n{viewer.tail()}")


def test_unplugged_at_twenty_random_points(hardware, serve, view):
    """A stream outlives it all, and loses nothing but what was under way."""
    chance = random.Random(20)
    port = hardware.serial(serial="LOOSE")
    exporter = serve({"serial": driver(SERIAL, usb_id="1d6b:0104:LOOSE")})
    viewer = view(exporter)
    wires = port.wires()
    viewer.greet(wires)

    for turn in range(20):
        said = b"".join(b"%d.%d\n" % (turn, i) for i in range(chance.randint(1, 4000)))
        begin = len(viewer.seen())
        point = chance.randint(1, len(said))
        wires.write(said[:point])
        viewer.wait_size(begin + chance.randint(0, point))
        port.gadget.unplug()
        wires.close()
        if chance.random() < 0.5:
            wait_until(lambda: port.gadget.sysfs() is None, 20, "the host still sees it")
        port.gadget.plug(port=chance.choice([port.gadget.port, 5, 6]))
        wires = port.wires()
        repeat_until_heard(viewer, wires, turn)
        wires.write(b"\nback %d\n" % turn)
        viewer.wait_seen(b"\nback %d\n" % turn)
        seen = viewer.seen()[begin:]
        seen = seen[:seen.index(b"\nback %d\n" % turn)]
        assert said[:point].startswith(seen), f"turn {turn}: {len(seen)} bytes are not how the {point} began"
    assert exporter.program.alive()
    wires.close()


def level(adapter, line):
    """What the adapter was last told."""
    return [said for said in adapter.output().splitlines() if said.startswith(line)][-1]


def test_modem_lines_and_break_reach_the_adapter(hardware, serve, jmpctl, place):
    adapter = hardware.program("lab-ftdi", "FT02")
    said = adapter.program
    exporter = serve({"serial": driver(SERIAL, usb_id="0403:6001:FT02")})
    ctl = [jmpctl, "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure"]
    said.wait_line("^dtr 1$")
    said.wait_line("^rts 1$")
    with client(exporter.endpoint) as root:
        for line in ("dtr", "rts"):
            for state in (False, True, False):
                mark, other = said.mark(), "rts" if line == "dtr" else "dtr"
                before = level(said, other)
                root.serial.call(f"set_{line}", state)
                said.wait_line(f"^{line} {state:d}$", since=mark)
                assert level(said, other) == before, "the other line has moved"
        mark = said.mark()
        root.serial.call("send_break", 0.1)
        said.wait_line("^break 1$", since=mark)
        said.wait_line("^break 0$", since=mark)
    mark = said.mark()
    run([*ctl, "serial", "call", "send_break"], env=place.env).ok()
    said.wait_line("^break 1$", since=mark)
    said.wait_line("^break 0$", since=mark)


def test_the_lines_stay_while_viewers_come_and_go(hardware, serve, view):
    adapter = hardware.program("lab-ftdi", "FT03")
    exporter = serve({"serial": driver(SERIAL, usb_id="0403:6001:FT03", disable_hupcl=True)})
    adapter.program.wait_line("^dtr 1$")
    mark = adapter.program.mark()
    for _ in range(2):
        viewer = view(exporter)
        viewer.greet(adapter.wires)
        viewer.stop()
    assert "dtr" not in adapter.program.output(mark) and "rts" not in adapter.program.output(mark)


@pytest.mark.parametrize("lowered", [True, False])
def test_the_latency_of_an_adapter_is_lowered_unless_told_not_to(hardware, serve, lowered):
    adapter = hardware.program("lab-ftdi", "FT04")
    timer = Path(f"/sys/bus/usb-serial/devices/{adapter.node(FTDI_TTY).name}/latency_timer")
    before = int(timer.read_text())
    assert before > 1
    exporter = serve({"serial": driver(SERIAL, usb_id="0403:6001", low_latency=lowered)})
    adapter.program.wait_line("^dtr 1$")
    with Raw(exporter.endpoint) as raw:     # answered only when the port is open and set up
        raw.call(raw.uuid("serial"), "set_dtr", True)
    assert int(timer.read_text()) == (1 if lowered else before)
