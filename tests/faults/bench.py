# SPDX-License-Identifier: Apache-2.0
"""An agent at the misbehaving peer, the client of its leases, and what both may cost."""

import asyncio
import contextlib
import itertools
import json
import os
import time
from pathlib import Path

import grpc
import yaml
from google.protobuf import empty_pb2
from harness.controller import _jwt, _Lease
from harness.program import Program, list_fds
from jumpstarter_protocol import jumpstarter_pb2 as pb
from jumpstarter_protocol import jumpstarter_pb2_grpc, router_pb2, router_pb2_grpc

from peer import Peer, World

# All waits of the agent are 3 % of the usual ones: back-off 30 ms to 0.9 s, deadlines of calls 0.9 s.
PATIENCE = 3
BACKOFF = 0.9       # the longest pause between two tries, in seconds
# After a fault the next lease is served within this, in seconds. Three full back-offs are 2.7 s; the rest is for a busy
# machine, on which tests run beside each other.
BOUND = 20
# That a connection is dead is noticed a little later than that share of the usual, for peers in Python on a busy machine are
# not always awake.
GRPC = {"grpc.keepalive_time_ms": 300, "grpc.keepalive_timeout_ms": 1000, "grpc.min_reconnect_backoff_ms": 600,
        "grpc.initial_reconnect_backoff_ms": 20, "grpc.max_reconnect_backoff_ms": 200}
EMPTY = empty_pb2.Empty()
NAME = "board"
# A hook that ends at once, unless the test holds its gate shut.
HOOK = "while [ -e {} ]; do sleep 0.02; done\necho {} has run"


class Failed(AssertionError):
    pass


async def until(condition, what, bound=BOUND):
    """Asks until the answer is true; what is waited for happens in another process and has no event here."""
    deadline = time.monotonic() + bound
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"not within {bound} s: {what() if callable(what) else what}")
        await asyncio.sleep(0.005)
    return answer


