# SPDX-License-Identifier: Apache-2.0
"""The arena under a real edge: what is kept survives, what is reclaimed harms no reader, every byte is compared."""
import hashlib
import os
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import counters
from harness.client import Broken
from harness.deadline import DEADLINE_S, Deadline, until
from harness.herd import Herd
from harness.library import Library
from harness.origin import answer, head, send, wait
from harness.processes import run_to_end
from harness.scene import HOST, KIB, MIB, Scene, cache_status, noise

SLICE = 256 * KIB
REGION = 1 * MIB
SMALL_ARENA = {"size": "8MiB", "region_size": "1MiB", "slice_size": "256KiB"}
SIZES = [0, 1, 200, 4096, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, SLICE - 1, SLICE, SLICE + 1, REGION, 3 * MIB + 17]


def is_hit(response):
    return "hit" in cache_status(response)


# --- restarts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_all_is_there_after_a_restart(edge, origin, end):
    server = origin()
    library = Library(server, SIZES)
    scene = Scene(edge, server, arena={"region_size": "1MiB", "slice_size": "256KiB"})
    for path in library.paths:
        library.check(path, scene.get(path))
    scene.wait_for("flights.active", 0)  # all that was received is sealed
    getattr(scene.edge, end)()
    scene.edge.start()
    for path in library.paths:
        response = scene.get(path)
        library.check(path, response)
        assert is_hit(response), f"{path}: {response.fields}"
    path = f"/o/{3 * MIB + 17}.ts"
    part = scene.get(path, {"Range": f"bytes={SLICE - 5}-{2 * SLICE + 4}"})  # out of three slices
    assert (part.status, bytes(part.body)) == (206, library.bodies[path][SLICE - 5:2 * SLICE + 5])
    assert server.count() == len(library.paths)


def test_killed_in_the_middle_of_a_fill(edge, origin):
    server, gate, data = origin(), threading.Event(), noise(200 * KIB)
    fields = {"Cache-Control": "max-age=100"}
    half = [head(200, {"Content-Length": len(data), **fields}), send(data[:100 * KIB]), wait(gate)]
    server.on_each("/seg.ts", [half, answer(200, data, fields)])
    scene = Scene(edge, server)
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(100 * KIB)
        scene.edge.kill()
        with pytest.raises(Broken):
            viewer.response()
    gate.set()
    scene.edge.start()
    assert bytes(scene.get("/seg.ts").body) == data  # half of it is nothing
    assert server.count("/seg.ts") == 2
    assert is_hit(scene.get("/seg.ts"))


# --- turning over --------------------------------------------------------------------------------------------


def load(scene, library, seed, count, connections=4):
    """Asks for `count` objects in an order that the seed decides, over some connections at once; compares all."""
    chosen = random.Random(seed).choices(library.paths, k=count)

    def one_viewer(paths):
        with scene.connect() as viewer:
            for path in paths:
                viewer.request(path)
                library.check(path, viewer.response())
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(one_viewer, [chosen[number::connections] for number in range(connections)]))


def wide_library(server, total_size):
    """More than fits in."""
    library, number = Library(server, SIZES, "/0"), 0
    while sum(map(len, library.bodies.values())) < total_size:
        number += 1
        library.bodies.update(Library(server, SIZES, f"/{number}").bodies)
    return library


def load_until(scene, library, path, wanted):
    """Loads until the counter at path has reached the number."""
    deadline, seed = Deadline(2 * DEADLINE_S), 0
    while counters.value(scene.stats(), path) < wanted:
        deadline.check(f"{path} to reach {wanted}")
        load(scene, library, seed, 40)
        seed += 1


def turn_over(scene, library, times):
    """Loads until as many regions have been reclaimed as the arena has, so often."""
    arena = scene.stats()["arena"]
    regions = arena["size_bytes"] // REGION
    load_until(scene, library, "arena.regions_reclaimed", arena["regions_reclaimed"] + times * regions)


