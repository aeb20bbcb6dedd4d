# SPDX-License-Identifier: Apache-2.0
"""What takes minutes, and so is not among the tests of every day: ctest -L long -R kube."""

import os
import signal
import statistics

import pytest
from conftest import one_after_the_other, takeover
from harness.kubernetes import status
from harness.program import wait_until
from test_access import get
from test_leases import LEASES, QUICK, spec


@pytest.mark.timeout(900)
def test_twenty_leaders_are_killed_and_never_do_two_work_at_once(server, commands, tmp_path):
    log = tmp_path / "log"
    work = f"echo + $$ >> {log}; trap 'echo - $$ >> {log}; exit 0' TERM; while :; do echo . $$ >> {log}; sleep 0.05; done"
    running, seconds = {}, []

    def start(name):
        server.kubeconfig(commands.kubeconfig.with_name(f"kubeconfig-{name}"), user={"token": f"token-of-{name}"})
        running[name] = commands.start("kube", "elect", "--kubeconfig", str(commands.kubeconfig.with_name(f"kubeconfig-{name}")),
                                       "--lease", "it", "--identity", name, *QUICK, "--", "sh", "-c", work)

    def holder():
        return server.objects.get(LEASES) and spec(server)["holderIdentity"]
    for number in range(3):
        start(f"n-{number}")
    wait_until(lambda: holder() in running, 60, "a first leader")
    for number in range(3, 23):
        lost = holder()
        wait_until(lambda: log.exists() and log.read_text().count("+") == number - 2, 60, "it works")
        os.kill(running.pop(lost).pid, signal.SIGKILL)
        start(f"n-{number}")
        wait_until(lambda: holder() in running, 60, "another leader")
        seconds.append(takeover(server, LEASES + "/it", lost, holder(), 4, 0.5))
    one_after_the_other(log)
    print(f"20 leaders killed; the next led {statistics.median(seconds):.1f} s after the last renewal, {max(seconds):.1f} s at most")


def test_a_server_that_always_asks_to_come_again_is_left(server, commands):
    """Once, and ten times more."""
    server.rules.append(lambda r: (*status(429, "slow"), {"Retry-After": "1"}))
    result = get(commands)
    assert result.code == 1
    assert "Error from server (TooManyRequests): slow" in result.err
    assert len(server.asked()) == 11
    assert server.asked()[-1].at - server.asked()[0].at >= 9.5
