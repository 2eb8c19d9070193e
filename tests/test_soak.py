# SPDX-License-Identifier: Apache-2.0
"""Many viewers of more than the arena holds, for a while: files change at the origin, viewers seek, leave and dawdle,
the edge is killed and started again. Every byte that anybody gets is compared.

./run soak does it for SOAK_LOAD_SECONDS (600).
"""
import functools
import os
import random
import threading
import time

import pytest

from harness.client import Broken, Connection
from harness.origin import file_answer
from harness.scene import HOST, KIB, Scene, noise

ARENA = {"size": "64MiB", "region_size": "1MiB", "slice_size": "256KiB"}
LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
VIEWERS = 12
FILES = 300
KILL_EVERY_S = 45
CHANGE_EVERY_S = 2
GONE = (Broken, OSError)  # ssl.SSLError and time-outs among them


class Library:
    """Files whose bytes follow from their name and version; the ETag says which one it is."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.sizes = [int(100 * 60_000 ** chance.random()) for _ in range(FILES)]  # 100 bytes to 6 MB
        self.versions = [0] * FILES

    @functools.lru_cache(maxsize=64)  # making them costs more than serving them
    def data(self, number, version):
        return noise(self.sizes[number], f"{number}-{version}")

    def answer(self, request):
        number = int(request.target.split("/")[1].split(".")[0])
        version = self.versions[number]
        return file_answer(request, self.data(number, version), {"ETag": f'"{version}"', "Cache-Control": "max-age=3"})


class Viewer(threading.Thread):
    def __init__(self, seed, soak):
        super().__init__(daemon=True)
        self.chance, self.soak = random.Random(seed), soak
        self.trouble, self.responses, self.bytes = [], 0, 0

    def run(self):
        while time.monotonic() < self.soak.ends_at and not self.soak.trouble():
            life, is_slow = self.soak.life, self.chance.random() < 0.15
            try:
                self.watch(is_slow)
            except GONE as error:
                # Who is slow may be cut off when the space that he stands on is needed.
                if life % 2 == 0 and self.soak.life == life and not (is_slow and isinstance(error, Broken)):
                    self.trouble.append(repr(error))
                time.sleep(0.05)  # it is being started again
            except AssertionError as error:
                self.trouble.append(str(error))

    def watch(self, is_slow):
        """A few requests on one connection."""
        is_tls = self.chance.random() < 0.3
        with Connection(self.soak.addresses[is_tls], HOST, self.soak.context if is_tls else None,
                        receive_buffer=128 * KIB if is_slow else None) as connection:
            for _ in range(self.chance.randrange(1, 8)):
                if not self.one(connection, is_slow):
                    connection.reset()
                    return

    def one(self, connection, is_slow):
        """False when the viewer left in the middle."""
        number = int(FILES * self.chance.random() ** 3)  # some are asked for far more often
        size, fields = self.soak.library.sizes[number], {}
        if self.chance.random() < 0.3:
            first = self.chance.randrange(size)
            fields = {"Range": f"bytes={first}-{self.chance.randrange(first, size)}"}
        connection.request(f"/{number}.ts", fields)
        try:
            if self.chance.random() < 0.1:
                self.compare(number, connection.read(self.chance.randrange(size)), False)
                return False
            for pieces in range(1, 1 + is_slow * size // (64 * KIB)):
                time.sleep(0.02)
                connection.read(pieces * 64 * KIB)
            self.compare(number, connection.response(), True)
        except Broken as broken:
            if not broken.response.has_head:
                raise
            self.compare(number, broken.response, False)
            if broken.response.fields["ETag"] == f'"{self.soak.library.versions[number]}"':
                raise
            return False  # the rest of what he was getting is not to be had any more
        return True

    def compare(self, number, response, is_whole):
        assert response.status in (200, 206), f"/{number}.ts: {response.status} {bytes(response.body[:80])!r}"
        data = self.soak.library.data(number, int(response.fields["ETag"].strip('"')))
        first = 0
        if response.status == 206:
            wanted, _, total = response.fields["Content-Range"].removeprefix("bytes ").partition("/")
            assert int(total) == len(data)
            first, last = map(int, wanted.split("-"))
            data = data[first:last + 1]
        received = bytes(response.body)
        assert received == data[:len(received)] and (not is_whole or len(received) == len(data)), (
            f"/{number}.ts from {first}: {len(received)} bytes of {len(data)} are not those of "
            f"version {response.fields['ETag']}")
        self.responses += 1
        self.bytes += len(received)


class Soak:
    def __init__(self, edge, origin, authority, seconds):
        chain, key = authority.issue(HOST)
        self.context = authority.client_context()
        self.library, server = Library(1), origin()
        for number in range(FILES):
            server.on(f"/{number}.ts", self.library.answer)
        self.scene = Scene(edge, server, site={"tls": {"certificate": str(chain), "key": str(key)}}, workers=2,
                           listen=LISTEN, arena=ARENA)
        self.addresses = [self.scene.edge.address, self.scene.edge.tls_address]
        self.life = 0  # odd while the edge is not there
        self.ends_at = time.monotonic() + seconds
        self.viewers = [Viewer(seed, self) for seed in range(VIEWERS)]

    def trouble(self):
        return [each for viewer in self.viewers for each in viewer.trouble]

    def kill_and_start(self):
        edge = self.scene.edge
        self.life += 1
        edge.kill()
        for listener, (host, port) in zip(edge.config["listen"], self.addresses):
            listener["address"] = f"{host}:{port}"
        edge.start()
        self.life += 1

    def run(self, kill_every_s):
        chance = random.Random("changes")
        for viewer in self.viewers:
            viewer.start()
        kills_at = time.monotonic() + kill_every_s
        reclaimed = 0
        while time.monotonic() < self.ends_at and not self.trouble():
            time.sleep(CHANGE_EVERY_S)
            self.library.versions[int(FILES * chance.random() ** 3)] += 1
            if time.monotonic() > kills_at:
                reclaimed += self.scene.stats()["arena"]["regions_reclaimed"]
                self.kill_and_start()
                kills_at = time.monotonic() + kill_every_s
        for viewer in self.viewers:
            viewer.join()
        assert not self.trouble(), "\n".join(self.trouble())
        stats = self.scene.stats()
        assert stats["arena"]["io_errors"] == 0
        return reclaimed + stats["arena"]["regions_reclaimed"], sum(viewer.bytes for viewer in self.viewers)


@pytest.mark.soak
def test_ten_minutes(edge, origin, authority):
    soak = Soak(edge, origin, authority, int(os.environ.get("SOAK_LOAD_SECONDS", "600")))
    reclaimed, received_bytes = soak.run(KILL_EVERY_S)
    responses = sum(viewer.responses for viewer in soak.viewers)
    print(f"{responses} responses of {received_bytes / 1e9:.1f} GB compared, {reclaimed} regions reclaimed, "
          f"{soak.life // 2} times killed")
    assert reclaimed > 64
