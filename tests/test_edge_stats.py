# SPDX-License-Identifier: Apache-2.0
"""What is counted is what has happened: /stats, /metrics and the access log against what viewers got and origins sent,
to the byte. And the page that shows it.
"""
import json
import re
import signal
import subprocess
import threading
from datetime import datetime

import pytest

from harness import browser, counters
from harness.client import Connection, fetch
from harness.deadline import until
from harness.origin import answer, chunk, head, last_chunk, send, wait
from harness.scene import HOST, KIB, MIB, Scene, noise

FIGURES = ("requests", "bytes_out", "bytes_origin")


# --- consistent with itself --------------------------------------------------------------------------------------


def total(cells, figure):
    return sum(cell[figure] for cell in cells)


def check_sums(document):
    """All ways to add the requests and bytes up say the same."""
    sites = [*document["sites"].values(), document["no_site"]]
    for figure in FIGURES:
        assert document[figure] == total(sites, figure), figure
        for scope in (document, *sites):
            assert scope[figure] == total(scope["by_class"].values(), figure), figure
            assert scope[figure] == total(scope["by_cause"].values(), figure), figure
        for site in sites:
            for name, causes in site["by_class_and_cause"].items():
                assert site["by_class"][name][figure] == total(causes.values(), figure), (name, figure)
    for scope in (document, *sites):
        assert scope["requests"] == sum(scope["statuses"].values())
        assert scope["byte_hit_ratio"] == (pytest.approx(byte_hit_ratio(scope)) if delivered(scope) else None)
    assert document["requests_aborted"] == total(sites, "requests_aborted")
    for cause, histogram in document["first_byte"]["by_cause"].items():
        assert histogram["count"] == sum(histogram["buckets"]), cause
    assert document["flights"]["started"] == document["origin"]["requests"]


def delivered(scope):
    causes = ("hit", "coalesced", "miss", "expired", "revalidated", "stale", "uncacheable")
    return sum(scope["by_cause"][cause]["bytes_out"] for cause in causes)


def byte_hit_ratio(scope):
    return 1 - scope["bytes_origin"] / delivered(scope)


# --- consistent with the world -----------------------------------------------------------------------------------


class Viewers:
    """Whole responses over plain and encrypted connections, and what they came to, by status."""

    def __init__(self, program, tls):
        self.program, self.tls = program, tls
        self.received_bytes, self.requests, self.statuses = 0, 0, {}

    def ask(self, target, fields=(), method="GET", host=HOST, encrypted=False, raw=None):
        address = self.program.tls_address if encrypted else self.program.address
        with Connection(address, host=host, tls=self.tls if encrypted else None) as viewer:
            viewer.send(raw) if raw else viewer.request(target, fields, method)
            self.add(viewer, viewer.response())

    def add(self, viewer, response):
        self.received_bytes += viewer.received_bytes
        self.requests += 1
        status = str(response.status)
        self.statuses[status] = self.statuses.get(status, 0) + 1


def script(server):
    """Something of each kind."""
    kept = {"Cache-Control": "max-age=1000"}
    server.file("/kept.ts", noise(300 * KIB), kept)
    server.file("/sliced.mp4", noise(3 * MIB + 3), kept)
    server.file("/main.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nlow.m3u8\n", kept)
    server.on("/chunked", [head(200, {"Transfer-Encoding": "chunked", **kept}), chunk(noise(70 * KIB)),
                           chunk(noise(5)), last_chunk()])
    server.on("/private", answer(200, noise(100 * KIB), {"Cache-Control": "private"}))
    server.file("/expiring.ts", noise(KIB), {"Cache-Control": "max-age=0"})
    server.on("/bad", [send(b"SSH-2.0-nonsense\r\n\r\n")])


def ask_for_everything(viewers):
    for _ in range(2):
        for target in ("/kept.ts", "/sliced.mp4", "/main.m3u8", "/chunked", "/private", "/expiring.ts", "/none.ts"):
            viewers.ask(target)
            viewers.ask(target, encrypted=True)
        viewers.ask("/bad")
    viewers.ask("/kept.ts", {"Range": "bytes=5-1000"})
    viewers.ask("/sliced.mp4", {"Range": "bytes=-1000000"}, encrypted=True)
    viewers.ask("/kept.ts", {"Range": "bytes=99999999-"})
    viewers.ask("/kept.ts", {"If-None-Match": "*"})
    viewers.ask("/kept.ts", method="HEAD")
    viewers.ask("/absent", method="HEAD")
    viewers.ask("/kept.ts", {"Origin": "https://player.test"}, method="OPTIONS")
    viewers.ask("/kept.ts", method="DELETE")
    viewers.ask("/kept.ts", host="unknown.test")
    viewers.ask("/kept.ts", raw=b"GET /kept.ts HTTP/1.1\r\n\r\n")  # no Host
    viewers.ask("/kept.ts", raw=b"nonsense\r\n\r\n")


