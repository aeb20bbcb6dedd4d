# SPDX-License-Identifier: Apache-2.0
"""The stock `jmp admin` and ours, told the same: the same requests, objects, words and exit codes, or the difference and why."""

import base64
import json
from dataclasses import dataclass, field

import pytest
import yaml
from conftest import JUMPSTARTER, Commands
from harness.kubernetes import ApiServer, status

LAB = JUMPSTARTER + "lab/"
CORE = "/api/v1/namespaces/lab/"
CREATED = "2024-01-01T00:00:00Z"

# What differs on purpose, by the words of a row: how stock requests are made ours, or what of the output is not compared.
PAGES = "ours asks for lists in pages: limit=500"
EMPTY = "stock sends labels that are empty, ours none"
OLD_UID = "ours looks at the Secret before it deletes it, to know the new one from the old"
USAGE = "click words usage errors its own way; the exit code is the same"
COUNTS = "stock reads the object again for its configuration; ours has it"


@dataclass
class Row:
    name: str
    words: str
    code: int = 0
    why: tuple = ()
    rules: list = field(default_factory=list)
    file: str = ""          # the saved configuration, to be compared
    poll: bool = False      # the object gets its credentials with the POST


def forbid(part):
    return lambda request: status(403, "no", name="x") if part in request.path else None


ROWS = [
    Row("get-clients", "get client", why=(PAGES,)),
    Row("get-clients-plural", "get clients -o name", why=(PAGES,)),
    Row("get-alias", "g c -o json", why=(PAGES,)),
    Row("get-client", "get client c-1 -o json"),
    Row("get-client-yaml", "get client c-1 -o yaml"),
    Row("get-exporter", "get exporter e-1 -o json"),
    Row("get-exporters-yaml", "get exporter -o yaml", why=(PAGES,)),
    Row("get-exporters-name", "get e -o name", why=(PAGES,)),
    Row("get-lease", "get lease l-1 -o json"),
    Row("get-leases-json", "get leases -o json", why=(PAGES,)),
    Row("get-leases-name", "get l -o name", why=(PAGES,)),
    Row("get-nothing", "get client missing", code=1),
    Row("get-forbidden", "get client", code=1, why=(PAGES,), rules=[forbid("clients")]),
    Row("get-no-resources", "get exporter", code=1, why=(PAGES,), rules=[lambda request: (404, b"404 page not found\n")]),
    Row("create-client-labels", "create client new -l a=b -l c=d --nointeractive", poll=True),
    Row("create-client-json", "create client new -l a=b --nointeractive -o json", poll=True),
    Row("create-client-name", "create client new -l a=b --nointeractive -o name", poll=True),
    Row("create-client-oidc", "create client new -l a=b --oidc-username dex:u --nointeractive", poll=True),
    Row("create-client-save", "create client new -l a=b --nointeractive --out FILE --unsafe -a x,y", poll=True, why=(COUNTS,),
        file="drivers"),
    Row("create-alias", "c c new -l a=b --nointeractive", poll=True),
    Row("create-client-bare", "create client new --nointeractive", why=(EMPTY,), poll=True),
    Row("create-exporter", "create exporter new -l a=b --nointeractive", poll=True),
    Row("create-exporter-save", "create exporter new -l a=b --nointeractive --out FILE", poll=True, why=(COUNTS,), file="export"),
    Row("create-twice", "create client c-1 -l a=b --nointeractive", code=1),
    Row("create-forbidden", "create exporter new -l a=b --nointeractive", code=1, rules=[forbid("exporters")]),
    Row("create-without-name", "create client", code=2, why=(USAGE,)),
    Row("create-bad-label", "create client new -l bad --nointeractive", code=2, why=(USAGE,)),
    Row("delete-client", "delete client c-1 --nointeractive"),
    Row("delete-client-name", "delete client c-1 --nointeractive -o name"),
    Row("delete-exporter", "del exporter e-1 --nointeractive"),
    Row("delete-missing", "delete client missing --nointeractive", code=1),
    Row("import-client", "import client c-1 --nointeractive --out FILE -a x,y", file="drivers"),
    Row("import-client-path", "import client c-1 --nointeractive --out FILE --unsafe -o path", file="drivers"),
    Row("import-client-insecure", "import client c-1 --nointeractive --out FILE -a x -k", file="drivers"),
    Row("import-exporter", "import exporter e-1 --nointeractive --out FILE", file="export"),
    Row("import-exporter-path", "import exporter e-1 --nointeractive --out FILE -o path", file="export"),
    Row("import-missing", "import client missing --nointeractive --out FILE", code=1),
    Row("import-forbidden-map", "import client c-1 --nointeractive --out FILE", code=1, rules=[forbid("configmaps")]),
    Row("rotate", "rotate client c-1", why=(OLD_UID,)),
    Row("rotate-forbidden", "rotate client c-1", code=1, why=(OLD_UID,), rules=[
        lambda request: status(403, "no") if request.method == "DELETE" else None]),
    Row("rotate-missing", "rotate client missing", code=1),
]


