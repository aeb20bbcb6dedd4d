# SPDX-License-Identifier: Apache-2.0
"""Leases of coordination.k8s.io: shown, applied, beaten, watched, and elected by."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from conftest import COORDINATION, one_after_the_other
from harness.kubernetes import status
from harness.program import wait_until

LEASES = COORDINATION + "default/leases"


def lease(name="it", holder="", duration=15, transitions=0, **more):
    spec = {"holderIdentity": holder, "leaseDurationSeconds": duration, "leaseTransitions": transitions,
            "acquireTime": "2024-01-01T00:00:00.000000Z", "renewTime": "2024-01-01T00:00:00.000000Z", **more}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "labels": {"kept": "yes"}, "annotations": {"also": "kept"}}, "spec": spec, "extra": 1}


def spec(server, name="it"):
    return server.get(LEASES, name)["spec"]


def puts(server):
    return server.asked("PUT")


QUICK = ("--lease-duration", "4", "--renew-deadline", "2.5", "--retry-period", "0.5")


def elect(commands, identity, *words, command=("sleep", "1000"), timing=QUICK, **env):
    return commands.start("kube", "elect", "--lease", "it", "--identity", identity, *timing, *words, "--", *command, **env)


def test_leases_are_listed_and_shown_as_they_are(server, commands):
    server.put(LEASES, lease(holder="me"))
    lines = commands.jmpctl("kube", "lease", "list").out.splitlines()
    assert lines[0].split() == ["NAME", "HOLDER", "AGE"]
    assert lines[1].split()[:2] == ["it", "me"]
    assert commands.jmpctl("kube", "lease", "get", "it", "-o", "json").json() == server.get(LEASES, "it")
    listed = commands.jmpctl("kube", "lease", "list", "-o", "json").json()["items"]
    assert listed[0]["apiVersion"] == "coordination.k8s.io/v1"      # which servers leave out
    assert commands.jmpctl("kube", "lease", "get", "-o", "name").out == "lease.coordination.k8s.io/it\n"
    assert commands.jmpctl("kube", "lease", "list", "-l", "kept=no").out == "No resources found in default namespace.\n"


def test_a_lease_is_released_and_keeps_what_it_has(server, commands):
    server.put(LEASES, lease(holder="me", transitions=7))
    assert commands.jmpctl("kube", "lease", "release", "it").code == 0
    after = server.get(LEASES, "it")
    assert (after["spec"]["holderIdentity"], after["spec"]["leaseDurationSeconds"], after["spec"]["leaseTransitions"]) == ("", 1, 7)
    assert (after["metadata"]["labels"], after["extra"]) == ({"kept": "yes"}, 1)
    assert puts(server)[0].body["metadata"]["uid"]


def test_a_file_is_applied(server, commands, tmp_path):
    path = tmp_path / "lease.yaml"
    path.write_text("apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: it}\n"
                    "spec: {holderIdentity: '', leaseDurationSeconds: 30}\n")
    assert commands.jmpctl("kube", "apply", "-f", str(path), "-o", "name").out == "lease.coordination.k8s.io/it\n"
    request = server.asked("PATCH")[0]
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.query == {"fieldManager": "jmpctl", "fieldValidation": "Strict"}
    path.write_text("kind: Pod\n")
    result = commands.jmpctl("kube", "apply", "-f", str(path))
    assert result.code == 1
    assert str(path) in result.err


def test_a_free_lease_is_taken_renewed_and_given_back(server, commands, tmp_path):
    server.put(LEASES, lease(duration=30, transitions=4))
    program = elect(commands, "a", "--release", command=("sh", "-c", f"echo run > {tmp_path}/ran; exec sleep 1000"),
                    timing=("--lease-duration", "4", "--renew-deadline", "2.5", "--retry-period", "0.2"))
    program.wait_line("a is now the leader")
    server.wait(lambda: len(puts(server)) >= 11, 60, "ten renewals")
    first, *renewals = [r.body["spec"] for r in puts(server)]
    assert (first["holderIdentity"], first["leaseDurationSeconds"], first["leaseTransitions"]) == ("a", 4, 5)
    for renewal in renewals:
        assert (renewal["acquireTime"], renewal["leaseTransitions"]) == (first["acquireTime"], 5)
    assert len({r["renewTime"] for r in renewals}) == len(renewals)
    assert len(first["renewTime"]) == len("2024-01-01T00:00:00.000000Z")
    assert len(server.asked("GET")) == 1
    assert (server.get(LEASES, "it")["metadata"]["annotations"], server.get(LEASES, "it")["extra"]) == ({"also": "kept"}, 1)
    assert (tmp_path / "ran").exists()
    program.process.send_signal(signal.SIGTERM)
    assert program.wait() == 128 + signal.SIGTERM
    assert (spec(server)["holderIdentity"], spec(server)["leaseDurationSeconds"], spec(server)["leaseTransitions"]) == ("", 1, 5)


def test_a_missing_lease_is_made_by_one_of_two(server, commands):
    programs = [elect(commands, name) for name in "ab"]
    server.wait(lambda: server.objects.get(LEASES), 30, "a Lease")
    holder = spec(server)["holderIdentity"]
    programs["ab".index(holder)].wait_line(f"{holder} is now the leader")
    programs["ba".index(holder)].wait_line(f"{holder} is now the leader")
    server.wait(lambda: len(puts(server)) >= 4, 30, "renewals")
    assert spec(server)["holderIdentity"] == holder
    assert spec(server)["leaseTransitions"] == 0


def test_the_commands_exit_code_is_handed_on(server, commands):
    assert elect(commands, "a", command=("sh", "-c", "exit 7")).wait() == 7


@pytest.mark.parametrize("renewed", ["2001-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
def test_what_a_record_says_of_the_time_does_not_count(server, commands, renewed):
    server.put(LEASES, lease(holder="gone", duration=3, renewTime=renewed))
    program = elect(commands, "a")
    program.wait_line("gone is now the leader")
    seen = server.asked("GET")[0].at
    program.wait_line("a is now the leader", timeout=60)
    taken = puts(server)[0].at
    assert taken - seen >= 3
    assert spec(server)["leaseTransitions"] == 1


def test_the_work_ends_before_the_lease_does_when_the_server_is_away(server, commands, tmp_path):
    mark = tmp_path / "ended"
    work = f"trap 'date +%s.%N > {mark}; exit 0' TERM; while :; do sleep 0.05; done"
    program = elect(commands, "a", command=("sh", "-c", work))
    program.wait_line("a is now the leader")
    server.wait(lambda: len(puts(server)) >= 2, 30, "a renewal")
    refused = []

    def refuse(request):
        refused.append(time.monotonic())
        return 500, b"down"
    server.rules.append(refuse)
    last = puts(server)[-1].at
    assert program.wait(30) == 1
    assert time.monotonic() - last < 4 + 10     # it ended; how soon is told by the work itself
    assert mark.exists()
    assert spec(server)["holderIdentity"] == "a"


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_guard_ends_the_work_of_an_elector_that_is_gone(server, commands, tmp_path, how):
    pid_file = tmp_path / "pid"
    program = elect(commands, "a", command=("sh", "-c", f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 1000"))
    program.wait_line("a is now the leader")
    wait_until(pid_file.exists, 30, "the work begins")
    os.kill(program.pid, how)
    wait_until(lambda: not is_running(int(pid_file.read_text())), 30, "the work ends")
    if how == signal.SIGSTOP:
        os.kill(program.pid, signal.SIGCONT)
        assert program.wait(30) in (1, 128 + signal.SIGTERM)


def test_another_takes_over_and_never_do_two_work_at_once(server, commands, tmp_path):
    log = tmp_path / "log"
    work = f"echo + $$ >> {log}; trap 'echo - $$ >> {log}; exit 0' TERM; while :; do echo . $$ >> {log}; sleep 0.05; done"
    programs = {name: elect(commands, name, command=("sh", "-c", work)) for name in "abc"}
    for turn in range(3):
        server.wait(lambda: server.objects.get(LEASES) and spec(server)["holderIdentity"] in programs
                    and spec(server)["leaseTransitions"] == turn, 60, "a holder")
        holder = spec(server)["holderIdentity"]
        wait_until(lambda: log.exists() and log.read_text().count("+") == turn + 1, 30, "it works")
        os.kill(programs.pop(holder).pid, signal.SIGKILL)
    assert len(one_after_the_other(log)) == 3


def test_a_preferred_holder_is_given_way_to(server, commands):
    program = elect(commands, "a")
    program.wait_line("a is now the leader")
    with server._lock:
        now = server.get(LEASES, "it")
        now["spec"].update(strategy="OldestEmulationVersion", preferredHolder="b")
        server.put(LEASES, now)
    assert program.wait(30) == 1
    assert spec(server)["holderIdentity"] == "a"


@pytest.mark.parametrize("words, text", [
    (("--lease-duration", "10", "--renew-deadline", "10"), "longer than the renew deadline"),
    (("--renew-deadline", "2", "--retry-period", "2"), "1.2 retry periods"),
    (("--lease-duration", "1.5", "--renew-deadline", "1", "--retry-period", "0.5"), "whole seconds"),
    (("--identity", ""), "the identity is empty"),
])
def test_timings_that_cannot_work_are_refused(server, commands, words, text):
    result = commands.jmpctl("kube", "elect", "--lease", "it", *words, "--", "true")
    assert result.code == 2
    assert text in result.err


def test_a_heartbeat_is_made_renewed_and_survives_conflicts(server, commands):
    commands.start("kube", "heartbeat", "--name", "agent-1")
    server.wait(lambda: len(server.asked("POST")) == 1, 30, "the first beat")
    made = server.asked("POST")[0].body["spec"]
    assert (made["holderIdentity"], made["leaseDurationSeconds"]) == ("agent-1", 40)
    server.put(LEASES, server.get(LEASES, "agent-1"))        # another version: the next PUT conflicts
    server.wait(lambda: len(puts(server)) >= 2, 40, "the second beat, after a conflict")
    assert puts(server)[0].at - server.asked("POST")[0].at >= 9.9
    after = [r for r in server.asked() if r.at > puts(server)[0].at]
    assert [r.method for r in after[:2]] == ["GET", "PUT"]


def test_a_heartbeat_that_is_refused_is_tried_at_once_and_then_looked_for(server, commands):
    server.put(LEASES, lease("agent-1", holder="agent-1"))
    server.rules.append(lambda r: (500, b"down") if r.method == "PUT" and len(puts(server)) <= 6 else None)
    program = commands.start("kube", "heartbeat", "--name", "agent-1")
    server.wait(lambda: len(puts(server)) == 7, 60, "a beat, after six that failed")
    # Five tries for a beat; then the Lease is looked for, with a pause between looks.
    assert [r.method for r in server.asked()] == ["GET"] + ["PUT"] * 5 + ["GET", "PUT"] * 2
    program.wait_line("2 beats in a row have failed")
    assert "1 beats in a row" not in program.output()


def test_a_slow_answer_does_not_hold_up_the_beats(server, commands):
    asked, answered = threading.Event(), threading.Event()

    def slow(request):
        if request.method == "GET" and request.query.get("labelSelector"):
            asked.set()
            answered.wait(60)
        return None
    server.rules.append(slow)
    commands.start("kube", "identity", "--component", "exporter-agent")     # beats, and lists what may be collected
    assert asked.wait(60)
    server.wait(lambda: puts(server), 60, "a second beat, while the list is waited for")
    answered.set()


def test_a_monitor_tells_who_is_there(server, commands):
    server.put(LEASES, lease("one", holder="one"))
    monitor = commands.start("kube", "monitor")
    monitor.wait_line("one is live")
    server.put(LEASES, lease("two", holder="two"))
    monitor.wait_line("two is live")
    server.remove(LEASES, "one")
    monitor.wait_line("one is stale")
    assert server.asked("GET")[1].query["allowWatchBookmarks"] == "true"


def test_a_watch_goes_on_where_it_ended_and_begins_anew_when_it_is_too_old(server, commands):
    server.put(LEASES, lease("one", holder="one"))
    plan = ["end", "error", "gone", None]

    def misbehave(request):
        if not request.query.get("watch") or not plan:
            return None
        step = plan.pop(0)
        if step == "end":
            return lambda send: send(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"105"}}}\n')
        if step == "error":
            assert request.query["resourceVersion"] == "105"
            body = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}\n'
            return lambda send: [send(body[i:i + 1]) for i in range(len(body))]
        if step == "gone":
            return status(410, "too old", "Expired")
        return None
    server.rules.append(misbehave)
    server.version = 110
    monitor = commands.start("kube", "monitor")
    monitor.wait_line("one is live")
    server.wait(lambda: len([r for r in server.asked("GET") if not r.query.get("watch")]) >= 3, 60, "two new lists")
    server.put(LEASES, lease("two", holder="two"))
    monitor.wait_line("two is live", timeout=60)
    assert monitor.output().count("one is live") == 1


def test_identities_are_kept_and_those_that_are_gone_are_collected(server, commands):
    label = "jumpstarter.dev/identity"
    old = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 3601))
    new = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    for name, renewed in (("expired", old), ("fresh", new), ("revived", old)):
        made = lease(name, holder=name, duration=3600, renewTime=renewed)
        made["metadata"]["labels"] = {label: "other"}
        server.put(LEASES, made)
    timeless = lease("timeless", holder="x")
    timeless["metadata"]["labels"] = {label: "other"}
    del timeless["spec"]["renewTime"]
    server.put(LEASES, timeless)

    def revive(request):
        if request.method == "GET" and request.path.endswith("/revived") and "revived" in server.objects[LEASES]:
            now = server.get(LEASES, "revived")
            now["spec"]["renewTime"] = new
            server.put(LEASES, now)
        return None
    server.rules.append(revive)
    commands.start("kube", "identity", "--component", "exporter-agent")
    server.wait(lambda: "expired" not in server.objects[LEASES] and "timeless" not in server.objects[LEASES], 30, "collection")
    server.wait(lambda: any(n.startswith("jumpstarter-") for n in server.objects[LEASES]), 30, "our own")
    assert {"fresh", "revived"} <= set(server.objects[LEASES])
    for request in server.asked("DELETE"):
        assert set(request.body["preconditions"]) == {"uid", "resourceVersion"}
    listed = commands.jmpctl("kube", "identity", "--component", "exporter-agent", "--list", "-o", "json").json()["items"]
    assert len(listed) == 1
    assert listed[0]["metadata"]["labels"][label] == "exporter-agent"
    assert listed[0]["spec"]["leaseDurationSeconds"] == 3600
