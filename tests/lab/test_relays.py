# SPDX-License-Identifier: Apache-2.0
"""Relay boards, played by the test over a HID gadget."""

import os
import select

import pytest
from harness.background import Background
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
