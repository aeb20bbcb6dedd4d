# SPDX-License-Identifier: Apache-2.0
"""USB/IP beside the kernel's own server, for the same devices by turns in the same guest. Prints, asserts nothing:

    tests/lab/run.sh -s bench_usb.py --build build/release
"""

import contextlib
import ctypes
import fcntl
import os
import re
import statistics
import struct
import time
from pathlib import Path

import pytest
from harness.board import payload
from harness.program import Program, run, wait_until

from hardware import PLUG_TIMEOUT, settle
from test_usb import MIB, VHCI, attach, device, words  # noqa: F401: two are fixtures

ROUNDS = 5
SIZE = 8 * MIB
PIECE = MIB
CALLS = 300
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
        self.port = int(self.copy.name.partition("-")[2]) - 1
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


@pytest.fixture
def usbipd():
    program = Program(["usbipd"], env=SBIN)
    program.wait_line("listening on", timeout=60)
    yield program
    program.stop()
    program.forget()


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


@pytest.mark.timeout(1800)
def test_beside_the_kernels_own_server(hardware, serve, attach, usbipd):     # noqa: F811
    stick = hardware.storage(size=SIZE)
    path = stick.gadget.sysfs().name
    exporter = serve({"usb": device(stick.gadget.sysfs())})
    results = {}

    def measure(kind, copy):
        with contextlib.closing(contextlib.ExitStack()) as stack:
            stack.callback(copy.detach)
            disk = copy.node("*:*/host*/target*/*/block/sd*")
            figures = {"bulk in, MB/s": disk_rate(disk, False), "bulk out, MB/s": disk_rate(disk, True),
                       "control, p50, us": control_time(copy.sysfs())}
        for what, value in figures.items():
            results.setdefault(what, {}).setdefault(kind, []).append(value)

    for _ in range(ROUNDS):
        measure("ours", attach(exporter))
        wait_until(lambda: list(stick.gadget.sysfs().glob("*:*/host*")), PLUG_TIMEOUT, "the kernel has it not back")
        measure("kernel's", KernelCopy(path))
        wait_until(lambda: list(stick.gadget.sysfs().glob("*:*/host*")), PLUG_TIMEOUT, "the kernel has it not back")
    print(f"\n{'USB/IP, a stick':24} {'ours':>10} {'kernel':>10} {'ratio':>7}   aim 0.7")
    for what, kinds in results.items():
        ours, kernels = (statistics.median(kinds[kind]) for kind in ("ours", "kernel's"))
        ratio = kernels / ours if what.endswith("us") else ours / kernels
        print(f"{what:24} {ours:10.1f} {kernels:10.1f} {ratio:7.2f}")
