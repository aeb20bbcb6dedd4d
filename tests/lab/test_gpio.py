# SPDX-License-Identifier: Apache-2.0
"""Power switches and GPIO lines: the agent on one side of a simulated chip, the level on the other.

The whole file runs twice, with either generation of libgpiod."""

import contextlib
import os
import threading
import time

import gpiod
import grpc
import pytest
from gpiod.line import Bias, Direction, Drive
from harness import exporter as exporters
from harness import stock
from harness.background import Background
from harness.exporter import INPUT, OUTPUT, SWITCH, driver
from harness.lab import CtlLease, Lease
from harness.manager import Manager
from harness.program import Program, run, wait_until
from harness.stock import Raw, failure
from jumpstarter.client.core import DriverInvalidArgument, DriverMethodNotImplemented

Code = grpc.StatusCode
SOON = 60       # a deadline, for a guest on a busy machine


def reaches(chip, line, level, timeout=SOON):
    wait_until(lambda: chip.value(line) == level, timeout, lambda: f"line {line} is {chip.value(line)}, not {level}")


@pytest.fixture
def j(place):
    """Runs a stock `j` command on an exporter: j(exporter, "power on")."""
    return lambda exporter, words: stock.j(exporter.endpoint, *words.split(), env=place.env)


@pytest.fixture
def jmpctl(build, place):
    """The words that begin a jmpctl command on an exporter, and its environment."""
    def words(exporter):
        return [build / "ctl/jmpctl", "--tls-grpc", exporter.endpoint, "--tls-grpc-insecure"]
    return words


class Pending:
    """A call on its way, by bare gRPC: it can be waited for, and left."""

    def __init__(self, raw, name, method, *args):
        request = stock.pb.DriverCallRequest(uuid=raw.uuid(name), method=method, args=[stock.value(a) for a in args])
        self.future = raw.exporter.DriverCall.future(request, timeout=600)

    def result(self, timeout=SOON):
        return self.future.result(timeout)

    def code(self, timeout=SOON):
        error = self.future.exception(timeout)
        return (error.code(), error.details()) if error else (Code.OK, "")

    def done(self):
        return self.future.done()

    def leave(self):
        self.future.cancel()


class Begun:
    """Counts the calls that an exporter says it has begun, in its log stream; for one wait()."""

    def __init__(self, raw):
        self.raw, self.count = raw, 0
        self.stream = raw.exporter.LogStream(stock.EMPTY)
        self.stream.initial_metadata()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(grpc.RpcError):     # it ends with the channel
            for record in self.stream:
                self.count += record.message == "Operation started"

    def wait(self, count, name):
        """Until so many have begun, and wait by now: the device has served one more call after them."""
        wait_until(lambda: self.count >= count, SOON, lambda: f"{self.count} calls have begun, not {count}")
        call(self.raw, name, "read_pin")


def call(raw, name, method, *args):
    """The result of a call as a number, or None."""
    answer = raw.call(raw.uuid(name), method, *args, timeout=SOON).result
    return answer.number_value if answer.WhichOneof("kind") == "number_value" else None


def refused(raw, name, method, *args):
    error = failure(lambda: raw.call(raw.uuid(name), method, *args, timeout=SOON))
    return error.code(), error.details()


# What the drivers are configured with and called, row for row, by the stock command


@pytest.mark.timeout(600)
def test_every_command_of_a_switch(hardware, serve, j):
    chip = hardware.gpio(lines=8)
    exporter = serve({"power": driver(SWITCH, device=str(chip.path), line=1)})
    assert chip.value(1) == 0
    j(exporter, "power on").ok()
    assert chip.value(1) == 1
    j(exporter, "power off").ok()
    assert chip.value(1) == 0
    j(exporter, "power cycle -w 0").ok()
    assert chip.value(1) == 1
    answer = j(exporter, "power read")
    assert answer.status == 1 and "neither voltage nor current" in answer.err


