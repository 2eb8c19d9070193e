# SPDX-License-Identifier: Apache-2.0
"""TLS that the kernel encrypts (kTLS). Where this machine's kernel cannot, these run under one that can
(harness/kernel); where that cannot be had, they are skipped, and say why.
"""
import os
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from harness.early import Visitor, get
from harness.h2 import CANCEL, FRAME_SIZE_MAX, H2, INITIAL_WINDOW_SIZE, RST_STREAM, u32
from harness.origin import answer
from harness.processes import REPOSITORY, build_folder
from harness.scene import HOST, KIB, MIB, Scene, noise

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
TCP_ULP = 31
MODULES = "gf128mul ghash-generic ctr crypto_null gcm tls"


def has_ktls():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        try:
            client.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError:
            return False
        return True


needs_ktls = pytest.mark.skipif(not has_ktls(), reason="this kernel has no kTLS")


def plain_build():
    """A folder with an edge without AddressSanitizer, whose map of memory that kernel has no room for."""
    folders = [build_folder(), REPOSITORY / "build/release", REPOSITORY / "build/dev"]
    programs = [folder / "edge" for folder in folders if (folder / "edge").exists()]
    return next((program.parent for program in programs if b"__asan_init" not in program.read_bytes()), None)


@pytest.mark.skipif(has_ktls(), reason="this kernel has kTLS: the others have run already")
def test_all_of_these_under_a_kernel_that_has_it():
    build = plain_build()
    if not build:
        pytest.skip("there is no edge without AddressSanitizer: cmake --preset release")
    done = subprocess.run([str(REPOSITORY / "tests/harness/kernel"), MODULES, sys.executable, "-m", "pytest", "-q",
                           "-p", "no:cacheprovider", "--color=no", str(Path(__file__).resolve())],
                          cwd=REPOSITORY, env={**os.environ, "SHOREBREAK_BUILD": str(build)}, text=True,
                          capture_output=True, check=False, timeout=900)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert re.search(r"\b\d\d? passed, 1 skipped", done.stdout)


@pytest.fixture(name="make")
def _make(edge, origin, authority):
    certificate, key = authority.issue(HOST, stem="ktls")

    def make(**fields):
        scene = Scene(edge, origin(), {"tls": {"certificate": str(certificate), "key": str(key)}}, listen=LISTEN, **fields)
        scene.server.on("/who", answer(200, b"me", {"Cache-Control": "max-age=100"}))
        return scene
    return make


@needs_ktls
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_large_bodies_to_a_slow_reader(make, authority, version):
    scene, data = make(), noise(5 * MIB + 5)
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    for _ in range(2):  # a fill, a hit
        with scene.connect_to(scene.edge.tls_address, tls=authority.client_context(version), receive_buffer=4096) as viewer:
            viewer.request("/film.mp4")
            viewer.read(100)
            viewer.widen()
            assert viewer.response().body == data
            viewer.request("/film.mp4", {"Range": f"bytes={MIB - 3}-{MIB + 2}"})
            assert viewer.response().body == data[MIB - 3:MIB + 3]
            viewer.request("/who", {"Connection": "close"})
            assert bytes(viewer.response().body) == b"me"
            assert viewer.socket.recv(1) == b""  # after a close_notify: else it is an error
    document = scene.stats()["tls"]
    assert (document["ktls"], document["user_space"]) == (2, 0)


@needs_ktls
def test_http2(make, authority):
    scene, data = make(), noise(3 * MIB + 7)
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    for _ in range(2):
        with H2(scene.edge.tls_address, tls=authority.client_context(), host=HOST) as viewer:
            streams = [viewer.ask(target) for target in ("/film.mp4", "/who", "/film.mp4")]
            bodies = [bytes(viewer.response(stream).body) for stream in streams]
            assert bodies == [data, b"me", data]
            assert viewer.ping()
    assert scene.stats()["tls"]["ktls"] == 2


