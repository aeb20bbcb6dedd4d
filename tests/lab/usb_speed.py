# SPDX-License-Identifier: Apache-2.0
"""How fast a USB device's copy is, and the kernel's own way to have one."""

import ctypes
import fcntl
import os
import re
import statistics
import struct
import time
from pathlib import Path

from harness.board import payload
from harness.program import run, wait_until

from attached import VHCI
from hardware import PLUG_TIMEOUT, settle

MIB = 1 << 20
SIZE = 8 * MIB
PIECE = MIB
CALLS = 1000
USBDEVFS_CONTROL = 0xC0185500      # of 64-bit machines
SBIN = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


class KernelCopy:
    """What Attached is, by usbipd, usbip-host and usbip."""

    def __init__(self, path):
        self.path = path
        self.usbip("bind", "-b", path)
        before = set(VHCI.glob("usb*/*-*"))
        self.usbip("attach", "-r", "127.0.0.1", "-b", path)
        new = wait_until(lambda: [p for p in set(VHCI.glob("usb*/*-*")) - before if any(p.glob("*:*"))], PLUG_TIMEOUT, "no copy")
        self.copy = next(p for p in new if re.fullmatch(r"\d+-\d+", p.name))
        self.port = next(int(line.split()[1]) for line in (VHCI / "status").read_text().splitlines() if line.split()[-1] == self.copy.name)
        settle()

    def usbip(self, *words):
        run(["usbip", *words], env=SBIN, timeout=120).ok()

    def sysfs(self):
        return self.copy

    def node(self, pattern):
        found = wait_until(lambda: sorted(self.copy.glob(pattern)), PLUG_TIMEOUT, f"the copy has no {pattern}")
        settle()
        return Path("/dev") / found[0].name

    def detach(self):
        self.usbip("detach", "-p", str(self.port))
        wait_until(lambda: not self.copy.exists(), PLUG_TIMEOUT, "it is still attached")
        self.usbip("unbind", "-b", self.path)


def aligned(size):
    """Memory for transfers past the page cache."""
    memory = ctypes.create_string_buffer(size + 4096)
    start = -ctypes.addressof(memory) % 4096
    return memoryview(memory).cast("B")[start:start + size]


def disk_rate(disk, write):
    """MB/s of all of it, once, past the page cache."""
    piece = aligned(PIECE)
    piece[:] = payload(PIECE, "bench")
    fd = os.open(disk, os.O_RDWR | os.O_DIRECT)
    begun = time.monotonic()
    for at in range(0, SIZE, PIECE):
        moved = os.pwritev(fd, [piece], at) if write else os.preadv(fd, [piece], at)
        assert moved == PIECE
    taken = time.monotonic() - begun
    os.close(fd)
    return SIZE / 1e6 / taken


def control_time(sysfs):
    """Microseconds of one control transfer that the device answers, the median of many."""
    bus, number = (int((sysfs / name).read_text()) for name in ("busnum", "devnum"))
    data = ctypes.create_string_buffer(18)
    # bRequestType, bRequest, wValue, wIndex, wLength, timeout in ms, data
    request = bytearray(struct.pack("@BBHHHIP", 0x80, 6, 0x0100, 0, 18, 5000, ctypes.addressof(data)))
    fd = os.open(f"/dev/bus/usb/{bus:03}/{number:03}", os.O_RDWR)
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter_ns()
        assert fcntl.ioctl(fd, USBDEVFS_CONTROL, request) == 18
        times.append((time.perf_counter_ns() - begun) / 1000)
    os.close(fd)
    return statistics.median(times)
