# SPDX-License-Identifier: Apache-2.0
"""The edge as a server of HTTP/1.1, and as a client of the origin: what viewers may say, what they get, what of it
the origin is asked.
"""
import threading
from email.utils import formatdate, parsedate_to_datetime

import pytest

from harness import counters
from harness.client import fetch
from harness.origin import answer, head, send, wait
from harness.scene import HOST, KIB, Scene, cache_status, noise

DATA = noise(100 * KIB)
LONG = {"Cache-Control": "max-age=1000"}
FAR = "Mon, 02 Jan 2023 03:04:05 GMT"


def serve_file(server, path="/seg.ts", data=DATA, fields=()):
    server.file(path, data, {**LONG, **dict(fields)})


def body(response):
    return bytes(response.body)


# --- connections ---------------------------------------------------------------------------------------------------


def test_keep_alive(edge, origin):
    scene = Scene(edge, origin())
    serve_file(scene.server)
    with scene.connect() as viewer:
        for _ in range(5):
            viewer.request("/seg.ts")
            response = viewer.response()
            assert (response.status, body(response)) == (200, DATA)
            assert "Connection" not in response.fields
    document = scene.wait_for("connections.closed", 1)
    assert document["connections"]["requests"] == 5
    assert scene.server.count() == 1


def test_close_is_obeyed(edge, origin):
    scene = Scene(edge, origin())
    serve_file(scene.server)
    with scene.connect() as viewer:
        viewer.request("/seg.ts", {"Connection": "close"})
        response = viewer.response()
        assert (body(response), response.fields["Connection"]) == (DATA, "close")
        assert viewer.is_closed_by_peer()


