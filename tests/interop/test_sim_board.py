# SPDX-License-Identifier: Apache-2.0
"""The simulated board, as somebody without any hardware meets it: through the stock client."""

import hashlib
import re

import pytest
from harness import exporter as exporters
from harness.stock import client

PROMPT = "root@bench:~# "

pytestmark = pytest.mark.native(reason="it has no simulated board")


@pytest.fixture
def simulated(serve):
    return serve({"board": exporters.driver("sim-board", hostname="bench", boot_seconds=0.3),
                  "power": {"ref": "board.power"}, "console": {"ref": "board.serial"}})


def read_until(stream, text, limit=1 << 20):
    got = b""
    while text.encode() not in got:
        assert len(got) < limit, got[-1000:]
        got += stream.receive()
    return got.decode()


def test_a_session(simulated):
    with client(simulated.endpoint) as root:
        power, serial = root.children["power"], root.children["console"]
        off = list(power.read())
        assert [(r.voltage, r.current) for r in off] == [(0, 0)]
        with serial.pexpect() as console:
            power.on()
            console.expect(r"Linux version \S+", timeout=10)
            console.expect("bench login: ", timeout=10)
            console.sendline("root")
            console.expect_exact(PROMPT, timeout=10)
            console.sendline("cat /etc/os-release")
            console.expect("ID=simlinux", timeout=10)
            console.expect_exact(PROMPT, timeout=10)
            assert 4.5 < list(power.read())[0].voltage < 5.5
            console.sendline("reboot")
            console.expect("SimLoader", timeout=10)
            console.expect("bench login: ", timeout=10)
            power.off()
            assert [(r.voltage, r.current) for r in power.read()] == [(0, 0)]


def test_commands_of_the_shell(shell, simulated):
    done = shell("set -e; j board power on; j power read; j board power cycle -w 0; j board power off; j board --help",
                 endpoint=simulated.endpoint).ok()
    assert re.search(r"\b5(\.0\d*)?\b|\b5\.\d+", done.out), str(done)
    assert "serial" in done.out and "power" in done.out, str(done)


def test_ten_megabytes_from_the_board_are_whole(simulated):
    last = 1_300_000
    expected = hashlib.sha256("".join(f"{n}\r\n" for n in range(1, last + 1)).encode()).hexdigest()
    size = sum(len(str(n)) + 2 for n in range(1, last + 1))
    assert size > 10 << 20
    with client(simulated.endpoint) as root, root.children["console"].stream() as stream:
        stream.send(b"\n")
        root.children["power"].on()
        read_until(stream, "login: ")
        stream.send(b"root\n")
        read_until(stream, PROMPT)
        command = f"seq {last}"
        stream.send(command.encode() + b"\n")
        got = bytearray()
        while len(got) < len(command) + 2 + size:
            got += stream.receive()
        assert hashlib.sha256(got[len(command) + 2:][:size]).hexdigest() == expected


def test_two_see_the_same_boot(simulated):
    with client(simulated.endpoint) as one, client(simulated.endpoint) as two:
        with one.children["console"].stream() as first, two.children["console"].stream() as second:
            one.children["power"].on()
            assert read_until(first, "login: ") == read_until(second, "login: ")
