# SPDX-License-Identifier: Apache-2.0
"""Leases at the edges: what no fault of a peer is needed for. Each ends, as a row of the table does, with the agent serving
the next lease and nothing left over."""

import asyncio
import contextlib
import json
import random
import signal

import grpc
from jumpstarter_protocol import jumpstarter_pb2 as pb
from jumpstarter_protocol import router_pb2
from jumpstarter_protocol.jumpstarter.v1 import common_pb2

from bench import BOUND, NAME, Client, Failed, until
from table import _answers, _net
import front


async def _ended(bench, lease):
    bench.delete(lease)
    await bench.available(lease.over)


async def never_used(bench):
    """nobody comes"""
    lease = bench.assign()
    await bench.ready(lease)
    await _ended(bench, lease)


async def over_before_it_began(bench):
    """the lease is over before the session is up"""
    calls = len(bench.peer.calls)
    lease = bench.assign()
    await until(lambda: len(bench.peer.calls) > calls, "the lease is not noticed")
    await _ended(bench, lease)


async def flapping(bench):
    """twenty leases, each over as soon as it was announced: a backlog of stale ones"""
    mark, chance = bench.mark(), random.Random(5)
    for _ in range(20):
        await until(lambda: bench.exporter.status in (0, 2), "not free")
        lease = bench.assign()
        await asyncio.sleep(chance.uniform(0, 0.02))
        bench.peer.release(lease)
    await bench.available()
    heard = [status for status, _ in bench.exporter.history[mark:]]
    if heard.count("AFTER_LEASE_HOOK") > heard.count("BEFORE_LEASE_HOOK"):
        raise Failed(f"a hook ran for a lease that had not begun: {heard}")


async def stale_backlog(bench):
    """ten leases come and go while the controller is away: none runs a hook"""
    mark = bench.mark()
    away = _net("controller", front.REFUSE, cut=True)
    await away["apply"](bench)
    for _ in range(10):
        bench.peer.release(bench.assign())
    await away["lift"](bench)
    await bench.available()
    if bench.said("BEFORE_LEASE_HOOK", mark) or bench.said("AFTER_LEASE_HOOK", mark):
        raise Failed(f"a hook ran: {bench.exporter.history[mark:]}")


async def over_within_before(bench):
    """the lease ends while beforeLease is running: the hook is ended, afterLease runs"""
    with bench.gate("beforeLease"):
        lease = bench.assign()
        await bench.in_hook(lease, "BEFORE_LEASE_HOOK")
        await _ended(bench, lease)
    if bench.said("LEASE_READY", lease.mark) or not bench.said("AFTER_LEASE_HOOK", lease.mark):
        raise Failed(f"said {bench.exporter.history[lease.mark:]}")


async def done_within_before(bench):
    """a client comes while beforeLease is running, reads the report and the status, and says that it is done: the hook is ended,
    afterLease runs"""
    with bench.gate("beforeLease"):
        lease = bench.assign()
        await bench.in_hook(lease, "BEFORE_LEASE_HOOK")
        async with Client(bench, lease) as client:
            await client.exporter.GetReport(bench.EMPTY, timeout=BOUND, wait_for_ready=True)
            status = await client.exporter.GetStatus(pb.GetStatusRequest(), timeout=5)
            answer = await bench.end_session(client)
            await bench.in_hook(lease, "AFTER_LEASE_HOOK")
    if status.status != common_pb2.EXPORTER_STATUS_BEFORE_LEASE_HOOK or not answer.success:
        raise Failed(f"the status was {status}, the answer {answer}")
    bench.delete(lease)
    await bench.available(lease.over)
    if bench.said("LEASE_READY", lease.mark):
        raise Failed(f"said {bench.exporter.history[lease.mark:]}")


async def over_within_after(bench):
    """the lease ends while afterLease is running: the hook goes on, and the exporter is free only after it"""
    lease = bench.assign()
    await bench.ready(lease)
    with bench.gate("afterLease"):
        async with Client(bench, lease) as client:
            await client.dial_until_works()
            await bench.end_session(client)
            await bench.in_hook(lease, "AFTER_LEASE_HOOK")
            calls = len(bench.peer.calls)
            bench.delete(lease)
            bench.peer.controller.cut()         # what it hears then, it has heard with the end of the lease
            await until(lambda: ("Status", NAME) in bench.peer.calls[calls:], "it does not come back")
        if bench.said("AVAILABLE", lease.over):
            raise Failed("free, with its hook running")
    await bench.available(lease.over)


