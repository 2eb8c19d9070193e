# SPDX-License-Identifier: Apache-2.0
"""origin-shim: a VOD as an endless live channel. The VOD has three segments of one second, so that the six segments of
a window always hold a seam.
"""
import re
from datetime import datetime, timedelta

import pytest

from harness import media
from harness.client import fetch
from harness.deadline import until
from harness.hls import MediaPlaylist
from harness.processes import run_to_end

LIVE = [argument for name in ("ts", "fmp4", "ranges") for argument in ("--live", f"{name}={name}/master.m3u8")]


@pytest.fixture(name="tiny", scope="session")
def _tiny():
    return media.tiny()


def live_playlist(address, name, extra=()):
    response = fetch(address, f"/live/{name}/v/index.m3u8", extra)
    assert response.status == 200
    return MediaPlaylist(response.body)


def segment_bytes(folder, name, index):
    """Of the VOD's segment, as it stands on the disk."""
    if name != "ranges":
        return (folder / name / "v" / f"seg_{index}.{'ts' if name == 'ts' else 'm4s'}").read_bytes()
    tags = re.findall(r"#EXT-X-BYTERANGE:(\d+)@(\d+)", (folder / "ranges/v/index.m3u8").read_text())
    size, offset = map(int, tags[index])
    return (folder / "ranges/v/all.mp4").read_bytes()[offset:offset + size]


def test_master_playlist_is_the_vods(shim, tiny):
    address = shim(tiny, *LIVE).address
    response = fetch(address, "/live/ts/master.m3u8")
    assert bytes(response.body) == (tiny / "ts/master.m3u8").read_bytes()
    assert response.fields["Content-Type"] == "application/vnd.apple.mpegurl"


@pytest.mark.parametrize("name", ["ts", "fmp4", "ranges"])
def test_playlist_and_its_segments(shim, tiny, name):
    address = shim(tiny, *LIVE).address
    playlist = live_playlist(address, name)
    assert not playlist.ended
    assert playlist.target_duration_s == 1
    assert len(playlist.segments) == 6
    for segment in playlist.segments:
        index = segment.msn % media.TINY_SEGMENTS
        assert segment.discontinuity == (index == 0)
        response = fetch(address, f"/live/{name}/v/{segment.uri}")
        assert response.status == 200
        assert bytes(response.body) == segment_bytes(tiny, name, index)
        assert response.fields["Cache-Control"] == "public, max-age=31536000, immutable"
    seams_before = (playlist.media_sequence + media.TINY_SEGMENTS - 1) // media.TINY_SEGMENTS
    assert playlist.discontinuity_sequence == seams_before
    dates = [datetime.fromisoformat(segment.program_date_time.replace("Z", "+00:00")) for segment in playlist.segments]
    assert {later - earlier for earlier, later in zip(dates, dates[1:])} == {timedelta(seconds=1)}
    assert ("EXT-X-MAP" in playlist.header) == (name != "ts")


def test_init_segment(shim, tiny):
    address = shim(tiny, *LIVE).address
    assert live_playlist(address, "fmp4").header["EXT-X-MAP"] == 'URI="init.mp4"'
    response = fetch(address, "/live/fmp4/v/init.mp4")
    assert bytes(response.body) == (tiny / "fmp4/v/init.mp4").read_bytes()
    assert response.fields["Content-Type"] == "video/mp4"


def test_ranges_of_a_segment(shim, tiny):
    address = shim(tiny, *LIVE).address
    segment = live_playlist(address, "ranges").segments[-1]
    response = fetch(address, f"/live/ranges/v/{segment.uri}", {"Range": "bytes=5-9"})
    whole = segment_bytes(tiny, "ranges", segment.msn % media.TINY_SEGMENTS)
    assert response.status == 206
    assert response.fields["Content-Range"] == f"bytes 5-9/{len(whole)}"
    assert bytes(response.body) == whole[5:10]


def test_window_slides_and_never_contradicts_itself(shim, tiny):
    address = shim(tiny, *LIVE).address
    known, playlists = {}, [live_playlist(address, "ts")]

    def seen_a_whole_loop():
        playlists.append(live_playlist(address, "ts"))
        assert playlists[-1].media_sequence >= playlists[-2].media_sequence
        for segment in playlists[-1].segments:
            fact = (segment.uri, segment.discontinuity, segment.program_date_time, segment.duration_s)
            assert known.setdefault(segment.msn, fact) == fact
        return playlists[-1].media_sequence >= playlists[0].media_sequence + media.TINY_SEGMENTS
    until(seen_a_whole_loop, "the window to slide over a loop")
    assert len({fact[0] for fact in known.values()}) == len(known)  # no URL twice


