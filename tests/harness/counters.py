# SPDX-License-Identifier: Apache-2.0
"""What an edge counts, and waiting for it: the way a test knows that something has happened inside."""
from harness.client import fetch_json
from harness.deadline import DEADLINE_S, until


def stats(edge):
    """The document of /stats (docs/stats.md)."""
    return fetch_json(edge.admin_address, "/stats")


def value(document, path):
    """"flights.active" of the document."""
    for name in path.split("."):
        document = document[name]
    return document


def wait_for(edge, path, wanted, after_s=DEADLINE_S):
    """Polls until the number at path is `wanted` (or a function of it says so); returns the whole document."""
    accept = wanted if callable(wanted) else lambda number: number == wanted
    last = {}

    def look():
        last["stats"] = stats(edge)
        return accept(value(last["stats"], path))
    until(look, lambda: f"{path}, which is {value(last['stats'], path)}", after_s)
    return last["stats"]


def leftovers(document):
    """What is not at rest, as sentences. At rest is an edge with no viewer and no flight."""
    found = [f"{path} is {value(document, path)}"
             for path in ("flights.active", "flights.readers", "connections.active", "checks_failed")
             if value(document, path) != 0]
    opened, closed = value(document, "connections.opened"), value(document, "connections.closed")
    if opened != closed:
        found.append(f"{opened} connections opened, {closed} closed")
    return found


def wait_for_rest(edge):
    """Fails when the edge does not come to rest: something leaked."""
    last = {}

    def at_rest():
        last["found"] = leftovers(stats(edge))
        return not last["found"]
    until(at_rest, lambda: f"{edge.name} to come to rest: {'; '.join(last['found'])}")
