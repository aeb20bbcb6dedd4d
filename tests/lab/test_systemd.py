# SPDX-License-Identifier: Apache-2.0
"""The agent as it is installed: its service, its user, its rules, under systemd as the first process."""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from harness.exporter import POWER, SERIAL, driver
from harness.lab import CtlLease
from harness.media import loop_device, medium
from harness.program import Program, run, wait_until

from hardware import settle

UNIT = "jmp-agent@lab.service"


def systemctl(*words):
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=90)


def property_of(unit, name):
    return systemctl("show", "--value", "--property", name, unit).stdout.strip()


def journal():
    return subprocess.run(["journalctl", "--no-pager", "-o", "cat", "-n", "80", "-u", UNIT], capture_output=True,
                          text=True).stdout


def write_config(name, settings):
    path = Path(f"/etc/jumpstarter/exporters/{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    shutil.chown(path, "root", "jmp-agent")
    path.chmod(0o640)
    return path


@pytest.fixture(scope="module")
def credentials(lab):
    """The file that the module's lab made for this exporter."""
    return lab.controller.create_exporter("lab", {"board": "lab"})


@pytest.fixture
def installed(lab, credentials):
    """start(export): the service, leasable in the module's lab."""
    def start(export, **top):
        settings = yaml.safe_load(credentials.read_text())
        settings.update(top, export=export)
        write_config("lab", settings)
        started = systemctl("start", UNIT)
        assert started.returncode == 0, f"{started.stderr}\n{journal()}"
        wait_until(lambda: (found := lab.exporter("lab")) and found.status and found.status.name == "AVAILABLE", 60, journal)

    yield start
    systemctl("stop", UNIT)


def test_systemd_is_the_first_process():
    assert Path("/proc/1/comm").read_text().strip() == "systemd"
    wait_until(lambda: systemctl("is-system-running").stdout.strip() in ("running", "degraded"), 60,
               lambda: systemctl("list-jobs").stdout)
    assert systemctl("is-active", "systemd-udevd.service").stdout.strip() == "active"


def test_the_service_drives_what_is_plugged_in(hardware, installed, lab, place, build):
    port = hardware.serial(serial="INSTALLED")
    wires = port.wires()
    installed({"serial": driver(SERIAL, usb_id="1d6b:0104:INSTALLED")})
    pid = int(property_of(UNIT, "MainPID"))
    assert Path(f"/proc/{pid}").owner() == "jmp-agent"
    with CtlLease(lab, build / "ctl/jmpctl", "-l", "board=lab") as lease:
        env = {**place.env, "JUMPSTARTER_HOST": lease.path, "JMP_DRIVERS_ALLOW": "UNSAFE"}
        run([build / "ctl/jmpctl", "serial", "pipe", "--no-output"], env=env, stdin="through the service\n").ok()
        wires.expect(b"through the service\n")
    wires.close()
    systemctl("stop", UNIT)
    assert property_of(UNIT, "Result") == "success", journal()


def test_every_class_of_device_is_reached_from_inside_the_service(hardware, installed, lab, place, build):
    """A hub's ports, a device that is given away whole, a relay board and a stick; lines and consoles are below."""
    hub = hardware.program("lab-port-hub")
    probe = hardware.hid(serial="PROBE")
    board = hardware.hid(vid=0x140b, pid=0x07d7)
    stick = hardware.storage(size=4 << 20)
    image = place.file("image", "an image\n" * 1000)
    installed({"power": {"type": "usb-port", "config": {"path": f"{hub.sysfs().name}.2"}},
               "probe": {"type": "usb-device", "config": {"path": probe.gadget.sysfs().name}},
               "relay": {"type": "relay-noyito-hid", "config": {"channel": 3}},
               "disk": {"type": "disk-flasher", "config": {"storage_device": str(stick.disk)}}})
    with CtlLease(lab, build / "ctl/jmpctl", "-l", "board=lab") as lease:
        env = {**place.env, "JUMPSTARTER_HOST": lease.path, "JMP_DRIVERS_ALLOW": "UNSAFE"}
        run([build / "ctl/jmpctl", "power", "off"], env=env).ok()
        hub.program.wait_line("^port 2 off$")
        # By way of the kernel, which the shipped rules and the unit allow.
        assert next(hub.sysfs().glob("*:*/*-port2/disable")).read_text().strip() == "1"

        run([build / "ctl/jmpctl", "relay", "on"], env=env).ok()
        fd = os.open(board.board, os.O_RDONLY | os.O_NONBLOCK)
        assert os.read(fd, 64)[:4] == bytes([0xa0, 3, 1, 0xa4])
        os.close(fd)

        run([build / "ctl/jmpctl", "disk", "flash", image], env=env).ok()
        assert stick.image.read_bytes().startswith(image.read_bytes())

        attached = Program([build / "ctl/jmpctl", "usb", "attach", "probe"], env=env)
        number = attached.wait_line(r"^virtual port (\d+):", timeout=60)[1]
        copies = Path("/sys/devices/platform/vhci_hcd.0")
        wait_until(lambda: any((d / "serial").read_text().strip() == "PROBE" for d in copies.glob("usb*/*-*")
                               if (d / "serial").exists()), 60, f"nothing is in virtual port {number}")
        attached.stop()
        attached.forget()


@pytest.fixture
def lab_service():
    yield lambda: systemctl("start", "jmp-labd.service")
    systemctl("stop", "jmp-labd.service")


def test_the_lab_service_lends_what_the_agent_has(hardware, place, build, lab_service):
    """Both as installed, each under its own unit."""
    chip = hardware.gpio(lines=4)
    assert lab_service().returncode == 0
    assert Path(f"/proc/{property_of('jmp-labd.service', 'MainPID')}").owner() == "jmp-labd"
    exporter = yaml.safe_load(run(["jmp-labd", "create", "exporter", "own"], env=place.env).ok().out)
    exporter["export"] = {"power": driver("power-gpio", device=str(chip.path), line=1)}
    write_config("own", exporter)
    client = place.file("me.yaml", run(["jmp-labd", "create", "client", "me"], env=place.env).ok().out)
    assert systemctl("start", "jmp-agent@own.service").returncode == 0
    try:
        run([build / "ctl/jmpctl", "--client-config", client, "shell", "-n", "own", "--", build / "ctl/jmpctl", "power", "on"],
            env=place.env, timeout=90).ok()
        assert chip.value(1) == 1
    finally:
        systemctl("stop", "jmp-agent@own.service")


def test_symptoms_are_those_of_the_guide(installed, lab, place, build):
    """docs/raspberry-pi.md, "When something does not work": no file, a file of others, a device of another class."""
    assert systemctl("start", "jmp-agent@nosuch.service").returncode == 0
    assert property_of("jmp-agent@nosuch.service", "ConditionResult") == "no"

    path = write_config("lab", {"export": {}})
    path.chmod(0o600)
    assert systemctl("start", UNIT).returncode != 0
    wait_until(lambda: f"{path}: cannot be read: Permission denied" in journal(), 60, journal)
    systemctl("stop", UNIT)

    Path("/etc/udev/rules.d/90-site.rules").write_text('KERNEL=="loop[0-9]*", GROUP="plugdev"\n')
    subprocess.run(["udevadm", "control", "--reload"], check=True)
    with loop_device(medium(place.root / "medium", 4 << 20)) as disk:
        settle()
        image = place.file("image", "an image\n")
        words = [build / "ctl/jmpctl", "disk", "flash", image]
        for allowed in (False, True):
            if allowed:
                drop_in = Path(f"/etc/systemd/system/{UNIT}.d/override.conf")     # where "systemctl edit" puts it
                drop_in.parent.mkdir()
                drop_in.write_text(f"[Service]\nDeviceAllow={disk} rw\n")
                systemctl("daemon-reload")
            installed({"disk": {"type": "disk-flasher", "config": {"storage_device": str(disk)}}})
            with CtlLease(lab, build / "ctl/jmpctl", "-l", "board=lab") as lease:
                env = {**place.env, "JUMPSTARTER_HOST": lease.path, "JMP_DRIVERS_ALLOW": "UNSAFE"}
                done = run(words, env=env)
            assert (done.status == 0) == allowed, done.err
            assert allowed or "Operation not permitted" in done.err
            systemctl("stop", UNIT)
        assert disk.read_bytes().startswith(image.read_bytes())


def records(*matches):
    """What `journalctl FIELD=VALUE...` finds, as programs read it."""
    found = subprocess.run(["journalctl", "--no-pager", "-o", "json", *matches], capture_output=True, text=True)
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_the_journal_is_asked_by_lease_client_exporter_driver_and_operation(installed, lab, place, build):
    installed({"power": driver(POWER), "gone": driver(SERIAL, url="/dev/no-such-tty")})
    with CtlLease(lab, build / "ctl/jmpctl", "-l", "board=lab") as lease:
        env = {**place.env, "JUMPSTARTER_HOST": lease.path, "JMP_DRIVERS_ALLOW": "UNSAFE"}
        run([build / "ctl/jmpctl", "power", "on"], env=env).ok()
        assert run([build / "ctl/jmpctl", "gone", "pipe"], env=env).status != 0
    whose = [f"LEASE={lease.name}", "CLIENT=alice", "EXPORTER=lab"]
    wait_until(lambda: any("is over" in r["MESSAGE"] for r in records(*whose)), 60, journal)
    assert any("begins for alice" in r["MESSAGE"] for r in records(*whose))
    assert any(r["MESSAGE"] == "power on" for r in records(*whose, "DRIVER=power", "OPERATION=on"))
    failed = records(*whose, "DRIVER=gone", "OPERATION=connect", "PRIORITY=4")
    assert failed and "no-such-tty" in failed[0]["MESSAGE"] and failed[0]["RESULT"] == "failure"


@pytest.fixture
def failing():
    """A service that fails again and again, because of its file; its name."""
    write_config("wrong", {"export": {"power": {"type": "no-such-driver"}}})
    yield "jmp-agent@wrong.service"
    systemctl("stop", "jmp-agent@wrong.service")


def test_a_service_that_keeps_failing_is_started_anew_after_longer_and_longer(failing):
    systemctl("start", failing)

    def moments(words):
        return [int(record["__MONOTONIC_TIMESTAMP"]) / 1e6 for record in records(f"UNIT={failing}") if words in record["MESSAGE"]]

    wait_until(lambda: len(moments("Scheduled restart job")) >= 4, 120, lambda: f"{records(f'UNIT={failing}')}")
    pauses = [anew - ended for ended, anew in zip(moments("Main process exited"), moments("Scheduled restart job"))]
    # One is never shorter than it is said to be; a busy machine makes all of them longer.
    assert pauses[3] > 4, pauses


def test_a_loop_that_stands_still_is_noticed(installed):
    hurry = Path(f"/run/systemd/system/{UNIT}.d/hurry.conf")
    hurry.parent.mkdir(parents=True)
    hurry.write_text("[Service]\nWatchdogSec=10\nTimeoutAbortSec=5\n")
    systemctl("daemon-reload")
    try:
        installed({"power": driver(POWER)})
        pid = property_of(UNIT, "MainPID")
        os.kill(int(pid), signal.SIGSTOP)       # it feeds nothing
        wait_until(lambda: "Watchdog timeout" in journal(), 60, journal)
        wait_until(lambda: property_of(UNIT, "StatusText") and property_of(UNIT, "MainPID") not in ("0", pid), 60, journal)
    finally:
        systemctl("stop", UNIT)
        hurry.unlink()
        systemctl("daemon-reload")


class Watched:
    """A line, looked at all the time from another thread: `levels` are those it has had."""

    def __init__(self, chip, line):
        self.levels, self._ending = set(), threading.Event()
        self._thread = threading.Thread(target=self._look, args=(chip, line), daemon=True)
        self._thread.start()

    def _look(self, chip, line):
        while not self._ending.wait(0.002):
            self.levels.add(chip.value(line))

    def close(self):
        self._ending.set()
        self._thread.join()


def test_neither_a_restart_nor_a_crash_costs_the_lease(hardware, installed, lab, place, build):
    """The relay does not switch, beforeLease does not run again, what the board says meanwhile is not lost."""
    chip = hardware.gpio(lines=8, names={3: "relay"})
    port = hardware.serial(serial="RESTARTED")
    wires = port.wires()
    ran = Path("/var/lib/jmp-agent/lab/hooks")
    installed({"power": driver("power-gpio", device=str(chip.path), line=3),
               "serial": driver(SERIAL, usb_id="1d6b:0104:RESTARTED")},
              hooks={"beforeLease": {"script": f"echo before >> {ran}"}, "afterLease": {"script": f"echo after >> {ran}"}})
    with CtlLease(lab, build / "ctl/jmpctl", "-l", "board=lab") as lease:
        env = {**place.env, "JUMPSTARTER_HOST": lease.path, "JMP_DRIVERS_ALLOW": "UNSAFE"}
        run([build / "ctl/jmpctl", "power", "on"], env=env).ok()
        assert chip.value(3) == 1
        watched = Watched(chip, 3)

        pid = property_of(UNIT, "MainPID")
        assert systemctl("restart", UNIT).returncode == 0, journal()
        wait_until(lambda: f"lease {lease.name} goes on after a restart" in journal(), 60, journal)

        pid, before = property_of(UNIT, "MainPID"), pid
        assert pid != before
        # Who is stopped reads nothing, and dies without having read it.
        os.kill(int(pid), signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T"), 10, "it is not stopped")
        wires.write(b"said to nobody\r\n")
        os.kill(int(pid), signal.SIGKILL)
        wait_until(lambda: property_of(UNIT, "MainPID") not in ("0", pid), 60, journal)
        wait_until(lambda: journal().count("goes on after a restart") == 2, 60, journal)
        console = Program([build / "ctl/jmpctl", "serial", "pipe"], env=env, name="jmpctl serial pipe")
        console.wait_line("said to nobody", 60)
        console.kill()
        console.forget()
        watched.close()
        assert watched.levels == {1}
        assert ran.read_text().split() == ["before"]
    wait_until(lambda: ran.read_text().split() == ["before", "after"], 60, journal)
    wires.close()
