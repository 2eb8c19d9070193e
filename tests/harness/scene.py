# SPDX-License-Identifier: Apache-2.0
"""What most tests of the edge begin with: one edge, one site "demo" named video.test, one scripted origin.

    scene = Scene(edge, origin(), site={"query_drop": ["session"]}, workers=1)
    response = scene.get("/seg.ts")
    assert cache_status(response) == {"fwd": "uri-miss"}
"""
import random

from harness import counters
from harness.client import Connection, fetch
from harness.deadline import until

HOST = "video.test"
KIB = 1024
MIB = 1024 * KIB


def noise(size, seed=0):
    """Bytes that no mistake reproduces: a piece out of place is seen."""
    return random.Random(f"{seed} {size}").randbytes(size)


def cache_status(response):
    """What Cache-Status says, without the edge's name: {"hit": True, "ttl": "9"}."""
    _, *parameters = response.fields["Cache-Status"].split("; ")
    return {name: value or True for name, _, value in (parameter.partition("=") for parameter in parameters)}


class Scene:
    def __init__(self, edge, server, site=(), **edge_fields):
        """edge: the fixture. site: fields of the site beyond name, hosts and origin (or other values of these; None:
        left out).
        environment: variables of the edge's own.
        """
        self.server = server
        fields = {"name": "demo", "hosts": [HOST], "origin": server.url if server else None, **dict(site)}
        self.edge = edge(sites=[{name: value for name, value in fields.items() if value is not None}], **edge_fields)

    def get(self, target, fields=(), method="GET", **connection):
        """One request on a connection of its own."""
        return fetch(self.edge.address, target, fields, method, **{"host": HOST, **connection})

    def connect(self, **fields):
        return self.connect_to(self.edge.address, **fields)

    @staticmethod
    def connect_to(address, **fields):
        return Connection(address, **{"host": HOST, **fields})

    def stats(self):
        return counters.stats(self.edge)

    def wait_for(self, path, wanted):
        return counters.wait_for(self.edge, path, wanted)

    def site_stats(self, requests):
        """The site's counters, once so many requests have ended."""
        return self.wait_for("sites.demo.requests", requests)["sites"]["demo"]

    def records(self, target, count=1):
        """The access log's records of a target, once there are so many."""
        def look():
            found = [record for record in self.edge.access_log() if record.get("target") == target]
            return found if len(found) >= count else None
        return until(look, lambda: f"{count} access records of {target}")
