# SPDX-License-Identifier: Apache-2.0
"""A controller and router in as few lines as the protocol allows, in memory, for judging the tests themselves and an
exporter without our own lab service at the other end. It checks identities and nothing else."""

import asyncio
import base64
import itertools
import json
import threading
import time
import uuid

import grpc
import yaml
from google.protobuf import empty_pb2
from jumpstarter_protocol import jumpstarter_pb2 as pb
from jumpstarter_protocol import jumpstarter_pb2_grpc, router_pb2, router_pb2_grpc
from jumpstarter_protocol.jumpstarter.client.v1 import client_pb2, client_pb2_grpc
from jumpstarter_protocol.jumpstarter.v1 import common_pb2, kubernetes_pb2

from .certificates import Authority

NAMESPACE = "default"
HOUR = 3600


def _jwt(**claims):
    """The stock client reads the expiry out of its token."""
    part = lambda o: base64.urlsafe_b64encode(json.dumps(o).encode()).rstrip(b"=").decode()
    now = int(time.time())
    claims = {"iat": now, "exp": now + 24 * HOUR, "jti": str(uuid.uuid4()), **claims}
    return ".".join((part({"alg": "none", "typ": "JWT"}), part(claims), part({})))


class _Exporter:
    def __init__(self, name, labels):
        self.name, self.labels, self.uuid = name, dict(labels), str(uuid.uuid4())
        self.reports, self.status, self.message, self.online = [], 0, "", 0
        self.history = []           # every status as (name, message)
        self.lease = None
        self.watchers = set()

    def changed(self):
        for watcher in self.watchers:
            watcher.set()


class _Lease:
    def __init__(self, name, client, selector, exporter_name, duration):
        self.name, self.client, self.selector, self.exporter_name = name, client, selector, exporter_name
        self.duration, self.exporter, self.begin, self.end = duration, None, None, None
        self.listen = asyncio.Queue()


def add_services(controller, server):
    jumpstarter_pb2_grpc.add_ControllerServiceServicer_to_server(controller, server)
    client_pb2_grpc.add_ClientServiceServicer_to_server(_Client(controller), server)
    router_pb2_grpc.add_RouterServiceServicer_to_server(controller, server)


