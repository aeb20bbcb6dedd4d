# SPDX-License-Identifier: Apache-2.0
"""Leases: the stock client and an exporter at our lab service. With --exporter=stock both its peers are stock."""

import base64
import datetime
import json
import re
import time

import grpc
import pytest
import yaml
from harness import exporter as exporters
from harness.certificates import Authority
from harness.lab import Lab, Labd, Lease
from harness.place import BIN
from harness.program import Program, list_fds, run, wait_until
from harness.stock import EMPTY, Duplex, Raw, client, driver_request, jmp, pb

EXPORT = {"power": exporters.driver(exporters.POWER), "echo": exporters.driver(exporters.ECHO)}


@pytest.fixture(scope="module")
def board(lab, kind):
    """One exporter, free when a test begins."""
    return lab.add_exporter(kind, EXPORT, name="rpi4-1", labels={"board": "rpi4", "rack": "a"})


@pytest.fixture(autouse=True)
def free(lab, board):
    """Nothing is leased before a test, and what it leaves is deleted after it."""
    yield
    for name in ("alice", "bob"):
        if name in lab.clients:
            for lease in lab.leases(name).values():
                if lease.client == name:
                    lab.config(name).delete_lease(name=lease.name)
    for program in list(Program.running):
        if program.name == "jmp shell" and not program.alive():
            program.forget()
    lab.wait_status(board.name, "AVAILABLE")


@pytest.fixture(scope="module")
def bob(lab):
    lab.add_client("bob")
    return "bob"


def powered(done):
    """The command in the shell said so; around it are the shell's own log lines."""
    return done.status == 0 and "powered" in done.out.splitlines()


class TestListings:
    def test_exporters(self, lab, board):
        done = lab.jmp("get", "exporters", "--with", "online,status,leases", "-o", "json").ok()
        (found,) = json.loads(done.out)["exporters"]
        assert found["name"] == "rpi4-1" and found["namespace"] == "default"
        assert found["labels"]["board"] == "rpi4" and found["labels"]["rack"] == "a"
        assert found["online"] is True and found["lease"] is None
        done = lab.jmp("get", "exporters", "--with", "online,status").ok()
        assert re.search(r"rpi4-1\s+yes\s+AVAILABLE\s+.*board=rpi4,.*rack=a", done.out), str(done)

    @pytest.mark.parametrize("selector, found", [
        ("board=rpi4", True), ("board==rpi4", True), ("board=rpi5", False), ("board!=rpi5", True),
        ("board in (rpi4,rpi5)", True), ("board notin (rpi4)", False), ("rack", True), ("!rack", False),
        ("board=rpi4,rack=b", False)])
    def test_exporters_by_selector(self, lab, board, selector, found):
        listed = lab.config().list_exporters(filter=selector)
        assert [e.name for e in listed.exporters] == (["rpi4-1"] if found else [])

    def test_no_leases(self, lab):
        done = lab.jmp("get", "leases", "-o", "json").ok()
        assert json.loads(done.out)["leases"] == []


