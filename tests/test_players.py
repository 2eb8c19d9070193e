# SPDX-License-Identifier: Apache-2.0
"""Real players through the edge, before a real origin: ffmpeg gets the very frames that the origin has, hls.js in
Chromium starts, switches and plays on, VOD and live.
"""
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import browser, counters, media
from harness.client import fetch
from harness.deadline import until
from harness.hls import MediaPlaylist
from harness.scene import Scene, cache_status

VARIANTS = ["ts", "fmp4"]
FORMATS = [*VARIANTS, "ranges"]


@pytest.fixture(name="tiny", scope="session")
def _tiny():
    return media.tiny()


def edge_before(edge, source, **fields):
    """An edge whose only site is whatever is asked at 127.0.0.1."""
    return edge(sites=[{"name": "demo", "hosts": ["127.0.0.1"], "origin": source.url}], **fields)


def segment_requests(program, cause):
    cells = counters.stats(program)["sites"]["demo"]["by_class_and_cause"]["segment"]
    return cells.get(cause, {"requests": 0})["requests"]


# --- ffmpeg ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_ffmpeg_plays_the_vod_bit_exactly(edge, shim, name):
    """The whole of each rung, twice: from the origin through the edge, then out of the arena."""
    folder = media.sample()
    program = edge_before(edge, shim(folder))
    for rung in ("180p", "270p"):
        on_disk = media.frames(folder / name / rung / "index.m3u8")
        assert len(on_disk) == 24 * 25
        for _ in range(2):
            assert media.frames(f"{program.url}/{name}/{rung}/index.m3u8") == on_disk
    assert segment_requests(program, "miss") == 12
    assert segment_requests(program, "hit") == 12
    init = counters.stats(program)["by_class"]["init"]["requests"]
    assert init == (4 if name == "fmp4" else 0)


def test_a_playlist_asked_for_as_ffmpeg_does_is_read(edge, origin):
    """Range: bytes=0- makes a 206 of it, which is the whole all the same: half a target duration is its time."""
    server = origin()
    server.file("/live", b"#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXTINF:60,\nsegment\n",
                {"Content-Type": "application/vnd.apple.mpegurl"})
    server.file("/segment", bytes(1000))
    scene = Scene(edge, server)
    first, second = (scene.get("/live", {"Range": "bytes=0-"}) for _ in range(2))
    assert (first.status, cache_status(first)) == (206, {"fwd": "uri-miss", "stored": True})
    assert second.status == 206
    assert 10 < int(cache_status(second)["ttl"]) <= 30
    scene.get("/segment")
    assert scene.records("/segment")[0]["class"] == "segment"  # the playlist has said so, and nothing else


def test_ffmpeg_plays_byte_ranges_bit_exactly(edge, shim, tiny):
    """All segments are ranges of one file."""
    program = edge_before(edge, shim(tiny))
    on_disk = media.frames(tiny / "ranges/v/index.m3u8")
    for _ in range(2):
        assert media.frames(f"{program.url}/ranges/master.m3u8") == on_disk


@pytest.mark.parametrize("name", FORMATS)
def test_ffmpeg_plays_live_over_the_seam_bit_exactly(edge, shim, tiny, name):
    """Seven seconds of a channel whose VOD is three seconds long: each frame follows the one before as in the VOD."""
    program = edge_before(edge, shim(tiny, "--live", f"{name}={name}/master.m3u8"))
    loop = media.frames(tiny / name / "master.m3u8")
    played = media.frames(f"{program.url}/live/{name}/master.m3u8", count=7 * media.TINY_FRAMES_PER_S,
                          options=["-live_start_index", "0"])
    assert len(played) == 7 * media.TINY_FRAMES_PER_S
    media.check_played_over_a_seam(loop, played, name != "ts")
    document = counters.stats(program)
    assert document["by_cause"]["error"]["requests"] == 0
    playlists = document["sites"]["demo"]["by_class_and_cause"]["playlist"]
    assert sum(cell["requests"] for cell in playlists.values()) > 3  # it was live


