# SPDX-License-Identifier: Apache-2.0
"""`jmp shell` and `j` as a person types them, directly connected. Several commands share a shell: each `j` costs
half a second of processor time and more."""

import re
import time

import pytest
from harness.stock import EMPTY, Raw


# The shell that holds a lease writes its own log between the lines of its commands.
LOG = re.compile(r"^(\[\d\d/\d\d/\d\d \d\d:\d\d:\d\d\]| {20}) (DEBUG|INFO|WARNING) .*\n", re.M)


def sections(text):
    """What `say NAME; command` printed, by name: (lines, exit status)."""
    found, text = {}, LOG.sub("", text)
    for part in re.split(r"^== ", text, flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        body, _, status = rest.rpartition("\n= ")
        # the shell around the command logs onto the same terminal, with a time or indented below one
        lines = [line for line in body.splitlines() if not re.match(r"\[\d\d/\d\d/\d\d | {20}", line)]
        found[name] = (lines, int(status if status else rest.removeprefix("= ")))
    return found


def script(*commands):
    """Runs each command, with a heading before and its exit status after it, errors included."""
    return "\n".join(f'echo "== {c}"; {c} 2>&1; s=$?; echo; echo "= $s"' for c in commands)


def test_power_commands(shell, exporter):
    done = shell(script("j power on", "j power off", "j power read", "j power read -n 2 -i 0", "j lab power on",
                        "j relay off", "j sync_power on", "j sync_power read")).ok()
    found = sections(done.out)
    assert len(found) == 8, str(done)
    assert all(status == 0 for _, status in found.values()), str(done)
    readings = [line for line in found["j power read"][0] if line]
    assert len(readings) == 2 and re.search(r"\b0(\.0+)?\b", readings[0]) and re.search(r"\b5(\.0+)?\b", readings[1]), \
        str(done)
    assert len([line for line in found["j power read -n 2 -i 0"][0] if line]) == 4, str(done)
    assert [line for line in found["j sync_power read"][0] if line] == readings, str(done)


@pytest.fixture
def shared_logs(exporter, through):
    if through == "lab" and not exporter.native:
        pytest.skip("stock exporter: the shell that holds the lease takes the records away")


def test_drivers_say_what_they_do_on_the_log_stream(raw, shared_logs):
    with Raw(raw.endpoint) as other:
        logs = other.exporter.LogStream(EMPTY, timeout=20)
        raw.call(raw.uuid("power"), "on")
        for record in logs:
            assert record.severity in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), record
            if record.message == "power on":
                assert record.severity == "INFO"
                assert record.HasField("source") and record.source == 1, record      # LOG_SOURCE_DRIVER
                break
        logs.cancel()


def test_power_cycle_takes_two_seconds_between_off_and_on(shell):
    started = time.monotonic()
    shell("j power cycle").ok()
    assert time.monotonic() - started > 2.0


def test_help_lists_the_drivers_by_name(shell):
    found = sections(shell(script("j --help", "j lab --help", "j serial --help", "j power nosuch")).out)
    assert found["j --help"][1] == 0
    listed = {line.split()[0] for line in found["j --help"][0] if line.startswith("  ") and line.split()}
    assert listed >= {"power", "sync_power", "serial", "loop", "net", "udp", "unix", "echo", "storage", "lab",
                      "relay"}, found["j --help"]
    assert any("a board for tests" in line for line in found["j --help"][0]), found["j --help"]
    assert any(line.split()[:1] == ["storage"] for line in found["j lab --help"][0]), found
    assert any(line.split()[:1] == ["start-console"] for line in found["j serial --help"][0]), found
    assert found["j power nosuch"][1] == 1


@pytest.mark.direct(reason="test_lab asks for it there")
def test_shell_passes_on_the_exit_status_and_the_environment(shell, exporter):
    done = shell("env | grep -E '^(JMP|JUMPSTARTER)_'; exit 7")
    assert done.status == 7, str(done)
    assert f"JUMPSTARTER_HOST={exporter.endpoint}" in done.out.splitlines()
    assert {"JMP_EXPORTER=direct", "JMP_LEASE=direct", "JMP_GRPC_INSECURE=1"} <= set(done.out.splitlines())


def test_network_addresses(shell, board):
    found = sections(shell(script("j net address", "j net address --host", "j net address --port", "j udp address",
                                  "j hidden address", "j unix address", "j echo address")).out)
    assert found["j net address"] == ([f"127.0.0.1:{board.tcp.port}"], 0)
    assert found["j net address --host"] == (["127.0.0.1"], 0)
    assert found["j net address --port"] == ([str(board.tcp.port)], 0)
    assert found["j udp address"] == ([f"127.0.0.1:{board.udp.port}"], 0)
    assert found["j hidden address"][1] == 1
    assert "enable_address mode is not true" in found["j hidden address"][0][0]
    for name in ("j unix address", "j echo address"):
        assert found[name][1] == 1 and "does not support direct connection yet" in found[name][0][0], found


def test_storage_commands(shell):
    found = sections(shell(script("j storage host", "j storage dut", "j storage off", "j lab storage off")).out)
    assert [status for _, status in found.values()] == [0, 0, 0, 0], found


def test_exporter_logs_reach_the_shell(shell, shared_logs):
    done = shell("j power on; sleep 1", "--exporter-logs").ok()
    assert "power on" in done.out + done.err, str(done)
