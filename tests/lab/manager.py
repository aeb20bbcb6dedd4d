# SPDX-License-Identifier: Apache-2.0
"""A service manager's store of descriptors, as far as an agent sees it: what it parks comes back at its next start."""

import os
import shutil
import socket
import tempfile
import threading


class Manager:
    """Listens at NOTIFY_SOCKET in a thread of its own; `parked` maps names to descriptors."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="manager-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, "notify")
        self.parked = {}
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
            for fd in fds:      # a barrier, which waits for its end to be closed
                os.close(fd)

    def _drop(self, name):
        if name in self.parked:
            os.close(self.parked.pop(name))

    def environment(self):
        return {"NOTIFY_SOCKET": self.path, "FDSTORE": "16"}

    def start(self, argv):
        """The words that start `argv` with everything that is parked, and the descriptors that have to be passed."""
        names, fds = list(self.parked), list(self.parked.values())
        if not fds:
            return argv, ()
        takes = "".join(f"exec {3 + i}<&{fd}; " for i, fd in enumerate(fds))
        script = (f'{takes}export LISTEN_PID=$$ LISTEN_FDS={len(fds)} LISTEN_FDNAMES="$1"; shift; exec "$@"')
        return ["bash", "-c", script, "bash", ":".join(names), *argv], fds

    def close(self):
        self.socket.sendto(b"", self.path)
        self.thread.join()
        self.socket.close()
        for fd in self.parked.values():
            os.close(fd)
        shutil.rmtree(self.directory)