def fill(server):
    def made(kind, name, **more):
        return {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": kind, "metadata": {
            "name": name, "creationTimestamp": CREATED, "uid": f"uid-{name}", "managedFields": []}, **more}
    credential = {"endpoint": "lab.example:8082"}
    for name in ("c-1", "c-2"):
        server.put(LAB + "clients", made("Client", name, spec={}, status={**credential, "credential": {"name": f"{name}-client"}}))
    server.put(LAB + "exporters", made("Exporter", "e-1", spec={}, status={
        **credential, "credential": {"name": "e-1-exporter"}, "devices": [{"uuid": "u", "labels": {"a": "1"}}],
        "exporterStatus": "Available", "statusMessage": ""}))
    server.put(LAB + "leases", made("Lease", "l-1", spec={
        "clientRef": {"name": "c-1"}, "duration": "1h0m0s", "selector": {"matchLabels": {"a": "1"}}}, status={
        "ended": False, "beginTime": CREATED, "exporterRef": {"name": "e-1"}, "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1,
             "lastTransitionTime": CREATED}]}))
    for name in ("c-1-client", "e-1-exporter", "new-client", "new-exporter"):
        server.put(CORE + "secrets", {"metadata": {"name": name, "uid": f"uid-{name}"},
                                      "data": {"token": base64.b64encode(b"the-token").decode()}})
    server.put(CORE + "configmaps", {"metadata": {"name": "jumpstarter-service-ca-cert"}, "data": {"ca.crt": "PEM\n"}})


def act_as_controller(server, row):
    """Credentials come at once, and a Secret that is deleted is made anew at once."""
    def rule(request):
        if row.poll and request.method == "POST":
            kind = request.path.rsplit("/", 1)[1]
            body = json.loads(json.dumps(request.body))
            name = body["metadata"]["name"]
            body["metadata"]["creationTimestamp"], body["metadata"]["uid"] = CREATED, "uid-new"
            body["status"] = {"credential": {"name": f"{name}-{kind[:-1]}"}, "endpoint": "lab.example:8082",
                              **({"devices": [], "exporterStatus": "Offline"} if kind == "exporters" else {})}
            return 201, server.put(LAB + kind, body)
        if request.method == "DELETE" and "secrets" in request.path:
            name = request.path.rsplit("/", 1)[1]
            server.remove(CORE + "secrets", name)
            server.put(CORE + "secrets", {"metadata": {"name": name}, "data": {"token": base64.b64encode(b"new").decode()}})
            return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        return None
    server.rules += row.rules + [rule]


def requests_of(server):
    """What was asked for, in the server's terms; a DELETE's empty options are none."""
    return [(r.method, r.path, {k: v for k, v in r.query.items() if k != "limit"}, r.body or None) for r in server.asked()]


def told(row, who, request, tmp_path):
    """The row's command by one of the two, on a server and in a home of its own."""
    home = tmp_path / who
    home.mkdir()
    server = ApiServer()
    try:
        fill(server)
        act_as_controller(server, row)
        commands = Commands(request, home, server)
        path = home / "saved.yaml"
        words = ["admin", *(str(path) if w == "FILE" else w for w in row.words.split()), "-n", "lab"]
        done = (commands.jmpctl if who == "ours" else commands.stock)(*words)
        done.out, done.err = done.out.replace(str(home), "HOME"), done.err.replace(str(home), "HOME")
        saved = yaml.safe_load(path.read_text()) if path.exists() else None
        return done, requests_of(server), saved
    finally:
        server.close()


def as_ours(row, asked):
    """The stock command's requests as ours are known to differ."""
    if COUNTS in row.why:
        # POST, GET until there are credentials, GET for the configuration, Secret, map.
        asked = asked[:2] + asked[3:]
    if EMPTY in row.why:
        asked[0][3]["metadata"].pop("labels")
    if OLD_UID in row.why:
        secret = CORE + "secrets/c-1-client"
        asked = asked[:1] + [("GET", secret, {}, None)] + asked[1:]
    return asked


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_both_do_the_same(row, request, tmp_path):
    ours, our_requests, our_file = told(row, "ours", request, tmp_path)
    stock, stock_requests, stock_file = told(row, "stock", request, tmp_path)
    assert (ours.code, stock.code) == (row.code, row.code), (ours.err, stock.err)
    assert our_requests == as_ours(row, stock_requests)
    if USAGE in row.why:
        return
    if row.code:
        # Ours says which program speaks, and may add a hint.
        assert stock.err.strip().removeprefix("Error: ") in ours.err
    elif "-o yaml" in row.words:
        assert yaml.safe_load(ours.out) == yaml.safe_load(stock.out)
    elif "-o" in row.words or not row.words.startswith(("get", "g ")):
        # Stock fills the last column of a table with blanks.
        assert [line.rstrip() for line in ours.out.splitlines()] == [line.rstrip() for line in stock.out.splitlines()]
    if row.file:
        for key in ("apiVersion", "kind", "metadata", "endpoint", "tls", "token", row.file):
            assert our_file[key] == stock_file[key], key
