# SPDX-License-Identifier: Apache-2.0
"""The first slice through everything: a viewer, an edge, an origin, and what is counted of it."""
from harness import counters
from harness.client import fetch


def test_miss_then_hits(edge, origin):
    server, data = origin(), bytes(range(256)) * 400
    server.file("/seg.ts", data, {"Cache-Control": "max-age=100"})
    program = edge(sites=[{"name": "demo", "hosts": ["video.test"], "origin": server.url}])
    for expected in ("fwd=uri-miss", "hit", "hit"):
        response = fetch(program.address, "/seg.ts", host="video.test")
        assert (response.status, bytes(response.body)) == (200, data)
        assert expected in response.fields["Cache-Status"]
    assert server.count("/seg.ts") == 1
    site = counters.wait_for(program, "sites.demo.requests", 3)["sites"]["demo"]
    assert site["by_class_and_cause"]["segment"]["hit"]["requests"] == 2
    assert site["by_class_and_cause"]["segment"]["miss"]["requests"] == 1
    assert site["bytes_out"] > 3 * len(data)
    assert len(data) < site["bytes_origin"] < 2 * len(data)


def test_the_cache_is_there_after_a_restart(edge, origin):
    server, data = origin(), bytes(range(256)) * 400
    server.file("/seg.ts", data, {"Cache-Control": "max-age=100"})
    program = edge(sites=[{"name": "demo", "hosts": ["video.test"], "origin": server.url}])
    assert bytes(fetch(program.address, "/seg.ts", host="video.test").body) == data
    program.stop()
    program.start()
    assert bytes(fetch(program.address, "/seg.ts", host="video.test").body) == data
    assert server.count("/seg.ts") == 1
