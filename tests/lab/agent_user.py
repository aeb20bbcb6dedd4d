# SPDX-License-Identifier: Apache-2.0
"""The agent as it runs on a real machine: as a user of its own, with the devices that the shipped files give that user."""

import os
import pwd
import shlex
import shutil
from pathlib import Path

from harness.place import Place

AGENT_USER = "jmp-agent"


def programs(built):
    """The programs of that build tree; the agent among them runs as the user whom the shipped files make for it."""
    built = Path(built).resolve()
    assert (built / "agent/jmp-agent").exists(), f"{built} has no agent/jmp-agent: build it"
    user = pwd.getpwnam(AGENT_USER)
    mounted = Path("/run/built")     # reached without the directories above it, which may be its owner's alone
    mounted.mkdir()
    assert os.system(f"mount --bind {shlex.quote(str(built))} {mounted}") == 0
    ret = Path("/run/programs")
    for part in ("labd", "ctl", "agent"):
        (ret / part).mkdir(parents=True)
    for part, name in (("labd", "jmp-labd"), ("ctl", "jmpctl")):
        (ret / part / name).symlink_to(mounted / part / name)
    agent = ret / "agent/jmp-agent"
    agent.write_text(f"#!/bin/sh\nexec setpriv --reuid {user.pw_uid} --regid {user.pw_gid} --init-groups "
                     f"--no-new-privs --bounding-set -all --inh-caps -all {mounted}/agent/jmp-agent \"$@\"\n")
    agent.chmod(0o755)
    return ret


class AgentPlace(Place):
    """One whose files the agent may read."""

    def __init__(self, build):
        super().__init__(build)
        for directory in (self.root, self.home, self.run, self.tmp, self.config):
            shutil.chown(directory, AGENT_USER, AGENT_USER)

    def file(self, name, text):
        path = super().file(name, text)
        shutil.chown(path, AGENT_USER, AGENT_USER)
        return path
