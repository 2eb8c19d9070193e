# SPDX-License-Identifier: Apache-2.0
"""Purges: by URL, prefix, tag and site, hard and soft. Once the call is answered nobody gets the old bytes, on any
worker, whatever was on its way, after a kill and a restart too.
"""
import json
import threading

import pytest

from harness.client import fetch
from harness.deadline import until
from harness.origin import answer, head, reset, send, wait
from harness.processes import run_to_end
from harness.scene import KIB, MIB, Scene, cache_status, noise

LONG = {"Cache-Control": "max-age=1000"}
TOKEN = "correct-horse-battery-staple"
KINDS = {
    "url": {"url": "http://video.test/live/a?x=1"},
    "prefix": {"prefix": "http://video.test/live/"},
    "tag": {"site": "demo", "tag": "red"},
    "site": {"site": "demo"},
}


def body(response):
    return bytes(response.body)


def ask_purge(edge, order, fields=(), method="POST", target="/purge"):
    """POST /purge: (status, document)."""
    data = order if isinstance(order, bytes) else json.dumps(order).encode()
    fields = {"Content-Type": "application/json", "Content-Length": len(data), **dict(fields)}
    with Scene.connect_to(edge.admin_address, host="admin.test") as connection:
        connection.request(target, {name: value for name, value in fields.items() if value is not None}, method, data)
        response = connection.response()
    return response.status, json.loads(body(response)) if method != "HEAD" else None


def purge(scene, **order):
    status, document = ask_purge(scene.edge, order)
    assert (status, document.get("error"), document["durable"]) == (200, None, True), document
    return document


def explain(scene, target):
    return json.loads(body(fetch(scene.edge.admin_address, f"/explain?url=http://video.test{target}")))


def versions(scene, path, count=9, **fields):
    """A resource that is another one at each request, and says which: b"1", b"2", ..."""
    scene.server.on_each(path, [answer(200, str(number + 1).encode(), {**LONG, **fields}) for number in range(count)])


def validated(scene, path, fields):
    """A resource with an ETag that stays."""
    fields = {**LONG, "ETag": '"1"', **fields}
    scene.server.on(path, lambda request: answer(304, b"", fields) if "If-None-Match" in request.fields else
                    answer(200, b"same", fields))


# --- what each kind means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, gone", [("url", ["/live/a?x=1"]), ("prefix", ["/live/a?x=1", "/live/b"]),
                                        ("tag", ["/live/a?x=1", "/vod/c"]),
                                        ("site", ["/live/a?x=1", "/live/b", "/vod/c", "/vod/d"])])
