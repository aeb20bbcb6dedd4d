# SPDX-License-Identifier: Apache-2.0
"""The API server of Kubernetes itself: what it accepts, refuses and keeps, by our requests and our commands."""

import base64
import threading
import time

import lightkube_peer as peer
import pytest
import yaml
from conftest import COORDINATION, JUMPSTARTER, Probe
from harness.apiserver import NOBODY, KubeApi, cached_program
from harness.certificates import Authority
from harness.program import wait_until
from harness.wire import Wire

LEASES = COORDINATION + "default/leases"
OURS = JUMPSTARTER + "lab/"
FIRST = "2024-01-01T00:00:00.000000Z"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """As a cluster is that has never heard of Jumpstarter; the first tests have it, before the others make resources."""
    directory = tmp_path_factory.mktemp("kube")
    api = KubeApi(directory, Authority(directory), cached_program())
    try:
        api.wait_ready()
        yield api
    finally:
        api.close()
        for program in (api.server, api.etcd):
            program.forget()


@pytest.fixture(scope="module")
def kube(bare):
    bare.install_resources()
    return bare


@pytest.fixture
def server(request):
    """What the commands talk to, here."""
    return request.getfixturevalue(getattr(request, "param", "kube"))


def lease(name, labels=None, **spec):
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def made(probe, name, **spec):
    answer = probe.request("POST", LEASES, lease(name, **spec))
    assert answer["code"] == 201, answer
    return answer["answer"]


@pytest.mark.parametrize("server", ["bare"], indirect=True)
def test_resources_that_the_cluster_does_not_know(server, commands, probe):
    """First of all, for it is about a cluster without them."""
    for kind in ("client", "exporter", "lease"):
        result = commands.jmpctl("admin", "get", kind)
        assert result.code == 1
        assert result.err == "jmpctl: Server error: 404 page not found\n"
        assert commands.stock("admin", "get", kind).err.strip() == "Error: Server error: 404 page not found"
    answer = probe.request("GET", OURS + "clients")
    assert (answer["code"], answer["reason"], answer["message"]) == (404, "NotFound", "404 page not found")


# What a Lease may say.

def test_an_empty_spec_stays_empty(probe):
    made(probe, "empty")
    again = probe.request("GET", LEASES + "/empty")["answer"]
    assert again["spec"] == {}
    assert None not in again["metadata"].values()
    assert probe.read_path(4, again) is None


@pytest.mark.parametrize("text, code, stored", [
    ("2024-10-24T15:23:45Z", 400, None), ("2024-10-24T15:23:45.123Z", 400, None), ("2024-10-24T15:23:45.123456789Z", 400, None),
    ("2024-10-24T15:23:45.123456+02:00", 201, "2024-10-24T13:23:45.123456Z"),
    ("2024-10-24T15:23:45.000000Z", 201, "2024-10-24T15:23:45.000000Z"),    # as kube/when.c writes a whole second
])
def test_times_have_six_digits(probe, text, code, stored):
    answer = probe.request("POST", LEASES, lease("time-%d" % abs(hash(text)), renewTime=text))
    assert answer["code"] == code, answer
    if stored:
        assert answer["answer"]["spec"]["renewTime"] == stored
    else:
        assert answer["reason"] == "BadRequest"


def test_numbers_out_of_range_are_two_causes(probe):
    answer = probe.request("POST", LEASES, lease("numbers", leaseDurationSeconds=0, leaseTransitions=-1))
    assert (answer["code"], answer["reason"]) == (422, "Invalid")
    assert {cause["field"] for cause in answer["causes"]} == {"spec.leaseDurationSeconds", "spec.leaseTransitions"}


def test_a_strategy_is_dropped_without_a_word(probe):
    spec = made(probe, "strategy", holderIdentity="a", strategy="OldestEmulationVersion", preferredHolder="b")["spec"]
    assert spec == {"holderIdentity": "a"}


# Writing.

