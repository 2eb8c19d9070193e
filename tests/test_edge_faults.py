# SPDX-License-Identifier: Apache-2.0
"""Origins that refuse, hang, break, lie and talk nonsense. The viewer gets a status and a word, or a response that is
seen to be broken, never a short one that looks whole; nothing of it is kept; and the same word stands in the
response, in Cache-Status, in the access log and in the counters.
"""
import socket
import threading

import pytest

from harness import counters
from harness.client import Broken, fetch
from harness.herd import Herd
from harness.origin import answer, chunk, close, hang, head, last_chunk, reset, send, wait
from harness.scene import HOST, KIB, MIB, Scene, cache_status, noise

DATA = noise(100 * KIB)
LONG = {"Cache-Control": "max-age=1000"}
SIZED = {**LONG, "Content-Length": len(DATA)}
CHUNKED = {**LONG, "Transfer-Encoding": "chunked"}
QUICK = {"origin_timeouts": {"connect": "300ms", "first_byte": "300ms", "idle": "300ms"}}


def body(response):
    return bytes(response.body)


def assert_failed(scene, response, status, word, target="/seg.ts"):
    """A failure before the head: all places say the same."""
    assert (response.status, body(response)) == (status, f"{word}\n".encode())
    assert response.fields["Cache-Control"] == "no-store"
    assert cache_status(response)["detail"] == word
    record = scene.records(target)[-1]
    assert (record["status"], record["cause"], record["reason"]) == (status, "error", word)
    assert record["cache_status"] == response.fields["Cache-Status"]


def assert_counted(scene, word, requests=1, flights=1):
    site = scene.site_stats(requests)
    assert site["by_cause"]["error"]["requests"] == requests
    document = scene.wait_for("flights.active", 0)
    assert document["flights"]["failed"] == flights
    assert {name: count for name, count in document["origin"]["results"].items() if count} == {word: flights}
    assert document["arena"]["objects"] == 0


# --- before the head ----------------------------------------------------------------------------------------------


