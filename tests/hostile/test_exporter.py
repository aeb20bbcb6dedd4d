# SPDX-License-Identifier: Apache-2.0
"""An exporter that serves directly, and peers who mean it ill. Whatever they do, the next call is served."""

import contextlib
import os
import random
import resource
import threading

import grpc
import pytest
from harness import exporter as exporters
from harness.program import wait_until
from harness.stock import Raw, failure, frame, pb

import http2
from process import Cost, cpu, resident, threads
from wire import field, nested_lists, nested_structs

CALL = "/jumpstarter.v1.ExporterService/DriverCall"
STREAM = "/jumpstarter.v1.RouterService/Stream"
LOGS = "/jumpstarter.v1.ExporterService/LogStream"

# What an honest call may cost at most while others misbehave: generous, for machines differ; what these tests are
# about costs hundreds of megabytes or seconds where it is not guarded against.
MANY_MILLISECONDS, MANY_KIB = 500, 24 * 1024
if os.environ.get("JMP_SANITIZED") == "1":      # instrumented code is slow and keeps what it frees
    MANY_MILLISECONDS, MANY_KIB = 10_000, 1 << 20


@pytest.fixture(scope="module")
def exporter(place, build):
    export = {
        "power": exporters.driver(exporters.POWER),
        "echo": exporters.driver(exporters.ECHO),
        "board": {"type": "sim-board", "config": {"boot_seconds": 0}},
    }
    exporter = exporters.start_direct("native", place, build, exporters.config(export))
    yield exporter
    assert exporter.stop() == 0, exporter.program.tail()    # a sanitizer's findings at the end, too
    exporter.program.forget()


@pytest.fixture
def pid(exporter):
    return exporter.program.pid


@pytest.fixture(autouse=True)
def serves_the_next_call(exporter):
    """Before and after each test, on a connection of its own; and nothing of the hostile ones stays."""
    def served():
        with Raw(exporter.endpoint) as raw:
            raw.call(raw.uuid("power"), "on", timeout=10)
    served()
    before = exporter.fds()
    yield
    assert exporter.program.alive(), "the exporter has ended"
    served()
    wait_until(lambda: exporter.fds() <= before + 2, 20,
               lambda: f"{exporter.fds()} descriptors are open, {before} were before")


@pytest.fixture
def uuid(exporter):
    with Raw(exporter.endpoint) as raw:
        return raw.uuid("power")


def prefixed(uuid, rest):
    return pb.DriverCallRequest(uuid=uuid, method="on").SerializeToString() + rest


MESSAGES = {
    "lists in lists, 4500 deep": lambda: field(3, nested_lists(4500)),
    "lists in lists, 100000 deep": lambda: field(3, nested_lists(100000)),
    "objects in objects, 20000 deep": lambda: field(3, nested_structs(20000)),
    "two million empty arguments": lambda: b"\x1a\x00" * 2_000_000,
    "four megabytes of unknown fields": lambda: b"\xf8\x07\x01" * 1_300_000,
    "the group of an older protobuf": lambda: b"\x1b" * 1000,
    "a length beyond the end": lambda: b"\x1a\xff\xff\xff\xff\x0f",
    "a length beyond 64 bits": lambda: b"\x1a" + b"\xff" * 11,
    "field number 0": lambda: b"\x02\x00",
    "a zero byte within a name": lambda: field(2, b"o\0n"),
    "a name that is not UTF-8": lambda: field(2, b"\xc3\x28"),
    "a text that is not UTF-8": lambda: field(3, field(3, b"\xff\xfe")),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_hostile_message_is_refused_cheaply(exporter, pid, uuid, name, record_property):
    message = prefixed(uuid, MESSAGES[name]())
    with Raw(exporter.endpoint) as raw:
        raw.report()
        call = raw.channel.unary_unary(CALL)
        with contextlib.suppress(grpc.RpcError):      # the receive buffers of 4 MB once, not counted as the message's
            call(b"\x0a" + b"\xff" * min(len(message), 4_000_000), timeout=5)
        with Cost(pid) as cost:
            error = failure(lambda: call(message, timeout=10))
    print(f"{name}: {len(message)} bytes, {error.code().name}, {cost}")
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL,
                            grpc.StatusCode.RESOURCE_EXHAUSTED), error
    assert error.details(), "it says why"
    assert cost.milliseconds < MANY_MILLISECONDS and cost.kib < MANY_KIB, cost


