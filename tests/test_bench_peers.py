# SPDX-License-Identifier: Apache-2.0
"""The peers of `./run bench`, as far as they are installed: each serves what the origin has, plain, over TLS and over
HTTP/2; what is a cache asks the origin for a segment of 2 MB once, what is not never does.
"""
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from peers import origins, servers, stage, tls  # noqa: E402

SEGMENT = random.Random(1).randbytes(2_000_000)
PLAIN = [servers.Nginx, servers.NginxInline, servers.Varnish, servers.TrafficServer, servers.HaProxy, servers.H2oFiles]
CACHE_MB = 64


@pytest.fixture
def origin(tmp_path):
    if not servers.nginx_program():
        pytest.skip("the origin is nginx, which is not there")
    root = tmp_path / "root"
    root.mkdir()
    (root / "s.ts").write_bytes(SEGMENT)
    with servers.Running([origins.StaticOrigin(tmp_path, root, "s.ts")]) as (running,):
        yield running


def running(kind, origin):
    if kind.missing():
        pytest.skip(f"there is no {kind.missing()}")
    return servers.Running([kind(origin.folder.parent, origin.port, cache_mb=CACHE_MB, root=origin.root)])


def fetched(url, *arguments):
    command = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--max-time", "30", *arguments, url]
    return subprocess.run(command, check=True, capture_output=True).stdout


def expected_requests(kind):
    return 0 if issubclass(kind, servers.H2oFiles) else 1


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.name)
def test_plain(kind, origin):
    with running(kind, origin) as (server,):
        for _ in range(3):
            assert fetched(f"http://{stage.ADDRESS}:{server.port}/s.ts") == SEGMENT
    assert origin.requests() == expected_requests(kind)


@pytest.mark.parametrize("kind", [kind for kind in tls.KINDS if kind is not tls.Edge], ids=lambda kind: kind.name)
def test_tls(kind, origin):
    with running(kind, origin) as (server,):
        for version in ("--http1.1", "--http2", "--http1.1"):
            assert fetched(tls.uri_of(server, "/s.ts"), version, "--tlsv1.3") == SEGMENT
    assert origin.requests() == expected_requests(kind)


def test_a_peer_that_is_not_there_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if name == "h2o" else name)
    assert servers.chosen([servers.HaProxy, servers.H2oFiles], None) == [servers.HaProxy]
    assert "without h2o files: there is no h2o" in capsys.readouterr().out