class Client:
    """The holder of a lease: a socket whose connections are carried to the agent through the router, as a shell has it,
    and a gRPC channel to that socket."""

    _numbers = itertools.count(1)

    def __init__(self, bench, lease):
        self.bench, self.lease, self.tasks, self.leaving = bench, lease, set(), asyncio.Event()
        self.path = bench.place.root / f"c{next(self._numbers)}"

    async def __aenter__(self):
        self.server = await asyncio.start_unix_server(self._carry, self.path)
        self.channel = grpc.aio.insecure_channel(f"unix:{self.path}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.exporter = jumpstarter_pb2_grpc.ExporterServiceStub(self.channel)
        self.echo = None
        return self

    async def __aexit__(self, *_):
        if self.echo:
            self.echo.cancel()
        await self.channel.close()
        self.server.close()
        # orderly: GOAWAY goes to the agent; the channel itself lets its connection live until it is collected
        self.leaving.set()
        if self.tasks:
            _, late = await asyncio.wait(list(self.tasks), timeout=1)
            for task in late:
                task.cancel()
        self.path.unlink(missing_ok=True)

    async def _carry(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            await self._carry_one(reader, writer)
        except (grpc.aio.AioRpcError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self.tasks.discard(task)

    async def _carry_one(self, reader, writer):
        token = self.bench.dial(self.lease)
        call = self.bench.router_stub.Stream(metadata=(("authorization", f"Bearer {token}"),))

        async def up():
            left = asyncio.ensure_future(self.leaving.wait())
            while True:
                read = asyncio.ensure_future(reader.read(65536))
                await asyncio.wait({read, left}, return_when=asyncio.FIRST_COMPLETED)
                if not read.done() or not read.result():
                    read.cancel()
                    break
                await call.write(router_pb2.StreamRequest(payload=read.result()))
            left.cancel()
            await call.write(router_pb2.StreamRequest(frame_type=router_pb2.FRAME_TYPE_GOAWAY))
            await call.done_writing()

        async def down():
            async for message in call:
                if message.frame_type == router_pb2.FRAME_TYPE_GOAWAY:
                    return
                writer.write(message.payload)
                await writer.drain()

        both = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(both, timeout=0.2)
        finally:
            call.cancel()
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def works(self, timeout=5):
        """The tree is read and a driver called, on whatever tunnel there is."""
        report = await self.exporter.GetReport(EMPTY, timeout=timeout)
        uuids = {r.labels["jumpstarter.dev/name"]: r.uuid for r in report.reports if r.parent_uuid}
        await self.exporter.DriverCall(pb.DriverCallRequest(uuid=uuids["power"], method="on"), timeout=timeout)
        if not self.echo:
            request = json.dumps({"kind": "driver", "uuid": uuids["echo"], "method": "connect"})
            self.echo = router_pb2_grpc.RouterServiceStub(self.channel).Stream(metadata=(("request", request),))
            self.sent = 0
        await self.echoes(timeout)

    async def echoes(self, timeout=5):
        """One more message through the stream that is open since the first works()."""
        self.sent += 1
        text = f"message {self.sent}".encode()
        await asyncio.wait_for(self.echo.write(router_pb2.StreamRequest(payload=text)), timeout)
        back = await asyncio.wait_for(self.echo.read(), timeout)
        if back == grpc.aio.EOF or back.payload != text:
            raise Failed(f"the stream answered {back!r} to {text!r}")

    async def dial_until_works(self):
        """A tunnel may get lost with the message that announced it; then a client dials again."""
        bound = self.bench.bound
        deadline = time.monotonic() + bound
        while True:
            try:
                return await self.works(2)
            except (grpc.aio.AioRpcError, asyncio.TimeoutError, asyncio.InvalidStateError) as error:
                # the last one is what gRPC says of a stream that has ended
                if time.monotonic() > deadline:
                    raise Failed(f"no client gets in within {bound} s: {error}") from error
                self.echo = None
                await self.channel.close()
                self.channel = grpc.aio.insecure_channel(f"unix:{self.path}",
                                                         options=[("grpc.use_local_subchannel_pool", 1)])
                self.exporter = jumpstarter_pb2_grpc.ExporterServiceStub(self.channel)


class Bench:
    EMPTY = EMPTY
    bound = BOUND       # of whatever is waited for now

    def __init__(self, place, build):
        self.place, self.build = place, build
        self.world_path = place.root / "world"
        self.world = World(self.world_path)
        self.gates = {name: place.root / f"{name}-gate" for name in ("beforeLease", "afterLease")}
        self.peer = Peer(place)
        self.numbers, self.agent = itertools.count(1), None
        settings = yaml.safe_load(self.peer.create_exporter(NAME, {}).read_text())
        settings["grpcOptions"] = GRPC
        settings["export"] = {"power": {"type": "jumpstarter_driver_power.driver.MockPower"},
                              "echo": {"type": "jumpstarter_driver_network.driver.EchoNetwork"}}
        settings["hooks"] = {name: {"script": HOOK.format(gate, name), "timeout": 30}
                             for name, gate in self.gates.items()}
        self.config = place.file("board.yaml", yaml.safe_dump(settings))
        self.exporter = self.peer.exporters[NAME]
        self.peer.do(self._start())

    async def _start(self):
        credentials = grpc.ssl_channel_credentials(self.peer.authority.path.read_bytes())
        self.direct = grpc.aio.secure_channel(self.peer.direct, credentials)
        self.router_stub = router_pb2_grpc.RouterServiceStub(self.direct)

    def close(self):
        self.stop_agent()
        self.peer.do(self.direct.close())
        self.peer.stop()

    # the agent

    def start_agent(self):
        env = {**self.place.env, "JMP_TEST_WORLD": str(self.world_path),
               "LD_PRELOAD": str(self.build / "tests/faults/world.so"),
               # without a word on world.so, which comes before the sanitizer's library
               "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.agent = Program([self.build / "agent/jmp-agent", "run", "--exporter-config", self.config, "--patience",
                              PATIENCE, "--log-level", "debug", "--log-format", "text"], env=env)

    def stop_agent(self):
        """Returns the exit status; the agent is given the time that the service manager would."""
        if not self.agent:
            return 0
        status = self.agent.stop(timeout=15)
        self.agent.forget()
        self.agent = None
        return status

    def costs(self):
        """What may not be left over. gRPC's own threads come and go."""
        task = Path(f"/proc/{self.agent.pid}/task")
        names = [name for t in task.iterdir() if (name := _read(t / "comm").strip())]
        own = [n for n in names if not n.startswith(("default-exec", "resolver-exec", "grpc_global", "event_engine",
                                                     "timer_manage"))]
        children = sum(len(_read(t / "children").split()) for t in task.iterdir())
        return {"fds": len(os.listdir(f"/proc/{self.agent.pid}/fd")), "threads": len(own), "children": children,
                "ports": len(listening(self.agent.pid))}

    def dirty_kib(self):
        return sum(int(line.split()[1]) for line in _read(f"/proc/{self.agent.pid}/smaps_rollup").splitlines()
                   if line.startswith("Private_Dirty"))

    async def until(self, condition, what):
        return await until(condition, what, self.bound)

    async def settled(self, base):
        """All that the row has opened is closed again."""
        await self.until(lambda: all(v <= base[k] for k, v in self.costs().items()),
                    lambda: f"left over: {self.costs()}, {base} before\n{list_fds(self.agent.pid)}")

    def renew_token(self):
        """A new token is in the file, as a tool would put it there, and the old one does not count; returns both."""
        settings = yaml.safe_load(self.config.read_text())
        old, new = settings["token"], _jwt(sub=f"Exporter:{NAME}")
        self.peer.tokens[new] = self.peer.tokens.pop(old)
        settings["token"] = new
        fresh = self.place.file("board.yaml.new", yaml.safe_dump(settings))
        fresh.rename(self.config)
        return old, new

    # leases

    def mark(self):
        return len(self.exporter.history)

    def said(self, status, mark):
        return any(s == status for s, _ in self.exporter.history[mark:])

    async def available(self, mark=None):
        """The controller could hand the agent out."""
        await self.until(lambda: self.exporter.lease is None and self.exporter.online and
                    self.exporter.history[-1:] and self.exporter.history[-1][0] == "AVAILABLE" and
                    (mark is None or self.said("AVAILABLE", mark)),
                    lambda: f"the agent is not available: {self.exporter.history[-6:]}")

    def assign(self):
        """Status says that there is a lease; returns it."""
        lease = _Lease(f"lease-{next(self.numbers)}", "alice", "", NAME, None)
        lease.mark, lease.over = self.mark(), None
        self.peer.leases[lease.name] = lease
        self.peer.assign()
        if lease.exporter is None:
            raise Failed(f"the controller cannot hand the agent out: {self.exporter.history[-6:]}")
        return lease

    async def ready(self, lease):
        await self.until(lambda: self.said("LEASE_READY", lease.mark),
                    lambda: f"{lease.name} is not ready: {self.exporter.history[lease.mark:]}, "
                            f"{self.peer.calls[-6:]}")

    async def in_hook(self, lease, status):
        """A hook of the lease is running: BEFORE_LEASE_HOOK or AFTER_LEASE_HOOK."""
        await self.until(lambda: self.said(status, lease.mark), "the hook does not begin")

    async def released(self, lease):
        await self.until(lambda: lease.end, "the agent keeps the lease")

    def dial(self, lease):
        token = _jwt(sub=f"stream-{next(self.numbers)}")
        self.peer.streams[token] = asyncio.Queue()
        lease.listen.put_nowait(pb.ListenResponse(router_endpoint=self.peer.router_endpoint, router_token=token))
        return token

    async def end_session(self, client):
        """From then on the agent may become free, for it does not wait for DeleteLease for ever."""
        client.lease.over = self.mark()
        return await client.exporter.EndSession(pb.EndSessionRequest(), timeout=5)

    def delete(self, lease):
        """The client's DeleteLease, or the end of its time."""
        if lease.over is None:
            lease.over = self.mark()
        self.peer.release(lease)

    async def whole_lease(self):
        """As a client has it on a good day."""
        await self.available()
        lease = self.assign()
        await self.ready(lease)
        async with Client(self, lease) as client:
            await client.dial_until_works()
            await self.end_session(client)
        self.delete(lease)
        await self.available(lease.over)

    @contextlib.contextmanager
    def gate(self, hook):
        """The hook runs until this is left."""
        self.gates[hook].touch()
        try:
            yield
        finally:
            self.gates[hook].unlink()

    def check_order(self, mark):
        """No status lost or reordered: what the controller heard is a path through the life of a lease."""
        follows = {
            "AVAILABLE": {"BEFORE_LEASE_HOOK", "LEASE_READY", "OFFLINE", "AFTER_LEASE_HOOK"},
            "BEFORE_LEASE_HOOK": {"LEASE_READY", "AFTER_LEASE_HOOK", "AVAILABLE", "OFFLINE"},
            # The second: of another lease, where leases come faster than reports are taken: at most one of a kind waits.
            "LEASE_READY": {"AFTER_LEASE_HOOK", "BEFORE_LEASE_HOOK", "AVAILABLE", "OFFLINE"},
            "AFTER_LEASE_HOOK": {"AVAILABLE", "BEFORE_LEASE_HOOK", "OFFLINE"},    # the second: another lease at once
            "OFFLINE": {"AVAILABLE", "BEFORE_LEASE_HOOK", "LEASE_READY"},
        }
        heard = [s for s, _ in self.exporter.history[mark:]]
        for one, next_one in zip(heard, heard[1:]):
            if one != next_one and next_one not in follows[one]:
                raise Failed(f"{next_one} came after {one}: {heard}")


def _read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def listening(pid):
    """Inodes of the TCP sockets on which the process listens."""
    mine = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            mine.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in _read(f"/proc/{pid}/net/{table}").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in mine:
                found.add(words[9])
    return found