@needs_ktls
def test_http2_frames_come_from_the_file(make, authority):
    """Each full frame is a call for its head and one for its payload: fewer calls, and they were copied."""
    scene, data = make(), noise(3 * MIB + 7)
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    assert scene.get("/film.mp4").body == data
    before = scene.wait_for("connections.active", 0)["connections"]["system_calls"]
    with H2(scene.edge.tls_address, tls=authority.client_context(), host=HOST, initial=[(INITIAL_WINDOW_SIZE, 16 * MIB)],
            auto_window=False) as viewer:
        viewer.widen(0, 16 * MIB)
        assert viewer.get("/film.mp4").body == data
    after = scene.wait_for("connections.active", 0)["connections"]["system_calls"]
    assert after - before > 2 * (len(data) // FRAME_SIZE_MAX)


@needs_ktls
@pytest.mark.parametrize("window, receive_buffer", [(16000, 4096), (65535, 4096), (4 * MIB, 4096), (4 * MIB, None)])
def test_http2_many_streams_stalls_and_resets(make, authority, window, receive_buffer):
    """Over a socket that is nearly always full, windows smaller and larger than a frame, fills and hits, and a third of
    the streams reset in the middle of their bodies: what the others get is right.
    """
    scene, data = make(), noise(2 * MIB + 11)
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    with H2(scene.edge.tls_address, tls=authority.client_context(), host=HOST, initial=[(INITIAL_WINDOW_SIZE, window)],
            receive_buffer=receive_buffer) as viewer:
        viewer.widen(0, 1 << 30)  # so that the socket is what holds it up
        for _ in range(2):
            starts = [i * 100_001 for i in range(12)]
            streams = [viewer.ask("/film.mp4", {"range": f"bytes={start}-{start + 600_000}", "priority": "i"}) for start in starts]
            for stream in streams[::3]:
                viewer.until(lambda stream=stream: len(viewer.response_of(stream).body) > 10_000)
                viewer.send(RST_STREAM, 0, stream, u32(CANCEL))
            for number, (start, stream) in enumerate(zip(starts, streams)):
                body = data[start:start + 600_001]
                if number % 3:
                    assert viewer.response(stream).body == body
                assert body.startswith(bytes(viewer.response_of(stream).body))
        assert viewer.get("/who").body == b"me"
        assert viewer.ping()
    assert scene.stats()["tls"]["ktls"] == 1


@needs_ktls
def test_http2_regions_truncated_underneath(make, authority):
    """Streams get what is right, or an end."""
    scene, data = make(arena={"size": "64MiB", "region_size": "4MiB", "slice_size": "1MiB"}), noise(3 * MIB)
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    assert scene.get("/film.mp4").body == data
    scene.wait_for("flights.active", 0)
    with H2(scene.edge.tls_address, tls=authority.client_context(), host=HOST, auto_window=False) as viewer:
        viewer.widen(0, 16 * MIB)
        starts = (0, 10, MIB, 2 * MIB)
        streams = [viewer.ask("/film.mp4", {"range": f"bytes={start}-"}) for start in starts]
        viewer.until(lambda: all(len(viewer.response_of(stream).body) == 65535 for stream in streams))
        for path in (scene.edge.folder / "arena").glob("region-*"):
            os.truncate(path, 64 * KIB)
        for stream in streams:
            viewer.widen(stream, 16 * MIB)
        while not all(viewer.response_of(stream).ended or viewer.response_of(stream).error for stream in streams):
            if not viewer.read():
                break
        for start, stream in zip(starts, streams):
            assert data[start:].startswith(bytes(viewer.response_of(stream).body))
        assert not all(viewer.response_of(stream).ended for stream in streams)


@needs_ktls
def test_resumed(make, authority):
    scene, context, session = make(), authority.client_context(), None
    for number in range(3):
        with scene.connect_to(scene.edge.tls_address) as viewer:
            viewer.socket = context.wrap_socket(viewer.socket, server_hostname=HOST, session=session)
            viewer.request("/who")
            assert bytes(viewer.response().body) == b"me"
            session = viewer.socket.session
            assert viewer.socket.session_reused == (number > 0)
    assert scene.stats()["tls"]["ktls"] == 3


@needs_ktls
def test_cipher_that_the_kernel_is_not_given(make, authority):
    """Whether the kernel knows ChaCha20 depends on it: served is it in any case."""
    scene, context = make(), authority.client_context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    data = noise(MIB)
    scene.server.file("/seg.ts", data, {"Cache-Control": "max-age=100"})
    with scene.connect_to(scene.edge.tls_address, tls=context) as viewer:
        for _ in range(2):
            viewer.request("/seg.ts")
            assert viewer.response().body == data
    document = scene.stats()["tls"]
    assert document["ktls"] + document["user_space"] == 1


@needs_ktls
def test_key_update(make, authority):
    """The client goes on, or its connection breaks and is counted: never wrong bytes."""
    scene = make()
    with subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % scene.edge.tls_address, "-servername", HOST,
                           "-CAfile", authority.ca_path, "-tls1_3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0) as client:
        client.stdin.write(b"K\n")  # it takes a command from each read: one at a time
        while b"KEYUPDATE" not in client.stderr.readline():
            pass
        request = f"GET /who HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
        try:
            client.stdin.write(request)
        except BrokenPipeError:
            pass
        said = client.stdout.read()
    document = scene.wait_for("connections.active", 0)["tls"]
    assert document["ktls"] == 1
    assert document["ktls_key_updates"] == 1 or b"200 OK" in said
    with scene.connect_to(scene.edge.tls_address, tls=authority.client_context()) as viewer:
        viewer.request("/who")
        assert bytes(viewer.response().body) == b"me"


@needs_ktls
def test_early_data(make, authority, tmp_path):
    """Such a connection is not the kernel's, whether its early data is taken or not; the others of this edge are."""
    scene, data = make(tls={"early_data": True}), noise(3 * MIB + 7)
    scene.server.on("/ticket", answer(200, b"here", {"Cache-Control": "max-age=100"}))
    scene.server.file("/film.mp4", data, {"Cache-Control": "max-age=100"})
    assert scene.get("/film.mp4").body == data
    visitor = Visitor(scene.edge, authority, tmp_path)
    for _ in range(2):
        sent = scene.stats()["sites"]["demo"]["bytes_out"]
        out = visitor.visit(get("/film.mp4"), hold=lambda: scene.wait_for(
            "sites.demo.bytes_out", lambda size, before=sent: size > before + MIB))
        assert data in out and visitor.status == "accepted"
    document = scene.stats()["tls"]
    assert (document["ktls"], document["user_space"], document["early_data"]) == (1, 2, 2)


@needs_ktls
def test_switched_off(make, authority):
    scene, data = make(tls={"ktls": False}), noise(100 * KIB)
    scene.server.file("/seg.ts", data, {"Cache-Control": "max-age=100"})
    with scene.connect_to(scene.edge.tls_address, tls=authority.client_context()) as viewer:
        viewer.request("/seg.ts")
        assert viewer.response().body == data
    document = scene.stats()["tls"]
    assert (document["ktls"], document["user_space"]) == (0, 1)