def test_pipelined_requests_are_answered_in_order(edge, origin):
    """The first is cold and slow, others are hits, errors and heads: none overtakes it."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/slow.ts", [head(200, {**LONG, "Content-Length": 8}), send(b"1234"), wait(gate), send(b"5678")])
    serve_file(scene.server, "/warm.ts")
    scene.get("/warm.ts")
    with scene.connect() as viewer:
        request = "{} {} HTTP/1.1\r\nHost: video.test\r\n\r\n"
        asked = [("GET", "/slow.ts"), ("GET", "/warm.ts"), ("HEAD", "/warm.ts"), ("OPTIONS", "/warm.ts"),
                 ("DELETE", "/warm.ts"), ("GET", "/absent.ts"), ("GET", "/warm.ts")]
        viewer.send("".join(request.format(*each) for each in asked).encode(), None)
        viewer.send(b"", "GET")
        assert body(viewer.read(4)) == b"1234"
        gate.set()
        assert body(viewer.response()) == b"12345678"
        got = []
        for method, _ in asked[1:]:
            viewer.send(b"", method)
            response = viewer.response()
            got.append((response.status, len(response.body)))
        assert got == [(200, len(DATA)), (200, 0), (204, 0), (405, len("method_not_allowed\n")),
                       (404, len("not scripted\n")), (200, len(DATA))]
    assert scene.server.count() == 3


def test_http_1_0(edge, origin):
    """Without Host the address that was asked is the name; the connection ends unless it is asked to stay."""
    scene = Scene(edge, origin(), site={"hosts": [HOST, "127.0.0.1"]})
    serve_file(scene.server)
    scene.server.on("/unsized.ts", [head(200, {"Transfer-Encoding": "chunked", **LONG}),
                                    send(b"5\r\nhello\r\n0\r\n\r\n")])
    for target, wanted in (("/seg.ts", DATA), ("/unsized.ts", b"hello")):
        with scene.connect() as viewer:
            viewer.send(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            response = viewer.response()
            assert (response.status, body(response)) == (200, wanted)
            assert "Transfer-Encoding" not in response.fields
            assert viewer.is_closed_by_peer()
    with scene.connect() as viewer:
        for _ in range(2):
            viewer.send(b"GET /seg.ts HTTP/1.0\r\nConnection: keep-alive\r\nHost: video.test\r\n\r\n")
            response = viewer.response()
            assert (body(response), response.fields["Connection"]) == (DATA, "keep-alive")


def test_ipv6_listener(edge, origin):
    scene = Scene(edge, origin("::1"), listen=[{"address": "127.0.0.1:0"}, {"address": "[::1]:0"}],
                  site={"hosts": [HOST, "::1"]})
    serve_file(scene.server)
    port = int(scene.edge.urls[1].rsplit(":", 1)[1])
    assert body(fetch(("::1", port), "/seg.ts", host=HOST)) == DATA
    assert body(fetch(("::1", port), "/seg.ts", host=f"[::1]:{port}")) == DATA
    assert scene.server.count() == 1
    assert scene.server.seen("/seg.ts")[0].fields["Host"] == f"[::1]:{scene.server.address[1]}"


# --- sites -----------------------------------------------------------------------------------------------------------


def test_sites_by_name(edge, origin):
    """Two sites with names of their own, one with a wildcard; the same path is two objects."""
    servers = [origin(), origin()]
    for number, server in enumerate(servers):
        serve_file(server, data=b"site %d" % number)
    program = edge(sites=[
        {"name": "one", "hosts": ["one.test", "www.one.test"], "origin": servers[0].url},
        {"name": "two", "hosts": ["*.two.test", "two.test"], "origin": servers[1].url, "origin_host": "real.two.test"},
    ])
    for host, wanted in (("one.test", b"site 0"), ("WWW.One.Test", b"site 0"), ("one.test:8080", b"site 0"),
                         ("one.test.", b"site 0"), ("two.test", b"site 1"), ("a.b.two.test", b"site 1")):
        assert body(fetch(program.address, "/seg.ts", host=host)) == wanted, host
    assert [server.count() for server in servers] == [1, 1]
    assert servers[0].requests[0].fields["Host"] == f"127.0.0.1:{servers[0].address[1]}"
    assert servers[1].requests[0].fields["Host"] == "real.two.test"
    document = counters.wait_for(program, "requests", 6)
    assert {name: site["requests"] for name, site in document["sites"].items()} == {"one": 4, "two": 2}


@pytest.mark.parametrize("host", ["other.test", "test", "xvideo.test", "a.video.test", "127.0.0.1"])
def test_unknown_host_is_refused_by_name(edge, origin, host):
    scene = Scene(edge, origin())
    response = scene.get("/seg.ts", host=host)
    assert (response.status, body(response)) == (421, b"unknown_host\n")
    assert cache_status(response) == {"detail": "unknown_host"}
    document = scene.wait_for("requests", 1)
    assert document["refusals"]["unknown_host"] == 1
    assert document["no_site"]["by_cause"]["refused"]["requests"] == 1
    record = scene.records("/seg.ts")[0]
    assert (record["status"], record["cause"], record["reason"]) == (421, "refused", "unknown_host")
    assert "site" not in record
    assert scene.server.count() == 0


def test_absolute_form(edge, origin):
    """Its authority stands for Host (RFC 9112 section 3.2.2); it is the same object as in origin-form."""
    scene = Scene(edge, origin())
    serve_file(scene.server)
    for target, host in (("http://video.test/seg.ts", "other.test"), ("HTTP://VIDEO.test:80/seg.ts", HOST)):
        assert body(scene.get(target, host=host)) == DATA
    assert scene.get("http://other.test/seg.ts").status == 421
    assert [request.target for request in scene.server.requests] == ["/seg.ts"]


# --- methods -----------------------------------------------------------------------------------------------------------


def test_head_from_the_store_and_from_the_origin(edge, origin):
    scene = Scene(edge, origin())
    serve_file(scene.server)
    cold = scene.get("/seg.ts", method="HEAD")
    whole = scene.get("/seg.ts")
    warm = scene.get("/seg.ts", method="HEAD")
    for response in (cold, warm):
        assert (response.status, body(response)) == (200, b"")
        for name in ("Content-Length", "ETag", "Accept-Ranges"):
            assert response.fields[name] == whole.fields[name]
    assert [request.method for request in scene.server.requests] == ["HEAD", "GET"]
    assert "hit" in cache_status(warm)
    part = scene.get("/seg.ts", {"Range": "bytes=1-2"}, method="HEAD")  # Range is for GET alone (RFC 9110 14.2)
    assert (part.status, part.fields["Content-Length"]) == (200, str(len(DATA)))


def test_head_of_what_is_not_there(edge, origin):
    scene = Scene(edge, origin())
    for _ in range(2):
        assert scene.get("/absent.ts", method="HEAD").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "UNHEARDOF"])
def test_other_methods_are_refused(edge, origin, method):
    scene = Scene(edge, origin())
    with scene.connect() as viewer:
        viewer.request("/seg.ts", method=method)
        response = viewer.response()
        assert (response.status, body(response)) == (405, b"method_not_allowed\n")
        assert response.fields["Allow"] == "GET, HEAD, OPTIONS"
        viewer.request("/seg.ts")  # the connection is still of use
        assert viewer.response().status == 404
    assert scene.stats()["refusals"]["method_not_allowed"] == 1
    assert [request.method for request in scene.server.requests] == ["GET"]


def test_requests_with_a_body_are_refused(edge, origin):
    scene = Scene(edge, origin())
    with scene.connect() as viewer:
        viewer.request("/seg.ts", {"Content-Length": "5"}, method="POST", body=b"hello")
        response = viewer.response()
        assert (response.status, body(response)) == (413, b"request_body_not_accepted")
        assert viewer.is_closed_by_peer()
    assert scene.server.count() == 0


def test_preflight(edge, origin):
    scene = Scene(edge, origin())
    asked = {"Origin": "https://player.test", "Access-Control-Request-Method": "GET",
             "Access-Control-Request-Headers": "range, x-session"}
    response = scene.get("/seg.ts", asked, method="OPTIONS")
    assert (response.status, body(response)) == (204, b"")
    assert "Content-Length" not in response.fields
    assert response.fields["Access-Control-Allow-Origin"] == "*"
    assert response.fields["Access-Control-Allow-Headers"] == "range, x-session"
    assert "GET" in response.fields["Access-Control-Allow-Methods"].split(", ")
    assert scene.server.count() == 0
    assert scene.site_stats(1)["by_cause"]["local"]["requests"] == 1


def test_cors_of_listed_pages_only(edge, origin):
    """The origin's own CORS fields do not reach viewers: they were meant for one of them."""
    scene = Scene(edge, origin(), site={"cors_origins": ["https://player.test"]})
    serve_file(scene.server, fields={"Access-Control-Allow-Origin": "https://evil.test", "Vary": "Origin"})
    for page, allowed in (("https://player.test", ["https://player.test"]), ("https://evil.test", []), (None, [])):
        response = scene.get("/seg.ts", {"Origin": page} if page else {})
        assert response.fields.all("Access-Control-Allow-Origin") == allowed
        assert "Origin" in ", ".join(response.fields.all("Vary"))
    exposed = scene.get("/seg.ts", {"Origin": "https://player.test"}).fields["Access-Control-Expose-Headers"]
    assert {"Age", "Content-Range", "Date", "ETag"} <= set(exposed.split(", "))
    assert scene.server.count() == 1


