# SPDX-License-Identifier: Apache-2.0
"""Rules of HTTP caching beyond what the main road needs: variants, methods that change something, what viewers ask of a
cache, targeted fields, staleness by default, keys by rule. The public suite (test_conformance.py) asks about single
responses; here are the stories with several viewers, and the rules of a site.
"""
import base64
import hashlib
import json
import threading
import urllib.parse

import pytest

from harness.client import Broken, fetch
from harness.origin import answer, chunk, head, last_chunk, reset, send, signal, wait
from harness.scene import HOST, Scene, cache_status, noise
from test_edge_caching import playlist

DATA, OTHER = noise(5000), noise(5000, 1)
LONG = {"Cache-Control": "max-age=1000"}
OPEN = {"forward_headers": ["*"]}


def body(response):
    return bytes(response.body)


def echo_of(name, fields):
    """An origin's script: the body is what the request said in one field."""
    return lambda request: answer(200, (request.fields.get(name) or "none").encode(), fields)


# --- variants -------------------------------------------------------------------------------------------------------


def test_each_variant_is_kept(edge, origin):
    scene = Scene(edge, origin(), site=OPEN)
    scene.server.on("/a", echo_of("Color", {**LONG, "Vary": "Color"}))
    for _ in range(3):
        for color in ("red", "blue"):
            assert body(scene.get("/a", {"Color": color})) == color.encode()
        assert body(scene.get("/a")) == b"none"
    assert scene.server.count() == 3
    assert "hit" in cache_status(scene.get("/a", {"color": " red "}))
    assert cache_status(scene.get("/a", {"Color": "green"})) == {"fwd": "vary-miss", "stored": True}


def test_values_are_normalised(edge, origin):
    scene = Scene(edge, origin(), site=OPEN)
    scene.server.on("/a", echo_of("Foo", {**LONG, "Vary": "FOO, accept-language"}))
    scene.get("/a", [("Foo", "1, 2"), ("Accept-Language", "en, de;q=0.5")])
    for fields in ([("Foo", "1,2"), ("Accept-Language", "DE;q=0.5,en")], [("Foo", "1"), ("Foo", " 2"), ("Accept-Language", "en,de;q=0.5")]):
        assert "hit" in cache_status(scene.get("/a", fields)), fields
    for fields in ([("Foo", "2, 1"), ("Accept-Language", "en, de;q=0.5")], [("Foo", "1, 2"), ("Accept-Language", "en, de")],
                   [("Foo", '"1, 2"'), ("Accept-Language", "en, de;q=0.5")], [("Foo", '"1,2"'), ("Accept-Language", "en, de;q=0.5")]):
        assert "hit" not in cache_status(scene.get("/a", fields)), fields
    assert scene.server.count() == 5


def test_those_who_wait_get_their_own_variant(edge, origin):
    """Nobody knows of Vary before the first head: who joined for another variant asks for that one, once for all."""
    scene, gate = Scene(edge, origin(), site=OPEN), threading.Event()
    scene.server.on("/a", lambda request: [wait(gate), *answer(200, request.fields["Color"].encode(), {**LONG, "Vary": "Color"})])
    colors = ["red", "blue", "red", "green", "blue", "red"]
    viewers = [scene.connect() for _ in colors]
    for viewer, color in zip(viewers, colors):
        viewer.request("/a", {"Color": color})
    scene.wait_for("flights.readers", len(colors))
    scene.server.wait_for_requests(1)
    assert scene.server.count() == 1
    gate.set()
    assert [body(viewer.response()) for viewer in viewers] == [color.encode() for color in colors]
    for viewer in viewers:
        viewer.close()
    assert sorted(request.fields["Color"] for request in scene.server.requests) == ["blue", "green", "red"]


def test_a_variant_is_validated_as_itself(edge, origin):
    scene = Scene(edge, origin(), site=OPEN)

    def script(request):
        etag = f'"{request.fields["Color"]}"'
        fields = {"Cache-Control": "max-age=0", "Vary": "Color", "ETag": etag}
        return answer(304, b"", fields) if request.fields.get("If-None-Match") == etag else \
            answer(200, request.fields["Color"].encode(), fields)
    scene.server.on("/a", script)
    for _ in range(2):
        for color in ("red", "blue"):
            assert body(scene.get("/a", {"Color": color})) == color.encode()
    assert [request.fields.get("If-None-Match") for request in scene.server.requests] == [None, None, '"red"', '"blue"']


