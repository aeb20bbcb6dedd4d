# SPDX-License-Identifier: Apache-2.0
"""The client's side of USB/IP, transfer by transfer: what the kernel's vhci does, but where a test can look at each answer."""

import socket
import struct
from collections import namedtuple

VERSION, IMPORT, IMPORT_REPLY = 0x0111, 0x8003, 0x0003
SUBMIT, UNLINK, SUBMITTED, UNLINKED = 1, 2, 3, 4
SHORT_NOT_OK = 1

Answer = namedtuple("Answer", "command sequence status data actual")


class Import:
    """An imported device on the USB/IP server at a local port."""

    def __init__(self, port, busid):
        self.socket = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
        self.sequence = 0
        self.reading = {}       # sequence: whether the transfer brings data
        self.socket.sendall(struct.pack(">HHI32s", VERSION, IMPORT, 0, busid.encode()))
        assert struct.unpack(">HHI", self._read(8)) == (VERSION, IMPORT_REPLY, 0)
        description = self._read(312)
        assert description[256:288].rstrip(b"\0").decode() == busid
        self.device = struct.unpack(">II", description[288:296])

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, f"the connection ended after {len(data)} of {size} bytes"
            data += part
        return data

    def _send(self, command, endpoint, rest, data=b""):
        self.sequence += 1
        bus, address = self.device
        self.socket.sendall(struct.pack(">IIIII", command, self.sequence, bus << 16 | address, endpoint >> 7, endpoint & 15) +
                            rest.ljust(28, b"\0") + data)
        return self.sequence

    def submit(self, endpoint, size=0, data=b"", setup=bytes(8), flags=0):
        """`endpoint`: with 0x80 for those that bring data. Returns its number."""
        rest = struct.pack(">IiiiI", flags, size or len(data), 0, -1, 0) + setup
        number = self._send(SUBMIT, endpoint, rest, data)
        self.reading[number] = endpoint >= 0x80
        return number

    def control_in(self, request_type, request, value, index, length, flags=0):
        return self.submit(0x80, length, setup=struct.pack("<BBHHH", request_type, request, value, index, length), flags=flags)

    def unlink(self, number):
        return self._send(UNLINK, 0, struct.pack(">I", number))

    def answer(self):
        command, sequence, _, _, _, status, actual = struct.unpack(">IIIIIii", self._read(28))
        self._read(20)
        data = self._read(actual) if command == SUBMITTED and self.reading[sequence] else b""
        return Answer(command, sequence, status, data, actual if command == SUBMITTED else 0)

    def close(self):
        self.socket.close()
