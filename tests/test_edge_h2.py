# SPDX-License-Identifier: Apache-2.0
"""Viewers over HTTP/2: what real clients get through a whole edge, what is counted of it, and that attackers on one
connection end with a name while viewers on another notice nothing.
"""
import os
import re
import subprocess
import threading

import pytest

from harness import counters
from harness.client import Connection
from harness.deadline import DEADLINE_S, until
from harness.h2 import (CANCEL, CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, H2, HEADERS, INITIAL_WINDOW_SIZE,
                        INTERNAL_ERROR, NO_ERROR, RST_STREAM, SETTINGS, settings, u32)
from harness.origin import answer, chunk, close, head, last_chunk, send, wait
from harness.scene import HOST, KIB, MIB, Scene, noise

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
LONG = {"Cache-Control": "max-age=1000"}
DATA_3M = noise(3 * MIB)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg.ts\n#EXT-X-ENDLIST\n"


class Stage:
    """A scene with TLS beside plain."""

    def __init__(self, edge, origin, authority, **fields):
        chain, key = authority.issue(HOST)
        site = {"tls": {"certificate": str(chain), "key": str(key)}, "pass_methods": ["POST"]}
        self.scene = Scene(edge, origin(), site=site, listen=LISTEN, **fields)
        self.server, self.edge, self.authority = self.scene.server, self.scene.edge, authority
        self.server.file("/seg.ts", DATA_3M, LONG)
        self.server.file("/main.m3u8", PLAYLIST, {**LONG, "Content-Type": "application/vnd.apple.mpegurl"})

    def connect(self, tls=True, **fields):
        if tls:
            return H2(self.edge.tls_address, tls=self.authority.client_context(), **fields)
        return H2(self.edge.address, **fields)

    def curl(self, target, *arguments):
        """(version and status, body) of what curl says over TLS."""
        host, port = self.edge.tls_address
        command = ["curl", "--silent", "--show-error", "--cacert", self.authority.ca_path, "--resolve", f"{HOST}:{port}:{host}",
                   "--write-out", "%{stderr}%{http_version} %{http_code}", *arguments, f"https://{HOST}:{port}{target}"]
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=True)
        return done.stderr.decode(), done.stdout

    def refusals(self, reason):
        return self.scene.stats()["refusals"][reason]


@pytest.fixture(name="stage2")
def _stage2(edge, origin, authority):
    """stage2(limits={...}): starts it."""
    return lambda **fields: Stage(edge, origin, authority, **fields)


# --- real clients ----------------------------------------------------------------------------------------------------


def test_curl(stage2):
    stage = stage2()
    assert stage.curl("/seg.ts", "--http2") == ("2 200", DATA_3M)
    assert stage.curl("/seg.ts", "--http2") == ("2 200", DATA_3M)
    assert stage.curl("/seg.ts", "--http1.1") == ("1.1 200", DATA_3M)
    assert stage.curl("/seg.ts", "--http2", "--range", "1000000-1999999") == ("2 206", DATA_3M[1000000:2000000])
    said, fields = stage.curl("/seg.ts", "--http2", "--head")
    assert said == "2 200" and b"\r\ncontent-length: %d\r\n" % len(DATA_3M) in fields
    etag = re.search(rb"\r\netag: ([^\r]+)", fields)
    assert stage.curl("/seg.ts", "--http2", "--header", f"If-None-Match: {etag[1].decode()}") == ("2 304", b"")
    assert stage.curl("/none", "--http2")[0] == "2 404"
    assert stage.curl("/seg.ts", "--http2", "--request", "DELETE")[0] == "2 405"
    assert stage.server.count("/seg.ts") == 1


def test_bodies_pass_through(stage2):
    stage = stage2()
    stage.server.on("/form", answer(200, b"thanks"))
    assert stage.curl("/form", "--http2", "--data", "name=value") == ("2 200", b"thanks")
    request = stage.server.seen("/form")[0]
    assert (request.method, bytes(request.body), request.fields["Content-Length"]) == ("POST", b"name=value", "10")


