# SPDX-License-Identifier: Apache-2.0
"""origin-shim: a folder as a good origin."""
import json
import os
import re
import signal
import time
from email.utils import formatdate
from urllib.parse import quote

import pytest

from harness import media
from harness.client import Connection, fetch
from harness.deadline import until
from harness.processes import run_to_end


@pytest.fixture(name="root")
def _root(tmp_path):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "digits.txt").write_bytes(b"0123456789")
    (root / "empty.txt").write_bytes(b"")
    (root / "folder/index.html").write_bytes(b"<p>hello")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return root


# --- representations ---------------------------------------------------------------------------------------


def test_whole_file(shim, root):
    address = shim(root).address
    response = fetch(address, "/digits.txt")
    assert (response.status, bytes(response.body)) == (200, b"0123456789")
    assert re.fullmatch('"[0-9a-f]{16}"', response.fields["ETag"])
    assert response.fields["Last-Modified"] == formatdate(os.stat(root / "digits.txt").st_mtime, usegmt=True)
    assert response.fields["Accept-Ranges"] == "bytes"
    assert response.fields["Access-Control-Allow-Origin"] == "*"
    assert abs(time.time() - _epoch(response.fields["Date"])) < 60
    head = fetch(address, "/digits.txt", method="HEAD")
    without_date = [pair for pair in response.fields.pairs if pair[0] != "Date"]
    assert [pair for pair in head.fields.pairs if pair[0] != "Date"] == without_date
    assert fetch(address, "/empty.txt").fields["Content-Length"] == "0"


def _epoch(date):
    return time.mktime(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone


@pytest.mark.parametrize("name, content_type, cache_control", [
    ("seg.ts", "video/mp2t", "public, max-age=31536000, immutable"),
    ("seg.m4s", "video/iso.segment", "public, max-age=31536000, immutable"),
    ("init.mp4", "video/mp4", "public, max-age=31536000, immutable"),
    ("film.mp4", "video/mp4", None),
    ("a.vtt", "text/vtt; charset=utf-8", None),
    ("a.mpd", "application/dash+xml", None),
    ("a.key", "application/octet-stream", None),
    ("unknown", "application/octet-stream", None),
    ("live.m3u8", "application/vnd.apple.mpegurl", "public, max-age=3"),
    ("ended.m3u8", "application/vnd.apple.mpegurl", "public, max-age=3600"),
    ("multivariant.m3u8", "application/vnd.apple.mpegurl", "public, max-age=3600"),
    ("broken.m3u8", "application/vnd.apple.mpegurl", None),
])
def test_types_and_freshness(shim, root, name, content_type, cache_control):
    media_playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n"
    content = {
        "live.m3u8": media_playlist,
        "ended.m3u8": media_playlist + "#EXT-X-ENDLIST\n",
        "multivariant.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n",
    }.get(name, "something")
    (root / name).write_text(content)
    response = fetch(shim(root).address, f"/{name}")
    assert (response.status, bytes(response.body)) == (200, content.encode())
    assert response.fields["Content-Type"] == content_type
    assert response.fields.get("Cache-Control") == cache_control


def test_etag_follows_the_file(shim, root):
    address = shim(root).address
    first = fetch(address, "/digits.txt").fields["ETag"]
    assert fetch(address, "/digits.txt").fields["ETag"] == first
    (root / "new").write_bytes(b"0123456789")
    os.utime(root / "new", ns=(0, os.stat(root / "digits.txt").st_mtime_ns))
    (root / "new").rename(root / "digits.txt")  # the same size and time: still another file
    assert fetch(address, "/digits.txt").fields["ETag"] != first


@pytest.mark.parametrize("wanted, status, body, content_range", [
    ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
    ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
    ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=7-1000", 206, b"789", "bytes 7-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=-1000", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=10-", 416, b"range_not_satisfiable\n", "bytes */10"),
    ("bytes=-0", 416, b"range_not_satisfiable\n", "bytes */10"),
    ("bytes=4-2", 200, b"0123456789", None),
    ("bytes=0-1,4-5", 200, b"0123456789", None),
    ("lines=0-1", 200, b"0123456789", None),
])
def test_ranges(shim, root, wanted, status, body, content_range):
    response = fetch(shim(root).address, "/digits.txt", {"Range": wanted})
    assert (response.status, bytes(response.body)) == (status, body)
    assert response.fields.get("Content-Range") == content_range


