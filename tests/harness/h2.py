# SPDX-License-Identifier: Apache-2.0
"""A client of HTTP/2 that sends exactly the frames a test says, good or bad, and keeps every frame that comes back.

    with H2(edge.tls_address, tls=authority.client_context()) as viewer:
        response = viewer.get("/seg.ts")          # .status, .fields, .body, .error
        viewer.send(PING, 0, 0, b"12345678")      # any frame at all
        assert viewer.connection_error() == PROTOCOL_ERROR
"""
import socket
import struct
from collections import namedtuple

from hpack import Decoder, Encoder

from harness.client import Connection
from harness.deadline import DEADLINE_S
from harness.message import Fields

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_SIZE_MAX = 16384

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
ACK, END_STREAM, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)

CLOSED = "closed"  # the connection ended without a GOAWAY

Frame = namedtuple("Frame", "type flags stream payload")


def frame(kind, flags, stream, payload=b"", size=None):
    """Bytes of a frame; `size`: what it says its payload has, where that is a lie."""
    return struct.pack(">I", len(payload) if size is None else size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return b"".join(struct.pack(">HI", name, value) for name, value in pairs)


def u32(value):
    return struct.pack(">I", value)


class Response:
    """What one stream has got so far."""

    def __init__(self):
        self.status, self.fields, self.body = None, None, bytearray()
        self.informational = []
        self.ended, self.error = False, None  # error: of RST_STREAM

    def __repr__(self):
        return f"<{self.status}, {len(self.body)} bytes, ended {self.ended}, error {self.error}>"


class H2:
    def __init__(self, address, tls=None, host="video.test", initial=(), handshake=True, auto_window=True,
                 receive_buffer=None):
        """tls: an ssl.SSLContext. initial: pairs of settings. handshake: says the preface, waits for all SETTINGS."""
        if tls:
            tls.set_alpn_protocols(["h2"])
        self.connection = Connection(address, host=host, tls=tls, receive_buffer=receive_buffer)
        self.socket = self.connection.socket
        self.host, self.scheme = host, "https" if tls else "http"
        self.auto_window = auto_window
        self.encoder, self.decoder = Encoder(), Decoder()
        self.responses = {}
        self.settings = {}
        self.goaway, self.is_closed = None, False
        self.next_stream = 1
        self.has_shaken_hands = handshake
        self._buffer, self._block, self._consumed = bytearray(), b"", 0
        if handshake:
            self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings(*initial)))
            self._await_settings()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def _await_settings(self):
        heard = set()
        while heard != {0, ACK}:
            got = self.read()
            assert got, "ended before its SETTINGS"
            if got.type == SETTINGS:
                heard.add(got.flags & ACK)

    # --- saying --------------------------------------------------------------------------------------------------

    def raw(self, data):
        """Sends bytes. The edge may have ended the connection already: reading says so."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def send(self, kind, flags, stream, payload=b""):
        self.raw(frame(kind, flags, stream, payload))

    def block(self, target="/", fields=(), method="GET", pseudo=None):
        """A header block. pseudo: other pseudo fields than those of a request."""
        if pseudo is None:
            pseudo = [(":method", method), (":scheme", self.scheme), (":authority", self.host), (":path", target)]
        pairs = list(fields.items() if isinstance(fields, dict) else fields)
        return self.encoder.encode([*pseudo, *pairs])

    def ask(self, target="/", fields=(), method="GET", end=True, stream=None, pseudo=None):
        """Sends a request; its stream."""
        stream = stream or self.next_stream
        self.next_stream = max(self.next_stream, stream + 2)
        self.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(target, fields, method, pseudo))
        return stream

    def widen(self, stream, increment):
        self.send(WINDOW_UPDATE, 0, stream, u32(increment))

    # --- hearing -------------------------------------------------------------------------------------------------

    def _fill(self, size):
        while len(self._buffer) < size:
            try:
                piece = self.socket.recv(1 << 16)
            except (ConnectionResetError, BrokenPipeError):
                piece = b""
            except OSError as error:  # TLS without close_notify
                if isinstance(error, TimeoutError):
                    raise AssertionError(f"nothing came for {DEADLINE_S} s") from None
                piece = b""
            if not piece:
                self.is_closed = True
                return False
            self._buffer += piece
        return True

    def read(self):
        """The next frame, acted on; None at the end of the connection."""
        if self.is_closed or not self._fill(9):
            return None
        size = int.from_bytes(self._buffer[:3], "big")
        assert size <= FRAME_SIZE_MAX, f"a frame of {size} bytes"
        if not self._fill(9 + size):
            return None
        kind, flags, stream = struct.unpack(">BBI", self._buffer[3:9])
        got = Frame(kind, flags, stream & 0x7fffffff, bytes(self._buffer[9:9 + size]))
        del self._buffer[:9 + size]
        self._take(got)
        return got

    def _take(self, got):
        if got.type == SETTINGS and not got.flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", got.payload))
            if self.has_shaken_hands:
                self.send(SETTINGS, ACK, 0)
        elif got.type == GOAWAY:
            self.goaway = struct.unpack(">II", got.payload[:8])
        elif got.type == RST_STREAM:
            self.response_of(got.stream).error = struct.unpack(">I", got.payload)[0]
        elif got.type in (HEADERS, CONTINUATION):
            self._take_block(got)
        elif got.type == DATA:
            self.response_of(got.stream).body += got.payload
            self._widen_for(got)
        if got.type in (HEADERS, DATA) and got.flags & END_STREAM:
            self.response_of(got.stream).ended = True

    def _take_block(self, got):
        self._block += got.payload  # the edge neither pads nor weighs its HEADERS
        if not got.flags & END_HEADERS:
            return
        pairs, self._block = self.decoder.decode(self._block), b""
        response = self.response_of(got.stream)
        assert pairs[0][0] == ":status" and all(name == name.lower() and name[0] != ":" for name, _ in pairs[1:])
        if pairs[0][1].startswith("1"):
            response.informational.append(int(pairs[0][1]))
            return
        assert response.status is None, "two heads on one stream"
        response.status, response.fields = int(pairs[0][1]), Fields(pairs[1:])

    def _widen_for(self, got):
        if not self.auto_window or not got.payload:
            return
        if not got.flags & END_STREAM:
            self.widen(got.stream, len(got.payload))
        self._consumed += len(got.payload)
        if self._consumed > 30000:
            self.widen(0, self._consumed)
            self._consumed = 0

    def response_of(self, stream):
        return self.responses.setdefault(stream, Response())

    def until(self, condition):
        """Reads until the condition holds. Fails when the connection ends first."""
        while not condition():
            assert self.read(), f"the connection ended: {self.goaway}, {self.responses}"

    def response(self, stream):
        """The whole response, or as much as came before its RST_STREAM."""
        response = self.response_of(stream)
        self.until(lambda: response.ended or response.error is not None)
        return response

    def get(self, target="/", fields=(), method="GET"):
        return self.response(self.ask(target, fields, method))

    def ping(self, payload=b"\0" * 8):
        """All that was said before has been heard."""
        self.send(PING, 0, 0, payload)
        while got := self.read():
            if got == Frame(PING, ACK, 0, payload):
                return True
        return False

    def connection_error(self):
        """Reads to the end of the connection: the code of its GOAWAY, or CLOSED."""
        while self.read():
            pass
        return self.goaway[1] if self.goaway else CLOSED

    def stream_error(self, stream=1):
        """The code of RST_STREAM, or of GOAWAY, or CLOSED."""
        while self.response_of(stream).error is None and self.goaway is None:
            if not self.read():
                return CLOSED
        return self.goaway[1] if self.goaway else self.response_of(stream).error

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)
