# SPDX-License-Identifier: Apache-2.0
"""A lab: a controller, ours or the reference, with clients, exporters and leases held by the stock client."""

import itertools
import os
import signal
from pathlib import Path

import yaml
from jumpstarter.config.client import ClientConfigV1Alpha1

from . import exporter as exporters
from . import stock
from .controller import ReferenceController
from .place import BIN
from .program import Program, ProgramError, descendants, run, wait_until

_numbers = itertools.count(1)


class Labd:
    """jmp-labd on a port of its own; restart() keeps the port, as a lab would."""

    def __init__(self, place, build):
        self.place = place
        self.path = Path(build) / "labd" / "jmp-labd"
        if not self.path.exists():
            raise ProgramError(f"{self.path} is not there: build it, or say where with --build DIR or JMP_BUILD")
        self.data = place.root / f"labd-{next(_numbers)}"
        self.program = self.endpoint = None
        self.start("127.0.0.1:0")

    def start(self, listen):
        self.program = Program([self.path, "serve", "--listen", listen, "--data-dir", self.data], env=self.place.env,
                               name="jmp-labd")
        self.endpoint = self.program.wait_line(r"listening on (127\.0\.0\.1:[1-9]\d*)")[1]

    def restart(self, kill=False):
        if kill:
            self.program.kill()
        else:
            self.program.stop()
        self.program.forget()
        self.start(self.endpoint)

    def stop(self):
        status = self.program.stop()
        self.program.forget()
        return status

    def admin(self, *arguments):
        return run([self.path, *arguments, "--data-dir", self.data], env=self.place.env, timeout=30)

    def create_client(self, name):
        path = self.place.root / f"client-{name}.yaml"
        self.admin("create", "client", name, "-o", path).ok()
        return path

    def create_exporter(self, name, labels):
        path = self.place.root / f"exporter-{name}.yaml"
        options = [part for k, v in labels.items() for part in ("--label", f"{k}={v}")]
        self.admin("create", "exporter", name, *options, "-o", path).ok()
        return path


class Lease:
    """A lease that `jmp shell` holds while a command of the test sits in it. `path` is the socket that the shell
    serves: whoever connects there is carried to the exporter through the router."""

    shell = [BIN / "jmp", "shell"]

    def __init__(self, lab, *options, client="alice", timeout=60, env=None):
        script = "echo shell $JMP_LEASE $JMP_EXPORTER $JUMPSTARTER_HOST; exec sleep 1000"
        self.program = Program([*self.shell, "--client-config", lab.clients[client], *options, "--", "sh", "-c",
                                script], env={**lab.place.env, **(env or {})}, name="jmp shell")
        found = self.program.wait_line(r"^shell (\S+) (\S+) (/\S+)$", timeout)
        self.name, self.exporter, self.path = found[1], found[2], found[3]

    def end(self, timeout=40):
        """The command ends, then the shell gives the lease back; returns the shell's exit status."""
        for pid in self.commands():
            os.kill(pid, signal.SIGTERM)
        return self.program.wait(timeout)

    def commands(self):
        return [pid for pid in descendants(self.program.pid) if pid != self.program.pid]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.program.alive():
            try:
                self.end()
            except AssertionError:
                self.program.kill()
        self.program.forget()


class CtlLease(Lease):
    """The same, held by `jmpctl shell`."""

    def __init__(self, lab, jmpctl, *options, **how):
        self.shell = [jmpctl, "shell"]
        super().__init__(lab, *options, **how)


class Lab:
    def __init__(self, place, build, reference=False):
        self.place, self.build = place, build
        self.controller = ReferenceController(place) if reference else Labd(place, build)
        self.clients, self.exporters = {}, {}
        self.add_client("alice")

    def add_client(self, name):
        self.clients[name] = self.controller.create_client(name)

    def config(self, client="alice"):
        """The stock client's own view: list_exporters(), create_lease() and so on."""
        return ClientConfigV1Alpha1.from_file(self.clients[client])

    def add_exporter(self, kind, export, name=None, labels=None, wait=True, env=None, **top):
        name = name or f"board-{next(_numbers)}"
        path = self.controller.create_exporter(name, labels or {})
        settings = yaml.safe_load(path.read_text())
        settings.update(top, export=export)
        full = self.place.file(f"run-{name}.yaml", yaml.safe_dump(settings, sort_keys=False))
        full.chmod(0o600)
        exporter = exporters.start_controlled(kind, self.place, self.build, full, env=env)
        exporter.name = name
        self.exporters[name] = exporter
        if wait:
            self.wait_status(name, "AVAILABLE")
        return exporter

    def restart_exporter(self, name, kill=False):
        old = self.exporters[name]
        if kill:
            old.program.kill()
        else:
            old.stop()
        old.program.forget()
        new = exporters.start_controlled(old.kind, self.place, self.build, old.path)
        new.name = name
        self.exporters[name] = new
        return new

    def exporter(self, name):
        """As `jmp get exporters` sees it, None if it does not."""
        listed = self.config().list_exporters(include_online=True, include_status=True)
        return next((e for e in listed.exporters if e.name == name), None)

    def wait_status(self, name, status, timeout=40):
        def there():
            found = self.exporter(name)
            return found is not None and found.online and found.status is not None and found.status.name == status

        program = self.exporters[name].program
        wait_until(there, timeout, lambda: f"{name} is {self.exporter(name)!r}, not {status}\n{program.tail()}")

    def leases(self, client="alice", active=True):
        return {lease.name: lease for lease in self.config(client).list_leases(only_active=active).leases}

    def jmp(self, *arguments, client="alice", stdin=""):
        """`jmp VERB OBJECT ...` as that client."""
        return stock.jmp(*arguments, "--client-config", self.clients[client], env=self.place.env, stdin=stdin)

    def shell(self, script, *options, client="alice", timeout=90, env=None):
        return run([BIN / "jmp", "shell", "--client-config", self.clients[client], *options, "--", "sh", "-c", script],
                   env={**self.place.env, **(env or {})}, timeout=timeout)

    def close(self):
        for exporter in self.exporters.values():
            exporter.stop()
            exporter.program.forget()
        self.controller.stop()