def ask_together(viewers, server):
    """Twenty viewers on one flight."""
    gate, data = threading.Event(), noise(500 * KIB)
    server.on("/shared.ts", [head(200, {"Content-Length": len(data), "Cache-Control": "max-age=9"}), send(data[:1]),
                             wait(gate), send(data[1:])])
    connections = [Connection(viewers.program.address, host=HOST) for _ in range(20)]
    for viewer in connections:
        viewer.request("/shared.ts")
    for viewer in connections:
        viewer.read(1)
    gate.set()
    for viewer in connections:
        viewers.add(viewer, viewer.response())
        viewer.close()


@pytest.fixture(name="busy")
def _busy(edge, origin, authority):
    """(edge, viewers, origin) after requests of all kinds, at rest."""
    server = origin()
    script(server)
    chain, key = authority.issue(HOST)
    scene = Scene(edge, server, {"tls": {"certificate": str(chain), "key": str(key)}},
                  listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}])
    viewers = Viewers(scene.edge, authority.client_context())
    ask_for_everything(viewers)
    ask_together(viewers, server)
    scene.wait_for("connections.active", 0)
    scene.wait_for("flights.active", 0)
    return scene.edge, viewers, server


def test_counted_is_what_was_seen(busy):
    program, viewers, server = busy
    document = counters.stats(program)
    check_sums(document)
    assert document["requests"] == viewers.requests
    assert document["statuses"] == viewers.statuses
    assert document["bytes_out"] == viewers.received_bytes
    assert document["bytes_origin"] == server.sent_bytes == document["sites"]["demo"]["bytes_origin"]
    assert document["origin"]["bytes_received"] == server.sent_bytes
    assert document["origin"]["bytes_sent"] == sum(len(request.raw_head) for request in server.requests)
    assert document["origin"]["requests"] == server.count() == sum(document["origin"]["results"].values())
    assert document["origin"]["connections_opened"] == server.connections_opened
    assert document["connections"]["opened"] == document["connections"]["closed"] == viewers.requests
    assert document["flights"]["coalesced"] == document["by_cause"]["coalesced"]["requests"] == 19
    assert document["requests_aborted"] == 0
    assert document["access_log"] == {"records": viewers.requests, "dropped": 0, "failed": 0}


def test_causes_and_classes(busy):
    program, _, _ = busy
    document = counters.stats(program)
    cells = document["sites"]["demo"]["by_class_and_cause"]
    requests = {(name, cause): cell["requests"] for name, causes in cells.items() for cause, cell in causes.items()}
    assert {word for _, word in requests} >= {"hit", "miss", "coalesced", "revalidated", "uncacheable", "local",
                                              "refused", "error"}
    assert requests["playlist", "miss"] == 1
    assert requests["playlist", "hit"] == 3
    assert requests["segment", "coalesced"] == 19
    assert requests["segment", "revalidated"] == 3
    assert 0 < cells["segment"]["revalidated"]["bytes_origin"] < KIB  # three heads
    assert not any(document["by_cause"]["expired"].values())
    assert document["refusals"]["unknown_host"] == 1
    assert document["refusals"]["method_not_allowed"] == 1
    assert document["no_site"]["requests"] == 3
    assert document["origin"]["results"]["origin_bad_response"] == 2


def test_connections_to_an_origin_are_used_again(edge, origin):
    """Whatever it answered: a body, a 304, a 404."""
    server = origin()
    server.file("/expiring.ts", noise(KIB), {"Cache-Control": "max-age=0"})
    scene = Scene(edge, server, workers=1)
    for _ in range(4):
        assert scene.get("/expiring.ts").body == noise(KIB)
        assert scene.get("/none.ts", method="HEAD").status == 404
    used = scene.wait_for("flights.active", 0)["origin"]
    assert server.connections_opened == used["connections_opened"] == 1
    assert used["results"]["ok"] == used["requests"] == used["connections_reused"] + 1 == server.count()
    assert scene.stats()["by_cause"]["revalidated"]["requests"] == 3


