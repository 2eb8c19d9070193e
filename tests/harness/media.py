# SPDX-License-Identifier: Apache-2.0
"""Media for tests, made with ffmpeg once and kept in the build folder: the demo's sample in short, and VODs of three
seconds in one-second segments, so that a live channel's window holds several seams.
"""
import fcntl
import shutil
import subprocess

from harness.processes import REPOSITORY

KEPT = REPOSITORY / "build/test-media"
TINY_SEGMENTS = 3
TINY_FRAMES_PER_S = 25

_TINY_FORMATS = {
    "ts": ["-hls_segment_type", "mpegts", "-hls_segment_filename", "seg_%d.ts"],
    "fmp4": ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4", "-hls_segment_filename", "seg_%d.m4s"],
    "ranges": ["-hls_segment_type", "fmp4", "-hls_flags", "single_file", "-hls_segment_filename", "all.mp4"],
}


def run(*arguments, **options):
    """A command that must succeed: its standard output."""
    done = subprocess.run(list(map(str, arguments)), capture_output=True, check=False, stdin=subprocess.DEVNULL,
                          timeout=120, **options)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stderr.decode(errors='replace')}"
    return done.stdout


def sample():
    """The folder with ts/master.m3u8 and fmp4/master.m3u8: six segments of 4 s, two rungs."""
    with _locked():
        run(REPOSITORY / "tests/demo/make-media", "--short", KEPT / "sample")
    return KEPT / "sample"


def tiny():
    """The folder with {ts,fmp4,ranges}/master.m3u8 and {ts,fmp4,ranges}/v/index.m3u8: three segments of 1 s."""
    with _locked():
        if not (KEPT / "tiny").exists():
            _make_tiny(KEPT / "tiny.part")
            (KEPT / "tiny.part").rename(KEPT / "tiny")
    return KEPT / "tiny"


def _make_tiny(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source = folder / "source.mp4"
    run("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i",
        f"testsrc2=size=192x108:rate={TINY_FRAMES_PER_S}:duration={TINY_SEGMENTS}", "-c:v", "libx264", "-preset",
        "ultrafast", "-bf", 0, "-g", TINY_FRAMES_PER_S, "-sc_threshold", 0, "-pix_fmt", "yuv420p", source)
    for name, options in _TINY_FORMATS.items():
        (folder / name / "v").mkdir(parents=True)
        run("ffmpeg", "-nostdin", "-v", "error", "-i", source, "-c", "copy", "-f", "hls", "-hls_time", 1,
            "-hls_playlist_type", "vod", *options, "index.m3u8", cwd=folder / name / "v")
        (folder / name / "master.m3u8").write_text(
            '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS="avc1.42c00b"\nv/index.m3u8\n')
    source.unlink()


class _locked:
    """Two runs of the tests at once make the media one after the other."""

    def __enter__(self):
        KEPT.mkdir(parents=True, exist_ok=True)
        self._file = open(KEPT / ".lock", "w", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self._file.close()


def frames(url_or_path, count=None, options=()):
    """The digest of each decoded picture, in order; the first `count` of them."""
    limit = ["-frames:v", count] if count else []
    output = run("ffmpeg", "-nostdin", "-v", "error", *options, "-i", url_or_path, "-map", "0:v:0", *limit, "-vsync",
                 "passthrough", "-f", "framehash", "-hash", "sha256", "-")
    return [line.split(",")[-1].strip() for line in output.decode().splitlines() if not line.startswith("#")]


def check_played_over_a_seam(loop, played, is_fmp4):
    """`played` are the frames of a live channel that plays `loop` again and again, and no frame is missing."""
    at = [loop.index(frame) for frame in played]
    assert at[0] % TINY_FRAMES_PER_S == 0
    # ffmpeg's reader of fragmented MP4 does not play the first fragment after the clock went back.
    after_seam = {0, TINY_FRAMES_PER_S} if is_fmp4 else {0}
    for frame, following in zip(at, at[1:]):
        assert following == frame + 1 or (frame == len(loop) - 1 and following in after_seam)
    assert len(loop) - 1 in at[:-1]  # there was a seam
