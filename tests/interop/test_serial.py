# SPDX-License-Identifier: Apache-2.0
"""A console: through the command line, through the Python client, frame by frame."""

import gc
import hashlib
import os
import subprocess
import threading
import time

import anyio
import pytest
from harness import exporter as exporters
from harness.background import Background
from harness.board import PtyBoard, payload
from harness.place import BIN
from harness.program import Program, list_fds, wait_until
from harness.stock import Duplex, Raw, client, driver_request
from harness.terminal import Terminal

MIB10 = 10 << 20


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def pty(board, exporter):
    if not exporter.native:
        # it keeps the port of a stream that has ended until that client has gone, and would share out the bytes
        gc.collect()
        wait_until(lambda: board.pty.path not in list_fds(exporter.program.pid), 10, "an old stream has the port")
    board.pty.drain()
    return board.pty


@pytest.fixture
def root(exporter):
    with client(exporter.endpoint) as root:
        yield root


class Pipe(Program):
    """`j DRIVER pipe`, connected: the exporter's board has seen its first line."""

    def __init__(self, env, *options, driver="serial", stdin=subprocess.PIPE):
        super().__init__([BIN / "j", *driver.split(), "pipe", *options], env=env, stdin=stdin, name="j pipe")


def test_pipe_carries_ten_mebibytes_each_way(j, pty, place):
    """Everything at once: the file goes to the board while the board's own ten come the other way."""
    to_board, from_board = payload(MIB10, "to"), payload(MIB10, "from")
    source, target = place.file("to-board", b"go\n" + to_board), place.root / "from-board"
    with open(source, "rb") as stdin:
        pipe = Pipe(j, "-o", target, stdin=stdin)
    pty.expect(b"go\n")
    writing = Background(pty.write, from_board)
    assert digest(pty.read(MIB10)) == digest(to_board)
    writing.result()
    wait_until(lambda: target.stat().st_size >= MIB10, 60,
               lambda: f"{target.stat().st_size} of {MIB10} bytes came from the board\n{pipe.tail()}")
    assert digest(target.read_bytes()) == digest(from_board)
    pipe.interrupt()
    pipe.wait()


@pytest.mark.direct(reason="the client hangs up on its own bytes that are still in the tunnel")
def test_pipe_without_output_ends_when_its_input_does(j, pty, place):
    # one read of the client's: it resets its stream right after the last one, and what the exporter has not taken up
    # by then is dropped by gRPC before anybody sees it
    data = payload(1000, "fire and forget")
    source = place.file("input", data)
    with open(source, "rb") as stdin:
        pipe = Pipe(j, "--no-output", stdin=stdin)
    assert digest(pty.read(len(data))) == digest(data)
    assert pipe.wait() == 0, pipe.tail()


def test_pipe_keeps_listening_after_its_input_has_ended(j, pty):
    pipe = Pipe(j)
    pipe.process.stdin.write(b"question\n")
    pipe.process.stdin.close()
    pty.expect(b"question\n")
    pty.write(b"first\n")
    pipe.wait_line("^first$")
    pty.write(b"second\n")
    pipe.wait_line("^second$")
    pipe.interrupt()
    pipe.wait()


class Console(Terminal):
    """`j DRIVER start-console`, raw once its stream is up: only then do keys reach the board as they are."""

    def __init__(self, env, driver="serial"):
        super().__init__([BIN / "j", driver, "start-console"], env=env)
        self.expect("exit with CTRL.B x 3 times")
        self.wait_raw()

    def leave(self):
        self.send("\x02\x02\x02")
        assert self.wait() == 0, self.before


def test_console_is_a_raw_terminal(j, pty):
    with Console(j) as console:
        console.send("ls\r")
        pty.expect(b"ls\r")
        pty.write(b"file one\r\nfile two\r\n# ")
        console.expect_exact("file one\r\nfile two\r\n# ")
        console.send("\x03\x1a\x1c\x04\x7f\x00")       # what would be signals and end of file elsewhere
        pty.expect(b"\x03\x1a\x1c\x04\x7f\x00")
        console.send("\x02\x02x")                      # two are not three
        pty.expect(b"\x02\x02x")
        console.leave()


def test_console_of_a_loop_shows_what_is_typed(j):
    with Console(j, "loop") as console:
        console.send("echo\r\n")
        console.expect_exact("echo\r\n")
        console.leave()


