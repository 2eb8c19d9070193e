# SPDX-License-Identifier: Apache-2.0
"""Where viewers are, who may watch, and who is sent to another edge. Edge "a" stands in Germany, edge "b" in the United
States; viewers are whom a trusted proxy says they are.
"""
import os
import signal
import socket
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from harness import browser, counters, media, mmdb
from harness.deadline import until
from harness.origin import answer
from harness.scene import HOST, Scene, cache_status, noise

GERMANY = {"country": {"iso_code": "DE"}, "location": {"latitude": 50.1, "longitude": 8.7}}
AMERICA = {"country": {"iso_code": "US"}, "location": {"latitude": 40.7, "longitude": -74.0}}
NETWORKS = {"192.0.2.0/24": GERMANY, "2001:db8:de::/48": GERMANY, "198.51.100.0/24": AMERICA}
GERMAN, AMERICAN, UNKNOWN = "192.0.2.7", "198.51.100.7", "203.0.113.7"
B_PORT = 8123  # nothing listens there: only the words of a redirect matter here

MULTIVARIANT = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nlow/index.m3u8\n"
MEDIA = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg.ts\n#EXT-X-ENDLIST\n"


def seen_from(address):
    return {"X-Forwarded-For": address}


@pytest.fixture(name="database")
def _database(tmp_path):
    mmdb.write(tmp_path / "city.mmdb", NETWORKS)
    return str(tmp_path / "city.mmdb")


# --- who may watch ---------------------------------------------------------------------------------------------


def country_scene(edge, origin, database, countries, geoip=None, trusted=("127.0.0.0/8",)):
    server = origin()
    server.on("/seg.ts", answer(200, b"segment", {"Cache-Control": "max-age=100"}))
    return Scene(edge, server, {"countries": countries} if countries else {}, trusted_proxies=list(trusted),
                 geoip={"database": database, **(geoip or {})})


def outcome(scene, *addresses):
    """Status of a request that came through these, the nearest last; and the reason when it was refused."""
    response = scene.get("/seg.ts", [("X-Forwarded-For", ", ".join(addresses))] if addresses else [])
    return (response.status, None if response.status == 200 else bytes(response.body).decode().strip())


@pytest.mark.parametrize("countries, german, american, unknown", [
    ({"deny": ["US"]}, (200, None), (403, "country_denied"), (200, None)),
    ({"allow": ["DE", "FR"]}, (200, None), (403, "country_not_allowed"), (403, "country_not_allowed")),
    (None, (200, None), (200, None), (200, None)),
], ids=["deny", "allow", "neither"])
def test_countries(edge, origin, database, countries, german, american, unknown):
    scene = country_scene(edge, origin, database, countries)
    assert outcome(scene, GERMAN) == german
    assert outcome(scene, "2001:db8:de::1") == german
    assert outcome(scene, AMERICAN) == american
    assert outcome(scene, UNKNOWN) == unknown
    refused = [reason for status, reason in (german, german, american, unknown) if status == 403]
    document = scene.wait_for("sites.demo.requests", 4)
    assert document["refusals"]["country_denied"] == refused.count("country_denied")
    assert document["refusals"]["country_not_allowed"] == refused.count("country_not_allowed")
    assert document["sites"]["demo"]["by_cause"]["refused"]["requests"] == len(refused)
    records = scene.records("/seg.ts", 4)
    assert sorted(record.get("country", "") for record in records) == ["", "DE", "DE", "US"]
    assert {record["viewer"] for record in records} == {"192.0.2.0", "2001:db8:de::", "198.51.100.0", "203.0.113.0"}


def test_a_hit_is_refused_too(edge, origin, database):
    scene = country_scene(edge, origin, database, {"deny": ["US"]})
    assert outcome(scene, GERMAN) == (200, None)
    assert outcome(scene, AMERICAN) == (403, "country_denied")
    assert "hit" in cache_status(scene.get("/seg.ts", seen_from(GERMAN)))


def test_only_trusted_proxies_are_believed(edge, origin, database):
    scene = country_scene(edge, origin, database, {"deny": ["US"]}, trusted=["10.0.0.0/8"],
                          geoip={"overrides": [{"prefix": "127.0.0.0/8", "country": "US"}]})
    assert outcome(scene) == (403, "country_denied")
    assert outcome(scene, GERMAN) == (403, "country_denied")  # the peer is no proxy of ours, whatever it says


def test_what_a_viewer_writes_before_the_proxy_is_not_believed(edge, origin, database):
    scene = country_scene(edge, origin, database, {"deny": ["US"]}, trusted=["127.0.0.0/8", "10.0.0.0/8"])
    assert outcome(scene, GERMAN, AMERICAN) == (403, "country_denied")
    assert outcome(scene, GERMAN, AMERICAN, "10.1.2.3") == (403, "country_denied")
    assert outcome(scene, AMERICAN, GERMAN, "10.1.2.3") == (200, None)
    assert outcome(scene, AMERICAN, "no address") == (200, None)  # left of it nothing counts; the proxy is nowhere


