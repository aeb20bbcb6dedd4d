# SPDX-License-Identifier: Apache-2.0
"""An API server of the tests' own: objects with versions, lists in pages, watches, and answers that a test prescribes."""

import base64
import json
import ssl
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired",
            415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError"}
_KINDS = {"clients": "Client", "exporters": "Exporter", "leases": "Lease", "secrets": "Secret", "configmaps": "ConfigMap"}


def status(code, message="", reason=None, **details):
    """A refusal as API servers send it: (code, body)."""
    return code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                  "reason": reason or _REASONS[code], "details": details, "code": code}


class Request:
    """What a client asked, kept for the test."""

    def __init__(self, method, target, headers, body):
        parts = urllib.parse.urlsplit(target)
        self.method, self.path, self.headers, self.raw = method, parts.path, headers, body
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.at = time.monotonic()
        self.certificate = None     # the client's common name
        self.code = None            # what was answered, once it was
        try:
            self.body = json.loads(body) if body else None
        except ValueError:
            self.body = body

    def __repr__(self):
        return f"{self.method} {self.path} {self.query or ''}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _handle(self):
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
        shown = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        if shown:
            request.certificate = dict(pair for name in shown["subject"] for pair in name)["commonName"]
        answer = self.server.owner._answer(request)
        if callable(answer):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            answer(self._chunk)
            self._chunk(b"")
            return
        code, body, *more = answer
        request.code = code
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass    # clients that leave are no news


