# SPDX-License-Identifier: Apache-2.0
"""Many viewers at once, in one thread.

    with Herd(edge.address, 1000, "/seg.ts", host="video.test") as herd:
        herd.run_until(lambda: herd.count_received(1) == 1000, "first bytes")
        gate.set()
        herd.run_until(lambda: herd.count_done() == 1000, "whole bodies")
"""
import hashlib
import resource
import selectors
import socket
from collections import Counter

from harness.deadline import DEADLINE_S, Deadline
from harness.message import ResponseParser, head_bytes


def allow_many_files():
    """Raises the limit of open files as far as it goes: a thousand viewers are a thousand sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Viewer:
    """One of the herd. Of its body a digest is kept, not the bytes."""

    def __init__(self, address, request):
        self.request = request
        self.digest = hashlib.sha256()
        self.response = ResponseParser(on_body=self.digest.update)
        self.end = None  # "closed" or "reset" when it ended before the response did
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.connect_ex(address)

    def write(self):
        """True when the request has been sent."""
        try:
            self.request = self.request[self.socket.send(self.request):]
        except BlockingIOError:
            return False
        except OSError:
            return True  # reading will say so
        return not self.request

    def read(self):
        """True when nothing more is to come."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            self.end = "reset"
            return True
        if data:
            self.response.feed(data)
        else:
            self.response.end()
            self.end = None if self.response.done else "closed"
            return True
        return self.response.done


class Herd:
    """All connect and ask when the first run_until starts; connections stay open until close."""

    def __init__(self, address, count, target, host="localhost", fields=()):
        """target: one for all, or a function from a viewer's number to its own."""
        allow_many_files()
        self._selector = selectors.DefaultSelector()
        self.viewers = []
        for number in range(count):
            own = target(number) if callable(target) else target
            request = head_bytes(f"GET {own} HTTP/1.1", [("Host", host), *fields])
            viewer = Viewer(address, request)
            self.viewers.append(viewer)
            self._selector.register(viewer.socket, selectors.EVENT_WRITE, viewer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run_until(self, condition, what, after_s=DEADLINE_S):
        """Moves bytes until condition() holds; it is asked after each batch."""
        deadline = Deadline(after_s)
        while not condition():
            deadline.check(lambda: f"{what}: {self.summary()}")
            for key, events in self._selector.select(0.05):
                self._serve(key.data, events)

    def _serve(self, viewer, events):
        if events & selectors.EVENT_WRITE:
            if viewer.write():
                self._selector.modify(viewer.socket, selectors.EVENT_READ, viewer)
        elif viewer.read():
            self._selector.unregister(viewer.socket)

    def count_received(self, body_size):
        """How many have at least so many bytes of body."""
        return sum(viewer.response.body_size >= body_size for viewer in self.viewers)

    def count_done(self):
        return sum(viewer.response.done for viewer in self.viewers)

    def count_ended(self):
        """Whole or not."""
        return sum(viewer.response.done or viewer.end is not None for viewer in self.viewers)

    def digests(self):
        """How often each SHA-256 of a whole body occurs."""
        return Counter(viewer.digest.hexdigest() for viewer in self.viewers if viewer.response.done)

    def summary(self):
        return {
            "statuses": dict(Counter(viewer.response.status for viewer in self.viewers)),
            "ends": dict(Counter(viewer.end for viewer in self.viewers)),
            "done": self.count_done(),
            "with a byte of body": self.count_received(1),
        }

    def close(self):
        self._selector.close()
        for viewer in self.viewers:
            viewer.socket.close()
