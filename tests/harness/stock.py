# SPDX-License-Identifier: Apache-2.0
"""The stock client's Python interface and bare gRPC stubs, both towards a directly served exporter."""

import io
import json
import os
import queue
import sys
import traceback
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

import anyio
import grpc
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner
from google.protobuf import empty_pb2, struct_pb2
from jumpstarter.client.client import client_from_path
from jumpstarter.config.tls import TLSConfigV1Alpha1
from jumpstarter_cli.j import j_async
from jumpstarter_cli.jmp import jmp as jmp_command
from jumpstarter_protocol import jumpstarter_pb2_grpc, router_pb2, router_pb2_grpc
from jumpstarter_protocol import jumpstarter_pb2 as pb
from jumpstarter_protocol.jumpstarter.v1 import common_pb2

from .background import Background
from .program import Result

EMPTY = empty_pb2.Empty()
CLIENT_LABEL = "jumpstarter.dev/client"
NAME_LABEL = "jumpstarter.dev/name"


@contextmanager
def client(endpoint, *, insecure=True, passphrase=None, tls=None):
    """The root driver client, as `j` builds it, of HOST:PORT or of a unix socket's path."""
    with start_blocking_portal() as portal, ExitStack() as stack:
        connection = client_from_path(endpoint, portal, stack, allow=[], unsafe=True, insecure=insecure,
                                      passphrase=passphrase, tls_config=tls or TLSConfigV1Alpha1())
        with portal.wrap_async_context_manager(connection) as root:
            yield root


@contextmanager
def environment(env):
    """Of this process, for as long as a command of the stock client runs in it."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def j(endpoint, *words, env):
    """What the program j does, in this process: starting one costs more than all the rest, in a guest fifteen times as much.
    For the main thread, which has the signals."""
    words = [str(word) for word in words]
    out, err, status = io.StringIO(), io.StringIO(), 0
    env = {**env, "JUMPSTARTER_HOST": endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1",
           "_JMP_SUPPRESS_DRIVER_WARNINGS": "1"}
    argv, sys.argv = sys.argv, ["j", *words]
    try:
        with environment(env), redirect_stdout(out), redirect_stderr(err):
            anyio.run(j_async)
    except SystemExit as end:
        status = end.code or 0
    except BaseExceptionGroup:      # as the interpreter ends with it
        status = 1
        err.write(traceback.format_exc())
    finally:
        sys.argv = argv
    return Result(["j", *words], status, out.getvalue(), err.getvalue())


def jmp(*words, env, stdin=""):
    """What the program jmp does, in this process, for the same reason; what has a home of its own keeps that of the first."""
    words = [str(word) for word in words]
    with environment(env):
        done = CliRunner().invoke(jmp_command, words, input=stdin)
    crashed = done.exception and not isinstance(done.exception, SystemExit)
    told = "".join(traceback.format_exception(done.exception)) if crashed else ""
    return Result(["jmp", *words], done.exit_code, done.stdout, done.stderr + told)


class Raw:
    """A channel and its stubs; requests are built by hand, so they may be wrong on purpose."""

    def __init__(self, endpoint, credentials=None, passphrase=None, options=()):
        target = endpoint if ":" in endpoint else f"unix:{endpoint}"
        # a channel of its own, not gRPC's shared subchannel: tests count connections
        options = [("grpc.use_local_subchannel_pool", 1), *options]
        if credentials:
            self.channel = grpc.secure_channel(target, credentials, options=options)
        else:
            self.channel = grpc.insecure_channel(target, options=options)
        self.endpoint = endpoint
        self.metadata = [("x-jumpstarter-passphrase", passphrase)] if passphrase is not None else []
        self.exporter = jumpstarter_pb2_grpc.ExporterServiceStub(self.channel)
        self.router = router_pb2_grpc.RouterServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def report(self, timeout=10):
        return self.exporter.GetReport(EMPTY, timeout=timeout, metadata=self.metadata)

    def tree(self):
        """Dotted name to report, the root under the empty name."""
        names, found = {}, {}
        for report in self.report().reports:
            if not report.parent_uuid:
                name = ""
            else:
                above = names[report.parent_uuid]
                name = (above + "." if above else "") + report.labels[NAME_LABEL]
            names.setdefault(report.uuid, name)
            found[name] = report
        return found

    def uuid(self, name):
        return self.tree()[name].uuid

    def call(self, uuid, method, *args, timeout=20):
        request = pb.DriverCallRequest(uuid=uuid, method=method, args=[value(a) for a in args])
        return self.exporter.DriverCall(request, timeout=timeout, metadata=self.metadata)

    def items(self, uuid, method, *args, timeout=20):
        request = pb.StreamingDriverCallRequest(uuid=uuid, method=method, args=[value(a) for a in args])
        return self.exporter.StreamingDriverCall(request, timeout=timeout, metadata=self.metadata)

    def stream(self, requests, metadata, timeout=20):
        return self.router.Stream(requests, timeout=timeout, metadata=[*self.metadata, *metadata])


def value(v):
    if isinstance(v, struct_pb2.Value):
        return v
    out = struct_pb2.Value()
    if v is None:
        out.null_value = 0
    elif isinstance(v, bool):
        out.bool_value = v
    elif isinstance(v, (int, float)):
        out.number_value = v
    elif isinstance(v, str):
        out.string_value = v
    elif isinstance(v, dict):
        out.struct_value.SetInParent()
        for key, item in v.items():
            out.struct_value.fields[key].CopyFrom(value(item))
    elif isinstance(v, (list, tuple)):
        out.list_value.SetInParent()
        out.list_value.values.extend(value(item) for item in v)
    else:
        raise TypeError(type(v))
    return out


def failure(call):
    """The gRPC error of a call that must fail; `call` starts it and reads all of it."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"the call succeeded with {answer!r}")


