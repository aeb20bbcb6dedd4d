# SPDX-License-Identifier: Apache-2.0
"""Microcontrollers: a Pico in its boot ROM or on the way there, and the disk of an ST-LINK; the stock client flashes them."""

import contextlib
import pwd
import struct
import subprocess
from pathlib import Path

import pytest
from harness import stock
from harness.background import Background
from harness.board import payload
from harness.exporter import driver
from harness.place import BIN
from harness.program import run, wait_until
from harness.stock import client

from agent_user import AGENT_USER
from hardware import PLUG_TIMEOUT

PICO = "jumpstarter_driver_pi_pico.driver.PiPicoFlasher"
STLINK = "jumpstarter_driver_stlink_msd.driver.StlinkMsdFlasher"
FLASH = 0x10000000


def uf2(data, address=FLASH):
    """A file for an RP2040."""
    pages = [data[at:at + 256].ljust(256, b"\0") for at in range(0, len(data), 256)]
    return b"".join(struct.pack("<8I", 0x0a324655, 0x9e5d5157, 0x2000, address + 256 * i, 256, i, len(pages), 0xe48bff56) +
                    page.ljust(476, b"\0") + struct.pack("<I", 0x0ab16f30) for i, page in enumerate(pages))


@pytest.fixture
def j(place):
    """The stock command against an exporter: j(exporter, "pico", "flash", ...)."""
    return lambda exporter, *words: stock.j(exporter.endpoint, *words, env=place.env)


@pytest.fixture
def pico(hardware):
    """A board whose flash holds something else."""
    flash = hardware.directory / "flash"
    flash.write_bytes(payload(256 * 1024, "old"))
    return hardware.program("lab-pico", flash), flash


def id_of(played):
    device = played.sysfs()
    return device and ":".join((device / name).read_text().strip() for name in ("idVendor", "idProduct"))


def test_a_pico_is_touched_flashed_and_started(serve, place, j, pico):
    board, flash = pico
    tty = board.node("*:*/tty/ttyACM*")
    old, new = flash.read_bytes(), payload(3 * 4096 + 700, "new")
    firmware = place.file("blink.uf2", "")
    firmware.write_bytes(uf2(new))
    exporter = serve({"pico": driver(PICO, touch_port=str(tty), bootloader_wait_seconds=60)})
    done = j(exporter, "pico", "flash", firmware).ok()
    assert "Flash complete" in done.out
    said = board.program.output()
    assert said.index("boot loader") < said.index("reboot") and "refused" not in said
    new = new.ljust(3 * 4096 + 768, b"\0").ljust(4 * 4096, b"\xff")
    assert flash.read_bytes() == new + old[len(new):]       # its sectors, and no other
    exporter.program.wait_line("51 pages written to the flash and read back")
    wait_until(lambda: id_of(board) == "2e8a:000a", PLUG_TIMEOUT, "the firmware does not start")


def test_a_pico_is_touched_through_its_console(serve, place, j, pico):
    """The stock configuration: a serial child, here the console that the agent has open anyway."""
    board, flash = pico
    tty = board.node("*:*/tty/ttyACM*")
    firmware = place.file("blink.uf2", "")
    firmware.write_bytes(uf2(payload(4096, "by its console")))
    exporter = serve({"console": driver("jumpstarter_driver_pyserial.driver.PySerial", url=str(tty)),
                      "pico": {**driver(PICO, bootloader_wait_seconds=60), "children": {"serial": {"ref": "console"}}}})
    j(exporter, "pico", "flash", firmware).ok()
    assert flash.read_bytes()[:4096] == payload(4096, "by its console")
    wait_until(lambda: id_of(board) == "2e8a:000a", PLUG_TIMEOUT, "the firmware does not start")


def test_a_pico_in_its_boot_loader_says_who_it_is_and_refuses_what_does_not_fit(serve, place, j, hardware):
    flash = hardware.directory / "flash"
    board = hardware.program("lab-pico", flash, "boot")
    exporter = serve({"pico": driver(PICO)})
    with client(exporter.endpoint) as root:
        root.pico.enter_bootloader()        # it is there
        assert root.pico.bootloader_info()
    firmware = place.file("large.uf2", "")
    firmware.write_bytes(uf2(payload(8192, "large"), FLASH + 256 * 1024 - 4096))
    done = j(exporter, "pico", "flash", firmware)
    assert done.status != 0 and "the flash cannot be written at 0x10040000" in done.err + done.out, str(done)
    board.program.wait_line("refused: outside of the flash")
    # What went wrong is over with the next attempt.
    firmware.write_bytes(uf2(payload(4096, "small")))
    j(exporter, "pico", "flash", firmware).ok()
    assert flash.read_bytes()[:4096] == payload(4096, "small")