BEFORE_THE_HEAD = {
    "closes": ([close()], 502, "origin_closed_before_response"),
    "resets": ([reset()], 502, "origin_closed_before_response"),
    "hangs": ([hang()], 504, "origin_first_byte_timeout"),
    "hangs in the head": ([send(b"HTTP/1.1 200 OK\r\nContent-"), hang()], 504, "origin_first_byte_timeout"),
    "closes in the head": ([send(b"HTTP/1.1 200 OK\r\nContent-"), close()], 502, "origin_closed_before_response"),
    "informs and hangs": ([send(b"HTTP/1.1 103 Early Hints\r\n\r\n"), hang()], 504, "origin_first_byte_timeout"),
    "informs without end": ([send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20), hang()], 502, "origin_bad_response"),
    "switches protocols": ([send(b"HTTP/1.1 101 -\r\nUpgrade: x\r\n\r\n"), hang()], 502, "origin_bad_response"),
    "another protocol": ([send(b"SSH-2.0-OpenSSH_9.2\r\n"), hang()], 502, "origin_bad_response"),
    "another version": ([send(b"HTTP/2.0 200 OK\r\n\r\n"), hang()], 502, "origin_bad_response"),
    "no status": ([send(b"HTTP/1.1 OK\r\n\r\n"), hang()], 502, "origin_bad_response"),
    "a status that is none": ([send(b"HTTP/1.1 999 -\r\nContent-Length: 0\r\n\r\n"), hang()], 502, "origin_bad_response"),
    "a name with a blank": ([send(b"HTTP/1.1 200 -\r\nA b: c\r\n\r\n"), hang()], 502, "origin_bad_response"),
    "zeros": ([send(bytes(1000)), hang()], 502, "origin_bad_response"),
    "framed twice": ([head(200, {**SIZED, "Transfer-Encoding": "chunked"}), hang()], 502, "origin_bad_response"),
    "two lengths": ([head(200, [("Content-Length", 5), ("Content-Length", 6)]), hang()], 502, "origin_bad_response"),
    "no length": ([head(200, {"Content-Length": "-5"}), hang()], 502, "origin_bad_response"),
    "an unknown coding": ([head(200, {"Transfer-Encoding": "gzip, chunked"}), hang()], 502, "origin_bad_response"),
    "a large head": ([head(200, {**SIZED, "X": "x" * 40_000}), hang()], 502, "origin_head_too_large"),
    "many fields": ([head(200, [("X", "x")] * 1000), hang()], 502, "origin_head_too_large"),
    "a large head in pieces": ([send(b"HTTP/1.1 200 -\r\nX: " + b"x" * 40_000, 1000), hang()], 502,
                               "origin_head_too_large"),
    "a range for nothing": ([head(206, {**SIZED, "Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}), hang()], 502,
                            "origin_bad_range"),
}


@pytest.mark.parametrize("fault", list(BEFORE_THE_HEAD))
def test_before_the_head(edge, origin, fault):
    """Two viewers at once share the failure; the next one asks the origin again."""
    script, status, word = BEFORE_THE_HEAD[fault]
    scene, gate = Scene(edge, origin(), site=QUICK), threading.Event()
    scene.server.on_each("/seg.ts", [[wait(gate), *script], answer(200, DATA, LONG)])
    with scene.connect() as one, scene.connect() as other:
        one.request("/seg.ts")
        other.request("/seg.ts")
        scene.wait_for("flights.readers", 2)
        gate.set()
        for viewer in (one, other):
            assert_failed(scene, viewer.response(), status, word)
    assert scene.server.count() == 1
    site = scene.site_stats(2)
    assert site["by_cause"]["error"]["requests"] == 2 and site["statuses"] == {str(status): 2}
    document = scene.wait_for("flights.active", 0)
    assert (document["flights"]["failed"], document["arena"]["objects"]) == (1, 0)
    if word in document["origin"]["results"]:
        assert document["origin"]["results"][word] == 1
    assert body(scene.get("/seg.ts")) == DATA
    assert scene.server.count() == 2


def test_connections_refused(edge, origin):
    scene = Scene(edge, origin())
    scene.server.refuse()
    assert_failed(scene, scene.get("/seg.ts"), 502, "origin_connect_refused")
    assert_counted(scene, "origin_connect_refused")


def test_a_name_that_does_not_resolve(edge, origin):
    scene = Scene(edge, origin(), site={"origin": "http://nowhere.invalid:1"})
    assert_failed(scene, scene.get("/seg.ts"), 502, "origin_name_not_resolved")
    assert_counted(scene, "origin_name_not_resolved")


def test_an_origin_that_does_not_accept(edge, origin):
    """Its queue is full: the system answers no more."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(full.getsockname())
    scene = Scene(edge, origin(), site={**QUICK, "origin": f"http://127.0.0.1:{full.getsockname()[1]}"})
    assert_failed(scene, scene.get("/seg.ts"), 504, "origin_connect_timeout")
    assert_counted(scene, "origin_connect_timeout")
    for each in (full, *waiting):
        each.close()


def test_tls_that_nobody_vouches_for(edge, origin, authority):
    scene = Scene(edge, origin(tls=authority.server_context("127.0.0.1")))
    scene.server.on("/seg.ts", answer(200, DATA, LONG))
    assert_failed(scene, scene.get("/seg.ts"), 502, "origin_tls_failed")
    assert_counted(scene, "origin_tls_failed")


def test_tls_for_another_name(edge, origin, authority):
    scene = Scene(edge, origin(tls=authority.server_context("other.test")),
                  environment={"SSL_CERT_FILE": str(authority.ca_path)})
    assert_failed(scene, scene.get("/seg.ts"), 502, "origin_tls_failed")


def test_tls_that_does_not_begin(edge):
    """The connection stands, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        scene = Scene(edge, None, site={**QUICK, "origin": f"https://127.0.0.1:{silent.getsockname()[1]}"})
        assert_failed(scene, scene.get("/seg.ts"), 504, "origin_connect_timeout")
        assert_counted(scene, "origin_connect_timeout")


# --- in the body ----------------------------------------------------------------------------------------------------


HALF = DATA[:len(DATA) // 2]
IN_THE_BODY = {
    "closes": ([head(200, SIZED), send(HALF)], [close()], "origin_body_truncated"),
    "resets": ([head(200, SIZED), send(HALF)], [reset()], "origin_body_truncated"),
    "hangs": ([head(200, SIZED), send(HALF)], [hang()], "origin_idle_timeout"),
    "closes before the last byte": ([head(200, SIZED), send(DATA[:-1])], [close()], "origin_body_truncated"),
    "closes in a chunk": ([head(200, CHUNKED), send(b"fffff\r\n" + HALF)], [close()], "origin_body_truncated"),
    "closes between chunks": ([head(200, CHUNKED), chunk(HALF)], [close()], "origin_body_truncated"),
    "closes before the trailers' end": ([head(200, CHUNKED), chunk(HALF)], [send(b"0\r\n"), close()],
                                        "origin_body_truncated"),
    "a chunk without a size": ([head(200, CHUNKED), chunk(HALF)], [send(b"zz\r\n"), hang()], "origin_bad_response"),
    "a chunk that is longer": ([head(200, CHUNKED), chunk(HALF)], [send(b"3\r\n" + DATA[len(HALF):][:6] + b"\r\n"), hang()],
                               "origin_bad_response"),
    "framing without end": ([head(200, CHUNKED), chunk(HALF)], [send(b"1;" + b"x" * 20_000), hang()],
                            "origin_bad_response"),
    "resets without a length": ([head(200, LONG), send(HALF)], [reset()], "origin_body_truncated"),
}


def test_a_body_that_breaks_at_once(edge, origin):
    """Head, half a body and the end in one piece: nothing has been said to the viewer, so the failure can be."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/seg.ts", [wait(gate), send(b"HTTP/1.1 200 -\r\nContent-Length: 10\r\n\r\n12345"), close()])
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        gate.set()
        try:
            assert_failed(scene, viewer.response(), 502, "origin_body_truncated")
        except Broken as broken:  # the end came a turn later
            assert b"12345".startswith(body(broken.response))


@pytest.mark.parametrize("fault", list(IN_THE_BODY))
def test_in_the_body(edge, origin, fault):
    """Each viewer, on HTTP/1.1 and 1.0, sees that the response is broken; nothing is kept."""
    before, after, word = IN_THE_BODY[fault]
    scene, gate = Scene(edge, origin(), site=QUICK), threading.Event()
    scene.server.on_each("/seg.ts", [[*before, wait(gate), *after], answer(200, DATA, LONG)])
    viewers = [scene.connect() for _ in range(3)]
    for viewer in viewers[:2]:
        viewer.request("/seg.ts")
        viewer.read(1000)
    viewers[2].send(b"GET /seg.ts HTTP/1.0\r\nHost: video.test\r\n\r\n")
    viewers[2].read(1000)
    gate.set()
    for viewer in viewers[:2]:
        with pytest.raises(Broken) as broken:
            viewer.response()
        assert DATA.startswith(body(broken.value.response))
    with pytest.raises(Broken) as broken:
        viewers[2].response()
    assert scene.server.count() == 1
    site = scene.site_stats(3)
    assert (site["requests_aborted"], site["statuses"]) == (3, {"200": 3})
    for record in scene.records("/seg.ts", 3):
        assert (record["status"], record["reason"]) == (200, word)
    document = scene.wait_for("flights.active", 0)
    assert (document["flights"]["failed"], document["arena"]["objects"]) == (1, 0)
    assert document["origin"]["results"][word] == 1
    assert body(scene.get("/seg.ts")) == DATA
    assert scene.server.count() == 2


def test_a_response_that_is_longer_than_it_says(edge, origin):
    """What follows the response is not part of it, nor of the next one: the connection is not used again."""
    scene = Scene(edge, origin(), workers=1)
    scene.server.on("/seg.ts", [head(200, SIZED), send(DATA + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")])
    scene.server.on("/next.ts", answer(200, b"good", LONG))
    assert body(scene.get("/seg.ts")) == DATA
    assert body(scene.get("/next.ts")) == b"good"
    assert scene.server.connections_opened == 2
    response = scene.get("/seg.ts")
    assert body(response) == DATA and "hit" in cache_status(response)


def test_a_large_object_breaks(edge, origin):
    """The slices that were whole are kept under their version, so the next viewer costs the origin the rest only."""
    scene = Scene(edge, origin(), site={"origin_retries": {"percent": 0, "floor": 0}})
    gate, data = threading.Event(), noise(4 * MIB)
    fields = {**LONG, "ETag": '"one"'}
    scene.server.on_each("/seg.ts", [[head(200, {**fields, "Content-Length": len(data)}), send(data[:5 * MIB // 2]),
                                      wait(gate), close()],
                                     lambda request: part_of(request, data, fields)])
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(5 * MIB // 2)
        gate.set()
        with pytest.raises(Broken):
            viewer.response()
    assert body(scene.get("/seg.ts")) == data
    assert [request.fields.get("Range") for request in scene.server.requests] == [None, f"bytes={2 * MIB}-{4 * MIB - 1}"]
    assert scene.server.requests[1].fields["If-Range"] == '"one"'


def part_of(request, data, fields):
    first, last = (int(each) for each in request.fields["Range"].removeprefix("bytes=").split("-"))
    return answer(206, data[first:last + 1], {**fields, "Content-Range": f"bytes {first}-{last}/{len(data)}"})


def test_a_body_that_ends_without_tls_saying_so(edge, origin, authority):
    """Of unknown length, over TLS: without close_notify it may have been cut short by anybody."""
    scene = Scene(edge, origin(tls=authority.server_context("127.0.0.1")),
                  environment={"SSL_CERT_FILE": str(authority.ca_path)})
    gate = threading.Event()
    scene.server.on_each("/seg.ts", [[head(200, LONG), send(HALF), wait(gate), close()],
                                     [head(200, LONG), send(DATA), end_of_tls(), close()]])
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(1)
        gate.set()
        with pytest.raises(Broken):
            viewer.response()
    for _ in range(2):
        assert body(scene.get("/seg.ts")) == DATA
    assert scene.server.count() == 2


def end_of_tls():
    def step(exchange):
        exchange.socket = exchange.socket.unwrap()
    return step


# --- connections that are kept ----------------------------------------------------------------------------------


def test_a_stale_connection_costs_one_retry(edge, origin):
    scene = Scene(edge, origin(), workers=1)
    scene.server.on("/a.ts", answer(200, b"a", LONG))
    scene.server.on_each("/b.ts", [[close()], answer(200, b"b", LONG)])
    assert body(scene.get("/a.ts")) == b"a"
    assert body(scene.get("/b.ts")) == b"b"
    assert [(request.path, request.connection_number) for request in scene.server.requests] == [
        ("/a.ts", 1), ("/b.ts", 1), ("/b.ts", 2)]
    document = scene.wait_for("requests", 2)
    assert document["flights"]["failed"] == 0
    assert document["origin"]["connections_opened"] == 2


def test_there_is_no_second_retry(edge, origin):
    scene = Scene(edge, origin(), workers=1)
    scene.server.on("/a.ts", answer(200, b"a", LONG))
    scene.server.on("/b.ts", [close()])
    assert body(scene.get("/a.ts")) == b"a"
    assert_failed(scene, scene.get("/b.ts"), 502, "origin_closed_before_response", "/b.ts")
    assert scene.server.count("/b.ts") == 2


def test_an_idle_connection_is_closed_by_the_origin(edge, origin):
    scene = Scene(edge, origin(), workers=1)
    scene.server.on("/a.ts", [*answer(200, b"a", LONG), close()])
    scene.server.on("/b.ts", [*answer(200, b"b", {**LONG, "Connection": "close"}), hang()])
    for path in ("/a.ts", "/b.ts", "/c.ts"):
        scene.get(path)
    assert [request.connection_number for request in scene.server.requests][-1] == 3
    assert scene.stats()["flights"]["failed"] == 0


def test_early_hints_are_not_the_response(edge, origin):
    scene = Scene(edge, origin())
    scene.server.on("/seg.ts", [send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
                                *answer(200, DATA, LONG)])
    response = scene.get("/seg.ts")
    assert (response.status, body(response), response.informational) == (200, DATA, [103])
    assert "Link" not in response.fields


def test_an_origin_dies_and_comes_back(edge, origin):
    """What is kept is served meanwhile."""
    scene = Scene(edge, origin())
    scene.server.on("/kept.ts", answer(200, DATA, LONG))
    assert body(scene.get("/kept.ts")) == DATA
    address = scene.server.address
    scene.server.stop()
    assert_failed(scene, scene.get("/other.ts"), 502, "origin_connect_refused", "/other.ts")
    assert body(scene.get("/kept.ts")) == DATA
    again = socket.create_server(address)
    try:
        with scene.connect() as viewer:
            viewer.request("/other.ts")
            connection, _ = again.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 -\r\nContent-Length: 5\r\n\r\nhello")
            assert body(viewer.response()) == b"hello"
            connection.close()
    finally:
        again.close()


def test_a_crowd_meets_a_dead_origin(edge, origin):
    """One question, one answer for all."""
    scene, gate, count = Scene(edge, origin()), threading.Event(), 200
    scene.server.on("/seg.ts", [wait(gate), close()])
    with Herd(scene.edge.address, count, "/seg.ts", host=HOST) as herd:
        herd.run_until(lambda: scene.stats()["flights"]["readers"] == count, "all to wait for it")
        gate.set()
        herd.run_until(lambda: herd.count_done() == count, "an answer for all")
        assert herd.summary()["statuses"] == {502: count}
    assert scene.server.count() == 1
    assert_counted(scene, "origin_closed_before_response", count)
    counters.wait_for_rest(scene.edge)
    assert fetch(scene.edge.admin_address, "/healthz").status == 200
