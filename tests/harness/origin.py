# SPDX-License-Identifier: Apache-2.0
"""An origin that does exactly what a script says, byte by byte, and remembers every request it saw.

    gate = threading.Event()
    origin.on("/seg.ts", [head(200, {"Content-Length": 8}), send(b"1234"), wait(gate), send(b"5678")])
    origin.on("/a", answer(200, b"hello", {"ETag": '"1"'}))
    origin.file("/b.ts", data)                           # ranges, 304: a well-behaved origin
    origin.on_each("/c", [answer(500), answer(200, b"")])  # the first request, then all others

A script is a list of steps; a step is a function of (exchange) that returns False to end the connection.
"""
import hashlib
import re
import socket
import struct
import threading
from email.utils import formatdate

from harness.deadline import DEADLINE_S, until
from harness.message import head_bytes, parse_fields

# --- steps -------------------------------------------------------------------------------------------------


def send(data, piece_size=None):
    """Sends bytes, whatever they are; in pieces, each its own write, when a size is given."""
    def step(exchange):
        for at in range(0, len(data), piece_size or max(1, len(data))):
            exchange.socket.sendall(data[at:at + (piece_size or len(data))])
    return step


def head(status, fields=(), reason="-"):
    """A head and nothing else. No Date or framing is added."""
    return send(head_bytes(f"HTTP/1.1 {status} {reason}", fields))


def chunk(data):
    return send(b"%x\r\n%s\r\n" % (len(data), data))


def last_chunk():
    return send(b"0\r\n\r\n")


def wait(gate, timeout_s=DEADLINE_S):
    """Waits until the test sets the threading.Event (or the origin stops)."""
    def step(exchange):
        exchange.origin.wait_for(gate, timeout_s)
    return step


def signal(gate):
    """Sets an event: the script has come this far."""
    def step(_):
        gate.set()
    return step


def close():
    """Ends the connection as if all were well."""
    return lambda exchange: False


def reset():
    """Ends it with a TCP reset."""
    def step(exchange):
        exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    return step


def hang():
    """Says nothing more until the peer goes away (or the origin stops)."""
    def step(exchange):
        exchange.wait_for_peer_to_leave()
        return False
    return step


def answer(status=200, body=b"", fields=(), date=True):
    """A whole response with its Content-Length, and Date."""
    pairs = list(fields.items() if isinstance(fields, dict) else fields)
    names = {name.lower() for name, _ in pairs}

    def step(exchange):
        framing = [("Date", formatdate(usegmt=True))] if date and "date" not in names else []
        if status not in (204, 304) and "content-length" not in names:
            framing.append(("Content-Length", len(body)))
        data = head_bytes(f"HTTP/1.1 {status} -", pairs + framing)
        exchange.socket.sendall(data if exchange.request.method == "HEAD" else data + body)
    return [step]


# --- requests and connections --------------------------------------------------------------------------------


class Request:
    def __init__(self, raw_head, body, connection_number):
        lines = raw_head[:-4].split(b"\r\n")
        self.raw_head, self.body = raw_head, body
        self.connection_number = connection_number
        self.method, self.target, self.version = lines[0].decode("latin-1").split(" ")
        self.path = self.target.split("?")[0]
        self.fields = parse_fields(lines[1:])

    def __repr__(self):
        return f"<{self.method} {self.target} on {self.connection_number}>"


class _CountedSocket:
    """A socket whose origin counts what is sent."""

    def __init__(self, connection, origin):
        self._connection, self._origin = connection, origin

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def sendall(self, data):
        self._connection.sendall(data)
        self._origin.count_sent(len(data))


class _Exchange:
    def __init__(self, origin, connection, request):
        self.origin, self.socket, self.request = origin, _CountedSocket(connection, origin), request

    def wait_for_peer_to_leave(self):
        self.socket.settimeout(0.1)
        until(lambda: self.origin.stopping.is_set() or self._has_left(), "the peer to leave", DEADLINE_S)

    def _has_left(self):
        try:
            return self.socket.recv(65536) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