def test_hard(edge, origin, kind, gone):
    scene = Scene(edge, origin())
    tags = {"/live/a?x=1": {"Surrogate-Key": "red blue"}, "/live/b": {"Cache-Tag": "blue, re"},
            "/vod/c": {"Cache-Groups": '"green", "red"'}, "/vod/d": {}}
    for target, fields in tags.items():
        versions(scene, target, **fields)
        assert body(scene.get(target)) == b"1"
    document = purge(scene, **KINDS[kind])
    assert document["mode"] == "hard" and [one["kind"] for one in document["purges"]] == [kind]
    for target in tags:
        response = scene.get(target)
        if target in gone:
            assert (body(response), cache_status(response)) == (b"2", {"fwd": "uri-miss", "stored": True, "detail": "purged"})
            assert not any("If-None-Match" in request.fields for request in scene.server.seen(target))
        else:
            assert "hit" in cache_status(response) and body(response) == b"1"
        assert "hit" in cache_status(scene.get(target))
    causes = scene.site_stats(4 + 2 * 4)["by_cause"]
    assert causes["purged"]["requests"] == len(gone) and causes["purged"]["bytes_origin"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_soft(edge, origin, kind):
    """What is soft purged is asked for with its validators."""
    scene = Scene(edge, origin())
    validated(scene, "/live/a?x=1", {"Cache-Tag": "red"})
    versions(scene, "/live/a2", **{"Cache-Tag": "red"})
    for target in ("/live/a?x=1", "/live/a2"):
        scene.get(target)
    assert purge(scene, soft=True, **KINDS[kind])["mode"] == "soft"
    response = scene.get("/live/a?x=1")
    assert (body(response), cache_status(response)) == (b"same", {"fwd": "stale", "fwd-status": "304", "detail": "purged"})
    assert "hit" in cache_status(scene.get("/live/a?x=1"))
    assert scene.server.count("/live/a?x=1") == 2
    if kind != "url":
        response = scene.get("/live/a2")
        assert (body(response), cache_status(response)) == (b"2", {"fwd": "stale", "stored": True, "detail": "purged"})
    # and a hard purge of the same takes what was found good
    purge(scene, **KINDS[kind])
    assert cache_status(scene.get("/live/a?x=1"))["fwd"] == "uri-miss"


def test_soft_lets_stale_be_served(edge, origin):
    scene = Scene(edge, origin())
    gate = threading.Event()
    scene.server.on_each("/swr", [answer(200, b"1", {"Cache-Control": "max-age=1000, stale-while-revalidate=60"}),
                                  [wait(gate), *answer(200, b"2", LONG)]])
    scene.server.on_each("/sie", [answer(200, b"1", {"Cache-Control": "max-age=1000, stale-if-error=60"}), [reset()]])
    scene.get("/swr")
    scene.get("/sie")
    purge(scene, site="demo", soft=True)
    response = scene.get("/swr")
    assert body(response) == b"1" and cache_status(response)["detail"] == "stale"
    gate.set()
    until(lambda: body(scene.get("/swr")) == b"2", "the new one")
    response = scene.get("/sie")
    assert body(response) == b"1" and cache_status(response)["detail"] == "stale"
    purge(scene, site="demo")  # hard: not even then
    assert scene.get("/sie").status == 502


def test_variants_and_slices_of_a_url(edge, origin):
    scene = Scene(edge, origin(), site={"forward_headers": ["Color"]})
    data, other = noise(5 * MIB), noise(5 * MIB, 1)
    fields = {**LONG, "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}
    scene.server.on_each("/movie", [answer(200, data, fields), answer(200, other, fields)])
    scene.server.on("/varied", lambda request: answer(200, f"{request.fields['Color']} {scene.server.count('/varied')}".encode(),
                                                      {**LONG, "Vary": "Color"}))
    assert body(scene.get("/movie")) == data
    assert body(scene.get("/movie", {"Range": "bytes=3000000-3000009"})) == data[3000000:3000010]
    assert [body(scene.get("/varied", {"Color": color})) for color in ("red", "blue", "red")] == [b"red 1", b"blue 2", b"red 1"]
    purge(scene, url=["http://video.test/movie", "http://video.test/varied"])
    assert body(scene.get("/movie")) == other  # same validators, and not one of the old slices
    assert body(scene.get("/movie", {"Range": "bytes=3000000-3000009"})) == other[3000000:3000010]
    assert [body(scene.get("/varied", {"Color": color})) for color in ("red", "blue", "red")] == [b"red 3", b"blue 4", b"red 3"]
    assert scene.server.count("/movie") == 2


@pytest.mark.parametrize("kind", ["tag", "url", "prefix", "site"])
def test_slices_go_with_their_head(edge, origin, kind):
    """A range was fetched before, another behind the purge, under the same validators."""
    scene = Scene(edge, origin())
    data, other = noise(5 * MIB), noise(5 * MIB, 1)
    fields = {**LONG, "ETag": '"same"', "Surrogate-Key": "red"}
    scene.server.file("/live/a", data, fields)
    assert body(scene.get("/live/a", {"Range": "bytes=0-9"})) == data[:10]
    assert body(scene.get("/live/a", {"Range": "bytes=3000000-3000009"})) == data[3000000:3000010]
    scene.server.file("/live/a", other, fields)
    purge(scene, **{**KINDS, "url": {"url": "http://video.test/live/a"}}[kind])
    for first in (3000000, 0):
        assert body(scene.get("/live/a", {"Range": f"bytes={first}-{first + 9}"})) == other[first:first + 10]


# --- while things are on their way ----------------------------------------------------------------------------------


def in_two(data, gate, fields=()):
    middle = len(data) // 2
    return [head(200, {**LONG, "Content-Length": len(data), **dict(fields)}), send(data[:middle]), wait(gate), send(data[middle:])]


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [100 * KIB, 3 * MIB])
def test_a_fill_that_began_before(edge, origin, kind, soft, size):
    """Who reads it reads on; who comes afterwards asks anew; and when the old one ends, the new one stays."""
    scene, gate = Scene(edge, origin()), threading.Event()
    old, new, tag = noise(size), noise(size, 1), {"Cache-Tag": "red"}
    scene.server.on_each("/live/a?x=1", [in_two(old, gate, tag), answer(200, new, {**LONG, **tag})])
    with scene.connect() as before:
        before.request("/live/a?x=1")
        before.read(10)
        purge(scene, soft=soft, **KINDS[kind])
        assert body(scene.get("/live/a?x=1")) == new
        gate.set()
        assert body(before.response()) == old
    scene.wait_for("flights.active", 0)
    for _ in range(8):
        assert body(scene.get("/live/a?x=1")) == new
    assert scene.server.count() <= 3  # an old one that was sealed last may have cost the new one its place


@pytest.mark.parametrize("kind", KINDS)
def test_a_fill_whose_head_is_not_there(edge, origin, kind):
    """Nobody knows its tags yet."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on_each("/live/a?x=1", [[wait(gate), *answer(200, b"old", {**LONG, "Cache-Tag": "red"})],
                                         answer(200, b"new", LONG)])
    with scene.connect() as before:
        before.request("/live/a?x=1")
        scene.server.wait_for_requests(1)
        purge(scene, **KINDS[kind])
        assert body(scene.get("/live/a?x=1")) == b"new"
        gate.set()
        assert body(before.response()) == b"old"
    for _ in range(4):
        assert body(scene.get("/live/a?x=1")) == b"new"
    assert scene.server.count() <= 3


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_a_revalidation_that_began_before(edge, origin, soft):
    """Its 304 is about what was purged, and does not make that good again."""
    scene, gate = Scene(edge, origin()), threading.Event()
    stale = {"Cache-Control": "max-age=0", "ETag": '"1"'}
    scene.server.on_each("/a", [answer(200, b"old", stale), [wait(gate), *answer(304, b"", {**LONG, "ETag": '"1"'})],
                                answer(200, b"new", LONG)])
    scene.get("/a")
    with scene.connect() as before:
        before.request("/a")
        scene.server.wait_for_requests(2)
        purge(scene, url="http://video.test/a", soft=soft)
        gate.set()
        assert body(before.response()) == b"old"
    assert body(scene.get("/a")) == b"new"
    assert ("If-None-Match" in scene.server.requests[2].fields) == soft


def test_a_reader_in_the_middle_of_slices(edge, origin):
    """It began with slices that are purged under it: the version is still the origin's, so it goes on."""
    scene = Scene(edge, origin())
    data = noise(20 * MIB)
    scene.server.file("/movie", data, LONG)
    assert body(scene.get("/movie")) == data
    with scene.connect(receive_buffer=4 * KIB) as viewer:
        viewer.request("/movie")
        viewer.read(100)
        purge(scene, url="http://video.test/movie")
        assert body(scene.get("/movie")) == data
        viewer.widen()
        assert body(viewer.response()) == data


def test_a_reader_of_a_version_that_is_no_more(edge, origin):
    """It began before the purge, and gets to its end what it began with; who comes gets the new one."""
    scene = Scene(edge, origin())
    old, new = noise(20 * MIB), noise(20 * MIB, 1)
    scene.server.file("/movie", old, LONG)
    assert body(scene.get("/movie")) == old
    with scene.connect(receive_buffer=4 * KIB) as viewer:
        viewer.request("/movie")
        viewer.read(100)
        scene.server.file("/movie", new, LONG)
        purge(scene, url="http://video.test/movie")
        assert body(scene.get("/movie")) == new
        viewer.widen()
        assert body(viewer.response()) == old
    assert scene.server.count() == 2


def test_every_worker_follows_at_once(edge, origin):
    scene = Scene(edge, origin(), workers=4)
    scene.server.on("/a", lambda request: answer(200, str(scene.server.count("/a")).encode(), LONG))
    viewers = [scene.connect() for _ in range(32)]
    for number in range(1, 11):
        seen = set()
        for viewer in viewers:
            viewer.request("/a")
        for viewer in viewers:
            seen.add(body(viewer.response()))
        assert seen == {str(number).encode()}
        purge(scene, url="http://video.test/a")
    for viewer in viewers:
        viewer.close()


def test_purges_under_way(edge, origin):
    """Many at once, while viewers ask all the time: nobody ever gets what an answered purge has taken."""
    scene, over, wrong = Scene(edge, origin(), workers=2), threading.Event(), []
    lock, answered = threading.Lock(), [0]
    current = [0]
    scene.server.on("/a", lambda request: answer(200, str(current[0]).encode(), {**LONG, "Surrogate-Key": "red"}))

    def watch():
        with scene.connect() as viewer:
            while not over.is_set():
                with lock:
                    least = answered[0]
                viewer.request("/a")
                if int(body(viewer.response())) < least:
                    wrong.append(least)

    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    for number in range(1, 41):
        current[0] = number
        purge(scene, **KINDS["tag" if number % 2 else "site"])
        with lock:
            answered[0] = number
    over.set()
    for watcher in watchers:
        watcher.join()
    assert wrong == []


# --- what outlives what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_a_restart(edge, origin, end, soft):
    scene = Scene(edge, origin())
    targets = {kind: f"/{kind}/a" for kind in ("url", "prefix", "tag", "other")}
    for kind, target in targets.items():
        versions(scene, target, **{"Cache-Tag": kind, "ETag": '"1"'})
        scene.get(target)
    purge(scene, url="http://video.test/url/a", soft=soft)
    purge(scene, prefix="http://video.test/prefix", soft=soft)
    purge(scene, site="demo", tag="tag", soft=soft)
    getattr(scene.edge, end)()
    scene.edge.start()
    for kind, target in targets.items():
        assert body(scene.get(target)) == (b"1" if kind == "other" else b"2")
        assert ("If-None-Match" in scene.server.seen(target)[-1].fields) == (soft and kind != "other")
    getattr(scene.edge, end)()
    scene.edge.start()
    for target in targets.values():
        assert "hit" in cache_status(scene.get(target))


def test_a_kill_while_the_fill_runs(edge, origin):
    scene, gate = Scene(edge, origin()), threading.Event()
    old, new = noise(3 * MIB), noise(3 * MIB, 1)
    fields = {**LONG, "ETag": '"same"', "Cache-Tag": "red"}
    scene.server.on_each("/a", [in_two(old, gate, fields), answer(200, new, fields)])
    with scene.connect() as before:
        before.request("/a")
        before.read(2 * MIB - 512 * KIB)
        purge(scene, site="demo", tag="red")
        scene.edge.kill()
    gate.set()
    scene.edge.start()
    assert body(scene.get("/a")) == new


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_lost_log(edge, origin, harm, tmp_path):
    """Nobody knows what was purged: so everything is, and it is said."""
    scene = Scene(edge, origin(), state=str(tmp_path / "state"))
    versions(scene, "/a")
    versions(scene, "/b")
    for target in ("/a", "/b"):
        scene.get(target)
    purge(scene, url="http://video.test/a")
    assert not (scene.edge.folder / "arena" / "purges").exists()
    scene.edge.kill()
    log = tmp_path / "state" / "purges"
    if harm == "gone":
        log.unlink()
    else:
        log.write_bytes(log.read_bytes().replace(b"1RUP"[::-1], b"PUR2"))
    scene.edge.start()
    assert [body(scene.get(target)) for target in ("/a", "/b")] == [b"2", b"2"]
    assert "all that is kept counts as purged" in scene.edge.log()
    scene.edge.stop()
    scene.edge.start()
    assert [body(scene.get(target)) for target in ("/a", "/b")] == [b"2", b"2"]


def test_a_log_that_cannot_be_written(edge, origin):
    """It is in force, and the answer says that it would not outlive a restart."""
    scene = Scene(edge, origin(), environment={"SHOREBREAK_FAULTS": "purge.sync:3:repeat"})
    versions(scene, "/a")
    scene.get("/a")
    status, document = ask_purge(scene.edge, {"url": "http://video.test/a"})
    assert (status, document["error"], document["durable"]) == (500, "purge_not_durable", False)
    assert body(scene.get("/a")) == b"2"
    assert scene.stats()["purges"]["durable"] is False


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_more_rules_than_there_is_room_for(edge, origin):
    """They are put together to one of the site: more is purged, nothing is forgotten."""
    scene = Scene(edge, origin(), limits={"purge_rules_max": 16})
    for number in range(40):
        versions(scene, f"/{number}")
        scene.get(f"/{number}")
    folded = [purge(scene, url=f"http://video.test/{number}")["folded"] for number in range(40)]
    assert any(folded) and not any(folded[:16])
    for number in range(40):
        assert body(scene.get(f"/{number}")) == b"2"
    scene.edge.kill()
    scene.edge.start()
    for number in range(40):
        assert body(scene.get(f"/{number}")) == b"2"
    purges = scene.stats()["purges"]
    assert purges["rules"] <= 16 == purges["rules_max"]


def test_prefixes_of_many_lengths_become_wider(edge, origin):
    scene = Scene(edge, origin())
    versions(scene, "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/x")
    for size in range(10, 26):
        document = purge(scene, prefix="http://video.test/" + "b" * size)
        assert "widened" not in document["purges"][0]
    scene.get("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/x")
    document = purge(scene, prefix="http://video.test/" + "a" * 32 + "/")
    assert document["purges"][0] == {"id": 18, "kind": "prefix", "site": "demo", "match": "/" + "a" * 25, "widened": True}
    assert body(scene.get("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/x")) == b"2"
    assert purge(scene, prefix="http://video.test/c")["purges"][0]["kind"] == "site"


# --- tags -----------------------------------------------------------------------------------------------------------


def test_what_viewers_see_of_tags(edge, origin):
    tags = {"Surrogate-Key": "a b", "Cache-Tag": "c", "Cache-Groups": '"d"'}
    scene = Scene(edge, origin())
    scene.server.on("/a", answer(200, b"x", {**LONG, **tags}))
    scene.server.on("/private", answer(200, b"x", {"Cache-Control": "no-store", **tags}))
    for target in ("/a", "/a", "/private"):
        response = scene.get(target)
        assert {name: value for name, value in response.fields.pairs if name in tags} == {"Cache-Groups": '"d"'}
    scene.edge.stop()
    scene.edge.config["sites"][0]["tag_headers"] = ["Surrogate-Key"]
    scene.edge.start()
    purge(scene, site="demo")
    for _ in range(2):
        response = scene.get("/a")
        assert {name: value for name, value in response.fields.pairs if name in tags} == {"Surrogate-Key": "a b"}


def test_tags_that_a_304_changes(edge, origin):
    scene = Scene(edge, origin())
    old = {"Cache-Control": "max-age=0", "ETag": '"1"', "Surrogate-Key": "old"}
    new = {**LONG, "ETag": '"1"', "Surrogate-Key": "new"}
    scene.server.on_each("/a", [answer(200, b"1", old), answer(304, b"", new), answer(200, b"2", LONG)])
    assert [body(scene.get("/a")) for _ in range(2)] == [b"1", b"1"]
    purge(scene, site="demo", tag="old")
    assert "hit" in cache_status(scene.get("/a"))
    purge(scene, site="demo", tag="new")
    assert body(scene.get("/a")) == b"2"


def test_groups_that_a_method_invalidates(edge, origin):
    """RFC 9875: said by the response to an unsafe method, and by no other."""
    scene = Scene(edge, origin(), site={"pass_methods": ["POST", "QUERY"]})
    for target in ("/a", "/b"):
        versions(scene, target, **{"Cache-Groups": f'"{target[1:]}"'})
        scene.get(target)
    invalidation = {"Cache-Group-Invalidation": '"a", "c"', "Cache-Control": "no-store"}
    scene.server.on_each("/form", [answer(200, b"", invalidation), answer(200, b"", invalidation), answer(500, b"", invalidation),
                                   answer(200, b"", {"Cache-Group-Invalidation": '"a", c'}), answer(200, b"", invalidation)])
    for method in ("GET", "QUERY", "POST", "POST"):  # safe, safe, failed, not such a list
        scene.get("/form", {"Content-Length": "0"} if method != "GET" else (), method)
        assert body(scene.get("/a")) == b"1"
    scene.get("/form", {"Content-Length": "0"}, "POST")
    scene.wait_for("purges.durable", True)  # what is fetched before that is fetched once more
    assert [body(scene.get(target)) for target in ("/a", "/b")] == [b"2", b"1"]
    scene.edge.stop()
    scene.edge.start()
    assert [body(scene.get(target)) for target in ("/a", "/b")] == [b"2", b"1"]


# --- the call -------------------------------------------------------------------------------------------------------


def test_the_answer(edge, origin):
    scene = Scene(edge, origin(), site={"query_drop": ["session"]})
    document = purge(scene, site="demo", url=["/a/../b?session=1&y=2", "http://VIDEO.test:8080/c"], prefix="/d/%65", tag=["t", "ü"], soft=True)
    assert document.pop("since").endswith("Z")
    assert document == {
        "mode": "soft", "durable": True, "rules": 5, "rules_max": 65536, "folded": False,
        "purges": [{"id": 2, "kind": "url", "site": "demo", "match": "/b?y=2"}, {"id": 3, "kind": "url", "site": "demo", "match": "/c"},
                   {"id": 4, "kind": "prefix", "site": "demo", "match": "/d/e"}, {"id": 5, "kind": "tag", "site": "demo", "match": "t"},
                   {"id": 6, "kind": "tag", "site": "demo", "match": "ü"}]}
    assert purge(scene, site="demo")["purges"] == [{"id": 7, "kind": "site", "site": "demo"}]
    counted = scene.stats()["purges"]
    assert (counted["received"], counted["rules"], counted["newest"], counted["durable"]) == (6, 6, 7, True)


@pytest.mark.parametrize("order, status, word", [
    (b"", 400, "bad_json"), (b"{", 400, "bad_json"), (b"[]", 400, "bad_json"), (b'{"site":"demo","site":"demo"}', 400, "bad_json"),
    (b'{"url":"\xff"}', 400, "bad_json"), ({}, 400, "nothing_to_purge"), ({"soft": True}, 400, "nothing_to_purge"),
    ({"sites": "demo"}, 400, "unknown_field"), ({"site": "demo", "everything": True}, 400, "unknown_field"),
    ({"site": "nobody"}, 404, "unknown_site"), ({"site": 1}, 400, "bad_value"), ({"site": "demo", "soft": "yes"}, 400, "bad_value"),
    ({"url": []}, 400, "bad_value"), ({"url": [1]}, 400, "bad_value"), ({"url": "a"}, 400, "bad_url"), ({"url": ""}, 400, "bad_url"),
    ({"url": "*"}, 400, "bad_url"), ({"url": "http://video.test/a#b"}, 400, "bad_url"), ({"url": "http://video.test/%"}, 400, "bad_url"),
    ({"url": "http://video.test/a b"}, 400, "bad_url"), ({"url": "/a"}, 400, "site_missing"), ({"url": "http://other.test/a"}, 404, "unknown_host"),
    ({"site": "demo", "url": "http://video2.test/a"}, 400, "other_site"), ({"prefix": "http://video.test/a?b"}, 400, "bad_prefix"),
    ({"prefix": "http://video.test/" + "a" * 1100}, 400, "prefix_too_long"), ({"tag": "a"}, 400, "site_missing"),
    ({"site": "demo", "tag": ""}, 400, "bad_tag"), ({"site": "demo", "tag": "a\nb"}, 400, "bad_tag"),
    ({"site": "demo", "tag": "a" * 1025}, 400, "tag_too_long"), ({"site": "demo", "tag": ["a"] * 257}, 400, "too_many"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_bad_input(stage, origin, order, status, word):
    server = origin()
    running = stage.add_edge(sites=[{"name": name, "hosts": [f"{host}.test"], "origin": server.url}
                                    for name, host in (("demo", "video"), ("second", "video2"))])
    code, document = ask_purge(running, order)
    assert (code, document["error"]) == (status, word) and document["detail"]
    assert fetch(running.admin_address, "/stats").status == 200
    assert json.loads(body(fetch(running.admin_address, "/stats")))["purges"]["received"] == 0


def test_who_may_purge_on_this_machine(edge, origin):
    """Without a token: who reaches the loopback address, but no page in a browser."""
    scene = Scene(edge, origin())
    order = {"site": "demo"}
    assert ask_purge(scene.edge, order)[0] == 200
    assert ask_purge(scene.edge, order, {"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200
    for fields, status, word in (({"Origin": "http://evil.test"}, 403, "page_refused"), ({"Content-Type": "text/plain"}, 415, "not_json"),
                                 ({"Content-Type": None}, 415, "not_json")):
        code, document = ask_purge(scene.edge, order, fields)
        assert (code, document["error"]) == (status, word)
    for method in ("GET", "DELETE", "PURGE"):
        code, document = ask_purge(scene.edge, order, method=method)
        assert (code, document["error"]) == (405, "method_not_allowed")
    assert scene.stats()["purges"]["received"] == 2


def test_who_may_purge_from_elsewhere(stage, origin, tmp_path):
    """With a token: who knows it. Without one: nobody."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\nsomething else\n")
    site = {"name": "demo", "hosts": ["video.test"], "origin": origin().url}
    closed = stage.add_edge(sites=[site], admin="0.0.0.0:0")
    code, document = ask_purge(closed, {"site": "demo"}, {"Authorization": f"Bearer {TOKEN}"})
    assert (code, document["error"]) == (403, "purge_needs_token")
    for admin in ("0.0.0.0:0", "127.0.0.1:0"):
        guarded = stage.add_edge(sites=[site], admin=admin, admin_token_file=str(token_file))
        for authorization, status, word in ((None, 401, "token_missing"), ("Bearer", 401, "token_wrong"), ("Bearer ", 401, "token_wrong"),
                                            (f"Basic {TOKEN}", 401, "token_wrong"), (f"Bearer {TOKEN[:-1]}", 401, "token_wrong"),
                                            (f"Bearer {TOKEN}{TOKEN}", 401, "token_wrong"), (f"Bearer {TOKEN.upper()}", 401, "token_wrong")):
            code, document = ask_purge(guarded, {"site": "demo"}, {"Authorization": authorization})
            assert (code, document["error"]) == (status, word), authorization
        assert ask_purge(guarded, {"site": "demo"}, {"Authorization": f"bearer  {TOKEN}", "Origin": "http://console.test"})[0] == 200


@pytest.mark.parametrize("text", ["", "short\n", "x" * 600, "has spaces in it and more\n", None])
def test_a_token_file_that_has_none(edge, tmp_path, text):
    token_file = tmp_path / "token"
    if text is not None:
        token_file.write_text(text)
    unstarted = edge(sites=[{"name": "demo", "hosts": ["video.test"], "origin": "http://127.0.0.1:9"}], start=False,
                     admin_token_file=str(token_file))
    done = run_to_end("edge", unstarted.write_config(), folder=unstarted.folder)
    assert done.returncode == 1 and "admin_token_file" in done.stderr
    assert not text or text.strip() not in done.stderr


def test_explain(edge, origin):
    scene = Scene(edge, origin())
    versions(scene, "/a", **{"Cache-Tag": "red"})
    versions(scene, "/b")
    scene.get("/a")
    assert "purge" not in explain(scene, "/a")
    number = purge(scene, site="demo", tag="red", soft=True)["purges"][0]["id"]
    told = explain(scene, "/a")
    assert told["next"] == "revalidation" and told["why"] == "what is kept was soft purged"
    assert told["purge"].pop("since").endswith("Z")
    assert told["purge"] == {"id": number, "kind": "tag", "mode": "soft", "match": "red", "applies": True}
    purge(scene, prefix="http://video.test/a")
    told = explain(scene, "/a")
    assert (told["next"], told["why"]) == ("miss", "what is kept was purged")
    assert (told["purge"]["kind"], told["purge"]["match"], told["purge"]["applies"]) == ("prefix", "demo/a", True)
    assert body(scene.get("/a")) == b"2"
    assert "purge" not in explain(scene, "/a")
    told = explain(scene, "/ab")
    assert (told["next"], told["purge"]["kind"], told["purge"]["applies"]) == ("miss", "prefix", False)
    assert "purge" not in explain(scene, "/b")


def test_without_an_arena(edge, origin):
    """What is on its way is held against purges all the same."""
    scene, gate = Scene(edge, origin(), arena=None), threading.Event()
    scene.server.on_each("/a", [in_two(noise(100 * KIB), gate), answer(200, b"new", LONG)])
    with scene.connect() as before:
        before.request("/a")
        before.read(10)
        assert purge(scene, site="demo")["durable"]
        assert body(scene.get("/a")) == b"new"
        gate.set()
        assert body(before.response()) == noise(100 * KIB)
