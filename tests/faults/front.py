# SPDX-License-Identifier: Apache-2.0
"""A TCP port in front of a server, on which a network and a machine can fail: what is below gRPC."""

import asyncio
import socket
import struct

PASS, SILENT, RESET, REFUSE = "pass", "silent", "reset", "refuse"


class _Connection:
    def __init__(self, writer):
        self.writers = [writer]
        self.dead = False           # packets get lost from now on, in both directions, and nobody is told

    def cut(self):
        """With RST, as a machine that has been rebooted answers."""
        for writer in self.writers:
            sock = writer.transport.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Front:
    def __init__(self):
        self.mode, self.backend = PASS, None
        self.connections, self.tasks = set(), set()
        self.accepted = 0
        self.server = self.port = self._reserved = None

    async def start(self, backend):
        self.backend = backend
        self._bind(0)
        await self._listen()

    def _bind(self, port):
        """Reserves the port: who connects before there is a listener is refused."""
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", port))
        self.port = self._reserved.getsockname()[1]

    async def _listen(self):
        self.server = await asyncio.start_server(self._serve, sock=self._reserved)

    async def set(self, mode):
        if mode == REFUSE and self.mode != REFUSE:
            self.server.close()
            self._bind(self.port)
        elif self.mode == REFUSE and mode != REFUSE:
            await self._listen()
        self.mode = mode

    def cut(self):
        for connection in list(self.connections):
            connection.cut()

    def lose(self):
        """What is connected now stays connected, and hears nothing any more."""
        for connection in self.connections:
            connection.dead = True

    async def stop(self):
        self.server.close()
        self.cut()
        for task in list(self.tasks):
            task.cancel()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        connection = _Connection(writer)
        self.accepted += 1
        self.connections.add(connection)
        try:
            await self._one(connection, reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            connection.cut()
            self.connections.discard(connection)
            self.tasks.discard(task)

    async def _one(self, connection, reader, writer):
        if self.mode == RESET:
            return
        if self.mode == SILENT:
            while await reader.read(65536):
                pass
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.backend)
        connection.writers.append(up_writer)

        async def carry(source, sink):
            while data := await source.read(65536):
                if not connection.dead:
                    sink.write(data)
                    await sink.drain()
            if connection.dead:
                await asyncio.Event().wait()
            sink.close()

        carriers = [asyncio.ensure_future(carry(reader, up_writer)), asyncio.ensure_future(carry(up_reader, writer))]
        try:
            done, _ = await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in carriers:
                task.cancel()
            await asyncio.gather(*carriers, return_exceptions=True)
