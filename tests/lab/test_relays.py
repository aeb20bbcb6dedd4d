# SPDX-License-Identifier: Apache-2.0
"""Relay boards, played by the test over a HID gadget or a serial port, or by a program."""

import os
import select

import pytest
from click.testing import CliRunner
from harness.background import Background
from harness.exporter import driver
from harness.program import wait_until
from harness.stock import Raw, client

from hardware import Hid


def status(raw, name):
    return raw.call(raw.uuid(name), "status").result.string_value


class HidBoard:
    """What a relay board does with reports: answer(report) gives the reports to send back."""

    def __init__(self, hid, answer):
        self.fd = os.open(hid.board, os.O_RDWR)
        self.answer, self.ended = answer, False
        self.player = Background(self.play)

    def play(self):
        while not self.ended:
            if select.select([self.fd], [], [], 0.2)[0]:
                for part in self.answer(os.read(self.fd, 64)):
                    os.write(self.fd, part)

    def close(self):
        self.ended = True
        self.player.result()
        os.close(self.fd)


def hid_descriptor(size):
    """A vendor's page with one report of so many bytes in each direction."""
    return bytes.fromhex("0600ff0901a101150026ff007508") + bytes([0x95, size]) + bytes.fromhex("09018102") + \
        bytes([0x95, size]) + bytes.fromhex("09019102c0")


def hid_board(hardware, answer, size, raw=True, **how):
    gadget = hardware.usb(plug=False, **how)
    hid = gadget.add(Hid, report=hid_descriptor(size), length=size)
    gadget.plug()
    assert not raw or hid.raw.exists()
    hardware.stack.callback(HidBoard(hid, answer).close)


class YkushBoard:
    """Three ports; commands are answered by themselves, questions by the command that would make it so."""

    def __init__(self):
        self.ports = {1: True, 2: True, 3: True}

    def __call__(self, report):
        what, port = report[0] & 0xf0, report[0] & 0x0f
        if what == 0x20:
            return [bytes([1, (0x10 if self.ports[port] else 0) | port]).ljust(64, b"\0")]
        for each in (self.ports if port == 0x0a else [port]):
            self.ports[each] = what == 0x10
        return [report[:1].ljust(64, b"\0")]


@pytest.mark.direct(reason="exporters of their own")
def test_a_ykush_switches_its_ports(hardware, serve):
    board = YkushBoard()
    hid_board(hardware, board, 64, raw=False, vid=0x04d8, pid=0xf2f7, serial="YK1")
    other = YkushBoard()
    hid_board(hardware, other, 64, raw=False, vid=0x04d8, pid=0xf2f7, serial="YK0")
    ykush = "jumpstarter_driver_yepkit.driver.Ykush"
    exporter = serve({"two": {"type": ykush, "config": {"serial": "YK1", "port": "2", "default": "keep"}},
                      "all": {"type": ykush, "config": {"default": "keep"}}})
    with client(exporter.endpoint) as root:
        root.two.off()
        assert board.ports == {1: True, 2: False, 3: True}
        assert [root.two.call("status"), root.all.call("status")] == ["off", "partial"]
        root.all.off()
        assert board.ports == {1: False, 2: False, 3: False}
        root.two.on()
        assert board.ports == {1: False, 2: True, 3: False} and root.two.call("status") == "on"
    # Of two hubs the first in the order of ports, and whoever named none is told.
    assert other.ports == {1: True, 2: True, 3: True}
    exporter.program.wait_line("there are several devices.*that in port .* is taken")


@pytest.mark.direct(reason="exporters of their own")
def test_a_ykush_goes_off_when_a_lease_begins_unless_told_otherwise(hardware, serve):
    board = YkushBoard()
    hid_board(hardware, board, 64, raw=False, vid=0x04d8, pid=0xf2f7, serial="YK2")
    exporter = serve({"usb": {"type": "jumpstarter_driver_yepkit.driver.Ykush"}})
    with client(exporter.endpoint) as root:
        assert root.usb.call("status") == "off"
    assert board.ports == {1: False, 2: False, 3: False}