def test_variants_of_other_fields(edge, origin):
    """The origin varies by something else from now on, then by nothing."""
    scene = Scene(edge, origin(), site=OPEN)
    scene.server.on_each("/a", [answer(200, b"one", {**LONG, "Vary": "A"}), answer(200, b"two", {**LONG, "Vary": "B"}),
                                answer(200, b"three", LONG)])
    assert body(scene.get("/a", {"A": "1", "B": "1"})) == b"one"
    assert body(scene.get("/a", {"A": "2", "B": "1"})) == b"two"
    assert body(scene.get("/a", {"A": "1", "B": "1"})) == b"two"  # the old marker's variants are out of reach
    assert body(scene.get("/a", {"A": "1", "B": "2"})) == b"three"
    for fields in ({}, {"A": "1", "B": "1"}, {"B": "2"}):
        assert body(scene.get("/a", fields)) == b"three"
    assert scene.server.count() == 3


def test_many_variants_and_odd_values(edge, origin):
    """Values that look like other variants' keys, very long ones, too many fields: nobody gets another's."""
    scene = Scene(edge, origin(), site=OPEN)
    scene.server.on("/a", lambda request: answer(200, repr([request.fields.get(name) for name in ("A", "B")]).encode(),
                                                 {**LONG, "Vary": "A, B"}))
    values = [("1", "2"), ("1\tb=2", None), ("1;b=2", None), ("1,b=2", ""), ("", "2"), (None, "1=2"), ("x" * 6000, "y" * 6000), ("1 vary 2", "2")]
    for _ in range(2):
        for a, b in values:
            fields = [pair for pair in (("A", a), ("B", b)) if pair[1] is not None]
            assert body(scene.get("/a", fields)) == repr([a, b]).encode()
    scene.server.on("/b", echo_of("A", {**LONG, "Vary": ", ".join(f"N{number}" for number in range(40))}))
    assert cache_status(scene.get("/b"))["stored"] == "?0"


def test_what_the_origin_is_not_told_is_not_shared(edge, origin):
    scene = Scene(edge, origin(), site={"forward_headers": ["X-*"]})
    scene.server.on("/a", echo_of("X-A", {**LONG, "Vary": "X-A"}))
    scene.server.on("/b", echo_of("Other", {**LONG, "Vary": "X-A, Other"}))
    for value in ("1", "2", "1"):
        assert body(scene.get("/a", {"X-A": value, "Other": "x"})) == value.encode()
        assert body(scene.get("/b", {"X-A": value, "Other": "x"})) == b"none"
    assert (len(scene.server.seen("/a")), len(scene.server.seen("/b"))) == (2, 3)