# --- ranges and conditions -----------------------------------------------------------------------------------------


RANGES = {
    "bytes=0-0": (0, 0),
    "bytes=0-99": (0, 99),
    "bytes=5000-5999": (5000, 5999),
    "bytes=99000-": (99000, len(DATA) - 1),
    "bytes=-100": (len(DATA) - 100, len(DATA) - 1),
    "bytes=-999999": (0, len(DATA) - 1),
    "bytes=100-9999999": (100, len(DATA) - 1),
}


@pytest.mark.parametrize("warm", [False, True])
def test_ranges(edge, origin, warm):
    scene = Scene(edge, origin())
    for number, (wanted, (first, last)) in enumerate(RANGES.items()):
        path = "/warm.ts" if warm else f"/{number}.ts"
        serve_file(scene.server, path)
        if warm:
            scene.get(path)
        response = scene.get(path, {"Range": wanted})
        assert (response.status, body(response)) == (206, DATA[first:last + 1]), wanted
        assert response.fields["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"
        assert response.fields["Content-Length"] == str(last - first + 1)
    assert scene.server.count() == (1 if warm else len(RANGES))


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("wanted", [f"bytes={len(DATA)}-", "bytes=5000000-5000001", "bytes=-0"])
def test_ranges_behind_the_end(edge, origin, warm, wanted):
    scene = Scene(edge, origin())
    serve_file(scene.server)
    if warm:
        scene.get("/seg.ts")
    response = scene.get("/seg.ts", {"Range": wanted})
    assert response.status == 416
    assert response.fields["Content-Range"] == f"bytes */{len(DATA)}"
    assert body(scene.get("/seg.ts")) == DATA  # the refusal of one range is not what is kept


def test_a_range_of_nothing_does_not_answer_for_the_whole(edge, origin):
    """Two viewers, one of them with a range, share the flight of an empty object."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/empty.ts", lambda request: [wait(gate)] + (
        answer(416, b"", {"Content-Range": "bytes */0", **LONG}) if "Range" in request.fields else
        answer(200, b"", LONG)))
    with scene.connect() as ranged, scene.connect() as plain:
        ranged.request("/empty.ts", {"Range": "bytes=0-9"})
        scene.server.wait_for_requests(1)
        plain.request("/empty.ts")
        scene.wait_for("flights.readers", 2)
        gate.set()
        response = ranged.response()
        assert (response.status, response.fields["Content-Range"]) == (416, "bytes */0")
        response = plain.response()
        assert (response.status, body(response)) == (200, b"")
    for _ in range(2):
        assert scene.get("/empty.ts").status == 200


@pytest.mark.parametrize("wanted", ["bytes=9-5", "bytes=a-b", "lines=1-2", "bytes=5-6,0-1", "bytes"])
def test_ranges_that_are_ignored(edge, origin, wanted):
    scene = Scene(edge, origin())
    serve_file(scene.server)
    for _ in range(2):
        response = scene.get("/seg.ts", {"Range": wanted})
        assert (response.status, body(response)) == (200, DATA)
    assert "Range" not in scene.server.requests[0].fields


@pytest.mark.parametrize("warm", [False, True])
def test_if_range(edge, origin, warm):
    scene = Scene(edge, origin())
    serve_file(scene.server, fields={"ETag": '"one"', "Last-Modified": FAR})
    if warm:
        scene.get("/seg.ts")
    for validator, status in (('"one"', 206), ('"two"', 200), ('W/"one"', 200), (FAR, 206),
                              ("Sun, 01 Jan 2023 00:00:00 GMT", 200)):
        response = scene.get("/seg.ts", {"Range": "bytes=10-19", "If-Range": validator})
        wanted = DATA[10:20] if status == 206 else DATA
        assert (response.status, body(response)) == (status, wanted), validator
    assert scene.server.count() == 1


@pytest.mark.parametrize("warm", [False, True])
def test_conditions(edge, origin, warm):
    """Answered here, also for what comes from the origin at this moment: it is kept all the same."""
    scene = Scene(edge, origin())
    serve_file(scene.server, fields={"ETag": '"one"', "Last-Modified": FAR})
    if warm:
        scene.get("/seg.ts")
    for condition, status in (({"If-None-Match": '"one"'}, 304), ({"If-None-Match": '"x", W/"one"'}, 304),
                              ({"If-None-Match": "*"}, 304), ({"If-None-Match": '"two"'}, 200),
                              ({"If-Modified-Since": FAR}, 304), ({"If-Modified-Since": formatdate(usegmt=True)}, 304),
                              ({"If-Modified-Since": "Sun, 01 Jan 2023 00:00:00 GMT"}, 200),
                              ({"If-None-Match": '"two"', "If-Modified-Since": FAR}, 200),
                              ({"If-None-Match": '"one"', "Range": "bytes=0-9"}, 304)):
        response = scene.get("/seg.ts", condition)
        assert (response.status, body(response)) == (status, b"" if status == 304 else DATA), condition
        assert response.fields["ETag"] == '"one"'
        assert response.fields["Cache-Control"] == "max-age=1000"
        assert "Date" in response.fields and ("Content-Length" in response.fields) == (status == 200)
    assert scene.server.count() == 1
    assert "If-None-Match" not in scene.server.requests[0].fields  # a viewer's condition is no condition of ours


def test_fields_are_kept(edge, origin):
    """Age grows from what the origin said; Date, ETag and what the edge knows nothing of stay as they were."""
    date = formatdate(parsedate_to_datetime(FAR).timestamp(), usegmt=True)
    scene = Scene(edge, origin())
    scene.server.on("/seg.ts", answer(200, b"hello", [
        ("Date", date), ("Age", "7"), ("ETag", '"one"'), ("Cache-Control", "max-age=999999999"), ("X-One", "1"),
        ("X-One", "2"), ("Content-Type", "video/mp2t"), ("Connection", "X-Private"), ("X-Private", "p"),
        ("Keep-Alive", "timeout=5"), ("Content-Length", "5")]))
    responses = [scene.get("/seg.ts") for _ in range(2)]
    for response in responses:
        assert response.fields["Date"] == date
        assert response.fields["ETag"] == '"one"'
        assert response.fields["Content-Type"] == "video/mp2t"
        assert response.fields.all("X-One") == ["1", "2"]
        assert "X-Private" not in response.fields and "Keep-Alive" not in response.fields
        assert int(response.fields["Age"]) > 3 * 365 * 86400  # Date says more than Age does
    assert int(responses[1].fields["Age"]) >= int(responses[0].fields["Age"])


def test_age_counts_from_the_origin_s(edge, origin):
    scene = Scene(edge, origin())
    scene.server.on("/seg.ts", answer(200, b"hello", {"Age": "7", **LONG}))
    scene.server.on("/fresh.ts", answer(200, b"hello", LONG, date=False))
    ages = [int(scene.get("/seg.ts").fields["Age"]) for _ in range(2)]
    assert 7 <= ages[0] <= ages[1] < 100
    ttl = int(cache_status(scene.get("/seg.ts"))["ttl"])
    assert 1000 - 107 < ttl <= 1000 - 7
    cold, warm = scene.get("/fresh.ts"), scene.get("/fresh.ts")
    assert "Age" not in cold.fields and int(warm.fields["Age"]) >= 0
    assert cold.fields["Date"] == warm.fields["Date"]  # added once, when it came


# --- what the origin is asked ------------------------------------------------------------------------------------------


def test_the_request_to_the_origin(edge, origin):
    scene = Scene(edge, origin(), site={"query_drop": ["CMCD", "session", "utm_*"]})
    scene.get("/a/seg.ts?x=1", {"Accept-Encoding": "gzip", "Cookie": "secret=1", "User-Agent": "a viewer",
                                "X-Forwarded-For": "1.2.3.4", "Authorization": "Basic eA=="})
    request = scene.server.requests[0]
    assert (request.method, request.target, request.version) == ("GET", "/a/seg.ts?x=1", "HTTP/1.1")
    assert request.fields["Accept-Encoding"] == "identity"  # one form that all viewers understand
    assert request.fields["Via"] == "1.1 test"
    assert request.fields["CDN-Loop"] == "shorebreak-test"
    for name in ("Cookie", "User-Agent", "X-Forwarded-For", "Authorization", "Range"):
        assert name not in request.fields, name


def test_the_path_of_the_origin(edge, origin):
    server = origin()
    scene = Scene(edge, server, site={"origin": server.url + "/base/hls"})
    serve_file(server, "/base/hls/seg.ts")
    assert body(scene.get("/seg.ts")) == DATA


def test_noise_is_no_part_of_key_and_request(edge, origin):
    scene = Scene(edge, origin(), site={"query_drop": ["CMCD", "session", "utm_*"]})
    serve_file(scene.server)
    for query in ("", "?CMCD=br%3D3200%2Csid%3D%22a%22", "?session=1", "?utm_source=a&utm_medium=b&session=2&CMCD=bl%3D1"):
        assert body(scene.get("/seg.ts" + query)) == DATA
    assert [request.target for request in scene.server.requests] == ["/seg.ts"]
    for query in ("?a=1&session=1&b=2", "?session=9&a=1&b=2", "?a=1&b=2&CMCD=x"):
        assert body(scene.get("/seg.ts" + query)) == DATA
    for query in ("?b=2&a=1", "?Session=1"):  # order and case may mean something to the origin
        assert body(scene.get("/seg.ts" + query)) == DATA
    assert [request.target for request in scene.server.requests[1:]] == [
        "/seg.ts?a=1&b=2", "/seg.ts?b=2&a=1", "/seg.ts?Session=1"]


def test_percent_encodings_are_normalised(edge, origin):
    scene = Scene(edge, origin())
    for target in ("/a/b%7Ec.ts", "/a/b~c.ts", "/a/./b%7ec.ts", "/x/../a/b~c.ts", "/%61/b~c.ts"):
        scene.server.file("/a/b~c.ts", DATA, LONG)
        assert body(scene.get(target)) == DATA, target
    assert [request.target for request in scene.server.requests] == ["/a/b~c.ts"]
    for target in ("/a%2fb.ts", "/a%2Fb.ts"):  # an encoded slash is no slash
        assert scene.get(target).status == 404
    assert scene.server.requests[1].target == "/a%2Fb.ts"


@pytest.mark.parametrize("line", ["GET /a%zz HTTP/1.1", "GET /a%2 HTTP/1.1", "GET /a<b HTTP/1.1", "GET  / HTTP/1.1",
                                  "GET /a#b HTTP/1.1", "GET a HTTP/1.1", "get / HTTP/1.1", "GET / HTTP/2.0"])
def test_malformed_requests_are_refused(edge, origin, line):
    scene = Scene(edge, origin())
    with scene.connect() as viewer:
        viewer.send(f"{line}\r\nHost: video.test\r\n\r\n".encode())
        response = viewer.response()
        words = (b"bad_request", b"bad_request_target", b"http_version_not_supported")
        assert response.status in (400, 505) and body(response).strip() in words
    assert scene.server.count() == 0


def test_a_loop_is_refused(edge, origin):
    scene = Scene(edge, origin())
    for value in ("shorebreak-test", "other-cdn, shorebreak-test;info=1"):
        response = scene.get("/seg.ts", {"CDN-Loop": value})
        assert (response.status, body(response)) == (508, b"cdn_loop_detected\n")
    assert scene.get("/seg.ts", {"CDN-Loop": "a" * 1025}).status == 508
    assert scene.get("/seg.ts", {"CDN-Loop": "shorebreak-test2, other"}).status == 404
    assert scene.server.count() == 1
    assert scene.stats()["refusals"]["cdn_loop_detected"] == 3


def test_a_loop_of_one_viewer_is_not_shared(edge, origin):
    """What an origin says of the way that one request came is no answer for those who joined it."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/seg.ts", lambda request: [wait(gate)] + (
        answer(508) if "cdn-one" in request.fields["CDN-Loop"] else answer(200, DATA, LONG)))
    with scene.connect() as looping, scene.connect() as other:
        looping.request("/seg.ts", {"CDN-Loop": "cdn-one"})
        scene.server.wait_for_requests(1)
        other.request("/seg.ts")
        scene.wait_for("flights.readers", 2)
        gate.set()
        assert looping.response().status == 508
        assert body(other.response()) == DATA


