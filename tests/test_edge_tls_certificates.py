# SPDX-License-Identifier: Apache-2.0
"""Certificates while the edge runs: exchanged under connections that stay, several types of keys for one site, what
is stapled to them, and requests for another site than the one the handshake was for.
"""
import re
import shutil
import signal
import ssl
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from harness import counters
from harness.client import Connection, fetch
from harness.deadline import until
from harness.h2 import H2
from harness.origin import answer, head, send
from harness.scene import HOST, MIB, Scene, noise

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]


def put(pair, folder):
    """Has the pair of files stand under the names that the configuration knows, each at once."""
    for path, name in zip(pair, ("site.pem", "site.key")):
        shutil.copy(path, folder / "new")
        (folder / "new").rename(folder / name)


def serial(connection):
    return connection.socket.getpeercert()["serialNumber"]


@pytest.fixture(name="scene")
def _scene(edge, origin, authority, tmp_path):
    put(authority.issue(HOST, stem="first"), tmp_path)
    scene = Scene(edge, origin(), {"tls": {"certificate": str(tmp_path / "site.pem"), "key": str(tmp_path / "site.key")}},
                  listen=LISTEN, tls={"reload_interval": "1d"})
    scene.server.on("/who", answer(200, b"me", {"Cache-Control": "max-age=100"}))
    scene.folder = tmp_path
    return scene


def viewer_of(scene, authority):
    return scene.connect_to(scene.edge.tls_address, tls=authority.client_context())


def test_exchanged_on_sighup_under_a_response(scene, authority):
    data = noise(4 * MIB)
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    with scene.connect_to(scene.edge.tls_address, tls=authority.client_context(), receive_buffer=4096) as early:
        early.request("/film.mp4")
        early.read(1000)
        put(authority.issue(HOST, stem="second"), scene.folder)
        scene.edge.process.send_signal(signal.SIGHUP)
        scene.wait_for("tls.reloads", 1)
        with viewer_of(scene, authority) as late:
            assert serial(late) != serial(early)
            late.request("/who")
            assert bytes(late.response().body) == b"me"
        early.widen()
        assert early.response().body == data
        early.request("/who")  # and the connection lives on
        assert bytes(early.response().body) == b"me"


def test_exchanged_by_itself_and_told(edge, origin, authority, tmp_path):
    put(authority.issue(HOST, stem="first", days=5), tmp_path)
    scene = Scene(edge, origin(), {"tls": {"certificate": str(tmp_path / "site.pem"), "key": str(tmp_path / "site.key")}},
                  listen=LISTEN, tls={"reload_interval": "10ms"})
    before, = scene.stats()["tls"]["certificates"]
    put(authority.issue(HOST, stem="second", days=20), tmp_path)
    # The certificate may be seen before its key is there: then it is refused, and read again with the key.
    scene.wait_for("tls.reloads", lambda count: count >= 1)
    after, = scene.stats()["tls"]["certificates"]
    assert (after["site"], after["kind"]) == ("demo", "ecdsa")
    assert after["not_after"] > before["not_after"]


@pytest.mark.parametrize("fault", ["other key", "garbage", "gone", "expired"])
def test_a_bad_one_is_named_and_the_old_one_stays(scene, authority, fault):
    if fault == "other key":
        shutil.copy(authority.issue("other.test")[1], scene.folder / "site.key")
    elif fault == "garbage":
        (scene.folder / "site.pem").write_text("-----BEGIN CERTIFICATE-----\nnot at all\n")
    elif fault == "gone":
        (scene.folder / "site.pem").unlink()
    else:
        put(authority.issue(HOST, stem="expired", days=0), scene.folder)
    scene.edge.process.send_signal(signal.SIGHUP)
    document = scene.wait_for("tls.reload_failures", 1)
    assert document["tls"]["reloads"] == 0
    named = "site.key" if fault == "other key" else "site.pem"
    assert any(named in line and "stays in use" in line for line in scene.edge.log().splitlines())
    with viewer_of(scene, authority) as viewer:
        viewer.request("/who")
        assert bytes(viewer.response().body) == b"me"


# --- several of one site -----------------------------------------------------------------------------------------