def h2load(stage, target, *arguments):
    host, port = stage.edge.tls_address
    command = ["h2load", *arguments, "--connect-to", f"{host}:{port}", f"https://{HOST}:{port}{target}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * DEADLINE_S, check=True)
    return tuple(int(re.search(rf"(\d+) {word}", done.stdout)[1]) for word in ("succeeded", "failed", "2xx"))


def test_h2load(stage2):
    stage = stage2()
    stage.curl("/seg.ts", "--http2")
    assert h2load(stage, "/seg.ts", "-n", "60", "-c", "4", "-m", "6") == (60, 0, 60)
    assert h2load(stage, "/seg.ts", "-n", "20", "-c", "2", "-m", "5", "-w", "14", "-W", "15") == (20, 0, 20)
    assert h2load(stage, "/main.m3u8", "-n", "3000", "-c", "10", "-m", "100") == (3000, 0, 3000)
    document = counters.wait_for(stage.edge, "connections.active", 0)
    assert document["connections"]["requests"] == 3081
    assert document["requests_aborted"] == 0
    assert stage.server.count("/seg.ts") == stage.server.count("/main.m3u8") == 1


def test_alpn_chooses(stage2):
    stage = stage2()
    for offered, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
        context = stage.authority.client_context()
        if offered:
            context.set_alpn_protocols(offered)
        with Connection(stage.edge.tls_address, host=HOST, tls=context) as viewer:
            assert viewer.socket.selected_alpn_protocol() == agreed
            if agreed != "h2":
                viewer.request("/main.m3u8")
                assert viewer.response().body == PLAYLIST


# --- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_small_windows_and_slow_readers(stage2, tls):
    """Many streams at once over a socket that is nearly always full, each with a window of a few bytes less than one
    frame: all bytes are right, misses and hits alike.
    """
    stage = stage2()
    with stage.connect(tls, initial=[(INITIAL_WINDOW_SIZE, 16000)], receive_buffer=4096) as viewer:
        streams = [viewer.ask("/seg.ts", {"range": f"bytes={i * 100000}-{i * 150000 + 99999}"}) for i in range(8)]
        for i, stream in enumerate(streams):
            response = viewer.response(stream)
            assert response.status == 206
            assert response.body == DATA_3M[i * 100000:i * 150000 + 100000]


def test_a_miss_streams_to_all(stage2):
    """One flight, followed by streams of one connection and by a viewer of HTTP/1: each sees the first part before the
    origin has sent the second.
    """
    stage, gate = stage2(), threading.Event()
    stage.server.on("/slow.ts", [head(200, {**LONG, "Content-Length": 8}), send(b"1234"), wait(gate), send(b"5678")])
    with stage.connect() as viewer, stage.scene.connect() as other:
        streams = [viewer.ask("/slow.ts") for _ in range(10)]
        other.request("/slow.ts")
        viewer.until(lambda: all(viewer.response_of(stream).body == b"1234" for stream in streams))
        assert other.read(4).body == b"1234"
        gate.set()
        assert all(viewer.response(stream).body == b"12345678" for stream in streams)
        assert other.response().body == b"12345678"
    assert stage.server.count("/slow.ts") == 1


def test_an_unknown_length_has_no_content_length(stage2):
    stage, gate = stage2(), threading.Event()
    stage.server.on("/live.ts", [head(200, {**LONG, "Transfer-Encoding": "chunked"}), chunk(b"hello"), wait(gate),
                                 chunk(b"world"), last_chunk()])
    with stage.connect() as viewer:
        stream = viewer.ask("/live.ts")
        viewer.until(lambda: viewer.response_of(stream).body == b"hello")
        gate.set()
        response = viewer.response(stream)
        assert (response.body, response.fields.get("content-length")) == (b"helloworld", None)
        assert not {"transfer-encoding", "connection", "keep-alive"} & {name for name, _ in response.fields.pairs}


def test_a_broken_origin_breaks_the_stream_only(stage2):
    stage, gate = stage2(), threading.Event()
    stage.server.on("/cut.ts", [head(200, {**LONG, "Content-Length": 100}), send(b"1234"), wait(gate), close()])
    with stage.connect() as viewer:
        stream = viewer.ask("/cut.ts")
        viewer.until(lambda: viewer.response_of(stream).body == b"1234")
        gate.set()
        response = viewer.response(stream)
        assert (response.ended, response.error) == (False, INTERNAL_ERROR)
        assert viewer.get("/main.m3u8").body == PLAYLIST


def test_what_is_sent_is_counted(stage2):
    """bytes_out is every byte of HEADERS and DATA frames, and nothing else: a 404 and a redirect to itself included."""
    stage = stage2()
    heard = 0
    with stage.connect(initial=[(INITIAL_WINDOW_SIZE, 1 << 20)], auto_window=False) as viewer:
        viewer.widen(0, 1 << 24)
        for target, method in (("/seg.ts", "HEAD"), ("/main.m3u8", "GET"), ("/main.m3u8", "GET"), ("/none", "GET")):
            stream = viewer.ask(target, method=method)
            while not viewer.response_of(stream).ended:
                got = viewer.read()
                heard += 9 + len(got.payload) if got.type in (HEADERS, DATA) else 0
        document = counters.wait_for(stage.edge, "requests", 4)
        assert document["bytes_out"] == heard


def test_regions_truncated_underneath(stage2):
    """Each stream gets what is right, or an end; the next connection gets it all from the origin."""
    stage = stage2(arena={"size": "64MiB", "region_size": "4MiB", "slice_size": "1MiB"})
    assert stage.curl("/seg.ts", "--http2") == ("2 200", DATA_3M)
    stage.scene.wait_for("flights.active", 0)
    with stage.connect(auto_window=False) as viewer:
        viewer.widen(0, 1 << 24)
        streams = [viewer.ask("/seg.ts", {"range": f"bytes={at}-"}) for at in (0, 10, 1 << 20, 2 << 20)]
        viewer.until(lambda: all(len(viewer.response_of(stream).body) == 65535 for stream in streams))
        for path in (stage.edge.folder / "arena").glob("region-*"):
            os.truncate(path, 64 * KIB)
        for stream in streams:
            viewer.widen(stream, 1 << 24)
        while not all(viewer.response_of(stream).ended or viewer.response_of(stream).error for stream in streams):
            if not viewer.read():
                break
        for at, stream in zip((0, 10, 1 << 20, 2 << 20), streams):
            assert DATA_3M[at:].startswith(bytes(viewer.response_of(stream).body))
        assert not all(viewer.response_of(stream).ended for stream in streams)
    with stage.connect() as viewer:
        until(lambda: viewer.get("/seg.ts").body == DATA_3M, "the segment to be there again")


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_a_cancelled_stream_is_an_aborted_request(stage2):
    stage = stage2()
    with stage.connect(auto_window=False) as viewer:
        stream = viewer.ask("/seg.ts")
        viewer.until(lambda: len(viewer.response_of(stream).body) == 65535)
        viewer.send(RST_STREAM, 0, stream, u32(CANCEL))
        assert viewer.ping()
        counters.wait_for(stage.edge, "requests_aborted", 1)
        viewer.widen(0, 1 << 20)
        assert viewer.get("/main.m3u8").body == PLAYLIST


def test_a_connection_that_breaks_aborts_all_its_streams(stage2):
    stage = stage2()
    with stage.connect(auto_window=False) as viewer:
        for _ in range(20):
            viewer.ask("/seg.ts")
        assert viewer.ping()
        viewer.until(lambda: sum(len(each.body) for each in viewer.responses.values()) == 65535)
        viewer.connection.reset()
    counters.wait_for(stage.edge, "requests_aborted", 20)


def test_stopping_lets_streams_end(stage2):
    stage = stage2()
    with stage.connect(auto_window=False) as viewer:
        stream = viewer.ask("/seg.ts")
        viewer.until(lambda: len(viewer.response_of(stream).body) == 65535)
        stage.edge.process.terminate()
        viewer.until(lambda: viewer.goaway)
        assert viewer.goaway == (stream, NO_ERROR)
        viewer.widen(0, 1 << 24)
        viewer.widen(stream, 1 << 24)
        assert viewer.response(stream).body == DATA_3M
        assert viewer.connection_error() == NO_ERROR
    stage.edge.wait()


# --- attackers ---------------------------------------------------------------------------------------------------------


def rapid_reset(viewer):
    for _ in range(300):
        stream = viewer.ask("/seg.ts")
        viewer.send(RST_STREAM, 0, stream, u32(CANCEL))


def made_reset(viewer):
    for _ in range(100):
        viewer.widen(viewer.ask("/seg.ts"), 0x7fffffff)


def pings(viewer):
    viewer.raw(b"".join(b"\0\0\x08\x06\0\0\0\0\0" + b"12345678" for _ in range(1000)))


def changing_settings(viewer):
    for i in range(100):
        viewer.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, i)))


