# SPDX-License-Identifier: Apache-2.0
"""The table "fault x moment": what goes wrong, when, and what has to be true nevertheless."""

import asyncio
import contextlib

import grpc

import front
from bench import BACKOFF, BOUND, PATIENCE, Client, Failed
from peer import EXPORTER_CALLS, Plan

HOLD = 0.5          # how long a fault lasts that has no other end, in seconds: half the longest back-off
WHILE = BACKOFF     # the same of calls that are refused "for a while": at the usual pace that is half a minute


class Fault:
    """`apply(bench)` and `lift(bench)` are coroutines. `tunnels`: running tunnels break with it, and new ones fail.
    `tries`: how many it takes of each call before it has gone by itself. `hold`: how long it lasts, in seconds."""

    def __init__(self, name, help, apply, lift, tunnels=False, world=False, tries=0, hold=HOLD):
        self.name, self.help, self.apply, self.lift = name, help, apply, lift
        self.tunnels, self.world, self.tries, self.hold = tunnels, world, tries, hold

    @contextlib.asynccontextmanager
    async def holding(self, bench):
        await self.apply(bench)
        try:
            yield
            await asyncio.sleep(self.hold)
        finally:
            await self.lift(bench)


def _net(side, mode, *, cut=False, lose=False):
    async def apply(bench):
        it = getattr(bench.peer, side)
        await it.set(mode)
        if cut:
            it.cut()
        if lose:
            it.lose()

    async def lift(bench):
        await getattr(bench.peer, side).set(front.PASS)

    return dict(apply=apply, lift=lift, tunnels=side == "router")


def _certificate(side, which):
    async def apply(bench):
        it = getattr(bench.peer, side)
        it.backend = bench.peer.ports[which]
        it.cut()

    async def lift(bench):
        it = getattr(bench.peer, side)
        it.backend = bench.peer.ports["good"]
        it.cut()

    return dict(apply=apply, lift=lift, tunnels=side == "router")


def _world(**state):
    async def apply(bench):
        bench.world.set(**state)
        bench.peer.controller.cut()

    async def lift(bench):
        bench.world.set()

    return dict(apply=apply, lift=lift, world=True)


def _answers(answer, left=None, methods=EXPORTER_CALLS, end=None, tunnels=False):
    async def apply(bench):
        bench.peer.answers.plan(answer, methods, left)
        if "Status" in methods or "Listen" in methods:
            bench.peer.answers.end_streams(end)

    async def lift(bench):
        if left is None:
            bench.peer.answers.lift()

    return dict(apply=apply, lift=lift, tunnels=tunnels, tries=left or 0)