def test_access_log_says_the_same(busy):
    program, viewers, _ = busy
    records = until(lambda: len(program.access_log()) == viewers.requests and program.access_log(), "all its lines")
    document = counters.stats(program)
    assert sum(record["bytes_sent"] for record in records) == document["bytes_out"]
    for cause, cell in document["by_cause"].items():
        of_cause = [record for record in records if record["cause"] == cause]
        assert len(of_cause) == cell["requests"], cause
    for name, cell in document["by_class"].items():
        assert sum(record["class"] == name for record in records) == cell["requests"], name
    for record in records:
        assert record["edge"] == "test"
        assert record["viewer"] == "127.0.0.0"
        assert datetime.fromisoformat(record["time"].replace("Z", "+00:00")).tzinfo
        assert record["first_byte_us"] <= record["duration_us"]
        assert ("reason" in record) == (record["cause"] in ("refused", "error")), record


# --- metrics -----------------------------------------------------------------------------------------------------


def samples(text):
    """{("shorebreak_requests_total", (("cause", "hit"), ...)): 12.0}"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r"([a-z0-9_]+)(?:\{(.*)\})? (\S+)", line).groups()
        pairs = tuple(sorted(re.findall(r'([a-z_]+)="([^"]*)"', labels or "")))
        assert (name, pairs) not in found, line
        found[name, pairs] = float(value)
    return found


def test_metrics_say_the_same(busy):
    program, _, _ = busy
    response = fetch(program.admin_address, "/metrics")
    assert response.fields["Content-Type"].startswith("text/plain; version=0.0.4")
    checked = subprocess.run(["promtool", "check", "metrics"], input=bytes(response.body), capture_output=True,
                             check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    found, document = samples(bytes(response.body).decode()), counters.stats(program)

    def summed(name, **labels):
        wanted = set(labels.items())
        return sum(value for (other, pairs), value in found.items() if other == name and wanted <= set(pairs))
    for figure, name in zip(FIGURES, ("requests", "sent_bytes", "origin_received_bytes")):
        for cause, cell in document["by_cause"].items():
            assert summed(f"shorebreak_{name}_total", cause=cause) == cell[figure], (cause, figure)
        assert summed(f"shorebreak_{name}_total", site="demo") == document["sites"]["demo"][figure]
    for status, count in document["statuses"].items():
        assert summed("shorebreak_responses_total", status=status) == count
    for cause, histogram in document["first_byte"]["by_cause"].items():
        assert summed("shorebreak_first_byte_seconds_count", cause=cause) == histogram["count"]
    assert summed("shorebreak_flights_started_total") == document["flights"]["started"]


def test_admin_answers_little_else(edge, origin):
    scene = Scene(edge, origin())

    def admin(target, method="GET"):
        response = fetch(scene.edge.admin_address, target, method=method)
        return response.status, bytes(response.body)
    assert admin("/healthz") == (200, b"ok\n")
    assert admin("/healthz", "HEAD") == (200, b"")
    assert admin("/none")[0] == 404
    assert admin("/stats", "POST")[0] == 405
    assert admin("/")[1].startswith(b"<!doctype html>")
    assert scene.stats()["requests"] == 0  # its own requests are nobody's traffic


# --- ends that are none --------------------------------------------------------------------------------------------


def test_a_viewer_who_leaves_is_an_aborted_request(edge, origin):
    server, gate = origin(), threading.Event()
    server.on("/seg.ts", [head(200, {"Content-Length": 1000}), send(b"x" * 10), wait(gate), send(b"x" * 990)])
    server.on("/late.ts", [wait(gate), *answer(200, b"late")])
    scene = Scene(edge, server)
    viewer = scene.connect()
    viewer.request("/seg.ts")
    viewer.read(10)
    received = viewer.received_bytes
    viewer.reset()
    site = scene.site_stats(1)
    assert (site["requests_aborted"], site["statuses"], site["bytes_out"]) == (1, {"200": 1}, received)
    viewer = scene.connect()
    viewer.request("/late.ts")
    server.wait_for_requests(1, "/late.ts")
    viewer.reset()
    site = scene.site_stats(2)
    assert (site["requests_aborted"], site["statuses"]) == (2, {"200": 1, "none": 1})
    assert [scene.records(target)[0]["status"] for target in ("/seg.ts", "/late.ts")] == [200, 0]
    assert scene.records("/seg.ts")[0]["reason"]
    gate.set()
    scene.wait_for("flights.active", 0)
    check_sums(scene.stats())


def test_bytes_of_a_fill_without_readers_are_orphans(edge, origin):
    server, gate, data = origin(), threading.Event(), noise(800 * KIB)
    server.on("/seg.ts", [head(200, {"Content-Length": len(data), "Cache-Control": "max-age=100"}), send(data[:100]),
                          wait(gate), send(data[100:])])
    scene = Scene(edge, server)
    viewer = scene.connect()
    viewer.request("/seg.ts")
    viewer.read(100)
    viewer.reset()
    scene.site_stats(1)
    gate.set()
    scene.wait_for("flights.active", 0)
    causes = scene.stats()["by_cause"]
    assert causes["orphan"]["bytes_origin"] == len(data) - 100
    assert causes["miss"]["bytes_origin"] == server.sent_bytes - len(data) + 100
    assert scene.get("/seg.ts").body == data  # it was worth finishing
    assert server.count() == 1


# --- the access log ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, v4, v6", [
    (None, "127.0.0.0", "2001:db8:1::"),
    ("truncated", "127.0.0.0", "2001:db8:1::"),
    ("full", "127.0.0.1", "2001:db8:1:2::3"),
    ("none", None, None),
])
def test_viewers_addresses(edge, origin, tmp_path, mode, v4, v6):
    log = {"path": str(tmp_path / "access.log"), **({"viewer_address": mode} if mode else {})}
    scene = Scene(edge, origin(), access_log=log, trusted_proxies=["127.0.0.1"])
    scene.get("/v4")
    scene.get("/v6", {"X-Forwarded-For": "2001:db8:1:2::3"})
    assert scene.records("/v4")[0].get("viewer") == v4
    assert scene.records("/v6")[0].get("viewer") == v6
    if mode != "full":
        assert "127.0.0.1" not in (tmp_path / "access.log").read_text()


def test_whatever_viewers_send_the_lines_are_json(edge, origin):
    scene = Scene(edge, origin())
    agents = [b'quote " backslash \\ </script>', b"\xff\xfe broken \xc3", "Bäcker \u2603".encode(), b"a" * 400]
    for number, agent in enumerate(agents):
        with scene.connect() as viewer:
            viewer.send(b"GET /%d?q=%%22\"'&x=\\ HTTP/1.1\r\nHost: video.test\r\n" % number)
            viewer.send(b"User-Agent: %s\r\n\r\n" % agent, None)
            viewer.response()
    scene.wait_for("requests", len(agents))
    records = until(lambda: len(scene.edge.access_log()) == len(agents) and scene.edge.access_log(), "all lines")
    by_agent = sorted(record.get("user_agent", "") for record in records)
    assert agents[0].decode() in by_agent
    assert agents[2].decode() in by_agent
    assert "a" * 256 in by_agent


def test_a_signal_opens_the_log_anew(edge, origin):
    scene = Scene(edge, origin())
    scene.get("/before")
    scene.records("/before")
    path = scene.edge.folder / "access.log"
    path.rename(path.with_suffix(".old"))
    scene.edge.process.send_signal(signal.SIGHUP)
    until(path.exists, "the new file")
    scene.get("/after")
    scene.records("/after")
    assert [json.loads(line)["target"] for line in path.read_text().splitlines()] == ["/after"]
    assert [json.loads(line)["target"] for line in path.with_suffix(".old").read_text().splitlines()] == ["/before"]


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_shows_what_is_counted(busy, tmp_path):
    program, viewers, _ = busy
    seen = browser.look(f"{program.admin_url}/", "#sites tr", tmp_path / "stats.png")
    assert seen["errors"] == []
    assert seen["title"] == "test · Shorebreak"
    document = counters.stats(program)
    assert f"{100 * document['byte_hit_ratio']:.1f}" in seen["text"]
    row = next(line for line in seen["text"].splitlines() if line.startswith("demo\t"))
    assert row.split("\t")[1] == str(viewers.requests - 3)
    for word in ("coalesced", "revalidated", "unknown_host", "origin_bad_response"):
        assert word in seen["text"]
    assert (tmp_path / "stats.png").stat().st_size > 10000
