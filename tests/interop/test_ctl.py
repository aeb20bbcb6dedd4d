# SPDX-License-Identifier: Apache-2.0
"""jmpctl: against our exporter and, with --exporter=stock, against the stock one; directly and in a lease."""

import asyncio
import hashlib
import json
import re
import signal
import subprocess
import time

import pytest
from harness import exporter as exporters
from harness.background import Background
from harness.board import payload
from harness.lab import CtlLease
from harness.media import Web
from harness.program import Program, list_fds, run, wait_until
from harness.terminal import Terminal
from test_network import exchange
from test_storage import IMAGE, PACK

MIB10 = 10 << 20


@pytest.fixture(scope="session")
def jmpctl(build):
    path = build / "ctl" / "jmpctl"
    assert path.exists(), f"{path} is not there: build it, or say where with --build DIR or JMP_BUILD"
    return path


@pytest.fixture
def ctl(request, jmpctl, exporter, through):
    """The words that begin a command on the module's exporter; in a lease each command dials for itself."""
    if through == "direct":
        return [jmpctl, "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure"]
    lab = request.getfixturevalue("lab")
    return [jmpctl, "--client-config", lab.clients["alice"], "--lease", exporter.lease.name]


@pytest.fixture
def do(ctl, place):
    def command(*words, timeout=60, stdin=""):
        return run([*ctl, *words], env=place.env, timeout=timeout, stdin=stdin)
    return command


@pytest.fixture
def pty(board, exporter):
    if not exporter.native:     # it gives the port back some time after a client has gone, and until then shares it
        wait_until(lambda: board.pty.path not in list_fds(exporter.program.pid), 20, "an old stream has the port")
    board.pty.drain()
    return board.pty


class TestPower:
    @pytest.mark.parametrize("driver", ["power", "sync_power", "lab power", "relay"])
    def test_on_off_cycle(self, do, driver):
        words = driver.split()
        for verb in (["on"], ["off"], ["cycle", "--wait", "0"]):
            done = do(*words, *verb).ok()
            assert done.out == "", str(done)

    def test_read(self, do):
        assert len(do("power", "read").ok().out.splitlines()) >= 2
        assert do("power", "read").out == do("sync_power", "read").ok().out

    def test_drivers_are_listed(self, do):
        listed = json.loads(do("get", "drivers", "-o", "json").ok().out)
        assert {"power", "serial", "net", "storage"} <= {part for part in re.findall(r"[a-z_]+", json.dumps(listed))}

    @pytest.mark.parametrize("words, hint", [
        (("powr", "on"), "did you mean power?"), (("power", "onn"), 'did you mean "on"?'),
        (("lab", "powr", "on"), 'did you mean "power"?')])
    def test_what_is_not_there(self, do, words, hint):
        done = do(*words)
        assert done.status == 2 and hint in done.err and done.out == "", str(done)

    def test_methods_by_name(self, do):
        do("power", "call", "on").ok()
        readings = [json.loads(line) for line in do("power", "stream", "read").ok().out.splitlines() if line]
        assert readings and all({"voltage", "current"} <= set(reading) for reading in readings)