@pytest.mark.timeout(600)
def test_every_command_of_an_output(hardware, serve, j):
    chip = hardware.gpio(lines=8)
    exporter = serve({"reset": driver(OUTPUT, device=str(chip.path), line=2, active_low=True)})
    assert chip.value(2) == 1       # inactive is high with active_low
    j(exporter, "reset on").ok()
    assert chip.value(2) == 0
    assert j(exporter, "reset read").ok().out.strip() == "active"
    j(exporter, "reset off").ok()
    assert chip.value(2) == 1
    assert j(exporter, "reset read").ok().out.strip() == "inactive"
    j(exporter, "reset cycle").ok()
    assert chip.value(2) == 0


@pytest.mark.timeout(600)
def test_every_command_of_an_input(hardware, serve, j):
    chip = hardware.gpio(lines=8)
    exporter = serve({"ready": driver(INPUT, device=str(chip.path), line=3)})
    assert j(exporter, "ready read").ok().out.strip() == "inactive"
    j(exporter, "ready wait-for-inactive").ok()
    answer = j(exporter, "ready wait-for-edge rising --timeout 0.2")
    assert answer.status == 1 and "DEADLINE_EXCEEDED" in answer.err and "line 3" in answer.err
    answer = j(exporter, "ready wait-for-active -t 0.2")
    assert answer.status == 1 and "DEADLINE_EXCEEDED" in answer.err
    chip.pull(3, 1)
    assert j(exporter, "ready read").ok().out.strip() == "active"
    j(exporter, "ready wait-for-active").ok()


@pytest.mark.parametrize("words,press", [
    ("ready wait-for-active", 1), ("ready wait-for-inactive", 0), ("ready wait-for-edge rising", 1),
    ("ready wait-for-edge falling", 0)])
def test_a_waiting_command_ends_when_the_button_is_pressed(hardware, serve, j, words, press):
    chip = hardware.gpio(lines=4)
    chip.pull(3, 1 - press)
    exporter = serve({"ready": driver(INPUT, device=str(chip.path), line=3)})
    pressed = threading.Event()
    with Raw(exporter.endpoint) as raw:
        begun = Begun(raw)

        def press_it():
            begun.wait(1, "ready")
            assert call(raw, "ready", "read_pin") == 1 - press      # others go on meanwhile
            pressed.set()
            chip.pull(3, press)

        pressing = Background(press_it)
        j(exporter, words).ok()
        assert pressed.is_set(), "it has not waited"
        pressing.result()


# keys of `config`, the level after the start, the level after on, read_pin then, the level after off, read_pin then
VALUES = [
    ({}, 0, 1, 1, 0, 0),
    ({"initial_value": "active"}, 1, 1, 1, 0, 0),
    ({"initial_value": "on"}, 1, 1, 1, 0, 0),
    ({"initial_value": True}, 1, 1, 1, 0, 0),
    ({"initial_value": "inactive"}, 0, 1, 1, 0, 0),
    ({"initial_value": "off"}, 0, 1, 1, 0, 0),
    ({"initial_value": False}, 0, 1, 1, 0, 0),
    ({"initial_value": None}, 0, 1, 1, 0, 0),
    ({"active_low": True}, 1, 0, 1, 1, 0),
    ({"active_low": True, "initial_value": "active"}, 0, 0, 1, 1, 0),
    ({"drive": None, "bias": None}, 0, 1, 1, 0, 0),
    ({"drive": "push_pull", "bias": "as_is"}, 0, 1, 1, 0, 0),
    ({"drive": "push_pull", "bias": "pull_up"}, 0, 1, 1, 0, 0),
    ({"drive": "push_pull", "bias": "pull_down"}, 0, 1, 1, 0, 0),
    ({"drive": "push_pull", "bias": "disabled"}, 0, 1, 1, 0, 0),
]


@pytest.mark.parametrize("path", [SWITCH, OUTPUT])
def test_every_value_of_an_output(hardware, serve, path):
    chip = hardware.gpio(lines=len(VALUES))
    extra = {"mode": "push_pull"} if path == SWITCH else {}
    exporter = serve({f"out{i}": driver(path, device=str(chip.path), line=i, **row[0], **extra)
                      for i, row in enumerate(VALUES)})
    with stock.client(exporter.endpoint) as client, Raw(exporter.endpoint) as raw:
        for i, (config, start, on, on_pin, off, off_pin) in enumerate(VALUES):
            output = client.children[f"out{i}"]
            seen = [chip.value(i)]
            output.on()
            seen += [chip.value(i), call(raw, f"out{i}", "read_pin")]
            output.off()
            seen += [chip.value(i), call(raw, f"out{i}", "read_pin")]
            assert seen == [start, on, on_pin, off, off_pin], config


