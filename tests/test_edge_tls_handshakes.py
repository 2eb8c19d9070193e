# SPDX-License-Identifier: Apache-2.0
"""Handshakes cost the edge much and those who begin them little: how many there may be, for how long, and that a good
viewer is served meanwhile.
"""
import socket
import ssl
import subprocess

import pytest

from harness import counters
from harness.client import fetch
from harness.origin import answer
from harness.scene import HOST

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
HELLO_BEGUN = b"\x16\x03\x01\x02\x00\x01"


@pytest.fixture(name="make")
def _make(edge, origin, authority):
    server = origin()
    server.on("/who", answer(200, b"me", {"Cache-Control": "max-age=1000"}))
    certificate, key = authority.issue(HOST, stem="handshakes")

    def make(**limits):
        return edge(sites=[{"name": "demo", "hosts": [HOST], "origin": server.url,
                            "tls": {"certificate": str(certificate), "key": str(key)}}],
                    listen=LISTEN, workers=1, limits=limits)
    return make


def connect(edge, address="127.0.0.1"):
    """A connection from one of the many addresses of this machine."""
    return socket.create_connection(edge.tls_address, source_address=(address, 0), timeout=60)


def is_served(edge, authority, address="127.0.0.9"):
    with connect(edge, address) as raw, authority.client_context().wrap_socket(raw, server_hostname=HOST) as viewer:
        viewer.sendall(f"GET /who HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while part := viewer.recv(65536):
            data += part
        return data.endswith(b"\r\n\r\nme")


def ends(raw):
    """Waits for the edge to close it."""
    try:
        return raw.recv(1) == b""
    except ConnectionResetError:
        return True


def test_stalled_ones_end_at_the_deadline(make, authority):
    edge = make(handshake_timeout="100ms")
    stalled = [connect(edge) for _ in range(20)]
    for raw in stalled[10:]:
        raw.sendall(HELLO_BEGUN)
    assert is_served(edge, authority)
    assert all(ends(raw) for raw in stalled)
    assert counters.stats(edge)["refusals"]["tls_handshake_timeout"] == 20


def test_of_one_client(make, authority):
    """A burst of five, and then so few a second that none comes back within the test."""
    edge = make(handshakes_per_client=1, request_burst="5s")
    started = counters.stats(edge)["uptime_ms"]
    raws = [connect(edge, "127.0.0.5") for _ in range(30)]
    refused = [raw for raw in raws if is_refused(raw)]
    took_s = (counters.stats(edge)["uptime_ms"] - started) / 1000
    assert 25 - took_s - 1 <= len(refused) <= 25
    assert is_served(edge, authority, "127.0.0.6")
    assert counters.stats(edge)["refusals"]["too_many_handshakes_of_client"] == len(refused)
    assert fetch(edge.address, "/who", host=HOST).status == 200  # plain connections are no handshakes
    for raw in raws:
        raw.close()


def is_refused(raw):
    """Closed instead of answered."""
    try:
        raw.sendall(client_hello())
        return raw.recv(100) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def test_stalled_ones_make_room(make, authority):
    """All places are taken by handshakes that stall: after their first second they go, the oldest first."""
    edge = make(handshakes_max=8)
    stalled = [connect(edge, f"127.0.1.{number}") for number in range(8)]
    counters.wait_for(edge, "connections.active", 8)
    while True:
        try:
            if is_served(edge, authority):
                break
        except (ConnectionResetError, ssl.SSLError, BrokenPipeError):
            pass  # within that second the newcomer is the one to go
    assert ends(stalled[0])
    assert counters.stats(edge)["refusals"]["too_many_handshakes"] >= 1
    for raw in stalled:
        raw.close()


def test_a_good_viewer_beside_a_flood(make, authority):
    """Handshakes from fifty addresses that have the edge make keys and sign, and never answer."""
    edge = make()
    hello = client_hello()
    raws = []
    for number in range(600):
        raws.append(connect(edge, f"127.0.{1 + number % 50}.1"))
        raws[-1].sendall(hello)
        if number % 50 == 49:
            assert is_served(edge, authority)
    for raw in raws:
        raw.close()


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        one.do_handshake()
    return outgoing.read()


def test_no_renegotiation_and_no_compression(make, authority):
    edge = make()
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.tls_address[1]}", "-servername", HOST,
                           "-CAfile", authority.ca_path, "-tls1_2"], input=b"R\n", capture_output=True, check=False,
                          timeout=60)
    assert b"Secure Renegotiation IS supported" in done.stdout and b"Compression: NONE" in done.stdout
    assert b"no renegotiation" in done.stderr
