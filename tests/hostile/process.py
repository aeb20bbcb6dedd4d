# SPDX-License-Identifier: Apache-2.0
"""What a request costs the server: processor time and the highest resident memory while it was served."""

import time
from pathlib import Path


def cpu(pid):
    """Seconds, all threads; the clock of another process (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def _status(pid, key):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no {key}")


def resident(pid):
    """KiB"""
    return _status(pid, "VmRSS")


def threads(pid):
    return _status(pid, "Threads")


class Cost:
    """with Cost(pid) as cost: ...; then cost.milliseconds and cost.kib."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")    # the highest mark starts again from now
        self._cpu, self._memory = cpu(self.pid), resident(self.pid)
        return self

    def __exit__(self, *_):
        self.milliseconds = (cpu(self.pid) - self._cpu) * 1000
        self.kib = max(0, _status(self.pid, "VmHWM") - self._memory)

    def __str__(self):
        return f"{self.milliseconds:.1f} ms of processor time, {self.kib} KiB"