class TestLeases:
    def test_create_list_and_delete(self, lab, board):
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "10m", "-o", "name").ok().out.strip()
        assert name
        (lease,) = json.loads(lab.jmp("get", "leases", "-o", "json").ok().out)["leases"]
        assert lease["name"] == name and lease["selector"] == "board=rpi4" and lease["client"] == "alice"
        assert lease["exporter"] == "rpi4-1" and lease["duration"] == 600
        assert [c["type"] for c in lease["conditions"] if c["status"] == "True"][-1] == "Ready"
        assert lease["effective_begin_time"] and not lease["effective_end_time"]
        lab.wait_status("rpi4-1", "LEASE_READY")
        done = lab.jmp("get", "exporters", "--with", "leases").ok()
        assert re.search(r"rpi4-1\s.*alice\s+In-Use", done.out), str(done)
        assert f'lease "{name}" deleted' in lab.jmp("delete", "leases", name).ok().out
        assert json.loads(lab.jmp("get", "leases", "-o", "json").ok().out)["leases"] == []
        everything = json.loads(lab.jmp("get", "leases", "--all", "-o", "json").ok().out)["leases"]
        (ended,) = [e for e in everything if e["name"] == name]
        assert ended["effective_end_time"]
        lab.wait_status("rpi4-1", "AVAILABLE")

    def test_lease_is_ready_in_the_answer_to_create(self, lab, board):
        """The first poll has to see it, or every user waits five seconds."""
        config = lab.config()
        created = config.create_lease(selector="board=rpi4", duration=datetime.timedelta(minutes=5))
        polled = lab.leases()[created.name]
        assert polled.exporter == "rpi4-1"
        assert [c.type for c in polled.conditions if c.status == "True"][-1] == "Ready"

    def test_own_name_for_a_lease(self, lab, board):
        done = lab.jmp("create", "lease", "-n", "rpi4-1", "--duration", "5m", "--lease-id", "mine-1", "-o", "name")
        assert done.ok().out.strip() == "mine-1"
        again = lab.jmp("create", "lease", "-n", "rpi4-1", "--duration", "5m", "--lease-id", "mine-1", "-o", "name")
        assert again.status != 0

    def test_two_clients_one_after_the_other(self, lab, board, bob):
        with Lease(lab, "-l", "board=rpi4") as first:
            waiting = Program([BIN / "jmp", "shell", "--client-config", lab.clients[bob], "-l", "board=rpi4", "--",
                               "sh", "-c", "echo shell $JMP_LEASE $JMP_EXPORTER; j power on && echo powered"],
                              env=lab.place.env, name="jmp shell of bob")
            wait_until(lambda: len(lab.leases()) == 2, 20, "bob's lease is not there")
            other = next(lease for lease in lab.leases().values() if lease.client == bob)
            assert other.exporter == "" and [c.type for c in other.conditions if c.status == "True"] == ["Pending"]
            with client(first.path) as root:
                root.children["power"].on()
            assert first.end() in (0, 143, -15, 241), first.program.tail()
        found = waiting.wait_line(r"^shell (\S+) (\S+)$", timeout=30)      # it polls every five seconds
        assert (found[1], found[2]) == (other.name, "rpi4-1")
        waiting.wait_line("^powered$", timeout=30)
        assert waiting.wait(30) == 0
        waiting.forget()

    def test_two_leases_of_one_client(self, lab, board):
        for _ in range(2):
            done = lab.shell("j power on && echo powered", "-l", "board=rpi4").ok()
            assert powered(done), str(done)

    def test_what_cannot_be_satisfied_says_so_at_once(self, lab, board):
        started = time.monotonic()
        done = lab.shell("echo never", "-l", "board=none")
        assert done.status == 1 and "cannot be satisfied" in done.err + done.out and "never" not in done.out, str(done)
        done = lab.shell("echo never", "-n", "no-such-board")
        assert done.status == 1 and "cannot be satisfied" in done.err + done.out, str(done)
        assert time.monotonic() - started < 15

    def test_expiry_frees_the_board(self, lab, board):
        started = time.monotonic()
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "4s", "-o", "name").ok().out.strip()
        wait_until(lambda: not lab.leases(), 20, "the lease does not expire")
        assert time.monotonic() - started > 3
        ended = lab.leases(active=False)[name]
        assert ended.conditions[-1].reason == "Expired", ended
        lab.wait_status("rpi4-1", "AVAILABLE")

    def test_expiry_ends_the_shell(self, lab, board):
        """A little early: the client counts from the whole second in which the lease began."""
        with Lease(lab, "-l", "board=rpi4", "--duration", "4s") as lease:
            lease.program.wait(30)
        assert lab.leases() == {}

    def test_leases_of_others_are_not_ours(self, lab, board, bob):
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "5m", "-o", "name").ok().out.strip()
        done = lab.shell("echo never", "--lease", name, client=bob)
        assert done.status != 0 and "never" not in done.out and "alice" in done.err + done.out, str(done)
        assert lab.jmp("delete", "leases", name, client=bob).status != 0
        assert lab.leases()[name].effective_end_time is None
        assert json.loads(lab.jmp("get", "leases", "-o", "json", client=bob).ok().out)["leases"] == []
        assert len(json.loads(lab.jmp("get", "leases", "-A", "-o", "json", client=bob).ok().out)["leases"]) == 1

    def test_extending_a_lease(self, lab, board):
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "5m", "-o", "name").ok().out.strip()
        lab.jmp("update", "lease", name, "--duration", "1h").ok()
        assert lab.leases()[name].duration.total_seconds() == 3600


