# SPDX-License-Identifier: Apache-2.0
"""The agent as it is installed: its service, its user, its rules, under systemd as the first process."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from harness.exporter import SERIAL, driver
from harness.lab import CtlLease
from harness.program import Program, run, wait_until

UNIT = "jmp-agent@lab.service"
CONFIG = Path("/etc/jumpstarter/exporters/lab.yaml")


def systemctl(*words):
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=90)


def property_of(unit, name):
    return systemctl("show", "--value", "--property", name, unit).stdout.strip()


def journal():
    return subprocess.run(["journalctl", "--no-pager", "-o", "cat", "-n", "80", "-u", UNIT], capture_output=True,
                          text=True).stdout


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
        CONFIG.parent.mkdir(parents=True, exist_ok=True)
        CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
        shutil.chown(CONFIG, "root", "jmp-agent")
        CONFIG.chmod(0o640)
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
        systemctl("kill", "--kill-whom=main", "--signal=KILL", UNIT)
        wait_until(lambda: property_of(UNIT, "SubState") == "auto-restart", 30, journal)
        wires.write(b"said to nobody\r\n")
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