class TestSerial:
    def test_pipe_carries_ten_mebibytes_each_way(self, ctl, pty, place):
        to_board, from_board = payload(MIB10, "ctl to"), payload(MIB10, "ctl from")
        source, target = place.file("ctl-to-board", b"go\n" + to_board), place.root / "ctl-from-board"
        with open(source, "rb") as stdin:
            pipe = Program([*ctl, "serial", "pipe", "-o", target], env=place.env, stdin=stdin, name="jmpctl pipe")
        pty.expect(b"go\n")
        writing = Background(pty.write, from_board)
        assert hashlib.sha256(pty.read(MIB10)).digest() == hashlib.sha256(to_board).digest()
        writing.result()
        wait_until(lambda: target.stat().st_size >= MIB10, 60,
                   lambda: f"{target.stat().st_size} of {MIB10} bytes came from the board\n{pipe.tail()}")
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(from_board).digest()
        pipe.interrupt()
        pipe.wait()
        pipe.forget()

    def test_pipe_without_output_ends_when_its_input_has_arrived(self, do, pty, place):
        data = payload(200_000, "ctl fire and forget")
        reading = Background(pty.read, len(data))
        do("serial", "pipe", "--no-output", stdin=data).ok()
        assert hashlib.sha256(reading.result()).digest() == hashlib.sha256(data).digest()

    def test_console_is_a_raw_terminal(self, ctl, pty, place):
        with Terminal([*ctl, "serial", "console"], env=place.env) as console:
            console.expect("Ctrl-B three times")
            console.wait_raw()
            console.send("ls\r")
            pty.expect(b"ls\r")
            pty.write(b"file one\r\nfile two\r\n# ")
            console.expect_exact("file one\r\nfile two\r\n# ")
            console.send("\x03\x1a\x1c\x04\x7f\x00")
            pty.expect(b"\x03\x1a\x1c\x04\x7f\x00")
            console.send("\x02\x02x")
            pty.expect(b"\x02\x02x")
            console.send("\x02\x02\x02")
            assert console.wait() == 0

    def test_signal_puts_the_terminal_back(self, ctl, pty, place):
        with Terminal([*ctl, "serial", "console"], env=place.env) as console:
            console.expect("Ctrl-B three times")
            console.wait_raw()
            console.signal(signal.SIGINT)
            wait_until(lambda: console.cooked() or not console.alive(), 10, "the terminal stays raw")
            console.wait()

    @pytest.mark.native(reason="two consoles steal each other's bytes")
    def test_two_consoles_both_see_all(self, ctl, pty, place):
        data, targets = payload(1 << 20, "ctl both"), [place.root / "viewer-1", place.root / "viewer-2"]
        pipes = [Program([*ctl, "serial", "pipe", "-o", target], env=place.env, stdin=subprocess.PIPE,
                         name="jmpctl pipe") for target in targets]
        for number, pipe in enumerate(pipes):
            pipe.process.stdin.write(b"ready%d\n" % number)
            pipe.process.stdin.flush()
            pty.expect(b"ready%d\n" % number)
        pty.write(data, rate=4 << 20)
        for target, pipe in zip(targets, pipes):
            wait_until(lambda: target.stat().st_size >= len(data), 30, pipe.tail)
            assert target.read_bytes() == data
            pipe.interrupt()
            pipe.wait()
            pipe.forget()


class TestNetwork:
    def forward(self, ctl, place, driver="net"):
        program = Program([*ctl, driver, "forward-tcp", "--address", "127.0.0.1", "0"], env=place.env,
                          name="jmpctl forward-tcp")
        return program, ("127.0.0.1", int(program.wait_line(r"^127\.0\.0\.1:(\d+)$")[1]))

    def test_hundred_connections_through_one_forward(self, ctl, place, board):
        forward, address = self.forward(ctl, place)
        before = board.tcp.accepted

        async def everyone():
            return await asyncio.wait_for(asyncio.gather(*(
                exchange(address, payload(65536 + 17 * number, number)) for number in range(100))), 60)

        results = asyncio.run(everyone())
        assert [n for n, (same, _) in enumerate(results) if not same] == [], results
        assert board.tcp.accepted - before == 100
        wait_until(lambda: board.tcp.open == 0, 20, lambda: f"{board.tcp.open} connections to the board stay open")
        forward.interrupt()
        forward.wait(5)
        forward.forget()

    def test_ten_mebibytes_through_a_forward(self, ctl, place):
        forward, address = self.forward(ctl, place)
        same, size = asyncio.run(asyncio.wait_for(exchange(address, payload(MIB10, "ctl forward")), 60))
        assert same, f"{size} bytes came back"
        forward.interrupt()
        forward.wait(5)
        forward.forget()

    def test_address(self, do, board):
        assert f"127.0.0.1:{board.tcp.port}" in do("net", "address").ok().out

    def test_one_connection_on_standard_input_and_output(self, do):
        assert do("net", "connect", stdin=b"ping and pong").ok().out == "ping and pong"