def continuations(viewer):
    viewer.send(HEADERS, END_STREAM, 1, viewer.block("/seg.ts"))
    for _ in range(100):
        viewer.send(CONTINUATION, 0, 1)


@pytest.mark.parametrize("attack, reason", [
    (rapid_reset, "h2_rapid_reset"), (made_reset, "h2_made_reset"), (pings, "h2_ping_flood"),
    (changing_settings, "h2_settings_flood"), (continuations, "h2_continuation_flood")])
def test_floods(stage2, attack, reason):
    stage = stage2()
    with stage.connect() as good:
        assert good.get("/main.m3u8").body == PLAYLIST
        for _ in range(3):
            with stage.connect(auto_window=False) as attacker:
                attack(attacker)
                assert attacker.connection_error() == ENHANCE_YOUR_CALM
            assert good.get("/main.m3u8").body == PLAYLIST
        assert good.get("/seg.ts").body == DATA_3M
    assert stage.refusals(reason) == 3


def test_windows_at_zero(stage2):
    stage = stage2(limits={"send_stall_timeout": "500ms"})
    with stage.connect() as good, stage.connect(initial=[(INITIAL_WINDOW_SIZE, 0)]) as attacker:
        for _ in range(100):
            attacker.ask("/seg.ts")
        while not attacker.is_closed:
            assert good.get("/main.m3u8").body == PLAYLIST
            assert attacker.read() or attacker.is_closed
        assert attacker.goaway[1] == ENHANCE_YOUR_CALM
    assert stage.refusals("h2_window_stall") == 1
    counters.wait_for(stage.edge, "requests_aborted", 100)


def test_half_a_head(stage2):
    stage = stage2(limits={"header_timeout": "300ms"})
    with stage.connect() as viewer:
        viewer.send(HEADERS, END_STREAM, 1, viewer.block("/seg.ts"))
        assert viewer.connection_error() == ENHANCE_YOUR_CALM
    with stage.connect(handshake=False) as viewer:
        viewer.raw(b"PRI * HTTP/2.0\r\n")
        assert viewer.connection_error() == ENHANCE_YOUR_CALM
    assert stage.refusals("header_timeout") == 2


def test_idle(stage2):
    """Pings do not keep a connection that asks for nothing."""
    stage = stage2(limits={"idle_timeout": "500ms"})
    with stage.connect() as viewer:
        assert viewer.get("/main.m3u8").body == PLAYLIST
        for _ in range(30):
            assert viewer.ping()
        assert viewer.connection_error() == NO_ERROR
    assert stage.refusals("idle_timeout") == 1
