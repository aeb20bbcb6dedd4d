# SPDX-License-Identifier: Apache-2.0
"""Passphrases and TLS of a directly served exporter."""

import grpc
import pytest
from harness import exporter as exporters
from harness.board import payload
from harness.certificates import Authority
from harness.place import BIN
from harness.program import run
from harness.stock import EMPTY, Duplex, Raw, driver_request, failure, pb, resource_request

EXPORT = {"power": exporters.driver(exporters.POWER), "echo": exporters.driver(exporters.ECHO),
          "storage": exporters.driver(exporters.STORAGE)}
PASSPHRASE = "three little words & a $ign"


@pytest.fixture(scope="module")
def authority(place):
    return Authority(place.root)


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue()


def jmp_shell(place, endpoint, *options, script="j power on && j power off && echo done", env=None, timeout=60):
    return run([BIN / "jmp", "shell", "--tls-grpc", endpoint, *options, "--", "sh", "-c", script],
               env={**place.env, **(env or {})}, timeout=timeout)


class TestPassphrase:
    @pytest.fixture
    def guarded(self, serve):
        return serve(EXPORT, passphrase=PASSPHRASE)

    def test_right_one(self, guarded, place):
        done = jmp_shell(place, guarded.endpoint, "--tls-grpc-insecure", "--passphrase", PASSPHRASE).ok()
        assert done.out.splitlines()[-1] == "done"

    @pytest.mark.parametrize("options", [[], ["--passphrase", "wrong"], ["--passphrase", PASSPHRASE + " "],
                                         ["--passphrase", PASSPHRASE[:-1]]], ids=["missing", "wrong", "longer", "shorter"])
    def test_any_other_one(self, guarded, place, options):
        done = jmp_shell(place, guarded.endpoint, "--tls-grpc-insecure", *options)
        assert done.status == 1, str(done)
        assert "Authentication failed: invalid or missing passphrase" in done.err, str(done)
        assert PASSPHRASE not in guarded.program.output()

    @pytest.mark.parametrize("passphrase", [None, "", "wrong"])
    def test_every_method_asks_for_it(self, guarded, passphrase):
        with Raw(guarded.endpoint, passphrase=PASSPHRASE) as friend:
            power, echo, storage = friend.uuid("power"), friend.uuid("echo"), friend.uuid("storage")
            friend.call(power, "on")
        with Raw(guarded.endpoint, passphrase=passphrase) as raw:
            calls = {
                "GetReport": lambda: raw.report(),
                "DriverCall": lambda: raw.call(power, "on"),
                "StreamingDriverCall": lambda: list(raw.items(power, "read")),
                "LogStream": lambda: next(raw.exporter.LogStream(EMPTY, timeout=5, metadata=raw.metadata)),
                "GetStatus": lambda: raw.exporter.GetStatus(pb.GetStatusRequest(), timeout=5, metadata=raw.metadata),
                "EndSession": lambda: raw.exporter.EndSession(pb.EndSessionRequest(), timeout=5,
                                                              metadata=raw.metadata),
                "Stream": lambda: Duplex(raw, driver_request(echo), timeout=5).receive(),
                "resource": lambda: Duplex(raw, resource_request(storage), timeout=5).receive(),
            }
            for name, call in calls.items():
                error = failure(call)
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED, (name, error)
                assert error.details() == "invalid or missing passphrase", (name, error)
                assert not error.initial_metadata(), f"{name} is answered with headers"

    def test_over_tls(self, serve, place, certificate, authority):
        exporter = serve(EXPORT, cert=certificate[0], key=certificate[1], passphrase=PASSPHRASE)
        env = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(authority.path)}
        assert jmp_shell(place, exporter.endpoint, "--passphrase", PASSPHRASE, env=env).ok().out.splitlines()[-1] == "done"
        done = jmp_shell(place, exporter.endpoint, env=env)
        assert done.status == 1 and "Authentication failed" in done.err, str(done)

    @pytest.mark.native(reason="it refuses its own hooks where there is a passphrase")
    def test_hooks_need_none(self, serve):
        exporter = serve(exporters.config(EXPORT, hooks={"beforeLease": {"script": "j power on && echo the hook got in"}}),
                         passphrase=PASSPHRASE)
        exporter.program.wait_line("the hook got in", 60)
        with Raw(exporter.endpoint) as raw:
            assert failure(raw.report).code() == grpc.StatusCode.UNAUTHENTICATED
        assert PASSPHRASE not in exporter.program.output()

    @pytest.mark.native(reason="it has no --passphrase-file")
    def test_from_a_file(self, place, build, kind):
        from harness.program import Program
        path = place.file("passphrase", PASSPHRASE + "\n")
        path.chmod(0o600)
        config = place.file("guarded.yaml", exporters.config(EXPORT))
        agent = Program([*exporters.command(kind, build), "--exporter-config", config, "--tls-grpc-listener",
                         "127.0.0.1:0", "--tls-grpc-insecure", "--passphrase-file", path], env=place.env)
        try:
            endpoint = agent.wait_line(r"listening on (127\.0\.0\.1:[1-9]\d*)")[1]
            with Raw(endpoint, passphrase=PASSPHRASE) as raw:
                assert raw.report().reports
            with Raw(endpoint) as raw:
                assert failure(raw.report).code() == grpc.StatusCode.UNAUTHENTICATED
            assert PASSPHRASE.encode() not in open(f"/proc/{agent.pid}/cmdline", "rb").read()
        finally:
            agent.stop()
            agent.forget()


