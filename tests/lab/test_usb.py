# SPDX-License-Identifier: Apache-2.0
"""USB devices that are given away: the device on one side of the agent, on the other this kernel's drivers on its copy."""

import contextlib
import errno
import hashlib
import json
import os
import random
import re
import select
import shutil
import socket
import subprocess
import termios
import tty
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from harness.background import Background
from harness.board import Wires, payload
from harness.lab import CtlLease
from harness.place import BIN
from harness.program import Program, run, wait_until
from harness.stock import client

from attached import VHCI, Attached, device
from hardware import PLUG_TIMEOUT, settle
from usbfs import BULK_TYPE, UsbFs
from usbip_client import SHORT_NOT_OK, SUBMITTED, UNLINKED, Import

MIB = 1 << 20


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def words(build, place, through, request):
    """How jmpctl reaches an exporter: directly, or by the lease of the test."""
    def of(exporter):
        if through == "direct":
            return [build / "ctl/jmpctl", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure"]
        lab = request.getfixturevalue("lab")
        return [build / "ctl/jmpctl", "--client-config", lab.clients["alice"], "--lease", exporter.lease.name]
    return of


@pytest.fixture
def attach(place, words):
    with contextlib.ExitStack() as stack:
        def of(exporter, name="usb", *options):
            attached = Attached(place, words(exporter), name, *options)
            stack.callback(lambda: attached.program in Program.running and attached.detach())
            return attached
        yield of


def raw_tty(path):
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd, termios.TCSANOW)
    return Wires(fd)