class TestShell:
    def test_commands_and_exit_status(self, lab, board):
        done = lab.shell("j power on && j power off && j power read && env | grep ^JMP_ && exit 7", "-l", "board=rpi4")
        assert done.status == 7, str(done)
        lines = done.out.splitlines()
        assert "JMP_EXPORTER=rpi4-1" in lines
        (labels,) = [line for line in lines if line.startswith("JMP_EXPORTER_LABELS=")]
        assert {"board=rpi4", "rack=a"} <= set(labels.partition("=")[2].split(",")), labels
        assert lab.leases() == {}, "the shell gives its lease back"
        lab.wait_status("rpi4-1", "AVAILABLE")

    def test_the_board_is_free_right_after_the_shell(self, lab, board):
        """EndSession, AVAILABLE, DeleteLease: whoever comes next need not wait."""
        for _ in range(3):
            started = time.monotonic()
            lab.shell("true", "-l", "board=rpi4").ok()
            assert time.monotonic() - started < 15
        assert lab.leases() == {}

    def test_a_lease_made_before_survives_the_shell(self, lab, board):
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "5m", "-o", "name").ok().out.strip()
        for _ in range(2):
            assert powered(lab.shell("j power on && echo powered", "--lease", name))
        assert name in lab.leases()
        lab.jmp("delete", "leases", "--all").ok()
        assert lab.leases() == {}

    def test_interrupt_releases_the_lease(self, lab, board):
        with Lease(lab, "-l", "board=rpi4") as lease:
            lease.program.interrupt()
            assert lease.program.wait(30) != 0
        assert lab.leases() == {}
        lab.wait_status("rpi4-1", "AVAILABLE")

    def test_killed_client_leaves_a_lease_that_can_be_deleted(self, lab, board):
        with Lease(lab, "-l", "board=rpi4") as lease:
            with Raw(lease.path) as raw:
                raw.call(raw.uuid("power"), "on")
            lease.program.kill()
        assert lease.name in lab.leases()
        assert powered(lab.shell("j power on && echo powered", "--lease", lease.name))
        lab.jmp("delete", "leases", lease.name).ok()
        lab.wait_status("rpi4-1", "AVAILABLE")
        assert powered(lab.shell("j power on && echo powered", "-l", "board=rpi4"))

    def test_deleted_under_the_shell(self, lab, board):
        with Lease(lab, "-l", "board=rpi4") as lease:
            lab.jmp("delete", "leases", lease.name).ok()
            lab.wait_status("rpi4-1", "AVAILABLE")
            with Raw(lease.path) as raw:
                with pytest.raises(grpc.RpcError):
                    raw.report(timeout=10)
            lease.program.kill()    # which would look for the exporter for half a minute

    def test_many_connections_in_one_lease(self, lab, board):
        """Each is a Dial and a tunnel of its own, as every `j` makes one."""
        with Lease(lab, "-l", "board=rpi4") as lease:
            raws = [Raw(lease.path) for _ in range(30)]
            reports = [r.exporter.GetReport.future(EMPTY, timeout=30) for r in raws]
            assert len({str(r.result().reports) for r in reports}) == 1
            for r in raws:
                r.channel.close()
            for _ in range(30):
                with Raw(lease.path) as raw, Duplex(raw, driver_request(raw.uuid("echo")), timeout=20) as stream:
                    stream.send(b"x")
                    assert stream.read(1) == b"x"


