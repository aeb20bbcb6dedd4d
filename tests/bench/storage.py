# SPDX-License-Identifier: Apache-2.0
"""Images onto a disk: our flasher and the stock one, fed by jmpctl, beside dd of the same data and device, and beside the bare
decompressors; on a disk that is as slow as real media are, and on one that takes what the machine can copy."""

import contextlib
import http.server
import os
import select
import shlex
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness.background import Background  # noqa: E402
from harness.media import MIB, loop_device  # noqa: E402
from harness.program import descendants  # noqa: E402

from throttle import throttle  # noqa: E402

SIZE = 512 * MIB
# What it is like, MiB/s, and how much is written to it: about two seconds' worth.
DEVICES = (("a card", 20, 48), ("a fast card", 90, 192), ("a USB 3 stick", 300, 512), ("no limit", None, 512))
MEANWHILE = 90      # MiB/s, while others are looked at
# Suffix, packing, unpacking, and MiB: all take some seconds.
FORMATS = {"zstd": (".zst", "zstd -q -f -3", "zstd -dcq", 512), "gzip": (".gz", "gzip -f -k -1", "gzip -dc", 128),
           "xz": (".xz", "xz -f -k -0 -T2", "xz -dc", 64)}


def image(path):
    """What a system's image is like: a third of it compresses well, a third somewhat, a third not at all."""
    words = [os.urandom(8) for _ in range(4096)]
    with open(path, "wb") as file:
        for at in range(SIZE // MIB):
            if at % 3 == 0:
                file.write(os.urandom(MIB))
            elif at % 3 == 1:
                picks = os.urandom(2 * MIB // 8)
                file.write(b"".join(words[picks[i] | (picks[i + 1] & 15) << 8] for i in range(0, len(picks), 2)))
            else:
                file.write(b"%d of a file's lines\n" % at * (MIB // 20) + bytes(MIB))
        file.truncate(SIZE)


class Files(http.server.SimpleHTTPRequestHandler):
    def copyfile(self, source, outputfile):
        outputfile.flush()
        self.connection.sendfile(source)    # as any web server does it

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def web(root):
    """The files of a directory behind a URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Files(*args, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def echoing(master):
    """A board at the other end of a serial port that says again what it hears."""
    def board():
        while True:
            ready, _, _ = select.select([master, stop[0]], [], [])
            if stop[0] in ready:
                return
            os.write(master, os.read(master, 4096))

    stop = os.pipe()
    thread = threading.Thread(target=board)
    thread.start()
    try:
        yield
    finally:
        os.write(stop[1], b"x")
        thread.join()
        for fd in stop:
            os.close(fd)


class Flashing:
    """The programs, the medium, and the image in its sizes."""

    def __init__(self, bench, stack):
        self.bench, self.figures, self.rounds = bench, bench.figures, bench.rounds
        self.root = bench.place.root
        self.whole = self.root / "disk.img"
        image(self.whole)
        disk = self.root / "medium"
        with open(disk, "wb") as file:      # all of it there: no writer has to look for room
            os.posix_fallocate(file.fileno(), 0, SIZE)
        device = stack.enter_context(loop_device(disk))
        self.disk, self.direct = device or disk, ["oflag=direct"] if device else []
        self.throttle = stack.enter_context(throttle(device)) if device else None
        self.base = stack.enter_context(web(self.root))
        self.exporters = {}
        for kind in bench.kinds:
            if kind == "bare":
                continue
            self.exporters[kind] = bench.start_direct(kind, self.export(kind))
            for pid in descendants(self.exporters[kind][0].pid) if self.throttle else ():
                self.throttle.enter(pid)

    def export(self, kind):
        type_ = "disk-flasher" if kind == "ours" else "stock_disk.Disk"
        return {"disk": {"type": type_, "config": {"storage_device": str(self.disk)}}, **self.bench.board.few(),
                "console0": self.bench.board.serial(self.bench.kinds.index(kind))}

    def piece(self, mib):
        """The beginning of the image, as a file."""
        path = self.root / f"{mib}.img"
        if not path.exists():
            with open(path, "wb") as file:
                subprocess.run(["head", "-c", str(mib * MIB), self.whole], stdout=file, check=True)
        return path

    def rate(self, mib, words, env=None):
        """MiB/s of one run; in the throttled group, unless it is a client's."""
        if env is None and self.throttle:
            words = self.throttle.command(words)
        begun = time.monotonic()
        done = subprocess.run([str(word) for word in words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        taken = time.monotonic() - begun
        assert done.returncode == 0, f"{words}: {done.stderr.decode(errors='replace')[-2000:]}"
        return mib / taken

    def dd(self, source=None):
        return ["dd", f"of={self.disk}", "bs=4M", "conv=fsync,notrunc", *self.direct,
                f"if={source}" if source else "iflag=fullblock"]

    def pipe(self, *parts):
        return ["sh", "-c", " | ".join(shlex.join(map(str, part)) for part in parts)]

    def flash(self, mib, kind, *words):
        env = {**self.bench.env, "JUMPSTARTER_HOST": self.exporters[kind][1], "JMP_DRIVERS_ALLOW": "UNSAFE",
               "JMP_GRPC_INSECURE": "1"}
        return self.rate(mib, [self.bench.build / "ctl/jmpctl", "disk", "flash", *words], env)

    def row(self, what, mib, bare, words, kinds=None, aim=""):
        """All of a row by turns, so that what the machine does besides hits each alike. `bare`: a command."""
        rates = {}
        for _ in range(self.rounds):
            if bare:
                rates.setdefault("bare", []).append(self.rate(mib, bare))
            for kind in kinds or self.exporters:
                rates.setdefault(kind, []).append(self.flash(mib, kind, *words))
        self.figures.add(what, {kind: statistics.median(values) for kind, values in rates.items()}, "MiB/s", aim=aim)

    def plain(self, what, limit, mib):
        if self.throttle:
            self.throttle.limit(limit and limit * MIB)
        source = self.piece(mib)
        url = f"{self.base}/{source.name}"
        self.row(f"{what}: a file", mib, self.dd(source), [source], aim="0.95 of dd")
        self.row(f"{what}: a URL, of curl | dd", mib, self.pipe(["curl", "-s", url], self.dd()), [url], ["ours"], aim="0.95 of that")

    def packed(self, encoding):
        ends, pack, unpack, mib = FORMATS[encoding]
        source = self.piece(mib)
        subprocess.run([*pack.split(), source], check=True)
        packed = Path(f"{source}{ends}")
        url = f"{self.base}/{packed.name}"
        self.row(f"{encoding}: a file, of {encoding}", mib, self.pipe([*unpack.split(), packed]),
                 ["--compression", encoding, packed], aim="of the decompressor")
        self.row(f"{encoding}: a file, of {encoding} | dd", mib, self.pipe([*unpack.split(), packed], self.dd()),
                 ["--compression", encoding, packed], ["ours"])
        self.row(f"{encoding}: a URL, of curl | {encoding} | dd", mib,
                 self.pipe(["curl", "-s", url], unpack.split(), self.dd()), [url], ["ours"])
        packed.unlink()

    def checked(self):
        """The same with a checksum, which the flasher always makes."""
        source = self.piece(SIZE // MIB)
        url = f"{self.base}/{source.name}"
        summed = f"curl -s {url} | tee /dev/fd/3 | {shlex.join(self.dd())}"
        self.row("no limit: a URL, of curl | tee | sha256sum, dd", SIZE // MIB,
                 ["sh", "-c", f"{{ {summed}; }} 3>&1 >/dev/null | sha256sum"], [url], ["ours"])

    def meanwhile(self):
        """What others see of a flash: a call and the echo of a console, at rest and beside it by turns. An image from a file passes
        the agent's loop as they do, one from a URL does not."""
        mib = min(int(MEANWHILE * (self.bench.seconds + 2)), SIZE // MIB)
        source = self.piece(mib)
        self.throttle.limit(MEANWHILE * MIB)
        self.figures.head(f"Beside a flash of {MEANWHILE} MiB/s; bare: ours at rest")
        images = {"": source, ", a URL": f"{self.base}/{source.name}"}
        for what, mode, driver in (("a call", "unary", "power"), ("a console's echo", "echo", "console0")):
            rounds = {}
            for _ in range(self.rounds):
                for kind in self.exporters:
                    rounds.setdefault((kind, ", at rest"), []).append(self.ask(kind, mode, driver))
                    for title, image in images.items() if kind == "ours" else [("", source)]:
                        writing = Background(self.flash, mib, kind, image)
                        rounds.setdefault((kind, title), []).append(self.ask(kind, mode, driver))
                        if not writing.is_alive():
                            print(f"    {what}, {kind}: the flash was over before the measurement")
                        writing.result(120)
            for part in ("p50", "p99"):
                got = {key: statistics.median(result[f"{part}_us"] for result in results) / 1000
                       for key, results in rounds.items() if all(results)}
                for title in (", at rest", *images):
                    values = {kind: got[kind, title] for kind in self.exporters if (kind, title) in got}
                    if title != ", at rest" and ("ours", ", at rest") in got:
                        values["bare"] = got["ours", ", at rest"]
                    self.figures.add(f"{what}, {part}{title}", values, "ms", lower=True)

    def ask(self, kind, mode, driver):
        program, endpoint = self.exporters[kind]
        with echoing(self.bench.board.ptys[self.bench.kinds.index(kind)][0]):
            return self.bench.measure(program, ("--target", endpoint), mode, "--driver", driver)


def measure(bench, wanted, stack):
    flashing = Flashing(bench, stack)
    if flashing.throttle is None:
        print("neither a loop device nor control groups for it: nothing is as slow as real media are")
    flashing.rate(SIZE // MIB, flashing.dd(flashing.whole))      # once for nothing: the first writer pays for what the others find
    if wanted("storage"):
        bench.figures.head("Flashing; bare: dd to the same device, or what else is named")
        for what, limit, mib in DEVICES:
            if limit is None or flashing.throttle:
                flashing.plain(what if limit is None else f"{what}, {limit} MiB/s", limit, mib)
        flashing.checked()
        for encoding in FORMATS:
            flashing.packed(encoding)
    if wanted("meanwhile") and flashing.throttle:
        flashing.meanwhile()
    for program, _ in flashing.exporters.values():
        program.stop()