def test_the_kernel_is_told_drive_and_bias(hardware, serve):
    """The simulated chip shows no difference between a level that is not driven and one that is: the kernel knows."""
    chip = hardware.gpio(lines=8)
    drives = {"push_pull": Drive.PUSH_PULL, "open_drain": Drive.OPEN_DRAIN, "open_source": Drive.OPEN_SOURCE}
    biases = {"as_is": Bias.UNKNOWN, "pull_up": Bias.PULL_UP, "pull_down": Bias.PULL_DOWN, "disabled": Bias.DISABLED}
    rows = [*((drive, "as_is") for drive in drives), *(("push_pull", bias) for bias in biases)]
    exporter = serve({f"out{i}": driver(OUTPUT, device=str(chip.path), line=i, drive=drive, bias=bias, active_low=i == 1)
                      for i, (drive, bias) in enumerate(rows)})
    with Raw(exporter.endpoint) as raw, gpiod.Chip(str(chip.path)) as seen:
        for i, (drive, bias) in enumerate(rows):
            info = seen.get_line_info(i)
            assert (info.direction, info.drive, info.bias, info.active_low) == \
                (Direction.OUTPUT, drives[drive], biases[bias], i == 1), (drive, bias)
            assert info.consumer == "jumpstarter-gpiod"
        # the level that is driven
        call(raw, "out1", "on")      # open drain, active low
        assert chip.value(1) == 0
        call(raw, "out2", "on")      # open source
        assert chip.value(2) == 1


def test_every_value_of_an_input(hardware, serve):
    chip = hardware.gpio(lines=6)
    rows = [({}, 0), ({"bias": "pull_up"}, 1), ({"bias": "pull_down"}, 0), ({"bias": "pull_up", "active_low": True}, 0),
            ({"active_low": True}, 1), ({"drive": "open_drain", "bias": None}, 0)]
    exporter = serve({f"in{i}": driver(INPUT, device=str(chip.path), line=i, **config)
                      for i, (config, _) in enumerate(rows)})
    with Raw(exporter.endpoint) as raw:
        assert [call(raw, f"in{i}", "read_pin") for i in range(len(rows))] == [value for _, value in rows]
        chip.pull(4, 1)
        assert call(raw, "in4", "read_pin") == 0


def test_wrong_calls_and_what_they_are_answered(hardware, serve):
    chip = hardware.gpio(lines=4)
    exporter = serve({"power": driver(SWITCH, device=str(chip.path), line=0),
                      "in": driver(INPUT, device=str(chip.path), line=1)})
    with Raw(exporter.endpoint) as raw, stock.client(exporter.endpoint) as client:
        with pytest.raises(DriverMethodNotImplemented):
            list(client.power.read())
        with pytest.raises(DriverMethodNotImplemented):
            client.power.rescue()
        for kind in ("both", "none", ""):
            code, text = refused(raw, "in", "wait_for_edge", kind, 1)
            assert code == Code.INVALID_ARGUMENT and "rising or falling" in text
        with pytest.raises(DriverInvalidArgument):
            client.children["in"].call("wait_for_edge", "sideways", 1)
        assert refused(raw, "in", "wait_for_active", -1)[0] == Code.INVALID_ARGUMENT
        code, text = refused(raw, "in", "wait_for_active", 0.05)
        assert code == Code.DEADLINE_EXCEEDED and "line 1" in text and "rising" in text
        code, text = refused(raw, "in", "wait_for_edge", "falling", 0.05)
        assert code == Code.DEADLINE_EXCEEDED and "falling" in text
        assert refused(raw, "in", "on")[0] == Code.NOT_FOUND
        assert refused(raw, "power", "cycle", 61)[0] == Code.INVALID_ARGUMENT
        call(raw, "in", "wait_for_inactive")          # the time-out may be left out
        call(raw, "in", "wait_for_inactive", None)


