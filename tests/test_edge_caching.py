# SPDX-License-Identifier: Apache-2.0
"""For how long things are used, by whom, and what is asked again: RFC 9111 where the origin says something, the
playlists themselves where it does not.
"""
import threading
from email.utils import formatdate

import pytest

from harness.client import Broken
from harness.deadline import until
from harness.origin import answer, head, hang, reset, send, wait
from harness.scene import KIB, MIB, Scene, cache_status, noise

DATA = noise(50 * KIB)
OTHER = noise(50 * KIB, "other")
STALE = {"Cache-Control": "max-age=0"}


def body(response):
    return bytes(response.body)


def playlist(*lines, target=6, sequence=100, segments=3, ended=False, duration=6):
    text = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{target}", f"#EXT-X-MEDIA-SEQUENCE:{sequence}", *lines]
    for number in range(sequence, sequence + segments):
        text += [f"#EXTINF:{duration},", f"seg{number}.ts"]
    return "\n".join(text + ["#EXT-X-ENDLIST"] * ended + [""]).encode()


MULTIVARIANT = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2000000\nhigh.m3u8\n"


def ttl_of(scene, path):
    """What a second request is told: the whole seconds that are left."""
    scene.get(path)
    status = cache_status(scene.get(path))
    assert "hit" in status, f"{path}: {status}"
    return int(status["ttl"])


def causes(scene, requests):
    by_cause = scene.site_stats(requests)["by_cause"]
    return {cause: cell["requests"] for cause, cell in by_cause.items() if cell["requests"]}


# --- what the origin says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields, ttl", [
    ({"Cache-Control": "max-age=100"}, 100),
    ({"Cache-Control": "max-age=100, s-maxage=50"}, 50),
    ({"Cache-Control": "public, MAX-AGE = 100"}, None),
    ({"Cache-Control": "max-age=100", "Age": "40"}, 60),
    ({"Cache-Control": "max-age=100", "Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 100),
    ({"Expires": formatdate(4102444800, usegmt=True), "Date": formatdate(4102444700, usegmt=True)}, 100),
    ({"Expires": "0"}, None),
    ({"Cache-Control": "no-cache, max-age=100"}, None),
    ({"Pragma": "no-cache"}, None),
    ({"Cache-Control": "max-age=0"}, None),
    ([("Cache-Control", "public"), ("Cache-Control", "max-age=100")], 100),
])
def test_lifetimes_are_obeyed(edge, origin, fields, ttl):
    """Also where the edge would know better: what is said of a segment counts. None: it is asked each time."""
    scene = Scene(edge, origin())
    scene.server.on("/seg.ts", answer(200, DATA, fields))
    for _ in range(2):
        assert body(scene.get("/seg.ts")) == DATA
    assert scene.server.count() == (2 if ttl is None else 1)
    if ttl is not None:
        assert ttl - 10 < int(cache_status(scene.get("/seg.ts"))["ttl"]) <= ttl


PRIVATE = {
    "no-store": {"Cache-Control": "no-store"},
    "private": {"Cache-Control": "private, max-age=100"},
    "set-cookie": {"Cache-Control": "max-age=100", "Set-Cookie": "session=1"},
    "vary user-agent": {"Cache-Control": "max-age=100", "Vary": "Accept-Encoding, User-Agent"},
    "vary everything": {"Cache-Control": "max-age=100", "Vary": "*"},
    "vary cookie": {"Cache-Control": "max-age=100", "Vary": "Cookie"},
}


@pytest.mark.parametrize("fields", PRIVATE.values(), ids=list(PRIVATE))
def test_what_is_one_viewer_s_is_not_shared(edge, origin, fields):
    """Neither with who comes later, nor with who waits for it at the same time: each gets what was made for it."""
    scene, gate, number = Scene(edge, origin()), threading.Event(), [0]

    def script(_):
        number[0] += 1
        return [wait(gate), *answer(200, b"for viewer %d" % number[0], fields)]
    scene.server.on("/seg.ts", script)
    with scene.connect() as one, scene.connect() as other:
        one.request("/seg.ts")
        other.request("/seg.ts")
        scene.wait_for("flights.readers", 2)
        gate.set()
        responses = [one.response(), other.response(), scene.get("/seg.ts")]
    assert sorted(map(body, responses)) == [b"for viewer 1", b"for viewer 2", b"for viewer 3"]
    for response, why in zip(responses, ("uri-miss", "uri-miss", "bypass")):  # by then it is known
        assert cache_status(response) == {"fwd": why, "stored": "?0"}
        assert response.fields.get("Set-Cookie") == fields.get("Set-Cookie")
    assert scene.server.count() == 3
    assert causes(scene, 3) == {"uncacheable": 3}
    assert scene.stats()["arena"]["objects"] == 0


