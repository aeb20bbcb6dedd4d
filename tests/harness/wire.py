# SPDX-License-Identifier: Apache-2.0
"""A way to a port of this machine: one that can be cut and mended, and one that is a proxy."""

import socket
import threading


class Wire:
    """Carries every connection to a port, both ways."""

    def __init__(self, port):
        self._to, self._lock, self._ends = port, threading.Lock(), []
        self.port = 0
        self.mend()

    def mend(self):
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()

    def cut(self):
        """Nobody gets through, and who was through is no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for end in self._ends:
                self._end(end)
            self._ends.clear()

    @staticmethod
    def _end(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass    # its peer was quicker
        connection.close()

    def _serve(self, listening):
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(near,), daemon=True).start()

    def _greet(self, near):
        """What is said before the connection is carried."""

    def _one(self, near):
        self._greet(near)
        far = socket.create_connection(("127.0.0.1", self._to))
        with self._lock:
            self._ends += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass    # it was cut


class Proxy(Wire):
    """Leads to its port whatever it is asked for: by CONNECT, or as SOCKS 5. `asked` has (how, host, port)."""

    def __init__(self, port):
        self.asked = []
        super().__init__(port)

    def _greet(self, near):
        with near.makefile("rb", 0) as stream:
            first = stream.read(1)
            if first == b"\5":
                stream.read(stream.read(1)[0])              # the ways to log in; none is wanted
                near.sendall(b"\5\0")
                kind = stream.read(4)[3]
                host = stream.read(stream.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(stream.read(4))
                self.asked.append(("socks", host, int.from_bytes(stream.read(2), "big")))
                near.sendall(b"\5\0\0\1\0\0\0\0\0\0")
            else:
                how, place, _ = (first + stream.readline()).decode().split()
                while stream.readline().strip():
                    pass
                host, port = place.rsplit(":", 1)
                self.asked.append((how, host, int(port)))
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