@pytest.mark.direct(reason="exporters of their own")
def test_a_noyito_hid_board_switches_its_relays(hardware, serve):
    states = [False] * 4

    def answer(report):
        assert report[0] == 0xa0 and report[3] == sum(report[:3]) & 0xff
        if report[1] == 0x0f:
            text = "".join(f"CH{i + 1}: {'ON' if on else 'OFF'}\n" for i, on in enumerate(states)).encode()
            return [text[at:at + 8].ljust(8, b"\0") for at in range(0, len(text), 8)]
        states[report[1] - 1] = report[2] == 1
        return []

    hid_board(hardware, answer, 8, vid=0x140b, pid=0x07d7)
    noyito = "jumpstarter_driver_noyito_relay.driver.NoyitoPowerHID"
    exporter = serve({"three": {"type": noyito, "config": {"channel": 3}},
                      "all": {"type": noyito, "config": {"all_channels": True}}})
    with Raw(exporter.endpoint) as raw:
        raw.call(raw.uuid("three"), "on")
        assert status(raw, "three") == "on"     # answered after it was switched
        assert states == [False, False, True, False]
        assert status(raw, "all") == "partial"
        raw.call(raw.uuid("all"), "off")
        assert status(raw, "all") == "off" and states == [False] * 4


class SerialBoard:
    """NOYITO's with two channels and LCUS boards: frames of four bytes, and one byte that asks."""

    def __init__(self, port, count):
        self.wires, self.states, self.ended = port.wires(), [False] * count, False
        self.player = Background(self.play)

    def play(self):
        data = b""
        while not self.ended:
            if not select.select([self.wires.master], [], [], 0.2)[0]:
                continue
            data += os.read(self.wires.master, 64)
            while data[:1] == b"\xff" or len(data) >= 4:
                if data[:1] == b"\xff":
                    text = "".join(f"CH{i + 1}: {'ON' if on else 'OFF'}\r\n" for i, on in enumerate(self.states))
                    self.wires.write(text.encode())
                    data = data[1:]
                    continue
                head, channel, state, total = data[:4]
                assert head == 0xa0 and total == sum(data[:3]) & 0xff and state < 2, data
                self.states[channel - 1] = state == 1
                data = data[4:]

    def close(self):
        self.ended = True
        self.player.result()


def noyito_answer(states):
    def answer(report):
        if report[1] == 0x0f:
            text = "".join(f"CH{i + 1}: {'ON' if on else 'OFF'}\n" for i, on in enumerate(states)).encode()
            return [text[at:at + 8].ljust(8, b"\0") for at in range(0, len(text), 8)]
        states[report[1] - 1] = report[2] == 1
        return []
    return answer


def relays_of(program):
    """Of lab-usbrelay: what its two relays are."""
    states = [False] * 2
    for line in program.output().splitlines():
        word, number, state = line.split()
        assert word == "relay"
        states[int(number) - 1] = state == "on"
    return states


