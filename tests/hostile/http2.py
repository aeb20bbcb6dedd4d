# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand, because no decent library sends what these tests send."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def settings(*pairs, ack=False):
    return frame(SETTINGS, ACK if ack else 0, 0, b"".join(struct.pack("!HI", k, v) for k, v in pairs))


def _text(data):
    # a string literal without Huffman coding; the length is a 7-bit prefix integer
    if len(data) < 127:
        return bytes([len(data)]) + data
    out, rest = b"\x7f", len(data) - 127
    while rest > 127:
        out += bytes([rest & 127 | 128])
        rest >>= 7
    return out + bytes([rest]) + data


def header_block(fields):
    """Each as "literal, never indexed, new name": legal, and nothing of the table is needed."""
    return b"".join(b"\x10" + _text(k.encode()) + _text(v if isinstance(v, bytes) else v.encode()) for k, v in fields)


def request(path, *more, scheme="http"):
    return [(":method", "POST"), (":scheme", scheme), (":path", path), (":authority", "hostile"),
            ("content-type", "application/grpc"), ("te", "trailers"), *more]


def message(data):
    return b"\0" + struct.pack("!I", len(data)) + data


class Peer:
    """One connection. Nothing is read unless asked for."""

    def __init__(self, address, *, tls=None, hello=True, window=None, receive_buffer=None):
        host, _, port = address.rpartition(":")
        raw = socket.socket()
        raw.settimeout(10)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect((host, int(port)))
        self.socket = tls.wrap_socket(raw, server_hostname=host) if tls else raw
        self.next = 1
        if hello:
            self.send(PREFACE + settings(*([(4, window)] if window is not None else [])))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def try_send(self, data):
        """False once the server has had enough of us."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def open(self, path, *headers, end=False, flags=END_HEADERS):
        stream, self.next = self.next, self.next + 2
        self.send(frame(HEADERS, flags | (END_STREAM if end else 0), stream, header_block(request(path, *headers))))
        return stream

    def closed_by_server(self, timeout=10):
        """Reads until the server ends the connection; False if it does not within that time."""
        self.socket.settimeout(timeout)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True
