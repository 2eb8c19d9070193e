# SPDX-License-Identifier: Apache-2.0
"""Hits on what is not in memory: only who wants it waits, for a disk that answers when it is told to, or not at all. One
worker, so that all share a loop; the pages are really gone, and the disk's threads stand before a gate.
"""
import socket

import pytest

from harness import counters
from harness.client import Broken
from harness.deadline import until
from harness.h2 import H2
from harness.pages import evict, is_on_disk
from harness.scene import HOST, KIB, MIB, Scene, noise

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
LONG = {"Cache-Control": "max-age=10000"}
HOT, COLD, LARGE = noise(700 * KIB, 1), noise(900 * KIB, 2), noise(3 * MIB, 3)
FILES = {"/hot.ts": HOT, "/gap.ts": noise(200 * KIB, 5), "/cold.ts": COLD,  # neighbours share what is brought
         "/large.ts": LARGE, "/small.m3u8": noise(1400, 4)}


class Disk:
    """An edge whose arena has just come back from a restart of the machine, and the gate before its disk."""

    def __init__(self, edge, origin, authority, tmp_path, **fields):
        if not is_on_disk(tmp_path):
            pytest.skip("the test's folder is in memory")
        self.gate = tmp_path / "gates" / "store.read"
        self.gate.parent.mkdir()
        self.authority = authority
        chain, key = authority.issue(HOST)
        self.scene = Scene(edge, origin(), site={"tls": {"certificate": str(chain), "key": str(key)}}, listen=LISTEN, workers=1,
                           environment={"SHOREBREAK_FAULT_GATES": str(self.gate.parent)}, **fields)
        self.edge, self.server = self.scene.edge, self.scene.server
        for path, data in FILES.items():
            self.server.file(path, data, LONG)
            assert bytes(self.scene.get(path).body) == data
        self.scene.wait_for("flights.active", 0)
        self.forget()
        self.asked = self.server.count()

    def forget(self):
        counters.wait_for_rest(self.edge)
        self.edge.stop()
        evict(self.edge.folder / "arena")
        self.edge.start()

    def shut(self):
        self.gate.touch()

    def open(self):
        self.gate.unlink()

    def get(self, path):
        response = self.scene.get(path)
        return response.status, bytes(response.body)

    def waits_for(self, count):
        return self.scene.wait_for("arena.cold_reads_waiting", count)

    def connect(self, version):
        if version == "h2":
            return H2(self.edge.tls_address, tls=self.authority.client_context())
        if version == "tls":
            return self.scene.connect_to(self.edge.tls_address, tls=self.authority.client_context())
        return self.scene.connect()

    def never_asked_again(self):
        return self.server.count() == self.asked


@pytest.fixture(name="disk")
def _disk(edge, origin, authority, tmp_path):
    return lambda **fields: Disk(edge, origin, authority, tmp_path, **fields)


def begin(viewer, path):
    """Sends a request; what it returns waits for the response's body."""
    if isinstance(viewer, H2):
        stream = viewer.ask(path)
        return lambda: bytes(viewer.response(stream).body)
    viewer.request(path)
    return lambda: bytes(viewer.response().body)


def test_everything_is_there_after_a_restart(disk):
    """All pages are gone, and come by themselves."""
    place = disk()
    for path, data in FILES.items():
        assert place.get(path) == (200, data)
    assert place.never_asked_again()
    document = place.scene.stats()
    assert document["arena"]["cold_reads"] > 0
    assert document["arena"]["cold_read_bytes"] >= len(COLD) + len(LARGE)
    reads = document["arena"]["cold_reads"]
    for path, data in FILES.items():
        assert place.get(path) == (200, data)
    assert place.scene.stats()["arena"]["cold_reads"] == reads