class TestDescriptors:
    def test_leases_leave_nothing_open(self, lab, board, kind):
        if kind == "stock":
            pytest.skip("stock exporter: it keeps a router stream for each shell")

        def once():
            with Lease(lab, "-l", "board=rpi4") as lease:
                with Raw(lease.path) as raw:
                    raw.call(raw.uuid("power"), "on")
                lease.end()
            lab.wait_status("rpi4-1", "AVAILABLE")

        def settled():
            counts = []

            def quiet():
                counts.append(lab.exporters["rpi4-1"].fds())
                return len(counts) > 5 and len(set(counts[-6:])) == 1

            wait_until(quiet, 20, lambda: f"the descriptors do not settle: {counts[-10:]}")
            return counts[-1]

        once()
        before = settled()
        for _ in range(3):
            once()
        # What is only on its way out goes in time; what has leaked stays.
        program = lab.exporters["rpi4-1"].program
        wait_until(lambda: program.fds() <= before, 20,
                   lambda: f"{program.fds()} descriptors, {before} before\n{list_fds(program.pid)}")


class TestExporterLife:
    def test_sigterm_is_offline_at_once(self, lab, kind):
        lab.add_exporter(kind, EXPORT, name="leaver", labels={"board": "leaver"})
        lab.exporters["leaver"].stop()
        wait_until(lambda: not lab.exporter("leaver").online, 10, lambda: str(lab.exporter("leaver")))
        lab.restart_exporter("leaver")
        lab.wait_status("leaver", "AVAILABLE")
        assert powered(lab.shell("j power on && echo powered", "-n", "leaver"))
        lab.exporters.pop("leaver").stop()

    def test_exporter_restarts_in_the_middle_of_a_lease(self, lab, board):
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "5m", "-o", "name").ok().out.strip()
        assert powered(lab.shell("j power on && echo powered", "--lease", name))
        lab.restart_exporter("rpi4-1", kill=True)
        lab.exporters["rpi4-1"].program.wait_line(".", timeout=20)
        assert name in lab.leases()
        lab.wait_status("rpi4-1", "LEASE_READY")
        assert powered(lab.shell("j power on && echo powered", "--lease", name))

    @pytest.mark.native(reason="the stock exporter keeps such a lease until it expires")
    def test_a_lease_whose_client_dies_after_its_farewell_is_given_back(self, lab, board):
        """There are no hooks, and nobody deletes it."""
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "5m", "-o", "name").ok().out.strip()
        with Lease(lab, "--lease", name) as lease, Raw(lease.path) as raw:
            assert raw.exporter.EndSession(pb.EndSessionRequest(), timeout=5).success
            wait_until(lambda: name not in lab.leases(), 30, lambda: f"{name} is kept")
        lab.wait_status("rpi4-1", "AVAILABLE")
        assert powered(lab.shell("j power on && echo powered", "-n", "rpi4-1"))

    def test_exporter_with_a_wrong_token_is_not_registered(self, lab, kind, place):
        path = lab.controller.create_exporter("liar", {"board": "liar"})
        settings = yaml.safe_load(path.read_text())
        head, _, _ = settings["token"].rpartition(".")
        settings.update(token=head + ".AAAA" if head else "AAAA", export=EXPORT)
        liar = exporters.start_controlled(kind, place, lab.build, place.file("liar.yaml", yaml.safe_dump(settings)))
        try:
            liar.program.wait_line("(?i)unauthenticated|token|credential|signature", timeout=30)
            found = lab.exporter("liar")
            assert not (found and found.online)
            assert settings["token"] not in liar.program.output()
        finally:
            liar.stop()
            liar.program.forget()