# Waiting


def test_edges_from_before_the_call_do_not_count(hardware, serve):
    chip = hardware.gpio(lines=4)
    exporter = serve({"in": driver(INPUT, device=str(chip.path), line=2)})
    with Raw(exporter.endpoint) as raw:
        for _ in range(20):          # more than the kernel keeps
            chip.pull(2, 1)
            chip.pull(2, 0)
        code, _ = refused(raw, "in", "wait_for_edge", "rising", 0.3)
        assert code == Code.DEADLINE_EXCEEDED
        chip.pull(2, 1)
        chip.pull(2, 0)
        assert refused(raw, "in", "wait_for_active", 0.3)[0] == Code.DEADLINE_EXCEEDED


def test_one_edge_ends_all_waits_and_no_other(hardware, serve):
    chip = hardware.gpio(lines=4)
    exporter = serve({"in": driver(INPUT, device=str(chip.path), line=2)})
    with Raw(exporter.endpoint) as raw:
        begun = Begun(raw)
        rising = [Pending(raw, "in", "wait_for_edge", "rising", 0) for _ in range(8)]
        falling = [Pending(raw, "in", "wait_for_edge", "falling", None) for _ in range(8)]
        begun.wait(16, "in")
        rising.pop(0).leave()        # it may be the one who watches for all
        assert call(raw, "in", "read_pin") == 0
        chip.pull(2, 1)
        for wait in rising:
            wait.result()
        assert call(raw, "in", "read_pin") == 1
        assert not any(wait.done() for wait in falling)
        chip.pull(2, 0)
        for wait in falling:
            wait.result()


def test_rising_is_logical(hardware, serve):
    chip = hardware.gpio(lines=4)
    chip.pull(2, 1)
    exporter = serve({"in": driver(INPUT, device=str(chip.path), line=2, active_low=True)})
    with Raw(exporter.endpoint) as raw:
        begun = Begun(raw)
        wait = Pending(raw, "in", "wait_for_edge", "rising", 0)
        begun.wait(1, "in")
        chip.pull(2, 0)
        wait.result()


# Which line


def test_lines_have_names(hardware, serve):
    one = hardware.gpio(lines=4, names={0: "GPIO5", 2: "GPIO17", 3: "TWICE"}, label="lab-one")
    two = hardware.gpio(lines=4, names={1: "GPIO6", 3: "TWICE"}, label="lab-two")
    exporter = serve({"a": driver("gpio-output", line="GPIO17"),
                      "b": driver("gpio-output", line="GPIO6"),
                      "c": driver("gpio-output", line="TWICE", device="lab-two"),
                      "d": driver("gpio-output", line=1, device=one.path.name),
                      "e": driver("gpio-output", line=2, device=two.path.name.removeprefix("gpiochip")),
                      "f": driver("gpio-output", pin=29, device="lab-one"),
                      "twice": driver("gpio-output", line="TWICE"),
                      "nosuch": driver("gpio-output", line="GPIO99"),
                      "nochip": driver("gpio-output", line=1, device="lab-three"),
                      "beyond": driver("gpio-output", line=4, device=str(one.path)),
                      "elsewhere": driver("gpio-output", line="GPIO6", device="lab-one")})
    with Raw(exporter.endpoint) as raw:
        for name in "abcdef":
            call(raw, name, "on")
        assert [one.value(i) for i in range(4)] == [1, 1, 1, 0]
        assert [two.value(i) for i in range(4)] == [0, 1, 1, 1]
        for name, words in (("twice", f'both {one.path.name} and {two.path.name} have a line "TWICE"'),
                            ("nosuch", 'chips has a line "GPIO99"'), ("nochip", 'no GPIO chip is called "lab-three"'),
                            ("beyond", f"{one.path.name} [lab-one] has no line 4, it has lines 0 to 3"),
                            ("elsewhere", f'{one.path.name} [lab-one] has no line "GPIO6"')):
            code, text = refused(raw, name, "on")
            assert code == Code.UNAVAILABLE and words in text, text


