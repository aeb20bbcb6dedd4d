# SPDX-License-Identifier: Apache-2.0
"""A disk that is as slow as real media are: the kernel's control groups limit what some processes write to it."""

import contextlib
import os
from pathlib import Path

# Where groups are made, the file of the limit, and what is written there; version 1, then 2 where somebody has enabled it.
_VERSIONS = ((Path("/sys/fs/cgroup/blkio"), "blkio.throttle.write_bps_device", "{0} {1}", "0"),
             (Path("/sys/fs/cgroup"), "io.max", "{0} wbps={1}", "max"))


class Throttle:
    """A group whose processes write to `device` no faster than they are let."""

    def __init__(self, group, device, file, text, none):
        self.group, self.file, self.text, self.none = group, group / file, text, none
        number = os.stat(device).st_rdev
        self.number = f"{os.major(number)}:{os.minor(number)}"

    def limit(self, bytes_per_second):
        """None: not at all."""
        self.file.write_text(self.text.format(self.number, bytes_per_second or self.none))

    def enter(self, pid):
        (self.group / "cgroup.procs").write_text(str(pid))

    def command(self, words):
        """The same command, as one of the group."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', self.group / "cgroup.procs", *words]

    def close(self):
        """Those that are left run on without a limit."""
        for pid in (self.group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (self.group.parent / "cgroup.procs").write_text(pid)
        self.group.rmdir()


@contextlib.contextmanager
def throttle(device):
    """A Throttle, or None where there is no such thing or no right to it."""
    for parent, file, text, none in _VERSIONS:
        group = parent / f"jmp-bench-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
        if (group / file).exists():
            found = Throttle(group, device, file, text, none)
            try:
                yield found
            finally:
                found.close()
            return
        with contextlib.suppress(OSError):
            group.rmdir()
    yield None
