# SPDX-License-Identifier: Apache-2.0
"""A service manager's store of descriptors, as far as an agent sees it: what it parks comes back at its next start."""

import fcntl
import os
import shlex
import shutil
import socket
import tempfile
import threading

from .program import Program

FIRST = 3       # where a service manager puts the descriptors that it hands over
HIGH = 200      # where none of them is in the way of another
BARRIER = b"BARRIER=test"


class Manager:
    """Listens at NOTIFY_SOCKET in a thread of its own; `parked` maps names to descriptors."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="manager-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, "notify")
        self.parked = {}
        self.heard = threading.Semaphore(0)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 16)
            if not data:
                return
            words = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            name = words.get("FDNAME")
            if "FDSTOREREMOVE" in words:
                self._drop(name)
            elif "FDSTORE" in words:
                self._drop(name)
                self.parked[name] = fds.pop()
            elif data == BARRIER:
                self.heard.release()
            for fd in fds:      # a barrier of the agent's, which waits for its end to be closed
                os.close(fd)

    def _drop(self, name):
        if name in self.parked:
            os.close(self.parked.pop(name))

    def start(self, argv, env):
        """The next process of the service, with everything that the ones before have parked."""
        self.socket.sendto(BARRIER, self.path)
        assert self.heard.acquire(timeout=20), "the manager does not hear itself"
        names = list(self.parked)
        high = [fcntl.fcntl(self.parked[name], fcntl.F_DUPFD, HIGH) for name in names]
        script = 'exec "$@"' + "".join(f" {FIRST + i}<&{fd} {fd}<&-" for i, fd in enumerate(high))
        if names:
            script = f"export LISTEN_PID=$$ LISTEN_FDS={len(names)} LISTEN_FDNAMES={shlex.quote(':'.join(names))}\n" + script
        try:
            return Program(["bash", "-c", script, "agent", *argv], env={**env, "NOTIFY_SOCKET": self.path, "FDSTORE": "16"},
                           name="jmp-agent", pass_fds=high)
        finally:
            for fd in high:
                os.close(fd)

    def close(self):
        self.socket.sendto(b"", self.path)
        self.thread.join()
        self.socket.close()
        for fd in self.parked.values():
            os.close(fd)
        shutil.rmtree(self.directory)
