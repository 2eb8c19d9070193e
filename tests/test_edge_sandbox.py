# SPDX-License-Identifier: Apache-2.0
"""What the edge may still do once it serves. All other tests run in the sandbox too."""
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from harness.deadline import until
from harness.origin import answer
from harness.processes import Edge
from harness.scene import HOST, KIB, Scene, cache_status, noise

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def status(edge):
    """/proc/PID/status as a map."""
    lines = Path(f"/proc/{edge.process.pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def test_it_is_shut_in(edge, origin):
    scene = Scene(edge, origin())
    now = status(scene.edge)
    assert now["NoNewPrivs"] == ["1"]
    if "Seccomp" in now:
        for task in Path(f"/proc/{scene.edge.process.pid}/task").iterdir():
            assert "Seccomp:\t2" in (task / "status").read_text(encoding="ascii"), task


def test_it_can_be_left_open(edge, origin):
    scene = Scene(edge, origin(), sandbox=False)
    assert status(scene.edge).get("Seccomp", ["0"]) == ["0"]
    assert scene.get("/absent").status == 404


@pytest.fixture(name="open_folder")
def _open_folder():
    """One that other users can reach, which pytest's cannot be."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    yield Path(folder)
    shutil.rmtree(folder)


@as_root
def test_it_becomes_a_user(edge, origin, authority, open_folder):
    """Having read what only root can read, and bound where only root can."""
    server, data = origin(), noise(100 * KIB)
    server.on("/seg.ts", answer(200, data, {"Cache-Control": "max-age=1000"}))
    chain, key = authority.issue(HOST)
    os.chmod(key, 0o600)
    (open_folder / "log").mkdir()
    shutil.chown(open_folder / "log", "nobody")
    scene = Scene(edge, server, site={"tls": {"certificate": str(chain), "key": str(key)}}, user="nobody",
                  arena={"path": str(open_folder / "arena"), "size": "64MiB", "region_size": "8MiB", "slice_size": "1MiB"},
                  access_log={"path": str(open_folder / "log" / "access.log")},
                  listen=[{"address": "127.81.82.83:443", "tls": True}, {"address": "127.81.82.83:80"}],
                  environment={"ASAN_OPTIONS": "detect_leaks=0"})  # looking for leaks takes root
    ids = status(scene.edge)
    assert len(set(ids["Uid"])) == 1 and ids["Uid"][0] != "0" and ids["Gid"][0] != "0"
    assert os.stat(open_folder / "arena").st_uid == int(ids["Uid"][0])
    for expected in ("fwd", "hit"):
        response = scene.get("/seg.ts")
        assert bytes(response.body) == data and expected in cache_status(response)
    os.rename(open_folder / "log" / "access.log", open_folder / "log" / "access.log.1")
    scene.edge.process.send_signal(signal.SIGHUP)
    until((open_folder / "log" / "access.log").exists, "the log to be reopened")
    with scene.connect_to(scene.edge.tls_address, tls=authority.client_context()) as viewer:
        viewer.request("/seg.ts")
        assert bytes(viewer.response().body) == data


def test_a_user_that_is_not(edge, origin, tmp_path):
    config = {"sites": [{"name": "demo", "hosts": [HOST], "origin": origin().url}], "user": "no-such-user"}
    with pytest.raises(AssertionError, match='user: there is no user "no-such-user"'):
        Edge(config, tmp_path / "edge", None).start()