def read_disk(path):
    with open(path, "rb", buffering=0) as disk:
        os.posix_fadvise(disk.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        parts = []
        while part := disk.read(MIB):
            parts.append(part)
    return b"".join(parts)


def test_a_stick_is_read_and_written(hardware, serve, attach):
    stick = hardware.storage(size=8 * MIB)
    content = payload(8 * MIB, "stick")
    stick.gadget.unplug()
    stick.image.write_bytes(content)
    stick.gadget.plug()
    assert stick.disk.exists()
    exporter = serve({"usb": device(stick.gadget.sysfs())})

    copy = attach(exporter)
    assert not list(stick.gadget.sysfs().glob("*:*/host*")), "the kernel's driver still has the stick"
    disk = copy.node("*:*/host*/target*/*/block/sd*")
    assert digest(read_disk(disk)) == digest(content)

    new = payload(4 * MIB, "new content")
    with open(disk, "r+b", buffering=0) as file:
        for at in range(0, len(new), MIB):
            file.write(new[at:at + MIB])
        os.fsync(file.fileno())
    copy.detach()
    assert digest(stick.image.read_bytes()) == digest(new + content[len(new):])
    # And it is given back.
    assert digest(read_disk(stick.disk)) == digest(new + content[len(new):])


def test_a_serial_port_carries_bytes_both_ways_at_once(hardware, serve, attach):
    port = hardware.serial(serial="CDC")
    exporter = serve({"usb": device(port.gadget.sysfs())})
    copy = attach(exporter)
    wires = port.wires()     # not before: being configured anew is a hang-up for the board's end
    far = raw_tty(copy.node("*:*/tty/ttyACM*"))
    there, back = payload(MIB // 2, "there"), payload(MIB // 2, "back")
    typing, saying = Background(far.write, there, timeout=150), Background(wires.write, back, timeout=150)
    heard = Background(wires.read, len(there), timeout=150)
    assert digest(far.read(len(back), timeout=150)) == digest(back)
    assert digest(heard.result(150)) == digest(there)
    typing.result()
    saying.result()
    far.close()
    copy.detach()
    assert port.tty.exists()
    wires.close()


def test_reports_of_a_hid_device_pass_both_ways(hardware, serve, attach):
    hid = hardware.hid(serial="HID")
    exporter = serve({"usb": device(hid.gadget.sysfs())})
    copy = attach(exporter)
    raw = os.open(copy.node("*:*/*:*/hidraw/hidraw*"), os.O_RDWR)
    board = os.open(hid.board, os.O_RDWR)
    for n in range(50):
        report = payload(8, f"report {n}")
        os.write(board, report)
        assert select.select([raw], [], [], 60)[0]
        assert os.read(raw, 64) == report
        os.write(raw, b"\0" + report[::-1])
        assert select.select([board], [], [], 60)[0]
        assert os.read(board, 64) == report[::-1]
    os.close(raw)
    os.close(board)


@pytest.mark.timeout(600)
def test_unplugged_at_twenty_random_points(hardware, serve, attach):
    """What had been carried before arrives, in order, and attach follows the device each time."""
    chance = random.Random(6)
    hid = hardware.hid(serial="LOOSE")
    exporter = serve({"usb": device(hid.gadget.sysfs())})
    copy = attach(exporter)
    for turn in range(20):
        raw = os.open(copy.node("*:*/*:*/hidraw/hidraw*"), os.O_RDWR)
        board = os.open(hid.board, os.O_RDWR)
        count = chance.randint(1, 40)
        seen = Background(read_reports, raw, turn)
        for n in range(count):
            os.write(board, report(turn, n))    # waits until the one before was fetched
        hid.gadget.unplug()
        os.close(board)
        numbers = seen.result(120)
        os.close(raw)
        assert numbers == list(range(len(numbers))), f"turn {turn}: {numbers}"
        # The last may be in the device still, and the one before it under way.
        assert count - 2 <= len(numbers) <= count, f"turn {turn}: {len(numbers)} of {count} reports arrived"
        hid.gadget.plug()
        copy.wait()
    assert exporter.program.alive()


def report(turn, number):
    return bytes([turn, 0, 0, 0]) + number.to_bytes(4, "big")


def read_reports(raw, turn):
    """The numbers of what comes, until the device is unplugged."""
    numbers = []
    while True:
        try:
            data = os.read(raw, 64)
        except OSError:
            return numbers
        assert data[0] == turn
        numbers.append(int.from_bytes(data[4:8], "big"))


def test_a_device_is_followed_into_its_boot_loader_and_back(hardware, serve, attach, place):
    """Chosen by a serial number that the boot loader does not have; the tool is everybody's."""
    played = hardware.program("lab-dfu", "DFU7")
    exporter = serve({"usb": {"type": "usb-device", "config": {"serial": "DFU7", "follow": 100}}})
    copy = attach(exporter, "usb", "--follow", "100")
    assert copy.id == "1209:0001"
    run(["dfu-util", "-e", "-p", copy.sysfs().name, "-d", "1209:0001"], env=place.env, timeout=120).ok()
    copy.wait()
    assert copy.id == "1209:0002"
    exporter.program.wait_line("1209:0001 in port 1-1 has gone")
    exporter.program.wait_line("in port 1-1 there is 1209:0002 lab boot loader now; it was 1209:0001")

    firmware = place.file("firmware.bin", "")
    firmware.write_bytes(payload(20000, "firmware"))
    run(["dfu-util", "-D", firmware, "-p", copy.sysfs().name, "-d", ",1209:0002"], env=place.env, timeout=120)
    said = played.program.wait_line(r"^firmware (\d+) (\d+)$")
    assert said.groups() == ("20000", str(sum(payload(20000, "firmware"))))
    copy.wait()
    assert copy.id == "1209:0001"


def test_only_one_has_it_and_the_others_are_told_who(hardware, serve, attach, words, place):
    hid = hardware.hid()
    exporter = serve({"usb": device(hid.gadget.sysfs())})
    ctl = words(exporter)
    listed = json.loads(run([*ctl, "usb", "list", "-o", "json"], env=place.env).ok().out)
    assert [(row["driver"], row["busid"], row["id"]) for row in listed] == [("usb", "1-1", "1d6b:0104")]
    copy = attach(exporter)
    second = run([*ctl, "usb", "attach", "usb"], env=place.env)
    assert second.status == 1 and "somebody else has it" in second.err
    exporter.program.wait_line("in use already, by USB/IP")
    told = run([*ctl, "usb", "ctl", "stream", "call_method", '"list"', "{}"], env=place.env).ok().out
    assert "(in use by USB/IP)" in told
    status = run([words(exporter)[0], "usb", "status"], env=place.env).ok().out
    assert "usb" in status and copy.sysfs().name in status
    run([words(exporter)[0], "usb", "detach", "usb"], env=place.env).ok()
    copy.program.wait_line("usb is detached")
    wait_until(lambda: list(hid.gadget.sysfs().glob("*:*/*:*/hidraw/hidraw*")), PLUG_TIMEOUT,
               "the kernel has it not back")


def test_the_stock_client_lists_shows_and_resets_it(hardware, serve, words, place):
    played = hardware.program("lab-pipes", "PIPES")
    exporter = serve({"usb": device(played.sysfs())})
    path = played.sysfs().name
    with client(exporter.endpoint) as root:
        cli = root.cli()

        def j(command):
            """What `j usb ctl COMMAND` runs, in this process. Its exit status is lost in the stock client."""
            return CliRunner().invoke(cli, ["usb", "ctl", command]).output

        assert j("list").startswith(f"{path}  1209:0003  ")
        shown = dict(re.split("  +", line, maxsplit=1) for line in j("show").splitlines())
        assert shown["port"] == path and shown["serial"] == "PIPES" and shown["in use by"] == "nobody"
        mark = played.program.mark()
        j("usb-reset")
        played.program.wait_line("^configured$", since=mark)
        forward = Forward(place, exporter, "usb ip", words(exporter))
        usb = Import(forward.port, path)
        assert "(in use by USB/IP)" in j("list")
        assert "the device is in use already, by USB/IP" in j("usb-reset")
        usb.close()
        forward.close()


def test_hubs_disks_in_use_and_strangers_are_refused(hardware, serve, words, place):
    hub = hardware.program("lab-port-hub")
    stick = hardware.storage(size=4 * MIB)
    subprocess.run(["mkfs.ext4", "-q", stick.disk], check=True)
    os.makedirs("/run/mounted", exist_ok=True)
    subprocess.run(["mount", stick.disk, "/run/mounted"], check=True)
    try:
        exporter = serve({"hub": device(hub.sysfs()), "root": {"type": "usb-device", "config": {"id": "1d6b:0002"}},
                          "stick": device(stick.gadget.sysfs()),
                          "stranger": {"type": "usb-device", "config": {"path": "1-1", "id": "0403:6001"}}})
        for name, why in (("hub", "is a hub"), ("stick", "holds a disk that this machine uses"),
                          ("stranger", "no USB device in port 1-1 with id 0403:6001")):
            done = run([*words(exporter), "usb", "attach", name], env=place.env)
            assert done.status == 1 and "not plugged in" in done.err, name
            exporter.program.wait_line(why)
    finally:
        subprocess.run(["umount", "/run/mounted"], check=True)


class Forward:
    """A local port, or with `unix` a socket of that path, to a driver: by jmpctl with these words, or by the stock client."""

    def __init__(self, place, exporter, driver, ctl=None, unix=None):
        env = {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE",
               "JMP_GRPC_INSECURE": "1"}
        how = ["forward-unix", unix] if unix else ["forward-tcp", "0", "--address", "127.0.0.1"]
        self.program = Program([*(ctl or [BIN / "j"]), *driver.split(), *how], env=env, name=f"{driver} {how[0]}")
        said = self.program.wait_line(rf"^{re.escape(str(unix))}$" if unix else r"^127\.0\.0\.1:(\d+)$", timeout=60)
        self.port = None if unix else said.group(1)

    def close(self):
        self.program.stop()
        self.program.forget()


def test_the_stock_usbip_tool_works_over_the_stock_client(hardware, serve, place):
    stick = hardware.storage(size=4 * MIB)
    content = payload(4 * MIB, "usbip")
    stick.gadget.unplug()
    stick.image.write_bytes(content)
    stick.gadget.plug()
    exporter = serve({"usb": device(stick.gadget.sysfs())})
    forward = Forward(place, exporter, "usb ip")
    usbip = ["usbip", "--tcp-port", forward.port]
    env = {**place.env, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    listed = run([*usbip, "list", "-r", "127.0.0.1"], env=env, timeout=120).ok()
    assert "1d6b:0104" in listed.out and "Mass Storage" in listed.out
    run([*usbip, "attach", "-r", "127.0.0.1", "-b", stick.gadget.sysfs().name], env=env, timeout=120).ok()
    here = wait_until(lambda: sorted(VHCI.glob("usb*/*-*/*:*/host*/target*/*/block/sd*")), PLUG_TIMEOUT, "no copy")
    settle()
    assert digest(read_disk(Path("/dev") / here[0].name)) == digest(content)
    run(["usbip", "detach", "-p", "0"], env=env).ok()
    wait_until(lambda: list(stick.gadget.sysfs().glob("*:*/host*")), PLUG_TIMEOUT, "the kernel has it not back")
    forward.close()


def test_each_transfer_ends_as_usbip_has_it(hardware, serve, words, place):
    hid = hardware.hid(serial="HID")
    exporter = serve({"usb": device(hid.gadget.sysfs())})
    kernels = hid.raw
    forward = Forward(place, exporter, "usb ip", words(exporter))
    usb = Import(forward.port, hid.gadget.sysfs().name)
    assert not kernels.exists(), "the kernel's driver still has the device"
    board = os.open(hid.board, os.O_RDWR)
    incoming = next(int((ep / "bEndpointAddress").read_text(), 16) for ep in hid.gadget.sysfs().glob("*:*/ep_8?"))

    def ends(number, status, data=b""):
        assert usb.answer()[:4] == (SUBMITTED, number, status, data)

    descriptor = (hid.gadget.sysfs() / "descriptors").read_bytes()[:18]
    ends(usb.control_in(0x80, 6, 0x0100, 0, 255), 0, descriptor)                            # short
    ends(usb.control_in(0x80, 6, 0x0100, 0, 255, SHORT_NOT_OK), -errno.EREMOTEIO, descriptor)
    ends(usb.control_in(0x80, 6, 0x03ee, 0x0409, 255), -errno.EPIPE)                        # no such text: a stall
    ends(usb.control_in(0x80, 6, 0x0100, 0, 18), 0, descriptor)                             # which is over with it

    # Called back while it waits for the device; nothing that the device says later goes missing.
    waiting = usb.submit(incoming, 8)
    back = usb.unlink(waiting)
    assert usb.answer()[:3] == (UNLINKED, back, -errno.ECONNRESET)
    os.write(board, b"a report")
    ends(usb.submit(incoming, 8), 0, b"a report")
    # Called back too late: its own answer has gone out, and the other says so.
    back = usb.unlink(waiting)
    assert usb.answer()[:3] == (UNLINKED, back, 0)

    # The transfers of a client that goes in the middle of them go with it.
    usb.submit(incoming, 8)
    usb.submit(incoming, 8)
    forward.close()     # with it goes the stream
    usb.close()
    os.close(board)
    wait_until(lambda: hid.host("*:*/*:*/hidraw/hidraw*"), PLUG_TIMEOUT, "the kernel has it not back")


SAY, HANG, COUNTS = 1, 2, 3     # requests of lab-pipes


def pipes(hardware, serve, attach):
    """That device, and this kernel's copy of it."""
    played = hardware.program("lab-pipes", "PIPES")
    copy = attach(serve({"usb": device(played.sysfs())}))
    usb = UsbFs(copy.sysfs())
    usb.claim()
    hardware.stack.callback(usb.close)
    return played, copy, usb


def answers(usb):
    """As long as a request hangs, the device refuses others."""
    try:
        return usb.control(0xc0, COUNTS, size=8) == bytes(8)
    except BrokenPipeError:
        return False


def spoken(size):
    return bytes((i + i // 256) & 255 for i in range(size))


def test_a_transfer_that_takes_too_long_is_called_back_and_nothing_is_lost(hardware, serve, attach):
    played, copy, usb = pipes(hardware, serve, attach)
    for size in (1, 512, 1000):     # a silent pipe, time and again
        with pytest.raises(TimeoutError):
            usb.bulk(0x81, 4096, timeout=200)
        usb.control(0x40, SAY, size)
        waiting = usb.submit(BULK_TYPE, 0x81, size)
        assert usb.reap() is waiting and waiting.status == 0 and waiting.content.raw[:waiting.actual] == spoken(size)

    # A whole packet does not end a transfer. What is called back with it in its hands has brought it.
    half = usb.submit(BULK_TYPE, 0x81, 4096)
    usb.control(0x40, SAY, 512)
    with pytest.raises(TimeoutError):   # a control transfer that is answered too late; by now the packet has come
        usb.control(0x40, HANG, 1500, timeout=300)
    usb.discard(half)
    assert usb.reap() is half and half.status == -errno.ENOENT and half.content.raw[:half.actual] == spoken(512)
    wait_until(lambda: answers(usb), 60, "the device does not answer again")


def test_a_reset_reaches_the_device(hardware, serve, words, place):
    """As importers ask for it, which hand a port's reset on; and by the exporter's command."""
    played = hardware.program("lab-pipes", "PIPES")
    exporter = serve({"usb": device(played.sysfs())})
    forward = Forward(place, exporter, "usb ip", words(exporter))
    usb = Import(forward.port, played.sysfs().name)
    for _ in range(2):
        mark = played.program.mark()
        reset = usb.submit(0, setup=bytes.fromhex("2303040001000000"))
        assert usb.answer()[:3] == (SUBMITTED, reset, 0)
        played.program.wait_line("^configured$", since=mark)
        counts = usb.control_in(0xc0, COUNTS, 0, 0, 8)          # it is ours as before
        assert usb.answer()[:4] == (SUBMITTED, counts, 0, bytes(8))
    usb.close()
    forward.close()


def test_a_reset_of_the_copy_configures_the_device_anew(hardware, serve, attach):
    """This kernel's virtual controller keeps the reset to itself, and carries what follows it."""
    played, copy, usb = pipes(hardware, serve, attach)
    mark = played.program.mark()
    usb.reset()
    played.program.wait_line("^configured$", since=mark)
    usb.control(0x40, SAY, 700)
    assert usb.bulk(0x81, 4096) == spoken(700)


def test_the_end_of_a_lease_takes_the_device_back(hardware, lab, kind, build):
    """Reports are being carried, and whoever has the device does not let go."""
    hid = hardware.hid(serial="HID")
    exporter = lab.add_exporter(kind, {"usb": device(hid.gadget.sysfs())})
    jmpctl = build / "ctl/jmpctl"
    with CtlLease(lab, jmpctl, "-n", exporter.name) as lease:
        copy = Attached(lab.place, [jmpctl, "--client-config", lab.clients["alice"], "--lease", lease.name], "usb")
        raw = os.open(copy.node("*:*/*:*/hidraw/hidraw*"), os.O_RDWR)
        board = os.open(hid.board, os.O_RDWR)
        os.write(board, b"a report")
        assert select.select([raw], [], [], 60)[0] and os.read(raw, 64) == b"a report"
        lab.config().delete_lease(name=lease.name)
        lab.wait_status(exporter.name, "AVAILABLE")
        assert hid.raw.exists(), "the kernel's driver has it not back"
        wait_until(lambda: not copy.sysfs(), PLUG_TIMEOUT, "the copy is still there")
        os.close(raw)
        os.close(board)
        copy.program.stop()
        copy.program.forget()


def boot_sector(words):
    """For a PC: says the words to the debug port of QEMU, and stops."""
    code = b"".join(bytes([0xb0, byte, 0xe6, 0xe9]) for byte in words.encode())
    return (code + b"\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize("by", ["tcp", "unix"])
def test_a_virtual_machine_boots_from_a_stick_by_usbredir(hardware, serve, words, place, by):
    """QEMU's own usb-redir finds the device, and the firmware in the machine enumerates and reads it."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu or "usb-redir" not in run([qemu, "-device", "help"], env=place.env, timeout=60).ok().out:
        pytest.skip("needs qemu-system-x86_64 with usb-redir, of the package qemu-system-x86")
    stick = hardware.storage(size=MIB)
    stick.gadget.unplug()
    stick.image.write_bytes(boot_sector("booted by usbredir").ljust(MIB, b"\0"))
    stick.gadget.plug()
    exporter = serve({"usb": device(stick.gadget.sysfs())})
    path = place.run / "redir"
    # By either client, for the stock one takes as long to start as the machine.
    forward = Forward(place, exporter, "usb redir", unix=path) if by == "unix" else \
        Forward(place, exporter, "usb redir", words(exporter))
    where = f"path={path}" if by == "unix" else f"host=127.0.0.1,port={forward.port}"
    said = place.root / f"debug-port-{by}"
    machine = Program([qemu, "-accel", "tcg,tb-size=16", "-machine", "pc", "-m", "32", "-nodefaults", "-display", "none",
                       "-boot", "reboot-timeout=1000",      # its firmware may be faster than the device's way to it
                       "-device", "qemu-xhci", "-chardev", f"socket,id=usb,{where}",
                       "-device", "usb-redir,chardev=usb,bootindex=0,debug=4", "-debugcon", f"file:{said}"],
                      env=place.env, name="qemu")
    wait_until(lambda: said.exists() and "booted by usbredir" in said.read_text(errors="replace"), 120,
               "the machine has not booted from the stick")
    machine.stop()
    machine.forget()
    forward.close()
    wait_until(lambda: list(stick.gadget.sysfs().glob("*:*/host*")), PLUG_TIMEOUT, "the kernel has it not back")


def test_what_the_filter_of_usbredir_does_not_allow_stays_here(hardware, serve, words, place):
    stick, hid = hardware.storage(size=MIB), hardware.hid(serial="HID")
    no_disks = "0x08,-1,-1,-1,0|-1,-1,-1,-1,1"
    exporter = serve({name: {"type": "usb-device", "config": {"path": part.gadget.sysfs().name, "filter": no_disks}}
                      for name, part in (("stick", stick), ("hid", hid))})
    said = {}
    for name in ("stick", "hid"):
        forward = Forward(place, exporter, f"{name} redir", words(exporter))
        with socket.create_connection(("127.0.0.1", int(forward.port)), timeout=60) as guest:
            said[name] = guest.recv(12)
        forward.close()
    assert said["stick"] == b""
    exporter.program.wait_line("not given away: the filter does not allow 1d6b:0104")
    assert len(said["hid"]) == 12 and said["hid"][:4] == bytes(4)       # usb_redir_hello
    wait_until(lambda: stick.disk.exists() and hid.raw.exists(), PLUG_TIMEOUT, "the kernel has them not back")


@pytest.mark.direct(reason="an exporter of its own")
def test_ports_of_a_hub_are_switched_and_tell_the_truth(hardware, serve, place, build):
    hub = hardware.program("lab-port-hub")
    path = f"{hub.sysfs().name}.2"
    exporter = serve({"power": {"type": "usb-port", "config": {"path": path}}})
    with client(exporter.endpoint) as root:
        for state in ("off", "on", "off", "on"):
            mark = hub.program.mark()
            getattr(root.power, state)()
            hub.program.wait_line(f"^port 2 {state}$", since=mark)
            assert root.power.call("status") == state
            getattr(root.power, state)()     # twice is once
    tree = json.loads(run([build / "agent/jmp-agent", "usb", "tree", "-o", "json"], env=place.env).ok().out)
    assert [row["switched_ports"] for row in tree if row["path"] == hub.sysfs().name] == [True]


@pytest.mark.direct(reason="exporters of their own")
@pytest.mark.parametrize("manner, sentence", [("ganged", "cannot switch its ports one by one"),
                                              ("stubborn", "but the port is still on"),
                                              ("wedged", "did not answer within a second")])
def test_a_hub_that_does_not_switch_is_an_error_and_no_more(hardware, serve, manner, sentence):
    hub = hardware.program("lab-port-hub", manner)
    exporter = serve({"power": {"type": "usb-port", "config": {"path": f"{hub.sysfs().name}.2"}},
                      "other": {"type": "power-mock"}})
    with client(exporter.endpoint) as root:
        with pytest.raises(Exception, match=sentence):
            root.power.off()
        root.other.on()     # nothing else is held up
    assert exporter.program.alive()


def without_comments(text, line):
    """The suggestion with the relay that it proposes in its comments, on that line of the chip."""
    head, _, relay = text.partition('under "export":\n')
    assert relay, text
    return head + 'under "export":\n' + re.sub("line: 17", f"line: {line}", re.sub("(?m)^#", "", relay))


@pytest.mark.direct(reason="a lease of its own")
def test_what_is_plugged_in_is_seen_and_suggested_and_served(hardware, lab, kind, build, place):
    chip, port = hardware.gpio(lines=8), hardware.serial(serial="CONSOLE", product="Console of the Board")
    hub, hid, pipes = hardware.program("lab-port-hub"), hardware.hid(serial="HID"), hardware.program("lab-pipes", "PIPES")
    agent, jmpctl = build / "agent/jmp-agent", build / "ctl/jmpctl"
    tty = port.tty.name

    def tree():
        """By root, who sees what every process has open."""
        told = json.loads(run(["/run/built/agent/jmp-agent", "usb", "tree", "-o", "json"], env=place.env).ok().out)
        return {row["path"]: row for row in told}

    rows = tree()
    at = {name: part.sysfs().name for name, part in (("port", port.gadget), ("hub", hub), ("hid", hid.gadget), ("pipes", pipes))}
    expected = {
        "port": {"id": "1d6b:0104", "serial": "CONSOLE", "driver": "cdc_acm", "owner": tty, "speed": "480"},
        "hub": {"driver": "hub", "ports": 4, "switched_ports": True, "speed": "480"},
        "hid": {"driver": "usbhid", "owner": hid.raw.name, "speed": "480"},
        "pipes": {"id": "1209:0003", "driver": None, "owner": None}}
    for name, values in expected.items():
        row = rows[at[name]]
        assert {key: row[key] for key in values} == values, (name, row)
        assert rows[row["hub"]]["driver"] == "hub" and row["port_power"] == rows[row["hub"]]["switched_ports"]
    text = run([agent, "usb", "tree"], env=place.env).ok().out
    assert all(re.search(rf"(?m)^ *{re.escape(path)} ", text) for path in at.values()), text

    suggested = run([agent, "suggest", "bench"], env=place.env).ok().out
    assert str(chip.path) in suggested and not any(line.startswith(" ") and f": {at['hub']}" in line
                                                for line in suggested.splitlines())
    assert f"path: {at['hub']}.1" in suggested      # a port of it, in the comments
    path = place.file("suggested.yaml", without_comments(suggested, line=3))
    checked = run([agent, "check", path], env=place.env).ok().out
    export = yaml.safe_load(path.read_text())["export"]
    console = next(name for name, entry in export.items() if entry["type"] == "serial")
    raw_usb = {entry["config"]["path"]: name for name, entry in export.items() if entry["type"] == "usb-device"}
    assert console == "console-of-the-board" and export[console]["config"]["url"].startswith("/dev/serial/by-path/")
    assert set(raw_usb) == {at["hid"], at["pipes"]}, raw_usb      # what is no better thing, and no hub
    assert all(name in checked for name in export), checked

    exporter = lab.add_exporter(kind, export)
    wires = port.wires()
    with CtlLease(lab, jmpctl, "-n", exporter.name) as lease:
        ctl = [jmpctl, "--client-config", lab.clients["alice"], "--lease", lease.name]
        run([*ctl, "power", "on"], env=place.env).ok()
        assert chip.value(3) == 1
        speaking = Program([*ctl, console, "pipe"], env=place.env)
        wait_until(lambda: wires.write(b"login:\n") or "login:" in speaking.output(), 60, speaking.tail)
        speaking.stop()
        speaking.forget()
        copy = Attached(lab.place, ctl, raw_usb[at["hid"]])
        row = tree()[at["hid"]]
        assert (row["driver"], row["owner"]) == ("usbfs", "jmp-agent"), row
        copy.detach()
