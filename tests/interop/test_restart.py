# SPDX-License-Identifier: Apache-2.0
"""The agent is started anew while a client works: the client dials again and goes on, the board has noticed nothing."""

import os
import shutil
import signal

import pytest
import yaml
from harness import exporter as exporters
from harness.board import PtyBoard
from harness.lab import Lease
from harness.manager import Manager
from harness.program import Program, wait_until
from harness.stock import client

pytestmark = pytest.mark.native(reason="the stock exporter begins every lease anew")


@pytest.fixture
def board(lab, kind, place):
    """An exporter with both hooks, which write down when they run, and a console."""
    pty = PtyBoard()
    log = place.root / "hooks"
    hooks = {"beforeLease": {"script": f"echo before >> {log}; echo for the client > $JMP_MOTD_FILE"},
             "afterLease": {"script": f"echo after >> {log}"}}
    exporter = lab.add_exporter(kind, {"power": exporters.driver(exporters.POWER),
                                       "serial": exporters.driver(exporters.SERIAL, url=pty.path)}, hooks=hooks)
    exporter.pty = pty
    exporter.ran = lambda: log.read_text().split() if log.exists() else []
    yield exporter
    for name in lab.leases():
        lab.config().delete_lease(name=name)
    exporter = lab.exporters.pop(exporter.name)
    exporter.stop()
    exporter.program.forget()
    pty.close()
    log.unlink(missing_ok=True)


def again(lab, board, how):
    """The process ends as told, and the next one begins."""
    old = board.program
    if how == "kill":
        old.kill()
    else:
        assert old.stop(signal.SIGUSR2) == 0, old.tail()
    old.forget()
    board.program = Program(old.argv, env=lab.place.env, name="jmp-agent")
    return old


class TestLease:
    @pytest.mark.parametrize("how", ["hand over", "kill"])
    def test_goes_on(self, lab, board, how):
        with Lease(lab, "-n", board.name) as lease:
            with client(lease.path) as root:
                root.children["power"].on()
            for _ in range(2):
                again(lab, board, how)
                board.program.wait_line(rf"lease {lease.name} goes on after a restart", 30)
                board.program.wait_line("ready for commands", 30)
                with client(lease.path) as root:
                    root.children["power"].on()
            assert board.ran() == ["before"]
            lease.end()
        wait_until(lambda: board.ran() == ["before", "after"], 20, board.ran)
        lab.wait_status(board.name, "AVAILABLE")

    def test_ended_meanwhile_runs_nothing(self, lab, board):
        with Lease(lab, "-n", board.name) as lease:
            old = board.program
            old.kill()
            old.forget()
            lab.config().delete_lease(name=lease.name)
            board.program = Program(old.argv, env=lab.place.env, name="jmp-agent")
            board.program.wait_line(f"lease {lease.name} ended while nobody was here", 30)
            lease.program.kill()    # which would look for the exporter for half a minute
        lab.wait_status(board.name, "AVAILABLE")
        assert board.ran() == ["before"]
        with Lease(lab, "-n", board.name):
            assert board.ran() == ["before", "before"]

    def test_a_stop_is_no_restart(self, lab, board):
        with Lease(lab, "-n", board.name) as lease:
            assert board.program.stop() == 0
            assert board.ran() == ["before", "after"]
            assert lease.name not in lab.leases()
            board.program.forget()
            board.program = Program(board.program.argv, env=lab.place.env, name="jmp-agent")
            lease.program.kill()
        lab.wait_status(board.name, "AVAILABLE")
        assert board.ran() == ["before", "after"]

    def test_in_beforeLease_it_begins_anew(self, lab, kind, place):
        log = place.root / "slow"
        # The first one goes on for as long as it is let; the second finds that it is not the first.
        script = f"echo begun >> {log}; [ $(wc -l < {log}) -gt 1 ] || sleep 1000; echo done >> {log}"
        exporter = lab.add_exporter(kind, {"power": exporters.driver(exporters.POWER)},
                                    hooks={"beforeLease": {"script": script}})
        shell = Program([*Lease.shell, "--client-config", lab.clients["alice"], "-n", exporter.name, "--", "sh", "-c",
                         "j power on && echo powered"], env=place.env, name="jmp shell")
        wait_until(lambda: log.exists() and log.read_text() == "begun\n", 40, "the hook does not begin")
        again(lab, exporter, "hand over")
        shell.wait(60)
        # A stock shell that was connected to the old process at times gives the lease back and takes another.
        wait_until(lambda: log.read_text().split()[:3] == ["begun", "begun", "done"], 30, log.read_text)
        lab.exporters.pop(exporter.name)
        exporter.stop()
        exporter.program.forget()


