# SPDX-License-Identifier: Apache-2.0
"""Hooks, as whoever holds the lease meets them: the stock client, our lab service, our exporter."""

import contextlib
import os
import re
import signal
import stat
from pathlib import Path

import pytest
import yaml
from harness import exporter as exporters
from harness.lab import Lease
from harness.place import BIN
from harness.program import Program, wait_until
from harness.stock import Raw, client

pytestmark = pytest.mark.native(reason="what the stock exporter does with hooks is not ours to prove")

EXPORT = {"power": exporters.driver(exporters.POWER), "echo": exporters.driver(exporters.ECHO)}


@pytest.fixture
def board(lab, kind):
    """board(beforeLease={...}, afterLease={...}): an exporter of its own for one test."""
    made = []

    def make(env=None, top=None, **hooks):
        made.append(lab.add_exporter(kind, EXPORT, hooks=hooks, env=env, **(top or {})))
        return made[-1]

    yield make
    for name in lab.leases():
        lab.config().delete_lease(name=name)
    for program in list(Program.running):
        if program.name == "jmp shell":
            program.kill()
            program.forget()
    for exporter in made:
        lab.exporters.pop(exporter.name)
        exporter.stop()
        exporter.program.forget()


def shell(lab, exporter, script="echo in the shell; j power on && echo powered", **how):
    return lab.shell(script, "-n", exporter.name, **how)


def no_leases(lab):
    wait_until(lambda: not lab.leases(), 30, lambda: f"leases are left: {lab.leases()}")


