# SPDX-License-Identifier: Apache-2.0
"""Attackers that come from one address or from fifty, and a good viewer who counts what of it he feels.

    with Swarm(edge.address, MODES["slowloris"], addresses(50), width=500), GoodViewer(edge.address, HOST, targets) as good:
        good.watch(50)
    assert not good.failures

A mode is what one connection of a swarm does: it says `first`, then `again` every turn. Connections that the server
closes are opened anew.
"""
import errno
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from harness.h2 import (CONTINUATION, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, RST_STREAM,
                        SETTINGS, frame, settings, u32)

TURN_S = 0.02


def addresses(count):
    """127.0.1.1, .2, ...: loopback's own, and none of them is the good viewer's 127.0.0.1."""
    return [f"127.0.1.{1 + number}" for number in range(count)]


@dataclass
class Mode:
    """first, again: bytes, or functions of the attack's random number that make them."""
    about: str
    first: object = b""
    again: object = b""
    reads: bool = True       # what the server says is taken in
    churns: bool = False     # closes with a reset every turn, and comes again
    tls: bool = False        # aims at the listener with TLS
    pieces: int = field(default=1)  # of `again` a turn


def _get(target, host, *fields):
    return "".join([f"GET {target} HTTP/1.1\r\n", f"Host: {host}\r\n", *(line + "\r\n" for line in fields), "\r\n"]).encode()


def _h2_requests(host, target, count, cancel=False):
    block = b"\x82\x86" + _plain(1, host) + _plain(4, target)  # GET, http, :authority, :path
    frames = b""
    for stream in range(1, 1 + 2 * count, 2):
        frames += frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
        if cancel:
            frames += frame(RST_STREAM, 0, stream, u32(8))
    return frames


def _plain(index, value):
    """A field without indexing (RFC 7541 section 6.2.2): the block means the same however often it is said."""
    return bytes([index, len(value)]) + value.encode()


def modes(host, segment, playlist):
    """{name: Mode} against a site. segment: the path of something large."""
    ranges = "Range: bytes=" + ",".join(f"{i}-{i + 1}" for i in range(0, 1000, 3))
    preface = PREFACE + frame(SETTINGS, 0, 0)
    return {
        "slowloris": Mode("heads that never end", f"GET {playlist} HTTP/1.1\r\nHost: {host}\r\nX: ".encode(), b"x"),
        "slow body": Mode("bodies that never end",
                          f"POST {playlist} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n".encode(), b"x"),
        "idle flood": Mode("connections that say nothing"),
        "kept idle": Mode("connections that ask once and stay", _get(playlist, host)),
        "connection churn": Mode("connect, reset, connect", churns=True),
        "half tls": Mode("half a ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", tls=True),
        "plain at tls": Mode("HTTP where TLS is spoken", _get(playlist, host), tls=True),
        "range bomb": Mode("hundreds of tiny ranges", b"", _get(segment, host, ranges)),
        "many ranges": Mode("as many ranges as are obeyed, overlapping the whole", b"",
                            _get(segment, host, "Range: bytes=" + ",".join(f"{i * 1000}-{i * 1000 + 900}" for i in range(16)))),
        "pipelining": Mode("requests without waiting for answers", b"", _get(playlist, host) * 50),
        "pipelining unread": Mode("the same, and answers are not read", b"", _get(segment, host) * 50, reads=False),
        "random query": Mode("URLs that nobody has", b"",
                             lambda: _get(f"{playlist}?{os.urandom(8).hex()}", host)),
        "not there": Mode("paths that do not exist", b"", lambda: _get(f"/{os.urandom(8).hex()}", host)),
        "huge head": Mode("heads beyond the limit", b"", _get(playlist, host, *(f"X-{i}: {'x' * 900}" for i in range(40)))),
        "many fields": Mode("a thousand small fields", b"", _get(playlist, host, *(f"X-{i}: x" for i in range(1000)))),
        "long uri": Mode("URIs beyond the limit", b"", _get("/" + "x" * 12000, host)),
        "garbage": Mode("noise", b"", lambda: os.urandom(200)),
        "unknown host": Mode("other people's names", b"", _get(playlist, "nobody.invalid")),
        "half a request, again": Mode("heads cut off by a reset", f"GET {playlist} HT".encode(), churns=True),
        "h2 rapid reset": Mode("streams cancelled at once", lambda: preface + _h2_requests(host, playlist, 400, cancel=True),
                               churns=True),
        "h2 window zero": Mode("streams that may not send",
                               lambda: PREFACE + frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0)))
                               + _h2_requests(host, segment, 90)),
        "h2 empty continuations": Mode("a head of empty frames",
                                       lambda: preface + frame(HEADERS, 0, 1, b"\x82"), frame(CONTINUATION, 0, 1) * 50),
        "h2 settings": Mode("settings upon settings", preface, frame(SETTINGS, 0, 0) * 50),
        "h2 half a preface": Mode("half a preface", PREFACE[:16]),
    }


def _made(what):
    return what() if callable(what) else what


class _One:
    """One attacking connection."""

    def __init__(self, address, mode, source):
        self.address, self.mode, self.source = address, mode, source
        self.socket, self.pending = None, b""

    def open(self):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if not self.mode.reads:
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
        self.pending = _made(self.mode.first)

    def turn(self):
        """False: it has been closed."""
        try:
            for _ in range(self.mode.pieces):
                self.pending = self.pending or _made(self.mode.again)
                if self.pending:
                    self.pending = self.pending[self.socket.send(self.pending):]
        except BlockingIOError:
            pass
        except OSError as error:
            return error.errno in (errno.ENOTCONN, errno.EAGAIN)
        return self._take_in()

    def _take_in(self):
        try:
            while self.mode.reads:
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
