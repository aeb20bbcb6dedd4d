# SPDX-License-Identifier: Apache-2.0
"""A program on a terminal of its own."""

import os
import subprocess
import termios

from pexpect import EOF, fdpexpect

from .program import marked, wait_until


class Terminal(fdpexpect.fdspawn):
    """Not pexpect.spawn: its fork() copies a process in which threads of gRPC run, and the copy may crash."""

    def __init__(self, argv, *, env, timeout=20):
        master, slave = os.openpty()
        try:
            attributes = termios.tcgetattr(slave)
            attributes[3] &= ~termios.ECHO
            termios.tcsetattr(slave, termios.TCSANOW, attributes)
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "setsid", "--ctty", *map(str, argv)], env=marked(env),
                stdin=slave, stdout=slave, stderr=slave)
        finally:
            os.close(slave)
        super().__init__(master, timeout=timeout)

    def cooked(self):
        """Whether the terminal makes signals of keys, as it does for a shell."""
        return bool(termios.tcgetattr(self.child_fd)[3] & termios.ISIG)

    def wait_raw(self):
        wait_until(lambda: not self.cooked(), self.timeout, "the terminal stays cooked")

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Reads to the end; returns the exit status."""
        self.expect(EOF)
        return self.process.wait(self.timeout)

    def close(self):
        if self.alive():
            self.process.kill()
        self.process.wait(10)
        super().close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
