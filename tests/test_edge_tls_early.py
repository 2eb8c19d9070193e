# SPDX-License-Identifier: Apache-2.0
"""TLS early data (RFC 8446 section 2.3, RFC 8470): off by default; where it is on, what is answered before the handshake is
complete, and what waits for it. A replayed first flight never gets through the handshake: what the edge does for it, it
does early.
"""
import signal
import threading

import pytest

from harness import counters
from harness.early import Visitor, await_end, get, replay
from harness.h2 import END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, frame
from harness.origin import answer, signal as tell, wait
from harness.scene import HOST, MIB, Scene, noise
from hpack import Encoder

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
KEPT = {"Cache-Control": "max-age=1000"}


@pytest.fixture(name="make")
def _make(edge, origin, authority):
    certificate, key = authority.issue(HOST, stem="early")

    def make(site=(), tls=(), server=None, **fields):
        server = server or origin()
        server.on("/ticket", answer(200, b"here", KEPT))
        server.on("/who", answer(200, b"me", KEPT))
        return Scene(edge, server, {"tls": {"certificate": str(certificate), "key": str(key)}, **dict(site)},
                     listen=LISTEN, tls={"early_data": True, **dict(tls)}, workers=1, **fields)
    return make


def told(scene, target):
    """What the origin was told of early data, at each request."""
    return [request.fields.get("Early-Data") for request in scene.server.seen(target)]


@pytest.fixture(name="visitor")
def _visitor(authority, tmp_path):
    return lambda scene, **fields: Visitor(scene.edge, authority, tmp_path, **fields)


def test_a_hit(make, visitor):
    scene = make()
    one = visitor(scene)
    scene.get("/who")
    assert b"\r\n\r\nme" in one.visit(get("/who"))
    assert one.status == "accepted"
    assert [record["status"] for record in scene.records("/who", 2)] == [200, 200]
    document = scene.stats()["tls"]
    assert (document["early_data"], document["early_data_rejected"], document["early_data_waited"]) == (1, 0, 0)
    assert (document["handshakes_full"], document["handshakes_resumed"]) == (1, 1)


def test_off_by_default(make, visitor):
    scene = make(tls={"early_data": False})
    one = visitor(scene)
    assert b"Max Early Data: 0" in one.visit(b"", get("/who"))
    assert scene.stats()["tls"]["early_data"] == 0


def test_switched_off_it_is_refused_and_sent_again(make, visitor, tmp_path):
    """The client has its ticket from an edge where it was on."""
    (tmp_path / "secret").write_bytes(b"a secret of at least 32 bytes, or so")
    tls = {"ticket_keys": [str(tmp_path / "secret")]}
    on = make(tls=tls)
    off = make(tls={**tls, "early_data": False}, server=on.server)
    one = visitor(on)
    assert b"\r\n\r\nme" in one.visit(get("/who"), get("/who"), off.edge)
    assert one.status == "rejected"
    assert len(off.records("/who")) == 1
    document = off.stats()["tls"]
    assert (document["early_data"], document["early_data_rejected"], document["handshakes_resumed"]) == (0, 1, 1)


def test_a_replayed_get_is_a_hit_again(make, visitor):
    scene = make(limits={"handshake_timeout": "200ms"})
    flight = visitor(scene).record(get("/who"))
    scene.get("/who")
    for count in (2, 3, 4):
        with replay(scene.edge, flight) as raw:
            record = scene.records("/who", count)[-1]  # served, though the handshake is not complete
            assert (record["status"], record["cause"]) == (200, "hit")
            await_end(raw)
    assert scene.server.count("/who") == 1
    document = scene.stats()
    assert document["tls"]["early_data"] == 3 and document["tls"]["handshakes_resumed"] == 0


@pytest.mark.parametrize("request_, site", [
    (get("/thing", method="HEAD"), {}),  # a miss that would be for this one viewer
    (get("/thing", "Cache-Control: no-store\r\n"), {"request_directives": "all"}),
    (get("/thing", "Content-Length: 4\r\n", "POST") + b"body", {"pass_methods": ["POST"]}),
    (get("/thing", method="DELETE"), {"pass_methods": ["*"]}),
    (get("/thing", method="OPTIONS"), {}),
], ids=["HEAD", "no-store", "POST", "DELETE", "OPTIONS"])
def test_what_waits(make, visitor, request_, site):
    """A replay of it is never served, and never reaches the origin; the client itself is served, once."""
    scene = make(site, limits={"handshake_timeout": "100ms", "request_body_max": "1KiB"})
    scene.server.on("/thing", answer(200, b"done", KEPT))
    one = visitor(scene)
    flight = one.record(request_)
    for count in (1, 2):
        with replay(scene.edge, flight) as raw:
            scene.wait_for("tls.early_data_waited", count)
            await_end(raw)
        scene.wait_for("refusals.tls_handshake_timeout", count)
    assert scene.server.count("/thing") == 0
    assert b"HTTP/1.1 20" in one.visit(request_)
    assert one.status == "accepted"
    assert scene.server.count("/thing") == (0 if b"OPTIONS" in request_ else 1)
    assert scene.stats()["tls"]["early_data"] == 3
    assert told(scene, "/thing") in ([], [None])


