# SPDX-License-Identifier: Apache-2.0
"""Images onto a disk: our flasher, fed by jmpctl, beside dd of the same data and device, and beside the bare decompressors."""

import contextlib
import http.server
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.media import MIB, loop_device  # noqa: E402
from harness.program import Program  # noqa: E402

import lab as labs  # noqa: E402

SIZE = 512 * MIB
UNPACK = {"zstd": ["zstd", "-dcq"], "gzip": ["gzip", "-dc"], "xz": ["xz", "-dc"]}
PACK = {"zstd": ["zstd", "-q", "-f", "-3"], "gzip": ["gzip", "-f", "-k", "-1"], "xz": ["xz", "-f", "-k", "-0", "-T2"]}
ENDS = {"zstd": ".zst", "gzip": ".gz", "xz": ".xz"}


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


def rate(command, env=None, rounds=3):
    """MiB/s of the image, the median."""
    taken = []
    for _ in range(rounds):
        begun = time.monotonic()
        done = subprocess.run([str(word) for word in command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        taken.append(time.monotonic() - begun)
        assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')[-2000:]}"
    return SIZE / MIB / statistics.median(taken)


class Files(http.server.SimpleHTTPRequestHandler):
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


def measure(figures, build, config_text, free_port, stack, rounds):
    figures.head(f"Flashing {SIZE // MIB} MiB; bare: dd to the same device, and the decompressor alone")
    place = labs.Directory(stack)
    plain, disk = place.root / "disk.img", place.root / "medium"
    image(plain)
    with open(disk, "wb") as file:      # all of it there: no writer has to look for room
        os.posix_fallocate(file.fileno(), 0, SIZE)
    device = stack.enter_context(loop_device(disk))
    where = device or disk
    if not device:
        print("no right to a loop device: a file is written")
    port = free_port()
    config = place.file("exporter.yaml", config_text({"disk": {"type": "disk-flasher",
                                                               "config": {"storage_device": str(where)}}}, "bench-storage"))
    env = place.env(build)
    agent = Program([build / "agent/jmp-agent", "run", "--exporter-config", config, "--tls-grpc-insecure",
                     "--tls-grpc-listener", f"127.0.0.1:{port}"], env=env)
    agent.wait_line("listening on")
    client = {**env, "JUMPSTARTER_HOST": f"127.0.0.1:{port}", "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1"}
    dd = ["dd", f"if={plain}", f"of={where}", "bs=4M", "conv=fsync,notrunc", *(["oflag=direct"] if device else [])]
    jmpctl = [build / "ctl/jmpctl", "disk", "flash"]
    base = stack.enter_context(web(place.root))
    rate(dd, rounds=1)                  # once for nothing: the first writer pays for what the others find
    bare = rate(dd, rounds=rounds)
    figures.add("plain image", {"bare": bare, "ours": rate([*jmpctl, plain], client, rounds)}, "MiB/s", aim="0.95 of dd")
    figures.add("plain image by URL", {"bare": bare, "ours": rate([*jmpctl, f"{base}/{plain.name}"], client, rounds)}, "MiB/s",
                aim="0.95 of dd")
    for encoding, unpack in UNPACK.items():
        subprocess.run([*PACK[encoding], plain], check=True)
        packed = Path(f"{plain}{ENDS[encoding]}")
        ours = rate([*jmpctl, "--compression", encoding, packed], client, rounds)
        figures.add(f"{encoding} image", {"bare": rate([*unpack, packed], rounds=rounds), "ours": ours}, "MiB/s",
                    aim="of the decompressor")
        piped = f"{' '.join(unpack)} '{packed}' | {' '.join(word for word in dd if not word.startswith('if='))} iflag=fullblock"
        figures.add(f"{encoding} image by URL, of {encoding} | dd",
                    {"bare": rate(["sh", "-c", piped], rounds=rounds),
                     "ours": rate([*jmpctl, f"{base}/{packed.name}"], client, rounds)}, "MiB/s")
        packed.unlink()
    agent.stop()
