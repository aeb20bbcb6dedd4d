# SPDX-License-Identifier: Apache-2.0
"""Images onto block devices by the stock client: every encoding, URLs, formats, and what is refused or goes wrong."""

import bz2
import fcntl
import gzip
import json
import lzma
import os
import shlex
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from backports import zstd
from harness import exporter as exporters
from harness import stock
from harness.background import Background
from harness.board import payload
from harness.certificates import Authority
from harness.media import MIB, Web, android_sparse, block_map, checksum, loop_device, medium, sparse_image
from harness.lab import CtlLease
from harness.place import BIN
from harness.program import Program, descendants, run, wait_until
from harness.stock import Duplex, Raw, failure, resource_request, upload

pytestmark = pytest.mark.native(reason="it has no such drivers")

PACK = {None: lambda d: d, "gzip": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress,
        "zstd": lambda d: zstd.compress(d, options={zstd.CompressionParameter.checksum_flag: True})}    # as the tool does it
IMAGE = payload(MIB, "one") + bytes(4 * MIB) + payload(MIB + 4096, "two") + bytes(MIB - 4096) + payload(4096, "end")
SIZE = 16 * MIB


@pytest.fixture
def disk(place, request):
    """A loop device, or where we may not have one a file; both of `size` bytes."""
    path = medium(place.root / f"medium-{request.node.name.replace('/', '_')[:40]}", SIZE)
    with loop_device(path) as device:
        yield device or path
    path.unlink()


def export(disk, **config):
    return {"storage": {"type": "storage-mux",
                        "config": {"storage_device": str(disk), "storage_timeout": 1, **config},
                        "children": {"switch": {"ref": "sd_select"}}},
            "sd_select": exporters.driver(exporters.POWER),
            "disk": {"type": "disk-flasher", "config": {"storage_device": str(disk), "storage_timeout": 1, **config}}}


@pytest.fixture
def mux(serve, disk):
    return serve(export(disk, verify=True))


@pytest.fixture
def j(place):
    """The stock command at an exporter: j(exporter, "storage", "flash", path)."""
    return lambda exporter, *words: stock.j(exporter.endpoint, *words, env=place.env)


@pytest.fixture
def web():
    web = Web()
    yield web
    web.close()


@pytest.mark.parametrize("encoding", PACK, ids=str)
def test_flash_and_dump(mux, j, place, disk, encoding):
    packed, back = place.file("disk.img", PACK[encoding](IMAGE)), place.root / "back"
    how = ["--compression", encoding] if encoding else []
    unpack = {None: "cat", "gzip": "zcat", "xz": "xzcat", "bz2": "bzcat", "zstd": "zstdcat"}[encoding]
    for words in (["flash", *how, packed], ["dump", *how, back], ["host"], ["dut"]):
        j(mux, "storage", *words).ok()
    assert checksum(disk, len(IMAGE)) == checksum(place.file("plain", IMAGE), len(IMAGE))
    same = subprocess.run(f"{unpack} < {back} | cmp - {disk}", shell=True, capture_output=True, text=True)
    assert same.returncode == 0, same
    mux.program.wait_line("read back and compared")
    mux.program.wait_line("sha256 " + checksum(place.root / "plain", len(IMAGE)))


@pytest.mark.timeout(600)
def test_two_gigabytes(serve, shell, place):
    """Packed ones of that size are in test_flash_long.py."""
    size = 2 << 30
    image = sparse_image(place.root / "large.img", size, 32 * MIB)
    path = medium(place.root / "large.medium", size)
    with loop_device(path) as device:
        if not device:
            pytest.skip("no right to a loop device")
        shell(f"j storage flash {image}", endpoint=serve(export(device)).endpoint, timeout=400).ok()
        assert checksum(device, size) == checksum(image, size)
    image.unlink()
    path.unlink()


def test_android_sparse_image(mux, j, place, disk):
    before = payload(SIZE, "before")
    j(mux, "storage", "flash", place.file("before", before)).ok()
    j(mux, "storage", "flash", place.file("sparse", android_sparse(IMAGE))).ok()
    expect_mapped(disk, before)


def expect_mapped(disk, before):
    """Data is the image's; what is a hole in it is what was there before."""
    found = disk.open("rb").read(SIZE)
    for at in range(0, SIZE, 4096):
        block = IMAGE[at:at + 4096]
        assert found[at:at + 4096] == (block if block.strip(b"\0") else before[at:at + 4096]), at