def test_pipelined_behind_one_that_waits(make, visitor):
    scene = make({"pass_methods": ["POST"]}, limits={"request_body_max": "1KiB"})
    scene.server.on("/thing", answer(200, b"done"))
    one = visitor(scene)
    early = get("/who").replace(b"Connection: close\r\n", b"")
    post = get("/thing", "Content-Length: 4\r\n", "POST").replace(b"Connection: close\r\n", b"") + b"body"
    scene.get("/who")
    out = one.visit(early + post + early, get("/who"), hold=lambda: scene.wait_for("tls.early_data_waited", 1))
    assert one.status == "accepted"
    assert out.count(b"HTTP/1.1 200") == 4 and scene.server.count("/thing") == 1
    assert scene.stats()["tls"]["early_data_waited"] == 1


def test_a_miss_tells_the_origin(make, visitor):
    """And the miss of a viewer who is not early does not."""
    scene = make(limits={"handshake_timeout": "200ms"})
    with replay(scene.edge, visitor(scene).record(get("/who"))):
        scene.records("/who")
    scene.get("/ticket")
    scene.server.on("/late", answer(200, b"late", KEPT))
    scene.get("/late")
    assert told(scene, "/who") == ["1"]
    assert told(scene, "/late") == [None]


def test_425_is_asked_again_behind_the_handshake(make, visitor):
    scene = make()
    scene.server.on_each("/who", [answer(425, b"too early", KEPT), answer(200, b"me", KEPT)])
    out = visitor(scene).visit(get("/who"), hold=lambda: scene.wait_for("tls.early_data_waited", 1))
    assert b"\r\n\r\nme" in out
    assert told(scene, "/who") == ["1", None]
    document = scene.stats()
    assert document["tls"]["early_data_waited"] == 1 and document["origin"]["results"]["origin_too_early"] == 1
    assert bytes(scene.get("/who").body) == b"me"  # which is what was kept


def test_425_is_not_asked_again_for_a_replay(make, visitor):
    """And who waits for the same, and is not early, asks for himself."""
    scene = make(limits={"handshake_timeout": "300ms"})
    asked, gate = threading.Event(), threading.Event()
    scene.server.on_each("/who", [[tell(asked), wait(gate), *answer(425, b"too early")], answer(200, b"me", KEPT)])
    with replay(scene.edge, visitor(scene).record(get("/who"))) as raw, scene.connect() as late:
        assert asked.wait(60)
        late.request("/who")
        scene.wait_for("flights.readers", 2)
        gate.set()
        assert bytes(late.response().body) == b"me"
        await_end(raw)
    assert told(scene, "/who") == ["1", None]


def test_early_data_field_of_a_proxy_before_the_edge(make):
    scene = make()
    scene.server.on_each("/who", [answer(425, b"too early", KEPT), answer(200, b"me", KEPT)])
    response = scene.get("/who", {"Early-Data": "1", "Connection": "Early-Data"})
    assert (response.status, bytes(response.body)) == (425, b"origin_too_early\n")
    response = scene.get("/who", {"Early-Data": "1"})  # kept was nothing
    assert (response.status, bytes(response.body)) == (200, b"me")
    assert told(scene, "/who") == ["1", "1"]


@pytest.mark.parametrize("site", [{"forward_headers": ["*"]}, {"forward_headers": ["early-data"]}, {"pass_methods": ["POST"]}],
                         ids=["all fields", "this field", "a method passed on"])
def test_early_data_field_is_said_once(make, site):
    scene = make(site)
    scene.server.on("/who", answer(200, b"me", {**KEPT, "Vary": "Early-Data"}))
    method = "POST" if "pass_methods" in site else "GET"
    for value in ("1", "0"):  # whatever it says, it means 1 (RFC 8470 section 5.1)
        assert scene.get("/who", {"Early-Data": value}, method).status == 200
    assert all(request.raw_head.lower().count(b"early-data") == 1 for request in scene.server.seen("/who"))
    assert told(scene, "/who") == ["1", "1"]