def test_many_sizes_while_the_arena_turns_over(edge, origin):
    server = origin()
    library = wide_library(server, 40 * MIB)
    scene = Scene(edge, server, arena=SMALL_ARENA)
    turn_over(scene, library, 8)
    arena = scene.stats()["arena"]
    assert arena["used_bytes"] <= arena["size_bytes"] == 8 * MIB
    assert arena["io_errors"] == 0


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_slow_readers_while_the_arena_turns_over(edge, origin, authority, encrypted):
    """Readers of hits, of a fill, and of what is in slices stand still after their first bytes until nothing of what
    was in the arena then is left. What they get afterwards is whole all the same.
    """
    server = origin()
    slow, busy = Library(server, [200 * KIB, SLICE, 900 * KIB, 5 * MIB], "/slow"), wide_library(server, 80 * MIB)
    certificate, key = authority.issue("video.test")
    scene = Scene(edge, server, {"tls": {"certificate": str(certificate), "key": str(key)}},
                  listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}],
                  arena={**SMALL_ARENA, "size": "32MiB"})  # a quarter of it and a little may be held by readers
    address = scene.edge.tls_address if encrypted else scene.edge.address
    tls = authority.client_context() if encrypted else None

    def begin(path):
        viewer = scene.connect_to(address, tls=tls, receive_buffer=4096)
        viewer.request(path)
        viewer.read(1)
        return path, viewer
    readers = [begin(path) for path in slow.paths]  # they lead fills, which go on without them
    scene.wait_for("flights.active", 0)
    readers += [begin(path) for path in slow.paths]  # hits, where it is there still
    turn_over(scene, busy, 4)
    assert scene.stats()["arena"]["regions_held"] > 0
    for path, viewer in readers:
        viewer.widen()
        slow.check(path, viewer.response())
        viewer.close()
    arena = scene.wait_for("arena.regions_held", 0)["arena"]
    assert arena["transient_bytes"] == 0