@pytest.mark.parametrize("label,names", [
    ("pinctrl-rp1", {2: "GPIO2", 17: "GPIO17", 27: "GPIO27"}),      # as a Pi 5 has it
    ("pinctrl-bcm2711", {2: "SDA1", 17: "GPIO17", 27: "GPIO27"}),   # a Pi 4
    ("pinctrl-bcm2835", {})])
def test_pins_survive_a_renumbering(hardware, serve, label, names):
    export = {"pin3": driver("power-gpio", pin=3), "pin11": driver("power-gpio", pin=11),
              "named": driver("gpio-output", line="GPIO27"), "sda": driver("gpio-output", line="GPIO3")}

    def check(header):
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(Raw(serve(export).endpoint))
            for line, name in ((2, "pin3"), (17, "pin11"), (27, "named"), (3, "sda")):
                assert header.value(line) == 0
                call(raw, name, "on")
                assert header.value(line) == 1
                call(raw, name, "off")

    other = hardware.gpio(lines=32, names={5: "GPIO40"})
    header = hardware.gpio(lines=28, names=names, label=label)
    before = header.path.name
    check(header)


def test_the_same_file_after_the_chips_have_changed_places(hardware, place, kind, build):
    """gpiochip4 for an older kernel, gpiochip0 for a newer one."""
    export = {"power": driver("power-gpio", pin=11)}
    names = []
    for filler in (True, False):
        chips = [hardware.gpio(lines=8)] if filler else []
        header = hardware.gpio(lines=28, label="pinctrl-rp1")
        exporter = exporters.start_direct(kind, place, build, exporters.config(export))
        with Raw(exporter.endpoint) as raw:
            call(raw, "power", "on")
            assert header.value(17) == 1
        exporter.stop()
        exporter.program.forget()
        names.append(header.path.name)
        hardware.close()
    assert names[0] != names[1]


def test_who_holds_a_line_is_named(hardware, serve):
    chip = hardware.gpio(lines=8, hogged={5: "board-id"})
    with gpiod.request_lines(str(chip.path), consumer="oscilloscope",
                             config={4: gpiod.LineSettings(direction=Direction.INPUT)}):
        exporter = serve({"free": driver(SWITCH, device=str(chip.path), line=3),
                          "again": driver(SWITCH, device=str(chip.path), line=3),
                          "held": driver(SWITCH, device=str(chip.path), line=4),
                          "hogged": driver(INPUT, device=str(chip.path), line=5)})
        with Raw(exporter.endpoint) as raw:
            wanted = {"held": 'line 4 of {} is held by "oscilloscope"', "hogged": 'line 5 of {} is held by "board-id"'}
            for name, words in wanted.items():
                code, text = refused(raw, name, "read_pin")
                assert code == Code.UNAVAILABLE and words.format(chip.path.name) in text, text
            # two drivers want the same line: one of them has it
            held = [name for name in ("free", "again") if _fails(raw, name)]
            assert len(held) == 1
            assert 'is held by "jumpstarter-gpiod", an exporter\'s driver' in refused(raw, held[0], "on")[1]
    with Raw(exporter.endpoint) as raw:      # let go: it is tried again by itself
        wait_until(lambda: not _fails(raw, "held"), SOON, "the line is not tried again")


def _fails(raw, name):
    try:
        raw.call(raw.uuid(name), "read_pin", timeout=SOON)
    except grpc.RpcError as error:
        assert error.code() == Code.UNAVAILABLE
        return True
    return False


def test_a_chip_that_vanishes_and_returns(hardware, serve):
    chip = hardware.gpio(lines=8, label="lab-expander")
    other = hardware.gpio(lines=2)
    exporter = serve({"power": driver("power-gpio", device="lab-expander", line=3),
                      "in": driver("gpio-input", device="lab-expander", line=4),
                      "neighbour": driver("gpio-output", device=str(other.path), line=0)})
    with Raw(exporter.endpoint) as raw:
        call(raw, "power", "on")
        begun = Begun(raw)
        wait = Pending(raw, "in", "wait_for_edge", "rising", 0)
        begun.wait(1, "in")
        chip.unplug()
        code, text = wait.code()
        assert code == Code.UNAVAILABLE and "in" in text, text
        assert refused(raw, "power", "on")[0] == Code.UNAVAILABLE
        call(raw, "neighbour", "on")
        assert other.value(0) == 1
        chip.plug()
        wait_until(lambda: not _fails(raw, "power") and not _fails(raw, "in"), SOON, "the chip is not seen again")
        assert chip.value(3) == 0           # a chip that was without power begins with its initial value
        call(raw, "power", "on")
        assert chip.value(3) == 1


