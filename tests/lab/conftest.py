# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the interoperability tests, with an agent that runs as its own user, and hardware for it."""

import tempfile
from pathlib import Path

import pytest

from agent_user import AgentPlace, programs
from hardware import Hardware

pytest_plugins = ["interop.conftest"]


def pytest_configure(config):
    if not Path("/run/lab/command").exists():
        raise pytest.UsageError("these tests run in a guest: tests/lab/run.sh, not pytest")


@pytest.fixture(scope="session")
def build(request):
    """The programs as they were built, but the agent runs as the user whom the shipped files make for it."""
    return programs(request.config.getoption("--build"))


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