class TestTls:
    @pytest.fixture
    def exporter(self, serve, certificate):
        return serve(EXPORT, cert=certificate[0], key=certificate[1])

    def test_verified_by_its_authority(self, exporter, place, authority):
        env = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(authority.path)}
        assert jmp_shell(place, exporter.endpoint, env=env).ok().out.splitlines()[-1] == "done"

    def test_not_verified_on_request(self, exporter, place):
        # the shell alone: a `j` in it takes the variable for "no TLS" and is turned away
        done = jmp_shell(place, exporter.endpoint, env={"JUMPSTARTER_GRPC_INSECURE": "1"}, script="echo done").ok()
        assert done.out.splitlines()[-1] == "done"

    def test_certificate_of_a_stranger_is_refused(self, exporter, place):
        stranger = Authority(place.root, "stranger")
        with Raw(exporter.endpoint, grpc.ssl_channel_credentials(stranger.path.read_bytes())) as raw:
            assert failure(lambda: raw.report(timeout=5)).code() == grpc.StatusCode.UNAVAILABLE

    def test_client_without_tls_is_not_served(self, exporter, authority):
        with Raw(exporter.endpoint) as raw:
            assert failure(lambda: raw.report(timeout=5)).code() == grpc.StatusCode.UNAVAILABLE
        with Raw(exporter.endpoint, grpc.ssl_channel_credentials(authority.path.read_bytes())) as raw:
            assert raw.report().reports, "and the next one with TLS is"

    def test_streams_work_under_tls(self, exporter, authority):
        data = payload(3 << 20, "tls")
        with Raw(exporter.endpoint, grpc.ssl_channel_credentials(authority.path.read_bytes())) as raw:
            with Duplex(raw, driver_request(raw.uuid("echo"))) as stream:
                for at in range(0, len(data), 65536):
                    stream.send(data[at:at + 65536])
                assert stream.read(len(data)) == data


# options, what the message has to hold; the exit status of wrong usage is 2 as stock's is
USAGE = [
    (["--tls-grpc-listener", "127.0.0.1:0"], ""),
    (["--tls-grpc-listener", "127.0.0.1:0", "--tls-cert", "CERT"], ""),
    (["--tls-grpc-listener", "127.0.0.1:0", "--tls-grpc-insecure", "--tls-cert", "CERT", "--tls-key", "KEY"], ""),
    (["--tls-grpc-insecure"], ""),
    (["--passphrase", "x"], ""),
    (["--tls-grpc-listener", "127.0.0.1:x", "--tls-grpc-insecure"], ""),
    (["--tls-grpc-listener", "127.0.0.1:70000", "--tls-grpc-insecure"], ""),
]


@pytest.mark.parametrize("options, text", USAGE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_wrong_usage_exits_with_2(kind, build, place, certificate, options, text):
    config = place.file("usage.yaml", exporters.config(EXPORT))
    cert, key = map(str, certificate)
    options = [{"CERT": cert, "KEY": key}.get(o, o) for o in options]
    done = run([*exporters.command(kind, build), "--exporter-config", config, *options], env=place.env, timeout=20)
    assert done.status == 2, str(done)
    assert done.err.strip(), str(done)