async def client_gone(bench):
    """the client is gone between EndSession and DeleteLease: the agent gives the lease back after a while"""
    lease = bench.assign()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        await bench.end_session(client)
    await bench.released(lease)
    if ("ReleaseLease", NAME) not in bench.peer.calls:
        raise Failed("nobody has released it")
    await bench.available(lease.over)


async def without_a_gap(bench):
    """lease A becomes lease B in one message: the client of A is let go, the client of B served"""
    first = bench.assign()
    await bench.ready(first)
    async with Client(bench, first) as one:
        await one.dial_until_works()
        first.end, first.exporter.lease = 1.0, None
        bench.exporter.status = 2       # the controller believes so
        second = bench.assign()
        await bench.ready(second)
        async with Client(bench, second) as two:
            await two.dial_until_works()
            try:
                await one.exporter.GetReport(bench.EMPTY, timeout=1)
            except grpc.aio.AioRpcError:
                pass
            else:
                raise Failed("the client of the first lease is still served")
    await _ended(bench, second)


async def renamed(bench):
    """the same lease under another name is another lease"""
    lease = bench.assign()
    await bench.ready(lease)
    mark = bench.mark()
    del bench.peer.leases[lease.name]
    lease.name, lease.mark = f"{lease.name}-renamed", mark
    bench.peer.leases[lease.name] = lease
    bench.exporter.changed()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
    await _ended(bench, lease)


async def transferred(bench):
    """the lease is handed to another client: nothing stops"""
    lease = bench.assign()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        lease.client = "bob"
        bench.exporter.changed()
        await client.works()
    await _ended(bench, lease)


async def forgotten(bench):
    """the controller has lost the exporter and learns of it again, with its status"""
    lease = bench.assign()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        mark, calls = bench.mark(), len(bench.peer.calls)
        bench.exporter.status, bench.exporter.reports = 0, []
        bench.peer.controller.cut()
        await until(lambda: bench.said("LEASE_READY", mark), "the status is not repeated")
        if ("Register", bench.exporter.name) not in bench.peer.calls[calls:]:
            raise Failed("the controller was not registered with again")
        await client.works()
    await _ended(bench, lease)


async def object_deleted(bench):
    """the exporter's object is gone: every call fails, the client works on; then it is there again"""
    lease = bench.assign()
    await bench.ready(lease)
    deleted = _answers(grpc.StatusCode.UNKNOWN, end=grpc.StatusCode.UNKNOWN)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        await deleted["apply"](bench)
        for _ in range(5):
            await client.works()
            await asyncio.sleep(0.1)
        await deleted["lift"](bench)
        await client.works()
    await _ended(bench, lease)


async def expired_meanwhile(bench):
    """the lease ends while the controller is away"""
    lease = bench.assign()
    await bench.ready(lease)
    away = _net("controller", front.REFUSE, cut=True)
    await away["apply"](bench)
    bench.delete(lease)
    await asyncio.sleep(0.3)
    await away["lift"](bench)
    await bench.available(lease.over)


async def killed(bench):
    """SIGKILL in mid-lease: the next process serves the same lease"""
    lease = bench.assign()
    await bench.ready(lease)
    await asyncio.to_thread(bench.agent.kill)
    bench.agent.forget()
    lease.mark = bench.mark()
    bench.start_agent()
    await bench.ready(lease)
    if bench.said("AVAILABLE", lease.mark):
        raise Failed("it said that it was free")
    async with Client(bench, lease) as client:
        await client.dial_until_works()
    await _ended(bench, lease)


async def _control(bench, verb):
    reader, writer = await asyncio.open_unix_connection(bench.place.run / "jmp-agent" / NAME / "control.sock")
    writer.write(json.dumps({"verb": verb}).encode() + b"\n")
    answer = json.loads(await asyncio.wait_for(reader.readline(), BOUND))
    writer.close()
    if not answer["ok"]:
        raise Failed(f"{verb}: {answer}")
    return answer


async def drained(bench):
    """told to leave after the lease: its client works on, the agent says that it is off, never that it is free, and exits"""
    lease = bench.assign()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        answer = await _control(bench, "drain")
        if "after this lease" not in answer["message"]:
            raise Failed(answer["message"])
        await client.works()
    bench.delete(lease)
    status = await asyncio.to_thread(bench.agent.wait, BOUND)
    if status != 0 or bench.said("AVAILABLE", lease.mark) or bench.exporter.history[-1][0] != "OFFLINE":
        raise Failed(f"exit status {status} after {bench.exporter.history[lease.mark:]}")
    bench.stop_agent()
    mark = bench.mark()
    bench.start_agent()
    await bench.available(mark)


