# SPDX-License-Identifier: Apache-2.0
"""USB devices that are given away, when somebody does not behave: clients, devices, and who ends programs."""

import contextlib
import errno
import struct
from pathlib import Path

import pytest
from harness import exporter as exporters
from harness.program import Program, run, wait_until

from attached import Attached, device
from hardware import PLUG_TIMEOUT, Acm, Hid, settle
from usbfs import BULK_TYPE, UsbFs
from usbip_client import SUBMIT, SUBMITTED, UNLINK, Import

pytestmark = pytest.mark.direct(reason="exporters of their own, which are killed, and clients that are not jmpctl")
SAY, COUNTS = 1, 3      # requests of lab-pipes
BACK = "the kernel's driver has it not back"


@pytest.fixture
def words(build):
    return lambda exporter: [build / "ctl/jmpctl", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure"]


@pytest.fixture
def attach(place, words):
    with contextlib.ExitStack() as stack:
        def of(exporter):
            attached = Attached(place, words(exporter), "usb")
            stack.callback(lambda: attached.program in Program.running and attached.detach())
            return attached
        yield of


def test_an_agent_that_was_killed_gives_the_device_back_when_it_starts_again(hardware, serve, attach, kind, place, build):
    hid = hardware.hid(serial="HID")
    export = {"usb": device(hid.gadget.sysfs())}
    first = exporters.start_direct(kind, place, build, exporters.config(export))
    copy = attach(first)
    first.program.kill()
    first.program.forget()
    wait_until(lambda: not copy.sysfs(), PLUG_TIMEOUT, "the copy outlives it")
    assert not hid.host("*:*/driver"), "the kernel does it by itself, and this test is not needed"
    again = serve(export)
    again.program.wait_line("in port 1-1 was without its drivers, and has them again", timeout=60)
    assert hid.raw.exists()


def test_a_client_that_is_killed_lets_go(hardware, serve, attach, words, place):
    hid = hardware.hid(serial="HID")
    exporter = serve({"usb": device(hid.gadget.sysfs())})
    copy = attach(exporter)
    copy.program.kill()
    copy.program.forget()
    wait_until(lambda: not copy.sysfs(), PLUG_TIMEOUT, "the copy outlives it")
    wait_until(lambda: hid.host("*:*/*:*/hidraw/hidraw*"), PLUG_TIMEOUT, BACK)
    assert "No resources" in run([words(exporter)[0], "usb", "status"], env=place.env).ok().out
    refused = run(["setpriv", "--reuid=65534", "--clear-groups", *words(exporter), "usb", "attach", "usb"], env=place.env)
    assert refused.status == 1 and "only root may plug devices" in refused.err


def half_a_header(usb):
    usb.socket.sendall(bytes(20))


def another_request(usb):
    usb.socket.sendall(struct.pack(">IIIIII", 77, 1, 0, 1, 0, 0) + bytes(24))


def a_transfer_of_two_gigabytes(usb):
    usb.socket.sendall(struct.pack(">IIIIIIIII", SUBMIT, 1, 0, 0, 1, 0, 0x7fffffff, 0, 0xffffffff) + bytes(12))


def too_many_transfers(usb):
    one = struct.pack(">IIIIIIIII", SUBMIT, 1, 0, 1, 1, 0, 64, 0, 0xffffffff) + bytes(12)
    usb.socket.sendall(one * 4200)


def calling_back_what_never_was(usb):
    """Each is answered, and the answers are left lying."""
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            usb.socket.sendall((struct.pack(">IIIIII", UNLINK, 1, 0, 0, 0, 4711) + bytes(24)) * 1000)


def test_clients_that_do_as_they_like_end_themselves_and_nobody_else(hardware, serve, words, place):
    played = hardware.program("lab-pipes", "PIPES")
    path = played.sysfs().name
    exporter = serve({"usb": device(played.sysfs())})
    forward = Program([*words(exporter), "usb", "ip", "forward-tcp", "0"], env=place.env)
    port = forward.wait_line(r"^127\.0\.0\.1:(\d+)$", timeout=60).group(1)
    for misbehave, says in ((half_a_header, "Protocol error"), (another_request, "Protocol error"),
                            (a_transfer_of_two_gigabytes, "Message too long"), (too_many_transfers, "too much is under way"),
                            (calling_back_what_never_was, "too much is under way")):
        mark = exporter.program.mark()
        usb = Import(port, path)
        misbehave(usb)
        if misbehave is half_a_header:
            usb.close()
        exporter.program.wait_line(says, timeout=60, since=mark)
        usb.close()
    usb = Import(port, path)
    counts = usb.control_in(0xc0, COUNTS, 0, 0, 8)
    assert usb.answer()[:4] == (SUBMITTED, counts, 0, bytes(8))
    usb.close()
    forward.stop()
    forward.forget()


def test_a_client_of_another_device_takes_nothing(hardware, serve, words, place):
    """By a bus id that is not the device's: the kernel's driver is not disturbed."""
    hid = hardware.hid(serial="HID")
    before = hid.raw
    exporter = serve({"usb": device(hid.gadget.sysfs())})
    forward = Program([*words(exporter), "usb", "ip", "forward-tcp", "0"], env=place.env)
    port = forward.wait_line(r"^127\.0\.0\.1:(\d+)$", timeout=60).group(1)
    board = open(before, "rb", buffering=0)
    with pytest.raises(AssertionError):
        Import(port, "7-7")
    exporter.program.wait_line("there is no device 7-7 here, only 1-1", timeout=60)
    hid.board.open("wb", buffering=0).write(b"a report")
    assert board.read(64) == b"a report"
    board.close()
    forward.stop()
    forward.forget()


def test_a_device_with_two_configurations_changes_between_them_and_comes_back_in_its_own(hardware, serve, attach, words,
                                                                                             place):
    gadget = hardware.usb(plug=False, serial="TWO")
    gadget.add(Acm)
    gadget.add(Hid, configuration=2)
    gadget.plug()
    exporter = serve({"usb": device(gadget.sysfs())})
    copy = attach(exporter)
    assert copy.node("*:*/tty/ttyACM*").exists()
    (copy.sysfs() / "bConfigurationValue").write_text("2\n")
    settle()
    assert copy.node("*:*/*:*/hidraw/hidraw*").exists()
    assert (gadget.sysfs() / "bConfigurationValue").read_text().strip() == "2"
    run([words(exporter)[0], "usb", "detach", copy.number], env=place.env).ok()
    copy.program.wait_line("usb is detached", timeout=60)
    wait_until(lambda: list(gadget.sysfs().glob("*:*/tty/ttyACM*")), PLUG_TIMEOUT, BACK)
    assert (gadget.sysfs() / "bConfigurationValue").read_text().strip() == "1"


def test_a_device_whose_descriptors_are_not_true_passes_as_far_as_linux_takes_it(hardware, serve, attach, words, place):
    liar = hardware.program("lab-liar", "LIAR")
    exporter = serve({"usb": device(liar.sysfs())})
    run([*words(exporter), "usb", "ctl", "stream", "call_method", '"show"', "{}"], env=place.env).ok()
    run([*words(exporter), "usb", "list"], env=place.env).ok()
    copy = attach(exporter)
    assert copy.id == "1209:0004"
    usb = UsbFs(copy.sysfs())
    usb.claim()
    assert usb.bulk(0x81, 512) == b"LIAR"
    usb.close()
    jmpctl = words(exporter)[0]
    which = run([jmpctl, "usb", "detach"], env=place.env)
    assert which.status == 2 and "--all" in which.err
    run([jmpctl, "usb", "detach", "--all"], env=place.env).ok()
    copy.program.wait_line("usb is detached", timeout=60)


def test_transfers_for_which_the_kernel_has_no_memory_fail_and_the_log_says_why(hardware, serve, attach):
    limit = Path("/sys/module/usbcore/parameters/usbfs_memory_mb")
    played = hardware.program("lab-pipes", "PIPES")
    exporter = serve({"usb": device(played.sysfs())})
    copy = attach(exporter)
    usb = UsbFs(copy.sysfs())
    usb.claim()
    usual = limit.read_text()
    limit.write_text("1\n")
    try:
        # Here it fits. The exporter's side is the same kernel's, and has the same need.
        first, second = usb.submit(BULK_TYPE, 0x81, 4096), usb.submit(BULK_TYPE, 0x81, 600 * 1024)
        assert usb.reap() is second and second.status == -errno.ENOMEM
        exporter.program.wait_line("no memory for transfers of 1-1; /sys/module/usbcore/parameters/usbfs_memory_mb",
                                   timeout=60)
    finally:
        limit.write_text(usual)
    usb.control(0x40, SAY, 700)     # the others go on
    assert usb.reap() is first and first.status == 0 and first.actual == 700
    usb.close()