@pytest.mark.parametrize("fields", [{"Vary": "Accept-Encoding"}, {"Vary": "Origin, accept-encoding"},
                                    {"Set-Cookie": "session=1", "Cache-Control": "public, max-age=100"}])
def test_what_may_be_shared(edge, origin, fields):
    scene = Scene(edge, origin())
    scene.server.on("/seg.ts", answer(200, DATA, fields))
    for agent in ("one", "other"):
        assert body(scene.get("/seg.ts", {"User-Agent": agent, "Accept-Encoding": "br"})) == DATA
    assert scene.server.count() == 1


def pushing(size, sent):
    """Sends a body piece by piece and counts what the system has taken."""
    def step(exchange):
        for _ in range(size // (64 * KIB)):
            exchange.socket.sendall(bytes(64 * KIB))
            sent[0] += 64 * KIB
    return step


def settled(number):
    """Waits until it has stayed the same over many looks."""
    last, same = [None], [0]

    def look():
        same[0] = same[0] + 1 if number() == last[0] else 0
        last[0] = number()
        return same[0] > 30
    until(look, "a number to stay the same")
    return last[0]


def test_a_private_body_waits_for_its_reader(edge, origin):
    """The edge holds little of it: the origin cannot push more than that and what systems keep in their buffers."""
    scene, sent, size = Scene(edge, origin()), [0], 128 * MIB
    scene.server.on("/seg.ts", [head(200, {"Cache-Control": "no-store", "Content-Length": size}), pushing(size, sent)])
    with scene.connect(receive_buffer=4 * KIB) as viewer:
        viewer.request("/seg.ts")
        viewer.read(1)
        assert settled(lambda: sent[0]) < 32 * MIB
        document = scene.stats()
        assert document["arena"]["transient_bytes"] == 0
        received, read = document["origin"]["bytes_received"], 0
        for step in range(1, 5):  # it flows when it is read, and only then
            viewer.read(step * 16 * MIB)
            read = step * 16 * MIB
            until(lambda: scene.stats()["origin"]["bytes_received"] > received + read // 2, "more to come")
            assert sent[0] - read < 32 * MIB
        assert viewer.response().body_size == size
    assert scene.server.count() == 1


# --- what playlists say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, data, lowest, highest", [
    ("/live.m3u8", playlist(target=6), 0, 3),
    ("/live.m3u8", playlist(target=20), 5, 10),
    ("/ended.m3u8", playlist(ended=True), 3000, 3600),
    ("/vod.m3u8", playlist("#EXT-X-PLAYLIST-TYPE:VOD", ended=True), 3000, 3600),
    ("/master.m3u8", MULTIVARIANT, 10, 30),
    ("/manifest", playlist(target=6), 0, 3),  # the media type says it
    ("/broken.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:nonsense\n", 0, 1),
    ("/seg.ts", DATA, 20 * 86400, 30 * 86400),
    ("/init.mp4", DATA, 20 * 86400, 30 * 86400),
    ("/page", DATA, 3000, 3600),
], ids=lambda value: value.strip("/") if isinstance(value, str) else "")
def test_what_the_origin_does_not_say(edge, origin, path, data, lowest, highest):
    scene = Scene(edge, origin())
    fields = {"Content-Type": "application/vnd.apple.mpegurl"} if data.startswith(b"#EXTM3U") else {}
    scene.server.on(path, answer(200, data, {**fields, "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"})
                    if path != "/page" else answer(200, data))
    assert lowest <= ttl_of(scene, path) <= highest
    assert scene.server.count() == 1