def test_readers_that_hold_the_whole_arena(edge, origin):
    """Each region has a reader who does not read on: what comes now is passed through, whole and not kept, until they
    leave. Then the arena goes on.
    """
    server = origin()
    held, library = Library(server, [7 * MIB], "/held"), wide_library(server, 40 * MIB)
    scene = Scene(edge, server, arena=SMALL_ARENA)
    path = held.paths[0]
    held.check(path, scene.get(path))
    stuck = []
    for first in range(0, 7 * MIB, MIB // 2):
        stuck.append(scene.connect(receive_buffer=4096))
        stuck[-1].request(path, {"Range": f"bytes={first}-"})
        stuck[-1].read(1)
    load_until(scene, library, "flights.not_kept", scene.stats()["flights"]["not_kept"] + 20)
    for viewer in stuck:
        viewer.reset()
    scene.wait_for("arena.regions_held", 0)
    turn_over(scene, library, 2)


def test_object_larger_than_the_arena(edge, origin):
    server, data = origin(), noise(20 * MIB + 1)
    server.file("/film.mp4", data, {"Cache-Control": "max-age=1000"})
    scene = Scene(edge, server, arena=SMALL_ARENA)
    for _ in range(2):
        assert scene.get("/film.mp4").body == data
    tail = scene.get("/film.mp4", {"Range": "bytes=-100"})
    assert (tail.status, bytes(tail.body)) == (206, data[-100:])


# --- no arena, and arenas that cannot be -------------------------------------------------------------------------


def test_without_an_arena_it_passes_through_and_still_joins(edge, origin):
    server, gate, data = origin(), threading.Event(), noise(2 * MIB)
    fields = {"Content-Length": len(data), "Cache-Control": "max-age=1000"}
    server.on("/seg.ts", [head(200, fields), send(data[:1000]), wait(gate), send(data[1000:])])
    scene = Scene(edge, server, arena=None)
    with Herd(scene.edge.address, 50, "/seg.ts", host=HOST) as herd:
        herd.run_until(lambda: herd.count_received(1000) == 50, "first bytes for all")
        gate.set()
        herd.run_until(lambda: herd.count_done() == 50, "whole bodies")
        assert herd.digests() == {hashlib.sha256(data).hexdigest(): 50}
    assert server.count("/seg.ts") == 1
    scene.wait_for("flights.active", 0)
    response = scene.get("/seg.ts")
    assert response.body == data
    assert "fwd=uri-miss" in response.fields["Cache-Status"]
    assert server.count("/seg.ts") == 2
    document = scene.wait_for("arena.transient_bytes", 0)
    assert (document["arena"]["objects"], document["arena"]["size_bytes"]) == (0, 0)
    assert document["flights"]["coalesced"] == 49


def test_two_edges_on_one_arena(edge, origin, tmp_path):
    server = origin()
    server.file("/seg.ts", b"first", {"Cache-Control": "max-age=1000"})
    scene = Scene(edge, server)
    assert bytes(scene.get("/seg.ts").body) == b"first"
    second = edge(scene.edge.config, start=False)
    done = run_to_end("edge", second.write_config(), folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"arena {scene.edge.config['arena']['path']} is in use by another process\n"
    assert "ready" not in done.stdout
    assert is_hit(scene.get("/seg.ts"))  # the first has not noticed


def test_arena_larger_than_the_disk(edge, origin, tmp_path):
    size_tib = shutil.disk_usage(tmp_path).total // (1 << 40) + 2
    scene = Scene(edge, origin(), arena={"size": f"{size_tib}TiB", "region_size": "1GiB"}, start=False)
    done = run_to_end("edge", scene.edge.write_config(), folder=tmp_path)
    assert done.returncode == 1
    assert f"arena {scene.edge.config['arena']['path']} of {size_tib * MIB} MiB needs" in done.stderr
    assert "MiB free" in done.stderr
    assert list((scene.edge.folder / "arena").glob("region-*")) == []  # and has not filled the disk to find out


def test_disk_that_fills_up_while_regions_are_made(edge, origin):
    """Whoever else writes to the disk may be faster: the edge goes on with the regions that it has got."""
    server = origin()
    library = Library(server, SIZES)
    scene = Scene(edge, server, arena={**SMALL_ARENA, "size": "4MiB"})
    scene.edge.stop()
    scene.edge.config["arena"]["size"] = "8MiB"
    scene.edge.environment["SHOREBREAK_FAULTS"] = "store.fallocate:3:repeat"
    scene.edge.start()
    until(lambda: "the disk is full, it goes on with 6 MiB" in scene.edge.log(), "the edge to say that the disk is full")
    load(scene, library, "full", 60)
    assert scene.stats()["arena"]["used_bytes"] <= 6 * MIB


# --- looking into it ---------------------------------------------------------------------------------------------


def test_arena_can_be_looked_into(edge, origin, tmp_path):
    server = origin()
    library = Library(server, [200, SLICE + 1])
    scene = Scene(edge, server)
    path = scene.edge.config["arena"]["path"]
    for target in library.paths:
        library.check(target, scene.get(target))
    scene.wait_for("flights.active", 0)

    def look(what):
        return run_to_end("edge", "arena", what, path, folder=scene.edge.folder)
    done = look("stat")
    assert (done.returncode, done.stderr) == (1, f"arena {path} is in use by another process\n")
    scene.edge.stop()
    assert "left             clean\n" in look("stat").stdout
    checked = look("check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.endswith(" 0 damaged\n")
    listed = look("dump").stdout
    assert all(target in listed for target in library.paths)
    assert run_to_end("edge", "arena", "mend", path, folder=tmp_path).returncode == 2


# --- files that change underneath --------------------------------------------------------------------------------


def cut_short(scene, size):
    for path in (scene.edge.folder / "arena").glob("region-*"):
        os.truncate(path, size)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_regions_truncated_underneath(edge, origin, authority, encrypted):
    """Whoever is being served gets what is right or an end; whoever comes then gets it from the origin."""
    server = origin()
    library = Library(server, [0, 200, 30 * KIB, SLICE, 900 * KIB, 12 * MIB])  # the last not all in sockets
    certificate, key = authority.issue("video.test")
    scene = Scene(edge, server, {"tls": {"certificate": str(certificate), "key": str(key)}},
                  listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}],
                  arena={**SMALL_ARENA, "size": "64MiB"})
    address = scene.edge.tls_address if encrypted else scene.edge.address
    tls = authority.client_context() if encrypted else None
    for path in library.paths:
        library.check(path, scene.get(path))
    scene.wait_for("flights.active", 0)
    readers = []
    for path in library.paths:
        viewer = scene.connect_to(address, tls=tls, receive_buffer=4096)
        viewer.request(path)
        viewer.read(min(1, len(library.bodies[path])))
        readers.append((path, viewer))
    cut_short(scene, 64 * KIB)
    broken = 0
    for path, viewer in readers:
        viewer.widen()
        try:
            library.check(path, viewer.response())
        except Broken as error:
            broken += 1
            assert library.bodies[path].startswith(bytes(error.response.body))
        viewer.close()
    assert broken > 0
    for path in library.paths:
        for _ in range(3):  # one may be what finds out
            try:
                library.check(path, scene.get(path))
                break
            except Broken as error:
                assert library.bodies[path].startswith(bytes(error.response.body))
        else:
            pytest.fail(f"{path} is not there again")
    until(lambda: "is dropped" in scene.edge.log(), "the edge to say that regions are dropped")
    assert scene.stats()["arena"]["io_errors"] > 0


# --- several disks -----------------------------------------------------------------------------------------------


def test_a_disk_that_fails_goes_alone(edge, origin, tmp_path):
    """Its objects become misses that say why; those on the other disk stay hits. It comes back at the next start."""
    server = origin()
    library = Library(server, [n * 7 + 200 * KIB for n in range(100)])
    disks = [{"path": str(tmp_path / name), "size": "64MiB"} for name in ("one", "two")]
    scene = Scene(edge, server, arena={"disks": disks, "region_size": "1MiB", "slice_size": "256KiB"})
    for path in library.paths:
        library.check(path, scene.get(path))
    before = scene.wait_for("flights.active", 0)["arena"]
    assert [disk["state"] for disk in before["disks"]] == ["used", "used"]
    assert all(disk["objects"] > 20 for disk in before["disks"])
    for path in (tmp_path / "one").glob("region-*"):
        os.truncate(path, 0)
    until(lambda: scene.stats()["arena"]["disks_failed"] == 1, "the disk to be given up")
    after = scene.stats()["arena"]
    assert [disk["state"] for disk in after["disks"]] == ["errors", "used"]
    assert after["disks"][0]["objects"] == 0 and after["disks"][1]["objects"] == before["disks"][1]["objects"]
    assert f"disk_failed: arena {disks[0]['path']} is not used any more" in scene.edge.log()
    asked = server.count()
    for path in library.paths:
        library.check(path, scene.get(path))
    counters.wait_for_rest(scene.edge)
    causes = scene.stats()["by_cause"]
    assert causes["hit"]["requests"] > 20
    assert causes["disk_failed"]["requests"] == len(library.paths) - causes["hit"]["requests"] == server.count() - asked
    assert causes["miss"]["requests"] == len(library.paths)  # when the store was empty
    for path in library.paths:
        assert is_hit(scene.get(path))  # on the other disk now
    scene.edge.stop()
    scene.edge.start()
    assert [disk["state"] for disk in scene.stats()["arena"]["disks"]] == ["used", "used"]
    for path in library.paths:
        response = scene.get(path)
        library.check(path, response)
        assert is_hit(response)