def test_block_map_before_its_image(mux, j, place, disk):
    before = payload(SIZE, "before")
    j(mux, "storage", "flash", place.file("before", before)).ok()
    j(mux, "storage", "flash", place.file("x.bmap", block_map(IMAGE))).ok()
    j(mux, "storage", "flash", "--compression", "xz", place.file("x.img.xz", lzma.compress(IMAGE))).ok()
    expect_mapped(disk, before)


def test_block_map_as_a_target(mux, j, place, disk):
    before = payload(SIZE, "before")
    bmap, image = place.file("x.bmap", block_map(IMAGE)), place.file("x.img", IMAGE)
    j(mux, "disk", "flash", place.file("before", before)).ok()
    j(mux, "disk", "flash", "-t", f"bmap:{bmap}", "-t", f"image:{image}").ok()
    expect_mapped(disk, before)


def test_image_that_is_not_the_maps(mux, j, place):
    wrong = bytearray(IMAGE)
    wrong[5 * MIB + 10] ^= 1
    j(mux, "storage", "flash", place.file("x.bmap", block_map(IMAGE))).ok()
    said = j(mux, "storage", "flash", place.file("x.img", bytes(wrong)))
    assert said.status != 0 and "have another checksum" in str(said)


@pytest.mark.parametrize("what", ["too large", "compressed", "no medium"])
def test_what_is_refused(serve, j, place, disk, what):
    exporter = serve(export("/dev/disk/by-path/nothing" if what == "no medium" else disk))
    data = {"too large": payload(SIZE + 1, "x"), "compressed": gzip.compress(b"x"), "no medium": b"x"}[what]
    words = {"too large": f"{SIZE} bytes", "compressed": "--compression gzip", "no medium": "no medium in"}[what]
    said = j(exporter, "storage", "flash", place.file("image", data))
    assert said.status != 0 and words in str(said)
    exporter.program.wait_line("power off")     # the client says dut, also after a failure
    assert exporter.program.output().count("power off") == 1


def test_mounted_disk_is_refused(serve, j, place, disk):
    if os.geteuid() != 0 or not str(disk).startswith("/dev/"):
        pytest.skip("only root mounts")
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True, timeout=60, capture_output=True)
    where = place.root / "mounted"
    where.mkdir()
    subprocess.run(["mount", disk, where], check=True, timeout=60)
    try:
        said = j(serve(export(disk)), "storage", "flash", place.file("image", b"x" * 4096))
        assert said.status != 0 and f"mounted on {where}" in str(said)
    finally:
        subprocess.run(["umount", where], check=True, timeout=60)


def test_the_machines_own_disk_is_refused(serve, j, place):
    source = subprocess.run(["findmnt", "-no", "SOURCE", "/"], capture_output=True, text=True).stdout.strip()
    if not source.startswith("/dev/"):
        pytest.skip("/ is on no block device")
    # of a size that would end at once, were it to begin
    said = j(serve(export(source)), "storage", "flash", place.file("empty", b"x"))
    assert said.status != 0 and "runs from" in str(said)


BAD_ARCHIVES = {"cut short": (lambda pack: pack(IMAGE)[:-20], "ends too early"),
                "damaged": (lambda pack: pack(IMAGE)[:5000] + b"?" * 5000 + pack(IMAGE)[10000:], "damaged"),
                "none at all": (lambda pack: b"no archive" * 100, "damaged, or is not"),
                "larger than it seems": (lambda pack: pack(bytes(2 * SIZE)), f"larger than the medium, which has {SIZE} bytes")}


@pytest.mark.parametrize("encoding", [name for name in PACK if name])
def test_a_bad_archive_is_one_error_and_the_mux_goes_back(serve, disk, encoding):
    exporter = serve(export(disk))
    with Raw(exporter.endpoint) as raw:
        raw.call(raw.uuid("storage"), "dut")
        for what, (make, words) in BAD_ARCHIVES.items():
            mark = exporter.program.mark()
            error = failure(lambda: upload(raw, "storage", make(PACK[encoding]), "write", encoding=encoding))
            assert words in error.details(), f"{what}: {error}"
            exporter.program.wait_line("storage switched back to the board, where it was", since=mark)


BEGUN = 5 * 60_000     # bytes; the agent looks at the first quarter of a mebibyte before it writes