def test_a_version_is_needed_to_replace_and_an_old_one_conflicts(probe):
    first = made(probe, "put", holderIdentity="a")
    bare = lease("put", holderIdentity="b")
    assert (probe.request("PUT", LEASES + "/put", bare)["code"]) == 422
    changed = {**first, "spec": {"holderIdentity": "c"}}
    assert probe.request("PUT", LEASES + "/put", changed)["code"] == 200
    stale = probe.request("PUT", LEASES + "/put", changed)      # the second of two with one version
    assert (stale["code"], stale["reason"]) == (409, "Conflict")
    assert probe.request("GET", LEASES + "/put")["answer"]["spec"]["holderIdentity"] == "c"


def test_a_write_that_changes_nothing_keeps_the_version(probe):
    first = made(probe, "same", holderIdentity="a")
    again = probe.request("PUT", LEASES + "/same", first)["answer"]
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_only_a_uid_keeps_a_deleted_lease_from_coming_back(probe):
    first = made(probe, "back", holderIdentity="a")
    assert probe.request("DELETE", LEASES + "/back")["code"] == 200
    with_uid = probe.request("PUT", LEASES + "/back", first)
    assert (with_uid["code"], with_uid["reason"]) == (409, "Conflict")
    without = {**first, "metadata": {k: v for k, v in first["metadata"].items() if k != "uid"}}
    assert probe.request("PUT", LEASES + "/back", without)["code"] == 201      # the trap that writers have to know


def test_patches_and_owners_of_fields(probe):
    path = LEASES + "/patched"
    made(probe, "patched", holderIdentity="a", renewTime=FIRST, leaseDurationSeconds=15)
    merged = probe.request("PATCH", path, {"spec": {"renewTime": None}}, "application/merge-patch+json")["answer"]
    assert "renewTime" not in merged["spec"]

    def apply(manager, seconds, force=""):
        return probe.request("PATCH", f"{LEASES}/applied?fieldManager={manager}{force}", lease("applied", leaseDurationSeconds=seconds),
                             "application/apply-patch+yaml")
    assert apply("one", 10)["code"] == 201
    second = apply("two", 20)
    assert (second["code"], second["reason"]) == (409, "Conflict")
    assert [(c["reason"], c["field"]) for c in second["causes"]] == [("FieldManagerConflict", ".spec.leaseDurationSeconds")]
    assert apply("two", 20, "&force=true")["answer"]["spec"]["leaseDurationSeconds"] == 20
    no_strategy = probe.request("PATCH", OURS + "clients/any", {"spec": {}}, "application/strategic-merge-patch+json")
    assert (no_strategy["code"], no_strategy["reason"]) == (415, "UnsupportedMediaType")


def test_a_file_is_applied_and_conflicts_are_told(commands, tmp_path):
    path = tmp_path / "lease.yaml"
    path.write_text("apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: example-custom}\n"
                    "spec: {holderIdentity: '', leaseDurationSeconds: 30}\n")
    assert commands.jmpctl("kube", "apply", "-f", str(path), "-o", "name").out == "lease.coordination.k8s.io/example-custom\n"
    path.write_text(path.read_text().replace("30", "31"))
    result = commands.jmpctl("kube", "apply", "-f", str(path), "--field-manager", "other")
    assert result.code == 1
    assert "Error from server (Conflict)" in result.err
    assert ".spec.leaseDurationSeconds" in result.err
    assert commands.jmpctl("kube", "apply", "-f", str(path), "--field-manager", "other", "--force").code == 0
    path.write_text(path.read_text().replace("leaseDurationSeconds", "leaseDuration"))
    assert "leaseDuration" in commands.jmpctl("kube", "apply", "-f", str(path)).err     # unknown members are refused


# Lists and watches.

def test_items_of_a_list_are_whole(commands, probe):
    made(probe, "listed", holderIdentity="a")
    raw = probe.request("GET", LEASES)["answer"]
    assert "kind" not in raw["items"][0]
    listed = probe.list(LEASES)["answer"]["items"]
    assert {(i["apiVersion"], i["kind"]) for i in listed} == {("coordination.k8s.io/v1", "Lease")}
    assert commands.jmpctl("kube", "lease", "list", "-o", "json").json()["items"] == listed
    one = commands.jmpctl("kube", "lease", "get", "listed", "-o", "yaml")
    assert yaml.safe_load(one.out) == probe.request("GET", LEASES + "/listed")["answer"]


