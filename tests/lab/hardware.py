# SPDX-License-Identifier: Apache-2.0
"""Simulated hardware of a guest, from its far side: what a board would see. To be used as root inside tests/lab/boot.

Everything here is taken from the kernel anew when it is asked for: names of devices change with each plugging in."""

import contextlib
import itertools
import os
import socket
import subprocess
import termios
import tty
from pathlib import Path

from harness.board import Wires
from harness.program import Program, wait_until

CONFIG = Path("/sys/kernel/config")
PLATFORM = Path("/sys/devices/platform")
PLUG_TIMEOUT = 60

# A vendor's page with one report of 8 bytes in each direction, as relay boards have it.
HID_REPORT = bytes.fromhex("0600ff0901a101150026ff00750895080901810209019102c0")

_numbers = itertools.count()


def settle():
    """Until udev has done all that it knows of: links are there, permissions are set."""
    subprocess.run(["udevadm", "settle", "--timeout=60"], check=True)


def write(path, text):
    """One write() to a file of the kernel's, which takes it whole or says what is wrong."""
    try:
        Path(path).write_bytes(text if isinstance(text, bytes) else f"{text}\n".encode())
    except OSError as error:
        raise AssertionError(f"{path} does not take {text!r}: {error}") from error


class GpioChip:
    """A chip of simulated lines. `names` maps offsets to line names; `hogged` lines are held by somebody else."""

    def __init__(self, lines=8, names=None, label=None, hogged=None):
        self.lines, self.names, self.hogged = lines, names or {}, hogged or {}
        self.label = label or f"lab{next(_numbers)}"
        self.config = CONFIG / "gpio-sim" / self.label
        self.config.mkdir()
        bank = self.config / "bank0"
        bank.mkdir()
        write(bank / "num_lines", lines)
        write(bank / "label", self.label)
        for offset in sorted({*self.names, *self.hogged}):
            line = bank / f"line{offset}"
            line.mkdir()
            if offset in self.names:
                write(line / "name", self.names[offset])
            if offset in self.hogged:
                (line / "hog").mkdir()
                write(line / "hog/name", self.hogged[offset])
                write(line / "hog/direction", "input")
        self.plug()

    def plug(self):
        write(self.config / "live", 1)
        wait_until(lambda: self.path.exists(), PLUG_TIMEOUT, f"no node for {self.label}")
        settle()

    def unplug(self):
        """The chip vanishes, also for those who hold lines of it; nothing when it has already."""
        if (self.config / "live").read_text().strip() == "1":
            write(self.config / "live", 0)

    @property
    def path(self):
        return Path("/dev") / (self.config / "bank0/chip_name").read_text().strip()

    def _line(self, offset, what):
        device = (self.config / "dev_name").read_text().strip()
        return PLATFORM / device / self.path.name / f"sim_gpio{offset}" / what

    def value(self, offset):
        """The electrical level that the line has now: 0 or 1."""
        return int(self._line(offset, "value").read_text())

    def pull(self, offset, level):
        """What the board does to a line that is an input: a button, a ready signal."""
        write(self._line(offset, "pull"), "pull-up" if level else "pull-down")

    def close(self):
        self.unplug()
        for line in sorted(self.config.glob("bank0/line*/hog")) + sorted(self.config.glob("bank0/line*")):
            line.rmdir()
        (self.config / "bank0").rmdir()
        self.config.rmdir()


class Function:
    """One function of a gadget: its directory in configfs, which the kind fills."""

    kind = None

    def __init__(self, gadget, name):
        self.gadget, self.name = gadget, f"{self.kind}.{name}"
        self.config = gadget.config / "functions" / self.name
        self.config.mkdir()

    def host(self, pattern):
        """Names of the nodes that the host's drivers made of it now, by a pattern below the USB device."""
        device = self.gadget.sysfs()
        return sorted(p.name for p in device.glob(pattern)) if device else []

    def node(self, pattern, what):
        found = wait_until(lambda: self.host(pattern), PLUG_TIMEOUT, f"the host has no {what} for {self.name}")
        settle()     # disks come a while after their device
        return Path("/dev") / found[0]

    def close(self):
        self.config.rmdir()


