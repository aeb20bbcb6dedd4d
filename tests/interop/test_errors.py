# SPDX-License-Identifier: Apache-2.0
"""What a wrong call is answered with: every row of the protocol's error table that a driver here can reach, through
a real channel, and the class of exception that the stock client makes of it."""

import json

import grpc
import pytest
from harness.stock import EMPTY, Raw, failure, frame, pb
from jumpstarter.client.core import DriverError, DriverInvalidArgument, DriverMethodNotImplemented

Code = grpc.StatusCode
NOBODY = "00000000-0000-4000-8000-000000000000"

# driver, method, arguments, code, code of stock 0.9.0 where it differs, what the details must hold
UNARY = [
    ("power", "nosuch", [], Code.NOT_FOUND, None, "method nosuch not found on driver"),
    ("power", "", [], Code.NOT_FOUND, Code.NOT_FOUND, "not found on driver"),
    ("power", "on\n", [], Code.NOT_FOUND, None, "not found on driver"),
    ("power", "read", [], Code.NOT_FOUND, None, "method read missing marker marker_drivercall"),
    ("net", "connect", [], Code.NOT_FOUND, None, "method connect missing marker marker_drivercall"),
    ("unix", "address", [], Code.NOT_FOUND, None, "method address not found on driver"),
    ("", "on", [], Code.NOT_FOUND, None, "method on not found on driver"),
    ("power", "on", [1], Code.UNKNOWN, None, ""),
    ("power", "off", ["a", None], Code.UNKNOWN, None, ""),
    ("storage", "write", [], Code.UNKNOWN, None, ""),
    ("storage", "read", [], Code.UNKNOWN, None, ""),
    ("hidden", "address", [], Code.INVALID_ARGUMENT, None, "enable_address"),
    ("serial", "set_dtr", [True], Code.INTERNAL, Code.UNKNOWN, ""),
    ("serial", "set_rts", [False], Code.INTERNAL, Code.UNKNOWN, ""),
    ("serial", "set_dtr", [], Code.UNKNOWN, None, ""),
    ("storage", "read", [{"kind": "nosuch"}], Code.INVALID_ARGUMENT, None, ""),
    ("storage", "write", [{"kind": "client_stream", "uuid": "zz", "x_jmp_content_encoding": None}],
     Code.INVALID_ARGUMENT, None, ""),
    ("storage", "write", [{"kind": "presigned_request", "url": "http://127.0.0.1/", "method": "DELETE",
                           "headers": {}}], Code.INVALID_ARGUMENT, None, ""),
    ("storage", "write", ["text"], Code.INVALID_ARGUMENT, None, ""),
    ("storage", "write", [{"kind": "client_stream", "uuid": NOBODY, "x_jmp_content_encoding": None}],
     Code.UNKNOWN, None, NOBODY),
]

STREAMING = [
    ("power", "nosuch", [], Code.NOT_FOUND, "method nosuch not found on driver"),
    ("power", "on", [], Code.NOT_FOUND, "method on missing marker marker_streamingdrivercall"),
    ("net", "connect", [], Code.NOT_FOUND, "method connect missing marker marker_streamingdrivercall"),
    ("power", "read", [1], Code.UNKNOWN, ""),
]