@pytest.mark.parametrize("name", FORMATS)
def test_each_live_segment_is_the_origins(edge, shim, tiny, name):
    """What a window of the live playlist lists is, byte by byte, the same at the edge and at the origin."""
    source = shim(tiny, "--live", f"{name}={name}/master.m3u8")
    program = edge_before(edge, source)
    base = f"/live/{name}/v/"
    playlist = MediaPlaylist(fetch(program.address, f"{base}index.m3u8", host="127.0.0.1").body)
    assert len(playlist.segments) == 6
    for uri in [*(segment.uri for segment in playlist.segments), *(["init.mp4"] if name == "fmp4" else [])]:
        bodies = [bytes(fetch(address, base + uri, host="127.0.0.1").body)
                  for address in (source.address, program.address, program.address)]
        assert bodies[0] == bodies[1] == bodies[2]
        assert len(bodies[0]) > 500


def test_many_players_of_one_channel(edge, shim, tiny):
    """Four at once get the same frames, and the origin is asked once for each segment."""
    program = edge_before(edge, shim(tiny, "--live", "ts=ts/master.m3u8"))
    loop = media.frames(tiny / "ts/master.m3u8")

    def play(_):
        return media.frames(f"{program.url}/live/ts/master.m3u8", count=7 * media.TINY_FRAMES_PER_S,
                            options=["-live_start_index", "0"])
    with ThreadPoolExecutor(4) as pool:
        for played in pool.map(play, range(4)):
            media.check_played_over_a_seam(loop, played, is_fmp4=False)
    total = counters.wait_for(program, "connections.active", 0)["requests"]
    records = until(lambda: len(program.access_log()) == total and program.access_log(), "the whole access log")
    segments = [record for record in records if record["class"] == "segment"]
    fetched = [record["target"] for record in segments if record["cause"] == "miss"]
    assert len(segments) >= 4 * 7
    assert len(fetched) == len(set(fetched)) == len({record["target"] for record in segments})


# --- hls.js ------------------------------------------------------------------------------------------------------


@pytest.fixture(name="demo")
def _demo(edge, shim, tmp_path):
    """demo("vod-ts"): plays it on the demo's page through an edge; what the page measured, and the edge."""
    folder = media.sample()
    source = shim(folder, "--live", "ts=ts/master.m3u8", "--live", "fmp4=fmp4/master.m3u8")
    program = edge_before(edge, source)

    def play(stream):
        kind, name = stream.split("-")
        path = f"/{name}/master.m3u8" if kind == "vod" else f"/live/{name}/master.m3u8"
        browser.make_page(tmp_path / "page/player", [{"id": stream, "name": stream, "url": program.url + path}],
                          [{"name": "test", "place": "here", "hosts": ["%s:%d" % program.address]}])
        page = shim(tmp_path / "page")
        return browser.play(f"{page.url}/player/", "--stream", stream, "--screenshot", tmp_path / "page.png"), program
    return play


@pytest.mark.parametrize("stream", ["vod-ts", "vod-fmp4", "live-ts", "live-fmp4"])
def test_hls_js_plays_the_demo_page(demo, stream, tmp_path):
    seen, program = demo(stream)
    assert seen["firstFrameMs"] is not None
    assert seen["fatalErrors"] == []
    assert seen["switchedFrom"] != seen["switchedTo"] == seen["level"]
    assert {fragment["level"] for fragment in seen["fragments"]} == {0, 1}
    assert browser.hosts_of(seen["fragments"]) == browser.hosts_of(seen["playlists"]) == {"%s:%d" % program.address}
    assert seen["frames"] > 100
    assert (tmp_path / "page.png").stat().st_size > 10000
    site = counters.wait_for(program, "connections.active", 0)["sites"]["demo"]
    assert site["by_cause"]["error"]["requests"] == site["by_cause"]["refused"]["requests"] == 0
    assert site["by_class"]["segment"]["bytes_out"] >= sum(fragment["bytes"] for fragment in seen["fragments"]
                                                           if fragment["sn"] != "initSegment")
