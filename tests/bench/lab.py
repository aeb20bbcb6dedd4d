# SPDX-License-Identifier: Apache-2.0
"""A lab for the benchmark and the soak test: jmp-labd, and whoever belongs to it. The standard library is enough."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.program import Program, ProgramError  # noqa: E402

_DROPPED = ("JMP_", "JUMPSTARTER_", "XDG_", "GRPC_", "SSL_CERT", "PYTHON")

AVAILABLE = 2       # EXPORTER_STATUS_AVAILABLE, as a number in JSON, as from the stock command


class Directory:
    """A home of its own, removed when the stack unwinds."""

    def __init__(self, stack):
        self.root = Path(tempfile.mkdtemp(prefix="jmp-", dir="/tmp"))
        stack.callback(shutil.rmtree, self.root, ignore_errors=True)
        for name in ("home", "run", "config"):
            (self.root / name).mkdir(mode=0o700)

    def file(self, name, text):
        path = self.root / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def env(self, build):
        env = {k: v for k, v in os.environ.items() if not k.startswith(_DROPPED)}
        env.update(HOME=str(self.root / "home"), XDG_RUNTIME_DIR=str(self.root / "run"),
                   JMP_CLIENT_CONFIG_HOME=str(self.root / "config"), TMPDIR=str(self.root), NO_COLOR="1",
                   LC_ALL="C.UTF-8", PATH=os.pathsep.join(
                       [str(build / part) for part in ("agent", "labd", "ctl")] + [env.get("PATH", "/usr/bin:/bin")]))
        return env


class Quiet(Program):
    """A program whose output goes to a file: reading it as it comes would be measured, too."""

    def __init__(self, argv, *, env, place):
        self.log = place.root / f"{Path(argv[0]).name}-{len(Program.running)}-{time.monotonic_ns()}.log"
        super().__init__(["/bin/sh", "-c", 'exec "$@" >"$0" 2>&1', self.log, *argv], env=env, name=Path(argv[0]).name)

    def wait_line(self, pattern, timeout=20, since=0):
        deadline = time.monotonic() + timeout
        while True:
            text = self.log.read_text(errors="replace") if self.log.exists() else ""
            found = re.search(pattern, text)
            if found:
                return found
            if not self.alive() or time.monotonic() > deadline:
                raise ProgramError(f"{self.name} did not say /{pattern}/\n" + text[-4000:])
            time.sleep(0.0005)

    def tail(self, lines=60):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def scalar(text, key):
    """A top-level or nested plain scalar of one of our own configuration files."""
    found = re.search(rf'^\s*{key}:\s*"?([^"\s]+)"?\s*$', text, re.M)
    if not found:
        raise AssertionError(f"no {key} in a configuration that jmp-labd wrote")
    return found[1]


class Lab:
    """A running jmp-labd with one client, "tester"."""

    def __init__(self, place, build, env, listen="127.0.0.1:0"):
        self.place, self.build, self.env = place, build, env
        self.data = place.root / "labd"
        self.program = Program([build / "labd/jmp-labd", "serve", "--listen", listen, "--data-dir", self.data],
                               env=env)
        self.endpoint = self.program.wait_line(r"listening on (\d+\.\d+\.\d+\.\d+:\d+)")[1]
        self.client = place.root / "client.yaml"
        self._create("client", "tester", self.client)
        text = self.client.read_text()
        self.ca = place.root / "ca.pem"
        self.ca.write_bytes(base64.b64decode(scalar(text, "ca")))
        self.bearer = place.file("bearer", scalar(text, "token"))

    def _create(self, kind, name, path):
        subprocess.run([self.build / "labd/jmp-labd", "create", kind, name, "--data-dir", self.data, "-o", path,
                        "--endpoint", self.endpoint], env=self.env, check=True, timeout=20)

    def create_exporter(self, name, export):
        """Its configuration, with these drivers."""
        path = self.place.root / f"{name}-exporter.yaml"
        self._create("exporter", name, path)
        text = path.read_text()
        if "\nexport: {}\n" not in text:
            raise AssertionError(f"{path} has no empty export to fill in")
        path.write_text(text.replace("\nexport: {}\n", f"\nexport: {json.dumps(export)}\n"))
        return path

    def jmpctl(self, *words, timeout=30, check=True):
        done = subprocess.run([self.build / "ctl/jmpctl", "--client-config", self.client, *words], env=self.env,
                              capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"jmpctl {' '.join(map(str, words))}: exit status {done.returncode}\n{done.stderr}")
        return done.stdout

    def exporters(self):
        """Name to what jmpctl says of it."""
        answer = json.loads(self.jmpctl("get", "exporters", "--with", "status", "-o", "json"))
        items = answer if isinstance(answer, list) else answer.get("exporters", answer.get("items", []))
        return {item.get("name") or item["metadata"]["name"]: item for item in items}

    def wait_available(self, name, timeout=20):
        """Asks without a pause: what is waited for is measured."""
        deadline = time.monotonic() + timeout
        while self.exporters().get(name, {}).get("status") != AVAILABLE:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is not available after {timeout} s\n" + self.program.tail(20))

    def lease(self, exporter, duration="1h"):
        """Takes a lease on that exporter; its name."""
        answer = json.loads(self.jmpctl("create", "lease", "-n", exporter, "--duration", duration, "-o", "json"))
        return answer.get("name") or answer["metadata"]["name"]

    def where(self, lease):
        """Options of bench-client for a tunnel to the exporter of that lease."""
        return ("--controller", self.endpoint, "--lease", lease, "--ca", str(self.ca), "--bearer-file",
                str(self.bearer), "--header", "jumpstarter-kind=Client", "--header", "jumpstarter-namespace=default",
                "--header", "jumpstarter-name=tester")
