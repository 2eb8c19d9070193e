# SPDX-License-Identifier: Apache-2.0
"""Large objects are fetched and kept in slices: a seek costs the origin the slices it touches, once; parts of two
versions are never mixed; an origin that cannot be asked for parts still serves.
"""
import re
import struct
import threading

import pytest

from harness.client import Broken
from harness.origin import answer, close, file_answer, head, send, wait
from harness.scene import KIB, MIB, Scene, cache_status, noise

SLICE = 1 * MIB
SIZE = 20 * MIB + 17
DATA, OTHER = noise(SIZE), noise(SIZE, "other")
ONE = {"Cache-Control": "max-age=1000", "ETag": '"one"'}
TWO = {"Cache-Control": "max-age=1000", "ETag": '"two"'}


def body(response):
    return bytes(response.body)


def span(first, last):
    return {"Range": f"bytes={first}-{last}"}


def asked(server):
    """[(first, last)] of the ranges that the origin was asked for; None for the whole."""
    found = []
    for request in server.requests:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.fields.get("Range", ""))
        found.append((int(match[1]), min(int(match[2] or SIZE), SIZE - 1)) if match else None)
    return found


def assert_aligned_and_once(server):
    taken = set()
    for first, last in asked(server):
        assert first % SLICE == 0 and (last == SIZE - 1 or (last + 1) % SLICE == 0), asked(server)
        slices = set(range(first // SLICE, last // SLICE + 1))
        assert not slices & taken, asked(server)
        taken |= slices
    return taken


def assert_part(response, data, first, last):
    assert response.status == 206
    assert response.fields["Content-Range"] == f"bytes {first}-{last}/{len(data)}"
    assert body(response) == data[first:last + 1]


def assert_breaks(scene, expected, fields=()):
    """The response is seen to break, and what came of it is of one version."""
    with scene.connect() as viewer:
        viewer.request("/movie.mp4", fields)
        with pytest.raises(Broken) as broken:
            viewer.response()
    assert expected.startswith(body(broken.value.response))


# --- seeking ---------------------------------------------------------------------------------------------------------


def test_a_seek_costs_the_slices_it_touches(edge, origin):
    scene = Scene(edge, origin())
    scene.server.file("/movie.mp4", DATA, ONE)
    first = 9 * SLICE + 1000
    response = scene.get("/movie.mp4", span(first, first + 99))
    assert_part(response, DATA, first, first + 99)
    assert cache_status(response) == {"fwd": "uri-miss", "stored": True}
    assert asked(scene.server) == [(9 * SLICE, 10 * SLICE - 1)]
    response = scene.get("/movie.mp4", span(first + 50, 10 * SLICE - 1))  # another viewer, the same slice
    assert_part(response, DATA, first + 50, 10 * SLICE - 1)
    assert "hit" in cache_status(response)
    assert len(scene.server.requests) == 1
    response = scene.get("/movie.mp4", span(first, 12 * SLICE + 5))  # begins in it, ends three slices on
    assert_part(response, DATA, first, 12 * SLICE + 5)
    assert asked(scene.server)[1:] == [(10 * SLICE, 13 * SLICE - 1)]
    assert scene.server.requests[1].fields["If-Range"] == '"one"'
    response = scene.get("/movie.mp4", span(3 * SLICE, 3 * SLICE))
    assert_part(response, DATA, 3 * SLICE, 3 * SLICE)
    assert cache_status(response) == {"fwd": "partial", "stored": True}
    scene.wait_for("flights.active", 0)
    site = scene.site_stats(4)
    assert site["by_cause"]["hit"]["requests"] == 2
    assert 5 * SLICE < site["bytes_origin"] < 5 * SLICE + 4000
    # The whole afterwards: what is there is not asked for again.
    response = scene.get("/movie.mp4")
    assert (response.status, body(response)) == (200, DATA)
    assert len(assert_aligned_and_once(scene.server)) == 21
    scene.wait_for("flights.active", 0)
    requests = len(scene.server.requests)
    response = scene.get("/movie.mp4")
    assert body(response) == DATA and "hit" in cache_status(response)
    assert len(scene.server.requests) == requests


def test_a_sought_slice_is_finished(edge, origin):
    """Its viewer has what it wanted and leaves: the rest of the slice is little, however large the object is."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/movie.mp4", [
        head(206, {**ONE, "Content-Length": SLICE, "Content-Range": f"bytes {5 * SLICE}-{6 * SLICE - 1}/{SIZE}"}),
        send(DATA[5 * SLICE:][:1000]), wait(gate), send(DATA[5 * SLICE + 1000:6 * SLICE])])
    assert_part(scene.get("/movie.mp4", span(5 * SLICE, 5 * SLICE + 99)), DATA, 5 * SLICE, 5 * SLICE + 99)
    scene.wait_for("flights.readers", 0)
    gate.set()
    scene.wait_for("flights.active", 0)
    response = scene.get("/movie.mp4", span(5 * SLICE, 6 * SLICE - 1))
    assert_part(response, DATA, 5 * SLICE, 6 * SLICE - 1)
    assert "hit" in cache_status(response)
    assert scene.server.count() == 1


def test_viewers_seek_to_one_place_together(edge, origin):
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/movie.mp4", lambda request: [wait(gate), *file_answer(request, DATA, ONE)])
    viewers = [scene.connect() for _ in range(20)]
    for number, viewer in enumerate(viewers):
        viewer.request("/movie.mp4", span(5 * SLICE + 1000 * number, 6 * SLICE - 1))
    scene.wait_for("flights.readers", 20)
    gate.set()
    for number, viewer in enumerate(viewers):
        assert_part(viewer.response(), DATA, 5 * SLICE + 1000 * number, 6 * SLICE - 1)
        viewer.close()
    assert asked(scene.server) == [(5 * SLICE, 6 * SLICE - 1)]
    assert scene.site_stats(20)["by_cause"]["coalesced"]["requests"] == 19


def test_a_seek_does_not_wait_for_a_fill_far_behind(edge, origin):
    """The whole is coming, and stands at its beginning: the seek asks for its own slice."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/movie.mp4", lambda request: file_answer(request, DATA, ONE) if "Range" in request.fields else [
        head(200, {**ONE, "Content-Length": SIZE}), send(DATA[:SLICE]), wait(gate), send(DATA[SLICE:])])
    with scene.connect() as viewer:
        viewer.request("/movie.mp4")
        viewer.read(1)
        assert_part(scene.get("/movie.mp4", span(15 * SLICE, 15 * SLICE + 9)), DATA, 15 * SLICE, 15 * SLICE + 9)
        gate.set()
        assert body(viewer.response()) == DATA
    assert asked(scene.server) == [None, (15 * SLICE, 16 * SLICE - 1)]


@pytest.mark.parametrize("validators", [{"ETag": '"one"'}, {"Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}, {}])
def test_a_suffix_of_a_cold_object(edge, origin, validators):
    """Its place is known only when the size is. Without a validator no two responses can be put together."""
    scene = Scene(edge, origin())
    scene.server.on("/movie.mp4", lambda request: unnamed_answer(request, DATA, validators))
    for size in (1000, 3 * SLICE):
        assert_part(scene.get("/movie.mp4", {"Range": f"bytes=-{size}"}), DATA, SIZE - size, SIZE - 1)
    if validators:
        assert asked(scene.server) == [(0, SLICE - 1), (19 * SLICE, SIZE - 1), (17 * SLICE, 19 * SLICE - 1)]


def unnamed_answer(request, data, fields):
    """file_answer with other validators, or none."""
    fields = {"Cache-Control": "max-age=1000", **fields}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.fields.get("Range", ""))
    if not wanted:
        return answer(200, data, fields)
    first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
    if first > last:
        return answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
    return answer(206, data[first:last + 1], {**fields, "Content-Range": f"bytes {first}-{last}/{len(data)}"})


def test_an_origin_without_validators(edge, origin):
    """Each response of it may be another version: nothing of a part is kept, and a whole is whole."""
    scene = Scene(edge, origin())
    scene.server.on("/movie.mp4", lambda request: unnamed_answer(request, DATA, {}))
    for first, last in ((9 * SLICE + 5, 9 * SLICE + 9), (9 * SLICE + 5, 11 * SLICE), (100, 200), (19 * SLICE, SIZE - 1)):
        assert_part(scene.get("/movie.mp4", span(first, last)), DATA, first, last)
    response = scene.get("/movie.mp4", {**span(9 * SLICE, 9 * SLICE + 9), "If-Range": '"other"'})
    assert (response.status, body(response)) == (200, DATA)
    assert body(scene.get("/movie.mp4")) == DATA
    scene.wait_for("flights.active", 0)
    count = scene.server.count()
    assert count <= 7
    assert_part(scene.get("/movie.mp4", span(9 * SLICE + 5, 11 * SLICE)), DATA, 9 * SLICE + 5, 11 * SLICE)
    assert body(scene.get("/movie.mp4")) == DATA
    assert scene.server.count() == count  # the whole is kept


def test_an_origin_that_ignores_ranges(edge, origin):
    scene = Scene(edge, origin())
    data = DATA[:5 * SLICE]
    scene.server.on("/movie.mp4", answer(200, data, ONE))
    assert_part(scene.get("/movie.mp4", span(3 * SLICE + 5, 4 * SLICE)), data, 3 * SLICE + 5, 4 * SLICE)
    scene.wait_for("flights.active", 0)
    assert body(scene.get("/movie.mp4")) == data
    assert_part(scene.get("/movie.mp4", {"Range": "bytes=-5"}), data, len(data) - 5, len(data) - 1)
    assert scene.server.count() == 1


def test_an_origin_that_sends_less_than_a_slice(edge, origin):
    """It may, but then the object cannot be had in slices: that is said, and not asked over and over."""
    scene = Scene(edge, origin())

    def script(request):
        first = int(re.match(r"bytes=(\d+)", request.fields["Range"])[1])
        return answer(206, DATA[first:first + 1000], {**ONE, "Content-Range": f"bytes {first}-{first + 999}/{SIZE}"})
    scene.server.on("/movie.mp4", script)
    response = scene.get("/movie.mp4", span(9 * SLICE + 5000, 9 * SLICE + 6000))
    assert (response.status, body(response)) == (502, b"origin_bad_range\n")
    assert scene.server.count() == 1


# --- versions ---------------------------------------------------------------------------------------------------------


def either(request, data, fields, ignores_if_range):
    """A new version. ignores_if_range: an origin that sends the part of it all the same."""
    if ignores_if_range:
        request.fields.pairs = [(name, value) for name, value in request.fields.pairs if name != "If-Range"]
    return file_answer(request, data, fields)


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_a_new_version_before_the_first_byte(edge, origin, ignores_if_range):
    """Some slices of the old one are there, the one that is needed first is not: the viewer gets the new one."""
    scene = Scene(edge, origin())
    scene.server.file("/movie.mp4", DATA, ONE)
    assert_part(scene.get("/movie.mp4", span(3 * SLICE, 3 * SLICE + 9)), DATA, 3 * SLICE, 3 * SLICE + 9)
    scene.server.on("/movie.mp4", lambda request: either(request, OTHER, TWO, ignores_if_range))
    response = scene.get("/movie.mp4")
    assert (response.fields["ETag"], body(response)) == ('"two"', OTHER)
    assert_part(scene.get("/movie.mp4", span(3 * SLICE, 3 * SLICE + 9)), OTHER, 3 * SLICE, 3 * SLICE + 9)


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_a_new_version_in_the_middle(edge, origin, ignores_if_range):
    """What has been sent cannot be taken back: the response breaks where the versions meet."""
    scene = Scene(edge, origin())
    scene.server.file("/movie.mp4", DATA, ONE)
    scene.get("/movie.mp4", span(0, 3 * SLICE - 1))
    scene.server.on("/movie.mp4", lambda request: either(request, OTHER, TWO, ignores_if_range))
    assert_breaks(scene, DATA[:3 * SLICE])
    assert scene.records("/movie.mp4", 2)[1]["reason"] == "origin_representation_changed"
    for _ in range(2):
        response = scene.get("/movie.mp4")
        assert (response.fields["ETag"], body(response)) == ('"two"', OTHER)


def test_a_version_of_another_size(edge, origin):
    scene = Scene(edge, origin())
    scene.server.file("/movie.mp4", DATA, ONE)
    scene.get("/movie.mp4", span(0, 3 * SLICE - 1))
    shorter = OTHER[:4 * SLICE]
    scene.server.file("/movie.mp4", shorter, TWO)
    assert_breaks(scene, DATA[2 * SLICE:3 * SLICE], span(2 * SLICE, SIZE - 1))
    assert body(scene.get("/movie.mp4")) == shorter


def test_an_etag_that_lies_about_the_size(edge, origin):
    """The same ETag, another size: these are not the same bytes."""
    scene = Scene(edge, origin())
    scene.server.file("/movie.mp4", DATA, ONE)
    scene.get("/movie.mp4", span(0, 3 * SLICE - 1))
    longer = OTHER + OTHER
    scene.server.file("/movie.mp4", longer, ONE)
    assert_breaks(scene, DATA[:3 * SLICE])
    assert body(scene.get("/movie.mp4")) == longer


@pytest.mark.parametrize("status", [403, 404, 416, 500, 503])
def test_an_error_instead_of_a_slice(edge, origin, status):
    """Its body is no part of the object, also where it carries the object's ETag."""
    scene = Scene(edge, origin(), site={"freshness": {"not_found": "1ms"}})
    scene.server.file("/movie.mp4", DATA, ONE)
    scene.get("/movie.mp4", span(SLICE, 3 * SLICE - 1))
    scene.server.on("/movie.mp4", answer(status, b"<html>sorry</html>" * 1000, {"ETag": '"one"'}))
    response = scene.get("/movie.mp4", span(0, 100))  # before a byte was sent
    assert response.status in (status, 502)
    assert b"sorry" not in body(response) or response.status == status
    if status in (403, 500, 503):  # says nothing of the object: what is kept stays
        assert cache_status(response)["detail"] == "origin_error_response"
        assert_breaks(scene, DATA[SLICE:3 * SLICE], span(SLICE, 4 * SLICE))
        assert_part(scene.get("/movie.mp4", span(SLICE, SLICE + 9)), DATA, SLICE, SLICE + 9)
        scene.server.file("/movie.mp4", DATA, ONE)
        assert body(scene.get("/movie.mp4")) == DATA
        assert asked(scene.server)[-2:] == [(0, SLICE - 1), (3 * SLICE, SIZE - 1)]
    else:
        scene.server.file("/movie.mp4", OTHER, TWO)
        assert body(scene.get("/movie.mp4")) == OTHER


# --- larger than the arena ---------------------------------------------------------------------------------------------


def test_an_object_larger_than_the_arena(edge, origin):
    scene = Scene(edge, origin(), arena={"size": "16MiB", "region_size": "2MiB", "slice_size": "512KiB"})
    data = DATA + OTHER
    scene.server.file("/movie.mp4", data, ONE)
    for _ in range(2):
        assert body(scene.get("/movie.mp4")) == data
    with scene.connect(receive_buffer=4 * KIB) as slow:  # what it has not read yet is reclaimed meanwhile
        slow.request("/movie.mp4")
        slow.read(1)
        for _ in range(2):
            assert body(scene.get("/movie.mp4")) == data
        assert body(slow.response()) == data
    for first in range(1000, len(data), 5 * SLICE):
        assert_part(scene.get("/movie.mp4", span(first, first + 999)), data, first, first + 999)
    arena = scene.stats()["arena"]
    assert arena["regions_reclaimed"] > 20 and arena["used_bytes"] <= arena["size_bytes"] == 16 * MIB
    assert arena["io_errors"] == 0


class Vast:
    """Bytes that nobody could keep: each 8 of them tell where they are."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, part):
        first, last, _ = part.indices(self.size)
        words = struct.pack(f">{last // 8 - first // 8 + 1}Q", *range(first // 8, last // 8 + 1))
        return words[first % 8:][:last - first]


def test_seeks_into_ten_gigabytes(edge, origin):
    """Offsets beyond 32 bits, everywhere: asked for, stored, found again, served."""
    scene, data = Scene(edge, origin()), Vast(10_000_000_019)
    scene.server.on("/movie.mp4", lambda request: file_answer(request, data, ONE))
    places = [(0, 99), (5 * SLICE - 50, 5 * SLICE + 49), (2 ** 31 - 50, 2 ** 31 + 49), (2 ** 32 - 1, 2 ** 32),
              (9_000_000_000, 9_000_000_999), (data.size - 10, data.size - 1)]
    for round_ in range(2):
        for first, last in places:
            response = scene.get("/movie.mp4", span(first, last))
            assert_part(response, data, first, last)
            assert ("hit" in cache_status(response)) == (round_ == 1), first
    assert_part(scene.get("/movie.mp4", {"Range": "bytes=-10"}), data, data.size - 10, data.size - 1)
    assert scene.get("/movie.mp4", span(data.size, data.size)).status == 416
    response = scene.get("/movie.mp4", method="HEAD")
    assert int(response.fields["Content-Length"]) == data.size
    assert scene.server.count() == len(places)


def test_a_large_object_breaks_twice(edge, origin):
    """Where nothing is asked for again, each viewer brings it a little further, and no byte is asked for twice but in
    the slice that broke.
    """
    scene, gates = Scene(edge, origin(), site={"origin_retries": {"percent": 0, "floor": 0}}), [threading.Event() for _ in range(2)]
    data = DATA[:6 * SLICE]
    breaks = iter(((0, 5 * SLICE // 2), (2 * SLICE, 9 * SLICE // 2)))

    def breaking(gate):
        first, last = next(breaks)
        fields = {**ONE, "Content-Length": len(data) - first}
        if first:
            fields["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        return [head(206 if first else 200, fields), send(data[first:last]), wait(gate), close()]
    scene.server.on_each("/movie.mp4", [breaking(gates[0]), breaking(gates[1]),
                                        lambda request: file_answer(request, data, ONE)])
    for gate, size in zip(gates, (5 * SLICE // 2, 9 * SLICE // 2)):
        with scene.connect() as viewer:
            viewer.request("/movie.mp4")
            viewer.read(size)
            gate.set()
            with pytest.raises(Broken) as broken:
                viewer.response()
            assert body(broken.value.response) == data[:size]
    assert body(scene.get("/movie.mp4")) == data
    assert asked(scene.server) == [None, (2 * SLICE, 6 * SLICE - 1), (4 * SLICE, 6 * SLICE - 1)]
