# SPDX-License-Identifier: Apache-2.0
"""The agent as it is installed: its service, its user, its rules, under systemd as the first process."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from harness.exporter import SERIAL, driver
from harness.lab import CtlLease
from harness.program import run, wait_until

UNIT = "jmp-agent@lab.service"
CONFIG = Path("/etc/jumpstarter/exporters/lab.yaml")


def systemctl(*words):
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=90)


def property_of(unit, name):
    return systemctl("show", "--value", "--property", name, unit).stdout.strip()


def journal():
    return subprocess.run(["journalctl", "--no-pager", "-o", "cat", "-n", "80", "-u", UNIT], capture_output=True,
                          text=True).stdout


@pytest.fixture
def installed(lab):
    """start(export): the service, leasable in the module's lab."""
    def start(export):
        path = lab.controller.create_exporter("lab", {"board": "lab"})
        settings = yaml.safe_load(path.read_text())
        settings["export"] = export
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
