# SPDX-License-Identifier: Apache-2.0
"""lightkube and ours at the tests' own server: the same requests for the same Leases."""

import lightkube_peer as peer
import pytest
from conftest import COORDINATION

LEASES = {name: COORDINATION + name + "/leases" for name in (peer.OURS, peer.THEIRS)}


def asked(server, who, differences):
    """What one of the two asked for, in order, less the members of a query that are known to differ."""
    known = [difference[1 if who == peer.OURS else 2] for difference in differences]
    sent = []
    for request in server.asked(path=LEASES[who]):
        query = {k: "of its own list" if k == "resourceVersion" else v for k, v in request.query.items()}
        for members in known:
            for key, value in members.items():
                if query.get(key) == value:
                    del query[key]
        sent.append((request.method, request.path.removeprefix(LEASES[who]), query, body_of(request),
                     content_type(request)))
    return sent


def content_type(request):
    return next((value for name, value in request.headers.items() if name.lower() == "content-type"), None)


def body_of(request):
    """An object less what the server gave it; a patch as it is."""
    body = request.body
    return peer.shape(body) if isinstance(body, dict) and "metadata" in body else body


@pytest.mark.parametrize("row", [row for row in peer.ROWS if not row.real], ids=lambda row: row.name)
def test_lightkube_does_the_same(row, server, commands, probe, tmp_path):
    def call(method, path, body):
        """Past both of them, and so not recorded."""
        collection, _, name = path.partition("/leases")
        collection += "/leases"
        with server._lock:
            if method == "POST":
                return server.put(collection, body)
            if method == "DELETE":
                return server.remove(collection, name.removeprefix("/"))
            return {"metadata": {"resourceVersion": str(server.version)}, "items": list(server.objects.get(collection, {}).values())}
    ours, theirs = peer.both(row, commands, probe, tmp_path, call)
    assert ours == theirs
    if row.result is not None:
        assert ours == row.result
    assert asked(server, peer.OURS, row.why) == asked(server, peer.THEIRS, row.why)


def test_what_lightkube_does_not_know_it_loses_and_ours_keeps(server, commands, probe, tmp_path):
    who = {kind: kind(commands, probe, tmp_path) for kind in (peer.Ours, peer.Theirs)}
    for kind, side in who.items():
        server.put(LEASES[kind.namespace], {**peer.FILLED[0], "newer": {"member": 1}})
        side.replace("a", "two")
        assert server.get(LEASES[kind.namespace], "a")["spec"]["holderIdentity"] == "two"
    assert server.get(LEASES[peer.OURS], "a")["newer"] == {"member": 1}
    assert "newer" not in server.get(LEASES[peer.THEIRS], "a")


def test_a_whole_second_has_six_digits_in_ours_only(server, commands, probe, tmp_path):
    """Servers refuse lightkube's with 400, as test_apiserver.py shows."""
    body = peer.lease("whole", renewTime="2024-01-01T00:00:00.000000Z")
    for kind in (peer.Ours, peer.Theirs):
        kind(commands, probe, tmp_path).create(body)
    sent = [server.asked("POST", LEASES[name])[0].body["spec"]["renewTime"] for name in (peer.OURS, peer.THEIRS)]
    assert sent == ["2024-01-01T00:00:00.000000Z", "2024-01-01T00:00:00Z"]