# --- methods --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_a_method_that_is_passed_changes_what_is_kept(edge, origin, method):
    scene = Scene(edge, origin(), site={"pass_methods": ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"]})
    got = []

    def script(request):
        if request.method == method:
            got.append((request.body, request.fields.get("Cookie"), request.fields.get("Content-Type")))
            return answer(200, b"done", {"Location": "/b", "Content-Location": "http://elsewhere.test/c", **LONG})
        return answer(200, DATA, LONG)
    for path in ("/a", "/b", "/c"):
        scene.server.on(path, script)
        scene.get(path)
    with scene.connect() as viewer:
        viewer.request("/a", {"Content-Length": "5", "Cookie": "session=1", "Content-Type": "text/x"}, method=method, body=b"hello")
        response = viewer.response()
    assert (response.status, body(response)) == (200, b"done")
    assert cache_status(response) == {"fwd": "method", "stored": "?0"}
    assert response.fields["Via"] == "1.1 test"
    assert got == [(b"hello", "session=1", "text/x")]
    found = {path: "hit" in cache_status(scene.get(path)) for path in ("/a", "/b", "/c")}
    assert found == {"/a": False, "/b": False, "/c": True}  # another host's is not ours to change


def test_what_failed_has_changed_nothing(edge, origin):
    scene = Scene(edge, origin(), site={"pass_methods": ["*"]})
    scene.server.on("/a", lambda request: answer(500, b"no") if request.method == "POST" else answer(200, DATA, LONG))
    scene.get("/a")
    assert scene.get("/a", method="POST").status == 500
    assert "hit" in cache_status(scene.get("/a"))


def test_what_was_on_its_way_does_not_bring_the_old_back(edge, origin):
    scene, gate, begun = Scene(edge, origin(), site={**OPEN, "pass_methods": ["POST"]}), threading.Event(), threading.Event()
    fields = {**LONG, "Vary": "A", "Content-Length": len(DATA)}
    scene.server.on_each("/a", [
        [head(200, fields), send(DATA[:100]), signal(begun), wait(gate), send(DATA[100:])],
        answer(200, b"changed"), answer(200, OTHER, {**LONG, "Vary": "A"})])
    with scene.connect() as early:
        early.request("/a", {"A": "1"})
        early.read(100)
        assert body(scene.get("/a", method="POST")) == b"changed"
        assert body(scene.get("/a", {"A": "1"})) == OTHER  # it does not join what was before
        gate.set()
        assert body(early.response()) == DATA
    scene.wait_for("flights.active", 0)
    for _ in range(2):
        assert body(scene.get("/a", {"A": "1"})) != DATA


def test_invalidation_reaches_every_variant(edge, origin):
    scene = Scene(edge, origin(), site={**OPEN, "pass_methods": ["POST"]})
    scene.server.on("/a", echo_of("A", {**LONG, "Vary": "A"}))
    for value in ("1", "2"):
        scene.get("/a", {"A": value})
    scene.get("/a", method="POST")
    for value in ("1", "2"):
        assert "hit" not in cache_status(scene.get("/a", {"A": value}))
    assert len([request for request in scene.server.requests if request.method == "GET"]) == 4


def test_methods_that_are_not_passed(edge, origin):
    scene = Scene(edge, origin(), site={"pass_methods": ["PUT"]})
    for method in ("POST", "DELETE", "TRACE", "PROPFIND"):
        assert scene.get("/a", method=method).status == 405
    assert scene.server.count() == 0


# --- what viewers ask of a cache ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule, path, obeyed", [
    ("all", "/seg.ts", True), ("all", "/a", True), ("other", "/seg.ts", False), ("other", "/a", True), ("none", "/a", False), (None, "/a", True),
])
@pytest.mark.parametrize("fields", [{"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"},
                                    {"Cache-Control": "min-fresh=2000"}])
def test_a_viewer_s_directives(edge, origin, rule, path, obeyed, fields):
    scene = Scene(edge, origin(), site={"request_directives": rule} if rule else {})
    scene.server.on_each(path, [answer(200, DATA, {**LONG, "ETag": '"one"'}), answer(304, b"", {**LONG, "ETag": '"one"'})])
    scene.get(path)
    assert body(scene.get(path, fields)) == DATA
    assert scene.server.count() == (2 if obeyed else 1)
    if obeyed:
        assert scene.server.requests[1].fields["If-None-Match"] == '"one"'
        assert "test; fwd=request; fwd-status=304" in [record["cache_status"] for record in scene.records(path, 2)]
    assert "hit" in cache_status(scene.get(path))


def test_no_store_and_only_if_cached(edge, origin):
    scene = Scene(edge, origin())
    scene.server.on("/a", answer(200, DATA, LONG))
    refused = scene.get("/a", {"Cache-Control": "only-if-cached"})
    assert (refused.status, body(refused)) == (504, b"only_if_cached\n")
    for _ in range(2):
        assert cache_status(scene.get("/a", {"Cache-Control": "no-store"}))["stored"] == "?0"
    assert scene.server.count() == 2
    scene.get("/a")
    assert "hit" in cache_status(scene.get("/a", {"Cache-Control": "only-if-cached"}))
    assert scene.server.count() == 3


def test_max_stale(edge, origin):
    scene = Scene(edge, origin())
    scene.server.on("/a", answer(200, DATA, {"Cache-Control": "max-age=10", "Age": "20"}))
    scene.server.on("/b", answer(200, DATA, {"Cache-Control": "max-age=10, must-revalidate", "Age": "20"}))
    for path, requests in (("/a", 1), ("/b", 2)):
        scene.get(path)
        assert body(scene.get(path, {"Cache-Control": "max-stale=1000"})) == DATA
        assert len(scene.server.seen(path)) == requests
        scene.get(path, {"Cache-Control": "max-stale=5"})
        assert len(scene.server.seen(path)) == requests + 1


