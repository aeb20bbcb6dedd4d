# SPDX-License-Identifier: Apache-2.0
"""jmpctl admin: the requests, the objects and the words, and whether the stock command says the same."""

import base64
import json
import os
import stat

import pytest
import yaml
from conftest import JUMPSTARTER
from harness.kubernetes import status

CLIENTS, EXPORTERS, LEASES = (JUMPSTARTER + "lab/" + kind for kind in ("clients", "exporters", "leases"))
SECRETS, MAPS = ("/api/v1/namespaces/lab/" + kind for kind in ("secrets", "configmaps"))
CREATED = "2024-01-01T00:00:00Z"


def client(name, with_status=True, **more):
    made = {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Client",
            "metadata": {"name": name, "creationTimestamp": CREATED, "uid": f"uid-{name}"}, "spec": {}, **more}
    if with_status:
        made["status"] = {"credential": {"name": f"{name}-client"}, "endpoint": "lab.example:8082"}
    return made


def exporter(name, **more):
    return {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Exporter",
            "metadata": {"name": name, "creationTimestamp": CREATED, "uid": f"uid-{name}"}, "spec": {},
            "status": {"credential": {"name": f"{name}-exporter"}, "endpoint": "lab.example:8082",
                       "devices": [{"uuid": "u-1", "labels": {"a": "1", "b": "2"}}], **more}}


def lease(name, conditions=(), ended=False, **spec):
    return {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "Lease",
            "metadata": {"name": name, "creationTimestamp": CREATED, "uid": f"uid-{name}", "managedFields": []},
            "spec": {"clientRef": {"name": "me"}, "duration": "1h0m0s", "selector": {"matchLabels": {"a": "1", "b": "2"}},
                     **spec},
            "status": {"ended": ended, "beginTime": CREATED, "endTime": None, "exporterRef": {"name": "board"},
                       "conditions": [{"type": t, "status": s, "reason": r, "message": "[red]m[/red]",
                                       "observedGeneration": 1, "lastTransitionTime": CREATED} for t, s, r in conditions]}}


def secret(server, name, token="the-token", uid=None):
    metadata = {"name": name, **({"uid": uid} if uid else {})}
    server.put(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
                         "data": {"token": base64.b64encode(token.encode()).decode()}})


def fill(server):
    server.put(CLIENTS, client("c-1"))
    server.put(CLIENTS, client("c-2"))
    server.put(EXPORTERS, exporter("e-1", exporterStatus="LeaseReady", statusMessage="busy"))
    server.put(LEASES, lease("l-1", [("Pending", "True", "NotAvailable"), ("Ready", "True", "Ready")]))
    server.put(LEASES, lease("l-2", [("Ready", "False", "Expired")], ended=True))


@pytest.mark.parametrize("kind", ["client", "exporter", "lease"])
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_documents_are_those_of_the_stock_command(server, commands, kind, output):
    fill(server)
    name = {"client": "c-1", "exporter": "e-1", "lease": "l-1"}[kind]
    load = json.loads if output == "json" else yaml.safe_load
    for words in ((), (name,)):
        ours = commands.jmpctl("admin", "get", kind, *words, "-n", "lab", "-o", output)
        stock = commands.stock("admin", "get", kind, *words, "-n", "lab", "-o", output)
        assert (ours.code, stock.code) == (0, 0), (ours.err, stock.err)
        # The stock command passes YAML through a renderer of markup, which eats "[red]".
        expected = stock.out if output == "json" else stock.out.replace("message: 'm'", "message: '[red]m[/red]'")
        assert load(ours.out) == load(expected), stock.out
        if output == "json":
            assert ours.out == stock.out


@pytest.mark.parametrize("kind", ["client", "exporter", "lease"])
def test_names_are_those_of_the_stock_command(server, commands, kind):
    fill(server)
    ours, stock = (run("admin", "get", kind, "-n", "lab", "-o", "name") for run in (commands.jmpctl, commands.stock))
    assert ours.out == stock.out
    assert ours.code == stock.code == 0


@pytest.mark.parametrize("words", [("get", "client"), ("get", "exporter"), ("get", "exporter", "-d"), ("get", "lease")])
def test_tables_have_the_cells_of_the_stock_command(server, commands, words):
    fill(server)
    ours, stock = (run("admin", *words, "-n", "lab") for run in (commands.jmpctl, commands.stock))
    # Without a terminal the stock command crops cells to 80 columns, so only what is whole can be compared.
    rows = [line.split() for line in ours.out.splitlines()]
    for row, line in zip(rows, stock.out.splitlines(), strict=True):
        for cell in line.split():
            assert "…" in cell or any(own.startswith(cell) for own in row), (row, line)


