# SPDX-License-Identifier: Apache-2.0
"""Where secrets could be left by a program that has them: what it says, its command line and environment, its core, its files."""

import os
import resource
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import SECRETS
from harness.program import descendants, wait_until
from test_admin import CLIENTS, client, secret


def is_in(data):
    return [word for word in SECRETS if word.encode() in data]


def dumps_core(argv, env, directory, ready=lambda: True):
    """Whether it leaves a core when it is made to."""
    resource_limit = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (resource_limit[1], resource_limit[1]))
    try:
        process = subprocess.Popen(argv, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, resource_limit)
    ready()
    os.kill(process.pid, signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGABRT
    assert os.WIFSIGNALED(status)
    return os.WCOREDUMP(status)


def test_nothing_secret_is_left_anywhere(server, commands):
    """And conftest.py looks at what every command of every test says."""
    server.put(CLIENTS, client("c"))
    secret(server, "c-client")
    assert commands.jmpctl("admin", "import", "client", "c", "-n", "lab").code == 0
    saved = [path for path in commands.home.rglob("*") if path.is_file() and is_in(path.read_bytes())]
    assert [path.name for path in saved] == ["c.yaml"]
    assert stat.S_IMODE(saved[0].stat().st_mode) == 0o600
    elector = commands.start("kube", "elect", "--lease", "it", "--", "sleep", "1000")
    elector.wait_line("is now the leader")
    pids = wait_until(lambda: [p for p in [descendants(elector.pid)] if len(p) >= 3], 30, "elector, guard and command")[0]
    for pid in pids:
        for file in ("cmdline", "environ"):
            assert not is_in(Path(f"/proc/{pid}/{file}").read_bytes()), (pid, file)
    assert elector.stop() != 0
    assert not is_in(elector.output().encode())


def test_what_has_a_kubeconfig_leaves_no_core(server, commands, tmp_path):
    if not dumps_core(["sleep", "1000"], commands.env(), tmp_path):
        pytest.skip("nothing leaves a core here")
    for words in (("kube", "monitor"), ("kube", "heartbeat", "--name", "x")):
        before = len(server.requests)
        assert not dumps_core([commands.jmpctl_path, *words], commands.env(), tmp_path,
                              lambda: server.wait(lambda: len(server.requests) > before, 30, "it has its credentials"))
