# SPDX-License-Identifier: Apache-2.0
"""A client that does exactly what a test says, and shows exactly what came back.

    with Connection(edge.address, host="video.test") as viewer:
        viewer.request("/seg.ts", {"Range": "bytes=0-9"})
        response = viewer.response()
"""
import json
import socket
import ssl
import struct

from harness.deadline import DEADLINE_S
from harness.message import Fields, ResponseParser, head_bytes


class Broken(AssertionError):
    """The connection ended before the response did. `response` is what there is of it."""

    def __init__(self, why, response):
        super().__init__(f"{why} after {response.body_size} body bytes of {response.head!r}")
        self.why = why  # "closed" or "reset"
        self.response = response


class Connection:
    """One connection. Reads wait DEADLINE_S at most (TimeoutError)."""

    open_ones = set()  # closed by conftest when a test ends, so that counters can settle

    def __init__(self, address, host="localhost", tls=None, server_name=None, receive_buffer=None,
                 timeout_s=DEADLINE_S):
        """tls: an ssl.SSLContext, see Authority.client_context. receive_buffer: a small one makes a viewer that
        does not read felt soon.
        """
        self.host = host
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        Connection.open_ones.add(self)
        try:
            self.socket.connect(address)
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname=server_name or host)
        except BaseException:
            self.close()
            raise
        self.received_bytes = 0  # heads, framing and bodies, behind TLS where there is some
        self._parser = None
        self._rest = b""
        self._methods = []  # of the requests whose responses have not been read

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, target, fields=(), method="GET", body=b""):
        """Sends a request. Host is added unless `fields` has one."""
        fields = Fields(fields)
        if "Host" not in fields:
            fields.pairs.insert(0, ("Host", self.host))
        self.send(head_bytes(f"{method} {target} HTTP/1.1", fields.pairs) + body, method)

    def send(self, data, method="GET"):
        """Sends any bytes; the next response is read as one to `method` (None: none is expected)."""
        if method:
            self._methods.append(method)
        self.socket.sendall(data)

    def _receive(self, size):
        """Up to size bytes into the current parser; raises Broken at the end of the connection."""
        parser = self._parser
        try:
            data = self.socket.recv(size)
        except ConnectionResetError:
            raise Broken("reset", parser) from None
        except ssl.SSLEOFError:
            raise Broken("closed", parser) from None
        if data:
            self.received_bytes += len(data)
            parser.feed(data)
            return
        parser.end()
        if not parser.done:
            raise Broken("closed", parser)

    def _begin(self):
        if self._parser is None:
            self._parser = ResponseParser(self._methods.pop(0) if self._methods else "GET")
            self._parser.feed(self._rest)
            self._rest = b""
        return self._parser

    def head(self):
        """Reads until the head of the next response is there: the response so far."""
        parser = self._begin()
        while not parser.has_head:
            self._receive(65536)
        return parser

    def read(self, body_size):
        """Reads until `body_size` bytes of the current response's body have come (or all): the response so far."""
        parser = self.head()
        while not parser.done and parser.body_size < body_size:
            self._receive(min(65536, body_size - parser.body_size))
        return parser

    def response(self):
        """Reads the whole next response, or what is missing of the current one."""
        parser = self.head()
        while not parser.done:
            self._receive(1 << 20)
        self._parser, self._rest = None, bytes(parser.rest)
        parser.rest.clear()
        return parser

    def is_closed_by_peer(self):
        """Waits for the peer's end; False when bytes come instead."""
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, ssl.SSLEOFError):
            return True

    def widen(self):
        """Ends what a small receive_buffer did: reads fast from now on."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()
        Connection.open_ones.discard(self)

    def reset(self):
        """Ends with a TCP reset, as a viewer whose machine has gone away."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def fetch(address, target, fields=(), method="GET", **connection):
    """One request on a connection of its own."""
    with Connection(address, **connection) as client:
        client.request(target, fields, method)
        return client.response()


def fetch_json(address, target):
    response = fetch(address, target)
    assert response.status == 200, f"{target}: {response.status} {bytes(response.body)!r}"
    return json.loads(bytes(response.body))


def close_all():
    for connection in list(Connection.open_ones):
        connection.close()
