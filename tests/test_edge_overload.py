# SPDX-License-Identifier: Apache-2.0
"""When something runs out: what needs an origin is refused, then new connections, by name and with Retry-After; what is
kept is served all the while; and it ends by itself.
"""
import signal
import socket
import time

from harness import counters
from harness.deadline import until
from harness.origin import answer
from harness.scene import Scene

LONG = {"Cache-Control": "max-age=1000"}


def scene_of(edge, origin, limits, **fields):
    scene = Scene(edge, origin(), workers=1, limits=limits, **fields)
    scene.server.on("/kept.ts", answer(200, b"kept", LONG))
    scene.server.on("/new.ts", answer(200, b"new", LONG))
    scene.server.on("/old.ts", answer(200, b"old", {"Cache-Control": "max-age=0, stale-if-error=1000"}))
    return scene


def get(viewer, target):
    viewer.request(target)
    return viewer.response()


def hold_up(program, for_s):
    """The whole process stands still: its loops come that late to their work."""
    program.process.send_signal(signal.SIGSTOP)
    time.sleep(for_s)
    program.process.send_signal(signal.SIGCONT)


def level(scene):
    return scene.stats()["overload"]["level"]


def test_a_loop_that_is_late(edge, origin):
    scene = scene_of(edge, origin, {"loop_lag_max": "10ms", "overload_recovery": "2s"})
    with scene.connect() as viewer:
        assert get(viewer, "/kept.ts").status == 200
        assert get(viewer, "/old.ts").status == 200
        hold_up(scene.edge, 1)
        until(lambda: level(scene) == "connections", "an overload")
        response = get(viewer, "/new.ts")
        assert (response.status, bytes(response.body)) == (503, b"overloaded_cpu\n")
        assert int(response.fields["Retry-After"]) > 0
        assert get(viewer, "/kept.ts").status == 200
        assert bytes(get(viewer, "/old.ts").body) == b"old"  # stale, as the origin is spared
        with scene.connect() as late:
            refusal = late.response()
            assert (refusal.status, bytes(refusal.body)) == (503, b"overloaded_new_connection")
            assert int(refusal.fields["Retry-After"]) > 0
        until(lambda: level(scene) == "none", "its end")
        assert bytes(get(viewer, "/new.ts").body) == b"new"
    with scene.connect() as viewer:
        assert get(viewer, "/kept.ts").status == 200
    document = scene.stats()
    assert document["refusals"]["overloaded_cpu"] == 1
    assert document["refusals"]["overloaded_new_connection"] == 1
    assert document["overload"]["cause"] == "none"
    assert scene.records("/new.ts")[0]["reason"] == "overloaded_cpu"


def test_memory(edge, origin):
    """A bound below what the process needs to run at all: nothing comes back, and nobody gets in but the admin."""
    scene = Scene(edge, origin(), workers=1, limits={"memory_max": "1MiB", "overload_recovery": "1s"})
    until(lambda: level(scene) == "connections", "an overload")
    assert scene.stats()["overload"]["cause"] == "memory"
    assert scene.stats()["overload"]["memory"] >= 1000
    with scene.connect() as late:
        assert late.response().status == 503


def test_descriptors(stage, origin):
    """What fills them is not counted as a connection here: the edge sees the numbers run out all the same."""
    server = origin()
    program = stage.add_edge(sites=[{"name": "demo", "hosts": ["video.test"], "origin": server.url}], workers=1, start=False)
    program.arguments = ["prlimit", "--nofile=600", *program.arguments]
    program.start()
    most = counters.stats(program)["connections"]["max"]
    assert most > 10
    before = counters.stats(program)["overload"]["descriptors"]
    viewers = [socket.create_connection(program.address) for _ in range(most // 2)]
    counters.wait_for(program, "overload.descriptors", lambda now: now > before)
    assert counters.stats(program)["overload"]["descriptors"] < 800  # what connections may take leaves the rest alone
    for viewer in viewers:
        viewer.close()
    counters.wait_for(program, "overload.level", lambda now: now == "none")
