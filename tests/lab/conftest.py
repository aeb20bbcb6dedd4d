# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the interoperability tests, with an agent that runs as its own user, and hardware for it."""

import os
import pwd
import shlex
import shutil
import tempfile
from pathlib import Path

import pytest
from harness.place import Place

from hardware import Hardware

pytest_plugins = ["interop.conftest"]

AGENT_USER = "jmp-agent"


def pytest_configure(config):
    if not Path("/run/lab/command").exists():
        raise pytest.UsageError("these tests run in a guest: tests/lab/run.sh, not pytest")


@pytest.fixture(scope="session")
def build(request):
    """The programs as they were built, but the agent runs as the user whom the shipped files make for it."""
    built = Path(request.config.getoption("--build")).resolve()
    assert (built / "agent/jmp-agent").exists(), f"{built} has no agent/jmp-agent: build it"
    user = pwd.getpwnam(AGENT_USER)
    mounted = Path("/run/built")     # reached without the directories above it, which may be its owner's alone
    mounted.mkdir()
    assert os.system(f"mount --bind {shlex.quote(str(built))} {mounted}") == 0
    programs = Path("/run/programs")
    for part in ("labd", "ctl", "agent"):
        (programs / part).mkdir(parents=True)
    for part, name in (("labd", "jmp-labd"), ("ctl", "jmpctl")):
        (programs / part / name).symlink_to(mounted / part / name)
    agent = programs / "agent/jmp-agent"
    agent.write_text(f"#!/bin/sh\nexec setpriv --reuid {user.pw_uid} --regid {user.pw_gid} --init-groups "
                     f"--no-new-privs --bounding-set -all --inh-caps -all {mounted}/agent/jmp-agent \"$@\"\n")
    agent.chmod(0o755)
    return programs


class AgentPlace(Place):
    """One whose files the agent may read."""

    def __init__(self, build):
        super().__init__(build)
        for directory in (self.root, self.home, self.run, self.tmp, self.config):
            shutil.chown(directory, AGENT_USER, AGENT_USER)

    def file(self, name, text):
        path = super().file(name, text)
        shutil.chown(path, AGENT_USER, AGENT_USER)
        return path


@pytest.fixture(scope="module")
def place(build):
    place = AgentPlace(build)
    yield place
    place.close()


@pytest.fixture
def hardware(build):
    """Simulated hardware, see Hardware; it is taken away after the test."""
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/tmp") as directory:
        hardware = Hardware(directory, "/run/built/tests/lab")
        yield hardware
        hardware.close()