# metadata (with %s for the driver's uuid), driver, code, what the details must hold
STREAM = [
    ([], "net", Code.UNKNOWN, ""),
    ([("request", "")], "net", Code.UNKNOWN, ""),
    ([("request", "x")], "net", Code.UNKNOWN, ""),
    ([("request", "{}")], "net", Code.UNKNOWN, ""),
    ([("request", "[]")], "net", Code.UNKNOWN, ""),
    ([("request", '{"kind":"nosuch","uuid":"%s"}')], "net", Code.UNKNOWN, ""),
    ([("request", '{"kind":"driver","uuid":"%s"}')], "net", Code.UNKNOWN, ""),
    ([("request", '{"kind":"driver","method":"connect"}')], "net", Code.UNKNOWN, ""),
    ([("request", '{"kind":"driver","uuid":7,"method":"connect"}')], "net", Code.UNKNOWN, ""),
    ([("request", '{"kind":"driver","uuid":"zz","method":"connect"}')], "net", Code.UNKNOWN, ""),
    ([("request", '{"kind":"driver","uuid":"%s","method":"connect"' % NOBODY)], "net", Code.UNKNOWN, ""),
    ([("request", '{"kind":"driver","uuid":"%s","method":"connect"}' % NOBODY)], "net", Code.UNKNOWN, NOBODY),
    ([("request", '{"kind":"resource","uuid":"%s","x_jmp_content_encoding":null}' % NOBODY)], "net",
     Code.UNKNOWN, NOBODY),
    ([("request", '{"kind":"driver","uuid":"%s","method":"nosuch"}')], "net", Code.NOT_FOUND,
     "method nosuch not found on driver"),
    ([("request", '{"kind":"driver","uuid":"%s","method":"address"}')], "net", Code.NOT_FOUND,
     "method address missing marker marker_streamcall"),
    ([("request", '{"kind":"driver","uuid":"%s","method":"read"}')], "power", Code.NOT_FOUND,
     "method read missing marker marker_streamcall"),
]


@pytest.fixture(scope="module")
def tree(exporter):
    with Raw(exporter.endpoint) as raw:
        return raw.tree()


def is_trailers_only(error):
    """No response headers, as a failed call is answered."""
    return not error.initial_metadata()


@pytest.mark.parametrize("driver, method, args, code, stock, text", UNARY, ids=lambda v: str(v)[:24])
def test_unary(raw, tree, exporter, driver, method, args, code, stock, text):
    error = failure(lambda: raw.call(tree[driver].uuid, method, *args))
    assert error.code() == (code if exporter.native else stock or code), error
    assert text in error.details()
    assert error.details() or not exporter.native, "a person needs some words"
    assert is_trailers_only(error)


@pytest.mark.parametrize("driver, method, args, code, text", STREAMING, ids=lambda v: str(v)[:24])
def test_streaming(raw, tree, driver, method, args, code, text):
    error = failure(lambda: list(raw.items(tree[driver].uuid, method, *args)))
    assert error.code() == code, error
    assert text in error.details()
    assert is_trailers_only(error)


@pytest.mark.parametrize("metadata, driver, code, text", STREAM, ids=lambda v: str(v)[:40])
def test_stream(raw, tree, metadata, driver, code, text):
    metadata = [(k, v.replace("%s", tree[driver].uuid)) for k, v in metadata]
    error = failure(lambda: list(raw.stream(iter(()), metadata)))
    assert error.code() == code, error
    assert text in error.details()
    assert is_trailers_only(error)


@pytest.mark.parametrize("name", ["GetReport", "DriverCall", "Reset"])
def test_members_of_the_request_that_are_not_known_are_ignored(raw, tree, name):
    if name == "DriverCall":
        message = pb.DriverCallRequest(uuid=tree["power"].uuid, method="on").SerializeToString()
    else:
        message = b""
    extra = bytes([0xfa, 0x7f, 3]) + b"new"       # field 2047, three bytes
    call = raw.channel.unary_unary(f"/jumpstarter.v1.ExporterService/{name}")
    if name == "Reset":
        assert failure(lambda: call(message + extra, timeout=5)).code() == Code.UNIMPLEMENTED
    else:
        assert call(message + extra, timeout=5)


def test_extra_members_of_stream_metadata_are_ignored(raw, tree):
    request = json.dumps({"kind": "driver", "uuid": tree["echo"].uuid, "method": "connect", "new": {"a": [1]}})
    answers = raw.stream(iter([frame(b"hello")]), [("request", request), ("other", "thing")])
    assert next(answers).payload == b"hello"
    answers.cancel()