# Power


def test_a_least_time_off(hardware, serve):
    chip = hardware.gpio(lines=4)
    exporter = serve({"power": driver("power-gpio", device=str(chip.path), line=1, min_off_time=1.5,
                                      initial_value="keep")})
    with Raw(exporter.endpoint) as raw:
        call(raw, "power", "on")
        before = time.monotonic()
        call(raw, "power", "off")
        waiting = Pending(raw, "power", "on")
        turns = 0
        while call(raw, "power", "read_pin") == 0:      # others have their turn
            turns += 1
        assert turns and time.monotonic() - before >= 1.5
        waiting.result()
        assert time.monotonic() - before >= 1.5
        assert chip.value(1) == 1

        # the last word wins
        call(raw, "power", "off")
        begun = Begun(raw)
        waiting = Pending(raw, "power", "on")
        begun.wait(1, "power")
        call(raw, "power", "off")
        code, text = waiting.code()
        assert code == Code.INTERNAL and "another call switched meanwhile" in text
        assert chip.value(1) == 0

        # who leaves before anything has changed has changed nothing
        waiting = Pending(raw, "power", "on")
        waiting.leave()
        call(raw, "power", "off")
        assert chip.value(1) == 0


def test_a_cycle_survives_its_client(hardware, serve, jmpctl, place):
    chip = hardware.gpio(lines=4)
    exporter = serve({"power": driver("power-gpio", device=str(chip.path), line=1)})
    with Raw(exporter.endpoint) as raw:
        call(raw, "power", "on")
        assert chip.value(1) == 1
    client = Program([*jmpctl(exporter), "power", "cycle", "--wait", "2"], env=place.env)
    reaches(chip, 1, 0)
    client.kill()
    client.forget()
    assert chip.value(1) == 0
    reaches(chip, 1, 1)

    with Raw(exporter.endpoint) as raw:
        cycle = Pending(raw, "power", "cycle", 1)
        reaches(chip, 1, 0)
        cycle.leave()
        reaches(chip, 1, 1)

        # an off that comes in between is the last word
        cycle = Pending(raw, "power", "cycle", 1)
        reaches(chip, 1, 0)
        call(raw, "power", "off")
        code, text = cycle.code()
        assert code == Code.INTERNAL and "another call switched meanwhile" in text
        assert chip.value(1) == 0


class Watcher:
    """Notes when lines change, as (line, level), in the order in which it sees them."""

    def __init__(self, chip, lines):
        self.chip, self.last = chip, {line: chip.value(line) for line in lines}
        self.seen, self.ends = [], False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        last_look = False
        while not last_look:
            last_look = self.ends
            for line, last in self.last.items():
                level = self.chip.value(line)
                if level != last:
                    self.last[line] = level
                    self.seen.append((time.monotonic(), line, level))
            time.sleep(0.002)

    def end(self):
        self.ends = True
        self.thread.join()
        return [(line, level) for _, line, level in self.seen]

    def gaps(self):
        times = [at for at, _, _ in self.seen]
        return [b - a for a, b in zip(times, times[1:])]


def sequence(chip, **more):
    lines = [{"device": str(chip.path), "line": 1, "off_delay": 0.6},
             {"device": str(chip.path), "line": 2, "on_delay": 0.6, "off_delay": 0.6},
             {"device": str(chip.path), "line": 3, "on_delay": 0.6, "active_low": True}]
    return {"power": driver("power-sequence", lines=lines, **more)}


