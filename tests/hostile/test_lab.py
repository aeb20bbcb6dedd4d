# SPDX-License-Identifier: Apache-2.0
"""jmp-labd, which anybody on the network reaches: what strangers and spiteful clients send."""

import contextlib
import os
import random
import resource
import ssl

import grpc
import pytest
import yaml
from harness.lab import Labd
from harness.stock import failure
from jumpstarter_protocol.jumpstarter.client.v1 import client_pb2, client_pb2_grpc

import http2
from process import Cost
from wire import field, nested_lists

MANY_MILLISECONDS, MANY_KIB = 500, 24 * 1024
if os.environ.get("JMP_SANITIZED") == "1":      # instrumented code is slow and keeps what it frees
    MANY_MILLISECONDS, MANY_KIB = 10_000, 1 << 20

CLIENT = "/jumpstarter.client.v1.ClientService/"
CONTROLLER = "/jumpstarter.v1.ControllerService/"


class Caller:
    """A client of the lab, by the file that jmp-labd wrote for it."""

    def __init__(self, lab, path):
        import base64

        text = yaml.safe_load(path.read_text())
        self.ca = base64.b64decode(text["tls"]["ca"])
        self.metadata = [("authorization", f"Bearer {text['token']}"), ("jumpstarter-kind", "Client"),
                         ("jumpstarter-namespace", text["metadata"]["namespace"]),
                         ("jumpstarter-name", text["metadata"]["name"])]
        self.channel = grpc.secure_channel(lab.endpoint, grpc.ssl_channel_credentials(self.ca),
                                           options=[("grpc.use_local_subchannel_pool", 1)])

    def served(self):
        stub = client_pb2_grpc.ClientServiceStub(self.channel)
        return stub.ListExporters(client_pb2.ListExportersRequest(parent="namespaces/default"), timeout=10,
                                  metadata=self.metadata)


@pytest.fixture(scope="module")
def lab(place, build):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))    # it raises its limit itself
    try:
        lab = Labd(place, build)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    yield lab
    assert lab.stop() == 0


@pytest.fixture(scope="module")
def caller(lab):
    return Caller(lab, lab.create_client("mallory"))


@pytest.fixture(autouse=True)
def serves_the_next_call(lab, caller):
    caller.served()
    yield
    assert lab.program.alive(), "the lab has ended"
    caller.served()


@pytest.fixture
def tls(caller):
    context = ssl.create_default_context(cadata=caller.ca.decode())
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    return context


LEASE_CONDITIONS = field(11, b"")      # one empty condition

MESSAGES = {
    "a lease that is there 100000 times": (CLIENT + "CreateLease", lambda: field(3, LEASE_CONDITIONS) * 100_000),
    "two million empty conditions": (CLIENT + "CreateLease", lambda: field(3, LEASE_CONDITIONS * 1_900_000)),
    "a selector that is there 50000 times": (CONTROLLER + "RequestLease", lambda: field(2, field(1, b"")) * 50_000),
    "unknown fields by the million": (CLIENT + "ListExporters", lambda: b"\xf8\x07\x01" * 1_300_000),
    "a parent with a zero byte": (CLIENT + "ListExporters", lambda: field(1, b"namespaces/\0")),
    "lists in lists": (CLIENT + "CreateLease", lambda: field(3, nested_lists(10_000))),
    "noise": (CONTROLLER + "Dial", lambda: random.Random(1).randbytes(5000)),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_hostile_message_is_refused_cheaply(lab, caller, name):
    path, make = MESSAGES[name]
    message = make()
    call = caller.channel.unary_unary(path)
    with contextlib.suppress(grpc.RpcError):      # the receive buffers once, not counted as the message's
        call(b"\xff" * min(len(message), 4_000_000), timeout=5, metadata=caller.metadata)
    with Cost(lab.program.pid) as cost:
        error = failure(lambda: call(message, timeout=10, metadata=caller.metadata))
    print(f"{name}: {len(message)} bytes, {error.code().name}, {cost}")
    assert error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE), error
    assert cost.milliseconds < MANY_MILLISECONDS and cost.kib < MANY_KIB, cost


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer " + "x" * 4000)], [("authorization", "Bearer a.b.c")],
                                      [("authorization", "Basic eDp5")]],
                         ids=["none", "long", "short", "another scheme"])
@pytest.mark.parametrize("path", [CLIENT + "ListExporters", CONTROLLER + "Register", CONTROLLER + "Dial",
                                  "/jumpstarter.v1.RouterService/Stream"])
def test_strangers_are_refused(caller, path, metadata):
    call = caller.channel.stream_stream(path)
    error = failure(lambda: list(call(iter([b""]), timeout=10, metadata=metadata)))
    # the stock controller says UNKNOWN with these words, and its clients know them
    assert error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT,
                            grpc.StatusCode.PERMISSION_DENIED) or error.details() == "failed to authenticate token", error


@pytest.mark.parametrize("greeting", [b"", b"\x16", b"\x16\x03\x01\x40\x00" + b"\1" * 50, b"GET / HTTP/1.1\r\n\r\n"],
                         ids=["silent", "one byte", "half a hello", "HTTP/1.1"])
def test_three_hundred_half_open_connections(lab, caller, greeting):
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(http2.Peer(lab.endpoint, hello=False)).try_send(greeting)
        caller.served()


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_with_and_without_tls(lab, tls, seed):
    chance = random.Random(seed)
    for number in range(30):
        with http2.Peer(lab.endpoint, tls=tls if number % 2 else None, hello=False) as peer:
            if number % 4 == 1:
                peer.try_send(http2.PREFACE + http2.settings())
            peer.try_send(chance.randbytes(chance.choice((1, 100, 5000, 50_000))))
