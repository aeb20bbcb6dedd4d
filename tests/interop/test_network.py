# SPDX-License-Identifier: Apache-2.0
"""Network drivers: port forwarding with many connections, datagrams, half-closed connections, refusals."""

import asyncio
import hashlib
import re
import socket
import struct
import threading

import anyio
import pytest
from harness import exporter as exporters
from harness.background import Background
from harness.board import payload
from harness.place import BIN
from harness.program import Program, wait_until
from harness.stock import EMPTY, Duplex, Raw, driver_request


class Forward(Program):
    """`j DRIVER forward-tcp`, listening; `address` is where."""

    def __init__(self, env, driver="net", port=0):
        super().__init__([BIN / "j", driver, "forward-tcp", "--address", "127.0.0.1", port], env=env, name="forward")
        found = self.wait_line(r"^(?:\[(.+)\]|([\d.]+)):(\d+)$")
        self.address = (found[1] or found[2], int(found[3]))


async def exchange(address, data):
    """Sends, closes its direction, and reads until the other side has closed."""
    reader, writer = await asyncio.open_connection(*address)

    async def send():
        for at in range(0, len(data), 16384):
            writer.write(data[at:at + 16384])
            await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    got = await reader.read(-1)
    await sending
    writer.close()
    return hashlib.sha256(got).hexdigest() == hashlib.sha256(data).hexdigest(), len(got)


def test_hundred_connections_through_one_forward(j, board):
    forward = Forward(j)
    before = board.tcp.accepted

    async def everyone():
        return await asyncio.wait_for(asyncio.gather(*(
            exchange(forward.address, payload(65536 + 17 * number, number)) for number in range(100))), 60)

    results = asyncio.run(everyone())
    assert [n for n, (same, _) in enumerate(results) if not same] == [], results
    assert board.tcp.accepted - before == 100
    wait_until(lambda: board.tcp.open == 0, 20, lambda: f"{board.tcp.open} connections to the board stay open")
    forward.interrupt_until_gone()


def test_ten_mebibytes_through_a_forward(j):
    forward = Forward(j)
    same, size = asyncio.run(asyncio.wait_for(exchange(forward.address, payload(10 << 20, "forward")), 60))
    assert same, f"{size} bytes came back"
    forward.interrupt_until_gone()


