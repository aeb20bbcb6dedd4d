# SPDX-License-Identifier: Apache-2.0
"""The guest's side of usbredir, packet by packet: what a virtual machine does, but where a test can look at each of them."""

import queue
import socket
import struct
import threading

HELLO, DEVICE_CONNECT, SET_CONFIGURATION, CONFIGURATION_STATUS, SET_SETTING, SETTING_STATUS = 0, 1, 6, 8, 9, 11
START_STREAM, STOP_STREAM, STREAM_STATUS, ISO_PACKET = 12, 13, 14, 102
SUCCESS = 0
CAPABILITIES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6    # device version, packet sizes, 64-bit ids, 32-bit lengths


class RedirGuest:
    """A device that the server at a local port gives away."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
        # Until both have said that they know longer ones, the number in a header has 32 bits.
        self.socket.sendall(struct.pack("<III64sI", HELLO, 68, 0, b"test", CAPABILITIES))
        kind, size, _ = struct.unpack("<III", self._read(12))
        assert kind == HELLO and struct.unpack("<64sI", self._read(size)[:68])[1] & CAPABILITIES == CAPABILITIES
        self.socket.settimeout(None)
        self.said = queue.Queue()       # but for isochronous packets: what kind, what
        self.sound = bytearray()        # that came in those
        self.more = threading.Condition()
        self.failed = []                # the statuses of those that brought none
        self.sizes = set()
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()
        self.expect(DEVICE_CONNECT)

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError(f"the connection ended after {len(data)} of {size} bytes")
            data += part
        return data

    def _listen(self):
        try:
            while True:
                kind, size, _ = struct.unpack("<IIQ", self._read(16))
                body = self._read(size)
                if kind != ISO_PACKET:
                    self.said.put((kind, body))
                    continue
                _, status, length = struct.unpack("<BBH", body[:4])
                assert length == len(body) - 4
                with self.more:
                    self.sizes.add(length)
                    self.sound += body[4:]
                    if status != SUCCESS:
                        self.failed.append(status)
                    self.more.notify_all()
        except (OSError, EOFError):
            pass

    def send(self, kind, *what):
        """`what`: the fields of the packet's own header, a byte each."""
        self.socket.sendall(struct.pack("<IIQ", kind, len(what), 0) + bytes(what))

    def expect(self, kind, timeout=60):
        """What the next packet of that kind says; others before it are let go."""
        while True:
            try:
                found, body = self.said.get(timeout=timeout)
            except queue.Empty:
                raise AssertionError(f"no packet of type {kind} came within {timeout} s") from None
            if found == kind:
                return body

    def configure(self, configuration):
        self.send(SET_CONFIGURATION, configuration)
        assert self.expect(CONFIGURATION_STATUS) == bytes((SUCCESS, configuration))

    def set_interface(self, interface, setting):
        self.send(SET_SETTING, interface, setting)
        assert self.expect(SETTING_STATUS) == bytes((SUCCESS, interface, setting))

    def start_stream(self, endpoint, packets, transfers):
        """Packets of a transfer, and transfers that the server has for the endpoint."""
        self.send(START_STREAM, endpoint, packets, transfers)
        assert self.expect(STREAM_STATUS) == bytes((SUCCESS, endpoint))

    def stop_stream(self, endpoint):
        self.send(STOP_STREAM, endpoint)
        assert self.expect(STREAM_STATUS) == bytes((SUCCESS, endpoint))

    def send_packets(self, endpoint, data, size):
        """All of the data at once, in packets of that size."""
        self.socket.sendall(b"".join(
            struct.pack("<IIQBBH", ISO_PACKET, 4 + len(part), 0, endpoint, SUCCESS, len(part)) + part
            for part in (data[at:at + size] for at in range(0, len(data), size))))

    def wait_sound(self, size, timeout):
        """Until so many bytes have come in all. Whether they did."""
        with self.more:
            return self.more.wait_for(lambda: len(self.sound) >= size, timeout)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join(60)
        self.socket.close()