CODES = ("UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "UNIMPLEMENTED", "INTERNAL")


def _faults():
    for side in ("controller", "router"):
        yield Fault(f"{side}-refuses", f"the {side}'s machine is up, its port closed", **_net(side, front.REFUSE, cut=True))
        yield Fault(f"{side}-silent", f"the {side} takes connections and says nothing",
                    **_net(side, front.SILENT, cut=True))
        yield Fault(f"{side}-half-open", f"packets to and from the {side} get lost, then new connections are dead, too",
                    **_net(side, front.SILENT, lose=True))
        yield Fault(f"{side}-lost", f"packets of the running connections to the {side} get lost, new ones work",
                    **_net(side, front.PASS, lose=True))
        yield Fault(f"{side}-resets", f"each connection to the {side} is reset", **_net(side, front.RESET, cut=True))
        yield Fault(f"{side}-restarts", f"all connections to the {side} are reset once",
                    **_net(side, front.PASS, cut=True))
        yield Fault(f"{side}-stranger", f"the {side}'s certificate is from another authority",
                    **_certificate(side, "changed"))
        yield Fault(f"{side}-expired", f"the {side}'s certificate has expired", **_certificate(side, "expired"))
    yield Fault("name-gone", "the controller's name has no address", **_world(nameless=True))
    yield Fault("clock-ahead", "the wall clock jumps an hour ahead, and back", **_world(ahead=3600))
    yield Fault("clock-back", "the wall clock jumps an hour back, and again", **_world(ahead=-3600))
    yield Fault("clock-2036", "the wall clock jumps ten years ahead, where no certificate is valid, and back",
                **_world(ahead=10 * 365 * 86400))
    for code in CODES:
        answer = getattr(grpc.StatusCode, code)
        yield Fault(f"{code}-once", f"each call of the exporter is answered {code} once",
                    **_answers(answer, 1, end=answer))
        yield Fault(f"{code}-ten-times", f"each call of the exporter is answered {code} ten times",
                    **_answers(answer, 10, end=answer))
        yield Fault(f"{code}-a-while", f"all calls of the exporter are answered {code} for a while", hold=WHILE,
                    **_answers(answer, end=answer))
    yield Fault("controller-hangs", "calls of the exporter are taken and not answered", **_answers(Plan.HANG))
    yield Fault("streams-end", "Status and Listen end in good order, again and again",
                **_answers(Plan.CLEAN, methods=("Status", "Listen")))
    yield Fault("router-UNAVAILABLE", "streams through the router are refused",
                **_answers(grpc.StatusCode.UNAVAILABLE, methods=("Stream",)))
    for method in ("Register", "Status", "ReportStatus", "Listen", "ReleaseLease"):
        yield Fault(f"{method}-fails", f"{method} alone is answered INTERNAL",
                    **_answers(grpc.StatusCode.INTERNAL, methods=(method,), end=grpc.StatusCode.UNAVAILABLE))
        yield Fault(f"{method}-hangs", f"{method} alone is not answered",
                    **_answers(Plan.HANG, methods=(method,), end=grpc.StatusCode.UNAVAILABLE))


FAULTS = {fault.name: fault for fault in _faults()}


#
# Moments. Each ends with the lease over and the agent free again; what follows is the same for all (row()).
#

async def start(bench, fault):
    """the agent is started"""
    bench.stop_agent()
    mark = bench.mark()
    async with fault.holding(bench):
        bench.start_agent()
    await bench.available(mark)


async def idle(bench, fault):
    """nobody has a lease"""
    async with fault.holding(bench):
        pass
    await bench.available()


async def announced(bench, fault):
    """the controller hands the exporter out just then"""
    async with fault.holding(bench):
        lease = bench.assign()
    await _used(bench, lease)


async def before(bench, fault):
    """the beforeLease hook is running"""
    with bench.gate("beforeLease"):
        lease = bench.assign()
        await bench.in_hook(lease, "BEFORE_LEASE_HOOK")
        async with fault.holding(bench):
            pass
    await _used(bench, lease)


async def in_use(bench, fault):
    """a client works: calls, and a stream that stays open"""
    lease = bench.assign()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        async with fault.holding(bench):
            if not fault.tunnels:
                for _ in range(3):
                    await client.echoes()
        if not fault.tunnels:
            await client.works()        # on the very same tunnel
        else:
            await client.dial_until_works()
    bench.delete(lease)
    await bench.available(lease.over)


async def end_session(bench, fault):
    """the client says that it is done"""
    lease = bench.assign()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        async with fault.holding(bench):
            try:
                answer = await bench.end_session(client)
                if not answer.success:
                    raise Failed(f"EndSession: {answer.message}")
            except grpc.aio.AioRpcError:
                if not fault.tunnels:
                    raise
    bench.delete(lease)
    await bench.available(lease.over)


async def after(bench, fault):
    """the afterLease hook is running"""
    lease = bench.assign()
    await bench.ready(lease)
    with bench.gate("afterLease"):
        async with Client(bench, lease) as client:
            await client.dial_until_works()
            await bench.end_session(client)
            await bench.in_hook(lease, "AFTER_LEASE_HOOK")
            async with fault.holding(bench):
                pass
    bench.delete(lease)
    await bench.available(lease.over)


async def release(bench, fault):
    """the client is gone after EndSession, and the agent gives the lease back itself"""
    lease = bench.assign()
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
        await bench.end_session(client)
        async with fault.holding(bench):
            pass
    await bench.released(lease)
    await bench.available(lease.over)


async def over(bench, fault):
    """the lease runs out, unused"""
    lease = bench.assign()
    await bench.ready(lease)
    async with fault.holding(bench):
        bench.delete(lease)
    await bench.available(lease.over)


async def shutdown(bench, fault):
    """the agent is stopped in mid-lease"""
    lease = bench.assign()
    await bench.ready(lease)
    async with fault.holding(bench):
        status = await asyncio.to_thread(bench.stop_agent)
        if status != 0:
            raise Failed(f"exit status {status}")
    bench.peer.answers.lift()
    bench.delete(lease)
    mark = bench.mark()
    bench.start_agent()
    await bench.available(mark)


async def _used(bench, lease):
    await bench.ready(lease)
    async with Client(bench, lease) as client:
        await client.dial_until_works()
    bench.delete(lease)
    await bench.available(lease.over)


MOMENTS = {"start": start, "idle": idle, "announced": announced, "beforeLease": before, "in use": in_use,
           "EndSession": end_session, "afterLease": after, "release": release, "lease over": over, "shutdown": shutdown}

def rows():
    """(fault, moment) of each row. Without a tunnel the router is not asked: then its faults are rows of nothing."""
    for fault in FAULTS.values():
        for name in MOMENTS:
            asks_router = name in ("in use", "EndSession", "announced")
            if fault.name.startswith("router") and not asks_router:
                continue
            yield fault, name


DOCUMENT = """\
<!-- made by tests/faults/run --table; a test holds it equal -->
# What may fail, and when

Each cell of this table is a test: a fault of the controller, the router, the network or the clock, at one moment of a lease.
The peers are real gRPC servers that misbehave on command (`tests/faults`), behind ports on which packets get lost. There are
{rows} of them. After each

- the same process serves the next lease, to a client that calls a driver through a tunnel, within the bound;
- it has no descriptor, thread of its own, child process or listening port more than before;
- what the controller heard is a path through the life of a lease: no status lost for good, none out of order;
- a client that worked while the controller failed worked on, through the same tunnel and the same open stream.

At the end the memory of each agent is compared with what it was after ten rows. One agent that lived through 371 rows had 9.3 MiB
of private memory after 20 of them, 9.7 after 120, and from row 260 to the last one the same 10,108 KiB.

The exporter tries for ever, from half a second to thirty seconds apart, so that it is back within about a minute of the
end of a fault, whatever it was. The tests run it with `--patience {patience}`: all its waits are {patience} % of the usual
ones, and the bound is {bound} s, most of which is for busy machines. While calls are refused so many times, those tries are
waited for on top of it.

    tests/faults/run                        # all rows, some minutes
    tests/faults/run --rows "clock"         # those with this in "FAULT x MOMENT"
    tests/faults/run --campaign 600         # storms: up to three faults at once, for ten minutes; prints its seed
    tests/faults/run --campaign 75 --seed N # the same storms as that seed brought

All rows, and ten minutes of storms with a seed of their own, which eight agents at once have behind them after 75 seconds, run
in each continuous integration. Ten minutes of eight agents do not fit into its hour: `ctest --preset dev -R faults-campaign-long`.

## Moments

{moments}

## Faults

They last {hold} s, half the longest pause between two tries; "a while" is {while_} s, as long as that pause: at the usual pace
half a minute.

{faults}

## The table

{table}

The router is asked only when a client dials, so its faults have no rows at other moments.

## Leases at the edges

The same is asked of these, which need no fault of a peer (`--rows edge`):

{edges}

## Known limits

- When the wall clock is set *back*, the timers of the gRPC library stand still for as long: they sleep by the wall clock. The
  exporter's own do not, so connections are made anew and calls end in time. A connection that gets lost without a sign within
  that time is noticed only after it. Storms leave clocks alone for this reason.
"""


def one_line(function):
    """What it says of itself: what Python keeps of the spaces in that depends on its version."""
    return " ".join(function.__doc__.split())


def document(edges):
    tested = {(fault.name, moment) for fault, moment in rows()}
    lines = ["| fault | " + " | ".join(MOMENTS) + " |", "|---" * (len(MOMENTS) + 1) + "|"]
    for fault in FAULTS.values():
        cells = ["x" if (fault.name, moment) in tested else "" for moment in MOMENTS]
        lines.append(f"| {fault.name} | " + " | ".join(cells) + " |")
    return DOCUMENT.format(
        rows=len(tested), patience=PATIENCE, bound=BOUND, hold=HOLD, while_=WHILE, table="\n".join(lines),
        edges="\n".join(f"- **{name}**: {one_line(edge)}" for name, edge in edges.items()),
        moments="\n".join(f"- **{name}**: {one_line(moment)}" for name, moment in MOMENTS.items()),
        faults="\n".join(f"- **{fault.name}**: {fault.help}" for fault in FAULTS.values()))


class Storm:
    """Several faults at once, each at a time of its own; all is decided by @chance."""

    def __init__(self, chance):
        # Without clocks: what one that was set back does to gRPC's timers (see "Known limits") would outlast the storm.
        self.faults = chance.sample([f for f in FAULTS.values() if not f.name.startswith("clock")], chance.randint(1, 3))
        self.pauses = [chance.uniform(0, 0.3) for _ in self.faults]
        self.hold = chance.uniform(0, 1)
        self.tunnels = any(fault.tunnels for fault in self.faults)
        self.tries = sum(fault.tries for fault in self.faults)
        self.name = " + ".join(fault.name for fault in self.faults)

    @contextlib.asynccontextmanager
    async def holding(self, bench):
        async def come():
            for fault, pause in zip(self.faults, self.pauses):
                await asyncio.sleep(pause)
                await fault.apply(bench)

        coming = asyncio.ensure_future(come())
        try:
            yield
            await coming
            await asyncio.sleep(self.hold)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            for fault in self.faults:
                await fault.lift(bench)


async def row(bench, happens, tries):
    """`happens()` and what has to be true after it; returns how long the next lease took. @tries: how often each call is
    refused, which is no time of the agent's recovery: Register, then Status, then what it reports are asked again and again."""
    mark = bench.mark()
    bench.bound = BOUND + 3 * tries * BACKOFF
    try:
        await happens()
    finally:
        bench.peer.answers.lift()
        bench.bound = BOUND
    begin = asyncio.get_running_loop().time()
    await bench.whole_lease()
    took = asyncio.get_running_loop().time() - begin
    bench.check_order(mark)
    return took