DATA, GOAWAY = router_pb2.FRAME_TYPE_DATA, router_pb2.FRAME_TYPE_GOAWAY


def frame(payload=b"", kind=DATA):
    return router_pb2.StreamRequest(payload=payload, frame_type=kind)


class Duplex:
    """One RouterService.Stream of a Raw, frame by frame."""

    def __init__(self, raw, request, timeout=60):
        self._out = queue.SimpleQueue()
        self.call = raw.stream(iter(self._out.get, None), [("request", json.dumps(request))], timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call.cancel()
        self._out.put(None)

    def headers(self):
        """Waits for the response headers."""
        return dict(self.call.initial_metadata())

    def send(self, payload=b"", kind=DATA):
        self._out.put(frame(payload, kind))

    def goaway(self):
        self.send(kind=GOAWAY)

    def half_close(self):
        self._out.put(None)

    def receive(self):
        """The next message; None at the end of the call with OK."""
        return next(self.call, None)

    def read(self, size):
        """Exactly `size` bytes of data."""
        data = b""
        while len(data) < size:
            message = self.receive()
            assert message is not None and message.frame_type == DATA, f"{message} after {len(data)} of {size} bytes"
            data += message.payload
        assert len(data) == size, f"{len(data) - size} bytes too many"
        return data

    def read_to_end(self):
        """All data up to the GOAWAY or the end of the call, and which of them it was."""
        data = b""
        while True:
            message = self.receive()
            if message is None:
                return data, "end"
            if message.frame_type == GOAWAY:
                return data, "goaway"
            data += message.payload


def driver_request(uuid, method="connect"):
    return {"kind": "driver", "uuid": uuid, "method": method}


def resource_request(uuid, encoding=None):
    return {"kind": "resource", "uuid": uuid, "x_jmp_content_encoding": encoding}


def upload(raw, device, data, method="flash", size=32768, encoding=None):
    """Sends an image as the stock client does. What the call says, or its error."""
    with Duplex(raw, resource_request(raw.uuid(device), encoding), timeout=120) as stream:
        handle = json.loads(stream.headers()["resource"])
        calling = Background(raw.call, raw.uuid(device), method, handle, timeout=120)
        for at in range(0, len(data), size):
            stream.send(data[at:at + size])
        stream.goaway()
        return calling.result(120)