@pytest.mark.parametrize("request_text", [
    "[" * 100_000, '{"kind":' * 1000, '{"kind":"driver","uuid":"x","method":"connect"' + " " * 4000, "", "null", "17",
    '{"kind":"driver"}', '{"kind":"nothing","uuid":"x","method":"connect"}',
    '{"kind":"driver","kind":"resource","uuid":"x","method":"connect"}', '{"uuid":"' + "a" * 4000 + '"}',
    '{"kind":"resource","uuid":"../../etc/passwd"}', '{"kind":"driver","uuid":5,"method":{}}'],
    ids=lambda text: repr(text[:24]))
def test_hostile_stream_request_is_refused(exporter, request_text):
    with Raw(exporter.endpoint) as raw:
        error = failure(lambda: list(raw.stream(iter(()), [("request", request_text)], timeout=10)))
    assert error.code() != grpc.StatusCode.DEADLINE_EXCEEDED, error


def test_request_given_twice_is_refused(exporter, uuid):
    one = f'{{"kind":"driver","uuid":"{uuid}","method":"connect"}}'
    with Raw(exporter.endpoint) as raw:
        error = failure(lambda: list(raw.stream(iter(()), [("request", one), ("request", one)], timeout=10)))
    assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN), error
    assert "request" in error.details(), error


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes(exporter, seed):
    chance = random.Random(seed)
    for number in range(60):
        with http2.Peer(exporter.endpoint, hello=False) as peer:
            if number % 3 == 1:
                peer.send(http2.PREFACE + http2.settings())
            elif number % 3 == 2:    # a whole frame's head, then noise as its payload
                peer.send(http2.PREFACE + http2.settings())
                peer.try_send(http2.frame(chance.randrange(12), chance.randrange(256), chance.randrange(8) | 1,
                                          chance.randbytes(chance.randrange(300))))
            peer.try_send(chance.randbytes(chance.choice((1, 9, 100, 5000, 100_000))))
            if chance.random() < 0.5:
                peer.socket.settimeout(0.05)
                with contextlib.suppress(OSError):
                    peer.socket.recv(65536)


@pytest.mark.parametrize("greeting", [b"", b"P", http2.PREFACE, http2.PREFACE + http2.settings(),
                                      http2.PREFACE + http2.settings() + b"\0\0\x40\x01"],
                         ids=["silent", "one byte", "preface", "settings", "half a frame"])
def test_three_hundred_half_open_connections(exporter, greeting):
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            peer = stack.enter_context(http2.Peer(exporter.endpoint, hello=False))
            peer.try_send(greeting)
        with Raw(exporter.endpoint) as raw:
            raw.call(raw.uuid("power"), "on", timeout=10)


