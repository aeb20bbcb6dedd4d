# SPDX-License-Identifier: Apache-2.0
"""An API server per test, and the two commands that talk to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.certificates import Authority
from harness.kubernetes import ApiServer
from harness.program import Program

_default_build = Path(__file__).resolve().parents[2] / "build" / "dev"
JUMPSTARTER = "/apis/jumpstarter.dev/v1alpha1/namespaces/"
COORDINATION = "/apis/coordination.k8s.io/v1/namespaces/"


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
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

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
        return Result(subprocess.run([self.jmpctl_path, *args], env=self.env(**env), stdin=subprocess.DEVNULL,
                                     capture_output=True, text=True, timeout=timeout))

    def stock(self, *args, timeout=90):
        env = self.env(JMP_CLIENT_CONFIG_HOME=str(self.home / "stock"))
        return Result(subprocess.run([Path(sys.executable).parent / "jmp", *args], env=env, stdin=subprocess.DEVNULL,
                                     capture_output=True, text=True, timeout=timeout))

    def start(self, *args, **env):
        program = Program([self.jmpctl_path, *args], env=self.env(**env), name="jmpctl")
        self.programs.append(program)
        return program


@pytest.fixture
def commands(request, tmp_path, server):
    commands = Commands(request, tmp_path, server)
    yield commands
    for program in commands.programs:
        program.kill()