def test_leases_are_listed_as_the_server_prints_them(kube, commands, probe):
    made(probe, "table", holderIdentity="someone")
    request = kube.table(LEASES)
    expected = [[str(cell) for cell in row["cells"]] for row in request["rows"]]
    lines = [line.split() for line in commands.jmpctl("kube", "lease", "list").out.splitlines()]
    assert lines[0] == [c["name"].upper() for c in request["columnDefinitions"] if c["priority"] == 0]
    by_name = {line[0]: line for line in lines[1:]}
    for name, holder, _ in expected:
        assert by_name[name][:2 if holder else 1] == ([name, holder] if holder else [name])


def test_pages_end_where_the_server_forgets_them(kube, probe):
    for i in range(7):
        made(probe, f"page-{i}", labels={"paged": "yes"})
    path, names, token, requests = LEASES + "?labelSelector=paged%3Dyes&limit=3", [], "", 0
    while True:
        page = probe.request("GET", path + (f"&continue={token}" if token else ""))["answer"]
        names += [item["metadata"]["name"] for item in page["items"]]
        requests += 1
        assert "remainingItemCount" not in page["metadata"]     # not with a selector
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert (requests, names) == (3, [f"page-{i}" for i in range(7)])
    bad = probe.request("GET", path + "&continue=zzz")
    assert (bad["code"], bad["reason"]) == (400, "BadRequest")
    token = probe.request("GET", path)["answer"]["metadata"]["continue"]
    made(probe, "another")
    kube.compact()
    old = probe.request("GET", path + f"&continue={token}")
    assert (old["code"], old["reason"]) == (410, "Expired")
    assert len(probe.list(LEASES, "labelSelector=paged%3Dyes")["answer"]["items"]) == 7


def test_a_watch_tells_changes_and_too_old_a_version_is_an_error_in_the_stream(kube, probe):
    kube.compact()
    lines, end = probe.stream(LEASES + "?watch=1&resourceVersion=1&timeoutSeconds=5")
    assert end["code"] == 200
    assert lines[-1]["type"] == "ERROR"
    assert (lines[-1]["object"]["code"], lines[-1]["object"]["reason"]) == (410, "Expired")
    version = probe.request("GET", OURS + "clients")["answer"]["metadata"]["resourceVersion"]
    assert probe.request("POST", OURS + "clients", {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Client",
                                                    "metadata": {"name": "orphan-seen"}, "spec": {}})["code"] == 201
    lines, end = probe.stream(f"{OURS}clients?watch=1&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=2")
    assert (lines[0]["type"], lines[0]["object"]["metadata"]["name"]) == ("ADDED", "orphan-seen")
    assert end["code"] == 200
    last = lines[-1]["object"]["metadata"]["resourceVersion"]
    again, _ = probe.stream(f"{OURS}clients?watch=1&resourceVersion={last}&allowWatchBookmarks=true&timeoutSeconds=2")
    assert "ADDED" not in [line["type"] for line in again]      # it goes on behind what was seen


def test_our_watch_keeps_up(kube, commands, probe):
    watcher = Probe(commands.build, commands.kubeconfig, commands.env())
    try:
        watcher.send({"do": "watch", "path": LEASES, "selector": "watched=yes"})
        assert watcher.event() == ("synced", None)
        first = made(probe, "watched", labels={"watched": "yes"})
        assert watcher.event() == ("changed", "watched")
        first["spec"]["holderIdentity"] = "b"
        assert probe.request("PUT", LEASES + "/watched", first)["code"] == 200
        assert watcher.event() == ("changed", "watched")
        assert probe.request("DELETE", LEASES + "/watched")["code"] == 200
        assert watcher.event() == ("gone", "watched")
    finally:
        watcher.close()


