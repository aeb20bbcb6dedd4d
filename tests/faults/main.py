# SPDX-License-Identifier: Apache-2.0
"""Runs the table of faults, or shows it. Each row ends with the agent, still the same process, serving the next lease
within a bound, with no descriptor, thread, child or port more than before; the memory of each agent is judged at the end."""

import argparse
import functools
import itertools
import random
import subprocess
import sys
import time
from pathlib import Path

from harness.place import Place
from harness.program import Program, sweep

import edges
import table
from bench import BOUND, PATIENCE, Bench

HERE = Path(__file__).resolve().parent
# Private memory from the tenth row to the last, KiB for each row and once: an allocator's mood, not a leak.
GROWTH, GROWTH_ONCE = 24, 512
RESTARTS = ("start", "shutdown")      # moments that take another process


def wanted(options):
    """Names and what happens, as functions of a bench; whether it takes another process; how often calls are refused."""
    rows = [(f"{fault.name} x {moment}", functools.partial(table.MOMENTS[moment], fault=fault), moment in RESTARTS,
             fault.tries) for fault, moment in table.rows()]
    rows += [(f"edge {name}", edge, name in edges.RESTARTS, 0) for name, edge in edges.EDGES.items()]
    return [row for row in rows if not options.rows or options.rows in row[0]]


def storms(seed):
    """Without an end: what happens is decided by the seed alone."""
    chance = random.Random(seed)
    for number in itertools.count(1):
        storm, moment = table.Storm(chance), chance.choice(list(table.MOMENTS))
        yield f"storm {number}: {storm.name} x {moment}", functools.partial(table.MOMENTS[moment], fault=storm), \
            moment in RESTARTS, storm.tries


class Runner:
    """Some of the rows, one after the other, at one agent."""

    def __init__(self, options):
        self.options = options
        self.place = Place(options.build)
        self.bench = Bench(self.place, options.build)
        self.failed, self.memory, self.longest = 0, [], 0

    def close(self):
        self.bench.close()
        self.place.close()

    def fresh(self):
        """An agent that has served some leases, for gRPC keeps what it has needed once."""
        if not self.bench.agent:
            self.bench.start_agent()
        self.bench.peer.do(self._warm(), 120)

    async def _warm(self):
        for _ in range(3):
            await self.bench.whole_lease()
        self.base = self.bench.costs()

    def one(self, name, happens, restarts, tries):
        begin = time.monotonic()
        try:
            pid = self.bench.agent.pid
            took = self.bench.peer.do(table.row(self.bench, lambda: happens(self.bench), tries), 8 * BOUND)
            if self.bench.agent.pid != pid and not restarts:
                raise AssertionError("the agent was restarted")
            if self.bench.agent.pid == pid:
                self.bench.peer.do(self.bench.settled(self.base), 2 * BOUND)
                self.memory.append(self.bench.dirty_kib())
            else:
                self.grown()
                self.fresh()
            self.longest = max(self.longest, took)
            print(f"ok      {name}: next lease {took:.2f} s, row {time.monotonic() - begin:.1f} s",
                  flush=True)
        except Exception as error:
            self.failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}\n"
                  + (self.bench.agent.tail(self.options.lines) if self.bench.agent else "(no agent)"), flush=True)
            self.memory = []
            for front in (self.bench.peer.controller, self.bench.peer.router):
                front.backend = self.bench.peer.ports["good"]
                self.bench.peer.do(front.set("pass"))
            self.bench.world.set()
            self.bench.stop_agent()
            for lease in self.bench.peer.leases.values():
                self.bench.peer.loop.call_soon_threadsafe(self.bench.peer.release, lease)
            self.fresh()

    def grown(self):
        """Judges the memory of the agent that has served the rows up to now."""
        rows, self.memory = self.memory[10:], []
        if len(rows) < 20:
            return
        each = (rows[-1] - rows[0]) / len(rows)
        print(f"memory  {rows[0]} -> {rows[-1]} KiB in {len(rows)} rows, {each:+.1f} KiB each", flush=True)
        if rows[-1] - rows[0] > GROWTH_ONCE + GROWTH * len(rows):
            self.failed += 1
            print("FAILED  memory grows", flush=True)


def run_shard(options, index):
    # Those that take long are dealt out first, and those of a moment to all agents, which then end together. Each agent has
    # them in the table's order: after a clock that was set back its lost connections are noticed late (docs/faults.md).
    rows = wanted(options)
    dealt = sorted(range(len(rows)), key=lambda i: (-rows[i][3], rows[i][0].partition(" x ")[2]))[index::options.jobs]
    rows = [rows[i] for i in sorted(dealt)]
    # what needs much memory comes first, and what restarts the agent last: the longer one lives, the more its memory tells
    rows.sort(key=lambda row: (row[2], not row[0].startswith("edge")))
    runner = Runner(options)
    try:
        runner.fresh()
        if options.campaign:
            seed = options.seed + index
            print(f"seed    {seed}", flush=True)
            end = time.monotonic() + options.campaign
            rows = itertools.takewhile(lambda _: time.monotonic() < end, storms(seed))
        for row in rows:
            runner.one(*row)
        runner.grown()
        status = runner.bench.stop_agent()
        if status != 0:
            print(f"FAILED  the agent ended with {status}")
            runner.failed += 1
        print(f"longest {runner.longest:.2f}", flush=True)
    finally:
        runner.close()
        for program in list(Program.running):
            program.stop()
        sweep()
    return runner.failed


def run_all(options):
    """Rows mostly wait, so several agents run beside each other, each with a peer of its own."""
    rows = wanted(options)
    jobs = options.jobs if options.campaign else min(options.jobs, len(rows))
    again = [f"--build={options.build}", f"--lines={options.lines}", f"--campaign={options.campaign}",
             f"--seed={options.seed}", *([f"--rows={options.rows}"] if options.rows else [])]
    shards = [subprocess.Popen([sys.executable, HERE / "main.py", *again, f"--jobs={jobs}", f"--shard={i}"],
                               stdout=subprocess.PIPE, text=True) for i in range(jobs)]
    ok = failed = 0
    longest = 0.0
    for shard in shards:
        for line in shard.stdout:
            if line.startswith("longest"):
                longest = max(longest, float(line.split()[1]))
                continue
            print(line, end="", flush=True)
            ok += line.startswith("ok ")
            failed += line.startswith("FAILED ")
        if shard.wait() and not failed:
            failed += 1
    print(f"{ok} of {ok + failed if options.campaign else len(rows)} rows ok; the next lease took {longest:.2f} s at most (bound {BOUND} s, --patience "
          f"{PATIENCE})")
    return failed or not ok or (not options.campaign and ok != len(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=lambda p: Path(p).resolve(), default=HERE.parents[1] / "build/dev")
    parser.add_argument("--rows", help="only rows with this in \"FAULT x MOMENT\"")
    parser.add_argument("--table", action="store_true", help="print the table as it stands in docs/faults.md")
    parser.add_argument("--campaign", type=float, default=0, metavar="SECONDS",
                        help="several faults at once at random moments, instead of the table")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the campaign; the N-th agent adds N")
    parser.add_argument("--jobs", type=int, default=8, help="agents at a time (default: 8)")
    parser.add_argument("--shard", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=int, default=40, help="how much of the agent's log a failure shows")
    options = parser.parse_args()
    if options.table:
        print(table.document(edges.EDGES), end="")
        return
    if options.shard is not None:
        sys.exit(run_shard(options, options.shard) > 0)
    sys.exit(run_all(options))


main()
