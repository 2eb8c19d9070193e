# SPDX-License-Identifier: Apache-2.0
"""TLS in front of the edge and behind it: certificates by name, versions, large bodies, viewers of both kinds on one
flight, origins whose certificates are good or not.
"""
import socket
import ssl
import threading

import pytest

from harness.client import Connection, fetch
from harness.origin import answer, head, send, wait
from harness.scene import HOST, KIB, MIB, Scene, noise

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def certificate(authority, *names):
    """The site's field `tls`."""
    chain, key = authority.issue(*names)
    return {"certificate": str(chain), "key": str(key)}


def names_of(connection):
    return [name for _, name in connection.socket.getpeercert()["subjectAltName"]]


@pytest.fixture(name="two_sites")
def _two_sites(edge, origin, authority):
    """one.test, and two.test with *.two.test; each with an origin and a certificate of its own."""
    sites = []
    for name, hosts in (("one", ["one.test"]), ("two", ["two.test", "*.two.test"])):
        server = origin()
        server.on("/who", answer(200, name.encode(), {"Cache-Control": "max-age=100"}))
        sites.append({"name": name, "hosts": hosts, "origin": server.url, "tls": certificate(authority, *hosts)})
    return edge(sites=sites, listen=LISTEN)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("host, site", [("one.test", "one"), ("two.test", "two"), ("any.two.test", "two")])
def test_certificate_by_name(two_sites, authority, version, host, site):
    for _ in range(2):  # on a new connection each time
        with Connection(two_sites.tls_address, host=host, tls=authority.client_context(version)) as viewer:
            assert viewer.socket.version() == version.name.replace("_", ".")
            assert names_of(viewer) == (["one.test"] if site == "one" else ["two.test", "*.two.test"])
            for _ in range(2):
                viewer.request("/who")
                assert bytes(viewer.response().body) == site.encode()


def test_old_versions_are_refused(two_sites):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError) as error:
        Connection(two_sites.tls_address, host="one.test", tls=context)
    assert error.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("host", ["three.test", "127.0.0.1"])  # an address sends no name at all
def test_unknown_names_are_refused_with_an_alert(two_sites, authority, version, host):
    with pytest.raises(ssl.SSLError) as error:
        Connection(two_sites.tls_address, host=host, tls=authority.client_context(version))
    assert error.value.reason == "TLSV1_UNRECOGNIZED_NAME"
    assert bytes(fetch(two_sites.tls_address, "/who", host="one.test", tls=authority.client_context()).body) == b"one"


def test_address_without_a_name(edge, origin, authority):
    server = origin()
    server.on("/who", answer(200, b"by address"))
    scene = Scene(edge, server, {"hosts": ["127.0.0.1", HOST], "tls": certificate(authority, "127.0.0.1", HOST)},
                  listen=LISTEN)
    for host in ("127.0.0.1", HOST):
        response = fetch(scene.edge.tls_address, "/who", host=host, tls=authority.client_context())
        assert bytes(response.body) == b"by address"


@pytest.fixture(name="scene")
def _scene(edge, origin, authority):
    return Scene(edge, origin(), {"tls": certificate(authority, HOST)}, listen=LISTEN)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_large_bodies_to_a_slow_reader(scene, authority, version):
    data = noise(9 * MIB + 5)
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    for _ in range(2):  # a fill, a hit
        with scene.connect_to(scene.edge.tls_address, tls=authority.client_context(version),
                              receive_buffer=4096) as viewer:
            viewer.request("/film.mp4")
            viewer.read(100)
            other = fetch(scene.edge.tls_address, "/film.mp4", {"Range": f"bytes={MIB - 3}-{MIB + 2}"}, host=HOST,
                          tls=authority.client_context(version))
            assert bytes(other.body) == data[MIB - 3:MIB + 3]
            viewer.widen()
            assert viewer.response().body == data
        scene.wait_for("flights.active", 0)


def test_plain_and_encrypted_viewers_on_one_flight(scene, authority):
    gate, data = threading.Event(), noise(3 * MIB)
    fields = {"Content-Length": len(data), "Cache-Control": "max-age=100"}
    scene.server.on("/seg.ts", [head(200, fields), send(data[:KIB]), wait(gate), send(data[KIB:])])
    contexts = [None, *map(authority.client_context, VERSIONS)] * 4
    viewers = []
    for tls in contexts:
        viewers.append(scene.connect_to(scene.edge.tls_address if tls else scene.edge.address, tls=tls))
        viewers[-1].request("/seg.ts")
    for viewer in viewers:
        assert viewer.read(KIB).body == data[:KIB]  # all have their first bytes while the origin holds the rest
    gate.set()
    for viewer in viewers:
        assert viewer.response().body == data
    assert scene.server.count() == 1
    assert scene.site_stats(12)["by_cause"]["coalesced"]["requests"] == 11
    assert sorted(record["tls"] for record in scene.records("/seg.ts", 12)) == 4 * [False] + 8 * [True]


