# SPDX-License-Identifier: Apache-2.0
"""What is kept when room is needed: guaranteed parts of sites, bounds, and readers of what moves meanwhile."""
import itertools
import tempfile
from pathlib import Path

import pytest

from harness import counters
from harness.deadline import DEADLINE_S, Deadline
from harness.library import Library
from harness.scene import HOST, KIB, MIB, Scene, cache_status

OTHER = "other.test"
SLICE = 256 * KIB
ARENA = {"size": "32MiB", "region_size": "1MiB", "slice_size": "256KiB"}
SIZES = [200, 64 * KIB, 200 * KIB, SLICE, 900 * KIB]


class TwoSites(Scene):
    """The site "demo", and another one of the same origin."""

    def __init__(self, edge, server, demo=(), other=(), **edge_fields):  # pylint: disable=super-init-not-called
        self.server = server
        self.edge = edge(sites=[{"name": "demo", "hosts": [HOST], "origin": server.url, **dict(demo)},
                                {"name": "other", "hosts": [OTHER], "origin": server.url, **dict(other)}],
                         **edge_fields)

    def arena(self):
        return self.stats()["arena"]

    def flood(self, library, regions):
        """The other site fills and fills, until so many more regions were reclaimed."""
        deadline, wanted = Deadline(2 * DEADLINE_S), self.arena()["regions_reclaimed"] + regions
        paths = itertools.cycle(library.paths)
        while self.arena()["regions_reclaimed"] < wanted:
            deadline.check(f"{regions} regions to be reclaimed")
            with self.connect(host=OTHER) as viewer:
                for path in itertools.islice(paths, 3):  # less than a region
                    viewer.request(path)
                    library.check(path, viewer.response())
            self.wait_for("arena.regions_spare", lambda count: count >= 2)


def wide(server, prefix, total_size):
    """Objects of other paths than the origin's other ones, more than fit in."""
    library, number = Library(server, [200 * KIB], f"{prefix}0"), 0
    while sum(map(len, library.bodies.values())) < total_size:
        number += 1
        library.bodies.update(Library(server, [200 * KIB], f"{prefix}{number}").bodies)
    return library


@pytest.fixture(name="folder", params=["disk", "memory"])
def _folder(request):
    """For the arena: where files are on a disk, and where memory is all there is of them."""
    if request.param == "memory" and not Path("/dev/shm").is_dir():
        pytest.skip("no /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if request.param == "memory" else None) as name:
        yield name


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_guaranteed_objects_move_under_their_readers(edge, origin, authority, folder, encrypted):
    """The arena turns over several times with another site's objects. What this one is guaranteed is copied from region to
    region meanwhile: who began to read it before gets all of it as it was, and it is hit afterwards.
    """
    server = origin()
    ours, others = Library(server, SIZES, "/ours"), wide(server, "/other", 48 * MIB)
    certificate, key = authority.issue(HOST)
    scene = TwoSites(edge, server, {"cache": {"guaranteed": "40%"},
                                    "tls": {"certificate": str(certificate), "key": str(key)}},
                     listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}],
                     arena={**ARENA, "path": f"{folder}/arena"})
    address = scene.edge.tls_address if encrypted else scene.edge.address
    tls = authority.client_context() if encrypted else None
    for path, other in zip(ours.paths, others.paths):  # not all in regions of their own
        ours.check(path, scene.get(path))
        others.check(other, scene.get(other, host=OTHER))
    readers = []
    for path in ours.paths:
        viewer = scene.connect_to(address, tls=tls, receive_buffer=4096)
        viewer.request(path)
        viewer.read(1)
        readers.append((path, viewer))
    scene.flood(others, 3 * 32)
    for path, viewer in readers:
        viewer.widen()
        ours.check(path, viewer.response())
        viewer.close()
    assert scene.arena()["regions_hurried"] == 0
    for path in ours.paths:
        response = scene.get(path)
        ours.check(path, response)
        assert "hit" in cache_status(response), path
    arena = scene.wait_for("arena.regions_held", 0)["arena"]
    assert arena["rewritten_bytes"] > MIB
    assert arena["damaged_objects"] == arena["io_errors"] == 0
    stored = scene.stats()["sites"]["demo"]["stored_bytes"]
    assert sum(map(len, ours.bodies.values())) <= stored < 4 * MIB


def test_a_site_beyond_its_bound_is_passed_on(edge, origin):
    server = origin()
    ours, others = wide(server, "/ours", 12 * MIB), wide(server, "/other", 48 * MIB)
    scene = TwoSites(edge, server, {"cache": {"max": "10%"}}, arena=ARENA)
    for path in ours.paths:  # there is room for all, still
        assert cache_status(scene.get(path)).get("stored") is True
    scene.flood(others, 8)
    refused = []
    for path in ours.paths:
        response = scene.get(path)
        ours.check(path, response)
        if cache_status(response).get("stored") == "?0":
            refused.append(path)
    assert refused
    arena = scene.arena()
    assert arena["refused_objects"] >= len(refused)
    assert "hit" not in cache_status(scene.get(refused[-1]))
    scene.flood(others, 2 * 32)
    assert scene.stats()["sites"]["demo"]["stored_bytes"] <= 4 * MIB
    assert counters.value(scene.stats(), "flights.not_kept") >= len(refused)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_sites_in_another_order(edge, origin, end):
    """Each site keeps what is its own, bytes and guaranteed part, wherever it stands in the configuration of the next start;
    of one that has left it nothing is kept.
    """
    server = origin()
    ours, others = Library(server, SIZES, "/ours"), wide(server, "/other", 48 * MIB)
    scene = TwoSites(edge, server, {"cache": {"guaranteed": "40%"}}, arena=ARENA)
    for path, other in zip(ours.paths, others.paths):
        ours.check(path, scene.get(path))
        others.check(other, scene.get(other, host=OTHER))
    stored = scene.wait_for("flights.active", 0)["sites"]

    def restart(sites):
        getattr(scene.edge, end)()
        scene.edge.config["sites"] = sites
        scene.edge.start()

    demo, other = scene.edge.config["sites"]
    restart([other, demo])
    for name in ("demo", "other"):
        scene.wait_for(f"sites.{name}.stored_bytes", stored[name]["stored_bytes"])
    scene.flood(others, 2 * 32)
    for path in ours.paths:
        response = scene.get(path)
        ours.check(path, response)
        assert "hit" in cache_status(response), path
    now = scene.wait_for("flights.active", 0)["sites"]
    restart([other])
    scene.wait_for("sites.other.stored_bytes", now["other"]["stored_bytes"])
    assert scene.stats()["no_site"]["stored_bytes"] == now["demo"]["stored_bytes"]
    scene.flood(others, 2 * 32)
    scene.wait_for("no_site.stored_bytes", 0)


@pytest.mark.parametrize("cache, message", [
    ({"guaranteed": "50%", "max": "40%"}, "is more than max"),
    ({"guaranteed": "101%"}, "is out of range"),
    ({"guaranteed": "33MiB"}, "is more than other sites leave"),
])
def test_parts_that_do_not_fit(edge, origin, cache, message):
    with pytest.raises(Exception) as error:
        TwoSites(edge, origin(), {"cache": cache}, arena=ARENA)
    assert message in str(error.value)