def test_overrides_go_before_the_database(edge, origin, database):
    overrides = [{"prefix": "192.0.2.0/28", "country": "US"}, {"prefix": "203.0.113.0/24", "country": "US"}]
    scene = country_scene(edge, origin, database, {"deny": ["US"]}, geoip={"overrides": overrides})
    assert outcome(scene, GERMAN) == (403, "country_denied")
    assert outcome(scene, UNKNOWN) == (403, "country_denied")
    assert outcome(scene, "192.0.2.100") == (200, None)


def test_databases_with_the_country_elsewhere(edge, origin, tmp_path):
    mmdb.write(tmp_path / "flat.mmdb", {"198.51.100.0/24": {"country_code": "US"}}, "Flat")
    scene = country_scene(edge, origin, str(tmp_path / "flat.mmdb"), {"deny": ["US"]},
                          geoip={"country_field": "country_code"})
    assert outcome(scene, AMERICAN) == (403, "country_denied")
    assert outcome(scene, GERMAN) == (200, None)


# --- a new database ----------------------------------------------------------------------------------------------


def exchange(database, networks):
    """As an updater does: the new one in the old one's place at once."""
    mmdb.write(f"{database}.new", networks)
    os.rename(f"{database}.new", database)


class Viewers:
    """Ask all the time, as German, until the end; whatever is not answered as it should be is kept."""

    def __init__(self, scene, count):
        self.scene, self.outcomes, self.complaints, self.is_over = scene, set(), [], threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _ask(self):
        try:
            while not self.is_over.is_set():
                self.outcomes.add(outcome(self.scene, GERMAN))
        except (AssertionError, OSError) as error:
            self.complaints.append(error)

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()
        assert not self.complaints


def test_exchanged_by_itself_under_viewers(edge, origin, database):
    scene = country_scene(edge, origin, database, {"deny": ["US"]}, geoip={"reload_interval": "10ms"})
    assert outcome(scene, GERMAN) == (200, None)
    assert scene.stats()["geoip"]["reloads"] == 0
    viewers = Viewers(scene, 3)
    for count, country in enumerate([AMERICA, GERMANY, AMERICA], 1):
        exchange(database, {"192.0.2.0/24": country})
        scene.wait_for("geoip.reloads", lambda seen, least=count: seen >= least)
    until(lambda: (403, "country_denied") in viewers.outcomes, "the viewers to be seen in America")
    viewers.end()
    assert outcome(scene, GERMAN) == (403, "country_denied")
    assert viewers.outcomes == {(200, None), (403, "country_denied")}
    assert scene.stats()["geoip"]["reload_failures"] == 0