class ReferenceController(jumpstarter_pb2_grpc.ControllerServiceServicer, client_pb2_grpc.ClientServiceServicer,
                          router_pb2_grpc.RouterServiceServicer):
    def __init__(self, place):
        self.place = place
        self.tokens = {}            # token: (kind, name)
        self.expired = set()        # tokens whose time is over
        self.exporters, self.leases, self.streams = {}, {}, {}
        self.calls = []             # (method, who), in order of arrival
        self._numbers = itertools.count(1)
        self.authority = Authority(place.root, "lab-ca")
        self.cert, self.key = self.authority.issue("lab")
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.endpoint = self.do(self._start())

    def do(self, coroutine, timeout=20):
        """Runs it on the controller's own loop; returns what it returns."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout), self.loop).result()

    async def _start(self):
        self.server = grpc.aio.server()
        add_services(self, self.server)
        port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
            [(self.key.read_bytes(), self.cert.read_bytes())]))
        await self.server.start()
        return f"127.0.0.1:{port}"

    def stop(self):
        self.do(self.server.stop(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)

    # administration

    def _config(self, kind, name, **more):
        token = _jwt(sub=f"{kind}:{name}", iss="https://localhost:8085")
        self.tokens[token] = (kind, name)
        return {"apiVersion": "jumpstarter.dev/v1alpha1", "kind": f"{kind}Config",
                "metadata": {"namespace": NAMESPACE, "name": name}, "endpoint": self.endpoint,
                "tls": {"ca": base64.b64encode(self.authority.path.read_bytes()).decode(), "insecure": False},
                "token": token, **more}

    def create_client(self, name):
        return self.place.file(f"client-{name}.yaml", yaml.safe_dump(
            self._config("Client", name, drivers={"allow": [], "unsafe": True})))

    def create_exporter(self, name, labels):
        self.exporters[name] = _Exporter(name, labels)
        return self.place.file(f"exporter-{name}.yaml", yaml.safe_dump(self._config("Exporter", name, export={})))

    # who calls

    async def _who(self, context, kind):
        metadata = dict(context.invocation_metadata())
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        if token in self.expired:
            await context.abort(grpc.StatusCode.UNKNOWN,
                                "oidc: verify token: oidc: token is expired (Token Expiry: 2020-01-01 00:00:00 +0000 UTC)")
        who = self.tokens.get(token)
        if not who or who[0] != kind or metadata.get("jumpstarter-kind") != kind \
                or metadata.get("jumpstarter-name") != who[1] or metadata.get("jumpstarter-namespace") != NAMESPACE:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, f"not a {kind}: {metadata}")
        return who[1]

    async def _exporter(self, context, method):
        name = await self._who(context, "Exporter")
        self.calls.append((method, name))
        return self.exporters[name]

    # ControllerService, the exporter's side

    async def Register(self, request, context):
        exporter = await self._exporter(context, "Register")
        exporter.reports, exporter.online = list(request.reports), time.monotonic()
        exporter.labels.update({k: v for k, v in request.labels.items() if k.startswith("jumpstarter.dev/")})
        return pb.RegisterResponse(uuid=exporter.uuid)

    async def Unregister(self, request, context):
        exporter = await self._exporter(context, "Unregister")
        exporter.online, exporter.reports = 0, []
        return pb.UnregisterResponse()

    async def ReportStatus(self, request, context):
        exporter = await self._exporter(context, "ReportStatus")
        exporter.status, exporter.message, exporter.online = request.status, request.message, time.monotonic()
        exporter.history.append((common_pb2.ExporterStatus.Name(request.status).removeprefix("EXPORTER_STATUS_"),
                                 request.message))
        if getattr(request, "release_lease", False) and exporter.lease:
            self.release(exporter.lease)
        exporter.changed()
        self.assign()
        return pb.ReportStatusResponse()

    async def Status(self, request, context):
        exporter = await self._exporter(context, "Status")
        watcher, last = asyncio.Event(), None
        exporter.watchers.add(watcher)
        try:
            while True:
                exporter.online = time.monotonic()
                lease = exporter.lease
                now = (lease.name, lease.client) if lease else ()
                if now != last:
                    last = now
                    yield pb.StatusResponse(leased=True, lease_name=lease.name, client_name=lease.client) if lease \
                        else pb.StatusResponse()
                try:
                    await asyncio.wait_for(watcher.wait(), 10)
                except asyncio.TimeoutError:
                    pass
                watcher.clear()
        finally:
            exporter.watchers.discard(watcher)

    async def Listen(self, request, context):
        await self._exporter(context, "Listen")
        lease = self.leases[request.lease_name]
        while True:
            yield await lease.listen.get()

    async def ReleaseLease(self, request, context):
        await self._exporter(context, "ReleaseLease")
        self.release(self.leases[request.name])
        return pb.ReleaseLeaseResponse()

    # ControllerService, the client's side, and the router

    async def Dial(self, request, context):
        client = await self._who(context, "Client")
        self.calls.append(("Dial", client))
        lease = self.leases.get(request.lease_name)
        if not lease or lease.client != client or lease.end:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "permission denied")
        deadline = time.monotonic() + 5
        while lease.exporter.status not in (0, *_SERVING):
            if time.monotonic() > deadline:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "exporter is not ready")
            await asyncio.sleep(0.05)
        token = _jwt(sub=str(uuid.uuid4()))
        self.streams[token] = asyncio.Queue()
        lease.listen.put_nowait(pb.ListenResponse(router_endpoint=self.endpoint, router_token=token))
        return pb.DialResponse(router_endpoint=self.endpoint, router_token=token)

    async def Stream(self, requests, context):
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        if token not in self.streams:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
        mine, meeting = asyncio.Queue(64), self.streams[token]
        if meeting.empty():
            other = asyncio.get_running_loop().create_future()
            meeting.put_nowait((mine, other))
            theirs = await other
        else:
            theirs, other = meeting.get_nowait()
            other.set_result(mine)
            del self.streams[token]

        async def carry():
            async for request in requests:
                await theirs.put(router_pb2.StreamResponse(payload=request.payload, frame_type=request.frame_type))

        async def deliver():
            while True:
                message = await mine.get()
                await context.write(message)
                if message.frame_type == router_pb2.FRAME_TYPE_GOAWAY:
                    return

        carrying, delivering = asyncio.create_task(carry()), asyncio.create_task(deliver())
        try:
            await asyncio.gather(carrying, delivering)
        finally:
            carrying.cancel()
            delivering.cancel()
            try:
                theirs.put_nowait(router_pb2.StreamResponse(frame_type=router_pb2.FRAME_TYPE_GOAWAY))
            except asyncio.QueueFull:
                pass

    # leases

    def assign(self):
        for lease in self.leases.values():
            if lease.end or lease.exporter:
                continue
            for exporter in self.exporters.values():
                if exporter.lease or not exporter.online or exporter.status not in (0, _AVAILABLE):
                    continue
                if lease.exporter_name and exporter.name != lease.exporter_name:
                    continue
                wanted = dict(part.split("=", 1) for part in lease.selector.split(",") if part)
                if wanted.items() <= exporter.labels.items():
                    lease.exporter, lease.begin, exporter.lease = exporter, time.time(), lease
                    exporter.changed()
                    break

    def release(self, lease):
        if lease.end:
            return
        lease.end = time.time()
        if lease.exporter:
            lease.exporter.lease = None
            lease.exporter.changed()
            self.assign()


_AVAILABLE = common_pb2.EXPORTER_STATUS_AVAILABLE
_SERVING = (common_pb2.EXPORTER_STATUS_LEASE_READY, common_pb2.EXPORTER_STATUS_BEFORE_LEASE_HOOK,
            common_pb2.EXPORTER_STATUS_AFTER_LEASE_HOOK)


class _Client(client_pb2_grpc.ClientServiceServicer):
    def __init__(self, controller):
        self.controller = controller

    def _exporter(self, e):
        return client_pb2.Exporter(name=f"namespaces/{NAMESPACE}/exporters/{e.name}", labels=e.labels,
                                   online=bool(e.online), status=e.status, status_message=e.message)

    def _lease(self, lease):
        out = client_pb2.Lease(name=f"namespaces/{NAMESPACE}/leases/{lease.name}", selector=lease.selector or "<none>",
                               client=f"namespaces/{NAMESPACE}/clients/{lease.client}",
                               exporter_name=lease.exporter_name or None)
        out.duration.CopyFrom(lease.duration)
        if lease.exporter:
            out.exporter = f"namespaces/{NAMESPACE}/exporters/{lease.exporter.name}"
            out.effective_begin_time.FromSeconds(int(lease.begin))
        if lease.end:
            if lease.begin:
                out.effective_end_time.FromSeconds(int(lease.end))
            out.conditions.append(kubernetes_pb2.Condition(type="Ready", status="False", reason="Released"))
        elif lease.exporter:
            out.conditions.append(kubernetes_pb2.Condition(type="Ready", status="True", reason="Ready"))
        else:
            out.conditions.append(kubernetes_pb2.Condition(type="Pending", status="True", reason="NotAvailable"))
        return out

    async def _known(self, context, table, name, kind):
        await self.controller._who(context, "Client")
        found = table.get(name.rpartition("/")[2])
        if found is None:
            await context.abort(grpc.StatusCode.UNKNOWN, f'{kind}.jumpstarter.dev "{name}" not found')
        return found

    async def GetExporter(self, request, context):
        return self._exporter(await self._known(context, self.controller.exporters, request.name, "exporters"))

    async def ListExporters(self, request, context):
        await self.controller._who(context, "Client")
        wanted = dict(part.split("=", 1) for part in request.filter.split(",") if part)
        return client_pb2.ListExportersResponse(exporters=[
            self._exporter(e) for e in self.controller.exporters.values() if wanted.items() <= e.labels.items()])

    async def GetLease(self, request, context):
        return self._lease(await self._known(context, self.controller.leases, request.name, "leases"))

    async def ListLeases(self, request, context):
        await self.controller._who(context, "Client")
        return client_pb2.ListLeasesResponse(leases=[self._lease(lease) for lease in self.controller.leases.values()
                                                     if not lease.end or not request.only_active])

    async def CreateLease(self, request, context):
        client = await self.controller._who(context, "Client")
        name = request.lease_id or f"lease-{next(self.controller._numbers)}"
        lease = _Lease(name, client, request.lease.selector, request.lease.exporter_name, request.lease.duration)
        self.controller.leases[name] = lease
        self.controller.assign()
        return self._lease(lease)

    async def DeleteLease(self, request, context):
        lease = await self._known(context, self.controller.leases, request.name, "leases")
        if lease.end:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f'lease "{request.name}" has already been released')
        self.controller.release(lease)
        return empty_pb2.Empty()
