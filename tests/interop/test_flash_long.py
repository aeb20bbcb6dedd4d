# SPDX-License-Identifier: Apache-2.0
"""2 GiB images onto loop devices by the stock client: every encoding, from a file and back, by http and by https, redirected."""

import re
import subprocess

import pytest
from harness import exporter as exporters
from harness.certificates import Authority
from harness.media import MIB, Web, checksum, loop_device, medium, sparse_image

pytestmark = [pytest.mark.native(reason="it has no such drivers"), pytest.mark.timeout(900)]

SIZE = 2 << 30
FORMATS = {None: ("", None, "cat"), "gzip": (".gz", "gzip -1 -c", "zcat"), "xz": (".xz", "xz -0 -T0 -c", "xzcat"),
           "bz2": (".bz2", "bzip2 -1 -c", "bzcat"), "zstd": (".zst", "zstd -q -1 -c", "zstdcat")}


@pytest.fixture(scope="module")
def image(place):
    path = sparse_image(place.root / "large.img", SIZE, 32 * MIB)
    yield path, checksum(path, SIZE)
    path.unlink()


@pytest.fixture
def disk(place):
    path = medium(place.root / "large.medium", SIZE)
    with loop_device(path) as device:
        if not device:
            pytest.skip("no right to a loop device")
        yield device
    path.unlink()


@pytest.fixture
def packed(image, request):
    """The file that is flashed, in the encoding of the test."""
    encoding = request.getfixturevalue("encoding")
    ends, pack, _ = FORMATS[encoding]
    if not pack:
        return image[0]
    path = image[0].with_name(image[0].name + ends)
    if not path.exists():       # once for all tests: a packed hole is small, but takes its time
        part = path.with_name("part")
        with open(part, "wb") as file:
            subprocess.run([*pack.split(), image[0]], stdout=file, check=True, timeout=600)
        part.rename(path)
    return path


def start(serve, disk, **how):
    return serve({"storage": {"type": "storage-mux", "config": {"storage_device": str(disk), "storage_timeout": 5},
                              "children": {"switch": {"ref": "sd_select"}}},
                  "sd_select": exporters.driver(exporters.POWER)}, **how)


@pytest.mark.parametrize("encoding", FORMATS, ids=str)
def test_from_a_file_and_back(serve, shell, place, disk, image, packed, encoding):
    exporter = start(serve, disk)
    how = f"--compression {encoding}" if encoding else ""
    back = place.root / "back"
    shell(f"set -e; j storage flash {how} {packed}; j storage host; j storage dump {how} {back}; j storage dut",
          endpoint=exporter.endpoint, timeout=800).ok()
    assert checksum(disk, SIZE) == image[1]
    same = subprocess.run(f"{FORMATS[encoding][2]} < {back} | cmp - {disk}", shell=True, capture_output=True, text=True, timeout=300)
    assert same.returncode == 0, same
    log = exporter.program.output()
    assert f"sha256 {image[1]}" in log
    if encoding == "bz2":       # which no machine unpacks within the five seconds after which there is something to be said
        assert re.search(r"\d+ MiB written, \d+\.\d MiB/s", log), log
    back.unlink()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("encoding", FORMATS, ids=str)
def test_by_url_redirected(serve, shell, place, disk, image, packed, encoding, scheme):
    authority = Authority(place.root)
    store, web = (Web(authority.issue() if scheme == "https" else None) for _ in range(2))
    store.files[f"/{packed.name}"] = packed
    web.redirects[f"/{packed.name}"] = "/today?X-Sig=verysecret"      # the encoding is told by the name that was asked for
    web.redirects["/today"] = store.url(f"/{packed.name}?X-Sig=verysecret")
    try:
        exporter = start(serve, disk, env={"SSL_CERT_FILE": str(authority.path)})
        shell(f"j storage flash {web.url(f'/{packed.name}')}", endpoint=exporter.endpoint, timeout=800).ok()
    finally:
        web.close()
        store.close()
    assert checksum(disk, SIZE) == image[1]
    log = exporter.program.output()
    assert f"sha256 {image[1]}" in log and "verysecret" not in log