@pytest.mark.native(reason="two consoles steal each other's bytes")
def test_two_consoles_at_once(j, pty):
    with Console(j) as one, Console(j) as two:
        for number, console in enumerate((one, two)):
            console.send(b"%d\r" % number)
            pty.expect(b"%d\r" % number)
        pty.write(b"for both\r\n")
        for console in (one, two):
            console.expect_exact("for both\r\n")
        one.leave()
        pty.write(b"for the other\r\n")
        two.expect_exact("for the other\r\n")
        two.leave()


class TestPythonClient:
    def test_ten_mebibytes_to_the_board(self, pty, root):
        data = payload(MIB10, "api to")
        reading = Background(pty.read, MIB10)
        with root.children["serial"].stream() as stream:
            for at in range(0, MIB10, 65536):
                stream.send(data[at:at + 65536])
            assert digest(reading.result()) == digest(data)

    def test_ten_mebibytes_from_the_board(self, pty, root):
        data = payload(MIB10, "api from")
        with root.children["serial"].stream() as stream:
            stream.send(b"go")
            pty.expect(b"go")
            writing = Background(pty.write, data)
            got = bytearray()
            while len(got) < MIB10:
                got += stream.receive()
            writing.result()
        assert digest(got) == digest(data)

    def test_loop_gives_back_one_mebibyte(self, root):
        data = payload(1 << 20, "loop")
        with root.children["loop"].stream() as stream:
            sending = Background(lambda: [stream.send(data[at:at + 4096]) for at in range(0, len(data), 4096)])
            got = bytearray()
            while len(got) < len(data):
                got += stream.receive()
            sending.result()
        assert digest(got) == digest(data)

    def test_expect(self, pty, root):
        with root.children["serial"].pexpect() as session:
            session.send("root\n")
            pty.expect(b"root\n")
            pty.write(b"Password: ")
            session.expect_exact("Password: ", timeout=10)

    def test_close_ends_the_stream(self, pty, root):
        serial = root.children["serial"]
        with serial.stream() as stream:
            stream.send(b"x")
            pty.expect(b"x")
            serial.call("close")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                while True:
                    stream.receive()
        with serial.stream() as stream:
            stream.send(b"again")
            pty.expect(b"again")

    def test_close_of_an_idle_port_is_nothing(self, root):
        assert root.children["serial"].call("close") is None

    @pytest.mark.native(reason="two consoles steal each other's bytes")
    def test_two_consoles_both_see_all(self, exporter, pty):
        size = 2 << 20
        data = payload(size, "both")

        def view(number, ready):
            with client(exporter.endpoint) as root, root.children["serial"].stream() as stream:
                stream.send(b"ready%d\n" % number)
                ready.wait(20)
                got = bytearray()
                while len(got) < size:
                    got += stream.receive()
                return digest(got)

        ready = threading.Event()
        viewers = [Background(view, number, ready) for number in (1, 2)]
        seen = pty.read(14)
        assert sorted(seen.split(b"\n")) == [b"", b"ready1", b"ready2"]
        ready.set()
        pty.write(data, rate=4 << 20)
        assert [v.result() for v in viewers] == [digest(data)] * 2

    @pytest.mark.native(reason="two consoles steal each other's bytes")
    def test_two_consoles_both_write(self, exporter, pty):
        def write(letter):
            with client(exporter.endpoint) as root, root.children["serial"].stream() as stream:
                for _ in range(256):
                    stream.send(letter * 64)
                assert stream.receive() == b"!"

        writers = [Background(write, letter) for letter in (b"a", b"b")]
        got = pty.read(2 * 256 * 64)
        assert got.count(b"a") == got.count(b"b") == 256 * 64
        pty.write(b"!")
        for writer in writers:
            writer.result()