def test_lifetimes_of_the_configuration(edge, origin):
    freshness = {"playlist_live_max": "2s", "playlist_ended": "2m", "playlist_multivariant": "3m", "segment": "4m",
                 "init": "5m", "key": "6m", "part": "7m", "other": "8m"}
    scene = Scene(edge, origin(), site={"freshness": freshness})
    live = playlist('#EXT-X-MAP:URI="head"', '#EXT-X-KEY:METHOD=AES-128,URI="secret"', target=60)
    for path, data, seconds in (("/live.m3u8", live, 2), ("/ended.m3u8", playlist(ended=True), 120),
                                ("/master.m3u8", MULTIVARIANT, 180), ("/seg100.ts", DATA, 240), ("/head", DATA, 300),
                                ("/secret", DATA, 360), ("/other", DATA, 480)):
        scene.server.on(path, answer(200, data))
        assert seconds * 3 // 4 - 1 <= ttl_of(scene, path) <= seconds, path
    by_class = scene.site_stats(14)["by_class"]
    assert {name: cell["requests"] for name, cell in by_class.items() if cell["requests"]} == {
        "playlist": 6, "segment": 2, "init": 2, "key": 2, "other": 2}


def test_a_segment_that_is_about_to_exist(edge, origin):
    """Its 404 is shared, for less than a target duration, however long other 404s may be used."""
    scene = Scene(edge, origin(), site={"freshness": {"not_found": "1h"}})
    scene.server.on("/live.m3u8", answer(200, playlist(target=8)))
    scene.server.on("/seg101.ts", answer(404, b"not yet"))
    scene.get("/live.m3u8")
    scene.get("/seg101.ts")
    response = scene.get("/seg101.ts")
    assert (response.status, body(response)) == (404, b"not yet")
    assert int(cache_status(response)["ttl"]) < 8
    assert scene.server.count("/seg101.ts") == 1
    scene.server.on("/absent.ts", answer(404))
    assert ttl_of(scene, "/absent.ts") > 3000


def test_errors_of_the_origin_are_not_kept(edge, origin):
    scene = Scene(edge, origin())
    for status in (500, 502, 503, 504, 403, 429):
        path = f"/{status}"
        scene.server.on(path, answer(status, b"no", {"Retry-After": "1"}))
        for _ in range(2):
            response = scene.get(path)
            assert (response.status, body(response), response.fields["Retry-After"]) == (status, b"no", "1")
        assert scene.server.count(path) == 2


def test_redirects_are_passed_on(edge, origin):
    scene = Scene(edge, origin())
    scene.server.on("/old", answer(302, b"", {"Location": "/new"}))
    scene.server.on("/moved", answer(301, b"", {"Location": "/new", "Cache-Control": "max-age=100"}))
    for path, count in (("/old", 2), ("/moved", 1)):
        for _ in range(2):
            assert scene.get(path).fields["Location"] == "/new"
        assert scene.server.count(path) == count


# --- what is asked again ---------------------------------------------------------------------------------------------


def stale_file(server, data, fields=(), path="/seg.ts"):
    server.file(path, data, {**STALE, **dict(fields)})


def test_revalidation(edge, origin):
    """The origin says that nothing has changed: the body is not fetched again, and it is fresh again."""
    scene = Scene(edge, origin())
    modified = "Mon, 02 Jan 2023 03:04:05 GMT"
    scene.server.on_each("/seg.ts", [
        answer(200, DATA, {**STALE, "ETag": '"one"', "Last-Modified": modified}),
        answer(304, b"", {"Cache-Control": "max-age=100", "ETag": '"one"'}), [hang()]])
    scene.get("/seg.ts")
    before = scene.stats()["origin"]["bytes_received"]
    response = scene.get("/seg.ts")
    assert (response.status, body(response)) == (200, DATA)
    assert cache_status(response) == {"fwd": "stale", "fwd-status": "304"}
    request = scene.server.seen("/seg.ts")[1]
    assert (request.fields["If-None-Match"], request.fields["If-Modified-Since"]) == ('"one"', modified)
    assert scene.stats()["origin"]["bytes_received"] - before < 1000
    response = scene.get("/seg.ts")
    assert body(response) == DATA and 90 < int(cache_status(response)["ttl"]) <= 100
    assert causes(scene, 3) == {"miss": 1, "revalidated": 1, "hit": 1}


