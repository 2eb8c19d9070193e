# SPDX-License-Identifier: Apache-2.0
"""What the program says of its command line and of configurations that are wrong (all mistakes: edge/config_test.c)."""
import re
import socket

import pytest

from harness.origin import answer
from harness.processes import run_to_end
from harness.scene import Scene

GOOD = """\
edge: east
listen:
  - address: 127.0.0.1:0
sites:
  - name: demo
    hosts: [video.test]
    origin: http://127.0.0.1:1
"""


def run(tmp_path, text, *options):
    (tmp_path / "edge.yaml").write_text(text)
    return run_to_end("edge", *options, "edge.yaml", folder=tmp_path)


@pytest.mark.parametrize("options", [["--check"], []], ids=["check", "start"])
@pytest.mark.parametrize("line, replacement, complaints", [
    ("edge: east", "edge: East!", [(1, 7, "edge")]),
    ("edge: east", "edge: east\nworker: 2", [(2, 1, "worker")]),
    ("  - address: 127.0.0.1:0", "  - address: 127.0.0.1", [(3, 14, "listen[0].address")]),
    ("    hosts: [video.test]", "    hosts: [video.test, 10.0.0.0/8]", [(6, 25, "sites[0].hosts[1]")]),
    ("    origin: http://127.0.0.1:1", "    origin: ftp://127.0.0.1", [(7, 13, "sites[0].origin")]),
    ("    origin: http://127.0.0.1:1\n", "", [(5, 5, "sites[0].origin")]),
    ("edge: east", "edge: east\narena: {path: a, size: 10GB}\nadmin: x", [(2, 24, "arena.size"), (3, 8, "admin")]),
    ("edge: east", "edge: east\narena: {path: a, size: 64MiB, region_size: 32MiB}", [(2, 24, "arena.size")]),
    ("edge: east", "edge: east\nedge: west", [(2, 1, "edge")]),
    ("    hosts: [video.test]", "    hosts: [video.test", [(8, 1, None)]),
])
def test_each_mistake_has_its_line_and_field(tmp_path, options, line, replacement, complaints):
    assert line in GOOD
    done = run(tmp_path, GOOD.replace(line, replacement, 1), *options)
    assert (done.returncode, done.stdout) == (1, "")
    said = [re.fullmatch(r"edge\.yaml:(\d+):(\d+): (?:([a-z_\[\]0-9.]+): )?(.+)", text)
            for text in done.stderr.splitlines()]
    assert all(said), done.stderr
    assert [(int(match[1]), int(match[2]), match[3]) for match in said] == complaints, done.stderr


def test_a_good_configuration_is_checked_without_a_word(tmp_path):
    done = run(tmp_path, f"{GOOD}arena: {{path: kept, size: 64MiB, region_size: 4MiB}}\n", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["edge.yaml"]  # nothing was made


def test_files_that_cannot_be_read(tmp_path):
    done = run_to_end("edge", "none.yaml", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "none.yaml: No such file or directory\n")
    done = run_to_end("edge", ".", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(".: ")


@pytest.mark.parametrize("extra, complaint", [
    ("geoip: {database: none.mmdb}", "none.mmdb"),
    ("access_log: {path: none/access.log}", "none/access.log: No such file or directory"),
    ("arena: {path: none/arena, size: 64MiB, region_size: 4MiB}",
     "none/arena: the folder cannot be opened: No such file"),
])
def test_what_a_good_configuration_may_lack(tmp_path, extra, complaint):
    done = run(tmp_path, f"{GOOD}{extra}\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr


def test_certificates_that_are_none(tmp_path, authority):
    chain, key = authority.issue("video.test")
    _, other_key = authority.issue("other.test")
    text = GOOD.replace("127.0.0.1:0", "127.0.0.1:0\n    tls: true")

    def complaint(chain, key):
        done = run(tmp_path, f"{text}    tls: {{certificate: {chain}, key: {key}}}\n")
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr
    assert "none.pem" in complaint("none.pem", key)
    assert str(key) in complaint(key, key)
    assert str(other_key) in complaint(chain, other_key)


def test_an_address_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(tmp_path, GOOD.replace("127.0.0.1:0", address))
        assert (done.returncode, done.stderr) == (1, f"cannot listen at {address}: Address already in use\n")
        done = run(tmp_path, f"{GOOD}admin: {address}\n")
        assert done.returncode == 1
        assert address in done.stderr
        assert "ready" not in done.stdout


def test_command_line(tmp_path):
    version = run_to_end("edge", "--version", folder=tmp_path)
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"shorebreak edge \d+\.\d+\.\d+\n", version.stdout)
    usage = run_to_end("edge", "--help", folder=tmp_path)
    assert (usage.returncode, usage.stderr) == (0, "")
    assert usage.stdout.startswith("usage: edge CONFIG.yaml ")
    for arguments in ([], ["--check"], ["--chek", "edge.yaml"], ["one.yaml", "two.yaml"]):
        done = run_to_end("edge", *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", usage.stdout)


def test_several_listeners_of_both_families(edge, origin):
    server = origin()
    server.on("/a", answer(200, b"fine"))
    scene = Scene(edge, server, {"hosts": ["127.0.0.1", "::1", "video.test"]},
                  listen=[{"address": "127.0.0.1:0"}, {"address": "[::1]:0"}])
    assert len(scene.edge.urls) == 2
    assert scene.edge.urls[1].startswith("http://[::1]:")
    for url in scene.edge.urls:
        host = url.split("/")[2].rsplit(":", 1)[0]
        with scene.connect_to((host.strip("[]"), int(url.rsplit(":", 1)[1])), host=host) as viewer:
            viewer.request("/a")
            assert bytes(viewer.response().body) == b"fine"
