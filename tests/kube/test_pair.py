# SPDX-License-Identifier: Apache-2.0
"""Two agents for one exporter, of which a Lease lets one serve: whatever happens to it, the other follows and never joins."""

import os
import signal
import threading
from pathlib import Path

import pytest
import yaml
from conftest import COORDINATION, takeover
from harness.exporter import POWER, agent_path, driver
from harness.lab import Labd
from harness.place import Place
from harness.program import Program, descendants, run, wait_until

LEASES = COORDINATION + "default/leases"
TIMING = ("--lease-duration", "6", "--renew-deadline", "4", "--retry-period", "0.5")


def state(pid):
    """(what it is, whether it runs); a zombie does not."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return "", False
    return name, rest.split()[0] != "Z"


class Side:
    """One machine of the pair: an elector, and below it, while it leads, a guard and the agent."""

    def __init__(self, pair, name):
        self.name = name
        home = pair.place.root / name
        home.mkdir(mode=0o700)
        kubeconfig = pair.server.kubeconfig(home / "kubeconfig", user={"token": f"token-of-{name}"})
        self.elector = Program(
            [pair.build / "ctl" / "jmpctl", "kube", "elect", "--kubeconfig", kubeconfig, "--lease", "board", "--identity", name,
             *TIMING, "--release", "--", agent_path(pair.build), "run", "--exporter-config", pair.exporter],
            env={**pair.place.env, "XDG_RUNTIME_DIR": str(home)}, name=f"side {name}")

    def agents(self):
        return [p for p in descendants(self.elector.pid) if state(p)[0] == "jmp-agent"]


class Pair:
    def __init__(self, place, build, server):
        self.place, self.build, self.server = place, build, server
        self.unreachable, self.healed = set(), threading.Event()
        server.rules.append(self._answer)
        self.labd = Labd(place, build)
        self.client = self.labd.create_client("alice")
        path = self.labd.create_exporter("board", {"board": "pair"})
        settings = {**yaml.safe_load(path.read_text()), "export": {"power": driver(POWER)}}
        self.exporter = place.file("run-board.yaml", yaml.safe_dump(settings, sort_keys=False))
        self.exporter.chmod(0o600)
        self.sides = {name: Side(self, name) for name in "ab"}

    def _answer(self, request):
        """What is lost on the way has no answer at all, not a quick refusal."""
        if any(request.headers.get("Authorization") == f"Bearer token-of-{name}" for name in self.unreachable):
            self.healed.wait(60)
            return 503, b"lost on the way"
        return None

    def holder(self):
        found = self.server.objects.get(LEASES, {}).get("board")
        return found["spec"]["holderIdentity"] if found else ""

    def board_is_had(self):
        """By a client that knows nothing of all this."""
        done = run([self.build / "ctl" / "jmpctl", "shell", "--client-config", self.client, "-l", "board=pair", "--", "sh", "-c",
                    f"{self.build}/ctl/jmpctl power on && echo had $JMP_EXPORTER"], env=self.place.env, timeout=60)
        assert done.status == 0 and "had board" in done.out.splitlines(), str(done)

    def close(self):
        self.healed.set()
        for side in self.sides.values():
            side.elector.kill()
            side.elector.forget()
        self.labd.stop()
        self.place.close()


@pytest.fixture
def pair(request, server):
    build = Path(request.config.getoption("--build")).resolve()
    pair = Pair(Place(build), build, server)
    yield pair
    pair.close()


def power_cut(pair, side, agents):
    side.elector.kill()


def elector_killed(pair, side, agents):
    os.kill(side.elector.pid, signal.SIGKILL)


def elector_stopped(pair, side, agents):
    os.kill(side.elector.pid, signal.SIGSTOP)


def partition(pair, side, agents):
    pair.unreachable.add(side.name)


def agent_killed(pair, side, agents):
    os.kill(agents[0], signal.SIGKILL)


@pytest.mark.parametrize("harm", [power_cut, elector_killed, elector_stopped, partition, agent_killed])
def test_the_other_serves_when_one_is_lost_and_never_do_both(pair, harm):
    wait_until(lambda: pair.holder() and pair.sides[pair.holder()].agents(), 60, "one side has an agent")
    first = pair.sides[pair.holder()]
    second = pair.sides["ba"["ab".index(first.name)]]
    pair.board_is_had()
    agents = first.agents()
    assert agents and not second.agents()
    harm(pair, first, agents)
    # The first's must have ended before the second's began, so at this sight of it they are gone.
    wait_until(second.agents, 60, second.elector.tail)
    assert not [p for p in agents if state(p)[1]], f"both have an agent\n{first.elector.tail()}\n{second.elector.tail()}"
    assert pair.holder() == second.name
    pair.board_is_had()
    if harm is not agent_killed:    # which gives the Lease back
        print(f"taken over after {takeover(pair.server, LEASES + '/board', first.name, second.name, 6, 0.5):.1f} s")
    if harm is elector_stopped:
        os.kill(first.elector.pid, signal.SIGCONT)
    elif harm is partition:
        pair.unreachable.clear()
        pair.healed.set()
    if harm in (elector_stopped, partition):
        assert first.elector.wait(40) == 1, first.elector.tail()    # it has lost, and says so
        assert pair.holder() == second.name
        assert not first.agents()