class ApiServer:
    """Serves on loopback. `rules` are asked first: a function of the request that gives an answer, or None."""

    def __init__(self, authority=None, name="api"):
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.objects = {}           # collection path -> name -> object
        self.events = []            # (version, type, collection, object)
        self.version = 100
        self.requests = []
        self.rules = []
        self.down = False
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self.ca = None
        scheme = "http"
        if authority:
            certificate, key = authority.issue(name)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(authority.path)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
            self.ca = authority.path
            scheme = "https"
        self.port = self._http.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self):
        with self._changed:
            self.down = True
            self._changed.notify_all()
        self._http.shutdown()
        self._http.server_close()

    # What tests do.

    def kubeconfig(self, path, *, user=None, cluster=None, namespace=None):
        cluster = cluster if cluster is not None else (
            {"certificate-authority-data": base64.b64encode(self.ca.read_bytes()).decode()} if self.ca else {})
        context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "contexts": [{"name": "x", "context": context}],
            "clusters": [{"name": "c", "cluster": {"server": self.url, **cluster}}],
            "users": [{"name": "u", "user": user if user is not None else {"token": "secret-token-of-the-test"}}]}))
        return path

    def put(self, collection, obj):
        """Makes or replaces an object, as somebody else than the program under test."""
        with self._lock:
            name = obj["metadata"]["name"]
            return self._store(collection, name, obj, name in self.objects.get(collection, {}))

    def remove(self, collection, name):
        with self._changed:
            obj = self.objects[collection].pop(name)
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            self.events.append((self.version, "DELETED", collection, obj))
            self._changed.notify_all()

    def get(self, collection, name):
        with self._lock:
            return json.loads(json.dumps(self.objects[collection][name]))

    def asked(self, method=None, path=None):
        with self._lock:
            return [r for r in self.requests if (not method or r.method == method) and (not path or path in r.path)]

    def wait(self, condition, timeout, what):
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0, f"not within {timeout} s: {what}; asked for: {self.requests[-12:]}"
                self._changed.wait(min(left, 0.25))

    # What API servers do.

    def _store(self, collection, name, obj, there):
        with self._changed:
            self.version += 1
            old = self.objects.get(collection, {}).get(name)
            obj = json.loads(json.dumps(obj))
            metadata = obj["metadata"]
            metadata.setdefault("namespace", collection.split("/namespaces/")[1].split("/")[0])
            metadata["uid"] = old["metadata"]["uid"] if old else metadata.get("uid") or str(uuid.uuid4())
            metadata["creationTimestamp"] = old["metadata"]["creationTimestamp"] if old else metadata.get(
                "creationTimestamp") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            metadata["resourceVersion"] = str(self.version)
            metadata.setdefault("generation", 1)
            self.objects.setdefault(collection, {})[name] = obj
            self.events.append((self.version, "MODIFIED" if there else "ADDED", collection, obj))
            self._changed.notify_all()
            return obj

    def _answer(self, request):
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        for rule in list(self.rules):
            answer = rule(request)
            if answer is not None:
                return answer
        parts = request.path.split("/")
        if "namespaces" not in parts:
            return 404, b"404 page not found\n"
        place = parts.index("namespaces")
        collection, rest = "/".join(parts[:place + 3]), parts[place + 3:]
        plural, name = parts[place + 2], rest[0] if rest else None
        with self._lock:
            if request.method == "GET":
                if name:
                    return self._get(collection, plural, name)
                if request.query.get("watch"):
                    return self._watch(collection, request)
                return self._list(collection, plural, request)
            return getattr(self, "_" + request.method.lower())(collection, plural, name, request)

    def _missing(self, plural, name):
        return status(404, f'{plural} "{name}" not found', name=name, kind=plural)

    def _get(self, collection, plural, name):
        obj = self.objects.get(collection, {}).get(name)
        return (200, obj) if obj else self._missing(plural, name)

    def _selected(self, collection, request):
        wanted = request.query.get("labelSelector", "")
        field = request.query.get("fieldSelector", "")
        for name, obj in sorted(self.objects.get(collection, {}).items()):
            labels = obj["metadata"].get("labels") or {}
            fits = all((part[1:] not in labels) if part.startswith("!") else
                       (labels.get(part.split("=")[0]) == part.split("=")[1]) if "=" in part else part in labels
                       for part in wanted.split(",") if part)
            if fits and (not field or field == f"metadata.name={name}"):
                yield obj

    def _list(self, collection, plural, request):
        objects = list(self._selected(collection, request))
        limit, start = int(request.query.get("limit") or 0), 0
        if request.query.get("continue"):
            if not request.query["continue"].isdigit():
                return status(400, "continue key is not valid")
            start = int(request.query["continue"])
        metadata = {"resourceVersion": str(self.version)}
        page = objects[start:start + limit] if limit else objects
        if limit and start + limit < len(objects):
            metadata["continue"] = str(start + limit)
        group = collection.split("/namespaces/")[0]
        version = group.removeprefix("/apis/") if group.startswith("/apis/") else "v1"
        items = [{k: v for k, v in o.items() if k not in ("apiVersion", "kind")} for o in page] \
            if "coordination" in group else page
        return 200, {"apiVersion": version, "kind": _KINDS[plural] + "List", "metadata": metadata, "items": items}

    def _watch(self, collection, request):
        since = int(request.query["resourceVersion"])
        deadline = time.monotonic() + min(int(request.query.get("timeoutSeconds", 300)), 300)

        def stream(send):
            seen = since
            while True:
                with self._changed:
                    due = [e for e in self.events if e[0] > seen and e[2] == collection]
                    if not due:
                        if self.down or time.monotonic() > deadline:
                            return
                        self._changed.wait(0.25)
                        continue
                for version, kind, _, obj in due:
                    send(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
                    seen = version
        return stream

    def _post(self, collection, plural, name, request):
        name = request.body["metadata"].get("name")
        if not name:
            return status(422, "name or generateName is required")
        if name in self.objects.get(collection, {}):
            return status(409, f'{plural} "{name}" already exists', "AlreadyExists")
        return 201, self._store(collection, name, request.body, False)

    def _put(self, collection, plural, name, request):
        old = self.objects.get(collection, {}).get(name)
        metadata = request.body["metadata"]
        if not metadata.get("resourceVersion"):
            return status(422, "metadata.resourceVersion: must be specified for an update")
        if not old:
            if metadata.get("uid"):
                return status(409, "Precondition failed: UID in precondition")
            return 201, self._store(collection, name, request.body, False)
        if metadata["resourceVersion"] != old["metadata"]["resourceVersion"] or metadata.get("uid") not in (
                None, old["metadata"]["uid"]):
            return status(409, f'Operation cannot be fulfilled on {plural} "{name}": the object has been modified')
        return 200, self._store(collection, name, request.body, True)

    def _patch(self, collection, plural, name, request):
        old = self.objects.get(collection, {}).get(name)
        body = request.body
        if "apply" in request.headers.get("Content-Type", "") and not request.query.get("fieldManager"):
            return status(400, "fieldManager is required")
        merged = json.loads(json.dumps(old)) if old else {"metadata": {"name": name}}

        def merge(into, change):
            for key, value in change.items():
                if value is None:
                    into.pop(key, None)
                elif isinstance(value, dict) and isinstance(into.get(key), dict):
                    merge(into[key], value)
                else:
                    into[key] = value
        merge(merged, body)
        return (200 if old else 201), self._store(collection, name, merged, bool(old))

    def _delete(self, collection, plural, name, request):
        old = self.objects.get(collection, {}).get(name)
        if not old:
            return self._missing(plural, name)
        wanted = (request.body or {}).get("preconditions") or {}
        for key, value in wanted.items():
            if old["metadata"][key] != value:
                return status(409, f"Precondition failed: {key}")
        self.remove(collection, name)
        return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"name": name}}