def test_bookmarks_move_the_place_to_go_on_from(kube, probe):
    """Where nothing of what is watched changes, they tell how far the server is: each minute, and before it ends the watch."""
    path = OURS + "clients"
    other = {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Client", "metadata": {"name": "orphan-other"}, "spec": {}}
    made = probe.request("POST", path, other)
    assert made["code"] == 201, made
    version = made["answer"]["metadata"]["resourceVersion"]
    watch = f"{path}?watch=1&labelSelector=watched&resourceVersion={version}&timeoutSeconds=5&allowWatchBookmarks=true"
    ended = threading.Event()

    def change_others():
        count = 0
        while not ended.wait(0.2):
            count += 1
            kube.call("PATCH", path + "/orphan-other", {"metadata": {"annotations": {"count": str(count)}}},
                      content_type="application/merge-patch+json")
    thread = threading.Thread(target=change_others)
    thread.start()
    try:
        for _ in range(6):      # a server that is short of time ends a watch without one
            lines, end = probe.stream(watch)
            assert end["code"] == 200
            if lines:
                break
    finally:
        ended.set()
        thread.join()
    assert {line["type"] for line in lines} == {"BOOKMARK"}
    assert int(lines[0]["object"]["metadata"]["resourceVersion"]) > int(version)
    assert not lines[0]["object"]["metadata"].get("name")


def test_our_watch_begins_anew_when_its_place_is_forgotten(kube, commands, probe, tmp_path):
    wire = Wire(kube.port)
    kubeconfig = kube.kubeconfig(tmp_path / "by-wire")
    kubeconfig.write_text(kubeconfig.read_text().replace(kube.url, f"https://127.0.0.1:{wire.port}"))
    for name in ("stays", "goes"):
        made(probe, name, labels={"wired": "yes"})
    watcher = Probe(commands.build, kubeconfig, commands.env())
    try:
        watcher.send({"do": "watch", "path": LEASES, "selector": "wired=yes"})
        assert [watcher.event() for _ in range(3)] == [("changed", "goes"), ("changed", "stays"), ("synced", None)]
        wire.cut()
        assert probe.request("DELETE", LEASES + "/goes")["code"] == 200
        made(probe, "comes", labels={"wired": "yes"})
        kube.compact()
        wire.mend()
        events = []
        while not events or events[-1][0] != "synced":
            events.append(watcher.event())
        # The server says 410, the list is read again, and only what differs is told.
        assert [event for event in events if event[0] != "failing"] == [("gone", "goes"), ("changed", "comes"), ("synced", None)]
    finally:
        watcher.close()
        wire.cut()


@pytest.mark.parametrize("row", peer.ROWS, ids=lambda row: row.name)
def test_lightkube_does_the_same(row, kube, commands, probe, tmp_path):
    for name in (peer.OURS, peer.THEIRS):
        kube.namespace(name)
    ours, theirs = peer.both(row, commands, probe, tmp_path, lambda *words: kube.call(*words)[1])
    assert ours == theirs
    if row.result is not None:
        assert ours == row.result


def test_lightkube_cannot_write_a_whole_second_and_ours_can(kube, commands, probe, tmp_path):
    answers = []
    for kind in (peer.Ours, peer.Theirs):
        kube.namespace(kind.namespace)
        answers.append(kind(commands, probe, tmp_path).create(peer.lease("whole", renewTime=FIRST)))
    assert answers[0] == peer.lease("whole", renewTime=FIRST)
    assert (answers[1].code, answers[1].reason) == (400, "BadRequest")


# Administration.

class Controller:
    """As much of one as the commands wait for: credentials of new objects, and Secrets that are gone made anew."""

    def __init__(self, kube):
        self.kube, self.stopping = kube, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(0.2):
            for kind in ("client", "exporter"):
                for item in self.kube.call("GET", OURS + kind + "s")[1].get("items", []):
                    name = item["metadata"]["name"]
                    if name.startswith("orphan"):
                        continue
                    if "credential" not in item.get("status", {}):
                        self.kube.call("PATCH", f"{OURS}{kind}s/{name}/status", {"status": {
                            "credential": {"name": f"{name}-{kind}"}, "endpoint": "lab.example:8082"}},
                            content_type="application/merge-patch+json")
                    self.kube.call("POST", "/api/v1/namespaces/lab/secrets", {
                        "metadata": {"name": f"{name}-{kind}"}, "type": "Opaque",
                        "data": {"token": base64.b64encode(f"token-{time.monotonic_ns()}".encode()).decode()}})

    def close(self):
        self.stopping.set()
        self.thread.join(30)


def test_clients_and_exporters_come_log_in_rotate_and_go(kube, commands, tmp_path):
    controller = Controller(kube)
    orphan = commands.start("admin", "create", "client", "orphan", "-n", "lab", "--nointeractive")
    try:
        created = commands.jmpctl("admin", "create", "client", "c", "-n", "lab", "--nointeractive", "-o", "json").json()
        assert created["status"]["credential"]["name"] == "c-client"
        assert commands.jmpctl("admin", "create", "exporter", "e", "-n", "lab", "-l", "board=x", "--nointeractive").code == 0
        stored = kube.call("GET", OURS + "exporters/e")[1]
        assert stored["metadata"]["labels"] == {"board": "x"}
        assert stored["spec"] == {"enabled": True}      # which the server adds
        for words, reason in ((("create", "client", "c", "--nointeractive"), "AlreadyExists"),
                              (("create", "client", "Bad_Name", "--nointeractive"), "Invalid"),
                              (("get", "client", "missing"), "NotFound")):
            result = commands.jmpctl("admin", *words, "-n", "lab")
            assert result.code == 1
            assert f"Error from server ({reason})" in result.err

        path = tmp_path / "c.yaml"
        assert commands.jmpctl("admin", "import", "client", "c", "-n", "lab", "--out", str(path), "-a", "x").code == 0
        first = yaml.safe_load(path.read_text())["token"]
        assert first.startswith("token-")
        assert commands.jmpctl("admin", "rotate", "client", "c", "-n", "lab", "--out", str(path)).code == 0
        second = yaml.safe_load(path.read_text())["token"]
        assert second.startswith("token-") and second != first

        for kind in ("client", "exporter"):
            ours, stock = (run("admin", "get", kind, "-n", "lab", "-o", "json") for run in (commands.jmpctl, commands.stock))
            assert (ours.code, stock.code) == (0, 0), stock.err
            assert ours.out == stock.out

        deleted = commands.jmpctl("admin", "delete", "client", "c", "-n", "lab", "--nointeractive")
        assert deleted.out == "Deleted client 'c' in namespace 'lab'\n"
        again = commands.jmpctl("admin", "delete", "client", "c", "-n", "lab", "--nointeractive")
        assert again.code == 1
        assert "Error from server (NotFound)" in again.err
        assert orphan.wait(60) == 1
        assert "Timeout waiting for client credentials" in orphan.output()
        assert kube.call("GET", OURS + "clients/orphan")[0] == 200
    finally:
        controller.close()


def test_nobody_may_do_nothing(kube, commands, tmp_path):
    commands.kubeconfig = kube.kubeconfig(tmp_path / "nobody", NOBODY)
    result = commands.jmpctl("admin", "get", "client", "-n", "lab")
    assert result.code == 1
    assert "Error from server (Forbidden)" in result.err
    commands.kubeconfig = kube.kubeconfig(tmp_path / "stranger", "unknown")
    assert "Error from server (Unauthorized)" in commands.jmpctl("admin", "get", "client", "-n", "lab").err


def test_a_namespace_that_is_missing(commands):
    listed = commands.jmpctl("admin", "get", "client", "-n", "nope")
    assert (listed.code, listed.out) == (0, "No resources found in nope namespace.\n")
    result = commands.jmpctl("admin", "create", "client", "c", "-n", "nope", "--nointeractive")
    assert result.code == 1
    assert 'Error from server (NotFound): namespaces "nope" not found' in result.err


def test_only_active_leases_are_listed_and_every_member_is_kept(kube, commands, probe):
    spec = {"clientRef": {"name": "me"}, "selector": {"matchLabels": {"a": "1"}, "matchExpressions": [
        {"key": "k", "operator": "In", "values": ["x"]}]}, "duration": "abc", "beginTime": "2024-01-01T00:00:00+02:00",
        "tags": {"t": "1"}, "context": {"c": "2"}, "allowDisabled": True, "release": False}
    for name, labels in (("going", {}), ("ended", {"jumpstarter.dev/lease-ended": "true"})):
        body = {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Lease", "metadata": {"name": name, "labels": labels}, "spec": spec}
        answer = probe.request("POST", OURS + "leases", body)
        assert answer["code"] == 201, answer
        assert answer["answer"]["spec"] == spec     # also the odd duration, and the offset, as they were sent
        assert probe.read_path(2, answer["answer"]) is None
    assert commands.jmpctl("admin", "get", "lease", "-n", "lab", "-o", "name", "--active").out == "lease.jumpstarter.dev/going\n"
    assert len(commands.jmpctl("admin", "get", "lease", "-n", "lab", "-o", "name").out.splitlines()) == 2
    bad = {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Lease", "metadata": {"name": "none"}, "spec": {"clientRef": {"name": "me"}}}
    assert probe.request("POST", OURS + "leases", bad)["reason"] == "Invalid"


def test_access_policies_are_read_whole(probe):
    body = {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ExporterAccessPolicy", "metadata": {"name": "p"}, "spec": {
        "exporterSelector": {"matchLabels": {"board": "x"}}, "policies": [
            {"description": "d", "priority": 20, "from": [{"clientSelector": {"matchExpressions": [{"key": "t", "operator": "Exists"}]}}],
             "maximumDuration": "1h", "spotAccess": True}]}}
    answer = probe.request("POST", OURS + "exporteraccesspolicies", body)
    assert answer["code"] == 201, answer
    assert answer["answer"]["spec"] == body["spec"]
    assert probe.read_path(3, answer["answer"]) is None
    assert probe.list(OURS + "exporteraccesspolicies")["answer"]["items"][0]["kind"] == "ExporterAccessPolicy"


# Coordination.

QUICK = ("--lease-duration", "4", "--renew-deadline", "2.5", "--retry-period", "0.5")


def test_a_leader_renews_keeps_what_others_wrote_and_gives_back(kube, commands, probe):
    made(probe, "elected", labels={"kept": "yes"}, leaseDurationSeconds=30, leaseTransitions=4, holderIdentity="")
    sides = {name: commands.start("kube", "elect", "--lease", "elected", "--identity", name, *QUICK, "--release", "--", "sleep", "1000")
             for name in "ab"}

    def now():
        return probe.request("GET", LEASES + "/elected")["answer"]
    first = wait_until(lambda: (now()["spec"].get("holderIdentity") and now()), 60, "a leader")
    holder = first["spec"]["holderIdentity"]
    assert first["spec"]["leaseTransitions"] == 5
    wait_until(lambda: now()["spec"]["renewTime"] > first["spec"]["renewTime"], 60, "a renewal")
    assert now()["spec"]["acquireTime"] == first["spec"]["acquireTime"]
    assert now()["metadata"]["labels"] == {"kept": "yes"}
    other = sides["ba"["ab".index(holder)]]
    sides[holder].stop()
    wait_until(lambda: now()["spec"]["holderIdentity"] == "ba"["ab".index(holder)], 60, "the other leads")
    assert now()["spec"]["leaseTransitions"] == 6
    other.stop()
    assert (now()["spec"]["holderIdentity"], now()["spec"]["leaseDurationSeconds"]) == ("", 1)


def test_identities_are_counted_and_the_servers_own_is_named_as_ours_would_be(kube, commands, probe):
    for prefix in ("one", "two"):
        commands.start("kube", "identity", "--component", "exporter-agent", "--prefix", prefix, "-n", "lab")
    wait_until(lambda: len(commands.jmpctl("kube", "identity", "--component", "exporter-agent", "--list", "-n", "lab", "-o",
                                           "json").json()["items"]) == 2, 60, "both are listed")
    commands.start("kube", "identity", "--component", "kube-apiserver", "--prefix", "apiserver", "-n", "lab")
    servers = COORDINATION + "kube-system/leases?labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver"
    own = wait_until(lambda: probe.request("GET", servers)["answer"]["items"], 60, "the server's own")[0]
    ours = COORDINATION + "lab/leases/" + own["metadata"]["name"]
    wait_until(lambda: probe.request("GET", ours)["code"] == 200, 60, "ours has the same name")
    assert own["spec"]["leaseDurationSeconds"] == 3600


def test_a_heartbeat_beats_and_a_monitor_sees_it(commands, probe):
    monitor = commands.start("kube", "monitor", "-n", "lab", "-l", "!jumpstarter.dev/identity")
    commands.start("kube", "heartbeat", "--name", "agent-1", "-n", "lab")
    monitor.wait_line("agent-1 is live", timeout=60)
    beat = probe.request("GET", COORDINATION + "lab/leases/agent-1")["answer"]["spec"]
    assert (beat["holderIdentity"], beat["leaseDurationSeconds"]) == ("agent-1", 40)