class TestFrames:
    @pytest.fixture
    def request_(self, raw):
        return driver_request(raw.uuid("serial"))

    def test_headers_come_before_any_byte(self, raw, request_, pty):
        with Duplex(raw, request_, timeout=10) as stream:
            started = time.monotonic()
            stream.headers()
            assert time.monotonic() - started < 2

    def test_first_byte_comes_at_once(self, raw, request_, pty):
        with Duplex(raw, request_, timeout=20) as stream:
            stream.headers()
            for letter in (b"a", b"b", b"c"):
                stream.send(letter)
                pty.expect(letter)
                pty.write(letter)
                assert stream.read(1) == letter

    def test_goaway_of_the_client_does_not_end_the_boards_direction(self, raw, request_, pty):
        with Duplex(raw, request_, timeout=20) as stream:
            stream.send(b"last words")
            stream.goaway()
            stream.half_close()
            pty.expect(b"last words")
            for text in (b"still", b"here"):
                pty.write(text)
                assert stream.read(len(text)) == text

    def test_empty_and_unknown_frames_are_no_data(self, raw, request_, pty):
        with Duplex(raw, request_, timeout=20) as stream:
            stream.send(b"")
            stream.send(b"", kind=6)        # PING
            stream.send(b"", kind=3)        # RST_STREAM, which nobody sends
            stream.send(b"", kind=99)
            stream.send(b"end")
            assert pty.expect(b"end") == b"end"

    def test_cancel_releases_the_port(self, raw, request_, pty, exporter):
        for _ in range(10):
            with Duplex(raw, request_, timeout=20) as stream:
                stream.headers()
                stream.send(b".")
                pty.expect(b".")

    def test_close_is_a_goaway(self, raw, request_, pty):
        with Duplex(raw, request_, timeout=20) as stream:
            stream.send(b"x")
            pty.expect(b"x")
            raw.call(request_["uuid"], "close")
            data, how = stream.read_to_end()
            assert (data, how) == (b"", "goaway")

    def test_loop_is_for_each_connection(self, raw):
        request = driver_request(raw.uuid("loop"))
        with Duplex(raw, request, timeout=20) as one, Duplex(raw, request, timeout=20) as two:
            one.headers(), two.headers()
            one.send(b"one")
            assert one.read(3) == b"one"
            two.send(b"two")
            assert two.read(3) == b"two"


def test_characters_per_second(serve):
    board = PtyBoard()
    try:
        exporter = serve({"slow": exporters.driver(exporters.SERIAL, url=board.path, cps=100)})
        with Raw(exporter.endpoint) as raw, Duplex(raw, driver_request(raw.uuid("slow"))) as stream:
            stream.headers()
            stream.send(b"x")
            board.expect(b"x")
            started = time.monotonic()
            stream.send(b"0123456789" * 3)
            assert board.read(30) == b"0123456789" * 3
            assert 0.25 < time.monotonic() - started < 2
    finally:
        board.close()


def test_missing_port_harms_no_other_driver(serve, place):
    exporter = serve({"gone": exporters.driver(exporters.SERIAL, url=str(place.root / "no-tty"), check_present=False),
                      "power": exporters.driver(exporters.POWER)})
    with Raw(exporter.endpoint) as raw:
        tree = raw.tree()
        with Duplex(raw, driver_request(tree["gone"].uuid), timeout=10) as stream:
            with pytest.raises(Exception) as caught:
                stream.receive()
            assert not stream.headers()
            if exporter.native:
                assert "no-tty" in caught.value.details(), "it has to say which device is missing"
        raw.call(tree["power"].uuid, "on")


@pytest.mark.native(reason="it checks when it starts, and a port that is lost stays lost")
class TestLostPort:
    def test_port_may_appear_later(self, serve, place):
        link = place.root / "tty-later"
        exporter = serve({"late": exporters.driver(exporters.SERIAL, url=str(link))})
        board = PtyBoard()
        try:
            with Raw(exporter.endpoint) as raw:
                uuid = raw.uuid("late")
                os.symlink(board.path, link)

                def connected():
                    stream = Duplex(raw, driver_request(uuid), timeout=20)
                    stream.call.initial_metadata()
                    stream.send(b"hello")
                    try:
                        board.expect(b"hello", timeout=1)
                        return True
                    except AssertionError:
                        return False
                    finally:
                        stream.__exit__()

                wait_until(connected, 40, "the port is there but not used")
        finally:
            board.close()

    def test_stream_survives_its_port(self, serve, place):
        link = place.root / "tty-flaky"
        first = PtyBoard()
        os.symlink(first.path, link)
        exporter = serve({"flaky": exporters.driver(exporters.SERIAL, url=str(link))})
        with Raw(exporter.endpoint) as raw, Duplex(raw, driver_request(raw.uuid("flaky")), timeout=60) as stream:
            stream.headers()
            stream.send(b"before")
            first.expect(b"before")
            first.write(b"one")
            assert stream.read(3) == b"one"
            link.unlink()
            first.close()
            second = PtyBoard()
            try:
                os.symlink(second.path, link)
                # what is said into a dead port may be lost; the stream is not
                writing = threading.Event()

                def knock():
                    while not writing.wait(0.2):
                        stream.send(b".")

                knocking = Background(knock)
                second.expect(b".", timeout=40)
                writing.set()
                knocking.result()
                second.write(b"two")
                assert stream.read(3) == b"two"
            finally:
                second.close()