async def hurried(bench):
    """told to stop, and once more while afterLease is running: the hook is ended, the lease given back, all in good order"""
    lease = bench.assign()
    await bench.ready(lease)
    with bench.gate("afterLease"):
        bench.agent.process.send_signal(signal.SIGTERM)
        await bench.in_hook(lease, "AFTER_LEASE_HOOK")
        bench.agent.process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(bench.agent.wait, BOUND)
    said = bench.agent.output().rpartition(f"lease {lease.name} begins")[2]
    if status != 0 or not lease.end or bench.exporter.history[-1][0] != "OFFLINE" or "afterLease has run" in said or \
            "the afterLease hook is interrupted" not in said:
        raise Failed(f"exit status {status}, lease over: {bool(lease.end)}, said {bench.exporter.history[lease.mark:]}")
    bench.stop_agent()
    mark = bench.mark()
    bench.start_agent()
    await bench.available(mark)


async def few_connections(bench):
    """a lease with ten clients costs the controller no new connection, and the router one at most"""
    before = bench.peer.controller.accepted, bench.peer.router.accepted
    lease = bench.assign()
    await bench.ready(lease)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(bench, lease)) for _ in range(10)]
        for client in clients:
            await client.dial_until_works()
    await _ended(bench, lease)
    controller, router = bench.peer.controller.accepted - before[0], bench.peer.router.accepted - before[1]
    if controller > 0 or router > 1:
        raise Failed(f"{controller} connections to the controller, {router} to the router")


async def last_words(bench):
    """what is logged on the way out reaches the telemetry service"""
    telemetry = bench.peer.telemetry
    telemetry.pushed = []
    try:
        await asyncio.to_thread(bench.stop_agent)
        mark = bench.mark()
        bench.start_agent()
        await until(lambda: any(b"telemetry service" in push for push in telemetry.pushed), "nothing is pushed")
        await bench.available(mark)
        status = await asyncio.to_thread(bench.stop_agent)
        if status != 0 or not any(b"Terminated: stopping" in push for push in telemetry.pushed):
            raise Failed(f"exit status {status}, pushed: {telemetry.pushed}")
    finally:
        telemetry.pushed = None
    mark = bench.mark()
    bench.start_agent()
    await bench.available(mark)


async def token_renewed(bench):
    """the token in the file is renewed, the old one refused from then on"""
    old, new = bench.renew_token()
    try:
        bench.peer.controller.cut()
        calls = len(bench.peer.calls)
        await until(lambda: ("Status", bench.exporter.name) in bench.peer.calls[calls:], "the new token is not used")
        await bench.available()
    finally:
        bench.peer.tokens[old] = bench.peer.tokens[new]


async def fifty_tunnels(bench):
    """fifty clients at once"""
    lease = bench.assign()
    await bench.ready(lease)
    clients = [Client(bench, lease) for _ in range(50)]
    try:
        for client in clients:
            await client.__aenter__()
        await asyncio.gather(*(client.works(20) for client in clients))
        await asyncio.gather(*(client.echoes(20) for client in clients))
    finally:
        await asyncio.gather(*(client.__aexit__() for client in clients))
    await _ended(bench, lease)


async def rubbish(bench):
    """garbage, silence, huge and empty frames in tunnels, beside a client that works"""
    lease = bench.assign()
    await bench.ready(lease)
    chance = random.Random(7)
    calls = []

    async def send(*payloads):
        token = bench.dial(lease)
        call = bench.router_stub.Stream(metadata=(("authorization", f"Bearer {token}"),))
        calls.append(call)
        try:
            for payload in payloads:
                await call.write(router_pb2.StreamRequest(payload=payload))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass        # thrown out already

    async with Client(bench, lease) as client:
        await client.dial_until_works()
        await send(b"")                                             # silence
        await send(*([b""] * 100))
        await send(b"GET / HTTP/1.1\r\n\r\n")
        await send(chance.randbytes(100_000))
        await send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", chance.randbytes(50_000))
        await send(bytes(3_900_000))                                # as large as a message may be
        await send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\x00\x00\x00\x00\x00")     # a frame of 16 MiB
        await client.works()
        await client.echoes()
        for call in calls:
            call.cancel()
    await _ended(bench, lease)


EDGES = {edge.__name__.replace("_", "-"): edge for edge in (
    never_used, over_before_it_began, flapping, stale_backlog, over_within_before, done_within_before, over_within_after,
    client_gone,
    without_a_gap, renamed, transferred, forgotten, object_deleted, expired_meanwhile, killed, drained, hurried, last_words,
    token_renewed, few_connections, fifty_tunnels, rubbish)}
RESTARTS = ("killed", "drained", "hurried", "last-words")