def test_a_sequence_has_its_order_and_its_pauses(hardware, serve, j):
    chip = hardware.gpio(lines=8)
    exporter = serve(sequence(chip))
    assert [chip.value(i) for i in (1, 2, 3)] == [0, 0, 1]
    with Raw(exporter.endpoint) as raw:
        watcher = Watcher(chip, (1, 2, 3))
        j(exporter, "power on").ok()
        assert watcher.end() == [(1, 1), (2, 1), (3, 0)]
        assert all(gap > 0.4 for gap in watcher.gaps()), watcher.gaps()
        assert call(raw, "power", "read_pin") == 1
        watcher = Watcher(chip, (1, 2, 3))
        j(exporter, "power off").ok()
        assert watcher.end() == [(3, 1), (2, 0), (1, 0)]
        assert all(gap > 0.4 for gap in watcher.gaps()), watcher.gaps()
        assert call(raw, "power", "read_pin") == 0

        # once begun it goes on without its client
        on = Pending(raw, "power", "on")
        reaches(chip, 1, 1)
        on.leave()
        reaches(chip, 3, 0)

        # off in the middle of on: from where it is back to the beginning
        call(raw, "power", "off")
        watcher = Watcher(chip, (1, 2, 3))
        on = Pending(raw, "power", "on")
        reaches(chip, 1, 1)
        call(raw, "power", "off")
        assert on.code()[0] == Code.INTERNAL
        assert watcher.end() in ([(1, 1), (1, 0)], [(1, 1), (2, 1), (2, 0), (1, 0)])


def test_a_sequence_needs_all_its_lines(hardware, serve):
    chip = hardware.gpio(lines=8, hogged={3: "somebody"})
    exporter = serve(sequence(chip))
    with Raw(exporter.endpoint) as raw:
        code, text = refused(raw, "power", "on")
        assert code == Code.UNAVAILABLE and 'line 3' in text and '"somebody"' in text
    assert [chip.value(i) for i in (1, 2)] == [0, 0]


# Nothing but a call or the start of a lease switches


def test_only_a_call_or_the_start_of_a_lease_switches(hardware, lab, kind):
    chip = hardware.gpio(lines=4)
    for line in (1, 2):
        chip.pull(line, 1)       # a simulated line falls to its pull when it is let go
    exporter = lab.add_exporter(kind, {"power": driver(SWITCH, device=str(chip.path), line=1),
                                       "fan": driver(OUTPUT, device=str(chip.path), line=2, initial_value="active")})
    assert chip.value(1) == 0    # it was an input: now it is what the file says
    fan = Watcher(chip, (2,))
    with exporters_lease(lab, exporter) as raw:
        call(raw, "power", "on")
    lab.wait_status(exporter.name, "AVAILABLE")
    assert chip.value(1) == 1    # the end of a lease leaves it
    watcher = Watcher(chip, (1,))
    exporter = lab.restart_exporter(exporter.name, kill=True)
    exporter.program.wait_line(r"registered with", timeout=SOON)
    lab.wait_status(exporter.name, "AVAILABLE")
    assert watcher.end() == []   # and so do the end and the start of the agent
    with exporters_lease(lab, exporter) as raw:
        assert chip.value(1) == 0
        assert call(raw, "power", "read_pin") == 0
    assert fan.end() == [] and chip.value(2) == 1    # what is as a lease wants it is left alone


@contextlib.contextmanager
def exporters_lease(lab, exporter):
    with CtlLease(lab, lab.build / "ctl/jmpctl", "-n", exporter.name, timeout=SOON) as lease, Raw(lease.path) as raw:
        yield raw


def agents(build):
    """The agent under test, and one on the other generation of libgpiod where there is one."""
    agent, other = build / "agent/jmp-agent", build / "agent/jmp-agent-other"
    if not os.path.exists("/run/built/other-gpiod/agent/jmp-agent"):
        return [agent]
    other.write_text(agent.read_text().replace("/run/built/", "/run/built/other-gpiod/"))   # as the same user
    other.chmod(0o755)
    return [agent, other]