def test_a_loop_over_another_edge_is_refused(edge, origin):
    """Each passes on who was asked before: RFC 8586 section 2. west's origin is east, whose origin is west."""
    server = origin()
    west = edge(edge="west", sites=[{"name": "demo", "hosts": [HOST], "origin": server.url, "origin_host": HOST}])
    assert fetch(west.address, "/a", {"CDN-Loop": "cdn-one; a=b, cdn-two"}, host=HOST).status == 404
    assert server.requests[0].fields["CDN-Loop"] == "cdn-one; a=b, cdn-two, shorebreak-west"
    east = edge(edge="east", sites=[{"name": "demo", "hosts": [HOST], "origin": west.url, "origin_host": HOST}])
    west.stop()
    host, port = west.address
    west.config["listen"] = [{"address": f"{host}:{port}"}]
    west.config["sites"][0]["origin"] = east.url
    west.start()
    response = fetch(east.address, "/seg.ts", host=HOST)
    assert (response.status, body(response)) == (508, b"cdn_loop_detected\n")
    assert counters.stats(east)["refusals"]["cdn_loop_detected"] == 1
    west.stop()  # or it would keep its connection to east


def test_many_cold_objects_at_once(edge, origin):
    """Their responses cross each other on the connections of one worker."""
    scene, gate = Scene(edge, origin(), workers=1), threading.Event()
    bodies = {f"/{number}.ts": noise(3000 + number, number) for number in range(40)}
    for path, data in bodies.items():
        scene.server.on(path, [wait(gate), *answer(200, data, LONG)])
    viewers = {path: scene.connect() for path in bodies}
    for path, viewer in viewers.items():
        viewer.request(path)
    scene.server.wait_for_requests(len(bodies))
    gate.set()
    for path, viewer in viewers.items():
        response = viewer.response()
        assert (response.status, body(response)) == (200, bodies[path]), path
        viewer.close()


def test_heads_that_are_too_long(edge, origin):
    scene = Scene(edge, origin(), limits={"request_head_max": "4KiB", "uri_max": "1KiB"})
    for target, fields, status, word in (("/" + 2000 * "a", {}, 414, b"uri_too_long"),
                                         ("/", {"X": 5000 * "a"}, 431, b"request_head_too_large")):
        with scene.connect() as viewer:
            viewer.request(target, fields)
            response = viewer.response()
            assert (response.status, body(response)) == (status, word)
    assert scene.get("/a").status == 404
