# SPDX-License-Identifier: Apache-2.0
"""One site is flooded, another is measured: of a full uplink nobody takes more than his share, and who wants less than that
notices nothing.
"""
import re
import socket
import subprocess
import threading

from harness import counters
from harness.client import fetch
from harness.deadline import until
from harness.origin import answer
from harness.scene import KIB, MIB, noise

LONG = {"Cache-Control": "max-age=1000"}
UPLINK = 4 * MIB
BIG, SMALL = noise(32 * MIB), noise(200 * KIB)
VIEWERS = 20


class Flood:
    """Viewers of the site that went viral: each takes the large file as fast as it gets it, over and over."""

    def __init__(self, address, host):
        self.address, self.host = address, host
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(VIEWERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _run(self):
        while not self.stop.is_set():
            with socket.create_connection(self.address, timeout=30) as viewer:
                viewer.sendall(f"GET /big.ts HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
                got = 0
                while got < len(BIG) and not self.stop.is_set():
                    data = viewer.recv(1 << 20)
                    if not data:
                        break
                    got += len(data)


def test_a_flooded_site_takes_no_more_than_its_share(edge, origin):
    server = origin()
    server.on("/big.ts", answer(200, BIG, LONG))
    server.on("/small.ts", answer(200, SMALL, LONG))
    program = edge(uplink_bytes_per_s=UPLINK, arena={"size": "128MiB"},
                   sites=[{"name": name, "hosts": [f"{name}.test"], "origin": server.url} for name in ("viral", "calm")])

    def uplink():
        return counters.stats(program)["uplink"]["sites"]

    for _ in range(2):
        assert bytes(fetch(program.address, "/small.ts", host="calm.test").body) == SMALL
    assert bytes(fetch(program.address, "/big.ts", host="viral.test").body) == BIG
    with Flood(program.address, "viral.test"):
        until(lambda: uplink()["viral"]["pace_bytes_per_s"] > 0, "a pace")
        until(lambda: 0 < uplink()["viral"]["bytes_per_s"] < 1.1 * UPLINK, lambda: f"the share, it is {uplink()}")
        assert uplink()["viral"]["pace_bytes_per_s"] < UPLINK / 4
        for _ in range(5):  # as fast as ever
            assert bytes(fetch(program.address, "/small.ts", host="calm.test").body) == SMALL
            assert uplink()["calm"]["pace_bytes_per_s"] == 0
        out = subprocess.run(["ss", "-tinH", "src", f"127.0.0.1:{program.address[1]}"], check=True, capture_output=True,
                             text=True).stdout
        assert re.search(r"pacing_rate \d+bps/\d+bps", out)  # it is the kernel that does it
    until(lambda: uplink()["viral"]["pace_bytes_per_s"] == 0, "an end")


def test_without_a_stated_uplink_nobody_is_paced(edge, origin):
    server = origin()
    server.on("/big.ts", answer(200, BIG, LONG))
    program = edge(arena={"size": "128MiB"}, sites=[{"name": "viral", "hosts": ["viral.test"], "origin": server.url}])
    assert bytes(fetch(program.address, "/big.ts", host="viral.test").body) == BIG
    assert counters.stats(program)["uplink"] == {"capacity_bytes_per_s": 0, "sites": {}}