class TestStorage:
    @pytest.mark.parametrize("encoding", PACK, ids=str)
    def test_image_goes_in_and_comes_out(self, do, place, encoding):
        source, target = place.file("ctl-image", PACK[encoding](IMAGE)), place.root / "ctl-dump"
        do("storage", "host").ok()
        do("storage", "write", *(["--compression", encoding] if encoding else []), source).ok()
        do("storage", "read", target).ok()
        do("storage", "dut").ok()
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(IMAGE).digest()

    @pytest.fixture
    def web(self):
        web = Web()
        yield web
        web.close()

    def test_exporter_fetches_an_image(self, do, place, web):
        web.files["/image"], target = IMAGE, place.root / "ctl-fetched"
        do("storage", "write", web.url("/image")).ok()
        do("storage", "read", target).ok()
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(IMAGE).digest()

    @pytest.mark.native(reason="a PUT waits for its answer before it sends anything")
    def test_exporter_leaves_an_image_behind_a_url(self, do, place, web):
        do("storage", "write", place.file("ctl-left", IMAGE)).ok()
        do("storage", "read", web.url("/left")).ok()
        assert web.left == {"/left": IMAGE}

    def test_image_through_pipes(self, do):
        text = "an image of words\n" * 50_000
        do("storage", "write", "-", stdin=text).ok()
        assert do("storage", "read", "-").ok().out == text

    def test_a_full_disk_is_what_is_said(self, do, place):
        do("storage", "write", place.file("ctl-full", IMAGE)).ok()
        done = do("storage", "read", "/dev/full")
        assert done.status != 0 and "No space left on device" in done.err, str(done)

    def test_a_url_is_not_packed(self, do, web):
        refused = do("storage", "read", "--compression", "xz", web.url("/packed"))
        assert refused.status == 2 and "not for URLs" in refused.err


@pytest.mark.direct(reason="there is nothing to dial")
class TestDirect:
    def test_environment_of_j(self, jmpctl, j):
        run([jmpctl, "power", "on"], env=j).ok()

    def test_shell(self, jmpctl, exporter, place):
        done = run([jmpctl, "shell", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure", "--", "sh", "-c",
                    f"{jmpctl} power on && j power off && exit 7"], env=place.env)
        assert done.status == 7, str(done)

    def test_drivers_win_over_abbreviations_of_commands(self, jmpctl, serve, place):
        exporter = serve({name: exporters.driver(exporters.POWER) for name in ("s", "get", "v")})
        done = run([jmpctl, "shell", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure", "--", "sh", "-ec",
                    '"$0" s on; "$0" v read; "$0" get drivers; "$0" driver get off; "$0" ver', jmpctl], env=place.env)
        assert done.status == 0 and "5.0" in done.out, str(done)

    def test_interrupted_shell_ends(self, jmpctl, exporter, place):
        shell = Program([jmpctl, "shell", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure", "--", "sh", "-c",
                         "echo in the shell; exec sleep 60"], env=place.env, name="jmpctl shell")
        shell.wait_line("^in the shell$")
        shell.interrupt()
        assert shell.wait(10) != 0
        shell.forget()

    @pytest.mark.parametrize("given, passes", [("open sesame", True), ("wrong", False), (None, False)])
    def test_passphrase(self, serve, jmpctl, place, given, passes):
        exporter = serve({"power": exporters.driver(exporters.POWER)}, passphrase="open sesame")
        words = ["--passphrase-file", place.file("passphrase", given + "\n")] if given else []
        done = run([jmpctl, "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure", *words, "power", "on"],
                   env=place.env, timeout=30)
        assert (done.status == 0) == passes, str(done)
        assert passes or "passphrase" in done.err.lower(), str(done)

    def test_nobody_listens(self, jmpctl, board, place):
        started = time.monotonic()
        done = run([jmpctl, "--tls-grpc", f"127.0.0.1:{board.refused}", "--tls-grpc-insecure", "power", "on"],
                   env=place.env, timeout=60)
        assert done.status == 1 and "refused" in done.err.lower(), str(done)
        assert time.monotonic() - started < 30