def runs(pid):
    """A process that has died may wait for whoever is to be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


class TestOutcomes:
    """What a failing hook does to the shell, its output and exit status, and to the exporter."""

    # the script fails at once, before any client can be connected, or late, when one has been waiting
    @pytest.mark.parametrize("pause", [0, 4])
    @pytest.mark.parametrize("mode, status", [("warn", 0), ("endLease", 1), ("exit", 1)])
    def test_before(self, lab, board, mode, status, pause):
        exporter = board(beforeLease={"script": f"echo I shall fail; sleep {pause}; exit 3", "onFailure": mode})
        done = shell(lab, exporter)
        said = done.out + done.err
        assert done.status == status, str(done)
        assert "[exporter:beforeLease] I shall fail" in said, str(done)
        assert f"Hook failed with exit code 3 (on_failure={mode}," in said, str(done)
        assert ("powered" in done.out.splitlines()) == (mode == "warn")
        if mode == "warn":
            assert "Warning: beforeLease hook warning: Hook failed with exit code 3" in said
            assert "Error:" not in said
        elif mode == "endLease":
            assert "Error: beforeLease hook failed (on_failure=endLease): Hook failed with exit code 3" in said, str(done)
        else:
            assert "Error: beforeLease hook failed (on_failure=exit, shutting down): Hook failed with exit code 3" in said
            assert exporter.program.wait(30) == 1
        no_leases(lab)
        if mode != "exit":
            lab.wait_status(exporter.name, "AVAILABLE")

    @pytest.mark.parametrize("mode, status", [("warn", 0), ("endLease", 1), ("exit", 1)])
    def test_after(self, lab, board, mode, status):
        exporter = board(afterLease={"script": "echo I shall fail; exit 3", "onFailure": mode})
        done = shell(lab, exporter)
        said = done.out + done.err
        assert done.status == status, str(done)
        assert "powered" in done.out.splitlines()
        assert "[exporter:afterLease] I shall fail" in said, str(done)
        assert f"Hook failed with exit code 3 (on_failure={mode}," in said, str(done)
        if mode == "warn":
            assert "Warning: afterLease hook warning: Hook failed with exit code 3" in said
        elif mode == "endLease":
            assert "Error: afterLease hook failed (on_failure=endLease): Hook failed with exit code 3" in said
        else:
            assert "Error: afterLease hook failed (on_failure=exit, shutting down): Hook failed with exit code 3" in said
            assert exporter.program.wait(30) == 1
        no_leases(lab)
        if mode != "exit":
            lab.wait_status(exporter.name, "AVAILABLE")

    def test_time_out_ends_all_that_the_hook_started(self, lab, board, place):
        pids = place.root / "pids"
        exporter = board(beforeLease={"script": f"sleep 1000 & echo $! $$ > {pids}; wait", "timeout": 2,
                                      "onFailure": "endLease"})
        done = shell(lab, exporter)
        assert done.status == 1
        assert "Hook timed out after 2 seconds" in done.out + done.err, str(done)
        assert not [pid for pid in pids.read_text().split() if runs(pid)]


class TestWhatAHookCanDo:
    @pytest.mark.parametrize("whose", ["stock", "ours"])
    def test_j(self, lab, board, place, whose):
        """The stock j where it is installed, else jmpctl under that name."""
        env = None
        if whose == "ours":
            path = [p for p in place.env["PATH"].split(os.pathsep) if p != str(BIN)]
            env = {"PATH": os.pathsep.join(path)}
        exporter = board(env=env, beforeLease={"script": "j power on && echo j is $(command -v j)"},
                         afterLease={"script": "j power off && echo off again"})
        done = shell(lab, exporter, "echo in the shell")
        found = re.search(r"\[exporter:beforeLease\] j is (\S+)", done.out + done.err)
        assert done.status == 0 and found, str(done)
        assert found[1].startswith(str(BIN)) == (whose == "stock")
        assert "off again" in done.out + done.err
        log = exporter.program.output()
        assert log.index('"power on"') < log.index('"power off"')

    def test_environment(self, lab, board, place):
        written = place.root / "environment"
        exporter = board(beforeLease={"script": f"env > {written}.new; mv {written}.new {written}"},
                         afterLease={"script": f"env > {written}-after"})
        done = shell(lab, exporter, "true")
        assert done.status == 0, str(done)
        found = dict(line.split("=", 1) for line in lines(written) if "=" in line)
        lease = re.search(r"Acquiring lease (\S+)", done.out + done.err)[1]
        assert found["LEASE_NAME"] == lease and found["CLIENT_NAME"] == "alice"
        assert found["JMP_EXPORTER"] == exporter.name
        assert found["JMP_EXPORTER_LABELS"] == f"jumpstarter.dev/name={exporter.name}"
        assert found["JMP_LEASE_CONTEXT"] == "{}"
        assert found["JMP_DRIVERS_ALLOW"] == "UNSAFE" and found["TERM"] == "dumb"
        assert found["DEBIAN_FRONTEND"] == "noninteractive" and found["GIT_TERMINAL_PROMPT"] == "0"
        assert not {"PS1", "NOTIFY_SOCKET", "LISTEN_FDS"} & set(found)
        assert not Path(found["JMP_MOTD_FILE"]).exists()
        after = dict(line.split("=", 1) for line in lines(Path(f"{written}-after")) if "=" in line)
        assert "JMP_MOTD_FILE" not in after and after["LEASE_NAME"] == lease

    def test_message_of_the_day(self, lab, board, build):
        exporter = board(top={"motd": "from the file"},
                         beforeLease={"script": 'echo "the board is on desk 3" > "$JMP_MOTD_FILE"'})
        with Lease(lab, "-n", exporter.name) as lease, Raw(lease.path) as raw:
            # 0.9.0 does not know the field; it is the fifth.
            report = raw.report()
            assert b"from the file\nthe board is on desk 3" in report.SerializeToString()

    def test_the_exporter_answers_while_a_hook_runs(self, lab, board, place):
        """The report, the status and the log are served; a driver call waits until the hook is through."""
        gate = place.root / "gate"
        os.mkfifo(gate)
        exporter = board(beforeLease={"script": f"echo waiting; cat {gate}; echo through"})
        shell_ = Program([BIN / "jmp", "shell", "--client-config", lab.clients["alice"], "-n", exporter.name, "--", "sh",
                          "-c", "j power on && echo powered"], env=place.env, name="jmp shell")
        shell_.wait_line(r"\[exporter:beforeLease\] waiting", 60)
        lab.wait_status(exporter.name, "BEFORE_LEASE_HOOK")
        # the shell's own socket leads to the exporter already
        socket = shell_.wait_line(r"ready connection at (\S+)|Waiting for ready connection at (\S+)")
        with Raw(socket[1] or socket[2]) as raw:
            uuid = raw.uuid("power")
            call = raw.exporter.DriverCall.future(_call(uuid, "on"), timeout=60)
            assert not call.done()
            gate.write_text("go\n")
            call.result()
        assert shell_.wait(60) == 0
        assert "powered" in shell_.output()

    def test_what_a_hook_leaves_running_lives_as_long_as_the_lease(self, lab, board, place):
        pid = place.root / "pid"
        exporter = board(beforeLease={"script": f"sleep 1000 & echo $! > {pid}"})
        done = shell(lab, exporter, f"kill -0 $(cat {pid}) && echo it lives")
        assert "it lives" in done.out.splitlines(), str(done)
        lab.wait_status(exporter.name, "AVAILABLE")
        assert not runs(pid.read_text().strip())


def _call(uuid, method):
    from jumpstarter_protocol import jumpstarter_pb2 as pb
    return pb.DriverCallRequest(uuid=uuid, method=method)


class TestEnds:
    """The lease's time runs out, or its client dies, at bad moments."""

    SLOW = {"script": "echo hook begins; sleep 4; echo hook ends"}

    @pytest.mark.parametrize("when, duration", [("without it", None), ("just after it", 6)])
    def test_time_out(self, lab, board, when, duration):
        exporter = board(**({} if duration is None else {"beforeLease": self.SLOW}))
        # Nobody ends the command, and it outlasts the lease from whenever it begins.
        done = lab.shell("sleep 4", "-n", exporter.name, "--duration", f"0:00:0{duration or 3}", timeout=60)
        assert "Error:" not in done.out + done.err, str(done)
        no_leases(lab)
        lab.wait_status(exporter.name, "AVAILABLE")
        assert shell(lab, exporter).status == 0

    def test_time_out_within_it(self, lab, board, place):
        """The hook is interrupted, the next client served, and the shell leaves without an error: half a minute after the end
        of the lease, for so long 0.9.0 dials, unless its file says otherwise."""
        exporter = board(beforeLease={"script": "echo hook begins; sleep 20; echo hook ends"},
                         afterLease={"script": "echo tidied up"})
        settings = yaml.safe_load(lab.clients["alice"].read_text())
        settings["leases"] = {**(settings.get("leases") or {}), "dial_timeout": 5}
        impatient = place.file("impatient.yaml", yaml.safe_dump(settings))
        waiting = Program([BIN / "jmp", "shell", "--client-config", impatient, "-n", exporter.name,
                           "--duration", "0:00:05", "--", "echo", "in", "the", "shell"], env=place.env, name="jmp shell")
        waiting.wait_line(r"Lease \S+ ended at", 60)
        lab.wait_status(exporter.name, "AVAILABLE")
        assert waiting.wait(60) == 0
        said = waiting.output()
        assert "Error:" not in said and "in the shell" not in said, said
        assert "hook begins" in said
        log = exporter.program.output()
        assert "the beforeLease hook is interrupted" in log and "tidied up" in log and "hook ends" not in log
        assert '"LEASE_READY' not in log and "status LEASE_READY" not in log

    @pytest.mark.parametrize("moment", [
        r"Acquiring lease", r"acquired successfully", r"Waiting for ready connection",
        r"Waiting for beforeLease hook", r"\[exporter:beforeLease\] one", r"INFO +(\[exporter:beforeLease\] )?two",
        r"^in the shell", r"^powered", r"Running afterLease hook", r"\[exporter:afterLease\] three"])
    def test_client_killed(self, lab, board, place, moment):
        """Nobody cleans up behind it. The lease expires, both hooks' processes are gone, the next client is served."""
        # Only the client that dies has to be given the time for it.
        hurry = place.root / "hurry"
        hurry.unlink(missing_ok=True)
        pause = f"[ -e {hurry} ] || sleep 1"
        exporter = board(beforeLease={"script": f"echo one; {pause}; echo two; {pause}"},
                         afterLease={"script": f"echo three; {pause}; echo four"})
        doomed = Program([BIN / "jmp", "shell", "--client-config", lab.clients["alice"], "-n", exporter.name,
                          "--duration", "0:00:20", "--", "sh", "-c", "echo in the shell; j power on && echo powered"],
                         env=place.env, name="jmp shell")
        doomed.wait_line(moment, 60)
        doomed.kill()
        hurry.touch()
        for lease in lab.leases():     # what an administrator, or the end of its time, does
            lab.config().delete_lease(name=lease)
        lab.wait_status(exporter.name, "AVAILABLE")
        done = shell(lab, exporter)
        assert done.status == 0 and "powered" in done.out.splitlines(), str(done)
        exporter.program.wait_line("four")