class TestAuthentication:
    def config(self, lab, place, change):
        settings = yaml.safe_load(lab.clients["alice"].read_text())
        change(settings)
        return place.file("changed.yaml", yaml.safe_dump(settings))

    @pytest.mark.parametrize("what", ["signature", "other client", "exporter's token", "rubbish"])
    def test_wrong_token(self, lab, board, bob, place, what):
        def change(settings):
            if what == "signature":
                settings["token"] = settings["token"].rpartition(".")[0] + ".AAAA"
            elif what == "other client":
                settings["metadata"]["name"] = "bob"
            elif what == "exporter's token":
                settings["token"] = yaml.safe_load(board.path.read_text())["token"]
            else:
                settings["token"] = "x"

        config = self.config(lab, place, change)
        done = jmp("get", "exporters", "--client-config", config, env=place.env)
        assert done.status != 0 and "rpi4-1" not in done.out, str(done)

    def test_authority_of_a_stranger(self, lab, board, place):
        stranger = Authority(place.root, "stranger")
        config = self.config(lab, place, lambda s: s["tls"].update(
            ca=base64.b64encode(stranger.path.read_bytes()).decode()))
        done = jmp("get", "exporters", "--client-config", config, env=place.env)
        assert done.status != 0 and "rpi4-1" not in done.out, str(done)

    def test_insecure_skips_the_authority_only(self, lab, board, place):
        config = self.config(lab, place, lambda s: s["tls"].update(ca="", insecure=True))
        done = jmp("get", "exporters", "--client-config", config, env=place.env)
        assert "rpi4-1" in done.ok().out

    def test_files_with_tokens_are_private(self, lab, board):
        if isinstance(lab.controller, Labd):
            for path in (lab.clients["alice"], board.path.with_name("exporter-rpi4-1.yaml")):
                assert path.stat().st_mode & 0o077 == 0, path


class TestRestartOfTheService:
    @pytest.fixture(autouse=True)
    def ours(self, lab):
        if not isinstance(lab.controller, Labd):
            pytest.skip("the reference keeps nothing")

    @pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
    def test_it_loses_nothing(self, lab, board, kind, kill):
        if kind == "stock":
            pytest.skip("stock exporter: a few seconds without its controller end it")
        spare = f"spare-{kill}".lower()
        lab.controller.create_exporter(spare, {"board": "spare"})
        name = lab.jmp("create", "lease", "-l", "board=rpi4", "--duration", "5m", "-o", "name").ok().out.strip()
        lab.wait_status("rpi4-1", "LEASE_READY")
        before = lab.leases()[name]
        lab.controller.restart(kill=kill)
        after = lab.leases()[name]
        assert after == before or (after.exporter, after.effective_begin_time, after.duration) == (
            before.exporter, before.effective_begin_time, before.duration)
        assert {e.name for e in lab.config().list_exporters().exporters} >= {"rpi4-1", spare}
        lab.wait_status("rpi4-1", "LEASE_READY", timeout=60)
        assert powered(lab.shell("j power on && echo powered", "--lease", name))

    def test_it_stops_at_once(self, lab, board):
        started = time.monotonic()
        lab.controller.program.stop()
        assert time.monotonic() - started < 5
        assert lab.controller.program.process.returncode == 0, lab.controller.program.tail()
        lab.controller.program.forget()
        lab.controller.start(lab.controller.endpoint)
        if board.kind == "stock":
            lab.restart_exporter("rpi4-1")
        lab.wait_status("rpi4-1", "AVAILABLE", timeout=60)


def test_three_boards_at_once(lab, board, kind):
    names = ["shelf-1", "shelf-2", "shelf-3"]
    for name in names:
        lab.add_exporter(kind, EXPORT, name=name, labels={"shelf": "yes"}, wait=False)
    for name in names:
        lab.wait_status(name, "AVAILABLE")
    try:
        with Lease(lab, "-l", "shelf=yes") as one, Lease(lab, "-l", "shelf=yes") as two, \
                Lease(lab, "-l", "shelf=yes") as three:
            assert sorted(lease.exporter for lease in (one, two, three)) == names
            for lease in (one, two, three):
                with Raw(lease.path) as raw:
                    raw.call(raw.uuid("power"), "on")
    finally:
        for name in names:
            lab.exporters.pop(name).stop()