@pytest.mark.direct(reason="exporters of their own")
def test_every_board_obeys_the_stock_command(hardware, serve):
    """`j BOARD on|off|cycle|read` and, where the stock client has it, `status`: what `j` runs, in this process."""
    noyito, lcus = hardware.serial(serial="NOYITO"), hardware.serial(serial="LCUS")
    hid, ykush = [False] * 4, YkushBoard()
    ykush.ports = dict.fromkeys(ykush.ports, False)
    hid_board(hardware, noyito_answer(hid), 8, vid=0x140b, pid=0x07d7)
    hid_board(hardware, ykush, 64, raw=False, vid=0x04d8, pid=0xf2f7, serial="YK1")
    one, two = (hardware.program("lab-usbrelay", name, "2") for name in ("AAAAA", "BBBBB"))
    two_ports, four_ports = SerialBoard(noyito, 2), SerialBoard(lcus, 4)
    for board in two_ports, four_ports:
        hardware.stack.callback(board.close)
    stock = "jumpstarter_driver_noyito_relay.driver.NoyitoPower"
    # What each switches, and how all relays of its board are then.
    rows = {
        "noyito-serial": (driver(f"{stock}Serial", port=str(noyito.tty), channel=2), lambda: two_ports.states,
                          [False, True]),
        "noyito-hid": (driver(f"{stock}HID", channel=3), lambda: hid, [False, False, True, False]),
        "lcus": (driver("relay-lcus", port=str(lcus.tty), num_channels=4, channel=4), lambda: four_ports.states,
                 [False] * 3 + [True]),
        "lcus-all": (driver("relay-lcus", port=str(lcus.tty), num_channels=4, all_channels=True), lambda: four_ports.states,
                     [True] * 4),
        "usbrelay": (driver("relay-usbrelay", serial="BBBBB", channel=1), lambda: relays_of(two.program), [True, False]),
        "usbrelay-all": (driver("relay-usbrelay", serial="BBBBB", all_channels=True), lambda: relays_of(two.program),
                         [True, True]),
        "ykush": (driver("jumpstarter_driver_yepkit.driver.Ykush", port="1"), lambda: list(ykush.ports.values()),
                  [True, False, False]),
    }
    exporter = serve({name: row[0] for name, row in rows.items()})
    with client(exporter.endpoint) as root:
        cli = root.cli()

        def j(*words, status=0):
            done = CliRunner().invoke(cli, words)
            assert done.exit_code == status, f"j {' '.join(words)}: {done.output} {done.exception!r}"
            return done.output

        for name, (_, states, on) in rows.items():
            off = [False] * len(on)
            told = name.startswith("noyito")     # the stock client for the others has no such command
            for words, expected in ((["on"], on), (["off"], off), (["cycle", "--wait", "0"], on), (["off"], off)):
                j(name, *words)     # a board that confirms nothing may take its time
                wait_until(lambda: states() == expected, 60, lambda: f"{name} {words}: {states()}")
                if told and words[0] != "cycle":
                    assert j(name, "status").strip() == words[0]
                assert root.children[name].call("status") == ("on" if expected == on else "off")
            assert "measure" in str(CliRunner().invoke(cli, [name, "read"]).exception), name
    assert one.program.output() == ""       # the other board of the same kind


@pytest.mark.direct(reason="exporters of their own")
def test_boards_that_cannot_be_told_apart_or_are_not_there_are_said_so(hardware, serve):
    """Each of them is asked for the name that only its report has."""
    for name in "AAAAA", "BBBBB":
        hardware.program("lab-usbrelay", name, "2")
    exporter = serve({"which": driver("relay-usbrelay"), "none": driver("relay-usbrelay", serial="CCCCC"),
                      "beyond": driver("relay-usbrelay", serial="AAAAA", channel=3)})
    exporter.program.wait_line("several boards 16c0:05df, in ports 1-1 and 2-1")
    exporter.program.wait_line("no board 16c0:05df with serial number CCCCC")
    exporter.program.wait_line("the board has 2 relays, and no relay 3")


@pytest.mark.direct(reason="exporters of their own")
def test_boards_that_wedge_hold_up_nobody(hardware, serve):
    """HID boards that take nothing or answer nothing, an adapter whose board does not listen; all at once."""
    hardware.program("lab-usbrelay", "AAAAA", "2", "wedged")
    deaf = hardware.usb(plug=False, vid=0x140b, pid=0x07d7)
    deaf.add(Hid, report=hid_descriptor(8), length=8)
    deaf.plug()
    mute = hardware.usb(plug=False, vid=0x04d8, pid=0xf2f7, serial="YK1")
    mute.add(Hid, report=hid_descriptor(64), length=64)
    mute.plug()
    lcus = hardware.serial(serial="LCUS")
    exporter = serve({
        "usbrelay": driver("relay-usbrelay", serial="AAAAA"),
        "noyito": driver("jumpstarter_driver_noyito_relay.driver.NoyitoPowerHID", num_channels=8, all_channels=True),
        "ykush": driver("jumpstarter_driver_yepkit.driver.Ykush", default="keep"),
        "lcus": driver("relay-lcus", port=str(lcus.tty), num_channels=4, all_channels=True),
        "other": driver("power-mock")})
    says = {"usbrelay": "does not (answer|take)", "noyito": "does not (answer|take)", "ykush": "does not confirm the command",
            "lcus": "does not take the command"}
    with client(exporter.endpoint) as root:
        waiting = {name: Background(root.children[name].on) for name in says}
        meanwhile = 0
        for call in waiting.values():
            while call.is_alive():
                root.other.on()
                meanwhile += call.is_alive()
                call.join(0.2)
        for name, words in says.items():
            with pytest.raises(Exception, match=words):
                waiting[name].result()
    assert meanwhile, "another device was held up"
    assert exporter.program.alive()
