# SPDX-License-Identifier: Apache-2.0
"""An API server per test, and the two commands that talk to it."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from harness.certificates import Authority
from harness.kubernetes import ApiServer
from harness.program import Program

_default_build = Path(__file__).resolve().parents[2] / "build" / "dev"
JUMPSTARTER = "/apis/jumpstarter.dev/v1alpha1/namespaces/"
COORDINATION = "/apis/coordination.k8s.io/v1/namespaces/"
SECRETS = ("secret-token-of-the-test", "the-token")     # of the kubeconfig, and in the Secrets that tests make


def pytest_addoption(parser):
    parser.addoption("--build", default=os.environ.get("JMP_BUILD", str(_default_build)), help="the build tree")


@pytest.fixture
def authority(tmp_path):
    directory = tmp_path / "authority"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
def server(authority):
    server = ApiServer(authority)
    yield server
    server.close()


class Result:
    def __init__(self, done):
        self.code = done.exit_code if hasattr(done, "exit_code") else done.returncode
        self.out, self.err = done.stdout, done.stderr

    def json(self):
        assert self.code == 0, self.err
        return json.loads(self.out)


class Commands:
    """jmpctl, and the stock jmp as a second opinion, with one home of their own each."""

    def __init__(self, request, tmp_path, server):
        self.build = Path(request.config.getoption("--build")).resolve()
        self.home = tmp_path / "home"
        self.home.mkdir()
        self.server = server
        self.kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        self.programs = []

    def env(self, **more):
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8", "KUBECONFIG": str(self.kubeconfig),
                "JMP_CLIENT_CONFIG_HOME": str(self.home / "config"), **more}

    @property
    def jmpctl_path(self):
        return self.build / "ctl" / "jmpctl"

    def jmpctl(self, *args, timeout=60, **env):
        result = Result(subprocess.run([self.jmpctl_path, *args], env=self.env(**env), stdin=subprocess.DEVNULL,
                                       capture_output=True, text=True, timeout=timeout))
        assert not [secret for secret in SECRETS if secret in result.out + result.err], args
        return result

    def stock(self, *args, said=None):
        """The stock jmp, in this process: its imports cost more than all that it does. @said: to its questions."""
        from click.testing import CliRunner
        from jumpstarter.config.client import ClientConfigV1Alpha1
        from jumpstarter.config.exporter import ExporterConfigV1Alpha1
        from jumpstarter.config.user import UserConfigV1Alpha1
        from jumpstarter_cli.jmp import jmp

        home = self.home / "stock"
        saved = dict(os.environ)
        os.environ.update(self.env(JMP_CLIENT_CONFIG_HOME=str(home), COLUMNS="80"))
        try:
            with pytest.MonkeyPatch.context() as patch:
                # Where it looks was decided when it was imported.
                patch.setattr(ClientConfigV1Alpha1, "CLIENT_CONFIGS_PATH", home / "clients")
                patch.setattr(ExporterConfigV1Alpha1, "BASE_PATH", home / "exporters")
                patch.setattr(ExporterConfigV1Alpha1, "SYSTEM_CONFIG_PATH", home / "none")
                patch.setattr(UserConfigV1Alpha1, "BASE_CONFIG_PATH", home)
                patch.setattr(UserConfigV1Alpha1, "USER_CONFIG_PATH", home / "config.yaml")
                return Result(CliRunner().invoke(jmp, [*map(str, args), "--kubeconfig", str(self.kubeconfig)], input=said))
        finally:
            os.environ.clear()
            os.environ.update(saved)

    def start(self, *args, **env):
        program = Program([self.jmpctl_path, *args], env=self.env(**env), name="jmpctl")
        self.programs.append(program)
        return program

    def close(self):
        for program in self.programs:
            program.kill()
        # Whatever a test was about: nothing secret was said, and what was written is for its owner alone.
        for program in self.programs:
            assert not [secret for secret in SECRETS if secret in program.output()], program.argv
        for path in (self.home / "config").rglob("*"):
            if path.is_file() and any(secret.encode() in path.read_bytes() for secret in SECRETS):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def takeover(server, path, lost, winner, lease_duration, retry_period):
    """Asserts, of a Lease whose holder fell silent, that @winner took it in time and not before: at least the lease duration after it
    had seen the last renewal, at most that and two looks after the renewal came; a third is for an answer that takes as long as the time
    between two looks does on this machine. Returns the seconds from the last renewal to the new holder's first."""
    def holder(request):
        return request.body["spec"].get("holderIdentity")
    asked = [r for r in server.asked() if r.headers.get("Authorization") == f"Bearer token-of-{winner}"]
    taken = next(r.at for r in asked if r.method == "PUT" and r.path == path and holder(r) == winner)
    last = [r.at for r in server.asked() if r.code in (200, 201) and r.method in ("POST", "PUT") and r.at < taken and
            holder(r) == lost][-1]
    looks = [r.at for r in asked if r.code == 200 and r.method == "GET" and r.path == path and r.at < taken]
    pause = max([2.2 * retry_period, *(b - a for a, b in zip(looks, looks[1:]))])
    assert taken - min(at for at in looks if at > last) >= lease_duration
    assert taken - last <= lease_duration + 3 * pause
    return taken - last


def one_after_the_other(log):
    """Asserts of workers that write "+ PID" when they begin and ". PID" or "- PID" later: none does so after the next has begun.
    Returns their PIDs."""
    workers = []
    for line in log.read_text().splitlines():
        sign, pid = line.split()
        if sign == "+":
            workers.append(pid)
        assert pid == workers[-1], f"{pid} works after {workers[-1]} has begun"
    return workers


@pytest.fixture
def commands(request, tmp_path, server):
    commands = Commands(request, tmp_path, server)
    yield commands
    commands.close()


class Probe:
    """The library at work without a command around it: tests/kube/probe.c."""

    def __init__(self, build, kubeconfig, env):
        self.process = subprocess.Popen([build / "tests" / "kube" / "kube-probe", kubeconfig], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"it has ended with {self.process.wait(10)}"
        return json.loads(line)

    def request(self, method, path, body=None, content_type=None):
        self.send({"do": "request", "method": method, "path": path, "body": body, "type": content_type} if body is not None
                  else {"do": "request", "method": method, "path": path})
        return self.answer()

    def list(self, path, query=None):
        self.send({"do": "list", "path": path, "query": query})
        return self.answer()

    def stream(self, path):
        """(what came line by line, how it ended)"""
        self.send({"do": "stream", "path": path})
        lines = []
        while "line" in (answer := self.answer()):
            lines.append(answer["line"])
        return lines, answer

    def event(self):
        event = self.answer()
        return event["event"], event.get("name")

    def read_path(self, kind, obj):
        """The path of the member that is wrong in it, or None."""
        self.send({"do": "read", "kind": kind, "object": obj})
        return self.answer()["path"]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def probe(commands):
    probe = Probe(commands.build, commands.kubeconfig, commands.env())
    yield probe
    probe.close()