def test_more_connections_than_the_soft_limit_of_descriptors(place, build):
    """A listener that has met EMFILE is gone for good in gRPC 1.51: the exporter has to raise its limit itself."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))
    try:
        exporter = exporters.start_direct("native", place, build,
                                          exporters.config({"power": exporters.driver(exporters.POWER)}))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(http2.Peer(exporter.endpoint, hello=False))
            with Raw(exporter.endpoint) as raw:
                raw.call(raw.uuid("power"), "on", timeout=10)
    finally:
        exporter.stop()
        exporter.program.forget()


def test_pings_settings_and_resets_by_the_thousand(exporter, pid):
    with Cost(pid) as cost:
        for kind in (lambda peer: http2.frame(http2.PING, 0, 0, b"12345678") * 100,
                     lambda peer: http2.settings((4, 65535)) * 100,
                     lambda peer: b"".join(
                         http2.frame(http2.HEADERS, http2.END_HEADERS, peer.next + 2 * i,
                                     http2.header_block(http2.request(LOGS))) +
                         http2.frame(http2.RST_STREAM, 0, peer.next + 2 * i, b"\0\0\0\x08") for i in range(100))):
            with http2.Peer(exporter.endpoint) as peer:
                peer.socket.settimeout(1)
                for _ in range(50):
                    if not peer.try_send(kind(peer)):
                        break
                    peer.next += 200
                with Raw(exporter.endpoint) as raw:
                    raw.call(raw.uuid("power"), "on", timeout=10)
    print(f"floods: {cost}")
    assert cost.kib < 4 * MANY_KIB, cost


def test_headers_that_never_end(exporter, pid):
    with Cost(pid) as cost, http2.Peer(exporter.endpoint) as peer:
        peer.send(http2.frame(http2.HEADERS, 0, 1, http2.header_block(http2.request(CALL))))
        block = http2.header_block([(f"x-{i}", "y" * 200) for i in range(50)])
        for _ in range(1000):
            if not peer.try_send(http2.frame(http2.CONTINUATION, 0, 1, block)):
                break
    print(f"endless headers: {cost}")
    assert cost.kib < MANY_KIB, cost


def test_slow_reader_of_a_console_holds_nobody_up(exporter, pid):
    """One viewer reads nothing while the board writes without end; another gets it all, memory stays."""
    with Raw(exporter.endpoint) as raw:
        tree = raw.tree()
        raw.call(tree["board.power"].uuid, "on")
        request = [("request", f'{{"kind":"driver","uuid":"{tree["board.serial"].uuid}","method":"connect"}}')]
        ending = threading.Event()

        def typing(text):
            yield frame(text)
            ending.wait(60)

        with Raw(exporter.endpoint) as slow, Raw(exporter.endpoint) as quick:
            asleep = slow.stream(typing(b""), request, timeout=60)
            awake = quick.stream(typing(b"\rroot\ryes this board talks a lot\r"), request, timeout=60)
            before, seen = resident(pid), 0
            for answer in awake:
                seen += len(answer.payload)
                if seen > 20_000_000:
                    break
            grown = resident(pid) - before
            print(f"20 MB past a viewer who does not read: {grown} KiB more")
            raw.call(tree["power"].uuid, "on", timeout=10)
            raw.call(tree["board.power"].uuid, "off", timeout=10)
            ending.set()
            asleep.cancel()
            awake.cancel()
        assert grown < MANY_KIB, f"{grown} KiB"


def test_reader_that_closes_its_window(exporter, pid, uuid):
    """Fifty streams over connections that take not one byte: what they are owed is bounded."""
    with contextlib.ExitStack() as stack, Cost(pid) as cost:
        for _ in range(50):
            peer = stack.enter_context(http2.Peer(exporter.endpoint, window=0, receive_buffer=4096))
            body = http2.message(prefixed(uuid, b""))
            for _ in range(20):
                stream = peer.open(CALL)
                peer.send(http2.frame(http2.DATA, http2.END_STREAM, stream, body))
                peer.open(LOGS, end=False)
        with Raw(exporter.endpoint) as raw:
            raw.call(raw.uuid("power"), "on", timeout=10)
    print(f"a thousand calls whose answers are not taken: {cost}")
    assert cost.kib < 3 * MANY_KIB, cost


def test_idle_after_all_that(exporter, pid):
    """Nothing spins: a second of rest costs next to nothing, and no threads were left behind."""
    before, ticking = cpu(pid), threading.Event()
    ticking.wait(1)     # measures one second; nothing is waited for
    used = cpu(pid) - before
    print(f"idle: {used * 1000:.1f} ms of a second, {threads(pid)} threads")
    assert used < 0.2
    assert threads(pid) < 40
