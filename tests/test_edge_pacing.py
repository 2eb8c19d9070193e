# SPDX-License-Identifier: Apache-2.0
"""Segments go at a multiple of the bitrate that their playlist says, or as fast as the player asks; playlists as fast as
they can; and what viewers leave behind is counted. How fast is read from the kernel, which does it.
"""
import re
import subprocess

import pytest

from harness.deadline import until
from harness.h2 import CANCEL, H2, RST_STREAM, u32
from harness.origin import answer
from harness.scene import HOST, MIB, Scene, noise

LONG = {"Cache-Control": "max-age=1000"}
SEGMENT = noise(8 * MIB)
BITRATE = 4_000_000
MASTER = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={BITRATE}\nmedia.m3u8\n".encode()
MEDIA = b"""#EXTM3U
#EXT-X-TARGETDURATION:4
#EXTINF:4,
seg.ts
#EXTINF:4,
other.ts
#EXT-X-ENDLIST
"""


def scene_of(edge, origin, site=(), **fields):
    scene = Scene(edge, origin(), site=dict(site), workers=1, **fields)
    for path, body, kind in (("/main.m3u8", MASTER, "application/vnd.apple.mpegurl"), ("/seg.ts", SEGMENT, "video/mp2t"),
                             ("/media.m3u8", MEDIA, "application/vnd.apple.mpegurl"), ("/other.ts", SEGMENT, "video/mp2t")):
        scene.server.on(path, answer(200, body, {**LONG, "Content-Type": kind}))
        assert scene.get(path).status == 200
    return scene


def max_rate(viewer):
    """Bits a second that the edge has set for this connection, or None."""
    host, port = viewer.socket.getpeername()[:2]
    out = subprocess.run(["ss", "-tinH", "src", f"{host}:{port}", "dst", f"127.0.0.1:{viewer.socket.getsockname()[1]}"],
                         check=True, capture_output=True, text=True).stdout
    match = re.search(r"pacing_rate \d+bps/(\d+)bps", out)
    return int(match[1]) if match else None


def slow(scene):
    return scene.connect(receive_buffer=4096)


def wait_for_rate(viewer, bits):
    until(lambda: max_rate(viewer) == bits, lambda: f"a rate of {bits}, it is {max_rate(viewer)}")


def test_a_multiple_of_the_bitrate(edge, origin):
    scene = scene_of(edge, origin, {"pacing": {"multiple": 3, "start": "0s"}})
    with slow(scene) as viewer:
        viewer.request("/seg.ts")
        wait_for_rate(viewer, 3 * BITRATE)
        viewer.read(100_000)
    with scene.connect() as viewer:
        viewer.request("/main.m3u8")
        assert bytes(viewer.response().body) == MASTER
        assert max_rate(viewer) is None


def test_the_pace_ends_with_its_response(edge, origin):
    scene = scene_of(edge, origin, {"pacing": {"multiple": 100, "start": "0s"}})
    with slow(scene) as viewer:
        viewer.request("/seg.ts")
        wait_for_rate(viewer, 100 * BITRATE)
        viewer.widen()
        assert bytes(viewer.response().body) == SEGMENT
        viewer.request("/main.m3u8")
        assert bytes(viewer.response().body) == MASTER
        assert max_rate(viewer) is None


def test_it_starts_fast(edge, origin):
    """Two seconds of playing time go unpaced, a megabyte here."""
    scene = scene_of(edge, origin, {"pacing": {"multiple": 50}})
    with slow(scene) as viewer:
        viewer.request("/seg.ts")
        viewer.read(100_000)
        assert max_rate(viewer) is None
        viewer.widen()
        viewer.read(2_500_000)
        wait_for_rate(viewer, 50 * BITRATE)
        assert bytes(viewer.response().body) == SEGMENT


@pytest.mark.parametrize("target, fields", [("/seg.ts?CMCD=bs%2Crtp%3D1600", {}), ("/seg.ts", {"CMCD-Status": "rtp=1600"})])
def test_the_player_s_wish(edge, origin, target, fields):
    scene = scene_of(edge, origin, {"pacing": {"start": "0s"}})
    with slow(scene) as viewer:
        viewer.request(target, fields)
        wait_for_rate(viewer, 1_600_000)


def test_no_pace_unless_wanted(edge, origin):
    scene = scene_of(edge, origin)
    with slow(scene) as viewer:
        viewer.request("/seg.ts")
        viewer.read(100_000)
        assert max_rate(viewer) is None


def test_streams_of_a_connection_share_the_sum(edge, origin):
    scene = scene_of(edge, origin, {"pacing": {"multiple": 2, "start": "0s"}})
    with H2(scene.edge.address, auto_window=False, receive_buffer=4096) as viewer:
        viewer.ask("/seg.ts")
        wait_for_rate(viewer, 2 * BITRATE)
        other = viewer.ask("/other.ts")
        wait_for_rate(viewer, 4 * BITRATE)
        viewer.send(RST_STREAM, 0, other, u32(CANCEL))
        wait_for_rate(viewer, 2 * BITRATE)


def test_what_is_left_behind_is_counted(edge, origin):
    scene = scene_of(edge, origin, {"pacing": {"multiple": 1, "start": "0s"}})
    before = scene.stats()["sites"]["demo"]
    with slow(scene) as viewer:
        viewer.request("/seg.ts")
        viewer.read(50_000)
        viewer.reset()
    document = scene.wait_for("requests_aborted", 1)
    site = document["sites"]["demo"]
    abandoned = site["bytes_abandoned"]
    assert 50_000 < abandoned < len(SEGMENT) / 2
    assert abandoned <= site["bytes_out"] - before["bytes_out"]
    assert site["by_class"]["segment"]["bytes_abandoned"] == abandoned


def test_congestion_control(edge, origin):
    names = subprocess.run(["sysctl", "-n", "net.ipv4.tcp_available_congestion_control"], check=False,
                           capture_output=True, text=True).stdout.split()
    name = "reno" if "reno" in names else "cubic"
    scene = scene_of(edge, origin, {"congestion_control": name})
    with slow(scene) as viewer:
        viewer.request("/seg.ts")
        viewer.read(1000)
        port = scene.edge.address[1]
        out = subprocess.run(["ss", "-tinH", "src", f"127.0.0.1:{port}"], check=True, capture_output=True, text=True).stdout
        assert re.search(rf"\b{name}\b", out)


def test_a_congestion_control_that_is_not_there(stage, origin):
    server = origin()
    program = stage.add_edge(sites=[{"name": "demo", "hosts": [HOST], "origin": server.url, "congestion_control": "nonsense"}],
                             start=False)
    with pytest.raises(AssertionError, match="this machine has no \"nonsense\""):
        program.start()


def test_only_a_connection_s_beginning_is_fast(edge, origin):
    """Two seconds of playing time are a megabyte here, and the first segment is more."""
    scene = scene_of(edge, origin, {"pacing": {"multiple": 100}})
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        assert bytes(viewer.response().body) == SEGMENT
        viewer.request("/other.ts")
        viewer.read(1)
        wait_for_rate(viewer, 100 * BITRATE)
        assert bytes(viewer.response().body) == SEGMENT