REASONS = [
    ([], "Unknown"), ([("Ready", "True", "Ready")], "Ready"), ([("Ready", "False", "Expired")], "Complete"),
    ([("Ready", "False", "Released")], "Released"), ([("Pending", "True", "NotAvailable")], "NotAvailable"),
    ([("Pending", "True", "NotAvailable"), ("Ready", "True", "Ready")], "Ready"),
    ([("Ready", "False", "Ready")], "Waiting"), ([("Expired", "True", "Expired")], "Expired"),
]


def test_a_lease_says_where_it_is(server, commands):
    for i, (conditions, _) in enumerate(REASONS):
        server.put(LEASES, lease(f"l-{i}", conditions))
    bare = lease("l-bare", selector={}, exporterRef={"name": "board"}, duration="abc")
    del bare["status"]
    server.put(LEASES, bare)
    rows = {line.split()[0]: line.split() for line in commands.jmpctl("admin", "get", "lease", "-n", "lab").out.splitlines()}
    for i, (_, reason) in enumerate(REASONS):
        assert reason in rows[f"l-{i}"]
    assert rows["l-bare"][:5] == ["l-bare", "me", "*", "abc", "InProgress"]
    assert rows["l-bare"][5] == "Unknown"


def test_a_selector_is_shown_by_its_labels(server, commands):
    for name, selector in (("null", None), ("empty", {}), ("both", {"matchLabels": {"a": "1", "b": "2"}, "matchExpressions": [
            {"key": "hidden", "operator": "Exists"}]})):
        server.put(LEASES, lease(name, selector=selector, exporterRef={"name": "board"}))
    rows = {line.split()[0]: line for line in commands.jmpctl("admin", "get", "lease", "-n", "lab").out.splitlines()}
    assert (rows["null"].split()[2], rows["empty"].split()[2], rows["both"].split()[2]) == ("*", "*", "a:1,b:2")
    assert "hidden" not in rows["both"]


def test_yaml_reads_back_as_what_it_was(server, commands):
    odd = ["1", "True", "yes", "null", "2024-01-01T00:00:00Z", "1:30", "0x1f", "[red]x[/red]", "long " * 60, "a: b", "- c", "#d", "'", ""]
    for i, text in enumerate(odd):
        made = lease(f"l-{i:02}", [("Ready", "True", "Ready")])
        made["status"]["conditions"][0]["message"] = text
        made["spec"]["selector"]["matchLabels"] = {"k": text}
        server.put(LEASES, made)
    items = yaml.safe_load(commands.jmpctl("admin", "get", "lease", "-n", "lab", "-o", "yaml").out)["items"]
    assert [i["status"]["conditions"][0]["message"] for i in items] == odd
    assert [i["spec"]["selector"]["matchLabels"]["k"] for i in items] == odd