@pytest.mark.parametrize("first, second, ttl", [
    ([("Cache-Control", "public"), ("Cache-Control", "max-age=0")], {}, None),
    ({"Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, {}, None),
    ({"Cache-Control": "max-age=0"}, {"Expires": formatdate(4102444800, usegmt=True)}, None),
    ({"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=50"}, 50),
])
def test_a_304_changes_what_it_says_and_no_more(edge, origin, first, second, ttl):
    """RFC 9111 section 4.3.4: what it leaves out stays as it was."""
    scene = Scene(edge, origin())
    stored = [("ETag", '"one"'), *(first.items() if isinstance(first, dict) else first)]
    scene.server.on_each("/seg.ts", [answer(200, DATA, stored), answer(304, b"", {"ETag": '"one"', **second})])
    for _ in range(3):
        assert body(scene.get("/seg.ts")) == DATA
    assert scene.server.count() == (3 if ttl is None else 2)


def test_a_304_brings_new_fields(edge, origin):
    """Viewers, and caches behind this one, get what it says: a Date of long ago would make them think it old."""
    scene, date = Scene(edge, origin()), formatdate(usegmt=True)
    scene.server.on_each("/seg.ts", [
        answer(200, DATA, {**STALE, "ETag": '"one"', "Date": "Mon, 02 Jan 2023 03:04:05 GMT", "X-Kept": "kept",
                           "X-Changed": "old"}),
        answer(304, b"", {"ETag": '"one"', "Cache-Control": "max-age=100", "X-Changed": "new", "X-New": "new",
                          "Date": date, "Content-Length": "7"})])
    scene.get("/seg.ts")
    for response in (scene.get("/seg.ts"), scene.get("/seg.ts")):
        assert body(response) == DATA
        assert response.fields["Date"] == date
        assert response.fields["Cache-Control"] == "max-age=100"
        assert [response.fields[name] for name in ("X-Kept", "X-Changed", "X-New")] == ["kept", "new", "new"]
        assert response.fields["Content-Length"] == str(len(DATA))
    assert scene.server.count() == 2


def test_a_304_about_another_version(edge, origin):
    """It says nothing of what is stored: that goes, and the new version is asked for."""
    scene = Scene(edge, origin())
    scene.server.on_each("/seg.ts", [answer(200, DATA, {**STALE, "ETag": '"one"'}), answer(304, b"", {"ETag": '"two"'}),
                                     answer(200, OTHER, {"Cache-Control": "max-age=100", "ETag": '"two"'})])
    scene.get("/seg.ts")
    for _ in range(2):
        assert body(scene.get("/seg.ts")) == OTHER
    assert scene.server.count() == 3
    assert "If-None-Match" not in scene.server.requests[2].fields


def test_expired_and_changed(edge, origin):
    scene = Scene(edge, origin())
    stale_file(scene.server, DATA, {"ETag": '"one"'})
    scene.get("/seg.ts")
    stale_file(scene.server, OTHER, {"ETag": '"two"', "Cache-Control": "max-age=100"})
    response = scene.get("/seg.ts")
    assert body(response) == OTHER and cache_status(response) == {"fwd": "stale", "stored": True}
    assert body(scene.get("/seg.ts")) == OTHER
    assert causes(scene, 3) == {"miss": 1, "expired": 1, "hit": 1}


def test_one_revalidation_for_all(edge, origin):
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on_each("/seg.ts", [answer(200, DATA, {**STALE, "ETag": '"one"'}),
                                     [wait(gate), *answer(304, b"", {"ETag": '"one"', "Cache-Control": "max-age=100"})]])
    scene.get("/seg.ts")
    viewers = [scene.connect() for _ in range(10)]
    for viewer in viewers:
        viewer.request("/seg.ts")
    scene.wait_for("flights.readers", 10)
    gate.set()
    for viewer in viewers:
        assert body(viewer.response()) == DATA
        viewer.close()
    assert scene.server.count() == 2
    assert causes(scene, 11) == {"miss": 1, "revalidated": 10}


def test_stale_while_revalidate(edge, origin):
    """Served at once, validated once behind the viewers' backs: the origin answers only when they have it."""
    scene, gate = Scene(edge, origin()), threading.Event()
    stale = {"Cache-Control": "max-age=0, stale-while-revalidate=100", "ETag": '"one"'}
    scene.server.on_each("/seg.ts", [answer(200, DATA, stale),
                                     [wait(gate), *answer(200, OTHER, {"Cache-Control": "max-age=100"})]])
    scene.get("/seg.ts")
    for _ in range(3):
        response = scene.get("/seg.ts")
        assert body(response) == DATA and cache_status(response) == {"hit": True, "ttl": "0", "detail": "stale"}
    scene.server.wait_for_requests(2)
    gate.set()
    scene.wait_for("flights.active", 0)
    response = scene.get("/seg.ts")
    assert body(response) == OTHER and "ttl" in cache_status(response)
    assert scene.server.count() == 2
    assert scene.server.requests[1].fields["If-None-Match"] == '"one"'
    assert causes(scene, 5) == {"miss": 1, "stale": 3, "hit": 1}
    site = scene.site_stats(5)
    assert site["by_cause"]["orphan"]["bytes_origin"] == 0  # it is wanted, though nobody reads it
    assert site["by_cause"]["expired"]["bytes_origin"] > len(OTHER)


FAILURES = {
    "500": answer(500, b"no"),
    "503": answer(503, b"no", {"Cache-Control": "no-store"}),
    "reset": [reset()],
    "garbage": [send(b"garbage\r\n\r\n"), hang()],
}


@pytest.mark.parametrize("failure", list(FAILURES))
def test_stale_if_error(edge, origin, failure):
    scene = Scene(edge, origin())
    scene.server.on_each("/seg.ts", [
        answer(200, DATA, {"Cache-Control": "max-age=0, stale-if-error=100", "ETag": '"one"'}), FAILURES[failure]])
    scene.get("/seg.ts")
    for part, wanted in (({}, DATA), ({"Range": "bytes=10-19"}, DATA[10:20])):
        response = scene.get("/seg.ts", part)
        assert body(response) == wanted
        assert cache_status(response) == {"hit": True, "ttl": "0", "detail": "stale"}
    assert causes(scene, 3) == {"miss": 1, "stale": 2}


@pytest.mark.parametrize("control", ["max-age=0", "max-age=0, must-revalidate, stale-if-error=100", "no-cache"])
def test_no_stale_response_that_nobody_allowed(edge, origin, control):
    scene = Scene(edge, origin())
    scene.server.on_each("/seg.ts", [answer(200, DATA, {"Cache-Control": control, "ETag": '"one"'}), answer(503, b"no")])
    scene.get("/seg.ts")
    assert scene.get("/seg.ts").status == 503
    scene.server.stop()
    response = scene.get("/seg.ts")
    assert (response.status, body(response)) == (502, b"origin_connect_refused\n")


def test_a_live_playlist_moves_on(edge, origin):
    """Each version is whole, and one request each however many ask."""
    scene = Scene(edge, origin(), site={"freshness": {"playlist_live_max": "1ms"}})
    versions = [playlist(sequence=number) for number in range(5)]
    scene.server.on_each("/live.m3u8", [answer(200, version, {"ETag": f'"{number}"'})
                                        for number, version in enumerate(versions)])
    got = []
    while versions[-1] not in got:
        response = scene.get("/live.m3u8")
        assert body(response) in versions
        got.append(body(response))
    assert [versions.index(each) for each in got] == sorted(versions.index(each) for each in got)


def test_a_private_response_that_breaks(edge, origin):
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/seg.ts", [head(200, {"Cache-Control": "no-store", "Content-Length": 1000}), send(bytes(500)),
                                wait(gate), reset()])
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(500)
        gate.set()
        with pytest.raises(Broken):
            viewer.response()
    assert scene.records("/seg.ts")[0]["reason"] == "origin_body_truncated"