@pytest.mark.parametrize("fault", ["garbage", "cut short", "no countries", "gone"])
def test_a_bad_one_is_named_and_the_old_one_stays(edge, origin, database, fault):
    scene = country_scene(edge, origin, database, {"deny": ["US"]}, geoip={"reload_interval": "1d"})
    if fault == "garbage":
        Path(database).write_bytes(noise(10000))
    elif fault == "cut short":  # in place, under the edge
        os.truncate(database, os.path.getsize(database) // 2)
    elif fault == "no countries":
        exchange(database, {"192.0.2.0/24": {"continent": "EU"}})
    else:
        os.unlink(database)
    scene.edge.process.send_signal(signal.SIGHUP)
    document = scene.wait_for("geoip.reload_failures", 1)
    assert document["geoip"]["reloads"] == 0
    assert any(database in line and "stays in use" in line for line in scene.edge.log().splitlines())
    assert outcome(scene, GERMAN) == (200, None)
    assert outcome(scene, AMERICAN) == (403, "country_denied")
    exchange(database, {"192.0.2.0/24": AMERICA})
    scene.edge.process.send_signal(signal.SIGHUP)
    scene.wait_for("geoip.reloads", 1)
    assert outcome(scene, GERMAN) == (403, "country_denied")
    assert outcome(scene, AMERICAN) == (200, None)


# --- who is sent elsewhere ---------------------------------------------------------------------------------------


def route_fields(name, database):
    """Of the configuration of edge a or b."""
    return {
        "edge": name,
        "trusted_proxies": ["127.0.0.0/8"],
        "geoip": {"database": database},
        "edges": [
            {"name": "a", "address": "192.0.2.1", "country": "DE", "latitude": 50.1, "longitude": 8.7},
            {"name": "b", "address": "198.51.100.1", "country": "US", "latitude": 40.7, "longitude": -74.0,
             "http_port": B_PORT},
        ],
    }


@pytest.fixture(name="route")
def _route(edge, origin, database):
    """route("b", cors_origins=[...]): a scene of that edge."""
    def start(name="a", **site):
        server = origin()
        for path in ("/main.m3u8", "/play"):
            server.on(path, answer(200, MULTIVARIANT, {"Content-Type": "application/vnd.apple.mpegurl"}))
        for path in ("/low/index.m3u8", "/alone.m3u8"):
            server.on(path, answer(200, MEDIA, {"Content-Type": "application/vnd.apple.mpegurl"}))
        server.on("/low/seg.ts", answer(200, b"segment"))
        return Scene(partial(edge, route_fields(name, database)), server, {"edge_host": "{edge}.video.test", **site})
    return start


def location(scene, target, fields=(), address=AMERICAN, **request):
    """Where a viewer is sent; None when served."""
    response = scene.get(target, {**seen_from(address), **dict(fields)}, **request)
    assert response.status in (200, 302), response.status
    return response.fields["Location"] if response.status == 302 else None


def test_first_playlist_is_redirected(route):
    scene = route()
    response = scene.get("/main.m3u8", seen_from(AMERICAN))
    assert response.status == 302
    assert response.fields["Location"] == f"http://b.video.test:{B_PORT}/main.m3u8?shorebreak-from=a"
    assert response.fields["Cache-Control"] == "no-store"  # the next viewer may be elsewhere
    assert cache_status(response) == {"detail": bytes(response.body).decode().strip()} == {"detail": "same_country"}
    head = scene.get("/main.m3u8", seen_from(AMERICAN), method="HEAD")
    assert (head.status, head.fields["Location"]) == (302, response.fields["Location"])
    assert scene.server.count() == 0
    site = scene.site_stats(2)
    assert site["by_class_and_cause"]["playlist"]["redirect"]["requests"] == 2
    assert site["statuses"] == {"302": 2}
    assert scene.records("/main.m3u8")[0]["reason"] == "same_country"


def test_query_is_kept(route):
    target = f"http://b.video.test:{B_PORT}/main.m3u8?token=a%20b&x&shorebreak-from=a"
    assert location(route(), "/main.m3u8?token=a%20b&x") == target


def test_viewers_who_are_served_best_here_stay(route):
    scene = route()
    for address in (GERMAN, UNKNOWN):
        assert location(scene, "/main.m3u8", address=address) is None


def test_only_the_first_playlist_is_redirected(route):
    scene = route()
    assert location(scene, "/main.m3u8", address=GERMAN) is None  # from here on it is known what it lists
    scene.wait_for("flights.active", 0)
    assert location(scene, "/low/index.m3u8") is None
    assert location(scene, "/low/seg.ts") is None
    assert location(scene, "/main.m3u8") is not None
    assert location(scene, "/alone.m3u8") is not None  # nobody lists it: it is the first


def test_a_playlist_known_by_its_content_alone(route):
    scene = route()
    assert location(scene, "/play") is None  # could be anything
    scene.wait_for("flights.active", 0)
    assert location(scene, "/play") == f"http://b.video.test:{B_PORT}/play?shorebreak-from=a"


def test_never_twice(route):
    """Each edge would have the viewer at the other one; who was sent once, or asks by an edge's own name, stays."""
    a, b = route("a"), route("b")
    for scene, address in ((a, AMERICAN), (b, GERMAN)):
        assert location(scene, "/main.m3u8", address=address) is not None
        assert location(scene, "/main.m3u8?shorebreak-from=b", address=address) is None
        for host in ("a.video.test", "b.video.test", "B.Video.TEST:8123"):
            assert location(scene, "/main.m3u8", address=address, host=host) is None


def test_marker_and_edge_name_are_no_part_of_key_and_request(route):
    scene = route("b")
    targets = ["/main.m3u8?x=1&shorebreak-from=a", "/main.m3u8?shorebreak-from=a&x=1", "/main.m3u8?x=1"]
    hosts = ["b.video.test", HOST, "b.video.test"]
    responses = [scene.get(target, seen_from(AMERICAN), host=host) for target, host in zip(targets, hosts)]
    assert [bytes(response.body) for response in responses] == 3 * [MULTIVARIANT]
    assert ["hit" in cache_status(response) for response in responses] == [False, True, True]
    assert [request.target for request in scene.server.requests] == ["/main.m3u8?x=1"]
    assert b"shorebreak-from" not in scene.server.requests[0].raw_head
    assert b"b.video.test" not in scene.server.requests[0].raw_head


def test_redirect_is_readable_by_the_players_page(route):
    """A browser follows a redirect that it may read; behind one to another origin it says Origin: null."""
    page = "https://player.test"
    scene = route(cors_origins=[page])
    response = scene.get("/main.m3u8", {**seen_from(AMERICAN), "Origin": page})
    assert (response.status, response.fields["Access-Control-Allow-Origin"]) == (302, page)
    assert response.fields["Vary"] == "Origin"
    other = scene.get("/main.m3u8", {**seen_from(AMERICAN), "Origin": "https://evil.test"})
    assert "Access-Control-Allow-Origin" not in other.fields

    target = route("b", cors_origins=[page])
    followed = target.get("/main.m3u8?shorebreak-from=a", {"Origin": "null"}, host="b.video.test")
    assert (followed.status, followed.fields["Access-Control-Allow-Origin"]) == (200, "null")
    by_site_name = target.get("/main.m3u8", {"Origin": "null"})  # nobody is sent there
    assert "Access-Control-Allow-Origin" not in by_site_name.fields
    anybody = route("b").get("/main.m3u8", {"Origin": "null"}, host="b.video.test")
    assert anybody.fields["Access-Control-Allow-Origin"] == "*"


def test_preflight_is_answered_where_it_is_asked(route):
    response = route().get("/main.m3u8", {**seen_from(AMERICAN), "Origin": "https://player.test",
                                          "Access-Control-Request-Method": "GET",
                                          "Access-Control-Request-Headers": "x-session"}, method="OPTIONS")
    assert (response.status, response.fields["Access-Control-Allow-Origin"]) == (204, "*")
    assert response.fields["Access-Control-Allow-Headers"] == "x-session"


# --- a browser -------------------------------------------------------------------------------------------------


SITE_NAME = "video.example.test"


def free_port(*addresses):
    """One that nobody listens at, at any of the addresses."""
    while True:
        with ExitStack() as stack:
            port = stack.enter_context(socket.create_server((addresses[0], 0))).getsockname()[1]
            try:
                for address in addresses[1:]:
                    stack.enter_context(socket.create_server((address, port)))
                return port
            except OSError:
                continue


def https_edge(edge, name, address, port, source, tls):
    """Edge a or b of two that know each other. Viewers from this machine are in America."""
    return edge(
        edge=name, listen=[{"address": f"{address}:{port}", "tls": True}],
        geoip={"overrides": [{"prefix": "127.0.0.0/8", "country": "US"}]},
        edges=[{"name": "a", "address": "127.0.0.2", "country": "DE", "https_port": port},
               {"name": "b", "address": "127.0.0.3", "country": "US", "https_port": port}],
        sites=[{"name": "demo", "hosts": [SITE_NAME], "edge_host": "{edge}.video.example.test", "origin": source.url,
                "tls": tls, "cors_origins": [source.page_origin]}])


def test_a_browser_follows_over_https(edge, shim, authority, tmp_path):
    """hls.js asks edge a for the multivariant playlist by the site's name, and all else comes from edge b. The page's
    origin is the only one that may read, and after the redirect the browser says null.
    """
    browser.make_page(tmp_path / "page/player")
    page, media_shim = shim(tmp_path / "page"), shim(media.sample())
    media_shim.page_origin = page.url
    chain, key = authority.issue(SITE_NAME, f"*.{SITE_NAME}")
    tls = {"certificate": str(chain), "key": str(key)}
    port = free_port("127.0.0.2", "127.0.0.3")
    a, b = (https_edge(edge, name, address, port, media_shim, tls)
            for name, address in (("a", "127.0.0.2"), ("b", "127.0.0.3")))
    seen = browser.play(
        f"{page.url}/player/", "--url", f"https://{SITE_NAME}:{port}/ts/master.m3u8", "--ignore-certificate-errors",
        "--host-resolver-rules", f"MAP {SITE_NAME} 127.0.0.2, MAP a.{SITE_NAME} 127.0.0.2, MAP b.{SITE_NAME} 127.0.0.3")
    host_b = f"b.{SITE_NAME}:{port}"
    assert browser.hosts_of(seen["fragments"]) == {host_b}
    assert browser.hosts_of(seen["playlists"]) == {host_b}
    assert {fragment["level"] for fragment in seen["fragments"]} == {0, 1}
    at_a = counters.wait_for(a, "connections.active", 0)["sites"]["demo"]
    assert (at_a["requests"], at_a["by_cause"]["redirect"]["requests"], at_a["bytes_origin"]) == (1, 1, 0)
    at_b = counters.wait_for(b, "connections.active", 0)["sites"]["demo"]
    assert at_b["by_cause"]["redirect"]["requests"] == 0
    assert at_b["by_class"]["segment"]["bytes_out"] >= sum(fragment["bytes"] for fragment in seen["fragments"])
