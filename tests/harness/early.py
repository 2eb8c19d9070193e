# SPDX-License-Identifier: Apache-2.0
"""A client that sends TLS early data, which Python's ssl cannot: openssl s_client, and what it sends first as bytes that can
be sent again.

    visitor = Visitor(edge, authority, folder)        # has been there, and keeps its ticket
    assert b"200 OK" in visitor.visit(get("/a"))       # the request as early data; .status says what became of it
    visitor.visit(get("/a"), hold=lambda: ...)          # its handshake goes on when this has returned
    flight = visitor.record(get("/a"))                 # never sent
    with replay(edge, flight) as raw: ...              # the handshake is never completed
"""
import socket
import subprocess
import threading
from contextlib import nullcontext

from harness.deadline import DEADLINE_S
from harness.scene import HOST

APPLICATION_DATA = 23


def get(target, fields="", method="GET"):
    return f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n".encode()


class Visitor:
    def __init__(self, edge, authority, folder, protocol="http/1.1"):
        self.edge, self.authority, self.folder, self.protocol = edge, authority, folder, protocol
        self.ticket, self.early = folder / "ticket", folder / "early"
        self.status = None
        self._run(edge.tls_address, ["-sess_out", self.ticket], get("/ticket"))

    def _arguments(self, address, more):
        return list(map(str, ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-servername", HOST,
                              "-CAfile", self.authority.ca_path, "-alpn", self.protocol, "-ign_eof", *more]))

    def _run(self, address, more, data):
        done = subprocess.run(self._arguments(address, more), input=data, capture_output=True, check=False, timeout=DEADLINE_S)
        return done.stdout

    def _write(self, data):
        self.early.write_bytes(data)
        return ["-sess_in", self.ticket, "-early_data", self.early]

    def visit(self, data, later=b"", edge=None, hold=None):
        """What came for `data` as early data and `later` behind the handshake, until the edge ended the connection."""
        address = (edge or self.edge).tls_address
        with Relay(address, hold) if hold else nullcontext() as relay:
            out = self._run(relay.address if hold else address, self._write(data), later)
        self.status = next((word for word in ("accepted", "rejected", "not sent")
                            if f"Early data was {word}".encode() in out), None)
        return out

    def record(self, data):
        """The bytes that such a visit begins with, up to the end of the early data, which must fit one record."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            arguments = self._arguments(server.getsockname(), self._write(data))
            with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as client:
                connection, _ = server.accept()
                with connection:
                    flight, _ = _first_flight(connection)
                client.kill()
        return flight


class Relay:
    """Passes on what a client sends up to the end of its first early data; the rest when hold() has returned."""

    def __init__(self, address, hold):
        self.hold = hold
        self.server, self.target = socket.create_server(("127.0.0.1", 0)), address
        self.address = self.server.getsockname()
        self.failure = None
        self.threads = [threading.Thread(target=self._pass_requests)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()
        self.server.close()
        if self.failure:
            raise self.failure

    def _pass_requests(self):
        client, _ = self.server.accept()
        edge = socket.create_connection(self.target, timeout=DEADLINE_S)
        self.threads.append(threading.Thread(target=_pump, args=(edge, client)))
        self.threads[1].start()
        flight, rest = _first_flight(client)
        edge.sendall(flight)
        try:
            self.hold()
        except BaseException as failure:  # pylint: disable=broad-exception-caught  # the test's own thread raises it
            self.failure = failure
        edge.sendall(rest)
        _pump(client, edge)
        self.threads[1].join()
        client.close()
        edge.close()


def _pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of the two has gone: the other will hear of it


def _first_flight(connection):
    """All records up to the first of early data, and what came behind it."""
    stream, at = b"", 0
    while True:
        while len(stream) < at + 5 or len(stream) < at + 5 + int.from_bytes(stream[at + 3:at + 5], "big"):
            piece = connection.recv(65536)
            assert piece, "ended within its first flight"
            stream += piece
        end = at + 5 + int.from_bytes(stream[at + 3:at + 5], "big")
        if stream[at] == APPLICATION_DATA:
            return stream[:end], stream[end:]
        at = end


def replay(edge, flight):
    """A connection on which these bytes were sent, and nothing else ever will be."""
    connection = socket.create_connection(edge.tls_address, timeout=DEADLINE_S)
    connection.sendall(flight)
    return connection


def await_end(connection):
    """Until the edge has ended it, in whichever way."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