def test_a_boot_loader_that_wedges_is_an_error_and_no_more(serve, place, hardware):
    board = hardware.program("lab-pico", hardware.directory / "flash", "boot", "wedged")
    firmware = place.file("blink.uf2", "")
    firmware.write_bytes(uf2(payload(4096, "new")))
    exporter = serve({"pico": driver(PICO), "other": driver("power-mock")})
    env = {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1"}
    flashing = Background(run, [BIN / "j", "pico", "flash", firmware], env=env, timeout=120)
    board.program.wait_line("^boot loader$", timeout=60)
    with client(exporter.endpoint) as root:
        while flashing.is_alive():
            root.other.on()
            flashing.join(0.2)
    done = flashing.result()
    assert done.status != 0 and "the flash cannot be written at 0x10000000" in done.err + done.out, str(done)
    assert exporter.program.alive()


def test_a_board_that_does_not_start_is_an_error(serve, place, j, hardware):
    """Its boot ROM says yes, but only leaving the bus counts."""
    flash = hardware.directory / "flash"
    board = hardware.program("lab-pico", flash, "boot", "stays")
    firmware = place.file("blink.uf2", "")
    firmware.write_bytes(uf2(payload(4096, "new")))
    exporter = serve({"pico": driver(PICO)})
    done = j(exporter, "pico", "flash", firmware)
    board.program.wait_line("^reboot$")
    assert done.status != 0 and "is still in its boot loader" in done.err + done.out, str(done)
    assert flash.read_bytes()[:4096] == payload(4096, "new")


def obey_buttons(board, chip, bootsel, run):
    """What they do to a Pico, from its side of two lines. Return: whether BOOTSEL was held when it started."""
    wait_until(lambda: chip.value(run), 120, "RUN is not pressed")
    wait_until(lambda: not chip.value(run), 120, "RUN stays pressed")
    held = chip.value(bootsel)      # at once: it is let go a second later
    board.unplug()
    board.arguments = (*board.arguments, "boot") if held else board.arguments
    board.plug()
    return held


def test_a_pico_gets_into_its_boot_loader_by_its_buttons(serve, place, pico, hardware):
    board, flash = pico
    chip = hardware.gpio(lines=8)
    firmware = place.file("blink.uf2", "")
    firmware.write_bytes(uf2(payload(4096, "by buttons")))
    exporter = serve({"pico": {
        "type": PICO, "config": {"bootloader_wait_seconds": 60, "gpio_reset_hold_seconds": 2},
        "children": {name: driver("gpio-output", device=str(chip.path), line=line)
                     for name, line in (("bootsel", 2), ("run", 3))}}})
    with client(exporter.endpoint) as root:
        flashing = Background(root.pico.flash, str(firmware))
        assert obey_buttons(board, chip, bootsel=2, run=3), "RUN was let go without BOOTSEL"
        flashing.result(150)
    assert [chip.value(line) for line in (2, 3)] == [0, 0]
    assert flash.read_bytes()[:4096] == payload(4096, "by buttons")


@contextlib.contextmanager
def mounted(disk, where):
    """As a desktop does it for whoever is logged in: here that is the agent's user."""
    where.mkdir(parents=True)
    user = pwd.getpwnam(AGENT_USER)
    owner = f"uid={user.pw_uid},gid={user.pw_gid}"
    subprocess.run(["mount", "-t", "vfat", "-o", owner, disk, where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


def looked_into(stick, name):
    """What the device itself has got: its disk as it is, through another mount."""
    image = Path("/run/media/image")
    image.mkdir(parents=True, exist_ok=True)
    stick.gadget.unplug()
    subprocess.run(["mount", "-t", "vfat", "-o", "loop,ro", stick.image, image], check=True)
    try:
        return (image / name).read_bytes()
    finally:
        subprocess.run(["umount", image], check=True)


def test_a_pico_whose_disk_alone_is_there_is_flashed_by_that(hardware, serve, place, j):
    """As it is for an exporter that may not use its USB device, or with a boot loader that has no more than a disk."""
    stick = hardware.storage(size=4 << 20, vid=0x239a, pid=0x0051, product="RP2350 Boot")
    disk = stick.disk
    subprocess.run(["mkfs.vfat", "-n", "RP2350", disk], check=True, stdout=subprocess.DEVNULL)
    firmware = place.file("blink.uf2", "")
    firmware.write_bytes(uf2(payload(20_000, "by its disk")))
    exporter = serve({"pico": driver(PICO)})
    with mounted(disk, Path("/run/media/RP2350")) as volume:
        (volume / "INFO_UF2.TXT").write_text("UF2 Bootloader v1.0\r\nModel: Raspberry Pi RP2350\r\nBoard-ID: RP2350\r\n")
        with client(exporter.endpoint) as root:
            assert root.pico.bootloader_info()["Board-ID"] == "RP2350"
        j(exporter, "pico", "flash", firmware).ok()
    assert looked_into(stick, "Firmware.uf2") == firmware.read_bytes()


def test_an_st_link_gets_its_firmware_by_its_disk(hardware, serve, place, build, j):
    stick = hardware.storage(size=4 << 20, vid=0x0483, pid=0x374b, product="STM32 STLink")
    disk = stick.disk
    subprocess.run(["mkfs.vfat", "-n", "NODE_F411RE", disk], check=True, stdout=subprocess.DEVNULL)
    volume = Path("/run/media/NODE_F411RE")
    firmware = place.file("blinky.bin", "")
    firmware.write_bytes(payload(100_000, "firmware"))
    exporter = serve({"stlink": driver(STLINK)})
    assert "no such volume is mounted" in j(exporter, "stlink", "info").err
    with mounted(disk, volume):
        (volume / "DETAILS.TXT").write_text("# DAPLink\r\nVersion: 0221\r\n")
        done = j(exporter, "stlink", "info").ok()
        assert "Version: 0221" in done.out and f"mount_point: {volume}" in done.out
        j(exporter, "stlink", "flash", firmware).ok()
        # Ours gives the file's name along, too: by that an ST-LINK knows what it is.
        run([build / "ctl/jmpctl", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure", "stlink", "flash",
             place.file("blinky.hex", ":00000001FF\n")], env=place.env, timeout=120).ok()
        assert (volume / "blinky.hex").read_text() == ":00000001FF\n"
        done = j(exporter, "stlink", "flash", place.file("blinky.elf", "no"))
        assert done.status != 0 and "not the name of a .bin or .hex file" in done.err
    assert looked_into(stick, "blinky.bin") == payload(100_000, "firmware")
