# SPDX-License-Identifier: Apache-2.0
"""Streams of events: however the bytes come, the events are the same."""

import json

import pytest
from conftest import COORDINATION

LEASES = COORDINATION + "default/leases"


def event(kind, name, version, **more):
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": str(version)}, **more}}


EVENTS = [event("ADDED", "a", 1), event("MODIFIED", "a", 2, big="x" * 1048576), event("BOOKMARK", "", 3), event("DELETED", "a", 4)]


@pytest.mark.parametrize("size", [1 << 30, 1000, 65537, 7], ids=lambda size: f"chunks-of-{size}")
def test_events_may_be_cut_anywhere(server, probe, size):
    events = EVENTS if size > 7 else [EVENTS[0], EVENTS[2], EVENTS[3]] * 20
    body = "".join(json.dumps(e) + "\n" for e in events).encode()
    server.rules.append(lambda request: lambda send: [send(body[i:i + size]) for i in range(0, len(body), size)])
    lines, end = probe.stream(LEASES + "?watch=1")
    assert lines == events
    assert (end["code"], end["error"]) == (200, 0)


def test_single_bytes_make_an_event(server, probe):
    body = (json.dumps(EVENTS[0]) + "\n").encode()
    server.rules.append(lambda request: lambda send: [send(bytes([b])) for b in body])
    assert probe.stream(LEASES + "?watch=1")[0] == EVENTS[:1]


def test_a_line_without_end_is_given_up(server, probe):
    server.rules.append(lambda request: lambda send: [send(b"x" * 1048576) for _ in range(20)])
    lines, end = probe.stream(LEASES + "?watch=1")
    assert lines == []
    assert end["error"] < 0


def test_a_refused_stream_is_a_status(server, probe):
    server.rules.append(lambda request: (410, {"kind": "Status", "reason": "Expired", "message": "old", "code": 410}))
    lines, end = probe.stream(LEASES + "?watch=1")
    assert (lines, end["code"], end["reason"]) == ([], 410, "Expired")