def test_conditions(shim, root):
    address = shim(root).address
    fields = fetch(address, "/digits.txt").fields
    etag, modified = fields["ETag"], fields["Last-Modified"]
    earlier = formatdate(_epoch(modified) - 10, usegmt=True)

    def status(method="GET", **conditions):
        named = {name.replace("_", "-"): value for name, value in conditions.items()}
        return fetch(address, "/digits.txt", named, method).status

    assert status(If_None_Match=etag) == 304
    assert status(If_None_Match=f'"other", W/{etag}') == 304
    assert status(If_None_Match="*") == 304
    assert status("HEAD", If_None_Match=etag) == 304
    assert status(If_None_Match='"other"') == 200
    assert status(If_None_Match='"other"', If_Modified_Since=modified) == 200
    assert status(If_Modified_Since=modified) == 304
    assert status(If_Modified_Since=earlier) == 200
    assert status(If_Match='"other"') == 412
    assert status(If_Match=etag) == 200
    assert status(If_Unmodified_Since=earlier) == 412
    assert status(Range="bytes=2-4", If_Range=etag) == 206
    assert status(Range="bytes=2-4", If_Range='"other"') == 200
    assert status(Range="bytes=2-4", If_None_Match=etag) == 304
    not_modified = fetch(address, "/digits.txt", {"If-None-Match": etag})
    assert not_modified.fields["ETag"] == etag
    assert "Content-Type" not in not_modified.fields and "Content-Length" not in not_modified.fields


def test_index_of_a_folder(shim, root):
    address = shim(root).address
    assert bytes(fetch(address, "/folder/").body) == b"<p>hello"
    assert fetch(address, "/").status == 404
    assert fetch(address, "/folder").status == 404


def test_methods(shim, root):
    address = shim(root).address
    refused = fetch(address, "/digits.txt", method="DELETE")
    assert (refused.status, bytes(refused.body)) == (405, b"method_not_allowed\n")
    assert refused.fields["Allow"] == "GET, HEAD, OPTIONS"
    preflight = fetch(address, "/digits.txt", {"Origin": "https://player.test"}, method="OPTIONS")
    assert preflight.status == 204
    assert "GET" in preflight.fields["Access-Control-Allow-Methods"]


# --- what must not be seen -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [
    "/../secret.txt", "/folder/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2E%2E%2Fsecret.txt",
    "/folder/..%2f..%2fsecret.txt", "/..%5csecret.txt", "/%252e%252e/secret.txt", "//secret.txt", "/./../secret.txt",
    "/out", "/out-folder/secret.txt", "/absolute", "/.hidden", "/folder/.hidden", "/%2ehidden", "/secret.txt%00.txt",
    "/etc/passwd", "/proc/self/environ", "/fifo", "http://other/../secret.txt",
])
def test_nothing_outside_is_reachable(shim, root, tmp_path, target):
    (root / "out").symlink_to("../secret.txt")
    (root / "out-folder").symlink_to("..")
    (root / "absolute").symlink_to(tmp_path / "secret.txt")
    (root / ".hidden").write_bytes(b"secret")
    (root / "folder/.hidden").write_bytes(b"secret")
    os.mkfifo(root / "fifo")
    response = fetch(shim(root).address, target)
    assert (response.status, bytes(response.body)) == (404, b"file_not_found\n")


@pytest.mark.parametrize("target", ["digits.txt", "/%", "/%zz", "/a\\b", "/a|b", "/digits.txt#part", "*"])
def test_bad_targets(shim, root, target):
    assert fetch(shim(root).address, target).status == 400


def test_links_inside_and_odd_names(shim, root):
    (root / "folder/link").symlink_to("../digits.txt")
    name = "a b%#?ä&.txt"
    (root / name).write_bytes(b"odd")
    address = shim(root).address
    assert bytes(fetch(address, "/folder/link").body) == b"0123456789"
    assert bytes(fetch(address, "/" + quote(name)).body) == b"odd"


# --- connections ---------------------------------------------------------------------------------------------


