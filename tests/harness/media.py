# SPDX-License-Identifier: Apache-2.0
"""Media and web servers for images: loop devices on sparse files, images that are mostly holes, a server that redirects."""

import contextlib
import hashlib
import http.server
import io
import os
import shutil
import ssl
import struct
import subprocess
import threading
import zlib
from pathlib import Path

from .board import payload

MIB = 1 << 20


@contextlib.contextmanager
def loop_device(path):
    """A loop device on `path`, or None where there is no right to one."""
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        yield None
        return
    found = subprocess.run(["losetup", "--find", "--show", str(path)], capture_output=True, text=True, timeout=30)
    if found.returncode != 0:
        yield None
        return
    device = found.stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=30)


def medium(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def checksum(path, size):
    """SHA-256 of the first `size` bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0:
            data = file.read(min(size, 4 * MIB))
            assert data, f"{path} ends {size} bytes too early"
            digest.update(data)
            size -= len(data)
    return digest.hexdigest()


def sparse_image(path, size, step):
    """Holes, with 64 KiB of data at every `step` bytes and at the end."""
    with open(path, "wb") as file:
        for offset in [*range(0, size, step), size - 65536]:
            file.seek(offset)
            file.write(payload(65536, f"at {offset}"))
    return path


def blocks_with_data(image, block):
    return [i for i in range(-(-len(image) // block)) if image[i * block:(i + 1) * block].strip(b"\0")]


def ranges(blocks):
    """[(first, last)] of a sorted list."""
    found = []
    for block in blocks:
        if found and block == found[-1][1] + 1:
            found[-1] = (found[-1][0], block)
        else:
            found.append((block, block))
    return found


def block_map(image, block=4096):
    """As bmaptool writes it."""
    mapped = ranges(blocks_with_data(image, block))
    lines = ['<?xml version="1.0" ?>', '<bmap version="2.0">', f"  <ImageSize> {len(image)} </ImageSize>",
             f"  <BlockSize> {block} </BlockSize>", f"  <BlocksCount> {-(-len(image) // block)} </BlocksCount>",
             f"  <MappedBlocksCount> {sum(last - first + 1 for first, last in mapped)} </MappedBlocksCount>",
             "  <ChecksumType> sha256 </ChecksumType>", f"  <BmapFileChecksum> {'0' * 64} </BmapFileChecksum>",
             "  <BlockMap>"]
    for first, last in mapped:
        digest = hashlib.sha256(image[first * block:(last + 1) * block]).hexdigest()
        lines.append(f'    <Range chksum="{digest}"> {first}-{last} </Range>')
    text = "\n".join([*lines, "  </BlockMap>", "</bmap>", ""])
    return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()).encode()


def android_sparse(image, block=4096):
    """Raw chunks where there is data, "don't care" ones where there is none, and a checksum at the end."""
    assert len(image) % block == 0
    total, chunks, at = len(image) // block, [], 0
    for first, last in [*ranges(blocks_with_data(image, block)), (total, total)]:
        if first > at:
            chunks.append(struct.pack("<HHII", 0xCAC3, 0, first - at, 12))
        if first < total:
            data = image[first * block:(last + 1) * block]
            chunks.append(struct.pack("<HHII", 0xCAC1, 0, last - first + 1, 12 + len(data)) + data)
            at = last + 1
    chunks.append(struct.pack("<HHIII", 0xCAC4, 0, 0, 16, zlib.crc32(image)))
    return struct.pack("<IHHHHIIII", 0xED26FF3A, 1, 0, 28, 12, block, total, len(chunks), 0) + b"".join(chunks)


class Web:
    """Serves `files` (path to bytes, or to a Path of the file that has them), keeps what is PUT, and redirects by
    `redirects` (path to location)."""

    def __init__(self, certificate=None):
        self.files, self.redirects, self.left, self.requests = {}, {}, {}, []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                path = self.path.partition("?")[0]
                if path in web.redirects:
                    self.send_response(302)
                    self.send_header("Location", web.redirects[path])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif path in web.files:
                    content = web.files[path]
                    with open(content, "rb") if isinstance(content, Path) else io.BytesIO(content) as file:
                        self.send_response(200)
                        self.send_header("Content-Length", str(file.seek(0, os.SEEK_END)))
                        self.end_headers()
                        file.seek(0)
                        shutil.copyfileobj(file, self.wfile, MIB)
                else:
                    self.send_error(404)

            def do_PUT(self):
                assert self.headers["Transfer-Encoding"] == "chunked"
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                web.left[self.path.partition("?")[0]] = body
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def url(self, path):
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}{path}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)
