# SPDX-License-Identifier: Apache-2.0
"""Viewers who take little or nothing. They lose their connections, never the arena its space: fills go on while hundreds
stand still on regions that were reclaimed, and who is only slow gets every byte as it was.
"""
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from harness.client import Broken
from harness.deadline import until
from harness.h2 import ENHANCE_YOUR_CALM, H2, INITIAL_WINDOW_SIZE
from harness.origin import head, send, wait
from harness.pages import is_on_disk
from harness.scene import HOST, KIB, MIB, Scene, noise

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
LONG = {"Cache-Control": "max-age=10000"}
ARENA = {"size": "128MiB", "region_size": "1MiB", "slice_size": "128KiB"}
BIG = noise(96 * MIB, 7)


@pytest.fixture(name="secure_scene")
def _secure_scene(edge, origin, authority):
    """secure_scene(**fields): a scene with TLS beside plain."""
    def make(**fields):
        chain, key = authority.issue(HOST)
        return Scene(edge, origin(), site={"tls": {"certificate": str(chain), "key": str(key)}}, listen=LISTEN, **fields)
    return make


@pytest.fixture(name="folder", params=["disk", "memory"])
def _folder(request, tmp_path):
    """Where the arena is: on a disk, or on tmpfs."""
    if request.param == "disk":
        if not is_on_disk(tmp_path):
            pytest.skip("the test's folder is in memory")
        yield tmp_path / "arena"
        return
    if not Path("/dev/shm").is_dir() or is_on_disk("/dev/shm"):
        pytest.skip("there is no /dev/shm")
    path = tempfile.mkdtemp(dir="/dev/shm")
    yield Path(path) / "arena"
    shutil.rmtree(path)


class SlowReader(threading.Thread):
    """Takes a little all the time, from its place in the big file to the end of its part."""

    def __init__(self, viewer, first, size):
        super().__init__(daemon=True)
        self.viewer, self.first, self.size = viewer, first, size
        self.is_hurried = threading.Event()
        self.error = None

    def run(self):
        try:
            self.viewer.request("/big.ts", {"Range": f"bytes={self.first}-{self.first + self.size - 1}"})
            response = self.viewer.head()
            while not response.done and not self.is_hurried.wait(0.01):
                response = self.viewer.read(response.body_size + 8 * KIB)
            self.viewer.widen()
            response = self.viewer.response()
            assert bytes(response.body) == BIG[self.first:self.first + self.size], "other bytes"
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_stalled_readers_do_not_stop_fills(secure_scene, authority, folder, secure):
    """Two hundred stand still, eight are slow, and the arena turns over three times."""
    scene = secure_scene(arena={**ARENA, "path": str(folder)}, limits={"transient_bytes_max": "8MiB"})
    scene.server.file("/big.ts", BIG, LONG)
    assert bytes(scene.get("/big.ts").body) == BIG
    tls = {"tls": authority.client_context()} if secure else {}
    address = scene.edge.tls_address if secure else scene.edge.address

    def connect(receive_buffer):
        return scene.connect_to(address, receive_buffer=receive_buffer, **tls)
    stalled = [connect(4 * KIB) for _ in range(200)]
    for number, viewer in enumerate(stalled):
        viewer.request("/big.ts", {"Range": f"bytes={number * 400 * KIB}-"})
        viewer.read(1)
    slow = [SlowReader(connect(128 * KIB), number * 11 * MIB, 8 * MIB) for number in range(8)]
    for reader in slow:
        reader.start()
    for number in range(96):
        data = noise(4 * MIB, 100 + number)
        scene.server.file(f"/{number}.ts", data, LONG)
        response = scene.get(f"/{number}.ts")
        assert (response.status, bytes(response.body)) == (200, data)
    scene.wait_for("refusals.slow_reader", lambda count: count > 0)
    until(lambda: bytes(scene.get("/95.ts").body) == noise(4 * MIB, 195), "the last one")
    for reader in slow:
        reader.is_hurried.set()
    for reader in slow:
        reader.join()
        assert reader.error is None, reader.error
    document = scene.stats()
    assert document["arena"]["regions_reclaimed"] > 3 * 100
    assert document["flights"]["failed"] == 0
    assert set(document["statuses"]) == {"200", "206"}
    record = next(record for record in scene.edge.access_log() if record.get("reason") == "slow_reader")
    assert (record["status"], record["cause"]) == (206, "hit")


# --- one that trickles ------------------------------------------------------------------------------------------------


TRICKLE = {"send_stall_timeout": "10s", "send_rate_min": "256KiB", "send_rate_window": "500ms"}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_who_trickles_is_cut_off(secure_scene, authority, secure):
    """He takes something all the time, so he never stalls; on the average it is next to nothing."""
    scene = secure_scene(limits={**TRICKLE, "send_stall_timeout": "800ms"})
    scene.server.file("/big.ts", BIG, LONG)
    tls = {"tls": authority.client_context()} if secure else {}
    address = scene.edge.tls_address if secure else scene.edge.address
    with scene.connect_to(address, receive_buffer=16 * KIB, **tls) as viewer:
        viewer.request("/big.ts")
        response = viewer.head()
        with pytest.raises(Broken):
            while not response.done:
                threading.Event().wait(0.05)  # his pace: some 40 kB a second
                response = viewer.read(response.body_size + 2 * KIB)
    record = scene.records("/big.ts")[0]
    assert (record["status"], record["reason"]) == (200, "send_too_slow")
    assert scene.stats()["refusals"]["send_too_slow"] == 1


def test_who_waits_for_the_origin_is_not_slow(secure_scene):
    """It is the origin that takes its time: the viewer has taken all there is."""
    scene = secure_scene(limits={"send_stall_timeout": "100ms", "send_rate_min": "1GiB", "send_rate_window": "50ms"})
    gate, data = threading.Event(), BIG[:64 * KIB]
    scene.server.on("/late.ts", [head(200, {**LONG, "Content-Length": len(data)}), send(data[:1000]), wait(gate), send(data[1000:])])
    with scene.connect() as viewer:
        viewer.request("/late.ts")
        viewer.read(1000)
        threading.Event().wait(0.5)
        gate.set()
        assert bytes(viewer.response().body) == data
    assert scene.stats()["refusals"]["send_too_slow"] == 0


def test_a_stream_whose_window_trickles(secure_scene, authority):
    """Only this stream is reset; another on its connection is served meanwhile."""
    scene = secure_scene(limits=TRICKLE)
    scene.server.file("/big.ts", BIG, LONG)
    scene.server.file("/small.ts", b"small", LONG)
    with H2(scene.edge.tls_address, tls=authority.client_context(), initial=[(INITIAL_WINDOW_SIZE, 100)],
            auto_window=False) as viewer:
        stream = viewer.ask("/big.ts")
        viewer.until(lambda: len(viewer.response_of(stream).body) >= 100)
        for turn in range(10_000):
            if viewer.response_of(stream).error is not None:
                break
            viewer.widen(stream, 10)
            expected = 100 + 10 * (turn + 1)
            viewer.until(lambda: viewer.response_of(stream).error is not None
                         or len(viewer.response_of(stream).body) >= expected)  # pylint: disable=cell-var-from-loop
            threading.Event().wait(0.01)
        assert viewer.response_of(stream).error == ENHANCE_YOUR_CALM
        assert bytes(viewer.get("/small.ts").body) == b"small"
    assert scene.records("/big.ts")[0]["reason"] == "send_too_slow"
    assert scene.stats()["refusals"]["send_too_slow"] == 1
