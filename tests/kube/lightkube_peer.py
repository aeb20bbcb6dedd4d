# SPDX-License-Identifier: Apache-2.0
"""lightkube and our library told the same about Leases at one API server, each in a namespace of its own: the same requests and the
same objects, or the difference and why. test_lightkube.py runs it at the tests' own server, test_apiserver.py at the real one."""

import json
from dataclasses import dataclass

import msgspec
from conftest import COORDINATION
from lightkube import ApiError, Client, KubeConfig
from lightkube.resources.coordination_v1 import Lease
from lightkube.types import PatchType

FIRST, SECOND = "2024-01-01T00:00:00.000001Z", "2024-01-01T00:00:10.500000Z"
OURS, THEIRS = "ours", "theirs"
GIVEN = ("creationTimestamp", "generation", "managedFields", "namespace", "resourceVersion", "selfLink", "uid")   # by the server, to each anew


def lease(name, labels=None, **spec):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, **({"labels": labels} if labels else {})}, "spec": spec}


FILLED = [lease("a", {"kept": "yes"}, holderIdentity="one", leaseDurationSeconds=15, leaseTransitions=3, acquireTime=FIRST,
                renewTime=SECOND),
          lease("b", {"kept": "no"}, holderIdentity=""), lease("c")]
NEW = lease("new", {"kept": "yes"}, holderIdentity="two", leaseDurationSeconds=40, acquireTime=FIRST, renewTime=SECOND)


