# SPDX-License-Identifier: Apache-2.0
"""Images onto disks that are real to the kernel: sticks and card readers, disks that fail, and ourselves as a stick."""

import contextlib
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from harness import exporter as exporters
from harness.background import Background
from harness.board import payload
from harness.media import MIB, checksum, loop_device, medium
from harness.program import descendants, wait_until
from harness.stock import Duplex, Raw, driver_request, failure, resource_request, upload

IMAGE = payload(3 * MIB, "image") + bytes(2 * MIB) + payload(MIB + 777, "end")


def flasher(disk, **config):
    return {"disk": {"type": "disk-flasher", "config": {"storage_device": str(disk), "storage_timeout": 5, **config}}}


def muxed(disk):
    return {"storage": {"type": "storage-mux", "config": {"storage_device": str(disk)}, "children": {"switch": {"ref": "power"}}},
            "power": exporters.driver(exporters.POWER)}


def content(path, size):
    return checksum(path, size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_image_reaches_a_stick(hardware, serve):
    stick = hardware.storage(size=16 * MIB)
    exporter = serve(flasher(stick.disk, verify=True))
    with Raw(exporter.endpoint) as raw:
        upload(raw, "disk", IMAGE)
    assert content(stick.image, len(IMAGE)) == digest(IMAGE)        # what the stick itself has
    assert "read back and compared" in exporter.program.output()


def test_card_that_is_put_in_later(hardware, serve):
    stick = hardware.storage(size=16 * MIB)
    stick.eject()
    exporter = serve(flasher(stick.disk, storage_timeout=30))
    with Raw(exporter.endpoint) as raw:
        calling = Background(upload, raw, "disk", IMAGE)
        stick.insert()
        calling.result(60)
    assert content(stick.image, len(IMAGE)) == digest(IMAGE)


def test_no_card_and_a_protected_one(hardware, serve):
    empty, protected = hardware.storage(), hardware.storage(read_only=True)
    empty.eject()
    exporter = serve({"empty": flasher(empty.disk, storage_timeout=1)["disk"], "protected": flasher(protected.disk)["disk"]})
    with Raw(exporter.endpoint) as raw:
        error = failure(lambda: upload(raw, "empty", IMAGE))
        assert error.code().name == "DEADLINE_EXCEEDED" and "no medium in" in error.details(), error
        error = failure(lambda: upload(raw, "protected", IMAGE))
        assert "write-protected" in error.details(), error


@pytest.mark.parametrize("how", ["pulled out", "ejected"])
def test_medium_that_goes_while_it_is_written(hardware, serve, how):
    """One error that says where, and the mux is back at the board."""
    stick = hardware.storage(size=64 * MIB)
    exporter = serve(muxed(stick.disk))
    with Raw(exporter.endpoint) as raw:
        raw.call(raw.uuid("storage"), "dut")
        with Duplex(raw, resource_request(raw.uuid("storage")), timeout=120) as stream:
            handle = json.loads(stream.headers()["resource"])
            calling = Background(raw.call, raw.uuid("storage"), "write", handle, timeout=120)
            for _ in range(8 * MIB // 32768):
                stream.send(payload(32768, "x"))
            exporter.program.wait_line("writing a plain image")
            if how == "ejected":
                stick.eject()
            else:
                stick.gadget.unplug()
            for _ in range(8 * MIB // 32768):
                stream.send(payload(32768, "y"))
            stream.goaway()
            error = failure(lambda: calling.result(120))
        assert re.search("has gone while it was being written|cannot be written at byte", error.details()), error
        exporter.program.wait_line("switched back to the board, where it was")
        raw.call(raw.uuid("power"), "on")       # and the exporter goes on


@contextlib.contextmanager
def mapped(name, table):
    """A device of the device mapper."""
    subprocess.run(["dmsetup", "create", name, "--noudevsync", "--noudevrules"], input=table, text=True, check=True, timeout=60)
    try:
        subprocess.run(["dmsetup", "mknodes", name], check=True, timeout=60)
        path = Path("/dev/mapper") / name
        path.chmod(0o666)
        yield path
    finally:
        subprocess.run(["dmsetup", "remove", "--noudevsync", "--noudevrules", "--force", name], timeout=60)


def sectors(size):
    return size // 512


def waits_for_a_device(program):
    """Whether a thread is in the kernel and cannot be interrupted."""
    stats = [task.read_text() for pid in descendants(program.pid) for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return any(stat.rpartition(")")[2].split()[0] == "D" for stat in stats)


@pytest.fixture
def lower(hardware):
    path = medium(hardware.directory / "lower", 16 * MIB)
    with loop_device(path) as device:
        assert device, "no loop device, as root?"
        yield device


def test_disk_with_a_bad_place(serve, lower):
    good, bad = sectors(4 * MIB), sectors(MIB)
    rest = sectors(16 * MIB) - good - bad
    table = f"0 {good} linear {lower} 0\n{good} {bad} error\n{good + bad} {rest} linear {lower} {good + bad}\n"
    with mapped("bad", table) as disk:
        exporter = serve({**muxed(disk), **flasher(disk)})
        with Raw(exporter.endpoint) as raw:
            raw.call(raw.uuid("storage"), "dut")
            image = payload(8 * MIB, "image")
            error = failure(lambda: upload(raw, "storage", image, "write"))
            assert "cannot be written at byte 4194304: Input/output error" in error.details(), error
            exporter.program.wait_line("switched back to the board, where it was", timeout=60)
            upload(raw, "disk", image[:3 * MIB])                    # before the bad place all is well
            with Duplex(raw, resource_request(raw.uuid("disk")), timeout=120) as stream:
                handle = json.loads(stream.headers()["resource"])
                stream.goaway()
                calling = Background(raw.call, raw.uuid("disk"), "dump", handle, None, timeout=120)
                stream.read_to_end()
                error = failure(lambda: calling.result(120))
                assert "cannot be read at byte 4194304: Input/output error" in error.details(), error


def test_disk_that_writes_something_else(serve, lower):
    """A card that says yes and forgets: only reading back tells."""
    table = f"0 {sectors(16 * MIB)} flakey {lower} 0 0 3600 1 drop_writes\n"
    with mapped("forgetful", table) as disk:
        exporter = serve({"trusting": flasher(disk)["disk"], "careful": flasher(disk, verify=True)["disk"]})
        with Raw(exporter.endpoint) as raw:
            upload(raw, "trusting", IMAGE)
            error = failure(lambda: upload(raw, "careful", IMAGE))
            assert "does not hold what was written" in error.details(), error


def test_others_do_not_wait_for_a_slow_disk(serve, lower):
    with mapped("slow", f"0 {sectors(16 * MIB)} delay {lower} 0 1500\n") as disk:
        exporter = serve({**flasher(disk), "power": exporters.driver(exporters.POWER)})
        with Raw(exporter.endpoint) as raw:
            calling, calls = Background(upload, raw, "disk", IMAGE), 0
            while calling.is_alive():
                raw.call(raw.uuid("power"), "on", timeout=20)
                calls += 1
            calling.result()
            assert calls > 10


def test_disk_that_hangs_keeps_nobody(serve, lower):
    """Whoever gives up is let go, the board gets its medium back, and the disk is served again once it comes to itself."""
    with mapped("hanging", f"0 {sectors(16 * MIB)} linear {lower} 0\n") as disk:
        exporter = serve({**muxed(disk), "other": exporters.driver(exporters.POWER)})
        try:
            with Raw(exporter.endpoint) as raw:
                for switch in ("dut", "host"):
                    raw.call(raw.uuid("storage"), switch)
                stream = Duplex(raw, resource_request(raw.uuid("storage")), timeout=120)
                handle = json.loads(stream.headers()["resource"])
                calling = Background(raw.call, raw.uuid("storage"), "write", handle, timeout=120)
                for _ in range(MIB // 32768):
                    stream.send(payload(32768, "x"))
                exporter.program.wait_line("writing a plain image", timeout=60)
                subprocess.run(["dmsetup", "suspend", "--noudevsync", "hanging"], check=True, timeout=60)
                for _ in range(10 * MIB // 32768):
                    stream.send(payload(32768, "y"))
                wait_until(lambda: waits_for_a_device(exporter.program), 60, "nothing waits for the disk")
                raw.call(raw.uuid("other"), "on", timeout=60)
            assert failure(lambda: calling.result(60))
            exporter.program.wait_line("switched back to the board, where it was", timeout=60)
        finally:
            subprocess.run(["dmsetup", "resume", "--noudevsync", "hanging"], check=True, timeout=60)
        with Raw(exporter.endpoint) as raw:
            upload(raw, "storage", IMAGE, "write")
        assert content(disk, len(IMAGE)) == digest(IMAGE)


def test_disk_that_a_volume_stands_on(serve, lower):
    with mapped("volume", f"0 {sectors(MIB)} linear {lower} 0\n"):
        exporter = serve(flasher(lower, storage_timeout=1))
        with Raw(exporter.endpoint) as raw:
            error = failure(lambda: upload(raw, "disk", IMAGE))
            assert "stands on it" in error.details(), error


def test_sdwire_moves_its_card(hardware, serve):
    card = hardware.storage(size=16 * MIB)
    wire = hardware.program("lab-sdwire", "sdw-1")
    exporter = serve({"storage": {"type": "jumpstarter_driver_sdwire.driver.SDWire",
                                  "config": {"serial": "sdw-1", "storage_device": str(card.disk)}}})
    with Raw(exporter.endpoint) as raw:
        for switch, said in (("host", "host"), ("dut", "dut"), ("off", "host"), ("dut", "dut")):
            mark = wire.program.mark()
            raw.call(raw.uuid("storage"), switch)
            wire.program.wait_line(f"^{said}$", since=mark)
        mark = wire.program.mark()
        upload(raw, "storage", IMAGE, "write")
        wire.program.wait_line("^host$", since=mark)
        assert content(card.image, len(IMAGE)) == digest(IMAGE)
        wire.unplug()
        error = failure(lambda: raw.call(raw.uuid("storage"), "dut"))
        assert "no SDWire with serial number sdw-1" in error.details() or "gone" in error.details(), error
        wire.plug()
        wait_until(lambda: not isinstance(attempt(raw), Exception), 60, "the SDWire does not come back")


def test_sdwire_of_the_second_generation_is_a_reader_that_lets_go(hardware, serve):
    card = hardware.storage(size=16 * MIB, vid=0x0bda, pid=0x0316, serial="sdw-3")
    hardware.serial(serial="other")
    exporter = serve({"storage": {"type": "jumpstarter_driver_sdwire.driver.SDWire", "config": {"serial": "sdw-3"}}})
    with Raw(exporter.endpoint) as raw:
        def switch(where):
            raw.call(raw.uuid("storage"), where)
            wait_until(lambda: bool(card.host("*:*/host*/target*/*/block/sd*")) == (where != "dut"), 60,
                       f"the card does not go to {where}")

        for where in ("dut", "host", "dut", "off", "dut"):
            switch(where)
        upload(raw, "storage", IMAGE, "write")
        assert content(card.image, len(IMAGE)) == digest(IMAGE)
        switch("dut")


def test_dutlink_switches_power_and_storage(hardware, serve):
    card, console = hardware.storage(size=16 * MIB), hardware.serial()
    board = hardware.program("lab-dutlink", "dl-1")
    exporter = serve({"board": {"type": "jumpstarter_driver_dutlink.driver.Dutlink",
                                "config": {"serial": "dl-1", "storage_device": str(card.disk),
                                           "alternate_console": str(console.tty)}}})
    with Raw(exporter.endpoint) as raw:
        for device, method, said in (("power", "on", "power 1"), ("power", "off", "power 0"), ("power", "rescue", "power 4"),
                                     ("storage", "dut", "storage 2"), ("storage", "off", "storage 0"),
                                     ("storage", "host", "storage 1")):
            mark = board.program.mark()
            raw.call(raw.uuid(f"board.{device}"), method)
            board.program.wait_line(f"^{said}$", since=mark)
        raw.call(raw.uuid("board.power"), "on")
        mark = board.program.mark()
        raw.call(raw.uuid("board.power"), "on")         # the same again is not sent
        raw.call(raw.uuid("board.storage"), "host")
        board.program.wait_line("^storage 1$", since=mark)
        assert "power" not in board.program.output(since=mark)
        board.unplug()
        board.plug()                                    # it has forgotten everything
        raw.call(raw.uuid("board.power"), "on")
        board.program.wait_line("^power 1$")
        reading = next(iter(raw.items(raw.uuid("board.power"), "read")))
        assert "5.02" in str(reading) and "0.31" in str(reading)
        upload(raw, "board.storage", IMAGE, "write")
        assert content(card.image, len(IMAGE)) == digest(IMAGE)
        wires = console.wires()
        with Duplex(raw, driver_request(raw.uuid("board.console")), timeout=60) as stream:
            stream.headers()
            stream.send(b"hello board\n")
            wires.expect(b"hello board\n")
            raw.call(raw.uuid("board.console"), "set_dtr", False)
            raw.call(raw.uuid("board.console"), "close")
            assert stream.read_to_end()[0] == b""
        wires.close()


def attempt(raw):
    try:
        return raw.call(raw.uuid("storage"), "dut")
    except Exception as error:
        return error


def test_this_machine_as_a_stick(hardware, place):
    """As root, for configfs is root's."""
    image = medium(place.root / "stick.img", 16 * MIB)
    port = next(hardware.ports)
    config = {"storage": {"type": "usb-stick", "config": {"storage_device": str(image), "udc": f"dummy_udc.{port}"}}}
    run = hardware.directory / "run"        # root's own, the agent's user has the place's
    run.mkdir(mode=0o700)
    exporter = exporters.start_direct("native", place, "/run/built", exporters.config(config),
                                      env={"XDG_RUNTIME_DIR": str(run)})
    try:
        with Raw(exporter.endpoint) as raw:
            upload(raw, "storage", IMAGE, "write")
            raw.call(raw.uuid("storage"), "dut", timeout=60)
            pattern = f"dummy_hcd.{port}/usb*/[0-9]*-1/*:*/host*/target*/*/block/sd*"
            found = wait_until(lambda: [p.name for p in Path("/sys/devices/platform").glob(pattern)], 60, "no stick appears")
            assert content(Path("/dev") / found[0], len(IMAGE)) == digest(IMAGE)
            raw.call(raw.uuid("storage"), "host", timeout=60)
            wait_until(lambda: not list(Path("/sys/devices/platform").glob(pattern)), 60, "the stick does not go")
            upload(raw, "storage", IMAGE[::-1], "write")
        assert content(image, len(IMAGE)) == digest(IMAGE[::-1])
    finally:
        assert exporter.stop() == 0
        exporter.program.forget()