def begin(raw, exporter):
    """An upload that has begun: its stream, and the call in the background."""
    stream = Duplex(raw, resource_request(raw.uuid("storage")), timeout=60)
    stream.__enter__()
    handle = json.loads(stream.headers()["resource"])
    calling = Background(raw.call, raw.uuid("storage"), "write", handle, timeout=60)
    for at in range(0, BEGUN, 60_000):
        stream.send(IMAGE[at:at + 60_000])
    exporter.program.wait_line("writing a plain image")
    return stream, calling


def test_client_that_vanishes_has_the_mux_go_back(serve, disk):
    """The board keeps its medium when whoever wanted to flash it has gone."""
    exporter = serve(export(disk))
    with Raw(exporter.endpoint) as raw:
        for switch in ("dut", "host"):
            raw.call(raw.uuid("storage"), switch)
        _, calling = begin(raw, exporter)
    assert failure(calling.result)
    exporter.program.wait_line("storage switched back to the board, where it was")
    with Raw(exporter.endpoint) as raw:         # and serves the next one
        raw.call(raw.uuid("storage"), "host")


def test_jmpctl_says_how_large_an_image_is(serve, place, build, disk):
    """One that cannot fit leaves the medium as it was; from a pipe, nobody knows before the medium is full."""
    exporter = serve(export(disk))
    env = {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1"}
    large, before = place.file("large", payload(SIZE + 1, "x")), checksum(disk, SIZE)
    said = run([build / "ctl/jmpctl", "disk", "flash", large], env=env)
    assert said.status != 0 and f"{SIZE + 1} bytes" in str(said) and checksum(disk, SIZE) == before
    assert run(["sh", "-c", f"cat {large} | {build}/ctl/jmpctl disk flash -"], env=env).status != 0
    assert checksum(disk, SIZE) != before
    run([build / "ctl/jmpctl", "disk", "flash", place.file("small", IMAGE)], env=env).ok()
    assert checksum(disk, len(IMAGE)) == checksum(place.file("plain", IMAGE), len(IMAGE))


def test_ctrl_c_while_a_pipe_is_silent(serve, place, build, disk):
    """Obeyed at once, though the pipe's writer neither goes on nor ends; and the board gets its medium."""
    exporter = serve(export(disk))
    ours, theirs = os.pipe()
    env = {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1"}
    with open(ours, "rb") as reading, open(theirs, "wb", buffering=0) as writing:
        flashing = Program([build / "ctl/jmpctl", "storage", "flash", "-"], env=env, stdin=reading)
        writing.write(IMAGE[:BEGUN])
        exporter.program.wait_line("writing a plain image", timeout=60)
        mark = exporter.program.mark()
        os.kill(flashing.pid, signal.SIGINT)
        assert flashing.wait(60) != 0
    assert "being transferred" not in flashing.output()
    exporter.program.wait_line("power off", since=mark)


def test_ctrl_c_while_nobody_reads(serve, place, build, disk):
    """A dump into a pipe whose reader has stopped is ended as quickly as any other."""
    exporter = serve(export(disk))
    ours, theirs = os.pipe()
    env = {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1"}
    with open(ours, "rb", buffering=0) as reading:
        with open(theirs, "wb") as writing:
            dumping = Program(["bash", "-c", 'exec "$0" storage dump - >&"$1"', build / "ctl/jmpctl", writing.fileno()],
                              env=env, pass_fds=[writing.fileno()], name="jmpctl storage dump")
        wait_until(lambda: waiting(reading) == fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ), 20, dumping.tail)
        mark = exporter.program.mark()
        os.kill(dumping.pid, signal.SIGINT)
        assert dumping.wait(60) != 0
    exporter.program.wait_line("power off", since=mark)


def waiting(pipe):
    """Bytes that are in it."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def test_the_end_of_a_lease_gives_the_board_its_medium_back(lab, kind, build, disk):
    """Whoever is flashing does not let go; the next one to lease it finds the board as it was."""
    exporter = lab.add_exporter(kind, export(disk))
    ours, theirs = os.pipe()
    with open(ours, "rb") as reading, open(theirs, "wb", buffering=0) as writing, \
            CtlLease(lab, build / "ctl/jmpctl", "-n", exporter.name) as lease:
        command = [build / "ctl/jmpctl", "--client-config", lab.clients["alice"], "--lease", lease.name, "storage"]
        run([*command, "dut"], env=lab.place.env, timeout=60).ok()
        flashing = Program([*command, "flash", "-"], env=lab.place.env, stdin=reading)
        writing.write(IMAGE[:BEGUN])
        exporter.program.wait_line("writing a plain image", timeout=60)
        mark = exporter.program.mark()
        lab.config().delete_lease(name=lease.name)
        exporter.program.wait_line("storage switched back to the board, where it was", timeout=60, since=mark)
        lab.wait_status(exporter.name, "AVAILABLE")
        assert flashing.wait(60) != 0
        flashing.forget()


def test_no_switching_while_an_image_is_written(serve, place, disk):
    exporter = serve(export(disk))
    with Raw(exporter.endpoint) as raw:
        raw.call(raw.uuid("storage"), "host")
        stream, calling = begin(raw, exporter)
        error = failure(lambda: raw.call(raw.uuid("storage"), "dut"))
        assert "being transferred" in error.details()
        for at in range(BEGUN, len(IMAGE), 60_000):
            stream.send(IMAGE[at:at + 60_000])
        stream.goaway()
        calling.result()
        stream.__exit__(None, None, None)
    assert checksum(disk, len(IMAGE)) == checksum(place.file("plain", IMAGE), len(IMAGE))


def test_writes_are_large_and_past_the_page_cache(serve, disk):
    """So that nothing of an image is dirty in memory, and the device is asked seldom."""
    if not str(disk).startswith("/dev/"):
        pytest.skip("no right to a loop device")
    exporter = serve(export(disk))

    def done():
        """Bytes and requests written so far."""
        fields = Path(f"/sys/block/{disk.name}/stat").read_text().split()
        return int(fields[6]) * 512, int(fields[4])

    before = done()
    with Raw(exporter.endpoint) as raw:
        stream, calling = begin(raw, exporter)
        flags = [line.split()[1] for pid in descendants(exporter.program.pid) for fd in Path(f"/proc/{pid}/fd").iterdir()
                 if os.path.realpath(fd) == str(disk)
                 for line in Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text().splitlines() if line.startswith("flags:")]
        for at in range(BEGUN, len(IMAGE), 60_000):
            stream.send(IMAGE[at:at + 60_000])
        stream.goaway()
        calling.result()
        stream.__exit__(None, None, None)
    assert flags and all(int(each, 8) & os.O_DIRECT for each in flags), flags
    written, requests = (after - at_first for after, at_first in zip(done(), before))
    assert written >= len(IMAGE) - 4 * MIB and written / requests >= 256 * 1024, (written, requests)


class TestUrls:
    @pytest.mark.parametrize("encoding", PACK, ids=str)
    def test_image_by_url(self, mux, j, place, disk, web, encoding):
        name = "/disk.img" + {None: "", "gzip": ".gz", "xz": ".xz", "bz2": ".bz2", "zstd": ".zst"}[encoding]
        web.files[name] = PACK[encoding](IMAGE)
        j(mux, "storage", "flash", f"{web.url(name)}?X-Sig=verysecret").ok()
        assert checksum(disk, len(IMAGE)) == checksum(place.file("plain", IMAGE), len(IMAGE))
        mux.program.wait_line(r"\[REDACTED\]")
        assert "verysecret" not in mux.program.output()

    @pytest.mark.parametrize("encoding", ["gzip", "zstd"])
    def test_a_name_that_says_nothing(self, mux, j, place, disk, web, encoding):
        """Stock clients refuse --compression for URLs, so the bytes themselves have to tell."""
        web.files["/download"] = PACK[encoding](IMAGE)
        j(mux, "storage", "flash", f"{web.url('/download')}?id=5").ok()
        assert checksum(disk, len(IMAGE)) == checksum(place.file("plain", IMAGE), len(IMAGE))
        mux.program.wait_line(f"what comes is {encoding} and is unpacked")

    def test_a_web_page_is_no_image(self, mux, j, disk, web):
        """What a server says to those who have not logged in, with a status of success."""
        before = disk.open("rb").read(4096)
        web.files["/disk.img"] = b"<!DOCTYPE html><title>Sign in</title>"
        said = j(mux, "storage", "flash", web.url("/disk.img"))
        assert said.status != 0 and "it is a web page" in str(said)
        assert disk.open("rb").read(4096) == before

    def test_redirects_keep_the_signature_as_it_is(self, mux, j, disk, web, place):
        other = Web()
        web.redirects["/start"] = "step%20two?sig=a%2Bb%2f"
        web.redirects["/step%20two"] = other.url("/a%2Fimage?sig=%41%3d")
        other.files["/a%2Fimage"] = IMAGE
        try:
            j(mux, "storage", "flash", web.url("/start")).ok()
        finally:
            other.close()
        assert [path for path, _ in web.requests] == ["/start", "/step%20two?sig=a%2Bb%2f"]
        assert [path for path, _ in other.requests] == ["/a%2Fimage?sig=%41%3d"]
        assert checksum(disk, len(IMAGE)) == checksum(place.file("plain", IMAGE), len(IMAGE))

    def handle(self, url, method="GET", **headers):
        return {"kind": "presigned_request", "url": url, "method": method, "headers": headers}

    def test_credentials_are_not_taken_along(self, mux, web):
        other = Web()
        web.redirects["/x"] = other.url("/x")
        other.files["/x"] = IMAGE
        try:
            with Raw(mux.endpoint) as raw:
                raw.call(raw.uuid("storage"), "write",
                         self.handle(web.url("/x"), Authorization="Bearer t", Cookie="c", **{"x-amz-a": "1", "x-other": "2"}))
        finally:
            other.close()
        (_, first), (_, second) = web.requests[0], other.requests[0]
        assert {"authorization", "cookie", "x-amz-a", "x-other"} <= first.keys()
        assert "x-other" in second and not {"authorization", "cookie", "x-amz-a"} & second.keys()

    def test_dump_is_left_behind_a_url(self, mux, disk, web):
        with Raw(mux.endpoint) as raw:
            raw.call(raw.uuid("disk"), "dump", self.handle(web.url("/left?sig=secret"), "PUT"), None)
        assert web.left["/left"] == disk.open("rb").read(SIZE)

    @pytest.mark.parametrize("case", ["missing", "circle", "refused", "method"])
    def test_what_goes_wrong_is_said_without_the_query(self, mux, web, case):
        web.redirects["/circle"] = "/circle?verysecret"
        url, method, words, code = {
            "missing": (web.url("/none?verysecret"), "GET", "the server answered 404", "UNKNOWN"),
            "circle": (web.url("/circle?verysecret"), "GET", "more than 10 redirects", "UNKNOWN"),
            "refused": ("http://127.0.0.1:1/x?verysecret", "GET", "connect", "UNKNOWN"),
            "method": (web.url("/none?verysecret"), "POST", "GET", "INVALID_ARGUMENT")}[case]
        with Raw(mux.endpoint) as raw:
            error = failure(lambda: raw.call(raw.uuid("storage"), "write", self.handle(url, method)))
        assert error.code().name == code and words in error.details() and "verysecret" not in error.details()
        assert "verysecret" not in mux.program.output()

    def test_certificates_are_checked(self, serve, j, place, disk):
        authority = Authority(place.root)
        web = Web(authority.issue())
        web.files["/disk.img"] = IMAGE
        try:
            said = j(serve(export(disk)), "storage", "flash", web.url("/disk.img"))
            assert said.status != 0 and "certificate" in str(said).lower()
            trusting = serve(export(disk), env={"SSL_CERT_FILE": str(authority.path)})
            j(trusting, "storage", "flash", web.url("/disk.img")).ok()
        finally:
            web.close()
        assert checksum(disk, len(IMAGE)) == checksum(place.file("plain", IMAGE), len(IMAGE))


def test_calls_are_quick_while_a_flash_runs(serve, place, disk):
    """Another device answers while an image is being written; asserted is that it does, not how fast."""
    exporter = serve(export(disk))
    env = {**place.env, "JUMPSTARTER_HOST": exporter.endpoint, "JMP_DRIVERS_ALLOW": "UNSAFE", "JMP_GRPC_INSECURE": "1",
           "_JMP_SUPPRESS_DRIVER_WARNINGS": "1"}
    client = Program(["sh", "-c", f"for i in 1 2 3; do {shlex.quote(str(BIN / 'j'))} storage flash "
                                  f"{place.file('plain', IMAGE)} || exit 1; done"], env=env, name="flashing")
    calls = 0
    with Raw(exporter.endpoint) as raw:
        uuid = raw.uuid("sd_select")
        while client.alive():
            raw.call(uuid, "on", timeout=10)
            calls += 1
    assert client.wait() == 0 and calls > 10
    wait_until(lambda: "bytes written" in exporter.program.output(), 10, lambda: exporter.program.tail())
