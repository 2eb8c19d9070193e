# SPDX-License-Identifier: Apache-2.0
"""Viewers behind a load balancer that says whose each connection is: over HTTP/1, TLS and HTTP/2 the announced address is
the viewer's, for logs, countries and limits; and whoever speaks otherwise is cut off by name.
"""
import socket
import struct

import pytest

from harness.client import Connection, fetch
from harness.deadline import until
from harness.h2 import H2
from harness.origin import answer
from harness.scene import HOST, Scene

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONG = {"Cache-Control": "max-age=1000"}
VIEWER, OTHER = "192.0.2.77", "192.0.2.78"


def v1(source):
    return f"PROXY TCP4 {source} 198.51.100.1 5000 443\r\n".encode()


def v2(source):
    addresses = socket.inet_aton(source) + socket.inet_aton("198.51.100.1") + struct.pack(">HH", 5000, 443)
    return SIGNATURE + b"\x21\x11" + struct.pack(">H", len(addresses) + 4) + addresses + b"\x04\0\x01x"


LOCAL = SIGNATURE + b"\x20\0\0\0"


def scene_of(edge, origin, authority, **fields):
    certificate, key = authority.issue(HOST)
    scene = Scene(edge, origin(), **{
        "site": {"tls": {"certificate": str(certificate), "key": str(key)}},
        "listen": [{"address": "127.0.0.1:0", "proxy_protocol": True},
                   {"address": "127.0.0.1:0", "proxy_protocol": True, "tls": True}],
        "trusted_proxies": ["127.0.0.0/8"], **fields})
    scene.edge.config["access_log"]["viewer_address"] = "full"
    scene.edge.stop()
    scene.edge.start()
    scene.server.on("/seg.ts", answer(200, b"segment", LONG))
    return scene


class Announced(socket.socket):
    """A socket that says a header before all else."""

    header = b""

    def connect(self, address):
        super().connect(address)
        # In two pieces: the edge may not take the first for all.
        self.sendall(self.header[:7])
        self.sendall(self.header[7:])


def ask_h1(scene, _):
    return fetch(scene.edge.address, "/seg.ts", host=HOST).body


def ask_tls(scene, authority):
    return fetch(scene.edge.tls_address, "/seg.ts", host=HOST, tls=authority.client_context()).body


def ask_h2(scene, authority):
    with H2(scene.edge.tls_address, tls=authority.client_context()) as viewer:
        return viewer.get("/seg.ts").body


def ask_h2_plain(scene, _):
    with H2(scene.edge.address) as viewer:
        return viewer.get("/seg.ts").body


@pytest.mark.parametrize("header, seen", [(v1(VIEWER), VIEWER), (v2(VIEWER), VIEWER), (LOCAL, "127.0.0.1"),
                                          (b"PROXY UNKNOWN\r\n", "127.0.0.1")], ids=["v1", "v2", "local", "unknown"])
@pytest.mark.parametrize("ask", [ask_h1, ask_tls, ask_h2, ask_h2_plain])
def test_the_announced_address_is_the_viewer_s(edge, origin, authority, header, seen, ask):
    scene = scene_of(edge, origin, authority)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", type("Announced", (Announced,), {"header": header}))
        assert bytes(ask(scene, authority)) == b"segment"
    assert scene.records("/seg.ts")[0]["viewer"] == seen


def get_as(scene, header):
    with socket.create_connection(scene.edge.address) as viewer:
        viewer.sendall(header + f"GET /seg.ts HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while more := viewer.recv(65536):
            data += more
    return int(data.split()[1])


def test_it_counts_for_limits_and_countries(edge, origin, authority):
    certificate, key = authority.issue(HOST)
    scene = scene_of(edge, origin, authority, limits={"requests_per_client": 1, "request_burst": "3s"},
                     geoip={"overrides": [{"prefix": "192.0.2.0/24", "country": "DE"},
                                          {"prefix": "198.51.100.0/24", "country": "FR"}]},
                     site={"countries": {"deny": ["FR"]}, "tls": {"certificate": str(certificate), "key": str(key)}})
    assert get_as(scene, v1("198.51.100.9")) == 403
    statuses = [get_as(scene, v1(VIEWER)) for _ in range(12)]
    assert statuses[0] == 200 and 429 in statuses
    assert get_as(scene, v2(OTHER)) == 200


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 1.2.3 4 5 6\r\n", b"PROXY " + b"x" * 200,
                                   SIGNATURE + b"\x21\x11\xff\xff", b"\x16\x03\x01"])
def test_what_is_no_header_is_cut_off(edge, origin, authority, first):
    scene = scene_of(edge, origin, authority)
    for address in (scene.edge.address, scene.edge.tls_address):
        with Connection(address) as viewer:
            viewer.send(first)
            assert viewer.is_closed_by_peer()
    scene.wait_for("refusals.proxy_protocol_malformed", 2)
    assert until(lambda: [r for r in scene.edge.access_log() if r.get("reason") == "proxy_protocol_malformed"], "a record")


def test_a_header_has_a_deadline(edge, origin, authority):
    scene = scene_of(edge, origin, authority, limits={"header_timeout": "200ms"})
    with Connection(scene.edge.address) as viewer:
        viewer.send(b"PROXY TCP4 192")
        assert viewer.is_closed_by_peer()
    scene.wait_for("refusals.proxy_protocol_timeout", 1)


def test_only_trusted_proxies_may_say_so(edge, origin, authority):
    scene = scene_of(edge, origin, authority, trusted_proxies=["10.0.0.0/8"])
    with Connection(scene.edge.address) as viewer:
        assert viewer.is_closed_by_peer()
    scene.wait_for("refusals.proxy_protocol_untrusted_peer", 1)


def test_the_edge_ends_while_headers_are_awaited(edge, origin, authority):
    scene = scene_of(edge, origin, authority)
    waiting = [socket.create_connection(scene.edge.address) for _ in range(5)]
    for each in waiting:
        each.sendall(b"PROXY ")
    scene.edge.stop()
    for each in waiting:
        each.close()