def kinds_context(authority, kind):
    """A client of TLS 1.2 that knows only this type of key."""
    context = authority.client_context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"ECDHE-{kind.upper()}-AES128-GCM-SHA256")
    return context


def test_ecdsa_and_rsa_side_by_side(edge, origin, authority):
    tls = {"certificate": None}
    for kind, field in (("ecdsa", tls), ("rsa", {})):
        certificate, key = authority.issue(HOST, key=kind, stem=f"kind-{kind}")
        field.update({"certificate": str(certificate), "key": str(key)})
        if kind == "rsa":
            tls["more"] = [field]
    scene = Scene(edge, origin(), {"tls": tls}, listen=LISTEN)
    scene.server.on("/who", answer(200, b"me"))
    for kind in ("ecdsa", "rsa"):
        response = scene.get("/who")
        with scene.connect_to(scene.edge.tls_address, tls=kinds_context(authority, kind)) as viewer:
            viewer.request("/who")
            response = viewer.response()
            assert kind.upper() in viewer.socket.cipher()[0]
            assert bytes(response.body) == b"me"
    with viewer_of(scene, authority) as viewer:  # who takes both gets the cheaper one
        assert viewer.socket.version() == "TLSv1.3"
    assert sorted(one["kind"] for one in scene.stats()["tls"]["certificates"]) == ["ecdsa", "rsa"]


def test_two_of_one_type_are_refused(edge, authority, tmp_path):
    pairs = [authority.issue(HOST, stem=f"twin-{number}") for number in range(2)]
    fields = [{"certificate": str(certificate), "key": str(key)} for certificate, key in pairs]
    one = edge(sites=[{"name": "demo", "hosts": [HOST], "origin": "http://127.0.0.1:9",
                       "tls": {**fields[0], "more": [fields[1]]}}], listen=LISTEN, start=False)
    with pytest.raises(AssertionError, match=r"twin-1\.pem: there is one with a key of the same type"):
        one.start()


# --- stapling ------------------------------------------------------------------------------------------------------


def stapled(address, authority, host=HOST):
    """What openssl's client says of the stapled response."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-servername", host, "-status",
                           "-CAfile", authority.ca_path], input=b"", capture_output=True, check=False)
    return "good" if b"Cert Status: good" in done.stdout else \
        "none" if b"OCSP response: no response sent" in done.stdout else done.stdout.decode()


def ocsp_scene(edge, origin, authority, path):
    certificate, key = authority.issue(HOST, stem="stapled")
    tls = {"certificate": str(authority.with_chain(certificate)), "key": str(key), "ocsp_file": str(path)}
    return certificate, lambda: Scene(edge, origin(), {"tls": tls}, listen=LISTEN, tls={"reload_interval": "10ms"})


def test_ocsp_is_stapled_and_exchanged(edge, origin, authority, tmp_path):
    certificate, make = ocsp_scene(edge, origin, authority, tmp_path / "ocsp.der")
    scene = make()  # the file is not there yet
    assert stapled(scene.edge.tls_address, authority) == "none"
    authority.ocsp_response(certificate, tmp_path / "ocsp.der")
    until(lambda: "ocsp_until" in scene.stats()["tls"]["certificates"][0], lambda: "the response to be read")
    assert stapled(scene.edge.tls_address, authority) == "good"
    document = scene.stats()["tls"]
    assert (document["ocsp_stapled"], document["ocsp_not_stapled"]) == (1, 1)


@pytest.mark.parametrize("fault, reason", [("other", "it is about another certificate"), ("garbage", "")])
def test_ocsp_that_cannot_be_used_is_not_stapled(edge, origin, authority, tmp_path, fault, reason):
    path = tmp_path / "ocsp.der"
    _, make = ocsp_scene(edge, origin, authority, path)
    if fault == "other":
        authority.ocsp_response(authority.issue("other.test")[0], path)
    else:
        path.write_bytes(b"garbage")
    scene = make()
    assert stapled(scene.edge.tls_address, authority) == "none"
    assert "ocsp_until" not in scene.stats()["tls"]["certificates"][0]
    assert f"the OCSP response {path} is not stapled: {reason}" in scene.edge.log()


def hold_until(path, until_s):
    """Has the response hold for a day, up to this time. Its signature is then wrong, which is the client's to see."""
    times = {after: datetime.fromtimestamp(until_s - before, timezone.utc).strftime("%Y%m%d%H%M%SZ").encode()
             for after, before in ((False, 86400), (True, 0))}
    now = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%SZ").encode()
    path.write_bytes(re.sub(rb"(?<=\x18\x0f)\d{14}Z", lambda found: times[found[0] > now], path.read_bytes()))