def test_another_start_says_the_same(shim, tiny):
    one, other = shim(tiny, *LIVE), shim(tiny, *LIVE, "--workers", "3")

    def sequence(program):
        return live_playlist(program.address, "ts").media_sequence
    for _ in range(20):
        assert sequence(one) <= sequence(other) <= sequence(one)


def test_segments_that_are_not_there(shim, tiny):
    address = shim(tiny, *LIVE).address
    playlist = live_playlist(address, "ts")
    first, last = playlist.segments[0].msn, playlist.segments[-1].msn

    def answer(msn):
        response = fetch(address, f"/live/ts/v/index-{msn}.ts")
        return response.status, bytes(response.body), response.fields.get("Cache-Control")
    assert answer(last + 1000) == (404, b"segment_not_yet_there\n", None)
    assert answer(first - 1000) == (404, b"segment_behind_the_window\n", None)
    assert answer(first - 6)[0] == 200  # a window's length ago: a slow viewer still gets it
    assert answer("x") == (404, b"file_not_found\n", None)
    assert fetch(address, "/live/ts/v/seg_0.ts").status == 404
    assert bytes(fetch(address, "/live/none/master.m3u8").body) == b"no_such_channel\n"
    until(lambda: answer(last + 1)[0] == 200, "the next segment to be there")
    until(lambda: live_playlist(address, "ts").segments[-1].msn > last, "the next segment to be listed")


def test_playlist_is_validated_and_short_lived(shim, tiny):
    address = shim(tiny, *LIVE).address

    def unchanged_between():
        """Asks twice; most times both fall between two segments."""
        first = fetch(address, "/live/ts/v/index.m3u8")
        again = fetch(address, "/live/ts/v/index.m3u8", {"If-None-Match": first.fields["ETag"]})
        assert first.fields["Cache-Control"] == "public, max-age=1"
        assert again.status in (200, 304)
        assert again.fields["ETag"] == first.fields["ETag"] or again.status == 200
        return again.status == 304
    until(unchanged_between, "a playlist that has not changed")


def test_window_option(shim, tiny):
    address = shim(tiny, *LIVE, "--live-window", "10").address
    assert len(live_playlist(address, "ts").segments) == 10
    address = shim(tiny, *LIVE, "--live-window", "1").address
    assert len(live_playlist(address, "ts").segments) == 3  # never less than three target durations


def test_renditions_keep_step(shim):
    folder = media.sample()
    address = shim(folder, "--live", "demo=ts/master.m3u8").address
    rungs = re.findall(r"^\w.*", (folder / "ts/master.m3u8").read_text(), re.MULTILINE)
    assert len(rungs) == 2

    def look():
        playlists = [MediaPlaylist(fetch(address, f"/live/demo/{uri}").body) for uri in (*rungs, rungs[0])]
        if playlists[0].media_sequence != playlists[2].media_sequence:
            return None  # a segment came in between
        return playlists
    low, high, _ = until(look, "playlists of one moment")
    assert [(segment.msn, segment.program_date_time, segment.discontinuity) for segment in low.segments] == \
           [(segment.msn, segment.program_date_time, segment.discontinuity) for segment in high.segments]


@pytest.mark.parametrize("name", ["ts", "fmp4", "ranges"])
def test_ffmpeg_plays_the_vod_bit_exactly(shim, tiny, name):
    url = f"{shim(tiny, *LIVE).url}/{name}/master.m3u8"
    on_disk = media.frames(tiny / name / "master.m3u8")
    assert len(on_disk) == media.TINY_SEGMENTS * media.TINY_FRAMES_PER_S
    assert media.frames(url) == on_disk


@pytest.mark.parametrize("name", ["ts", "fmp4", "ranges"])
def test_ffmpeg_plays_live_over_the_seam_bit_exactly(shim, tiny, name):
    url = f"{shim(tiny, *LIVE).url}/live/{name}/master.m3u8"
    loop = media.frames(tiny / name / "master.m3u8")
    played = media.frames(url, count=7 * media.TINY_FRAMES_PER_S, options=["-live_start_index", "0"])
    assert len(played) == 7 * media.TINY_FRAMES_PER_S
    media.check_played_over_a_seam(loop, played, name != "ts")


def test_ffprobe_sees_the_ladder(shim):
    url = shim(media.sample(), "--live", "demo=fmp4/master.m3u8").url
    output = media.run("ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0",
                       f"{url}/live/demo/master.m3u8").decode()
    assert set(output.split()) >= {"h264,320", "h264,480", "aac"}


def test_bad_channels_say_why(tiny):
    done = run_to_end("origin-shim", "--root", tiny, "--listen", "127.0.0.1:0", "--live", "a=ts/v/index.m3u8",
                      folder=tiny)
    assert done.returncode == 1
    assert "live channel 'a': ts/v/index.m3u8: not a multivariant playlist" in done.stderr
