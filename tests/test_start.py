# SPDX-License-Identifier: Apache-2.0
"""What a second program says at an address where one listens already: the workers of one program share addresses, so
without asking first two programs would share them too, and split the viewers between them.
"""
import pytest

from harness.processes import address_of, run_to_end
from harness.scene import Scene


def at(url):
    return "{}:{}".format(*address_of(url))


def test_two_shims_at_one_address(shim, tmp_path):
    first = shim(tmp_path)
    done = run_to_end("origin-shim", "--root", tmp_path, "--listen", at(first.url), folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on {at(first.url)}: Address already in use" in done.stderr


@pytest.mark.parametrize("taken", ["url", "admin_url"])
def test_two_edges_at_one_address(edge, origin, tmp_path, taken):
    scene = Scene(edge, origin())
    address = at(getattr(scene.edge, taken))
    second = edge({**scene.edge.config, "arena": None, "access_log": None}, start=False)
    if taken == "url":
        second.config["listen"] = [{"address": "127.0.0.1:0"}, {"address": address}]
    else:
        second.config["admin"] = address
    done = run_to_end("edge", second.write_config(), folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"cannot listen at {address}: Address already in use\n"


def test_an_address_that_was_just_left(edge, origin):
    server = origin()
    server.file("/seg.ts", b"data", {"Cache-Control": "max-age=1000"})
    scene = Scene(edge, server)
    assert scene.get("/seg.ts").status == 200
    scene.edge.config["listen"] = [{"address": at(scene.edge.url)}]
    scene.edge.stop()
    scene.edge.start()  # connections in TIME_WAIT are no reason not to listen
    assert scene.get("/seg.ts").status == 200