def test_pipelined_requests(scene, authority):
    scene.server.file("/digits", b"0123456789")
    with scene.connect_to(scene.edge.tls_address, tls=authority.client_context()) as viewer:
        one = b"GET /digits HTTP/1.1\r\nHost: %s\r\nRange: bytes=%d-%d\r\n\r\n"
        viewer.send(b"".join(one % (HOST.encode(), i, i) for i in range(10)))
        assert b"".join(bytes(viewer.response().body) for _ in range(10)) == b"0123456789"


def record_sizes(address, authority, size):
    """What the edge puts into records, in the order of its response with a body of that size."""
    raw, incoming, outgoing = socket.create_connection(address, timeout=60), ssl.MemoryBIO(), ssl.MemoryBIO()
    viewer = authority.client_context(ssl.TLSVersion.TLSv1_3).wrap_bio(incoming, outgoing, server_hostname=HOST)
    stream, sizes = b"", []

    def pump(action):
        """Does it, feeding one record after the other."""
        nonlocal stream
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
            while len(stream) < 5 or len(stream) < 5 + int.from_bytes(stream[3:5], "big"):
                stream += raw.recv(65536)
            end = 5 + int.from_bytes(stream[3:5], "big")
            sizes.append(end)
            incoming.write(stream[:end])
            stream = stream[end:]
    pump(viewer.do_handshake)
    viewer.write(f"GET /seg.ts HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    raw.sendall(outgoing.read())
    sizes.clear()
    received = 0
    while received < size:
        received += len(pump(lambda: viewer.read(1 << 20)))
    raw.close()
    return sizes


def test_records_are_small_at_first(scene, authority):
    """Each of the first is whole when a few packets have come; then they are as large as TLS allows."""
    scene.server.file("/seg.ts", noise(MIB), {"Cache-Control": "max-age=100"})
    assert scene.get("/seg.ts").status == 200
    sizes = record_sizes(scene.edge.tls_address, authority, MIB)
    early = [size for number, size in enumerate(sizes) if sum(sizes[:number]) < 12 * KIB]
    assert len(early) >= 3 and all(size < 3 * 1460 for size in early)
    assert sizes.count(16384 + 5 + 1 + 16) > 50


def test_what_is_no_handshake_harms_nobody(scene, authority):
    scene.server.on("/who", answer(200, b"fine"))
    plain = scene.connect_to(scene.edge.tls_address)
    plain.request("/who")  # not TLS at all
    silent = scene.connect_to(scene.edge.tls_address)
    silent.send(b"\x16\x03\x01\x02\x00\x01", None)  # the begin of one, and no more
    assert bytes(fetch(scene.edge.tls_address, "/who", host=HOST, tls=authority.client_context()).body) == b"fine"
    plain.reset()
    silent.reset()  # and the edge comes to rest, or conftest complains


# --- origins ---------------------------------------------------------------------------------------------------


def https_scene(edge, origin, authority, *names):
    """An edge that trusts the authority, before an origin whose certificate is for these names."""
    server = origin(tls=authority.server_context(*names))
    server.file("/seg.ts", noise(MIB), {"Cache-Control": "max-age=100"})
    return Scene(edge, server, workers=1, environment={"SSL_CERT_FILE": str(authority.ca_path)})


def test_https_origin(edge, origin, authority):
    scene = https_scene(edge, origin, authority, "127.0.0.1")
    for _ in range(2):
        assert scene.get("/seg.ts").body == noise(MIB)
    assert scene.server.count("/seg.ts") == 1
    assert scene.get("/none.ts").status == 404
    assert scene.server.connections_opened == 1  # kept alive
    assert scene.stats()["origin"]["results"]["ok"] == 2


@pytest.mark.parametrize("names, trusted", [(["other.test"], True), (["127.0.0.1"], False)], ids=["name", "authority"])
def test_origin_that_cannot_be_verified(edge, origin, authority, names, trusted, tmp_path):
    scene = https_scene(edge, origin, authority, *names)
    if not trusted:
        (tmp_path / "none.pem").touch()
        scene.edge.stop()
        scene.edge.environment["SSL_CERT_FILE"] = str(tmp_path / "none.pem")
        scene.edge.start()
    response = scene.get("/seg.ts")
    assert (response.status, bytes(response.body)) == (502, b"origin_tls_failed\n")
    assert scene.server.count() == 0  # not a byte of a request was given to it
    assert scene.stats()["origin"]["results"]["origin_tls_failed"] == 1
    assert scene.records("/seg.ts")[0]["reason"] == "origin_tls_failed"


def test_origin_that_speaks_no_tls(edge):
    """It answers a handshake as a plain server does."""
    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        scene = Scene(edge, None, {"origin": f"https://127.0.0.1:{listener.getsockname()[1]}"})
        response = scene.get("/seg.ts")
        server.join()
    assert (response.status, bytes(response.body)) == (502, b"origin_tls_failed\n")