def test_425_to_who_is_not_early_is_passed_on_and_not_kept(make):
    scene = make()
    scene.server.on_each("/who", [answer(425, b"too early", KEPT), answer(200, b"me", KEPT)])
    assert bytes(scene.get("/who").body) == b"too early"
    assert bytes(scene.get("/who").body) == b"me"


def test_slices_that_are_missing_wait(make, visitor):
    """The head and the first slice are kept, the others are not: the body goes on behind the handshake."""
    scene = make()
    data = noise(5 * MIB)
    scene.server.file("/film.mp4", data, KEPT)
    scene.get("/film.mp4", {"Range": "bytes=0-99"})
    scene.wait_for("flights.active", 0)
    one = visitor(scene)
    out = one.visit(get("/film.mp4"), hold=lambda: scene.wait_for("tls.early_data_waited", 1))
    assert one.status == "accepted" and data in out


def test_large_body_beyond_the_handshake(make, visitor):
    """It begins before the handshake is complete, and ends behind it."""
    scene = make()
    data = noise(5 * MIB)
    scene.server.file("/film.mp4", data, KEPT)
    assert scene.get("/film.mp4").body == data
    one = visitor(scene)
    sent = counters.value(scene.stats(), "sites.demo.bytes_out")
    out = one.visit(get("/film.mp4"), hold=lambda: scene.wait_for("sites.demo.bytes_out", lambda size: size > sent + MIB))
    assert data in out
    assert one.status == "accepted"
    assert scene.stats()["tls"]["early_data_waited"] == 0


def h2_request(encoder, stream, target, method="GET"):
    block = encoder.encode([(":method", method), (":scheme", "https"), (":authority", HOST), (":path", target)])
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


def h2_flight(*requests):
    encoder = Encoder()
    return PREFACE + frame(SETTINGS, 0, 0) + b"".join(
        h2_request(encoder, 2 * number + 1, target, method) for number, (method, target) in enumerate(requests))


def test_http2(make, visitor):
    scene = make({"pass_methods": ["POST"]}, limits={"handshake_timeout": "200ms"})
    scene.server.on("/thing", answer(200, b"what was done"))
    one = visitor(scene, protocol="h2")
    scene.get("/who")
    data = h2_flight(("GET", "/who"), ("POST", "/thing"), ("GET", "/who"))
    with replay(scene.edge, one.record(data)) as raw:
        scene.records("/who", 3)
        await_end(raw)
    assert scene.server.count("/thing") == 0
    assert scene.stats()["tls"]["early_data_waited"] == 1
    out = one.visit(data, frame(GOAWAY, 0, 0, bytes(8)), hold=lambda: scene.wait_for("tls.early_data_waited", 2))
    assert one.status == "accepted" and b"what was done" in out
    assert scene.server.count("/thing") == 1
    scene.records("/who", 5)


def test_ticket_keys_are_exchanged(make, visitor, tmp_path):
    """With the old secret behind the new one early data goes on; without it, it is sent again."""
    for name in ("one", "two", "three"):
        (tmp_path / name).write_bytes(f"{name}: a secret of at least 32 bytes".encode())
    present, before = tmp_path / "present", tmp_path / "before"
    present.write_bytes((tmp_path / "one").read_bytes())
    before.write_bytes((tmp_path / "three").read_bytes())
    scene = make(tls={"ticket_keys": [str(present), str(before)]})
    one = visitor(scene)

    def exchange(count, new, old):
        present.write_bytes((tmp_path / new).read_bytes())
        before.write_bytes((tmp_path / old).read_bytes())
        scene.edge.process.send_signal(signal.SIGHUP)
        scene.wait_for("tls.reloads", count)
    exchange(2, "two", "one")
    assert b"\r\n\r\nme" in one.visit(get("/who")) and one.status == "accepted"
    exchange(4, "three", "two")
    assert b"\r\n\r\nme" in one.visit(get("/who"), get("/who")) and one.status == "rejected"
    document = scene.stats()["tls"]
    assert (document["early_data"], document["handshakes_full"], document["handshakes_resumed"]) == (1, 2, 1)


def test_who_stalls_gives_way(make, visitor):
    """A client that is served before its handshake is complete keeps its place among the handshakes."""
    scene = make(limits={"handshakes_max": 1})
    one = visitor(scene)
    with replay(scene.edge, one.record(get("/who"))) as raw:
        scene.records("/who")
        while not b"\r\n\r\nme" in one.visit(get("/who")):
            pass
        await_end(raw)
    assert counters.stats(scene.edge)["refusals"]["too_many_handshakes"] >= 1