@pytest.mark.parametrize("uuid", ["", "zz", "not-a-uuid", "0" * 31, "0" * 33, NOBODY, "g" * 32, "0" * 100000], ids=lambda v: v[:40] or "empty")
@pytest.mark.parametrize("shape", ["unary", "streaming"])
def test_uuid_of_nobody(raw, shape, uuid):
    call = raw.call if shape == "unary" else lambda u, m: list(raw.items(u, m))
    error = failure(lambda: call(uuid, "on" if shape == "unary" else "read"))
    assert error.code() == Code.UNKNOWN, error
    if uuid == NOBODY:
        assert NOBODY in error.details()
    assert len(error.details()) < 4096, "header and trailer have to stay below 8 KiB"


@pytest.mark.parametrize("path", ["/jumpstarter.v1.ExporterService/Nope", "/jumpstarter.v1.Nope/GetReport",
                                  "/jumpstarter.v1.ControllerService/Register", "/x"])
def test_unknown_method(raw, path):
    error = failure(lambda: raw.channel.unary_unary(path)(b"", timeout=5))
    assert error.code() == Code.UNIMPLEMENTED, error
    assert error.details()


@pytest.mark.parametrize("method", ["DriverCall", "StreamingDriverCall"])
@pytest.mark.parametrize("message", [b"\xff\xff\xff", b"\x0a\x7f", b"\x0a\x02\xff\xfe", b"\x1a" * 40])
def test_bytes_that_are_no_message(raw, method, message, exporter):
    call = raw.channel.unary_stream(f"/jumpstarter.v1.ExporterService/{method}")
    error = failure(lambda: list(call(message, timeout=5)))
    assert error.code() in (Code.UNKNOWN, Code.INTERNAL, Code.INVALID_ARGUMENT), error
    assert raw.report().reports, "and the next call is served"


def test_message_above_four_mebibytes_is_refused(raw, tree):
    error = failure(lambda: raw.call(tree["power"].uuid, "on", "x" * (4 << 20)))
    assert error.code() == Code.RESOURCE_EXHAUSTED, error
    assert raw.report().reports


@pytest.mark.native(reason="the Python server reads such values until its stack is used up")
def test_value_nested_ten_thousand_deep_is_refused(raw, tree):
    # a list that holds a list that holds ...: each level is a field 6 of Value holding field 1 of ListValue
    value = b""
    for _ in range(10000):
        inner = b"\x0a" + varint(len(value)) + value
        value = b"\x32" + varint(len(inner)) + inner
    message = pb.DriverCallRequest(uuid=tree["power"].uuid, method="on").SerializeToString()
    message += b"\x1a" + varint(len(value)) + value
    call = raw.channel.unary_unary("/jumpstarter.v1.ExporterService/DriverCall")
    error = failure(lambda: call(message, timeout=5))
    assert error.code() in (Code.UNKNOWN, Code.INTERNAL, Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED), error
    assert raw.report().reports


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def test_deadline_is_kept(raw, exporter):
    error = failure(lambda: list(raw.exporter.LogStream(EMPTY, timeout=0.2)))
    assert error.code() == Code.DEADLINE_EXCEEDED


class TestExceptionsOfTheStockClient:
    def test_unknown_method_is_not_implemented(self, root):
        with pytest.raises(DriverMethodNotImplemented, match="gRPC NOT_FOUND: method nosuch not found on driver"):
            root.children["power"].call("nosuch")

    def test_refused_address_is_an_invalid_argument(self, root):
        with pytest.raises(DriverInvalidArgument, match="gRPC INVALID_ARGUMENT: .*enable_address"):
            root.children["hidden"].address()

    def test_wrong_number_of_arguments_is_a_driver_error(self, root):
        with pytest.raises(DriverError, match="gRPC UNKNOWN: .+"):
            root.children["power"].call("on", 1)

    def test_unknown_streaming_method_is_a_driver_error(self, root):
        with pytest.raises(DriverError, match="method on missing marker marker_streamingdrivercall"):
            list(root.children["power"].streamingcall("on"))
