# SPDX-License-Identifier: Apache-2.0
"""jmp-agent behind a cable of its own: jmp-labd and the client are in one network namespace, the agent in another, with a pair
of virtual interfaces between. The cable is cut and plugged in again; with netem in the kernel it also loses and delays packets.
Runs itself in a new namespace, so it needs root, and nothing of the machine's own network is touched. 77: not possible here.
Loss and delay are a test of their own (--loss), for many kernels have no netem."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "bench")]

import lab as labs  # noqa: E402
from harness.program import Program, sweep, wait_until  # noqa: E402

LAB, AGENT = "10.77.0.1", "10.77.0.2"
# What was sent into a short cut TCP sends again after 0.2, 0.6 and 1.4 s: for so long at least an answer is waited for.
GRPC = ("{grpc.keepalive_time_ms: 1000, grpc.keepalive_timeout_ms: 3000, grpc.min_reconnect_backoff_ms: 2000, "
        "grpc.max_reconnect_backoff_ms: 500}")
EXPORT = {"power": {"type": "jumpstarter_driver_power.driver.MockPower"}}
# A line for each call: how many there were, and whether it went well.
WORK = "n=0; while :; do n=$((n+1)); jmpctl power on >/dev/null 2>&1 && echo good $n || echo bad $n; sleep 0.05; done"


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


class Cable:
    """One end is ours, the other in a namespace of the agent's."""

    def __init__(self, stack):
        self.name = f"jmp-test-{os.getpid()}"
        ip("netns", "add", self.name)
        stack.callback(ip, "netns", "del", self.name, check=False)
        ip("link", "set", "lo", "up")
        ip("link", "add", "cable", "type", "veth", "peer", "name", "far", "netns", self.name)
        ip("address", "add", f"{LAB}/24", "dev", "cable")
        ip("link", "set", "cable", "up")
        self.far("address", "add", f"{AGENT}/24", "dev", "far")
        self.far("link", "set", "lo", "up")
        self.far("link", "set", "far", "up")

    def far(self, *words):
        ip("-n", self.name, *words)

    def cut(self):
        ip("link", "set", "cable", "down")

    def plug(self):
        ip("link", "set", "cable", "up")

    def spoil(self, *how):
        """False: this kernel cannot."""
        if not shutil.which("tc"):
            return False
        done = subprocess.run(["tc", "qdisc", "replace", "dev", "cable", "root", "netem", *how], capture_output=True)
        return done.returncode == 0

    def mend(self):
        subprocess.run(["tc", "qdisc", "del", "dev", "cable", "root"], check=True, capture_output=True)


def calls_go_well(shell, count, timeout):
    """So many calls in a row, from now on."""
    seen, end = shell.mark(), time.monotonic() + timeout
    while True:
        lines = shell.output(seen).splitlines()
        after_last_bad = next((i for i in range(len(lines), 0, -1) if lines[i - 1].startswith("bad")), 0)
        if len(lines) - after_last_bad >= count:
            return
        assert time.monotonic() < end, f"only these calls in {timeout} s: {lines[-20:]}"
        time.sleep(0.05)


def cut(cable, agent, shell):
    cable.cut()
    time.sleep(0.7)         # shorter than the keepalive takes: this is what is tested, not a wait
    cable.plug()
    calls_go_well(shell, 10, 60)
    assert "connection broke" not in agent.output(), "the controller was given up in a moment"
    print("a cable that was out for a moment: nothing was lost", flush=True)

    mark = agent.mark()
    cable.cut()
    agent.wait_line("connection broke with", 60, since=mark)
    cable.plug()
    agent.wait_line("registered with", 60, since=mark)
    calls_go_well(shell, 10, 60)
    print("a cable that was out for long: registered again, the lease goes on", flush=True)


def loss(cable, shell):
    assert cable.spoil("delay", "40ms", "20ms", "loss", "5%")
    calls_go_well(shell, 20, 120)
    cable.mend()
    calls_go_well(shell, 10, 60)
    print("40 ms +- 20 ms late, 5 % lost: the calls go on", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=lambda p: Path(p).resolve(), default=HERE.parents[1] / "build/dev")
    parser.add_argument("--loss", action="store_true", help="packets get lost and late, instead of a cable that is cut")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
            print("network namespaces are not to be had here")
            sys.exit(77)
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, __file__, "--inside", f"--build={options.build}",
                               *(["--loss"] if options.loss else [])])

    with ExitStack() as stack:
        stack.callback(sweep)
        cable = Cable(stack)
        if options.loss and not cable.spoil("delay", "1ms"):
            print("this kernel has no netem (CONFIG_NET_SCH_NETEM), or there is no tc: loss and delay cannot be tried")
            sys.exit(77)
        place = labs.Directory(stack)
        env = place.env(options.build)
        lab = labs.Lab(place, options.build, env, listen=f"{LAB}:0")
        stack.callback(lab.program.stop)
        config = lab.create_exporter("far", EXPORT)
        text = config.read_text()
        assert "\ngrpcOptions: {}\n" in text
        config.write_text(text.replace("\ngrpcOptions: {}\n", f"\ngrpcOptions: {GRPC}\n"))
        agent = Program(["ip", "netns", "exec", cable.name, options.build / "agent/jmp-agent", "run", "--exporter-config",
                         config, "--patience", "10", "--log-format", "text"], env=env, name="jmp-agent")
        stack.callback(agent.stop)
        agent.wait_line("status AVAILABLE reported", 30)
        lab.wait_available("far")
        shell = Program([options.build / "ctl/jmpctl", "--client-config", lab.client, "shell", "-n", "far", "--duration", "1h",
                         "--", "sh", "-c", WORK], env=env, name="jmpctl shell")
        stack.callback(shell.stop)
        try:
            calls_go_well(shell, 5, 30)
            print("calls go well", flush=True)

            if options.loss:
                loss(cable, shell)
            else:
                cut(cable, agent, shell)
            wait_until(lambda: lab.exporters()["far"], 20, "the exporter is gone")
        except AssertionError:
            print(agent.tail(40), lab.program.tail(20), shell.tail(20), sep="\n---\n")
            raise


main()
