# SPDX-License-Identifier: Apache-2.0
"""Clients of earlier releases in a lease of the lab, and directly: 0.7 knows neither GetStatus nor EndSession, 0.8 knows no
release of a lease by its exporter. Each has an environment of its own, which is made when it is first needed."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import stopping
from harness import exporter as exporters
from harness.board import PtyBoard
from harness.program import Program, run, wait_until

pytestmark = [pytest.mark.native(reason="what the stock exporter does with old clients is not ours to prove"),
              pytest.mark.timeout(1000)]     # the first makes the environment

HERE = Path(__file__).resolve().parent
RELEASES = sorted(path.stem for path in (HERE / "old").glob("*.txt"))


@pytest.fixture(scope="module", params=RELEASES)
def old(request):
    """The directory of that release's programs."""
    made = subprocess.run([HERE / "venv.sh", HERE / "old" / f"{request.param}.txt"], check=True, stdout=subprocess.PIPE,
                          text=True, timeout=900)
    programs = Path(made.stdout.strip()).parent
    said = subprocess.run([programs / "jmp", "version"], check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    assert request.param in said.stdout
    return programs


@pytest.fixture(scope="module")
def board(lab, kind, old, place):
    """An exporter with a console; `j` in its hook is the old one, too."""
    pty = PtyBoard()
    exporter = lab.add_exporter(
        kind, {"power": exporters.driver(exporters.POWER), "serial": exporters.driver(exporters.SERIAL, url=pty.path)},
        labels={"board": old.parent.name}, env={"PATH": f"{old}{os.pathsep}{place.env['PATH']}"},
        hooks={"beforeLease": {"script": "j power on && echo j is $(command -v j)"},
               "afterLease": {"script": "j power off"}})
    exporter.pty, exporter.selector = pty, f"board={old.parent.name}"
    yield exporter
    pty.close()


@pytest.fixture
def start(lab, old, board, place):
    """start(script): that in the release's own shell, which takes a lease; a Program."""
    env = {**place.env, "PATH": f"{old}{os.pathsep}{place.env['PATH']}"}
    yield lambda script: Program([old / "jmp", "shell", "--client-config", lab.clients["alice"], "-l", board.selector,
                                  "--", "sh", "-c", script], env=env, name="jmp shell")
    wait_until(lambda: not lab.leases(), 30, lambda: f"leases are left: {lab.leases()}")
    lab.wait_status(board.name, "AVAILABLE")


def test_get_exporters(lab, old, board, place):
    listed = run([old / "jmp", "get", "exporters", "--client-config", lab.clients["alice"]], env=place.env, timeout=60).ok()
    assert board.name in listed.out


def test_shell(old, board, start):
    shell = start("command -v j; j power on && echo powered")
    assert shell.wait(120) == 0, shell.tail()
    said = shell.output().splitlines()
    assert "powered" in said and str(old / "j") in said, shell.tail()
    log = board.program.output()
    assert f"j is {old / 'j'}" in log       # and it has found the hook's own door
    board.program.wait_line('"power off"', 30)


def test_serial_pipe(board, start, place):
    heard = place.root / "heard"
    heard.unlink(missing_ok=True)
    board.pty.drain()
    shell = start(f"echo hello | j serial pipe -o {heard} & "
                  f"until grep -q 'good day' {heard} 2>/dev/null; do sleep 0.1; done; kill -INT $!; echo piped")
    board.pty.expect(b"hello", 60)
    board.pty.write(b"good day\r\n")
    assert shell.wait(120) == 0, shell.tail()
    assert "piped" in shell.output().splitlines(), shell.tail()


def test_direct(old, kind, place, build):
    """0.7 cannot connect without a controller."""
    if "0.7" in run([old / "jmp", "version"], env=place.env, timeout=60).ok().out:
        pytest.skip("0.7 has no direct connections")
    text = exporters.config({"power": exporters.driver(exporters.POWER)})
    with stopping(exporters.start_direct(kind, place, build, text)) as direct:
        done = run([old / "jmp", "shell", "--tls-grpc", direct.endpoint, "--tls-grpc-insecure", "--", "sh", "-c",
                    "j power on && echo powered"],
                   env={**place.env, "PATH": f"{old}{os.pathsep}{place.env['PATH']}"}, timeout=90)
    assert done.status == 0 and "powered" in done.out.splitlines(), str(done)