def test_large_file_to_a_slow_reader(shim, root):
    data = os.urandom(1 << 20) * 8
    (root / "large.ts").write_bytes(data)
    address = shim(root, "--workers", "1").address
    with Connection(address, receive_buffer=4096) as slow:
        slow.request("/large.ts")
        slow.read(1)
        assert bytes(fetch(address, "/digits.txt").body) == b"0123456789"  # the only worker is not held up
        assert bytes(slow.response().body) == data
        slow.request("/digits.txt")  # and the connection goes on
        assert bytes(slow.response().body) == b"0123456789"


def test_pipelined_requests_in_order(shim, root):
    with Connection(shim(root).address) as viewer:
        one = b"GET /digits.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=%d-%d\r\n\r\n"
        viewer.send(b"".join(one % (i, i) for i in range(10)))
        assert b"".join(bytes(viewer.response().body) for _ in range(10)) == b"0123456789"


def test_viewer_that_leaves_costs_nothing(shim, root):
    (root / "large.ts").write_bytes(bytes(8 << 20))
    program = shim(root)
    before = program.open_files()
    for leave in (Connection.close, Connection.reset):
        viewer = Connection(program.address, receive_buffer=4096)
        viewer.request("/large.ts")
        viewer.read(1)
        assert program.open_files() == before + 2  # the connection and the file
        leave(viewer)
        until(lambda: program.open_files() == before, "connection and file to be closed")


def test_ipv6_and_several_listeners(shim, root):
    program = shim(root, listen=("127.0.0.1:0", "[::1]:0"))
    assert len(program.urls) == 2
    for url in program.urls:
        assert media.run("curl", "-sg", f"{url}/digits.txt") == b"0123456789"


# --- start and end -------------------------------------------------------------------------------------------


def test_stop_lets_responses_end(shim, root):
    data = os.urandom(1 << 20) * 8
    (root / "large.ts").write_bytes(data)
    program = shim(root)
    with Connection(program.address, receive_buffer=4096) as viewer:
        viewer.request("/large.ts")
        viewer.read(1)
        program.process.terminate()
        until(lambda: _is_refused(program.address), "the listeners to be closed")
        assert bytes(viewer.response().body) == data
        program.wait()


def _is_refused(address):
    try:
        Connection(address).close()
        return False
    except ConnectionRefusedError:
        return True


def test_stop_does_not_wait_for_ever(shim, root):
    (root / "large.ts").write_bytes(bytes(64 << 20))
    program = shim(root)
    with Connection(program.address, receive_buffer=4096) as viewer:
        viewer.request("/large.ts")
        viewer.read(1)
        program.stop()  # asserts an orderly end while the viewer does not read


def test_interrupt_ends_it_too(shim, root):
    program = shim(root)
    with Connection(program.address):  # an idle connection holds nothing up
        program.process.send_signal(signal.SIGINT)
        program.wait()


def test_config_file(shim, root, tmp_path):
    (root / "seg.ts").write_bytes(b"segment")
    config = {"cache_control": {"segment": "public, max-age=7", "other": "no-cache"}, "workers": 2}
    (tmp_path / "shim.yaml").write_text(json.dumps(config))
    address = shim(root, "--config", tmp_path / "shim.yaml").address
    assert fetch(address, "/seg.ts").fields["Cache-Control"] == "public, max-age=7"
    assert fetch(address, "/digits.txt").fields["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("arguments, complaint", [
    (["--root", "nowhere"], "cannot open the root nowhere: No such file"),
    (["--root", ".", "--live", "a=none.m3u8"], "live channel 'a': none.m3u8: No such file"),
    (["--root", ".", "--listen", "192.0.2.1:0"], "cannot listen on 192.0.2.1:0: Cannot assign"),
    (["--root", ".", "--workers", "none"], "--workers: 'none' is not a number"),
    (["--listen", "127.0.0.1:0"], "no root"),
])
def test_bad_starts_say_why(tmp_path, arguments, complaint):
    done = run_to_end("origin-shim", *arguments, folder=tmp_path)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stdout == ""


def test_version(tmp_path):
    done = run_to_end("origin-shim", "--version", folder=tmp_path)
    assert (done.returncode, bool(re.fullmatch(r"origin-shim \d+\.\d+\.\d+\n", done.stdout))) == (0, True)
