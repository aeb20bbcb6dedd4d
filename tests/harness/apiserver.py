# SPDX-License-Identifier: Apache-2.0
"""The API server of Kubernetes itself, on an etcd of its own, with the resources of Jumpstarter."""

import base64
import json
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from harness.program import Program, ProgramError, wait_until

TOP = Path(__file__).resolve().parents[2]
ADMIN, NOBODY = "token-of-the-administrator", "token-of-somebody"


def cached_program():
    """The server's path, or None: scripts/kube-apiserver makes it."""
    done = subprocess.run([TOP / "scripts" / "kube-apiserver", "--cached"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class KubeApi:
    """Ready when made. Two users: ADMIN may do all, NOBODY nothing."""

    def __init__(self, directory, authority, program):
        self.directory, self.authority = directory, authority
        certificate, key = authority.issue("kube")
        signer = directory / "accounts.key"
        signer.write_bytes(rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        tokens = directory / "tokens.csv"
        tokens.write_text(f"{ADMIN},admin,1,system:masters\n{NOBODY},somebody,2\n")
        etcd = shutil.which("etcd")
        if not etcd:
            raise ProgramError("there is no etcd: apt-get install etcd-server")
        env = {"PATH": "/usr/bin:/bin", "HOME": str(directory), "ETCD_UNSUPPORTED_ARCH": ""}
        client, peer, self.port = _free_port(), _free_port(), _free_port()
        self._etcd_url = f"http://127.0.0.1:{client}"
        self.url = f"https://127.0.0.1:{self.port}"
        self.etcd = Program([
            etcd, "--data-dir", directory / "etcd", "--listen-client-urls", self._etcd_url, "--advertise-client-urls", self._etcd_url,
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--unsafe-no-fsync"], env=env, name="etcd")
        self.server = Program([
            program, "--etcd-servers", self._etcd_url, "--secure-port", self.port, "--bind-address", "127.0.0.1",
            "--advertise-address", "127.0.0.1", "--tls-cert-file", certificate, "--tls-private-key-file", key,
            "--token-auth-file", tokens, "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.0.0.0/24",
            "--service-account-issuer", "https://tests", "--service-account-key-file", signer,
            "--service-account-signing-key-file", signer, "--disable-admission-plugins", "ServiceAccount",
            # Without a cache of theirs, Leases are forgotten when etcd forgets them.
            "--etcd-compaction-interval", "0", "--watch-cache-sizes", "leases.coordination.k8s.io#0", "--endpoint-reconciler-type", "none", "--min-request-timeout", "5"],
            env=env, name="kube-apiserver")
        self._context = ssl.create_default_context(cafile=str(authority.path))

    def wait_ready(self, timeout=120):
        def ready():
            if not self.server.alive() or not self.etcd.alive():
                raise ProgramError(f"it does not run\n{self.server.tail()}\n{self.etcd.tail()}")
            try:
                return self.call("GET", "/readyz")[0] == 200
            except OSError:
                return False
        wait_until(ready, timeout, self.server.tail)

    def install_resources(self):
        """Those of Jumpstarter, and the namespace that the tests use."""
        for path in sorted((TOP / "tests" / "kube" / "crds").glob("*.yaml")):
            code, body = self.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(path.read_text()))
            assert code == 201, body
        self.namespace("lab")
        for plural in ("clients", "exporters", "leases", "exporteraccesspolicies"):
            wait_until(lambda plural=plural: self.call("GET", f"/apis/jumpstarter.dev/v1alpha1/namespaces/lab/{plural}")[0] == 200,
                       60, f"{plural} are served")

    def close(self):
        self.server.stop(timeout=20)
        self.etcd.stop()

    def call(self, method, path, body=None, token=ADMIN, content_type="application/json"):
        """(status, what came back), for tests that look at the server with other eyes."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={
            "Authorization": f"Bearer {token}", "Content-Type": content_type, "Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
                code, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            code, raw = error.code, error.read()
        try:
            return code, json.loads(raw)
        except ValueError:
            return code, raw.decode(errors="replace")

    def table(self, path):
        """A list as the server itself would print it."""
        request = urllib.request.Request(self.url + path, headers={
            "Authorization": f"Bearer {ADMIN}", "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
        with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
            return json.loads(answer.read())

    def namespace(self, name):
        code, body = self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert code in (201, 409), body

    def compact(self):
        """etcd forgets all that was before now, as it does every few minutes in a cluster."""
        def post(path, body):
            request = urllib.request.Request(self._etcd_url + path, data=json.dumps(body).encode(), method="POST")
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        key = base64.b64encode(b"of the tests").decode()
        # A write of our own, so that there is always something new to be forgotten.
        revision = post("/v3/kv/put", {"key": key, "value": key})["header"]["revision"]
        post("/v3/kv/compaction", {"revision": revision, "physical": True})

    def kubeconfig(self, path, token=ADMIN):
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {
                "server": self.url, "certificate-authority-data": base64.b64encode(self.authority.path.read_bytes()).decode()}}],
            "users": [{"name": "u", "user": {"token": token}}]}))
        return path