def test_a_restart_lets_go_of_nothing(hardware, lab, build):
    """With a manager that keeps descriptors; the next agent may be of the other generation, as after an upgrade."""
    chip = hardware.gpio(lines=4)                # let go, the line would fall
    manager = Manager()
    exporter = lab.add_exporter("native", {"power": driver(SWITCH, device=str(chip.path), line=1),
                                           "low": driver(OUTPUT, device=str(chip.path), line=2, active_low=True)})
    exporter.stop()
    exporter.program.forget()
    watcher = None
    try:
        for agent in agents(build) * 2:
            program = manager.start([agent, "run", "--exporter-config", exporter.path], lab.place.env)
            program.wait_line(r"registered with", timeout=SOON)
            lab.wait_status(exporter.name, "AVAILABLE")
            wait_until(lambda: len(manager.parked) == 2, SOON, lambda: manager.parked)
            if watcher:
                assert watcher.end() == []
                assert (chip.value(1), chip.value(2)) == (1, 0)
                assert "anew" not in program.output(), program.output()
            with exporters_lease(lab, exporter) as raw:
                assert (chip.value(1), chip.value(2)) == (0, 1)
                call(raw, "power", "on")
                call(raw, "low", "on")
                assert call(raw, "power", "read_pin") == 1
                assert (chip.value(1), chip.value(2)) == (1, 0)
            lab.wait_status(exporter.name, "AVAILABLE")
            watcher = Watcher(chip, (1, 2))
            program.kill()
            program.forget()
        assert watcher.end() == []
        assert (chip.value(1), chip.value(2)) == (1, 0)
    finally:
        manager.close()
    assert (chip.value(1), chip.value(2)) == (0, 0)      # the test sees what it is for


def test_a_restart_in_the_middle_of_a_lease_switches_nothing(hardware, lab, build):
    chip = hardware.gpio(lines=4)
    manager = Manager()
    exporter = lab.add_exporter("native", {"power": driver(SWITCH, device=str(chip.path), line=1)})
    exporter.stop()
    exporter.program.forget()

    def start():
        program = manager.start([build / "agent/jmp-agent", "run", "--exporter-config", exporter.path], lab.place.env)
        program.wait_line(r"registered with", timeout=SOON)
        return program

    try:
        program = start()
        lab.wait_status(exporter.name, "AVAILABLE")
        with Lease(lab, "-n", exporter.name, timeout=SOON) as lease:
            with Raw(lease.path) as raw:
                call(raw, "power", "on")
            watcher = Watcher(chip, (1,))
            program.kill()
            program.forget()
            program = start()
            lab.wait_status(exporter.name, "LEASE_READY")
            with Raw(lease.path) as raw:
                assert call(raw, "power", "read_pin") == 1
            assert watcher.end() == []
            with Raw(lease.path) as raw:
                call(raw, "power", "off")
            assert chip.value(1) == 0
        program.stop()
        program.forget()
    finally:
        manager.close()


# jmpctl has the same words


def test_every_verb_of_jmpctl(hardware, serve, jmpctl, place):
    chip = hardware.gpio(lines=8)
    exporter = serve({"power": driver(SWITCH, device=str(chip.path), line=1),
                      "reset": driver(OUTPUT, device=str(chip.path), line=2),
                      "ready": driver(INPUT, device=str(chip.path), line=3)})

    def do(words):
        return run([*jmpctl(exporter), *words.split()], env=place.env, timeout=SOON)

    for driver_name, line in (("power", 1), ("reset", 2)):
        do(f"{driver_name} on").ok()
        assert chip.value(line) == 1
        do(f"{driver_name} off").ok()
        assert chip.value(line) == 0
        do(f"{driver_name} cycle --wait 0").ok()
        assert chip.value(line) == 1
    assert do("reset read").ok().out.strip() == "active"
    assert do("power call read_pin").ok().out.strip() == "1"
    assert do("ready read").ok().out.strip() == "inactive"
    do("ready wait-for-inactive").ok()
    answer = do("ready wait-for-edge rising --timeout 0.1")
    assert answer.status == 1 and "no rising edge within 0.1 s" in answer.err
    chip.pull(3, 1)
    do("ready wait-for-active -t 5").ok()
    answer = do("power read")
    assert answer.status == 1 and "neither voltage nor current" in answer.err
