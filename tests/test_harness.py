# SPDX-License-Identifier: Apache-2.0
"""The harness against itself: client and herd ask the scripted origin, so that a fault found elsewhere is no fault of
the tests.
"""
import hashlib
import ssl
import threading

import pytest

from harness.client import Broken, Connection, fetch
from harness.herd import Herd
from harness.message import ProtocolError
from harness.origin import answer, chunk, close, hang, head, last_chunk, reset, send, wait


def test_keep_alive_and_pipelining(origin):
    server = origin()
    server.on("/a", answer(200, b"first", {"X-Name": "a"}))
    server.on_each("/b", [answer(503), answer(200, b"third")])
    with Connection(server.address) as viewer:
        viewer.request("/a?x=1")
        assert bytes(viewer.response().body) == b"first"
        viewer.request("/b")
        assert viewer.response().status == 503
        viewer.request("/b", method="HEAD")
        response = viewer.response()
        assert (response.status, response.fields["Content-Length"], response.body) == (200, "5", b"")
    assert [request.target for request in server.requests] == ["/a?x=1", "/b", "/b"]
    assert server.connections_opened == 1
    assert fetch(server.address, "/nothing").status == 404


def test_body_arrives_step_by_step(origin):
    server, gate = origin(), threading.Event()
    server.on("/slow", [head(200, {"Content-Length": 8}), send(b"1234"), wait(gate), send(b"5678")])
    with Connection(server.address) as viewer:
        viewer.request("/slow")
        assert bytes(viewer.read(4).body) == b"1234"
        gate.set()
        assert bytes(viewer.response().body) == b"12345678"


def test_chunks_in_single_bytes(origin):
    server = origin()
    server.on("/chunks", [head(200, {"Transfer-Encoding": "chunked"}), chunk(b"hello "), chunk(b"world"), last_chunk()])
    server.on("/bytes", [send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 1)])
    with Connection(server.address) as viewer:
        viewer.request("/chunks")
        assert bytes(viewer.response().body) == b"hello world"
        viewer.request("/bytes")
        assert bytes(viewer.response().body) == b"abc"


@pytest.mark.parametrize("end, why", [(close(), "closed"), (reset(), "reset")])
def test_broken_bodies_are_seen(origin, end, why):
    server, gate = origin(), threading.Event()
    server.on("/short", [head(200, {"Content-Length": 8}), send(b"1234"), wait(gate), end])
    with Connection(server.address) as viewer:
        viewer.request("/short")
        viewer.read(4)
        gate.set()
        with pytest.raises(Broken) as broken:
            viewer.response()
    assert broken.value.why == why
    assert bytes(broken.value.response.body) == b"1234"


def test_garbage_is_refused(origin):
    server = origin()
    server.on("/garbage", [send(b"SSH-2.0-nonsense\r\n\r\n"), close()])
    with pytest.raises(ProtocolError):
        fetch(server.address, "/garbage")


def test_hanging_origin_stops(origin):
    server = origin()
    server.on("/hang", [hang()])
    with Connection(server.address) as viewer:
        viewer.request("/hang")
        server.wait_for_requests(1, "/hang")
        server.stop()
        assert viewer.is_closed_by_peer()


def test_file_ranges_and_validators(origin):
    server = origin()
    server.file("/f", b"0123456789")
    etag = fetch(server.address, "/f").fields["ETag"]
    assert fetch(server.address, "/f", {"If-None-Match": etag}).status == 304
    part = fetch(server.address, "/f", {"Range": "bytes=2-4", "If-Range": etag})
    assert (part.status, bytes(part.body), part.fields["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert bytes(fetch(server.address, "/f", {"Range": "bytes=-3"}).body) == b"789"
    assert fetch(server.address, "/f", {"Range": "bytes=2-4", "If-Range": '"old"'}).status == 200
    assert fetch(server.address, "/f", {"Range": "bytes=10-"}).status == 416


def test_herd(origin):
    server, gate, body = origin(), threading.Event(), bytes(range(256)) * 64
    server.on("/seg", [head(200, {"Content-Length": len(body)}), send(body[:1]), wait(gate), send(body[1:])])
    with Herd(server.address, 50, "/seg") as herd:
        herd.run_until(lambda: herd.count_received(1) == 50, "first bytes")
        assert herd.count_done() == 0
        gate.set()
        herd.run_until(lambda: herd.count_done() == 50, "whole bodies")
        assert herd.digests() == {hashlib.sha256(body).hexdigest(): 50}


def test_tls_with_names(origin, authority):
    server = origin(tls=authority.server_context("video.test", "127.0.0.1"))
    server.on("/", answer(200, b"secret"))
    trusted = authority.client_context(ssl.TLSVersion.TLSv1_3)
    assert bytes(fetch(server.address, "/", tls=trusted, server_name="video.test").body) == b"secret"
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(server.address, "/", tls=trusted, server_name="other.test")