def test_expired_ocsp_is_not_stapled(edge, origin, authority, tmp_path):
    path = tmp_path / "ocsp.der"
    certificate, make = ocsp_scene(edge, origin, authority, path)
    authority.ocsp_response(certificate, path)
    hold_until(path, time.time() - 60)
    scene = make()
    assert stapled(scene.edge.tls_address, authority) == "none"
    assert f"the OCSP response {path} is not stapled: it has expired" in scene.edge.log()
    document = scene.stats()["tls"]
    assert (document["ocsp_stapled"], document["ocsp_not_stapled"]) == (0, 1)
    assert "ocsp_until" not in document["certificates"][0]
    authority.ocsp_response(certificate, path)  # a fresh one is taken as soon as it is there
    until(lambda: stapled(scene.edge.tls_address, authority) == "good", lambda: "the fresh response to be stapled")


def test_ocsp_that_expires_in_use_is_stapled_no_more(edge, origin, authority, tmp_path):
    path = tmp_path / "ocsp.der"
    certificate, make = ocsp_scene(edge, origin, authority, path)
    authority.ocsp_response(certificate, path)
    hold_until(path, time.time() + 4)
    scene = make()
    until(lambda: stapled(scene.edge.tls_address, authority) == "none", lambda: "the response to expire")
    assert scene.stats()["tls"]["ocsp_not_stapled"] == 1


# --- the name in the handshake and the name in the request ---------------------------------------------------------


@pytest.fixture(name="sites")
def _sites(edge, origin, authority):
    """One certificate for all names, of two sites."""
    certificate, key = authority.issue("one.test", "www.one.test", "two.test", "*.two.test", stem="both")
    sites = []
    for name, hosts in (("one", ["one.test", "www.one.test"]), ("two", ["two.test", "*.two.test"])):
        server = origin()
        server.on("/who", answer(200, name.encode()))
        sites.append({"name": name, "hosts": hosts, "origin": server.url,
                      "tls": {"certificate": str(certificate), "key": str(key)}})
    return edge(sites=sites, listen=LISTEN)


@pytest.mark.parametrize("server_name, host, expected", [
    ("one.test", "one.test", (200, b"one")),
    ("one.test", "ONE.test.", (200, b"one")),
    ("one.test", "www.one.test", (200, b"one")),  # another name of the same site
    ("a.two.test", "b.two.test", (200, b"two")),
    ("one.test", "two.test", (421, b"misdirected_request\n")),
    ("a.two.test", "one.test", (421, b"misdirected_request\n")),
    ("one.test", "three.test", (421, b"unknown_host\n")),
])
def test_host_beside_server_name(sites, authority, server_name, host, expected):
    context = authority.client_context()
    context.check_hostname = False
    with Connection(sites.tls_address, host=host, tls=context, server_name=server_name) as viewer:
        for _ in range(2):  # the connection stays
            viewer.request("/who")
            response = viewer.response()
            assert (response.status, bytes(response.body)) == expected
    with Connection(sites.tls_address, tls=context, server_name=server_name) as viewer:
        viewer.request(f"https://{host}/who", {"Host": server_name})
        response = viewer.response()
        assert (response.status, bytes(response.body)) == expected
    refused = counters.wait_for(sites, "requests", 3)["refusals"]
    assert refused["misdirected_request"] == (3 if b"misdirected" in expected[1] else 0)


def test_authority_beside_server_name_in_http2(sites, authority):
    with H2(sites.tls_address, tls=authority.client_context(), host="one.test") as viewer:
        for host, expected in (("one.test", (200, b"one")), ("two.test", (421, b"misdirected_request\n")),
                               ("www.one.test", (200, b"one"))):
            viewer.host = host
            response = viewer.get("/who")
            assert (int(response.status), bytes(response.body)) == expected
    assert counters.wait_for(sites, "requests", 3)["refusals"]["misdirected_request"] == 1
