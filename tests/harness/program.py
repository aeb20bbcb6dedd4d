# SPDX-License-Identifier: Apache-2.0
"""Programs that a test starts: ready by what they say, never by waiting and hoping; none outlives the test."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections import deque
from pathlib import Path

# Every process below this one carries the mark, also after a setsid() of its own.
_MARK = "JMP_TEST_MARK"
_mark = uuid.uuid4().hex

KEEP_LINES = 4000


def marked(env):
    """The environment with which a program has to be started for sweep() to find it."""
    return {**env, _MARK: _mark}


class ProgramError(AssertionError):
    """A program did not do what the test needs; the text says which and what it printed last."""


def _start(argv, env, **how):
    """Starts it in a session of its own. It dies with us, by setpriv: a preexec_fn would run gRPC's fork handlers."""
    if not shutil.which(argv[0], path=env.get("PATH")):
        raise ProgramError(f"{argv[0]} is not there: build it, or say where with --build DIR")
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv], env=marked(env), start_new_session=True,
                            **how)


def descendants(pid):
    """The process and all below it, parents first."""
    children = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for p in found:
        found.extend(children.get(p, []))
    return found


def count_fds(pid):
    """Open descriptors of the process and its descendants; a process that is just ending counts none."""
    total = 0
    for p in descendants(pid):
        try:
            total += len(os.listdir(f"/proc/{p}/fd"))
        except OSError:
            pass
    return total


def list_fds(pid):
    """What the descriptors are, for a failure's text."""
    lines = []
    for p in descendants(pid):
        try:
            for fd in sorted(os.listdir(f"/proc/{p}/fd"), key=int):
                try:
                    lines.append(f"{p} fd {fd}: {os.readlink(f'/proc/{p}/fd/{fd}')}")
                except OSError:
                    pass
        except OSError:
            pass
    return "\n".join(lines)


def wait_until(condition, timeout, what):
    """Ask until the answer is true, at most `timeout` seconds; returns the answer. For facts that have no event."""
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


class Program:
    """One running program. Standard output and error are kept as lines, together."""

    running = []        # of this test process, also ended ones until forget()

    def __init__(self, argv, *, env, name=None, cwd=None, stdin=subprocess.DEVNULL, pass_fds=()):
        self.argv = [str(a) for a in argv]
        self.name = name or Path(self.argv[0]).name
        self.lines = deque(maxlen=KEEP_LINES)
        self.count = 0              # lines ever seen
        self.shown = 0              # up to here a failure report has shown them
        self._changed = threading.Condition()
        self.process = _start(self.argv, env, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, pass_fds=pass_fds)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        Program.running.append(self)

    def _read(self):
        for raw in self.process.stdout:
            with self._changed:
                self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                self.count += 1
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def mark(self):
        """A place in the output; wait_line(since=mark) looks only behind it."""
        with self._changed:
            return self.count

    def output(self, since=0):
        with self._changed:
            first = self.count - len(self.lines)
            return "\n".join(list(self.lines)[max(0, since - first):])

    def wait_line(self, pattern, timeout=20, since=0):
        """The first line that matches, as a match object. Fails at once when the program ends without it."""
        regex = re.compile(pattern)
        deadline = time.monotonic() + timeout
        seen = since
        with self._changed:
            while True:
                first = self.count - len(self.lines)
                for i in range(max(seen, first), self.count):
                    match = regex.search(self.lines[i - first])
                    if match:
                        return match
                seen = self.count
                left = deadline - time.monotonic()
                if not self._reader.is_alive() and seen == self.count:
                    raise ProgramError(f"{self.name} ended ({self.process.poll()}) without saying /{pattern}/\n"
                                       + self.tail())
                if left <= 0:
                    raise ProgramError(f"{self.name} did not say /{pattern}/ within {timeout} s\n" + self.tail())
                self._changed.wait(min(left, 0.25))

    def tail(self, lines=60):
        with self._changed:
            kept = list(self.lines)[-lines:]
        return f"$ {' '.join(self.argv)}\n" + "\n".join(kept)

    def unshown(self):
        """The output that no failure report has shown yet."""
        since, self.shown = self.shown, self.mark()
        return self.output(since)

    def alive(self):
        return self.process.poll() is None

    def fds(self):
        return count_fds(self.pid)

    def interrupt(self):
        """What a terminal does on Ctrl-C: SIGINT to the whole process group."""
        os.killpg(self.pid, signal.SIGINT)

    def interrupt_until_gone(self, patience=1.0):
        """Ctrl-C as a person does it. `j forward-tcp` outlives the first one (a thread of its own waits for ever) and
        at times the second; then the terminal is closed."""
        for _ in range(2):
            try:
                self.interrupt()
                return self.process.wait(patience)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                pass
        if self.alive():
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait(10)

    def wait(self, timeout=20):
        """Waits for the end and for the last of the output; returns the exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProgramError(f"{self.name} still runs after {timeout} s\n" + self.tail()) from None
        self._reader.join(5)
        return status

    def stop(self, sig=signal.SIGTERM, timeout=15):
        """Asks it to end and waits; kills what is left. Returns the exit status, None if it had to be killed."""
        family = descendants(self.pid) if self.alive() else []
        status = self.process.poll()
        if status is None:
            self.process.send_signal(sig)
            try:
                status = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        for pid in family:
            if pid == self.pid and status is not None:
                continue
            if _is_ours(pid):
                _kill(pid)
        self.process.wait(10)
        self._reader.join(5)
        return status

    def kill(self):
        """Without a warning, as a power cut would."""
        for pid in descendants(self.pid):
            if pid == self.pid or _is_ours(pid):
                _kill(pid)
        self.process.wait(10)
        self._reader.join(5)

    def forget(self):
        if self in Program.running:
            Program.running.remove(self)


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _is_ours(pid):
    try:
        return f"{_MARK}={_mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def sweep():
    """Ends whatever still carries the mark; returns how many there were."""
    left = [int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit() and _is_ours(int(e.name))]
    left = [pid for pid in left if pid != os.getpid()]
    for pid in left:
        _kill(pid)
    return len(left)


class Result:
    """A command that has ended."""

    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    def ok(self):
        assert self.status == 0, str(self)
        return self

    def __str__(self):
        return f"$ {' '.join(self.argv)}\nexit status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def run(argv, *, env, timeout=60, stdin="", cwd=None):
    """Runs a command to its end; its whole process group goes if it takes longer than `timeout` seconds."""
    argv = [str(a) for a in argv]
    process = _start(argv, env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if isinstance(stdin, str):
        stdin = stdin.encode()
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise ProgramError(f"took more than {timeout} s: " + str(
            Result(argv, None, out.decode(errors="replace"), err.decode(errors="replace")))) from None
    return Result(argv, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
