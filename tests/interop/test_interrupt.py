# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at every place, and clients that vanish: the exporter serves the next command and keeps nothing open."""

import os
import signal
import socket
import subprocess

import pytest
from harness.place import BIN
from harness.program import Program, list_fds, wait_until
from harness.stock import EMPTY, Duplex, Raw, driver_request, pb, resource_request
from harness.terminal import Terminal
from pexpect import EOF, TIMEOUT


@pytest.fixture
def nothing_stays(exporter, board):
    """After the test: the next call is served, and no more descriptors are open than before it."""
    def served():
        with Raw(exporter.endpoint) as raw:
            raw.call(raw.uuid("power"), "on")
            with Duplex(raw, driver_request(raw.uuid("net")), timeout=10) as stream:
                stream.send(b"x")
                assert stream.read(1) == b"x"
            if exporter.native:     # opens the port, which ours then keeps and stock gives back some time later
                with Duplex(raw, driver_request(raw.uuid("serial")), timeout=10) as stream:
                    stream.headers()

    served()
    settled = []

    def quiet():
        """The same count for half a second."""
        settled.append(exporter.fds())
        return len(settled) > 5 and len(set(settled[-6:])) == 1

    wait_until(quiet, 20, lambda: f"the descriptors do not settle: {settled[-10:]}")
    before = settled[-1]
    what = list_fds(exporter.program.pid)
    yield
    board.pty.drain()
    served()
    wait_until(lambda: exporter.fds() <= before, 20, lambda: (
        f"{exporter.fds()} descriptors, {before} before\n--- before\n{what}\n--- now\n"
        f"{list_fds(exporter.program.pid)}"))
    assert exporter.program.alive()


def test_in_a_shell(nothing_stays, exporter, place):
    shell = Program([BIN / "jmp", "shell", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure", "--", "sh", "-c",
                     "j power on; echo in the shell; exec sleep 60"], env=place.env, name="jmp shell")
    shell.wait_line("^in the shell$")
    shell.interrupt()
    assert shell.wait() != 0


def test_in_a_pipe(nothing_stays, j, board):
    pipe = Program([BIN / "j", "serial", "pipe"], env=j, stdin=subprocess.PIPE, name="j pipe")
    pipe.process.stdin.write(b"hello\n".rjust(1024, b"."))      # it reads kilobytes
    pipe.process.stdin.flush()
    board.pty.expect(b"hello\n")
    board.pty.write(b"more to come\n")
    pipe.wait_line("^more to come$")
    pipe.interrupt_until_gone()     # its thread reads the input for as long as that is open


def test_in_a_console(nothing_stays, j, board):
    """In a raw terminal Ctrl-C is a byte for the board; it is the signal from outside that ends the console."""
    with Terminal([BIN / "j", "serial", "start-console"], env=j) as console:
        console.expect("exit with CTRL.B x 3 times")
        console.wait_raw()
        console.send("\x03")
        board.pty.expect(b"\x03")
        for _ in range(2):
            if console.alive():
                console.signal(signal.SIGINT)
                console.expect([EOF, TIMEOUT], timeout=1)
        # and its reader of the keyboard only by the end of the terminal


def test_in_a_forward(nothing_stays, j, board):
    forward = Program([BIN / "j", "net", "forward-tcp", "--address", "127.0.0.1", "0"], env=j, name="forward")
    port = int(forward.wait_line(r"^127\.0\.0\.1:(\d+)$")[1])
    sockets = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(5)]
    for s in sockets:
        s.settimeout(10)
        s.sendall(b"ping")
        assert s.recv(4) == b"ping"
    forward.interrupt_until_gone()
    for s in sockets:
        s.close()
    wait_until(lambda: board.tcp.open == 0, 20, lambda: f"{board.tcp.open} connections to the board stay open")


def test_in_a_power_cycle(nothing_stays, j):
    cycle = Program([BIN / "j", "power", "cycle", "-w", "30"], env=j, name="cycle")
    cycle.wait_line("Waiting 30 seconds")
    cycle.interrupt_until_gone()


def test_client_killed_in_the_middle_of_everything(nothing_stays, exporter, board):
    """Connections that end without a word, with calls and streams of every kind under way."""
    for _ in range(5):
        raw = Raw(exporter.endpoint)
        tree = raw.tree()
        logs = raw.exporter.LogStream(EMPTY)
        streams = [Duplex(raw, driver_request(tree[name].uuid)) for name in ("net", "udp", "unix", "echo", "serial",
                                                                             "loop")]
        streams.append(Duplex(raw, resource_request(tree["storage"].uuid)))
        for stream in streams:
            stream.headers()
            stream.send(b"data")
        read = raw.items(tree["power"].uuid, "read")
        next(read)
        raw.channel.close()
        for stream in streams:
            stream.__exit__()
        del logs
    wait_until(lambda: board.tcp.open == 0 and board.unix.open == 0, 20, "connections to the board stay open")


@pytest.mark.direct(reason="it is about the exporter's own port")
def test_connections_that_say_nothing(nothing_stays, exporter):
    host, port = exporter.endpoint.split(":")
    idle = [socket.create_connection((host, int(port)), 10) for _ in range(50)]
    rubbish = socket.create_connection((host, int(port)), 10)
    rubbish.sendall(os.urandom(4096))
    with Raw(exporter.endpoint) as raw:
        raw.call(raw.uuid("power"), "on")
    for s in (*idle, rubbish):
        s.close()


def test_hundred_streams_opened_and_dropped(nothing_stays, exporter):
    with Raw(exporter.endpoint) as raw:
        net = raw.uuid("net")
        for _ in range(100):
            with Duplex(raw, driver_request(net), timeout=20) as stream:
                stream.send(b"x")
                stream.headers()


def test_cancelled_calls(nothing_stays, exporter):
    with Raw(exporter.endpoint) as raw:
        uuid = raw.uuid("power")
        for _ in range(200):
            call = raw.exporter.DriverCall.future(pb.DriverCallRequest(uuid=uuid, method="on"))
            call.cancel()


class TestStop:
    @pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
    def test_exporter_ends_on_a_signal(self, serve, sig):
        exporter = serve({"power": {"type": "jumpstarter_driver_power.driver.MockPower"}})
        with Raw(exporter.endpoint) as raw:
            logs = raw.exporter.LogStream(EMPTY)
            raw.call(raw.uuid("power"), "on")
            exporter.program.process.send_signal(sig)
            status = exporter.program.wait(15)
            logs.cancel()
        if exporter.native:
            assert status == 0, exporter.program.tail()

    @pytest.mark.direct(reason="the client's shell has sockets there too")
    def test_sockets_are_removed(self, serve, place):
        before = set(place.run.rglob("*"))
        exporter = serve({"power": {"type": "jumpstarter_driver_power.driver.MockPower"}})
        exporter.stop()
        left = [p for p in set(place.run.rglob("*")) - before if p.is_socket()]
        assert not left, left
