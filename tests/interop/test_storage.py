# SPDX-License-Identifier: Apache-2.0
"""Files lent to a driver: each encoding both ways, files of several members, uploads that are cut short."""

import bz2
import gzip
import hashlib
import json
import lzma

import pytest
from backports import zstd
from harness import exporter as exporters
from harness.background import Background
from harness.board import payload
from harness.program import ProgramError
from harness.stock import DATA, GOAWAY, Duplex, Raw, failure, resource_request
from jumpstarter_driver_opendal.adapter import OpendalAdapter
from opendal import Operator

PACK = {None: lambda d: d, "gzip": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zstd": zstd.compress}
UNPACK = {None: lambda d: d, "gzip": gzip.decompress, "xz": lzma.decompress, "bz2": bz2.decompress,
          "zstd": zstd.decompress}

# an image: parts that compress and parts that do not
IMAGE = payload(1 << 20, "image") + bytes(3 << 20) + payload(65537, "image tail")


def lend(driver, path, mode, encoding, call):
    operator = Operator("fs", root="/")
    with OpendalAdapter(client=driver, operator=operator, path=str(path), mode=mode, compression=encoding) as handle:
        return getattr(driver, call)(handle)


@pytest.mark.parametrize("encoding", PACK, ids=str)
def test_image_goes_in_and_comes_out(root, place, encoding, exporter):
    driver = root.children["storage"]
    source, target = place.file("image", PACK[encoding](IMAGE)), place.root / "dump"
    lend(driver, source, "rb", encoding, "write")
    lend(driver, target, "wb", None, "read")
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(IMAGE).digest()
    if encoding and exporter.native:        # the stock mock does not flush its compressor, the end is missing
        lend(driver, target, "wb", encoding, "read")
        packed = target.read_bytes()
        assert packed != IMAGE and UNPACK[encoding](packed) == IMAGE


def test_local_file_by_name(root, place):
    driver = root.children["storage"]
    driver.write_local_file(str(place.file("plain", IMAGE)))
    driver.read_local_file(str(place.root / "plain-back"))
    assert (place.root / "plain-back").read_bytes() == IMAGE


@pytest.mark.parametrize("encoding", PACK, ids=str)
def test_empty_file(root, place, encoding):
    driver = root.children["storage"]
    lend(driver, place.file("empty", PACK[encoding](b"")), "rb", encoding, "write")
    lend(driver, place.root / "empty-back", "wb", None, "read")
    assert (place.root / "empty-back").read_bytes() == b""


@pytest.mark.native(reason="it drops what follows the first member")
@pytest.mark.parametrize("encoding", ["gzip", "xz", "bz2", "zstd"])
def test_several_members_are_one_file(root, place, encoding):
    driver = root.children["storage"]
    parts = [payload(100_000, "one"), b"", bytes(1 << 20), payload(3, "three")]
    lend(driver, place.file("members", b"".join(map(PACK[encoding], parts))), "rb", encoding, "write")
    lend(driver, place.root / "members-back", "wb", None, "read")
    assert (place.root / "members-back").read_bytes() == b"".join(parts)


def test_two_drivers_keep_their_own_image(root, place):
    first, second = root.children["storage"], root.children["lab"].children["storage"]
    lend(first, place.file("a", b"first"), "rb", None, "write")
    lend(second, place.file("b", b"second"), "rb", None, "write")
    lend(first, place.root / "a-back", "wb", None, "read")
    lend(second, place.root / "b-back", "wb", None, "read")
    assert ((place.root / "a-back").read_bytes(), (place.root / "b-back").read_bytes()) == (b"first", b"second")


def test_shorter_image_replaces_the_longer_one(root, place):
    driver = root.children["storage"]
    lend(driver, place.file("long", b"x" * 100_000), "rb", None, "write")
    lend(driver, place.file("short", b"y"), "rb", None, "write")
    lend(driver, place.root / "short-back", "wb", None, "read")
    assert (place.root / "short-back").read_bytes() == b"y"


class TestFrames:
    @pytest.fixture
    def storage(self, raw):
        return raw.uuid("storage")

    @pytest.mark.parametrize("encoding", PACK, ids=str)
    def test_headers_hand_over_the_resource(self, raw, storage, encoding):
        with Duplex(raw, resource_request(storage, encoding), timeout=10) as stream:
            headers = stream.headers()
            resource = json.loads(headers["resource"])
            assert resource.pop("uuid")
            assert resource == {"kind": "client_stream", "x_jmp_content_encoding": encoding}
            assert headers.get("x_jmp_accept_encoding", "") == (encoding or "")

    def handle(self, stream):
        return json.loads(stream.headers()["resource"])

    def test_upload_ends_with_a_goaway_of_the_exporter(self, raw, storage):
        with Duplex(raw, resource_request(storage), timeout=20) as stream:
            handle = self.handle(stream)
            stream.send(b"0123456789")
            stream.goaway()
            stream.half_close()
            raw.call(storage, "write", handle)
            data, _ = stream.read_to_end()      # without it the client would wait for ever
            assert data == b""

    def test_upload_may_begin_after_the_call(self, raw, storage):
        with Duplex(raw, resource_request(storage), timeout=20) as stream:
            handle = self.handle(stream)
            calling = Background(raw.call, storage, "write", handle)
            stream.send(b"late")
            stream.goaway()
            calling.result(20)
            stream.read_to_end()
        assert self.download(raw, storage) == b"late"

    def download(self, raw, storage, encoding=None):
        with Duplex(raw, resource_request(storage, encoding), timeout=20) as stream:
            handle = self.handle(stream)
            stream.goaway()
            stream.half_close()
            calling = Background(raw.call, storage, "read", handle)
            data, _ = stream.read_to_end()
            calling.result(20)
            return data

    def test_download_ends_with_a_goaway_too(self, raw, storage, exporter):
        with Duplex(raw, resource_request(storage), timeout=20) as stream:
            handle = self.handle(stream)
            stream.send(IMAGE[:100_000])
            stream.goaway()
            raw.call(storage, "write", handle)
        assert self.download(raw, storage) == IMAGE[:100_000]
        if exporter.native:
            assert gzip.decompress(self.download(raw, storage, "gzip")) == IMAGE[:100_000]

    def test_resource_serves_once(self, raw, storage):
        with Duplex(raw, resource_request(storage), timeout=20) as stream:
            handle = self.handle(stream)
            stream.send(b"once")
            stream.goaway()
            raw.call(storage, "write", handle)
            error = failure(lambda: raw.call(storage, "write", handle))
            assert error.code().name == "UNKNOWN" and handle["uuid"] in error.details(), error

    def test_resource_belongs_to_its_driver(self, raw, storage):
        with Duplex(raw, resource_request(storage), timeout=20) as stream:
            handle = self.handle(stream)
            error = failure(lambda: raw.call(raw.uuid("lab.storage"), "write", handle))
            assert error.code().name == "UNKNOWN" and handle["uuid"] in error.details(), error

    def test_unused_resource_goes_with_its_stream(self, raw, storage, exporter):
        for _ in range(20):
            with Duplex(raw, resource_request(storage), timeout=20) as stream:
                self.handle(stream)
                stream.send(b"never read")
        assert raw.report().reports

    def test_frames_of_one_byte(self, raw, storage):
        packed = gzip.compress(b"small steps")
        with Duplex(raw, resource_request(storage, "gzip"), timeout=20) as stream:
            handle = self.handle(stream)
            for at in range(len(packed)):
                stream.send(packed[at:at + 1])
            stream.goaway()
            raw.call(storage, "write", handle)
        assert self.download(raw, storage) == b"small steps"

    @pytest.mark.native(reason="it takes a cancelled upload for a whole one")
    def test_upload_cut_short_fails_the_call(self, raw, storage):
        with Duplex(raw, resource_request(storage), timeout=20) as stream:
            handle = self.handle(stream)
            calling = Background(lambda: failure(lambda: raw.call(storage, "write", handle)))
            stream.send(b"half of it")
        error = calling.result(20)
        assert error.code().name != "OK" and error.details(), error

    @pytest.mark.native(reason="it takes truncated data for whole ones")
    @pytest.mark.parametrize("encoding", ["gzip", "xz", "bz2", "zstd"])
    @pytest.mark.parametrize("how", ["truncated", "rubbish", "damaged", "followed by rubbish"])
    def test_broken_encoding_fails_the_call(self, raw, storage, encoding, how):
        packed = PACK[encoding](payload(50_000, "x"))
        if how == "truncated":
            packed = packed[:-20]
        elif how == "rubbish":
            packed = b"this was never packed by anything" * 10
        elif how == "damaged":
            middle = len(packed) // 2
            packed = packed[:middle] + bytes(b ^ 0xff for b in packed[middle:middle + 64]) + packed[middle + 64:]
            if encoding == "zstd":
                packed = packed[:4] + b"\xff" * 8 + packed[12:]     # no checksum: hurt the header
        else:
            packed += b"rubbish behind the end of it"
        with Duplex(raw, resource_request(storage, encoding), timeout=20) as stream:
            handle = self.handle(stream)
            stream.send(packed)
            stream.goaway()
            error = failure(lambda: raw.call(storage, "write", handle))
            assert error.details(), error

    def test_unknown_encoding_does_not_pass_unnoticed(self, raw, storage, exporter):
        with Duplex(raw, resource_request(storage, "lzo"), timeout=20) as stream:
            try:
                headers = stream.headers()
                handle = json.loads(headers["resource"])
                stream.send(b"packed by something else")
                stream.goaway()
                raw.call(storage, "write", handle)
            except Exception as error:
                assert error.code().name in ("INVALID_ARGUMENT", "UNKNOWN"), error
                return
            assert not exporter.native or headers.get("x_jmp_accept_encoding", "") != "lzo"


class TestFlasher:
    @pytest.fixture
    def flasher(self, serve):
        try:
            return serve({"storage": exporters.driver(exporters.FLASHER)})
        except ProgramError as error:
            if "MockStorageMuxFlasher" in str(error):
                pytest.skip("this exporter has no MockStorageMuxFlasher")
            raise

    def test_flash_and_dump(self, flasher, shell, place, exporter):
        source = place.file("disk.img", IMAGE)
        packed = place.file("disk.img.xz", lzma.compress(IMAGE))
        shell(f"set -e; cd {place.root}; j storage flash {source}; j storage dump back.img; cmp {source} back.img;"
              f"j storage flash --compression xz {packed}; j storage dump back.img; cmp {source} back.img;"
              + (f"j storage dump --compression gzip back.gz; zcat back.gz | cmp {source} -" if exporter.native else ""),
              endpoint=flasher.endpoint).ok()

    def test_every_target_of_the_mock_takes_an_image(self, serve, shell, place):
        flasher = serve({"disk": {"type": "jumpstarter_driver_opendal.driver.MockFlasher"}})
        one, two = place.file("one.img", IMAGE), place.file("two.img", payload(70_000, "two"))
        shell(f"set -e; cd {place.root}; j disk flash {one}; j disk dump back.img; cmp {one} back.img;"
              f"j disk flash -t boot:{one} -t root:{two}; j disk dump --target root back.img; cmp {two} back.img", timeout=120,
              endpoint=flasher.endpoint).ok()
