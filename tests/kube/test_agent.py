# SPDX-License-Identifier: Apache-2.0
"""An exporter that keeps a Lease in a cluster fresh, and serves whether the cluster answers or not."""

import pytest
from conftest import COORDINATION
from harness.exporter import POWER, agent_path, config, driver
from harness.place import Place
from harness.program import Program

LEASES = COORDINATION + "farm/leases"


class Agent:
    def __init__(self, build, kubernetes):
        self.place = Place(build)
        text = config({"power": driver(POWER)}, kubernetes=kubernetes)
        path = self.place.file("exporter.yaml", text)
        path.chmod(0o600)
        self.program = Program([agent_path(build), "run", "--exporter-config", path, "--tls-grpc-listener", "127.0.0.1:0",
                                "--tls-grpc-insecure"], env=self.place.env, name="jmp-agent")

    def close(self):
        self.program.stop()
        self.program.forget()
        self.place.close()


@pytest.fixture
def start(commands):
    agents = []

    def start(**kubernetes):
        agents.append(Agent(commands.build, {"namespace": "farm", "kubeconfig": str(commands.kubeconfig), **kubernetes}))
        return agents[-1].program
    yield start
    for agent in agents:
        agent.close()


def test_an_exporter_beats_and_a_monitor_sees_it(server, commands, start):
    monitor = commands.start("kube", "monitor", "-n", "farm")
    agent = start(heartbeat="bench-3")
    monitor.wait_line("bench-3 is live", timeout=60)
    made = server.asked("POST")[0].body["spec"]
    assert (made["holderIdentity"], made["leaseDurationSeconds"]) == ("bench-3", 40)
    server.wait(lambda: server.asked("PUT"), 60, "a renewal")
    assert server.asked("PUT")[0].at - server.asked("POST")[0].at >= 9.9
    agent.wait_line("[Ll]istening")
    assert agent.stop() == 0
    assert server.get(LEASES, "bench-3")["spec"]["holderIdentity"] == "bench-3"     # stale in a while, and still there


def test_an_exporter_serves_while_the_cluster_is_away(server, start):
    server.rules.append(lambda request: (500, b"down"))
    agent = start(heartbeat="bench-3")
    agent.wait_line("[Ll]istening")
    agent.wait_line('the heartbeat .*bench-3.* has failed 2 times in a row: Server error: down', timeout=60)
    server.rules.clear()
    server.wait(lambda: server.objects.get(LEASES), 60, "the Lease, once it answers")
    assert agent.alive()


@pytest.mark.parametrize("kubernetes, words", [
    ({"heartbeat": "Bench 3"}, 'kubernetes.heartbeat: "Bench 3" is no name of an object'),
    ({"heartbeat": "b", "kubeconfig": "/nowhere/kubeconfig"}, "/nowhere/kubeconfig: no heartbeat: cannot be read"),
    ({"heartbeat": "b", "context": "other"}, "no heartbeat: .*other"),
    ({}, "kubernetes.heartbeat"),
    ({"heartbeat": "b", "interval": 3}, "kubernetes.interval: unknown key"),
])
def test_what_cannot_work_is_said_at_once(start, kubernetes, words):
    agent = start(**kubernetes)
    assert agent.wait() == 1
    agent.wait_line(words)
