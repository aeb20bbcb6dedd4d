# SPDX-License-Identifier: Apache-2.0
"""What an exporter tells of itself on this machine: jmpctl agent."""

import json
import socket
import urllib.request

import grpc
import pytest
from conftest import start
from harness import exporter as exporters
from harness import stock
from harness.exporter import driver
from harness.program import Program, run

pytestmark = pytest.mark.native(reason="the stock exporter has no control socket")

EXPORT = {"power": driver(exporters.POWER), "gone": driver("serial", url="/dev/no-such-tty")}


@pytest.fixture
def ctl(build, place):
    def ctl(*words):
        return run([build / "ctl" / "jmpctl", "agent", *words], env=place.env, timeout=20)
    return ctl


def test_status_tells_state_drivers_and_their_errors(request, ctl):
    with start(request, EXPORT):
        status = json.loads(ctl("status", "-o", "json").ok().out)
        assert status["state"] == "ready" and status["status"] == "LEASE_READY"
        drivers = {d["path"]: d for d in status["drivers"]}
        assert drivers["power"]["health"] == "open" and drivers["power"]["error"] is None
        assert drivers["gone"]["health"] == "missing" and "no-such-tty" in drivers["gone"]["error"]
        assert status["lease"]["name"] and status["pid"] and status["version"]
        text = ctl("status").ok().out
        assert "gone (serial): missing: " in text and "state       ready" in text


def test_what_changes_is_told_and_drain_ends_it(request, ctl, build, place):
    with start(request, EXPORT) as exporter:
        name = json.loads(ctl("status", "-o", "json").ok().out)["name"]
        watch = Program([build / "ctl" / "jmpctl", "agent", "status", "--watch", name], env=place.env)
        watch.wait_line("state       ready")
        if exporter.endpoint:       # without leases it can go at once
            assert "stops now" in ctl("drain", name).ok().err
            assert exporter.program.wait() == 0
            assert watch.wait() == 1 and "closed the connection" in watch.output()
        watch.stop()
        watch.forget()


def test_where_there_is_none_it_says_so(ctl):
    answer = ctl("status", "nobody")
    assert answer.status == 1 and "no exporter nobody runs on this machine" in answer.err


def test_calls_are_counted(build, place):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = place.file("metrics.yaml", exporters.config(EXPORT))
    agent = Program([build / "agent" / "jmp-agent", "run", "--exporter-config", path, "--tls-grpc-insecure",
                     "--tls-grpc-listener", "127.0.0.1:0", "--metrics", f"127.0.0.1:{port}"], env=place.env)
    try:
        endpoint = agent.wait_line(r"listening on (127\.0\.0\.1:[1-9]\d*)")[1]
        with stock.Raw(endpoint) as raw:
            raw.call(raw.uuid("power"), "on")
            with pytest.raises(grpc.RpcError):
                raw.call(raw.uuid("gone"), "connect")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        assert 'jumpstarter_operations_total{driver_type="power",operation="on"} 1' in lines
        assert "jumpstarter_devices_missing 1" in lines and lines[-1] == "# EOF"
        assert agent.stop() == 0
    finally:
        agent.stop()
        agent.forget()
