# SPDX-License-Identifier: Apache-2.0
"""Session tickets: resumed at whichever worker, at another edge that has the same secret, after a rotation and not
after two, after the secret was exchanged.
"""
import signal
import ssl

import pytest

from harness import counters
from harness.client import Connection
from harness.deadline import until
from harness.origin import answer
from harness.scene import HOST

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
pytestmark = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


class Visitor:
    """Comes again and again, with the session of the time before."""

    def __init__(self, authority, version):
        self.context, self.session = authority.client_context(version), None

    def visit(self, edge):
        """Whether the session was resumed; the next visit tries with the new one."""
        with Connection(edge.tls_address, host=HOST) as viewer:
            viewer.socket = self.context.wrap_socket(viewer.socket, server_hostname=HOST, session=self.session)
            viewer.request("/who")
            assert viewer.response().status == 200  # with TLS 1.3 the ticket comes with it
            self.session = viewer.socket.session
            return viewer.socket.session_reused


@pytest.fixture(name="make")
def _make(edge, origin, authority):
    certificate, key = authority.issue(HOST, stem="tickets")
    server = origin()
    server.on("/who", answer(200, b"me", {"Cache-Control": "max-age=1000"}))

    def make(tls=None, **fields):
        return edge(sites=[{"name": "demo", "hosts": [HOST], "origin": server.url,
                            "tls": {"certificate": str(certificate), "key": str(key)}}], listen=LISTEN, tls=tls, **fields)
    return make


def test_at_every_worker(make, authority, version):
    edge, visitor = make(workers=4), Visitor(authority, version)
    assert not visitor.visit(edge)
    seen, count = set(), 1
    while len(seen) < 4:  # which worker it is, is the kernel's choice
        before = counters.stats(edge)["connections"]["requests_by_worker"]
        assert visitor.visit(edge)
        count += 1
        after = counters.wait_for(edge, "connections.requests", count)["connections"]["requests_by_worker"]
        seen |= {number for number in range(4) if after[number] > before[number]}
    document = counters.stats(edge)["tls"]
    assert (document["handshakes_full"], document["handshakes_resumed"]) == (1, count - 1)


def test_at_another_edge(make, authority, version, tmp_path):
    (tmp_path / "one").write_bytes(b"a secret of at least 32 bytes, or so\n")
    (tmp_path / "other").write_bytes(b"another secret of at least 32 bytes\n")
    (tmp_path / "same").write_bytes(b"a secret of at least 32 bytes, or so")
    here, there = make({"ticket_keys": [str(tmp_path / "one")]}), make({"ticket_keys": [str(tmp_path / "same")]})
    elsewhere = make({"ticket_keys": [str(tmp_path / "other"), str(tmp_path / "one")]})
    stranger = make()
    visitor = Visitor(authority, version)
    assert not visitor.visit(here)
    assert visitor.visit(there)
    assert visitor.visit(elsewhere)  # which opens with all of its secrets, and seals with its first
    assert not visitor.visit(here)
    assert not visitor.visit(stranger)


def epoch_of(edge):
    return counters.stats(edge)["tls"]["ticket_epoch"]


def test_after_a_rotation_and_not_after_two(make, authority, version):
    edge, visitor = make({"ticket_rotation": "2s"}), Visitor(authority, version)

    def resumed_after(rotations):
        """Whether a ticket of some epoch is good so many epochs later; None when time ran away meanwhile."""
        visitor.session = None
        sealed = epoch_of(edge)
        visitor.visit(edge)
        if epoch_of(edge) != sealed:
            return None
        until(lambda: epoch_of(edge) >= sealed + rotations, lambda: "the rotation")
        resumed = visitor.visit(edge)
        return resumed if rotations > 1 or epoch_of(edge) == sealed + rotations else None

    def shown(rotations, expected):
        outcome = resumed_after(rotations)
        return outcome is not None and outcome == expected
    until(lambda: shown(1, True), lambda: "a ticket to be good after one rotation")
    assert not until(lambda: [] if (outcome := resumed_after(2)) is None else [outcome], lambda: "a visit in time")[0]


def test_secret_exchanged(make, authority, version, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"1" * 32)
    second.write_bytes(b"2" * 32)
    edge = make({"ticket_keys": [str(first), str(second)], "reload_interval": "1d"})
    visitor = Visitor(authority, version)
    assert not visitor.visit(edge)
    first.write_bytes(b"too short")
    edge.process.send_signal(signal.SIGHUP)
    counters.wait_for(edge, "tls.reload_failures", 1)
    assert visitor.visit(edge)
    second.write_bytes(b"1" * 32)  # the one in use moves to the second place
    first.write_bytes(b"3" * 32)
    edge.process.send_signal(signal.SIGHUP)
    counters.wait_for(edge, "tls.reloads", 3)  # the certificate both times, and the secrets
    assert visitor.visit(edge)
    second.write_bytes(b"4" * 32)
    edge.process.send_signal(signal.SIGHUP)
    counters.wait_for(edge, "tls.reloads", 5)
    assert visitor.visit(edge)  # it was given a new one before
