# SPDX-License-Identifier: Apache-2.0
"""What one viewer may use: connections and requests. Each refusal has one name in the response, the log and the
counters, and others notice nothing of it.
"""
import re
import socket

import pytest

from harness import counters
from harness.deadline import until
from harness.h2 import H2
from harness.origin import answer
from harness.scene import HOST, Scene

LONG = {"Cache-Control": "max-age=1000"}


def scene_of(edge, origin, limits, workers=2, **site):
    scene = Scene(edge, origin(), site=site, limits=limits, workers=workers)
    scene.server.on("/seg.ts", answer(200, b"segment", LONG))
    assert scene.get("/seg.ts").status == 200
    return scene


def from_address(scene, source):
    """A bare connection from one of the loopback addresses."""
    return socket.create_connection(scene.edge.address, timeout=30, source_address=(source, 0))


def ask(viewer, target="/seg.ts"):
    """The status of one kept-alive request; None when the connection was closed."""
    try:
        viewer.sendall(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data or not data.endswith((b"segment", b"\n")):
            more = viewer.recv(65536)
            if not more:
                return None
            data += more
    except (ConnectionResetError, BrokenPipeError):
        return None
    return int(data.split()[1])


def refused(scene, word):
    return counters.value(scene.stats(), f"refusals.{word}")


def logged(scene, word):
    return until(lambda: [r for r in scene.edge.access_log() if r.get("reason") == word], f"a record of {word}")


def close_all(viewers):
    for viewer in viewers:
        viewer.close()


def test_a_client_s_idle_connections_give_way_to_its_new_ones(edge, origin):
    scene = scene_of(edge, origin, {"connections_per_client_max": 4}, workers=1)
    viewers = [from_address(scene, "127.0.0.9") for _ in range(12)]
    assert ask(viewers[-1]) == 200
    word = "too_many_connections_of_client"
    scene.wait_for(f"refusals.{word}", lambda count: count >= 8)
    assert logged(scene, word)[0]["status"] == 0
    with scene.connect() as other:
        other.request("/seg.ts")
        assert other.response().status == 200
    close_all(viewers)


def test_a_client_s_busy_connections_do_not_give_way(edge, origin):
    """What is being answered is never cut off: the new one is refused."""
    scene = Scene(edge, origin(), limits={"connections_per_client_max": 2}, workers=1)
    scene.server.on("/slow", [])  # never answers
    busy = [from_address(scene, "127.0.0.9") for _ in range(2)]
    for viewer in busy:
        viewer.sendall(f"GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    scene.wait_for("flights.readers", 2)
    late = from_address(scene, "127.0.0.9")
    assert late.recv(1) == b""
    assert refused(scene, "too_many_connections_of_client") == 1
    close_all([*busy, late])


def test_a_prefix(edge, origin):
    scene = scene_of(edge, origin, {"connections_per_prefix_max": 4}, workers=1)
    viewers = [from_address(scene, f"127.0.9.{i}") for i in range(1, 13)]
    scene.wait_for("refusals.too_many_connections_of_prefix", lambda count: count >= 8)
    with scene.connect() as other:
        other.request("/seg.ts")
        assert other.response().status == 200
    close_all(viewers)


def test_the_whole_is_of_all_workers(edge, origin):
    """Idle ones give way to a newcomer, at the worker that he came to: one that has none turns him away."""
    scene = scene_of(edge, origin, {"connections_max": 20, "connections_per_client_max": 6})
    viewers = [from_address(scene, f"127.0.9.{1 + i // 5}") for i in range(60)]
    document = scene.wait_for("refusals.too_many_connections", lambda count: count >= 40)
    assert document["connections"]["active"] <= 20 and document["connections"]["max"] == 20
    served = [from_address(scene, "127.0.8.1") for _ in range(12)]
    assert 200 in [ask(viewer) for viewer in served]
    close_all(viewers + served)


def test_requests_of_a_client(edge, origin):
    scene = scene_of(edge, origin, {"requests_per_client": 1, "request_burst": "5s"})
    with from_address(scene, "127.0.0.9") as viewer:
        statuses = [ask(viewer) for _ in range(30)]
        assert statuses[:5] == [200] * 5 and statuses.count(429) >= 20
    with from_address(scene, "127.0.0.10") as other:
        assert ask(other) == 200
    document = scene.stats()
    word = "too_many_requests_of_client"
    assert document["refusals"][word] == statuses.count(429)
    record = logged(scene, word)[0]
    assert (record["status"], record["cause"], record["site"]) == (429, "refused", "demo")


def test_requests_of_a_site(edge, origin):
    scene = scene_of(edge, origin, {"request_burst": "1s"}, requests_max=1)
    responses = [scene.get("/seg.ts") for _ in range(10)]
    refusals = [response for response in responses if response.status == 503]
    assert len(refusals) >= 5
    assert bytes(refusals[0].body) == b"too_many_requests_of_site\n"
    assert re.fullmatch("[1-9][0-9]*", refusals[0].fields["Retry-After"])
    assert refused(scene, "too_many_requests_of_site") == len(refusals)


def test_viewers_behind_a_trusted_proxy_are_told_apart(edge, origin):
    scene = Scene(edge, origin(), limits={"requests_per_client": 1, "connections_per_client_max": 1},
                  trusted_proxies=["127.0.0.0/8"])
    scene.server.on("/seg.ts", answer(200, b"segment", LONG))
    proxies = [scene.connect() for _ in range(3)]

    def get(proxy, viewer):
        proxy.request("/seg.ts", {"X-Forwarded-For": viewer})
        return proxy.response().status
    assert {get(proxies[0], "192.0.2.1") for _ in range(20)} == {200, 429}
    assert [get(proxy, f"192.0.2.{2 + i}") for i, proxy in enumerate(proxies)] == [200] * 3


@pytest.mark.parametrize("files", [600])
def test_descriptors_are_known_at_the_start(stage, origin, files):
    """Fewer than connections_max asks for: it is said, and the edge never runs into their end."""
    server = origin()
    server.on("/seg.ts", answer(200, b"segment", LONG))
    program = stage.add_edge(sites=[{"name": "demo", "hosts": [HOST], "origin": server.url}], start=False)
    program.arguments = ["prlimit", f"--nofile={files}", *program.arguments]
    program.start()
    assert re.search(r"limits.connections_max is 100000, but of 600 descriptors only \d+ are left", program.log())
    most = counters.stats(program)["connections"]["max"]
    assert 0 < most < files / 2
    viewers = [socket.create_connection(program.address, source_address=("127.0.0.9", 0)) for _ in range(most + 50)]
    for _ in range(5):
        viewer = socket.create_connection(program.address, timeout=30, source_address=("127.0.0.8", 0))
        viewers.append(viewer)
        if ask(viewer) == 200:
            break
    else:
        raise AssertionError("nobody else is served")
    assert program.open_files() < files
    assert "cannot accept" not in program.log()
    close_all(viewers)


@pytest.mark.parametrize("count, status", [(10, 200), (40, 431)])
def test_fields_of_a_request(edge, origin, count, status):
    scene = scene_of(edge, origin, {"request_fields_max": 20})
    fields = [(f"X-{number}", "x") for number in range(count)]
    assert scene.get("/seg.ts", fields).status == status
    with H2(scene.edge.address) as viewer:
        assert viewer.get("/seg.ts", dict((name.lower(), value) for name, value in fields)).status == status
    assert refused(scene, "request_head_too_large") == (2 if status == 431 else 0)


def test_ranges_of_a_request(edge, origin):
    scene = scene_of(edge, origin, {"ranges_max": 2})
    assert scene.get("/seg.ts", {"Range": "bytes=0-0,2-2"}).status == 206
    response = scene.get("/seg.ts", {"Range": "bytes=0-0,2-2,4-4"})
    assert (response.status, bytes(response.body)) == (200, b"segment")


def test_a_worker_without_idle_connections_has_another_let_one_go(edge, origin):
    """All that is held is one worker's. Who comes to the other one is served nevertheless."""
    scene = scene_of(edge, origin, {"connections_max": 64})
    held, others = [], []

    def comes():
        """A viewer who has been served, and the number of his worker."""
        before = scene.stats()["connections"]["requests_by_worker"]
        viewer = from_address(scene, f"127.0.9.{1 + len(held) + len(others)}")
        assert ask(viewer) == 200
        after = scene.stats()["connections"]["requests_by_worker"]
        return viewer, next(i for i, (old, new) in enumerate(zip(before, after)) if new > old)

    while len(held) < 63:
        viewer, worker = comes()
        if worker == 0:
            held.append(viewer)
        else:
            viewer.close()
            scene.wait_for("connections.active", len(held))
    while not others:
        viewer, worker = comes()
        (held if worker == 0 else others).append(viewer)
    scene.wait_for("refusals.too_many_connections", lambda count: count > 0)
    assert scene.stats()["connections"]["active"] <= 64
    close_all(held + others)


def test_who_takes_nothing_gives_way(edge, origin):
    limits = {"connections_max": 16, "send_stall_timeout": "1000s", "send_rate_min": 0}
    scene = scene_of(edge, origin, limits, workers=1)
    scene.server.on("/large.ts", answer(200, bytes(8 << 20), LONG))
    assert scene.get("/large.ts").status == 200
    stalled = [socket.socket() for _ in range(16)]
    for i, viewer in enumerate(stalled):
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.bind((f"127.0.9.{1 + i}", 0))
        viewer.connect(scene.edge.address)
        viewer.sendall(f"GET /large.ts HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert viewer.recv(1) == b"H"

    def newcomer():
        with from_address(scene, "127.0.8.1") as viewer:
            return ask(viewer) == 200

    until(newcomer, "a newcomer to be served")
    assert refused(scene, "too_many_connections") > 0
    close_all(stalled)