def test_a_list_without_items_is_an_empty_one(server, commands):
    empty = {"apiVersion": "jumpstarter.dev/v1alpha1", "items": [], "kind": "ClientList"}
    assert commands.jmpctl("admin", "get", "client", "-n", "lab", "-o", "json").json() == empty
    server.rules.append(lambda r: (200, {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ClientList", "metadata": {}}))
    assert commands.jmpctl("admin", "get", "client", "-n", "lab", "-o", "json").json() == empty


@pytest.mark.parametrize("spec", [[], "x", 42, True, None])
def test_a_spec_of_another_type_is_an_error_that_names_it(server, commands, spec):
    server.put(LEASES, {**lease("odd"), "spec": spec})
    result = commands.jmpctl("admin", "get", "lease", "-n", "lab")
    assert result.code == 1
    assert ("spec: it is missing" if spec is None else "spec: expected a map") in result.err


def test_objects_without_status_are_shown(server, commands):
    server.put(CLIENTS, client("bare", with_status=False))
    bare = exporter("e")
    del bare["status"]
    server.put(EXPORTERS, bare)
    odd = exporter("f")
    odd["status"] = {"devices": [{"uuid": "u"}]}
    server.put(EXPORTERS, odd)
    assert commands.jmpctl("admin", "get", "client", "bare", "-n", "lab", "-o", "json").json()["status"] is None
    lines = commands.jmpctl("admin", "get", "exporter", "-n", "lab").out.splitlines()
    assert lines[1].split()[:3] == ["e", "Unknown", "0"]
    assert lines[2].split()[:3] == ["f", "Unknown", "1"]


def test_nothing_found_is_said(server, commands):
    result = commands.jmpctl("admin", "get", "client", "-n", "lab")
    assert (result.code, result.out) == (0, "No resources found in lab namespace.\n")
    bare = exporter("e")
    bare["status"]["devices"] = []
    server.put(EXPORTERS, bare)
    result = commands.jmpctl("admin", "get", "exporter", "-d", "-n", "lab")
    assert "No resources found" in result.out
    assert commands.jmpctl("admin", "get", "client", "-n", "lab", "-o", "json").json()["items"] == []


def test_the_default_namespace_is_default_and_not_the_contexts(server, commands, tmp_path):
    commands.kubeconfig = server.kubeconfig(tmp_path / "other", namespace="elsewhere")
    commands.jmpctl("admin", "get", "client")
    assert server.asked()[-1].path == JUMPSTARTER + "default/clients"


def test_only_active_leases_are_asked_for(server, commands):
    commands.jmpctl("admin", "get", "lease", "--active", "-n", "lab")
    assert server.asked()[-1].query["labelSelector"] == "!jumpstarter.dev/lease-ended"


def test_a_long_list_comes_in_pages(server, commands):
    for i in range(1000):
        server.put(CLIENTS, client(f"client-{'x' * 50}-{i:04}"))
    result = commands.jmpctl("admin", "get", "client", "-n", "lab")
    lines = result.out.splitlines()
    assert len(lines) == 1001
    assert all("…" not in line for line in lines)
    assert [r.query.get("limit") for r in server.asked(path="clients")] == ["500", "500"]


def test_a_list_that_the_server_forgot_is_asked_for_whole(server, commands):
    for i in range(700):
        server.put(CLIENTS, client(f"c-{i:04}"))
    server.rules.append(lambda r: status(410, "too old", "Expired") if r.query.get("continue") else None)
    lines = commands.jmpctl("admin", "get", "client", "-n", "lab").out.splitlines()
    assert len(lines) == 701
    assert [r.query for r in server.asked()] == [{"limit": "500"}, {"limit": "500", "continue": "500"}, {}]


@pytest.mark.parametrize("words, body", [
    ((), {"metadata": {"name": "c"}, "spec": {}}),
    (("--oidc-username", "dex:u", "-l", "a=b", "-l", "x=y"),
     {"metadata": {"name": "c", "labels": {"a": "b", "x": "y"}}, "spec": {"username": "dex:u"}}),
])
def test_create_sends_what_was_asked_for_and_waits(server, commands, words, body):
    reads = []

    def controller(request):
        if request.method == "GET" and request.path.endswith("/c"):
            reads.append(request.at)
            if len(reads) == 3:
                server.put(CLIENTS, client("c"))
        return None
    server.rules.append(controller)
    result = commands.jmpctl("admin", "create", "client", "c", "-n", "lab", "--nointeractive", *words)
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == "Creating client 'c' in namespace 'lab'"
    assert result.out.splitlines()[2].split() == ["c", "lab.example:8082"]
    sent = server.asked("POST")[0].body
    assert {k: sent[k] for k in ("metadata", "spec")} == body
    assert (sent["apiVersion"], sent["kind"]) == ("jumpstarter.dev/v1alpha1", "Client")
    assert len(reads) == 3
    assert reads[2] - reads[0] >= 1.9


def test_create_ends_with_the_first_refusal(server, commands):
    server.rules.append(lambda r: status(403, "no") if r.method == "GET" and len(server.asked("GET")) == 2 else None)
    result = commands.jmpctl("admin", "create", "client", "c", "-n", "lab", "--nointeractive")
    assert result.code == 1
    assert "Error from server (Forbidden): no" in result.err
    assert len(server.asked("GET")) == 2


def test_without_a_controller_create_gives_up_and_leaves_the_object(server, commands):
    result = commands.jmpctl("admin", "create", "client", "c", "-n", "lab", "--nointeractive")
    assert result.code == 1
    assert "Timeout waiting for client credentials" in result.err
    assert len(server.asked("GET")) == 10
    assert server.get(CLIENTS, "c")
    again = commands.jmpctl("admin", "create", "client", "c", "-n", "lab", "--nointeractive")
    assert "Error from server (AlreadyExists)" in again.err


@pytest.mark.parametrize("words, text", [
    (("create", "exporter", "e"), "Missing option '--label'"),
    (("create", "exporter", "e", "-l", "bad"), "Invalid label 'bad', should be formatted as 'key=value'"),
    (("create", "client"), "NAME is missing"),
    (("create", "exporter"), "NAME is missing"),
    (("create", "client", "c", "-l", "bad"), "Invalid label 'bad', should be formatted as 'key=value'"),
    (("get", "client", "-o", "path"), "path"),
    (("get", "exporter", "-o", "xml"), "xml"),
    (("get", "nothing"), "not a command"),
    (("delete", "lease", "x"), "a lease is given back by the client who holds it"),
    (("create", "lease"), "a lease is made by the client who wants it"),
    (("import", "l"), "a lease has no configuration"),
    (("rotate", "lease", "x"), "a lease has no token"),
    (("rotate", "exporter", "x"), "delete its Secret"),
    (("delete", "client", "c", "-o", "json"), "json"),
    (("rotate", "client", "c", "-o", "path"), "path"),
    (("import", "client", "c", "-o", "name"), "name"),
])
def test_wrong_command_lines_are_usage_errors(server, commands, words, text):
    result = commands.jmpctl("admin", *words)
    assert result.code == 2
    assert text in result.err
    assert not server.requests


def test_import_writes_what_the_stock_command_writes(server, commands, tmp_path):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client")
    server.put(MAPS, {"metadata": {"name": "jumpstarter-service-ca-cert"}, "data": {"ca.crt": "PEM\n"}})
    ours, stock = tmp_path / "deep" / "ours.yaml", tmp_path / "stock.yaml"
    result = commands.jmpctl("admin", "import", "client", "c", "-n", "lab", "--out", str(ours), "-a", "x,y")
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == f"Client configuration successfully saved to {ours}"
    assert commands.stock("admin", "import", "client", "c", "-n", "lab", "--out", str(stock), "-a", "x,y",
                          "--nointeractive").code == 0
    written, expected = yaml.safe_load(ours.read_text()), yaml.safe_load(stock.read_text())
    for key in ("apiVersion", "kind", "metadata", "endpoint", "tls", "token", "drivers"):
        assert written[key] == expected[key], key
    assert "alias" not in written
    assert written["tls"]["ca"] == base64.b64encode(b"PEM\n").decode()
    assert stat.S_IMODE(os.stat(ours).st_mode) == 0o600
    assert commands.jmpctl("--client-config", str(ours), "get", "leases").code == 1     # read, and dialled in vain


@pytest.mark.parametrize("answer, ca, fails", [
    ({"data": {"ca.crt": ""}}, "", False), ({}, "", False), (None, "", False), (403, None, True)])
def test_the_authority_may_be_missing_but_not_forbidden(server, commands, tmp_path, answer, ca, fails):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client")
    if answer == 403:
        server.rules.append(lambda r: status(403, "no") if "configmaps" in r.path else None)
    elif answer is not None:
        server.put(MAPS, {"metadata": {"name": "jumpstarter-service-ca-cert"}, **answer})
    result = commands.jmpctl("admin", "import", "client", "c", "-n", "lab", "--out", str(tmp_path / "f"), "-o", "path")
    if fails:
        assert result.code == 1
        assert "Forbidden" in result.err
    else:
        assert result.out == f"{tmp_path / 'f'}\n"
        assert yaml.safe_load((tmp_path / "f").read_text())["tls"]["ca"] == ca


def test_import_refuses_to_replace(server, commands):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client")
    server.put(EXPORTERS, exporter("e"))
    secret(server, "e-exporter")
    for kind, name, words in (("client", "c", "A client with the name 'c' already exists"),
                              ("exporter", "e", 'An exporter with the name "e" already exists')):
        assert commands.jmpctl("admin", "import", kind, name, "-n", "lab").code == 0
        again = commands.jmpctl("admin", "import", kind, name, "-n", "lab")
        assert again.code == 1
        assert words in again.err
    config = yaml.safe_load((commands.home / "config" / "config.yaml").read_text())
    assert config["config"]["current-client"] == "c"
    assert yaml.safe_load((commands.home / "config" / "exporters" / "e.yaml").read_text())["export"] == {}


def test_credentials_that_are_missing_are_named(server, commands, tmp_path):
    server.put(CLIENTS, client("bare", with_status=False))
    server.put(CLIENTS, client("c"))
    server.put(SECRETS, {"metadata": {"name": "c-client"}, "data": {"other": "eA=="}})
    for name, words in (("bare", "Client 'bare' has no credential secret"), ("c", "Secret 'c-client' has no token")):
        result = commands.jmpctl("admin", "import", "client", name, "-n", "lab", "--out", str(tmp_path / "f"))
        assert result.code == 1
        assert words in result.err
        assert not (tmp_path / "f").exists()


def test_delete_says_so_and_takes_the_file_along(server, commands):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client")
    assert commands.jmpctl("admin", "import", "client", "c", "-n", "lab").code == 0
    result = commands.jmpctl("admin", "delete", "client", "c", "-n", "lab", "-d")
    assert result.out == "Deleted client 'c' in namespace 'lab'\nClient configuration successfully deleted\n"
    assert not (commands.home / "config" / "clients" / "c.yaml").exists()
    again = commands.jmpctl("admin", "delete", "client", "c", "-n", "lab", "--nointeractive")
    assert again.code == 1
    assert 'Error from server (NotFound): clients "c" not found' in again.err


def test_rotate_waits_for_another_secret(server, commands):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client", "old", uid="old")
    reads = []

    def controller(request):
        if request.path.endswith("/c-client") and request.method == "GET" and server.asked("DELETE"):
            reads.append(request.at)
            if len(reads) == 1:     # a cache that has not heard of it yet
                return 200, {"metadata": {"name": "c-client", "uid": "old"}, "data": {"token": "b2xk"}}
            if len(reads) == 4:
                secret(server, "c-client", "new")
        return None
    server.rules.append(controller)
    result = commands.jmpctl("admin", "rotate", "client", "c", "-n", "lab", "-s")
    assert result.code == 0, result.err
    assert "Token rotated for client 'c'" in result.out
    assert "Client configuration updated with new token" in result.out
    assert len(reads) >= 4
    assert yaml.safe_load((commands.home / "config" / "clients" / "c.yaml").read_text())["token"] == "new"


def test_rotate_leaves_the_rest_of_a_configuration_alone(server, commands):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client", "old")
    assert commands.jmpctl("admin", "import", "client", "c", "-n", "lab", "-a", "x,y").code == 0
    path = commands.home / "config" / "clients" / "c.yaml"
    before = yaml.safe_load(path.read_text())

    def controller(request):
        if request.method == "DELETE":
            server.remove(SECRETS, "c-client")
            secret(server, "c-client", "new")
            return 200, {}
        return None
    server.rules.append(controller)
    result = commands.jmpctl("admin", "rotate", "client", "c", "-n", "lab", "-s")
    assert result.code == 0, result.err
    assert yaml.safe_load(path.read_text()) == {**before, "token": "new"}
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("code, words, reads", [(404, "Timeout waiting for token regeneration", 10), (403, "Forbidden", 1)])
def test_rotate_gives_up(server, commands, code, words, reads):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client")
    server.rules.append(lambda r: status(code, "no") if r.method == "GET" and "secrets" in r.path and server.asked("DELETE")
                        else None)
    result = commands.jmpctl("admin", "rotate", "client", "c", "-n", "lab")
    assert result.code == 1
    assert words in result.err
    assert len([r for r in server.asked("GET", "secrets")]) == reads + 1    # one look before


def test_without_the_resources_the_servers_words_are_shown(server, commands):
    server.rules.append(lambda r: (404, b"404 page not found\n"))
    result = commands.jmpctl("admin", "get", "client")
    assert result.code == 1
    assert "Server error: 404 page not found" in result.err


def test_no_token_is_ever_said(server, commands):
    server.put(CLIENTS, client("c"))
    secret(server, "c-client")
    for words in (("admin", "get", "client"), ("admin", "import", "client", "c", "-n", "lab"), ("admin", "get", "nothing")):
        result = commands.jmpctl(*words)
        for secret_text in ("secret-token-of-the-test", "the-token"):
            assert secret_text not in result.out + result.err


@pytest.mark.parametrize("typed, offered", [
    (("admin", "get", "client", ""), ["c-1", "c-2"]), (("admin", "delete", "client", "c-2"), ["c-2"]), (("admin", "import", "client", "x"), []),
    (("admin", "rotate", "c", "c"), ["c-1", "c-2"]), (("admin", "get", "exporters", "e"), ["e-1"]), (("admin", "delete", "e", ""), ["e-1"]),
    (("admin", "import", "exporter", ""), ["e-1"]), (("admin", "get", "leases", ""), ["l-1", "l-2"])])
def test_names_are_completed_from_the_cluster(server, commands, typed, offered):
    fill(server)
    done = commands.jmpctl("complete", *typed[:3], "-n", "lab", typed[3])
    assert (done.code, done.out.split(), done.err) == (0, offered, "")
    nowhere = commands.jmpctl("complete", *typed[:3], "-n", "empty", typed[3])
    assert (nowhere.code, nowhere.out, nowhere.err) == (0, "", "")


def test_completion_of_a_cluster_that_does_not_answer_is_silent(server, commands):
    server.rules.append(lambda r: status(403, "no"))
    done = commands.jmpctl("complete", "admin", "get", "client", "")
    assert (done.code, done.out, done.err) == (0, "", "")