# --- what origins say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields, kept", [
    ({"Cache-Control": "no-store", "CDN-Cache-Control": "max-age=100"}, True),
    ({"Cache-Control": "max-age=100", "CDN-Cache-Control": "no-store"}, False),
    ({"Cache-Control": "max-age=100", "CDN-Cache-Control": "max-age=0", "Expires": "Fri, 01 Jan 2100 00:00:00 GMT"}, False),
    ({"Cache-Control": "no-store", "CDN-Cache-Control": "max-age=100, &&&"}, False),
    ({"Cache-Control": "no-store", "CDN-Cache-Control": 'max-age="100"'}, False),
    ({"Cache-Control": "max-age=100", "CDN-Cache-Control": ""}, True),
])
def test_targeted_cache_control(edge, origin, fields, kept):
    scene = Scene(edge, origin())
    scene.server.on("/seg.ts", answer(200, DATA, fields))
    scene.get("/seg.ts")
    response = scene.get("/seg.ts")
    assert ("hit" in cache_status(response)) == kept
    assert response.fields.get("CDN-Cache-Control") == fields["CDN-Cache-Control"]  # for a CDN in front of this one


def test_targeted_cache_control_outlives_a_304(edge, origin):
    scene = Scene(edge, origin())
    first = {"Cache-Control": "max-age=100", "CDN-Cache-Control": "max-age=0", "ETag": '"one"'}
    scene.server.on_each("/seg.ts", [answer(200, DATA, first), answer(304, b"", {"ETag": '"one"', "Cache-Control": "max-age=200"})])
    for _ in range(3):
        scene.get("/seg.ts")
    assert scene.server.count() == 3


@pytest.mark.parametrize("control, shared", [("max-age=100", False), ("max-age=100, public", True), ("s-maxage=100", True),
                                             ("max-age=100, must-revalidate", True)])
def test_authorization(edge, origin, control, shared):
    scene = Scene(edge, origin(), site={"forward_headers": ["Authorization"]})
    scene.server.on("/a", echo_of("Authorization", {"Cache-Control": control}))
    assert body(scene.get("/a", {"Authorization": "one"})) == b"one"
    assert body(scene.get("/a", {"Authorization": "two"})) == (b"one" if shared else b"two")


@pytest.mark.parametrize("site, shared", [({}, False), ({"store_set_cookie": True}, True)])
def test_set_cookie(edge, origin, site, shared):
    scene = Scene(edge, origin(), site=site)
    scene.server.on("/a", answer(200, DATA, {**LONG, "Set-Cookie": "a=b"}))
    scene.server.on("/b", answer(200, DATA, {"Set-Cookie": "a=b"}))
    for path, kept in (("/a", shared), ("/b", False)):
        scene.get(path)
        assert ("hit" in cache_status(scene.get(path))) == kept


# --- when the origin fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [answer(503, b"no"), [reset()]], ids=["503", "reset"])
def test_a_live_stream_survives_a_blip(edge, origin, failure):
    """With no word of the origin and none of the configuration."""
    scene = Scene(edge, origin(), site={"freshness": {"playlist_live_max": "1ms"}})
    scene.server.on_each("/live.m3u8", [answer(200, playlist()), failure])
    assert body(scene.get("/live.m3u8")) == playlist()
    for _ in range(3):
        response = scene.get("/live.m3u8")
        assert (response.status, body(response)) == (200, playlist())
        assert cache_status(response)["detail"] == "stale"


def test_staleness_can_be_turned_off(edge, origin):
    scene = Scene(edge, origin(), site={"freshness": {"playlist_live_max": "1ms", "stale_if_error": "0s"}})
    scene.server.on_each("/live.m3u8", [answer(200, playlist()), answer(503, b"no")])
    scene.get("/live.m3u8")
    assert scene.get("/live.m3u8").status == 503


# --- digests --------------------------------------------------------------------------------------------------------


def digest_of(data):
    return {"Repr-Digest": "sha-512=:AAAA:, sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"}


