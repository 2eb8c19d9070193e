# SPDX-License-Identifier: Apache-2.0
"""Flights: one request to the origin however many ask, its bytes to everyone as they come, and nobody disturbs anybody
by leaving or by reading slowly.
"""
import hashlib
import signal
import threading

import pytest

from harness import counters
from harness.client import Broken
from harness.deadline import until
from harness.herd import Herd
from harness.origin import answer, chunk, close, head, last_chunk, send, wait
from harness.scene import HOST, KIB, MIB, Scene, cache_status, noise

LONG = {"Cache-Control": "max-age=1000"}
SLICE = 1 * MIB
CROWD = 1000


def body(response):
    return bytes(response.body)


def in_two(data, first, gate, fields=()):
    """The script of a sized response that stops after its first bytes until the gate opens."""
    return [head(200, {**LONG, "ETag": '"1"', "Content-Length": len(data), **dict(fields)}), send(data[:first]), wait(gate),
            send(data[first:])]


def in_chunks(data, first, gate, size=10_000):
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    before = max(1, first // size)
    return [head(200, {**LONG, "ETag": '"1"', "Transfer-Encoding": "chunked"}), *map(chunk, pieces[:before]), wait(gate),
            *map(chunk, pieces[before:]), last_chunk()]


def until_close(data, first, gate):
    return [head(200, {**LONG, "ETag": '"1"'}), send(data[:first]), wait(gate), send(data[first:]), close()]


SHAPES = {"sized": in_two, "chunked": in_chunks, "close": until_close}


@pytest.fixture(name="shape", params=list(SHAPES))
def _shape(request):
    return SHAPES[request.param]


# --- together ------------------------------------------------------------------------------------------------------


def test_a_thousand_at_once(edge, origin):
    """For one cold segment. The origin holds the rest back until all of them have a byte of it."""
    scene, gate, data = Scene(edge, origin(), workers=2), threading.Event(), noise(2 * MIB)
    scene.server.on("/seg.ts", in_two(data, 64 * KIB, gate))
    with Herd(scene.edge.address, CROWD, "/seg.ts", host=HOST) as herd:
        herd.run_until(lambda: herd.count_received(1) == CROWD, "first bytes for all")
        assert herd.count_done() == 0
        document = scene.stats()
        assert (document["flights"]["active"], document["flights"]["readers"]) == (1, CROWD)
        gate.set()
        herd.run_until(lambda: herd.count_done() == CROWD, "whole bodies for all")
        assert herd.digests() == {hashlib.sha256(data).hexdigest(): CROWD}
    assert scene.server.count() == 1
    site = scene.site_stats(CROWD)
    assert site["by_cause"]["miss"]["requests"] == 1
    assert site["by_cause"]["coalesced"]["requests"] == CROWD - 1
    assert len(data) < site["bytes_origin"] < len(data) + 1000
    assert site["bytes_out"] > CROWD * len(data)
    document = scene.stats()
    assert document["flights"]["coalesced"] == CROWD - 1
    assert document["origin"]["requests"] == 1
    served = document["connections"]["requests_by_worker"]
    assert len(served) == 2 and sum(served) == CROWD and min(served) > CROWD / 10


def test_joining_late(edge, origin, shape):
    """Who comes in the middle of a fill gets its beginning at once, and the rest as it comes."""
    scene, gate, data = Scene(edge, origin()), threading.Event(), noise(5 * SLICE // 2)
    scene.server.on("/seg.ts", shape(data, SLICE // 2, gate))
    with scene.connect() as early, scene.connect() as late:
        early.request("/seg.ts")
        early.read(SLICE // 4)
        late.request("/seg.ts")
        known = "Content-Length" in early.head().fields  # then the head is kept before the body is there
        assert cache_status(late.read(SLICE // 4)) == {"fwd": "partial" if known else "uri-miss", "collapsed": True}
        gate.set()
        assert body(late.response()) == data
        assert body(early.response()) == data
    assert body(scene.get("/seg.ts")) == data
    assert scene.server.count() == 1
    assert scene.site_stats(3)["by_class_and_cause"]["segment"]["hit"]["requests"] == 1


def test_an_empty_body(edge, origin):
    scene, gate = Scene(edge, origin()), threading.Event()
    gate.set()
    for path, script in (("/a", in_two(b"", 0, gate)), ("/b", [head(200, {**LONG, "Transfer-Encoding": "chunked"}),
                                                              last_chunk()]), ("/c", until_close(b"", 0, gate))):
        scene.server.on(path, script)
        for _ in range(2):
            response = scene.get(path)
            assert (response.status, body(response)) == (200, b""), path
    assert scene.server.count() == 3


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 3 * SLICE + 17])
def test_sizes_around_the_edges_of_pieces(edge, origin, size):
    scene, gate = Scene(edge, origin()), threading.Event()
    gate.set()
    for path, shape in SHAPES.items():
        data = noise(size, path)
        scene.server.on(f"/{path}.ts", shape(data, size // 2, gate))
        for _ in range(2):
            assert body(scene.get(f"/{path}.ts")) == data, path
        first = size // 2
        part = scene.get(f"/{path}.ts", {"Range": f"bytes={first}-"})
        assert (part.status, body(part)) == (206, data[first:]), path
    assert scene.server.count() == 3
    assert scene.site_stats(9)["by_cause"]["hit"]["requests"] == 6


def test_nothing_is_kept_without_an_arena(edge, origin, shape):
    """Those who ask together are served together all the same."""
    scene, gate, data = Scene(edge, origin(), arena=None), threading.Event(), noise(5 * SLICE)
    scene.server.on("/seg.ts", shape(data, SLICE, gate))
    with scene.connect() as one, scene.connect() as other:
        one.request("/seg.ts")
        one.read(1)
        other.request("/seg.ts")
        other.read(1)
        gate.set()
        assert body(one.response()) == data
        assert body(other.response()) == data
    assert scene.server.count() == 1
    scene.wait_for("flights.active", 0)
    assert body(scene.get("/seg.ts")) == data
    assert scene.server.count() == 2
    document = scene.wait_for("arena.transient_bytes", 0)
    assert document["flights"]["not_kept"] == 2


# --- leaving --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_viewer_leaves_in_the_middle(edge, origin, leave):
    """It may be the one who led: the others get all there is, from one request."""
    scene, gate, data = Scene(edge, origin()), threading.Event(), noise(3 * SLICE)
    scene.server.on("/seg.ts", in_two(data, 64 * KIB, gate))
    with scene.connect() as leader, scene.connect() as follower, scene.connect() as other:
        for viewer in (leader, follower, other):
            viewer.request("/seg.ts")
            viewer.read(1)
        getattr(leader, leave)()
        getattr(follower, leave)()
        gate.set()
        assert body(other.response()) == data
    assert body(scene.get("/seg.ts")) == data
    assert scene.server.count() == 1
    assert scene.site_stats(4)["requests_aborted"] == 2


def test_a_small_fill_is_finished_for_nobody(edge, origin):
    scene, gate, data = Scene(edge, origin()), threading.Event(), noise(3 * SLICE // 2)
    scene.server.on("/seg.ts", in_two(data, 64 * KIB, gate))
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(1)
        viewer.reset()
    scene.wait_for("flights.readers", 0)
    gate.set()
    scene.wait_for("flights.active", 0)
    response = scene.get("/seg.ts")
    assert body(response) == data and "hit" in cache_status(response)
    assert scene.server.count() == 1
    document = scene.stats()
    assert (document["flights"]["dropped"], document["flights"]["failed"]) == (0, 0)
    orphan = document["by_cause"]["orphan"]["bytes_origin"]
    assert SLICE < orphan <= len(data)
    assert orphan + document["by_cause"]["miss"]["bytes_origin"] == document["origin"]["bytes_received"]


def endless(script_end, piece):
    """Sends pieces until the peer has gone, then opens the gate."""
    def step(exchange):
        try:
            while not exchange.origin.stopping.is_set():
                exchange.socket.sendall(piece)
        except OSError:
            script_end.set()
        return False
    return step


def test_a_large_fill_is_dropped_for_nobody(edge, origin):
    """The origin sees its connection close, long before it has sent all."""
    scene, dropped = Scene(edge, origin()), threading.Event()
    scene.server.on("/seg.ts", [head(200, {**LONG, "Content-Length": 10_000 * MIB}), endless(dropped, bytes(64 * KIB))])
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(2 * MIB)
        viewer.reset()
    scene.wait_for("flights.dropped", 1)
    scene.server.wait_for(dropped)
    assert dropped.is_set()
    document = scene.wait_for("flights.active", 0)
    assert document["flights"]["failed"] == 0
    assert document["origin"]["bytes_received"] < 1000 * MIB


def test_an_endless_body_is_dropped_for_nobody(edge, origin):
    scene, dropped = Scene(edge, origin()), threading.Event()
    scene.server.on("/seg.ts", [head(200, LONG), endless(dropped, bytes(64 * KIB))])
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(2 * MIB)
        viewer.reset()
    scene.wait_for("flights.dropped", 1)
    scene.server.wait_for(dropped)
    assert dropped.is_set()


def test_nobody_waits_for_a_head(edge, origin):
    """All leave before the origin says anything: what it then says is small, and kept."""
    scene, gate, data = Scene(edge, origin()), threading.Event(), noise(1000)
    scene.server.on("/seg.ts", [wait(gate), *answer(200, data, LONG)])
    for _ in range(3):
        with scene.connect() as viewer:
            viewer.request("/seg.ts")
            scene.server.wait_for_requests(1)
            viewer.reset()
    scene.wait_for("flights.readers", 0)
    gate.set()
    scene.wait_for("flights.active", 0)
    assert body(scene.get("/seg.ts")) == data
    assert scene.server.count() == 1
    assert scene.site_stats(4)["statuses"] == {"200": 1, "none": 3}


# --- reading slowly ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
def test_a_viewer_that_reads_nothing(edge, origin, authority, shape, secure):
    """Its window is full while the others complete; when it goes on it still gets every byte."""
    certificate, key = authority.issue(HOST)
    scene = Scene(edge, origin(), site={"tls": {"certificate": str(certificate), "key": str(key)}},
                  listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}])
    gate, data = threading.Event(), noise(24 * MIB)  # more than the kernel's buffers take
    scene.server.on("/seg.ts", shape(data, 64 * KIB, gate))
    tls = {"tls": authority.client_context()} if secure else {}
    address = scene.edge.tls_address if secure else scene.edge.address
    with scene.connect_to(address, receive_buffer=4 * KIB, **tls) as slow, scene.connect_to(address, **tls) as quick:
        slow.request("/seg.ts")
        slow.read(1)
        quick.request("/seg.ts")
        quick.read(1)
        gate.set()
        assert body(quick.response()) == data
        scene.wait_for("sites.demo.requests", 1)  # and not two: the slow one is still being served
        assert body(slow.response()) == data
    assert scene.server.count() == 1
    assert scene.site_stats(2)["requests_aborted"] == 0


def test_a_stalled_viewer_is_disconnected(edge, origin):
    scene, gate, data = Scene(edge, origin(), limits={"send_stall_timeout": "200ms"}), threading.Event(), noise(16 * MIB)
    gate.set()
    scene.server.on("/seg.ts", in_two(data, SLICE, gate))
    with scene.connect(receive_buffer=4 * KIB) as stalled:
        stalled.request("/seg.ts")
        stalled.read(1)
        scene.wait_for("refusals.send_timeout", 1)
        with pytest.raises(Broken):
            stalled.response()
    record = scene.records("/seg.ts")[0]
    assert (record["status"], record["reason"]) == (200, "send_timeout")
    assert record["bytes_sent"] < len(data)
    counters.wait_for_rest(scene.edge)


# --- the end of the edge ----------------------------------------------------------------------------------------------


def test_ending_lets_viewers_finish(edge, origin):
    """After SIGTERM nobody new is served, and who is being served gets the rest."""
    scene, gate, data = Scene(edge, origin()), threading.Event(), noise(2 * MIB)
    scene.server.on("/seg.ts", in_two(data, 64 * KIB, gate))
    with scene.connect() as viewer, scene.connect() as idle:
        viewer.request("/seg.ts")
        viewer.read(1)
        idle.request("/absent.ts")
        idle.response()
        scene.edge.process.send_signal(signal.SIGTERM)
        assert idle.is_closed_by_peer()
        with pytest.raises(ConnectionRefusedError):
            until(lambda: scene.connect().close(), "listeners to close")
        gate.set()
        response = viewer.response()
        assert body(response) == data
        scene.edge.wait()


def test_ending_lets_viewers_of_other_workers_finish(edge, origin):
    """A worker without viewers goes on filling for those of another."""
    scene, gate, data = Scene(edge, origin(), workers=2), threading.Event(), noise(2 * MIB)
    scene.server.on("/seg.ts", in_two(data, 64 * KIB, gate))

    def ask(viewers):
        """Who asks now; and by which worker it is served."""
        before = scene.stats()["connections"]["requests_by_worker"]
        viewer = scene.connect()
        viewer.request("/seg.ts")
        viewer.read(1)
        after = scene.stats()["connections"]["requests_by_worker"]
        viewers.append((viewer, [b > a for a, b in zip(before, after)].index(True)))
        return viewers[-1]

    viewers = []
    _, filling = ask(viewers)
    follower = until(lambda: next((v for v, worker in [ask(viewers)] if worker != filling), None), "another worker")
    for viewer, _ in viewers:
        if viewer is not follower:
            viewer.reset()
    scene.wait_for("flights.readers", 1)
    scene.edge.process.send_signal(signal.SIGTERM)
    with pytest.raises(ConnectionRefusedError):
        until(lambda: scene.connect().close(), "listeners to close")
    gate.set()
    assert body(follower.response()) == data
    follower.close()
    scene.edge.wait()


def test_ending_while_fills_run_for_nobody(edge, origin):
    """Nothing waits for these, and nothing of them is left."""
    scene, gate = Scene(edge, origin()), threading.Event()
    stale = {"Cache-Control": "max-age=0, stale-while-revalidate=100"}
    scene.server.on("/seg.ts", in_two(noise(SLICE), 64 * KIB, gate))
    scene.server.on("/chunks.ts", in_chunks(noise(SLICE), 64 * KIB, gate))
    scene.server.on("/silent.ts", [wait(gate)])
    scene.server.on_each("/stale.ts", [answer(200, b"stale", stale), [wait(gate)]])
    scene.get("/stale.ts")
    assert body(scene.get("/stale.ts")) == b"stale"
    for path in ("/seg.ts", "/chunks.ts", "/silent.ts"):
        with scene.connect() as viewer:
            viewer.request(path)
            scene.server.wait_for_requests(1, path)
            viewer.reset()
    scene.wait_for("flights.readers", 0)
    assert scene.wait_for("flights.active", 4)
    scene.edge.stop()


def test_ending_has_an_end(edge, origin):
    """Viewers in every state of waiting are cut off when the time for their last bytes is over."""
    scene, gate = Scene(edge, origin()), threading.Event()
    data = noise(24 * MIB)
    scene.server.on("/seg.ts", in_two(data, 64 * KIB, gate))
    scene.server.on("/large.ts", answer(200, data, LONG))
    scene.server.on("/private.ts", answer(200, data, {"Cache-Control": "no-store"}))
    scene.server.on("/silent.ts", [wait(gate)])
    viewers = [scene.connect(receive_buffer=4 * KIB) for _ in range(8)]
    for number, viewer in enumerate(viewers):
        path = ("/seg.ts", "/large.ts", "/private.ts", "/silent.ts")[number % 4]
        viewer.request(path)
        if path != "/silent.ts":
            viewer.read(1)
    scene.server.wait_for_requests(1, "/silent.ts")
    scene.edge.stop()
    for viewer in viewers:
        with pytest.raises(Broken):
            viewer.response()
