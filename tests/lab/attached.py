# SPDX-License-Identifier: Apache-2.0
"""The client's side of a USB device that is given away: its copy in this kernel's virtual controller."""

from pathlib import Path

from harness.program import Program, wait_until

from hardware import PLUG_TIMEOUT, is_configured, settle

VHCI = Path("/sys/devices/platform/vhci_hcd.0")


def device(sysfs):
    """The exporter's entry for what is plugged in there."""
    return {"type": "usb-device", "config": {"path": sysfs.name}}


class Attached:
    """A device of the exporter, plugged into this kernel's virtual controller."""

    def __init__(self, place, words, name, *options):
        self.program = Program([*words, "usb", "attach", *options, name], env=place.env,
                               name=f"jmpctl usb attach {name}")
        self.mark = 0
        self.wait()

    def wait(self):
        """Until it is attached (again), configured, and its drivers are there."""
        line = self.program.wait_line(r"^virtual port (\d+): (\S+) (\S+) of", timeout=60, since=self.mark)
        self.mark = self.program.mark()
        self.number, self.busid, self.id = line.groups()
        wait_until(lambda: is_configured(self.sysfs()), PLUG_TIMEOUT, "the copy is not configured")
        settle()
        return self

    def sysfs(self):
        for line in (VHCI / "status").read_text().splitlines()[1:]:
            _, port, state, *_, here = line.split()
            if int(port) == int(self.number) and int(state) == 6:
                found = list(VHCI.glob(f"usb*/{here}"))
                return found[0] if found else None
        return None

    def node(self, pattern):
        found = wait_until(lambda: sorted(p for here in [self.sysfs()] if here for p in here.glob(pattern)), PLUG_TIMEOUT,
                           f"the copy has no {pattern}")
        settle()
        return Path("/dev") / found[0].name

    def detach(self):
        self.program.stop()
        self.program.forget()
        wait_until(lambda: not self.sysfs(), PLUG_TIMEOUT, "it is still attached")
