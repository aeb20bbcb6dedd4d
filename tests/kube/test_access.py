# SPDX-License-Identifier: Apache-2.0
"""How the API server is reached: certificates, credentials, refusals that ask to come again."""

import base64
import json
import subprocess
import textwrap

import pytest
from conftest import JUMPSTARTER, Probe
from harness.certificates import Authority
from harness.kubernetes import ApiServer, status
from harness.program import wait_until
from harness.wire import Proxy

CLIENTS = JUMPSTARTER + "default/clients"


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def get(commands):
    return commands.jmpctl("admin", "get", "client", "-o", "json")


def script(tmp_path, body):
    path = tmp_path / "plugin"
    path.write_text("#!/usr/bin/env python3\n" + textwrap.dedent(body))
    path.chmod(0o755)
    return path


def exec_user(path, **more):
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path), "interactiveMode": "Never", **more}}


CREDENTIAL = """
    import json, os, sys
    info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
    with open(os.environ["LOG"], "a") as log:
        print(json.dumps([info, sys.argv[1:]]), file=log)
    count = sum(1 for _ in open(os.environ["LOG"]))
    print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": {"token": f"t{count}"%s}}))
    """


def test_certificates_are_checked(server, commands, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority(other, "stranger")
    rows = [
        (None, 0, ""),
        ({"certificate-authority-data": encoded(stranger.path)}, 1, "certificate"),
        ({"certificate-authority": "authority/ca.pem"}, 0, ""),
        ({"insecure-skip-tls-verify": True}, 0, ""),
        ({"insecure-skip-tls-verify": True, "certificate-authority-data": encoded(server.ca)}, 1, "not together"),
        ({"certificate-authority-data": encoded(server.ca), "tls-server-name": "localhost"}, 0, ""),
        ({"certificate-authority-data": encoded(server.ca), "tls-server-name": "elsewhere"}, 1, "elsewhere"),
    ]
    for cluster, code, words in rows:
        server.kubeconfig(commands.kubeconfig, cluster=cluster)
        result = get(commands)
        assert result.code == code, (cluster, result.err)
        assert words in result.err


def test_credentials_reach_the_server(server, commands):
    for user, header in (
            ({"token": "t"}, "Bearer t"), ({"username": "u", "password": "p"}, "Basic " + base64.b64encode(b"u:p").decode()),
            ({}, None)):
        server.kubeconfig(commands.kubeconfig, user=user)
        assert get(commands).code == 0
        assert server.asked()[-1].headers.get("Authorization") == header
    server.kubeconfig(commands.kubeconfig, user={"token": "t", "as": "who", "as-uid": "7", "as-groups": ["g"]})
    get(commands)
    headers = server.asked()[-1].headers
    assert (headers["Impersonate-User"], headers["Impersonate-Uid"], headers["Impersonate-Group"]) == ("who", "7", "g")


def test_a_token_with_a_line_break_is_no_header_of_its_own(server, commands):
    server.kubeconfig(commands.kubeconfig, user={"token": "t\r\nX-Evil: 1"})
    result = get(commands)
    assert result.code == 1
    assert not server.requests


def test_a_token_file_is_trimmed(server, commands, tmp_path):
    (tmp_path / "token").write_text("  file-token\n\n")
    server.kubeconfig(commands.kubeconfig, user={"tokenFile": "token"})
    assert get(commands).code == 0
    assert server.asked()[-1].headers["Authorization"] == "Bearer file-token"
    (tmp_path / "token").write_text("\n")
    assert "the token is empty" in get(commands).err


def test_a_pod_uses_its_account(server, commands):
    commands.kubeconfig.unlink()
    result = commands.jmpctl("admin", "get", "client", KUBECONFIG="", KUBERNETES_SERVICE_HOST="127.0.0.1",
                             KUBERNETES_SERVICE_PORT=str(server.port))
    assert result.code == 1
    assert "/var/run/secrets/kubernetes.io/serviceaccount/" in result.err


@pytest.mark.parametrize("body, words", [
    (CREDENTIAL % "", ""),
    (CREDENTIAL % ', "expirationTimestamp": "2999-01-01T00:00:00Z"', ""),
    (CREDENTIAL % ', "expirationTimestamp": "2001-01-01T00:00:00Z"', "expired already"),
    (CREDENTIAL % ', "expirationTimestamp": "soon"', "no time"),
    (CREDENTIAL % ', "clientCertificateData": "x"', "half of a certificate"),
    (CREDENTIAL.replace('info["apiVersion"]', '"client.authentication.k8s.io/v1beta1"') % "", "it answered in apiVersion"),
    (CREDENTIAL.replace('"token": f"t{count}"', "") % '"clientCertificateData": "x"', "half of a certificate"),
    (CREDENTIAL.replace('"token": f"t{count}"', "") % "", "neither a token nor a certificate"),
    ('print("{}")', "apiVersion"), ("print('no json')", "not JSON"), ("raise SystemExit(3)", "exit code 3"),
    ("print('x' * 2000000)", "longer than"),
])
def test_a_plugin_is_asked(server, commands, tmp_path, body, words):
    plugin = script(tmp_path, body)
    server.kubeconfig(commands.kubeconfig, user=exec_user(
        plugin, args=["one", "two"], env=[{"name": "LOG", "value": str(tmp_path / "log")}], provideClusterInfo=True))
    result = get(commands)
    if words:
        assert result.code == 1
        assert words in result.err
        assert not server.requests
        return
    assert result.code == 0, result.err
    assert server.asked()[-1].headers["Authorization"] == "Bearer t1"
    info, args = json.loads((tmp_path / "log").read_text())
    assert args == ["one", "two"]
    assert info["spec"]["interactive"] is False
    assert info["spec"]["cluster"]["server"] == server.url
    assert info["spec"]["cluster"]["certificate-authority-data"] == encoded(server.ca)


def test_a_plugin_is_asked_once_more_when_the_server_refuses(server, commands, tmp_path):
    server.kubeconfig(commands.kubeconfig, user=exec_user(script(tmp_path, CREDENTIAL % ""),
                                                          env=[{"name": "LOG", "value": str(tmp_path / "log")}]))
    server.rules.append(lambda r: status(401, "no") if r.headers["Authorization"] == "Bearer t1" else None)
    assert get(commands).code == 0
    assert [r.headers["Authorization"] for r in server.asked()] == ["Bearer t1", "Bearer t2"]
    server.rules.append(lambda r: status(401, "no"))
    result = get(commands)
    assert result.code == 1
    assert "Unauthorized" in result.err


def test_a_plugin_is_asked_again_when_its_answer_has_expired(server, commands, tmp_path):
    soon = ', "expirationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))'
    plugin = script(tmp_path, CREDENTIAL.replace("import json", "import time, json") % soon)
    server.kubeconfig(commands.kubeconfig, user=exec_user(plugin, env=[{"name": "LOG", "value": str(tmp_path / "log")}]))
    probe = Probe(commands.build, commands.kubeconfig, commands.env())
    try:
        def token():
            assert probe.request("GET", CLIENTS)["code"] == 200
            return server.asked()[-1].headers["Authorization"]
        assert token() == "Bearer t1"
        wait_until(lambda: token() == "Bearer t2", 60, "another token")
    finally:
        probe.close()
    assert {r.headers["Authorization"] for r in server.asked()} == {"Bearer t1", "Bearer t2"}


def test_a_certificate_says_who_we_are(server, commands, authority):
    certificate, key = authority.issue("me")
    server.kubeconfig(commands.kubeconfig, user={"client-certificate-data": encoded(certificate), "client-key": str(key)})
    assert get(commands).code == 0
    assert server.asked()[-1].certificate == "me"
    server.kubeconfig(commands.kubeconfig, user={"client-certificate-data": encoded(certificate)})
    assert get(commands).code == 1


def test_a_plugin_may_give_a_certificate(server, commands, authority, tmp_path):
    """And another one when the server refuses it, which is for new connections only."""
    for name in ("c1", "c2"):
        authority.issue(name)
    files = f', "clientCertificateData": open(f"{authority.directory}/c{{count}}.pem").read(), ' \
            f'"clientKeyData": open(f"{authority.directory}/c{{count}}.key").read()'
    plugin = script(tmp_path, CREDENTIAL.replace('"token": f"t{count}"%s', "%s") % files.removeprefix(", "))
    server.kubeconfig(commands.kubeconfig, user=exec_user(plugin, env=[{"name": "LOG", "value": str(tmp_path / "log")}]))
    server.rules.append(lambda r: status(401, "no") if r.certificate == "c1" else None)
    result = get(commands)
    assert result.code == 0, result.err
    assert [r.certificate for r in server.asked()] == ["c1", "c2"]


def test_a_plugin_that_must_ask_somebody_needs_a_terminal(server, commands, tmp_path):
    server.kubeconfig(commands.kubeconfig, user=exec_user(script(tmp_path, CREDENTIAL % ""), interactiveMode="Always"))
    result = get(commands)
    assert result.code == 1
    assert "wants to ask somebody, and there is no terminal" in result.err
    assert not server.requests


def test_a_plugin_that_is_missing_is_explained(server, commands):
    server.kubeconfig(commands.kubeconfig, user=exec_user("/nonexistent/plugin", installHint="install the plugin"))
    result = get(commands)
    assert result.code == 1
    assert "/nonexistent/plugin cannot be started" in result.err


def test_servers_may_ask_to_come_again(server, commands):
    server.rules.append(lambda r: (*status(429, "slow"), {"Retry-After": "1"}) if len(server.asked()) < 3 else None)
    assert get(commands).code == 0
    asked = server.asked()
    assert len(asked) == 3
    assert asked[1].at - asked[0].at >= 0.95


def test_a_server_that_asks_for_ever_is_left(server, commands):
    server.rules.append(lambda r: (*status(503, "full", "ServiceUnavailable"), {"Retry-After": "0"})
                        if len(server.asked()) < 40 else None)
    # Retry-After: 0 is no time to wait for, and nothing that was asked.
    result = get(commands)
    assert result.code == 1
    assert len(server.asked()) == 1


@pytest.mark.parametrize("code, body, words", [
    (503, json.dumps(status(503, "full", "ServiceUnavailable")[1]).encode(), "Error from server (ServiceUnavailable): full"),
    (502, b"<html>gone</html>", "Server error: <html>gone</html>"),
    (200, b'{"items": [', "cut short"),
])
def test_other_refusals_are_told_at_once(server, commands, code, body, words):
    server.rules.append(lambda r: (code, body))
    result = get(commands)
    assert result.code == 1
    assert words in result.err
    assert len(server.asked()) == 1


def test_a_server_that_is_away_is_named(server, commands):
    server.close()
    result = get(commands)
    assert result.code == 1
    assert "the API server cannot be reached" in result.err


def test_a_proxy_is_used(server, commands, tmp_path):
    proxy = ApiServer()
    try:
        server.kubeconfig(commands.kubeconfig, cluster={"server": "http://api.example:80", "proxy-url": proxy.url})
        commands.kubeconfig.write_text(commands.kubeconfig.read_text().replace(server.url, "http://api.example:80"))
        assert get(commands).code == 0
        assert proxy.asked()[-1].headers["Host"] == "api.example"
    finally:
        proxy.close()


@pytest.mark.parametrize("scheme, how", [("http", "CONNECT"), ("socks5", "socks"), ("environment", "CONNECT")])
def test_a_proxy_is_a_tunnel_to_a_server_with_tls(server, commands, scheme, how):
    """The server is known by its certificate all the same."""
    proxy = Proxy(server.port)
    try:
        env = {"https_proxy": f"http://127.0.0.1:{proxy.port}"} if scheme == "environment" else {}
        more = {} if env else {"proxy-url": f"{scheme}://127.0.0.1:{proxy.port}"}
        server.kubeconfig(commands.kubeconfig, cluster={"certificate-authority-data": encoded(server.ca), **more})
        # A name that only the proxy could find, and that the certificate has.
        commands.kubeconfig.write_text(commands.kubeconfig.read_text().replace("127.0.0.1:%d" % server.port, "localhost:6443"))
        result = commands.jmpctl("admin", "get", "client", "-o", "json", **env)
        assert result.code == 0, result.err
        assert [(kind, port) for kind, _, port in proxy.asked] == [(how, 6443)]
    finally:
        proxy.cut()


def test_a_pod_finds_the_server_by_its_account(server, commands, tmp_path):
    """In a file system of its own, where the account lies where pods have it."""
    commands.kubeconfig.unlink()
    for name, text in (("token", "  token-of-the-pod\n"), ("ca.crt", server.ca.read_text()), ("namespace", "pods")):
        (tmp_path / name).write_text(text)
    place = "/run/secrets/kubernetes.io/serviceaccount"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("no file system of one's own here: run as root")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f"mount -t tmpfs none /run; mkdir -p {place}; cp token ca.crt namespace {place}; exec \"$@\"", "-",
         commands.jmpctl_path, "admin", "get", "client", "-o", "json"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=commands.env(KUBECONFIG="", KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT=str(server.port)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"] == []
    assert server.asked()[-1].headers["Authorization"] == "Bearer token-of-the-pod"
    assert server.asked()[-1].path == CLIENTS       # as always: not the namespace of the pod


def test_an_answer_without_end_is_given_up(server, commands):
    def flood(send):
        while True:
            send(b"x" * 1048576)
    server.rules.append(lambda r: flood)
    result = get(commands)
    assert result.code == 1
    assert "too large" in result.err
