# SPDX-License-Identifier: Apache-2.0
"""The bench itself: hardware is there, from both sides, and under the shipped rules the agent's user may open it."""

import os
import pwd
import subprocess
import termios
import tty
from pathlib import Path

import pytest
from harness.program import wait_until

from agent_user import AGENT_USER
from hardware import Acm, Hid, settle


def agent_may(path, how="rw"):
    """Whether the agent's user can open the node."""
    user = pwd.getpwnam(AGENT_USER)
    tests = [part for letter in how for part in ("-a", f"-{letter}", str(path))][1:]
    return subprocess.run(["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--init-groups", "--",
                           "test", *tests]).returncode == 0


def test_a_gpio_line_is_seen_from_outside(hardware):
    chip = hardware.gpio(lines=8, names={3: "relay", 5: "button"}, hogged={6: "somebody"})
    assert agent_may(chip.path)
    assert [chip.value(i) for i in range(8)] == [0] * 8
    chip.pull(5, 1)
    assert chip.value(5) == 1
    chip.pull(5, 0)
    assert chip.value(5) == 0
    old = chip.path
    chip.unplug()
    wait_until(lambda: not old.exists(), 20, f"{old} is still there")
    chip.plug()
    assert chip.path.exists() and agent_may(chip.path)
    chip.unplug()


def raw(path):
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd, termios.TCSANOW)
    return fd


def test_a_serial_port_carries_bytes_both_ways(hardware):
    port = hardware.serial(serial="ACM1")
    assert agent_may(port.tty)
    assert any("ACM1" in p.name for p in Path("/dev/serial/by-id").iterdir())
    assert any("dummy_hcd.0" in p.name for p in Path("/dev/serial/by-path").iterdir())
    board, host = port.wires(), raw(port.tty)
    try:
        os.write(host, b"to the board")
        assert board.read(12) == b"to the board"
        board.write(b"t")
        assert os.read(host, 1) == b"t"
    finally:
        board.close()
        os.close(host)


@pytest.mark.parametrize("removable", [True, False])
def test_a_stick_is_a_disk_and_only_media_that_can_be_taken_out_are_the_agents(hardware, removable):
    stick = hardware.storage(size=8 << 20, removable=removable)
    size = Path(f"/sys/class/block/{stick.disk.name}/size")
    wait_until(lambda: int(size.read_text()) == 8 << 11, 20, "the disk has no size")
    assert agent_may(stick.disk) == removable
    with open(stick.disk, "r+b", buffering=0) as disk:
        disk.write(b"lab!" * 1024)
        os.fsync(disk.fileno())
    with open(stick.image, "rb") as image:
        assert image.read(4096) == b"lab!" * 1024


def test_a_hid_device_takes_and_gives_reports(hardware):
    relay = hardware.hid()
    assert agent_may(relay.raw)
    with open(relay.raw, "r+b", buffering=0) as host, open(relay.board, "r+b", buffering=0) as board:
        host.write(b"\0" + b"12345678")
        assert board.read(8) == b"12345678"
        board.write(b"87654321")
        assert host.read(8) == b"87654321"


def test_a_device_leaves_and_comes_back_elsewhere(hardware):
    gadget = hardware.usb(Acm, Hid, serial="MOVES")
    before = gadget.sysfs()
    node = Path(f"/dev/bus/usb/{int((before / 'busnum').read_text()):03}/{int((before / 'devnum').read_text()):03}")
    assert agent_may(node)
    gadget.unplug()
    wait_until(lambda: not before.exists(), 20, f"{before} is still there")
    gadget.plug(port=5)
    assert gadget.sysfs() and gadget.sysfs() != before
    assert (gadget.sysfs() / "serial").read_text().strip() == "MOVES"
    settle()
    assert agent_may(gadget.functions[0].tty) and agent_may(gadget.functions[1].raw)


def test_the_host_sees_nothing_of_what_a_guest_writes():
    Path("/etc/lab-was-here").write_text("in the guest")
    assert Path("/etc/lab-was-here").exists()
    assert "overlay" in next(line for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == "/")


def test_a_program_plays_a_device(hardware):
    adapter = hardware.program("lab-ftdi", "FT000001")
    assert agent_may(adapter.node("*:*/ttyUSB*"))
    host = raw(adapter.node("*:*/ttyUSB*"))
    try:
        os.write(host, b"to the device")
        assert adapter.wires.read(13) == b"to the device"
        adapter.wires.write(b"t")
        assert os.read(host, 1) == b"t"
    finally:
        os.close(host)
    old = adapter.sysfs()
    adapter.unplug()
    wait_until(lambda: not old.exists(), 20, f"{old} is still there")
    adapter.plug(port=3)
    assert adapter.node("*:*/ttyUSB*").exists()
