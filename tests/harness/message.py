# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 messages as bytes: heads built and parsed, response bodies taken apart as they arrive. Strict: a product
that sends sloppy HTTP fails its test.
"""
import re

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\x20-\x7e]*)")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*")


class ProtocolError(AssertionError):
    """What came is not HTTP/1.1."""


class Fields:
    """Header fields in their order; names compare without case."""

    def __init__(self, pairs=()):
        self.pairs = list(pairs.items() if isinstance(pairs, dict) else pairs)

    def get(self, name, default=None):
        return next((value for other, value in self.pairs if other.lower() == name.lower()), default)

    def all(self, name):
        return [value for other, value in self.pairs if other.lower() == name.lower()]

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{len(values)} fields {name} in {self.pairs}"
        return values[0]

    def __contains__(self, name):
        return bool(self.all(name))

    def __repr__(self):
        return f"Fields({self.pairs})"


def head_bytes(first_line, fields):
    lines = [first_line, *(f"{name}: {value}" for name, value in Fields(fields).pairs)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def parse_fields(lines):
    pairs = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if not match:
            raise ProtocolError(f"bad field line {line!r}")
        pairs.append((match[1].decode(), match[2].decode("latin-1")))
    return Fields(pairs)


class ResponseParser:
    """Takes a connection's bytes as they come and yields one response. Body bytes go to `on_body`, by default into
    `body`. What is left after the response stays in `rest`.
    """

    def __init__(self, method="GET", on_body=None):
        self.method = method
        self.head = b""  # raw, with its empty line
        self.status, self.reason, self.fields = None, None, None
        self.body = bytearray()
        self.body_size = 0
        self.informational = []  # statuses of 1xx that came before
        self.done = False
        self.rest = bytearray()
        self._on_body = on_body or self.body.extend
        self._step = self._parse_head
        self._left = 0

    @property
    def has_head(self):
        return self.status is not None

    def feed(self, data):
        self.rest += data
        while not self.done and self._step():
            pass

    def end(self):
        """The connection has ended: whole only if that is how the body was framed."""
        if self._step == self._parse_to_end:
            self.done = True

    def _take(self, size):
        taken = bytes(self.rest[:size])
        del self.rest[:size]
        return taken

    def _parse_head(self):
        size = self.rest.find(b"\r\n\r\n") + 4
        if size == 3:
            if len(self.rest) > 65536:
                raise ProtocolError("a head without an end")
            return False
        head = self._take(size)
        lines = head[:-4].split(b"\r\n")
        match = _STATUS_LINE.fullmatch(lines[0])
        if not match:
            raise ProtocolError(f"bad status line {lines[0]!r}")
        status, fields = int(match[1]), parse_fields(lines[1:])
        if status < 200:
            self.informational.append(status)
            return True
        self.head, self.status, self.reason, self.fields = head, status, match[2].decode(), fields
        self._frame()
        return True

    def _frame(self):
        lengths, codings = self.fields.all("Content-Length"), self.fields.all("Transfer-Encoding")
        if len(lengths) + len(codings) > 1:
            raise ProtocolError(f"framed twice: {self.fields}")
        if lengths and not re.fullmatch("[0-9]+", lengths[0]):
            raise ProtocolError(f"Content-Length: {lengths[0]}")
        if self.method == "HEAD" or self.status in (204, 304):
            self.done = True
        elif codings:
            if codings[0].lower() != "chunked":
                raise ProtocolError(f"Transfer-Encoding: {codings[0]}")
            self._step = self._parse_chunk_size
        elif lengths:
            self._left = int(lengths[0])
            self._step = self._parse_length
            self.done = self._left == 0
        else:
            self._step = self._parse_to_end

    def _give(self, size):
        data = self._take(size)
        self.body_size += len(data)
        self._on_body(data)

    def _parse_length(self):
        size = min(self._left, len(self.rest))
        self._give(size)
        self._left -= size
        self.done = self._left == 0
        return False

    def _parse_to_end(self):
        self._give(len(self.rest))
        return False

    def _parse_chunk_size(self):
        size = self.rest.find(b"\r\n") + 2
        if size == 1:
            return False
        line = self._take(size)[:-2]
        if not re.fullmatch(rb"[0-9A-Fa-f]+", line):
            raise ProtocolError(f"bad chunk size {line!r}")
        self._left = int(line, 16)
        self._step = self._parse_chunk if self._left else self._parse_trailers
        return True

    def _parse_chunk(self):
        size = min(self._left, len(self.rest))
        self._give(size)
        self._left -= size
        if self._left or len(self.rest) < 2:
            return False
        if self._take(2) != b"\r\n":
            raise ProtocolError("a chunk without its end")
        self._step = self._parse_chunk_size
        return True

    def _parse_trailers(self):
        size = self.rest.find(b"\r\n") + 2
        if size == 1:
            return False
        if self._take(size) == b"\r\n":
            self.done = True
        return True
