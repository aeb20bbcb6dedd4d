# SPDX-License-Identifier: Apache-2.0
"""The other side of an exporter's drivers: a serial port that is a pty, and echo servers."""

import os
import random
import select
import socket
import struct
import threading
import time
import tty


def payload(size, seed):
    """Bytes that compress badly, differ for each seed and hold every value."""
    return random.Random(seed).randbytes(size)


class Wires:
    """A board's UART, at the board's end: a terminal or a socket."""

    def __init__(self, fd):
        self.master = fd
        os.set_blocking(fd, False)

    def write(self, data, timeout=60, rate=None):
        """Sends all of it; `rate` in bytes per second, as fast as it is taken without."""
        deadline = time.monotonic() + timeout
        started, sent, view = time.monotonic(), 0, memoryview(data)
        while sent < len(view):
            left = deadline - time.monotonic()
            assert left > 0, f"the port took only {sent} of {len(view)} bytes in {timeout} s"
            chunk = 4096
            if rate:
                due = int((time.monotonic() - started) * rate) + 64 - sent
                if due <= 0:
                    time.sleep(0.001)
                    continue
                chunk = min(chunk, due)
            if not select.select([], [self.master], [], min(left, 1))[1]:
                continue
            try:
                sent += os.write(self.master, view[sent:sent + chunk])
            except BlockingIOError:
                pass

    def read(self, size, timeout=60):
        """Exactly `size` bytes."""
        deadline = time.monotonic() + timeout
        data = bytearray()
        while len(data) < size:
            left = deadline - time.monotonic()
            assert left > 0, f"the board got only {len(data)} of {size} bytes in {timeout} s"
            if not select.select([self.master], [], [], min(left, 1))[0]:
                continue
            try:
                data += os.read(self.master, min(65536, size - len(data)))
            except BlockingIOError:
                pass
        return bytes(data)

    def expect(self, text, timeout=20):
        """Reads up to and including `text`; returns all that was read."""
        deadline = time.monotonic() + timeout
        data = bytearray()
        while text not in data:
            left = deadline - time.monotonic()
            assert left > 0, f"the board waited {timeout} s for {text!r}, got {bytes(data)!r}"
            if not select.select([self.master], [], [], min(left, 1))[0]:
                continue
            try:
                data += os.read(self.master, 1)
            except BlockingIOError:
                pass
        return bytes(data)

    def drain(self):
        """Throws away what has arrived."""
        while select.select([self.master], [], [], 0)[0]:
            try:
                os.read(self.master, 65536)
            except OSError:
                return

    def close(self):
        """May be called again."""
        if self.master is not None:
            os.close(self.master)
        self.master = None


class PtyBoard(Wires):
    """One that needs no hardware. The test is the board; the exporter opens `path`."""

    def __init__(self):
        master, self._slave = os.openpty()
        super().__init__(master)
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)     # we keep it open: no hang-up between two users

    def let_go(self):
        """From now on only the exporter has the port open, and hangs it up when it closes it."""
        os.close(self._slave)
        self._slave = None

    def is_hung_up(self):
        poll = select.poll()
        poll.register(self.master, 0)
        return any(events & select.POLLHUP for _, events in poll.poll(0))

    def close(self):
        super().close()
        if self._slave is not None:
            os.close(self._slave)


class _Server:
    def __init__(self, listener):
        self.listener = listener
        self.accepted = 0
        self.open = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self.open += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        try:
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        finally:
            with self._lock:
                self.open -= 1

    def close(self):
        # close() alone leaves a thread in accept() for ever
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self._thread.join(5)


class TcpEcho(_Server):
    """Echoes each connection; counts them."""

    def __init__(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = listener.getsockname()[1]
        super().__init__(listener)


class UnixEcho(_Server):
    def __init__(self, path):
        assert len(str(path)) < 100, f"too long for a socket: {path}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(64)
        self.path = str(path)
        super().__init__(listener)


class UdpEcho:
    """Answers each datagram with its number and length before its bytes, so that merged or split ones show."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.got = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(65536)
            except OSError:
                return
            if data == b"\0stop":
                return
            self.socket.sendto(struct.pack("!II", len(self.got), len(data)) + data, peer)
            self.got.append(data)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"\0stop", ("127.0.0.1", self.port))
        self._thread.join(5)
        self.socket.close()


def closed_port():
    """A port of this machine on which nothing listens; kept reserved while the socket returned with it lives."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    return s, s.getsockname()[1]
