# SPDX-License-Identifier: Apache-2.0
"""A controller and router that misbehave on command: the reference controller of the tests behind two ports on which the
network can fail (front.py), with answers that can be replaced one by one."""

import asyncio
import mmap
import struct

import grpc
from harness.certificates import Authority
from harness.controller import ReferenceController, add_services

from front import Front

HOST = "controller.test"        # an address of the world's own, see world.c

SERVER_OPTIONS = [("grpc.http2.min_ping_interval_without_data_ms", 1), ("grpc.http2.max_ping_strikes", 0),
                  ("grpc.keepalive_permit_without_calls", 1), ("grpc.so_reuseport", 0)]

EXPORTER_CALLS = ("Register", "Status", "ReportStatus", "Listen", "ReleaseLease", "GetServiceEndpoints", "Unregister")


class World:
    """The clock and the names of the machine that the agent believes to be on."""

    def __init__(self, path):
        path.write_bytes(bytes(16))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    def set(self, ahead=0, nameless=False):
        self._map[:16] = struct.pack("=qq", ahead, nameless)


class Plan:
    """What a method answers instead: a code, CLEAN (an orderly end at once) or HANG; `left` times, None: until lifted."""

    CLEAN, HANG = "clean", "hang"

    def __init__(self, answer, left=None):
        self.answer, self.left = answer, left

    def take(self):
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0


class Answers(grpc.aio.ServerInterceptor):
    def __init__(self):
        self.plans = {}
        self.breaks = {}            # of running Status and Listen streams: an event each, with how they end
        self.lifted = asyncio.Event()

    def plan(self, answer, methods=EXPORTER_CALLS, left=None):
        for method in methods:
            self.plans[method] = Plan(answer, left)
        self.lifted.clear()

    def lift(self):
        self.plans.clear()
        self.lifted.set()

    def end_streams(self, code=None):
        """Running Status and Listen streams end with `code`, None: orderly."""
        for future in list(self.breaks.values()):
            if not future.done():
                future.set_result(code)

    async def intercept_service(self, continuation, details):
        handler = await continuation(details)
        method = details.method.rpartition("/")[2]
        plan = self.plans.get(method)
        if handler is None:
            return handler
        if plan and plan.take():
            return self._instead(handler, plan)
        if method in ("Status", "Listen") and handler.unary_stream:
            return self._breakable(handler)
        return handler

    def _instead(self, handler, plan):
        async def answer(request, context):
            if plan.answer == Plan.HANG:
                await self.lifted.wait()
            if plan.answer in (Plan.HANG, Plan.CLEAN):
                # to a unary call this is a failure too: it has no message
                await context.abort(grpc.StatusCode.UNKNOWN, "nothing to say")
            await context.abort(plan.answer, "as the test wants it")

        async def stream(request, context):
            if plan.answer != Plan.CLEAN:
                await answer(request, context)

        how = dict(request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(answer, **how)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(stream, **how)
        return grpc.stream_stream_rpc_method_handler(stream, **how)

    def _breakable(self, handler):
        async def serve(request, context):
            end = asyncio.get_running_loop().create_future()
            self.breaks[id(end)] = end
            source = handler.unary_stream(request, context)
            pending = None
            try:
                while True:
                    pending = asyncio.ensure_future(source.__anext__())
                    await asyncio.wait({pending, end}, return_when=asyncio.FIRST_COMPLETED)
                    if end.done():
                        if end.result():
                            await context.abort(end.result(), "as the test wants it")
                        return
                    try:
                        message = pending.result()
                    except StopAsyncIteration:
                        return
                    await context.write(message)
            finally:
                del self.breaks[id(end)]
                if pending and not pending.done():
                    pending.cancel()
                    await asyncio.gather(pending, return_exceptions=True)
                await source.aclose()

        return grpc.unary_stream_rpc_method_handler(serve, request_deserializer=handler.request_deserializer,
                                                    response_serializer=handler.response_serializer)


def _field(number, data):
    """Of a message that 0.9.0 has no class for yet; less than 16 KiB."""
    return bytes([number << 3 | 2, len(data) & 0x7f | 0x80, len(data) >> 7]) + data


class Telemetry(grpc.GenericRpcHandler):
    """Offered while `pushed` is a list; it gets the requests as they come."""

    def __init__(self, peer):
        self.peer, self.pushed = peer, None

    def service(self, details):
        if self.pushed is None:
            return None
        method = details.method.rpartition("/")[2]
        if method == "GetServiceEndpoints":
            return grpc.unary_unary_rpc_method_handler(self._endpoints)
        if method == "PushLogs":
            return grpc.unary_unary_rpc_method_handler(self._push)
        return None

    async def _endpoints(self, request, context):
        return _field(1, _field(1, self.peer.endpoint.encode()) + _field(2, self.peer.authority.path.read_bytes()))

    async def _push(self, request, context):
        self.pushed.append(request)
        return b""


class Peer(ReferenceController):
    """`controller` and `router` are the ports that the agent knows; `direct` is the server behind them."""

    async def _start(self):
        self.telemetry = Telemetry(self)
        self.answers = Answers()
        stranger = Authority(self.place.root, "stranger")
        certificates = {
            "good": (self.authority.issue("front", hosts=(HOST, "localhost"))),
            "changed": (stranger.issue("other", hosts=(HOST, "localhost"))),
            "expired": (self.authority.issue("old", hosts=(HOST, "localhost"), expired=True)),
        }
        self.servers, self.ports = [], {}
        for name, (cert, key) in certificates.items():
            server = grpc.aio.server(interceptors=[self.answers], options=SERVER_OPTIONS)
            add_services(self, server)
            server.add_generic_rpc_handlers((self.telemetry,))
            credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
            self.ports[name] = server.add_secure_port("127.0.0.1:0", credentials)
            await server.start()
            self.servers.append(server)
        self.controller, self.router = Front(), Front()
        for front in (self.controller, self.router):
            await front.start(self.ports["good"])
        self.direct = f"localhost:{self.ports['good']}"
        self.router_endpoint = f"{HOST}:{self.router.port}"
        return f"{HOST}:{self.controller.port}"

    def stop(self):
        async def end():
            await self.controller.stop()
            await self.router.stop()
            for server in self.servers:
                await server.stop(0)

        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