@pytest.fixture(scope="module")
def second(lab, kind):
    """A board that is free when a test begins."""
    return lab.add_exporter(kind, {"power": exporters.driver(exporters.POWER),
                                    "echo": exporters.driver(exporters.ECHO)}, name="second",
                            labels={"board": "second"})


@pytest.mark.lab(reason="nobody gives leases")
class TestLab:
    @pytest.fixture
    def say(self, lab, jmpctl, place):
        return lambda *words, **how: run([jmpctl, *words, "--client-config", lab.clients["alice"]], env=place.env,
                                         **how)

    def test_exporters(self, say, second):
        listed = json.loads(say("get", "exporters", "-l", "board=second", "-o", "json").ok().out)
        assert "second" in json.dumps(listed)
        assert re.search(r"second .*board=second", say("get", "exporters").ok().out)

    def test_lease_comes_and_goes(self, lab, say, second):
        name = say("create", "lease", "-l", "board=second", "--duration", "5m", "-o", "name").ok().out.strip()
        assert lab.leases()[name].exporter == "second"
        assert name in say("get", "leases", "-o", "name").ok().out.split()
        say("update", "lease", name, "--duration", "1h").ok()
        assert lab.leases()[name].duration.total_seconds() == 3600
        say("delete", "leases", name).ok()
        assert name not in lab.leases()
        lab.wait_status("second", "AVAILABLE")

    @pytest.mark.parametrize("where", [("-l", "board=second"), ("-n", "second")], ids=["selector", "name"])
    def test_shell(self, lab, jmpctl, second, where, place):
        done = run([jmpctl, "shell", "--client-config", lab.clients["alice"], *where, "--", "sh", "-c",
                    f"{jmpctl} power on && j power off && echo board $JMP_EXPORTER && exit 7"], env=place.env)
        assert done.status == 7 and "board second" in done.out.splitlines(), str(done)
        assert "second" not in {lease.exporter for lease in lab.leases().values()}
        lab.wait_status("second", "AVAILABLE")

    def test_interrupt_releases_the_lease(self, lab, jmpctl, second):
        with CtlLease(lab, jmpctl, "-l", "board=second") as lease:
            lease.program.interrupt()
            assert lease.program.wait(20) == 2, lease.program.tail()
        assert lease.name not in lab.leases()
        lab.wait_status("second", "AVAILABLE")

    def test_a_lease_that_ends_under_a_command_is_the_reason(self, lab, say, jmpctl, second, place):
        name = say("create", "lease", "-l", "board=second", "--duration", "5m", "-o", "name").ok().out.strip()
        talk = Program([jmpctl, "--client-config", lab.clients["alice"], "--lease", name, "echo", "connect"],
                       env=place.env, name="jmpctl echo connect", stdin=subprocess.PIPE)
        talk.process.stdin.write(b"are you there\n")
        talk.process.stdin.flush()
        talk.wait_line("are you there")
        say("delete", "leases", name).ok()
        assert talk.wait(30) == 1, talk.tail()
        assert f"jmpctl: lease {name} is over: it was released" in talk.output(), talk.tail()
        talk.forget()
        lab.wait_status("second", "AVAILABLE")

    def test_shell_waits_for_its_turn(self, lab, jmpctl, second):
        lab.add_client("carol")
        with CtlLease(lab, jmpctl, "-l", "board=second") as first:
            waiting = Program([jmpctl, "shell", "--client-config", lab.clients["carol"], "-l", "board=second", "--",
                               "sh", "-c", f"{jmpctl} power on && echo powered"], env=lab.place.env,
                              name="jmpctl shell of carol")
            waiting.wait_line("^jmpctl: waiting for a board: all matching exporters are leased")
            first.end()
        waiting.wait_line("^powered$", timeout=30)
        assert waiting.wait(20) == 0, waiting.tail()
        waiting.forget()
        lab.wait_status("second", "AVAILABLE")
