# SPDX-License-Identifier: Apache-2.0
"""The stock client against an exporter: ours by default, the stock one with --exporter=stock."""

import contextlib
import os
from pathlib import Path

import pytest
import yaml
from harness import exporter as exporters
from harness import stock
from harness.board import PtyBoard, TcpEcho, UdpEcho, UnixEcho, closed_port
from harness.lab import Lab, Lease
from harness.place import BIN, Place
from harness.program import Program, run, sweep

_default_build = Path(__file__).resolve().parents[2] / "build" / "dev"


def pytest_addoption(parser):
    group = parser.getgroup("jumpstarter")
    group.addoption("--exporter", choices=("native", "stock"), default=os.environ.get("JMP_EXPORTER_KIND", "native"),
                    help="whose exporter is judged; the stock one is the reference (default: native)")
    group.addoption("--through", choices=("direct", "lab"), default="direct",
                    help="how the client reaches the exporter: directly, or in a lease of a controller through its "
                         "router (default: direct)")
    group.addoption("--controller", choices=("labd", "reference"), default="labd",
                    help="whose controller: jmp-labd, or a small one in Python that the tests are judged by")
    group.addoption("--build", default=os.environ.get("JMP_BUILD", str(_default_build)),
                    help="the build tree with agent/jmp-agent, labd/jmp-labd, ctl/jmpctl (default: JMP_BUILD, "
                         "else build/dev)")


def pytest_collection_modifyitems(config, items):
    left_out = {"direct": "in a lease"} if config.getoption("--through") == "lab" else {"lab": "direct"}
    if config.getoption("--exporter") == "stock":
        left_out["native"] = "stock exporter"
    for item in items:
        for name, why in left_out.items():
            for mark in item.iter_markers(name):
                item.add_marker(pytest.mark.skip(reason=f"{why}: {mark.kwargs['reason']}"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for program in Program.running:
            text = program.unshown()
            if text:
                state = "running" if program.alive() else f"ended with {program.process.returncode}"
                report.sections.append((f"output of {program.name} ({program.pid}, {state})", text[-16000:]))


def pytest_runtest_setup(item):
    for program in Program.running:     # what was said before is not about this test
        program.shown = program.mark()


def pytest_sessionfinish(session):
    left = sweep()
    if left:
        print(f"\n{left} processes had to be killed at the end")


@pytest.fixture(scope="session")
def kind(request):
    return request.config.getoption("--exporter")


@pytest.fixture(scope="session")
def build(request):
    return Path(request.config.getoption("--build")).resolve()


@pytest.fixture(scope="module")
def place(build):
    place = Place(build)
    yield place
    place.close()


@contextlib.contextmanager
def stopping(exporter):
    try:
        yield exporter
    finally:
        status = exporter.stop()
        exporter.program.forget()
    # what a sanitizer found at the end shows nowhere else
    assert status == 0 or not exporter.native, f"exit status {status}\n{exporter.program.tail()}"


@pytest.fixture(scope="session")
def through(request):
    return request.config.getoption("--through")


@pytest.fixture(scope="module")
def lab(request, place, build):
    """A controller with the client alice and no exporter yet."""
    lab = Lab(place, build, reference=request.config.getoption("--controller") == "reference")
    yield lab
    lab.close()


def start(request, export, *, top=None, **how):
    """An exporter that serves a client now: directly, or in a lease. A context."""
    kind, place, build = map(request.getfixturevalue, ("kind", "place", "build"))
    if request.getfixturevalue("through") == "direct":
        text = export if isinstance(export, str) else exporters.config(export, **(top or {}))
        return stopping(exporters.start_direct(kind, place, build, text, **how))
    assert not how, f"{how} is for direct connections"
    if isinstance(export, str):
        top = yaml.safe_load(export)
        export = top.pop("export")
        top.pop("metadata", None)
    return leased(request.getfixturevalue("lab"), kind, export, top or {})


@contextlib.contextmanager
def leased(lab, kind, export, top):
    exporter = lab.add_exporter(kind, export, **top)
    with Lease(lab, "-n", exporter.name) as lease:
        exporter.endpoint, exporter.lease = lease.path, lease
        yield exporter
    lab.exporters.pop(exporter.name)
    exporter.stop()
    exporter.program.forget()


@pytest.fixture
def serve(request):
    """Starts an exporter of its own for one test: serve(export, ...)."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **named: stack.enter_context(start(request, *args, **named))


class Board:
    """The hardware of the module's exporter."""

    def __init__(self, place):
        self.pty = PtyBoard()
        self.tcp, self.udp, self.unix = TcpEcho(), UdpEcho(), UnixEcho(place.run / "dut.sock")
        self.reserved, self.refused = closed_port()

    def export(self):
        e = exporters
        return {
            "power": e.driver(e.POWER),
            "sync_power": e.driver(e.SYNC_POWER),
            "serial": e.driver(e.SERIAL, url=self.pty.path, baudrate=115200),
            "loop": e.driver(e.SERIAL, url="loop://"),
            "net": e.driver(e.TCP, host="127.0.0.1", port=self.tcp.port),
            "hidden": e.driver(e.TCP, host="127.0.0.1", port=self.tcp.port, enable_address=False),
            "refused": e.driver(e.TCP, host="127.0.0.1", port=self.refused),
            "udp": e.driver(e.UDP, host="127.0.0.1", port=self.udp.port),
            "unix": e.driver(e.UNIX, path=self.unix.path),
            "echo": e.driver(e.ECHO),
            "storage": e.driver(e.STORAGE),
            "lab": {"children": {"power": e.driver(e.POWER), "storage": e.driver(e.STORAGE)}},
            "relay": {"ref": "lab.power"},
        }

    def close(self):
        for part in (self.pty, self.tcp, self.udp, self.unix, self.reserved):
            part.close()


@pytest.fixture(scope="module")
def board(place):
    board = Board(place)
    yield board
    board.close()


@pytest.fixture(scope="module")
def exporter(request, board):
    """One exporter with every driver of the board, for all tests of a module."""
    with start(request, board.export(), top={"description": "a board for tests"}) as exporter:
        yield exporter


@pytest.fixture
def raw(exporter):
    with stock.Raw(exporter.endpoint) as raw:
        yield raw


@pytest.fixture(scope="module")
def root(exporter):
    """The stock client's driver tree on the module's exporter."""
    with stock.client(exporter.endpoint) as root:
        yield root


@pytest.fixture
def shell(exporter, place, through, request):
    """Runs a script in `jmp shell`, directly connected or in the lease: shell("j power on; j power off")."""
    def run_shell(script, *options, endpoint=None, timeout=60, stdin="", env=None):
        if through == "direct":
            where = ["--tls-grpc", endpoint or exporter.endpoint, "--tls-grpc-insecure"]
        else:
            lab = request.getfixturevalue("lab")
            name = next(e.lease.name for e in lab.exporters.values() if e.endpoint == (endpoint or exporter.endpoint))
            where = ["--client-config", lab.clients["alice"], "--lease", name]
        return run([BIN / "jmp", "shell", *where, *options, "--", "sh", "-c", script],
                   env={**place.env, **(env or {})}, timeout=timeout, stdin=stdin)
    return run_shell


@pytest.fixture
def j(exporter, place):
    """The environment in which `j` finds the module's exporter, as the shell would set it."""
    return {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE",
            "JMP_GRPC_INSECURE": "1", "_JMP_SUPPRESS_DRIVER_WARNINGS": "1"}