SHAPES = {
    "sized": lambda data, fields: answer(200, data, fields),
    "chunked": lambda data, fields: [head(200, {**fields, "Transfer-Encoding": "chunked"}), chunk(data[:1000]), chunk(data[1000:]), last_chunk()],
    "private": lambda data, fields: answer(200, data, {**fields, "Cache-Control": "no-store"}),
    "sliced": lambda data, fields: answer(200, data * 500, {**fields, "ETag": '"one"'}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_that_is_what_its_digest_says(edge, origin, shape):
    scene = Scene(edge, origin())
    whole = DATA * 500 if shape == "sliced" else DATA
    scene.server.on("/a", SHAPES[shape](DATA, {**LONG, **digest_of(whole)}))
    for _ in range(2):
        assert body(scene.get("/a")) == whole
    assert scene.server.count() == (2 if shape == "private" else 1)
    assert scene.stats()["flights"]["corrupt"] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_that_is_not(edge, origin, shape):
    """Each reader is told, nobody has all of it, nothing of it is kept, not even its slices, and it is counted."""
    scene = Scene(edge, origin())
    scene.server.on_each("/a", [SHAPES[shape](DATA, {**LONG, **digest_of(OTHER)}), answer(200, OTHER, {**LONG, "ETag": '"one"'})])
    try:
        assert scene.get("/a").status == 502  # it was found out before the head had left
    except Broken as broken:
        assert broken.response.body_size < len(DATA) * (500 if shape == "sliced" else 1)
    document = scene.wait_for("flights.active", 0)
    assert (document["flights"]["corrupt"], document["flights"]["failed"]) == (1, 1)
    if shape != "sliced":
        assert document["arena"]["objects"] == 0
    assert body(scene.get("/a")) == OTHER
    assert scene.records("/a")[0]["reason"] == "origin_digest_mismatch"


# --- interim responses ----------------------------------------------------------------------------------------------


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"


def test_interim_responses_reach_who_caused_them(edge, origin):
    """At once, without what belongs to a connection; who joins or comes later is not told, and HTTP/1.0 knows none."""
    scene, gate = Scene(edge, origin()), threading.Event()
    script = [send(b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS), wait(gate), *answer(200, DATA, LONG)]
    scene.server.on("/a", script)
    scene.server.on("/b", script)
    with scene.connect() as viewer:
        viewer.request("/a")
        wanted = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
        received = b""
        while len(received) < len(wanted):
            received += viewer.socket.recv(len(wanted) - len(received))
        assert received == wanted
        gate.set()
        assert body(viewer.response()) == DATA
    assert body(scene.get("/a")) == DATA
    with scene.connect() as viewer:
        viewer.send(b"GET /b HTTP/1.0\r\nHost: video.test\r\n\r\n")
        assert (viewer.response().status, viewer.is_closed_by_peer()) == (200, True)


# --- several ranges -------------------------------------------------------------------------------------------------


def parts_of(response):
    """[(content type, content range, bytes)] of a multipart/byteranges response."""
    boundary = response.fields["Content-Type"].partition("; boundary=")[2].encode()
    pieces = body(response).split(b"--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        lines, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.decode().split(": ", 1) for line in lines.split(b"\r\n"))
        found.append((fields.get("Content-Type"), fields["Content-Range"], data.removesuffix(b"\r\n")))
    return found


@pytest.mark.parametrize("size", [5000, 3 << 20], ids=["small", "sliced"])
@pytest.mark.parametrize("state", ["cold", "warm"])
def test_several_ranges(edge, origin, size, state):
    scene, data = Scene(edge, origin()), noise(size)
    scene.server.on("/a.mp4", lambda request: answer(200, data, {**LONG, "Content-Type": "video/mp4", "ETag": '"one"'}))
    if state == "warm":
        scene.get("/a.mp4")
    response = scene.get("/a.mp4", {"Range": f"bytes=0-9, 100-199,{size - 50}-"})
    assert response.status == 206 and "Content-Range" not in response.fields
    assert response.fields.all("Content-Type")[0].startswith("multipart/byteranges; boundary=") and len(response.fields.all("Content-Type")) == 1
    assert parts_of(response) == [("video/mp4", f"bytes {first}-{last}/{size}", data[first:last + 1])
                                  for first, last in ((0, 9), (100, 199), (size - 50, size - 1))]
    assert response.fields["Content-Length"] == str(len(body(response)))


def test_ranges_that_are_no_several(edge, origin):
    scene = Scene(edge, origin())
    scene.server.on("/a", answer(200, DATA, {**LONG, "ETag": '"one"'}))
    scene.get("/a")
    for ranges, status, wanted in (("0-9,9000-", 206, DATA[:10]), ("9000-9001,10000-", 416, b""), ("100-199,0-9", 200, DATA), ("0-9,5-20", 200, DATA),
                                   (",".join(f"{at}-{at}" for at in range(0, 40, 2)), 200, DATA), ("0-9,x", 200, DATA)):
        response = scene.get("/a", {"Range": "bytes=" + ranges})
        assert (response.status, body(response)) == (status, wanted), ranges
    assert scene.get("/a", {"Range": "bytes=0-1,4-5", "If-Range": '"two"'}).status == 200
    assert scene.get("/a", {"Range": "bytes=0-1,4-5", "If-None-Match": '"one"'}).status == 304
    assert scene.get("/a", {"Range": "bytes=0-1,4-5"}, method="HEAD").status == 200


# --- keys -----------------------------------------------------------------------------------------------------------


def test_keys_by_rule(edge, origin):
    scene = Scene(edge, origin(), site={"query_drop": ["CMCD", "preset:srs"], "query_keep": ["id", "_HLS_*"], "query_sort": True})
    scene.server.on("/a.m3u8", answer(200, DATA, LONG))
    for query in ("?id=1&_HLS_msn=2", "?_HLS_msn=2&hls_ctx=x&id=1", "?CMCD=x&id=1&_HLS_msn=2&evil=123"):
        scene.get("/a.m3u8" + query)
    assert [request.target for request in scene.server.requests] == ["/a.m3u8?_HLS_msn=2&id=1"]


# --- explaining -----------------------------------------------------------------------------------------------------


def explain(scene, url, fields=()):
    response = fetch(scene.edge.admin_address, "/explain?url=" + url, fields)
    assert response.status == 200, body(response)
    return json.loads(body(response))


def test_explain(edge, origin):
    scene = Scene(edge, origin(), site={**OPEN, "query_drop": ["session"]})
    url = f"http://{HOST}/a/../seg.ts?session=1"
    before = explain(scene, url)
    assert (before["site"], before["key"], before["class"]) == ("demo", "demo/seg.ts", "segment")
    assert before["next"] == "miss" and "object" not in before
    scene.server.on("/seg.ts", answer(200, DATA, {"Cache-Control": "max-age=1000", "Age": "100"}))
    scene.get("/seg.ts")
    for form in (url, urllib.parse.quote(url, safe="")):
        after = explain(scene, form)
        assert after["next"] == "hit"
        found = after["object"]
        assert (found["status"], found["size_bytes"], found["rule"]) == (200, len(DATA), "max-age")
        assert 100 <= found["age_s"] < 130 and 870 < found["fresh_for_s"] <= 900
    assert explain(scene, "http://other.test/")["error"] == "no_such_site"
    assert fetch(scene.edge.admin_address, "/explain?url=nonsense").status == 400
    assert fetch(scene.edge.admin_address, "/explain").status == 400


@pytest.mark.parametrize("path, data, fields, rule", [
    ("/a", DATA, {}, "freshness.other"), ("/a", DATA, {"Cache-Control": "no-cache"}, "no-cache"),
    ("/seg.ts", DATA, {"CDN-Cache-Control": "s-maxage=5"}, "s-maxage"), ("/seg.ts", DATA, {}, "freshness.segment"),
    ("/a", DATA, {"Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}, "a tenth of the time since Last-Modified, at most a day"),
    ("/live.m3u8", playlist(), {}, "half a target duration, at most freshness.playlist_live_max"),
    ("/vod.m3u8", playlist(ended=True), {}, "freshness.playlist_ended"),
])
def test_explain_tells_the_rule(edge, origin, path, data, fields, rule):
    scene = Scene(edge, origin())
    scene.server.on(path, answer(200, data, fields))
    scene.get(path)
    told = explain(scene, f"http://{HOST}{path}")
    assert told["object"]["rule"] == rule


def test_explain_tells_of_variants(edge, origin):
    scene = Scene(edge, origin(), site=OPEN)
    scene.server.on("/a", echo_of("Color", {**LONG, "Vary": "Color"}))
    scene.get("/a", {"Color": "red"})
    for color, following in (("red", "hit"), ("blue", "miss")):
        told = explain(scene, f"http://{HOST}/a", {"Color": color})
        assert (told["varies_by"], told["next"]) == (["color"], following)
