# SPDX-License-Identifier: Apache-2.0
"""Exporters under test: ours, and the stock one as the reference that the tests themselves are judged by."""

import itertools
import os
import socket
from pathlib import Path

import yaml

from .place import BIN
from .program import Program, ProgramError

_numbers = itertools.count(1)

POWER = "jumpstarter_driver_power.driver.MockPower"
SYNC_POWER = "jumpstarter_driver_power.driver.SyncMockPower"
SERIAL = "jumpstarter_driver_pyserial.driver.PySerial"
TCP = "jumpstarter_driver_network.driver.TcpNetwork"
UDP = "jumpstarter_driver_network.driver.UdpNetwork"
UNIX = "jumpstarter_driver_network.driver.UnixNetwork"
ECHO = "jumpstarter_driver_network.driver.EchoNetwork"
STORAGE = "jumpstarter_driver_opendal.driver.MockStorageMux"
SWITCH = "jumpstarter_driver_gpiod.driver.PowerSwitch"
OUTPUT = "jumpstarter_driver_gpiod.driver.DigitalOutput"
INPUT = "jumpstarter_driver_gpiod.driver.DigitalInput"
FLASHER = "jumpstarter_driver_opendal.driver.MockStorageMuxFlasher"


def driver(kind, **config):
    return {"type": kind, "config": config} if config else {"type": kind}


def config(export, name=None, **more):
    """An exporter's configuration as text; names differ, for several run at once on one machine."""
    name = name or f"t{os.getpid()}-{next(_numbers)}"
    return yaml.safe_dump({
        "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ExporterConfig",
        "metadata": {"name": name, "namespace": "default"}, **more, "export": export}, sort_keys=False)


class Exporter:
    """A running exporter. `endpoint` is HOST:PORT in direct mode, None when it serves a controller."""

    def __init__(self, kind, program, endpoint, path):
        self.kind, self.program, self.endpoint, self.path = kind, program, endpoint, path

    @property
    def native(self):
        return self.kind == "native"

    def fds(self):
        return self.program.fds()

    def stop(self, **how):
        return self.program.stop(**how)


def agent_path(build):
    path = Path(build) / "agent" / "jmp-agent"
    if not path.exists():
        raise ProgramError(f"{path} is not there: build it, or say where with --build DIR or JMP_BUILD")
    return path


def command(kind, build):
    return [agent_path(build), "run"] if kind == "native" else [BIN / "jmp", "run"]


def start_direct(kind, place, build, text, *, cert=None, key=None, passphrase=None, name=None, env=None):
    """Serves `text` on a port of 127.0.0.1; back when it listens."""
    path = place.file(f"exporter-{next(_numbers)}.yaml", text)
    argv = [*command(kind, build), "--exporter-config", path]
    argv += ["--tls-cert", cert, "--tls-key", key] if cert else ["--tls-grpc-insecure"]
    argv += ["--passphrase", passphrase] if passphrase is not None else []
    env = {**place.env, **(env or {})}
    if kind == "native":
        program = Program([*argv, "--tls-grpc-listener", "127.0.0.1:0"], env=env, name=name or "jmp-agent")
        found = program.wait_line(r"listening on (127\.0\.0\.1:[1-9]\d*)")
        return Exporter(kind, program, found[1], path)

    # The stock exporter refuses port 0 and may lose the race for the one we found.
    for attempt in range(3):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        program = Program([*argv, "--tls-grpc-listener", f"127.0.0.1:{port}"], env=env, name=name or "jmp run")
        try:
            program.wait_line(rf"(Session server started on 127\.0\.0\.1:{port})", timeout=40)
            return Exporter(kind, program, f"127.0.0.1:{port}", path)
        except ProgramError:
            program.stop()
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


def start_controlled(kind, place, build, path, *, name=None, env=None):
    """Serves a configuration that names a controller. Not waited for: the controller says when it is there."""
    program = Program([*command(kind, build), "--exporter-config", path], env={**place.env, **(env or {})},
                      name=name or ("jmp-agent" if kind == "native" else "jmp run"))
    return Exporter(kind, program, None, path)