class TestBoard:
    @pytest.mark.parametrize("how", ["hand over", "kill"])
    def test_console_stays_open_and_whole(self, lab, board, how):
        """What the board says while nobody is there waits in the kernel; DTR does not fall, for nobody closes the port."""
        manager, argv = Manager(), board.program.argv
        try:
            board.program.stop()
            board.program.forget()
            board.program = manager.start(argv, lab.place.env)
            lab.wait_status(board.name, "AVAILABLE")
            wait_until(lambda: "serial/port" in manager.parked, 10, lambda: manager.parked)
            board.pty.let_go()
            with Lease(lab, "-n", board.name) as lease:
                old = board.program
                if how == "kill":
                    old.kill()
                else:
                    assert old.stop(signal.SIGUSR2) == 0
                old.forget()
                assert not board.pty.is_hung_up()
                board.pty.write(b"said to nobody, ")
                board.program = manager.start(argv, lab.place.env)
                board.program.wait_line("ready for commands", 30)
                with client(lease.path) as root, root.children["serial"].pexpect() as console:
                    board.pty.write(b"said to us\r\n")
                    console.expect_exact("said to us", timeout=20)
                    assert b"said to nobody, " in console.before
                assert not board.pty.is_hung_up()
                assert board.ran() == ["before"]
        finally:
            manager.close()


class TestReload:
    def edit(self, board, change):
        settings = yaml.safe_load(board.path.read_text())
        change(settings)
        board.path.write_text(yaml.safe_dump(settings))
        mark = board.program.mark()
        board.program.process.send_signal(signal.SIGHUP)
        return mark

    def test_between_leases(self, lab, board):
        """What changed is said, and holds at once; the console is not even hung up for it."""
        board.pty.let_go()
        pid = board.program.pid
        mark = self.edit(board, lambda s: s["export"].update(echo=exporters.driver(exporters.ECHO)))
        board.program.wait_line("echo is new", 20, mark)
        board.program.wait_line("registered with", 20, mark)
        lab.wait_status(board.name, "AVAILABLE")
        assert board.program.pid == pid and not board.pty.is_hung_up()
        with Lease(lab, "-n", board.name) as lease, client(lease.path) as root:
            assert "echo" in root.children
            root.children["power"].on()

    def test_within_a_lease_it_waits(self, lab, board):
        with Lease(lab, "-n", board.name) as lease, client(lease.path) as root:
            mark = self.edit(board, lambda s: s["export"]["serial"]["config"].update(cps=1000))
            board.program.wait_line("serial: option cps is new", 20, mark)
            board.program.wait_line("this holds when the lease is over", 20, mark)
            root.children["power"].on()
        board.program.wait_line("registered with", 20, mark)
        lab.wait_status(board.name, "AVAILABLE")
        assert board.ran() == ["before", "after"]
        mark = board.program.mark()
        board.program.process.send_signal(signal.SIGHUP)
        board.program.wait_line("says nothing new", 20, mark)

    def test_an_upgrade_waits_too(self, lab, board, place):
        """The file says nothing new, but the program is another one: it runs when the lease is over, under the same number."""
        program = place.root / "installed-agent"
        old = board.program
        shutil.copy2(old.argv[0], program)
        assert old.stop(signal.SIGUSR2) == 0, old.tail()
        old.forget()
        board.program = Program([program, *old.argv[1:]], env=lab.place.env, name="jmp-agent")
        board.program.wait_line("registered with", 20)
        lab.wait_status(board.name, "AVAILABLE")
        pid, running = board.program.pid, f"/proc/{board.program.pid}/exe"
        with Lease(lab, "-n", board.name) as lease, client(lease.path) as root:
            shutil.copy2(old.argv[0], f"{program}.new")
            os.rename(f"{program}.new", program)
            mark = board.program.mark()
            board.program.process.send_signal(signal.SIGHUP)
            board.program.wait_line("the program itself is another one", 20, mark)
            board.program.wait_line("this holds when the lease is over", 20, mark)
            root.children["power"].on()
            assert not os.path.samefile(running, program)
        board.program.wait_line("registered with", 20, mark)
        lab.wait_status(board.name, "AVAILABLE")
        assert os.path.samefile(running, program) and board.program.pid == pid
        assert board.ran() == ["before", "after"]

    def test_a_wrong_file_changes_nothing(self, lab, board):
        mark = self.edit(board, lambda s: s["export"].update(bad={"type": "no.such.Driver"}))
        board.program.wait_line("there is no driver of type", 20, mark)
        board.program.wait_line("all stays as it was", 20, mark)
        with Lease(lab, "-n", board.name) as lease, client(lease.path) as root:
            assert "bad" not in root.children


def test_the_launcher_is_told_after_the_one_lease(lab, kind, place):
    """As in the pods of an exporter set: the process ends with its first lease and tells who started it."""
    told = place.root / "told"
    program = place.file("jumpstarter-exec", f"#!/bin/sh\necho \"$@\" > {told}\n")
    program.chmod(0o755)
    socket_ = place.root / "launcher.sock"
    exporter = lab.add_exporter(kind, {"power": exporters.driver(exporters.POWER)}, exitOnLeaseEnd=True,
                                env={"JUMPSTARTER_LAUNCHER_SOCKET": str(socket_)})
    with Lease(lab, "-n", exporter.name):
        pass
    assert exporter.program.wait(30) == 0
    exporter.program.forget()
    lab.exporters.pop(exporter.name)
    assert told.read_text() == f"shutdown --socket {socket_}\n"
