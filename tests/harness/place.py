# SPDX-License-Identifier: Apache-2.0
"""A place of its own for each test: home, configuration, sockets; nothing of the user's is seen or touched."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent       # jmp and j are beside the interpreter of their environment

_DROPPED = ("JMP_", "JUMPSTARTER_", "XDG_", "GRPC_", "SSL_CERT", "DBUS_", "PYTEST_", "PYTHON")


class Place:
    """Directories with short names, for a socket's path may have 107 bytes."""

    def __init__(self, build=None):
        self.root = Path(tempfile.mkdtemp(prefix="jmp-", dir="/tmp"))
        self.home, self.run, self.tmp = self.root / "home", self.root / "run", self.root / "tmp"
        self.config = self.root / "config"
        for directory in (self.home, self.run, self.tmp, self.config):
            directory.mkdir(mode=0o700)
        path = [str(BIN)]
        if build:
            path += [str(Path(build) / part) for part in ("agent", "labd", "ctl")]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(_DROPPED)}
        self.env.update(
            HOME=str(self.home), XDG_CONFIG_HOME=str(self.home / ".config"), XDG_RUNTIME_DIR=str(self.run),
            XDG_CACHE_HOME=str(self.home / ".cache"), XDG_DATA_HOME=str(self.home / ".local/share"),
            XDG_STATE_HOME=str(self.home / ".local/state"), JMP_CLIENT_CONFIG_HOME=str(self.config),
            TMPDIR=str(self.tmp), PATH=os.pathsep.join(path + [self.env.get("PATH", "/usr/bin:/bin")]),
            LC_ALL="C.UTF-8", TERM="dumb", NO_COLOR="1", COLUMNS="250", SHELL="/bin/sh", PYTHONDONTWRITEBYTECODE="1")

    def file(self, name, text):
        path = self.root / name
        if isinstance(text, str):
            text = text.encode()
        path.write_bytes(text)
        return path

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)