class Acm(Function):
    """A serial port. `board` is the device's end, `tty` the host's."""

    kind = "acm"

    def __init__(self, *how):
        super().__init__(*how)
        self.opened = []

    @property
    def board(self):
        return Path(f"/dev/ttyGS{(self.config / 'port_num').read_text().strip()}")

    @property
    def tty(self):
        return self.node("*:*/tty/ttyACM*", "tty")

    def wires(self):
        """The board's end, opened anew: it hangs up with the cable."""
        fd = os.open(self.board, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(fd, termios.TCSANOW)
        self.opened.append(Wires(fd))
        return self.opened[-1]

    def close(self):
        for wires in self.opened:    # the kernel waits for ever until nobody has the port open
            wires.close()
        super().close()


class Storage(Function):
    """A stick or a card reader on an image file. `disk` is the host's node."""

    kind = "mass_storage"

    def __init__(self, gadget, name, image, removable=True, read_only=False):
        super().__init__(gadget, name)
        self.image = Path(image)
        write(self.config / "lun.0/removable", int(removable))
        write(self.config / "lun.0/ro", int(read_only))
        write(self.config / "lun.0/file", self.image)

    def eject(self):
        """No card is in the reader any more."""
        write(self.config / "lun.0/forced_eject", 1)

    def insert(self, image=None):
        write(self.config / "lun.0/file", image or self.image)

    @property
    def disk(self):
        return self.node("*:*/host*/target*/*/block/sd*", "disk")


class Hid(Function):
    """A HID device. `board` is the device's end, `raw` the host's hidraw node."""

    kind = "hid"

    def __init__(self, gadget, name, report=HID_REPORT, length=8):
        super().__init__(gadget, name)
        write(self.config / "protocol", 0)
        write(self.config / "subclass", 0)
        write(self.config / "report_length", length)
        write(self.config / "report_desc", report)

    @property
    def board(self):
        wanted = (self.config / "dev").read_text().strip()
        return Path("/dev") / Path(f"/sys/dev/char/{wanted}").resolve().name

    @property
    def raw(self):
        return self.node("*:*/*:*/hidraw/hidraw*", "hidraw node")


class Gadget:
    """A USB device of the kernel's gadget functions, plugged into the socket `port`, a number from 0 to 7."""

    def __init__(self, port=0, vid=0x1d6b, pid=0x0104, serial=None, product="lab device", speed="high-speed"):
        self.port = port
        self.name = f"lab{next(_numbers)}"
        self.config = CONFIG / "usb_gadget" / self.name
        self.config.mkdir()
        self.functions = []
        for attribute, value in (("idVendor", f"0x{vid:04x}"), ("idProduct", f"0x{pid:04x}"), ("bcdDevice", "0x0100"),
                                 ("bcdUSB", "0x0200"), ("max_speed", speed)):
            write(self.config / attribute, value)
        strings = self.config / "strings/0x409"
        strings.mkdir()
        for attribute, value in (("manufacturer", "lab"), ("product", product), ("serialnumber", serial or self.name)):
            write(strings / attribute, value)

    def add(self, kind, configuration=1, **how):
        """One more function, before plug(): add(Acm), add(Storage, image=...), add(Hid)."""
        function = kind(self, str(len(self.functions)), **how)
        place = self.config / f"configs/c.{configuration}"
        place.mkdir(exist_ok=True)
        (place / function.name).symlink_to(function.config)
        self.functions.append(function)
        return function

    def plug(self, port=None):
        """Back when the host has configured it and udev is done; into another socket if one is given."""
        if port is not None:
            self.port = port
        write(self.config / "UDC", f"dummy_udc.{self.port}")
        wait_until(lambda: is_configured(self.sysfs()), PLUG_TIMEOUT,
                   f"the host does not see {self.name} in socket {self.port}")
        settle()
        return self

    def unplug(self):
        """Off at once; also for a gadget that is not plugged in."""
        if (self.config / "UDC").read_text().strip():
            write(self.config / "UDC", "")

    def sysfs(self):
        """The host's side of it, None while it is not there: /sys/devices/platform/dummy_hcd.0/usb1/1-1."""
        return device_in(self.port)

    def close(self):
        self.unplug()
        wait_until(lambda: not self.sysfs(), PLUG_TIMEOUT, f"{self.name} is still in socket {self.port}")
        for function in self.functions:
            next(self.config.glob(f"configs/*/{function.name}")).unlink()
            function.close()
        for place in self.config.glob("configs/*"):
            place.rmdir()
        (self.config / "strings/0x409").rmdir()
        self.config.rmdir()


def device_in(port):
    """The device in a socket as the host sees it; None when there is none."""
    found = [p for p in PLATFORM.glob(f"dummy_hcd.{port}/usb*/[0-9]*-1") if (p / "idVendor").exists()]
    return found[0] if found else None


def is_configured(device):
    """Whether the host has given it interfaces; None has none."""
    return device is not None and any(device.glob("*:*"))


class Played:
    """A device that a program of this directory plays. `wires` are what the program does with bytes, what it says is in
    `program` (wait_line())."""

    def __init__(self, path, arguments, port):
        self.path, self.arguments, self.port = path, arguments, port
        self.program = self.wires = None
        self.plug()

    def plug(self, port=None):
        self.port = self.port if port is None else port
        ours, theirs = socket.socketpair()
        self.wires = Wires(ours.detach())
        with theirs:
            self.program = Program([self.path, self.port, *self.arguments], env=dict(os.environ), stdin=theirs)
        wait_until(lambda: not self.program.alive() or is_configured(self.sysfs()), PLUG_TIMEOUT,
                   f"the host does not see {self.path.name} in socket {self.port}")
        assert self.program.alive(), self.program.tail()
        settle()
        return self

    def unplug(self):
        self.program.kill()
        self.program.forget()
        self.wires.close()

    def sysfs(self):
        return device_in(self.port)

    def node(self, pattern):
        """A node that the host's drivers have made of it: node("*:*/ttyUSB*")."""
        return Path("/dev") / wait_until(lambda: [p.name for p in self.sysfs().glob(pattern)], PLUG_TIMEOUT,
                                         f"the host has no {pattern} for {self.path.name}")[0]

    def close(self):
        if self.program in Program.running:
            self.unplug()
            wait_until(lambda: not self.sysfs(), PLUG_TIMEOUT, f"{self.path.name} is still in socket {self.port}")


class Hardware:
    """What one test has asked for; all of it goes with the test. `programs`: where those of this directory were built."""

    def __init__(self, directory, programs):
        self.directory, self.programs = Path(directory), Path(programs)
        self.stack = contextlib.ExitStack()
        self.ports = itertools.count()

    def gpio(self, **how):
        chip = GpioChip(**how)
        self.stack.callback(chip.close)
        return chip

    def usb(self, *functions, plug=True, **how):
        """A device with these functions, in the next free socket: usb(Acm), usb(Acm, Hid, serial="X").

        The functions are `functions` of what is returned; options go to add() on a device made with plug=False."""
        how.setdefault("port", next(self.ports))
        gadget = Gadget(**how)
        self.stack.callback(gadget.close)
        for kind in functions:
            gadget.add(kind)
        return gadget.plug() if plug and functions else gadget

    def serial(self, **how):
        return self.usb(Acm, **how).functions[0]

    def storage(self, size=16 << 20, removable=True, read_only=False, **how):
        image = self.directory / f"disk{next(_numbers)}"
        with open(image, "wb") as file:
            os.truncate(file.fileno(), size)
        gadget = self.usb(plug=False, **how)
        function = gadget.add(Storage, image=image, removable=removable, read_only=read_only)
        gadget.plug()
        return function

    def hid(self, **how):
        return self.usb(Hid, **how).functions[0]

    def program(self, name, *arguments, port=None):
        played = Played(self.programs / name, arguments, next(self.ports) if port is None else port)
        self.stack.callback(played.close)
        return played

    def close(self):
        self.stack.close()