class Origin:
    """Listens on a free port from the start; a thread for each connection. A request for what is not scripted gets
    404. `errors` is what went wrong here and not in the peer; conftest asserts that there is nothing.
    """

    def __init__(self, address="127.0.0.1", tls=None):
        """tls: an ssl.SSLContext, see Authority.server_context."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family, backlog=1024)
        self.address = self._listener.getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'https' if tls else 'http'}://{host}:{self.address[1]}"
        self._tls = tls
        self._scripts = {}
        self._lock = threading.Lock()
        self._connections = {}  # number -> socket
        self.requests = []
        self.errors = []
        self.connections_opened = 0
        self.sent_bytes = 0  # heads, framing and bodies
        self.stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    # what the test says

    def on(self, path, script):
        """The script for each request of the path (without query, or a whole target with it)."""
        self.on_each(path, [script])

    def on_each(self, path, scripts):
        """One script for each request in turn; the last is repeated. A script may also be a function from the request
        to a list of steps.
        """
        with self._lock:
            self._scripts[path] = list(scripts)

    def file(self, path, data, fields=()):
        """A resource with a strong ETag, single ranges, If-None-Match and If-Range."""
        fields = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"', **dict(fields)}
        self.on(path, lambda request: file_answer(request, data, fields))

    def refuse(self):
        """Stops listening: later connections are refused. Those that are open go on."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()

    # what the test asks

    def count(self, path=None):
        """How many requests have been seen, for a path or target or at all."""
        with self._lock:
            return sum(path in (None, request.path, request.target) for request in self.requests)

    def seen(self, path):
        """The requests for a path or target, in order."""
        with self._lock:
            return [request for request in self.requests if path in (request.path, request.target)]

    def wait_for_requests(self, count, path=None):
        until(lambda: self.count(path) >= count, lambda: f"{count} requests for {path}, not {self.requests}")

    @property
    def connections_open(self):
        with self._lock:
            return len(self._connections)

    def wait_for(self, gate, timeout_s=DEADLINE_S):
        """As gate.wait, but ended by stop() too."""
        until(lambda: self.stopping.is_set() or gate.wait(0.1), "a gate of the origin", timeout_s)

    def stop(self):
        """Ends everything: what waits goes on, connections are closed."""
        self.stopping.set()
        if self._acceptor.is_alive():
            self.refuse()
        with self._lock:
            open_ones = list(self._connections.values())
        for connection in open_ones:
            _shut(connection)
        until(lambda: self.connections_open == 0, "the origin's connections to end")

    # the machinery

    def count_sent(self, size):
        with self._lock:
            self.sent_bytes += size

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections_opened += 1
                number = self.connections_opened
                self._connections[number] = connection
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._connections[number] = connection  # what was accepted is detached now
            while self._serve_one(connection, number):
                pass
        except OSError:
            pass  # the peer went away: the test knows whether it should
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(f"connection {number}: {error!r}")
        finally:
            connection.close()
            with self._lock:
                del self._connections[number]

    def _serve_one(self, connection, number):
        request = _read_request(connection, number)
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            script = self._script_of(request)
        if callable(script):
            script = script(request)
        exchange = _Exchange(self, connection, request)
        for step in script:
            if step(exchange) is False:
                return False
        return not self.stopping.is_set()

    def _script_of(self, request):
        scripts = self._scripts.get(request.target) or self._scripts.get(request.path)
        if not scripts:
            return answer(404, b"not scripted\n")
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]


def _shut(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _read_request(connection, number):
    """The next request, or None at the end of the connection. The edge never pipelines to an origin: bytes behind a
    request are a fault.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            assert not data, f"half a request: {data!r}"
            return None
        data += piece
    raw_head, body = data.split(b"\r\n\r\n", 1)
    request = Request(raw_head + b"\r\n\r\n", b"", number)
    length = int(request.fields.get("Content-Length", "0"))
    while len(body) < length:
        piece = connection.recv(65536)
        assert piece, f"half a body: {body!r}"
        body += piece
    assert len(body) == length, f"bytes behind a request: {body[length:]!r}"
    request.body = body
    return request


def file_answer(request, data, fields):
    """What a good origin answers: single ranges, If-None-Match, If-Range. fields has an ETag."""
    etag = fields["ETag"]
    if request.fields.get("If-None-Match") == etag:
        return answer(304, fields=fields)
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.fields.get("Range", ""))
    if not wanted or request.fields.get("If-Range", etag) != etag:
        return answer(200, data, {"Accept-Ranges": "bytes", **fields})
    first, last = wanted[1], wanted[2]
    if not first:
        first, last = max(0, len(data) - int(last)), len(data) - 1
    first, last = int(first), min(int(last or len(data) - 1), len(data) - 1)
    if first > last:
        return answer(416, fields={**fields, "Content-Range": f"bytes */{len(data)}"})
    return answer(206, data[first:last + 1], {**fields, "Content-Range": f"bytes {first}-{last}/{len(data)}"})