def shape(obj):
    """An object without what the server gives to each anew."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in GIVEN}
    return {**obj, "metadata": metadata}


@dataclass
class Refused:
    """What both say of a refusal."""
    code: int
    reason: str
    message: str


class Ours:
    namespace = OURS

    def __init__(self, commands, probe, tmp_path):
        self.commands, self.probe, self.tmp_path = commands, probe, tmp_path
        self.leases = COORDINATION + OURS + "/leases"

    def ask(self, method, name="", body=None, content_type=None):
        answer = self.probe.request(method, self.leases + ("/" + name if name else ""), body, content_type)
        if answer["reason"] != "Success":
            return Refused(answer["code"], answer["reason"], answer["message"])
        return None if method == "DELETE" else shape(answer["answer"])

    def get(self, name):
        return self.ask("GET", name)

    def list(self, labels=None):
        words = ["-l", ",".join(f"{k}={v}" for k, v in labels.items())] if labels else []
        listed = self.commands.jmpctl("kube", "lease", "list", "-n", OURS, "-o", "json", *words).json()
        return [shape(item) for item in listed["items"]]

    def create(self, body):
        return self.ask("POST", "", body)

    def replace(self, name, holder, version=None):
        body = self.probe.request("GET", f"{self.leases}/{name}")["answer"]
        body["spec"]["holderIdentity"] = holder
        if version:
            body["metadata"]["resourceVersion"] = version
        return self.ask("PUT", name, body)

    def patch(self, name, change):
        return self.ask("PATCH", name, change, "application/merge-patch+json")

    def apply(self, body, manager, force=False):
        path = self.tmp_path / "applied.json"
        path.write_text(json.dumps(body))
        result = self.commands.jmpctl("kube", "apply", "-f", str(path), "-n", OURS, "--field-manager", manager, "-o", "name",
                                      *(["--force"] if force else []))
        if result.code == 0:
            return self.get(body["metadata"]["name"])
        reason, message = result.err.split("Error from server (", 1)[1].split("): ", 1)
        return Refused(409, reason, message.splitlines()[0])

    def delete(self, name):
        return self.ask("DELETE", name)

    def watch(self, version, count):
        lines, _ = self.probe.stream(f"{self.leases}?watch=1&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=1")
        return [(line["type"], shape(line["object"])) for line in lines if line["type"] != "BOOKMARK"][:count]


class Theirs:
    namespace = THEIRS

    def __init__(self, commands, probe, tmp_path):
        self.client = Client(config=KubeConfig.from_file(str(commands.kubeconfig)), namespace=THEIRS, trust_env=False)

    @staticmethod
    def seen(obj):
        return shape(json.loads(msgspec.json.encode(obj)))

    def ask(self, call):
        try:
            answer = call()
        except ApiError as error:
            return Refused(error.status.code, error.status.reason, error.status.message)
        return None if answer is None else self.seen(answer)

    def get(self, name):
        return self.ask(lambda: self.client.get(Lease, name))

    def list(self, labels=None):
        return [self.seen(item) for item in self.client.list(Lease, labels=labels, chunk_size=500)]

    def create(self, body):
        return self.ask(lambda: self.client.create(Lease.from_dict(body)))

    def replace(self, name, holder, version=None):
        obj = self.client.get(Lease, name)
        obj.spec.holderIdentity = holder
        if version:
            obj.metadata.resourceVersion = version
        return self.ask(lambda: self.client.replace(obj))

    def patch(self, name, change):
        return self.ask(lambda: self.client.patch(Lease, name, change, patch_type=PatchType.MERGE))

    def apply(self, body, manager, force=False):
        answer = self.ask(lambda: self.client.apply(Lease.from_dict(body), field_manager=manager, force=force))
        return answer if isinstance(answer, Refused) else self.get(body["metadata"]["name"])

    def delete(self, name):
        return self.ask(lambda: self.client.delete(Lease, name))

    def watch(self, version, count):
        events = self.client.watch(Lease, resource_version=version, server_timeout=1)
        seen = [(kind, self.seen(obj)) for kind, obj in (next(events) for _ in range(count))]
        events.close()
        return seen


def twice(who):
    return [who.create(NEW), who.create(NEW)]


def changed(who):
    who.replace("a", "two")
    return [who.get("a"), who.replace("a", "three", version="1")]


def watched(who):
    """Three changes after a version, seen from that version on."""
    version = who.version()
    who.create(NEW)
    who.replace("new", "three")
    who.delete("new")
    return who.watch(version, 3)


def contended(who):
    spare = lease("applied", leaseDurationSeconds=30)
    other = lease("applied", leaseDurationSeconds=31)
    return [who.apply(spare, "one"), who.apply(other, "two"), who.apply(other, "two", force=True)]


# What differs on purpose: members of a query that only one of the two sends.
STRICT = ("ours has the server refuse members that it does not know", {"fieldValidation": "Strict"}, {})
FORCE = ("lightkube says that it does not force", {}, {"force": "false"})
BOOKMARKS = ("ours asks for bookmarks, so that a watch can go on where it ended", {"allowWatchBookmarks": "true", "watch": "1"},
             {"watch": "true"})


@dataclass
class Row:
    name: str
    do: object              # of one of the two
    result: object = None   # what it must come to, where that is plain
    why: tuple = ()
    real: bool = False      # only a real server knows who owns a field


ROWS = [
    Row("get", lambda who: who.get("a"), FILLED[0]),
    Row("get-bare", lambda who: who.get("c"), FILLED[2]),
    Row("get-missing", lambda who: who.get("gone")),
    Row("list", lambda who: who.list(), FILLED),
    Row("list-by-label", lambda who: who.list({"kept": "yes"}), FILLED[:1]),
    Row("create", lambda who: who.create(NEW), NEW),
    Row("create-twice", twice),
    Row("replace-and-conflict", changed),
    Row("patch", lambda who: who.patch("a", {"spec": {"holderIdentity": None, "leaseTransitions": 4}})),
    Row("apply", lambda who: who.apply(NEW, "one"), NEW, (STRICT, FORCE)),
    Row("apply-conflict-force", contended, None, (STRICT, FORCE), real=True),
    Row("delete", lambda who: [who.delete("b"), who.get("b")]),
    Row("delete-missing", lambda who: who.delete("gone")),
    Row("watch", watched, None, (BOOKMARKS,)),
]


def run(row, who, call):
    """Fills the namespace, does what the row says, and empties it; @call asks the server past both: (method, path, body)."""
    leases = COORDINATION + who.namespace + "/leases"
    for body in FILLED:
        call("POST", leases, body)
    who.version = lambda: call("GET", leases, None)["metadata"]["resourceVersion"]
    try:
        return row.do(who)
    finally:
        for item in call("GET", leases, None)["items"]:
            call("DELETE", f"{leases}/{item['metadata']['name']}", None)


def both(row, commands, probe, tmp_path, call):
    """(what ours came to, what theirs came to)"""
    return tuple(run(row, kind(commands, probe, tmp_path), call) for kind in (Ours, Theirs))