def test_forward_on_a_unix_socket(j, place):
    path = place.run / "fwd.sock"
    forward = Program([BIN / "j", "unix", "forward-unix", path], env=j, name="forward")
    forward.wait_line(re.escape(str(path)))
    data = payload(1 << 20, "unix")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(str(path))
        sending = Background(lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        got = b""
        while chunk := s.recv(65536):
            got += chunk
        sending.result()
    assert got == data
    forward.interrupt_until_gone()


@pytest.mark.native(reason="it leaves the local connection open for ever")
def test_forward_to_a_closed_port_hangs_up(j):
    forward = Forward(j, "refused")
    for _ in range(3):
        with socket.create_connection(forward.address, 10) as s:
            s.settimeout(10)
            try:
                s.sendall(b"anyone there?")
                assert s.recv(1) == b""
            except (ConnectionResetError, BrokenPipeError):
                pass
    forward.interrupt_until_gone()


class TestPythonClient:
    @pytest.mark.parametrize("driver", ["net", "unix", "echo"])
    def test_ten_mebibytes_come_back(self, root, driver):
        data = payload(10 << 20, driver)
        with root.children[driver].stream() as stream:
            sending = Background(lambda: [stream.send(data[at:at + 65536]) for at in range(0, len(data), 65536)])
            got = bytearray()
            while len(got) < len(data):
                got += stream.receive()
            sending.result()
        assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()

    def test_refused_connection_is_an_error_or_an_end(self, root):
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            with root.children["refused"].stream() as stream:
                while True:
                    stream.receive()

    @pytest.mark.parametrize("driver", ["net", "unix"])
    def test_half_close_reaches_the_board_and_its_end_comes_back(self, root, driver):
        with root.children[driver].stream() as stream:
            stream.send(b"the last word")
            root.portal.call(stream.stream.send_eof)
            got = b""
            with pytest.raises(anyio.EndOfStream):
                while True:
                    got += stream.receive()
            assert got == b"the last word"


class TestFrames:
    def test_headers_come_before_any_byte(self, raw):
        for name in ("net", "udp", "unix", "echo"):
            with Duplex(raw, driver_request(raw.uuid(name)), timeout=10) as stream:
                stream.headers()

    def test_datagrams_keep_their_boundaries(self, raw, board):
        sizes = [1, 2, 100, 1472, 1473, 4096, 9000, 32768, 60000, 3]
        first = len(board.udp.got)
        with Duplex(raw, driver_request(raw.uuid("udp"))) as stream:
            stream.headers()
            for number, size in enumerate(sizes):
                stream.send(payload(size, number))
                answer = stream.receive().payload
                assert struct.unpack("!II", answer[:8]) == (first + number, size)
                assert answer[8:] == payload(size, number)

    def test_datagrams_in_a_row_are_not_merged(self, raw, board):
        with Duplex(raw, driver_request(raw.uuid("udp"))) as stream:
            stream.headers()
            for number in range(50):
                stream.send(b"%d" % number)
            answers = [stream.receive().payload for _ in range(50)]
        assert [a[8:] for a in answers] == [b"%d" % n for n in range(50)]

    @pytest.mark.parametrize("name", ["net", "unix", "echo"])
    def test_goaway_ends_one_direction_and_is_answered(self, raw, name):
        with Duplex(raw, driver_request(raw.uuid(name)), timeout=20) as stream:
            stream.headers()
            stream.send(b"bye")
            stream.goaway()
            data, how = stream.read_to_end()
            assert (data, how) == (b"bye", "goaway")

    @pytest.mark.parametrize("name", ["net", "unix", "echo"])
    def test_half_close_counts_as_goaway(self, raw, name):
        with Duplex(raw, driver_request(raw.uuid(name)), timeout=20) as stream:
            stream.headers()
            stream.send(b"bye")
            stream.half_close()
            data, how = stream.read_to_end()
            assert data == b"bye" and how in ("goaway", "end")

    def test_both_ends_finished_is_ok_or_stays_open(self, raw):
        """Never an error: a client that waits for the status must not be told that something went wrong."""
        with Duplex(raw, driver_request(raw.uuid("net")), timeout=3) as stream:
            stream.headers()
            stream.goaway()
            stream.half_close()
            assert stream.read_to_end() == (b"", "goaway")
            try:
                assert stream.receive() is None
            except Exception as error:
                assert error.code().name == "DEADLINE_EXCEEDED", error

    def test_empty_frames_are_no_data(self, raw):
        with Duplex(raw, driver_request(raw.uuid("net")), timeout=20) as stream:
            for data in (b"", b"a", b"", b"b", b""):
                stream.send(data)
            assert stream.read(2) == b"ab"

    def test_board_that_hangs_up_ends_the_stream_after_its_last_byte(self, serve):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            exporter = serve({"net": exporters.driver(exporters.TCP, host="127.0.0.1",
                                                      port=listener.getsockname()[1])})
            with Raw(exporter.endpoint) as raw, Duplex(raw, driver_request(raw.uuid("net")), timeout=20) as stream:
                connection, _ = listener.accept()
                connection.sendall(payload(300_000, "bye"))
                connection.close()
                assert stream.read_to_end() == (payload(300_000, "bye"), "goaway")

    @pytest.mark.native(reason="the stock exporter says nothing of it")
    def test_board_that_breaks_off_is_an_end_and_a_line_in_the_log(self, serve):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            exporter = serve({"net": exporters.driver(exporters.TCP, host="127.0.0.1", port=listener.getsockname()[1])})
            with Raw(exporter.endpoint) as raw, Duplex(raw, driver_request(raw.uuid("net")), timeout=20) as stream:
                stream.headers()
                connection, _ = listener.accept()
                connection.sendall(b"so far")
                assert stream.read(6) == b"so far"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()      # with RST
                assert stream.read_to_end() == (b"", "goaway")
                stream.goaway()
                for record in raw.exporter.LogStream(EMPTY, timeout=20, metadata=raw.metadata):
                    if "broke it off" in record.message:
                        break
                assert record.severity == "WARNING" and "Connection reset by peer" in record.message

    def test_dropped_stream_closes_the_connection_to_the_board(self, raw, board):
        wait_until(lambda: board.tcp.open == 0, 10, "a connection of an earlier test to the board stays open")
        with Duplex(raw, driver_request(raw.uuid("net")), timeout=20) as stream:
            stream.send(b"x")
            assert stream.read(1) == b"x"
            assert board.tcp.open == 1
        wait_until(lambda: board.tcp.open == 0, 10, "the connection to the board stays open")

    def test_board_that_does_not_read_holds_back_the_client_only(self, serve):
        """16 MiB into a connection nobody reads: neither memory nor other calls may suffer."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            exporter = serve({"net": exporters.driver(exporters.TCP, host="127.0.0.1",
                                                      port=listener.getsockname()[1]),
                              "power": exporters.driver(exporters.POWER)})
            with Raw(exporter.endpoint) as raw, Raw(exporter.endpoint) as other:
                with Duplex(raw, driver_request(raw.uuid("net")), timeout=60) as stream:
                    stream.headers()
                    connection, _ = listener.accept()
                    data = payload(16 << 20, "stuck")
                    for at in range(0, len(data), 65536):
                        stream.send(data[at:at + 65536])
                    other.call(other.uuid("power"), "on", timeout=5)
                    raw.call(raw.uuid("power"), "on", timeout=5)
                    if exporter.native:
                        assert resident(exporter.program.pid) < 64 << 20
                    got = hashlib.sha256()
                    left = len(data)
                    connection.settimeout(20)
                    while left:
                        chunk = connection.recv(65536)
                        assert chunk, f"{left} bytes are missing"
                        got.update(chunk)
                        left -= len(chunk)
                    assert got.digest() == hashlib.sha256(data).digest()
                    connection.close()


def resident(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")