@pytest.mark.parametrize("version", ["plain", "tls", "h2"])
def test_only_who_wants_it_waits(disk, version):
    """Cold ones wait as long as the disk does, hot ones are served meanwhile, then the cold ones get the right bytes."""
    place = disk()
    assert place.get("/hot.ts") == (200, HOT)
    assert place.get("/small.m3u8") == (200, FILES["/small.m3u8"])
    place.shut()
    with place.connect(version) as one, place.connect(version) as other, place.connect(version) as third:
        ends = [begin(one, "/cold.ts"), begin(other, "/large.ts"), begin(third, "/cold.ts")]
        place.waits_for(3)
        for _ in range(20):
            assert place.get("/hot.ts") == (200, HOT)
            assert place.get("/small.m3u8") == (200, FILES["/small.m3u8"])
        place.waits_for(3)
        place.open()
        assert [end() for end in ends] == [COLD, LARGE, COLD]
    assert place.never_asked_again()
    place.waits_for(0)


@pytest.mark.parametrize("version", ["plain", "h2"])
def test_a_disk_that_never_answers(disk, version):
    """504 with a word at the deadline; hot ones go on; when the disk is back so is the object."""
    place = disk(limits={"disk_timeout": "300ms"})
    assert place.get("/hot.ts") == (200, HOT)
    place.shut()
    with place.connect(version) as viewer:
        if version == "h2":
            response = viewer.get("/cold.ts")
        else:
            viewer.request("/cold.ts")
            response = viewer.response()
        assert (response.status, bytes(response.body)) == (504, b"disk_timeout\n")
    assert place.get("/hot.ts") == (200, HOT)
    record = place.scene.records("/cold.ts")[-1]
    assert (record["status"], record["cause"], record["reason"]) == (504, "error", "disk_timeout")
    place.open()
    assert place.get("/cold.ts") == (200, COLD)
    assert place.never_asked_again()


@pytest.mark.parametrize("version", ["plain", "tls", "h2"])
def test_a_disk_that_stops_in_the_middle(disk, version):
    """The head and the first bytes are there, the rest never comes: the response breaks, and never looks whole."""
    place = disk(limits={"disk_timeout": "300ms"})
    assert place.get("/hot.ts") == (200, HOT)
    assert bytes(place.scene.get("/large.ts", {"Range": "bytes=0-99"}).body) == LARGE[:100]
    place.shut()
    with place.connect(version) as viewer:
        if version == "h2":
            response = viewer.get("/large.ts")
            assert response.status == 200 and response.error is not None and not response.ended
            received = bytes(response.body)
        else:
            viewer.request("/large.ts")
            with pytest.raises(Broken) as broken:
                viewer.response()
            received = bytes(broken.value.response.body)
    assert 0 < len(received) < len(LARGE) and LARGE.startswith(received)
    assert place.get("/hot.ts") == (200, HOT)
    record = place.scene.records("/large.ts", 3)[-1]
    assert (record["status"], record["reason"]) == (200, "disk_timeout")
    place.open()
    assert place.get("/large.ts") == (200, LARGE)
    assert place.never_asked_again()


def test_a_viewer_who_leaves_while_he_waits(disk):
    place = disk()
    place.shut()
    for _ in range(3):
        with place.scene.connect() as viewer:
            viewer.request("/cold.ts")
            place.waits_for(lambda count: count > 0)
            viewer.reset()
        place.scene.wait_for("connections.active", lambda count: count <= 1)
    place.open()
    place.waits_for(0)
    assert place.get("/cold.ts") == (200, COLD)


def test_an_edge_that_ends_while_viewers_wait(disk):
    """It ends in order, and what the disk says afterwards meets nobody."""
    place = disk()
    place.shut()
    viewers = [place.scene.connect() for _ in range(12)]  # more than the disk has threads
    for viewer in viewers:
        viewer.request("/cold.ts")
    place.waits_for(12)
    for viewer in viewers[6:]:
        viewer.reset()
    place.scene.wait_for("arena.cold_reads_waiting", lambda count: count < 12)
    place.edge.process.terminate()
    until(lambda: not is_listening(place.edge.address), "the listener to close")
    place.open()
    for viewer in viewers[:6]:
        assert bytes(viewer.response().body) == COLD
    place.edge.wait()


def is_listening(address):
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True
