# SPDX-License-Identifier: Apache-2.0
"""From HTTP/2 to the HTTP/1.1 that origins speak: what would mean something else there, or something more, goes no
further. The origin reads as strictly as can be and complains about each request that is not exactly one; behind each
case comes a good request on the same connection (or the next, where the case ended it), whose answer must be its own.
"""
import pytest

from harness.h2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, H2, HEADERS
from harness.scene import HOST
from test_edge_smuggling import RawOrigin

SITE = {"name": "demo", "hosts": [HOST, "*.video.test"], "pass_methods": ["*"], "forward_headers": ["*"]}
SECOND = "GET /smuggled HTTP/1.1\r\nHost: video.test\r\n\r\n"


@pytest.fixture(name="raw")
def _raw():
    raw = RawOrigin()
    yield raw
    raw.stop()
    assert not raw.trouble, "\n".join(raw.trouble)


@pytest.fixture(name="program")
def _program(edge, raw):
    return edge(sites=[{**SITE, "origin": raw.url}], limits={"request_body_max": "64KiB"}, workers=1)


def pseudo(method="GET", path="/x", authority=HOST, scheme="http"):
    pairs = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [(name, value) for name, value in pairs if value is not None]


def literal(text, size=None):
    """An HPACK string without Huffman coding, of any bytes."""
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    assert len(data) < 127
    return bytes([len(data)]) + data


def field(name, value):
    return b"\0" + literal(name) + literal(value)


class Case:
    """One request on a stream of its own: pseudo fields, fields, bodies, each as it is written."""

    def __init__(self, fields=(), body=None, trailers=None, **parts):
        self.block = b"".join(field(name, value) for name, value in [*pseudo(**parts), *fields])
        self.body, self.trailers = body, trailers
        self.shown = (parts, fields, body, trailers)

    def __repr__(self):
        return repr(self.shown)

    def send(self, viewer, stream):
        ends = END_STREAM if self.body is None and self.trailers is None else 0
        viewer.send(HEADERS, END_HEADERS | ends, stream, self.block)
        if self.body is not None:
            viewer.send(DATA, END_STREAM if self.trailers is None else 0, stream, self.body)
        if self.trailers is not None:
            block = b"".join(field(name, value) for name, value in self.trailers)
            viewer.send(HEADERS, END_HEADERS | END_STREAM, stream, block)


CONTROLS = [chr(code) for code in [*range(0, 9), *range(10, 32), 127]]
INJECTIONS = ["\r\n" + text for text in ("X: y", "Host: evil.test", "Transfer-Encoding: chunked", "Content-Length: 30",
                                         "\r\n" + SECOND)] + ["\r\n", "\n", "\r", "\nX: y", "\rX: y", "\x00", "\r\n "]

REFUSED = (
    [Case([("x", "a" + text)]) for text in INJECTIONS] +
    [Case([("x", text + "a")]) for text in INJECTIONS] +
    [Case([("x" + text, "a")]) for text in INJECTIONS] +
    [Case([("x", f"a{control}b")]) for control in CONTROLS] +
    [Case([(f"x{control}y", "a")]) for control in [*CONTROLS, "\t", " ", ":", "\x80", "\xff", "(", "/", "@", "{", "\""]] +
    [Case(path="/x" + text) for text in [*INJECTIONS, " HTTP/1.1" + "\r\n\r\n", " HTTP/1.1", " ", "\t", "#a", "\x80", "\x7f"]] +
    [Case(method="GET" + text) for text in [*INJECTIONS, " ", "\t", " /smuggled HTTP/1.1", " / HTTP/1.1\r\nX: "]] +
    [Case(authority=HOST + text) for text in [*INJECTIONS, " ", "/", "/x", "?", "#", "\\", "@evil.test", "\t", ", evil.test",
                                             "\"", "<"]] +
    [Case(scheme="http" + text) for text in [*INJECTIONS, "://evil.test/", " ", ":", "s "]] +
    # Names of the host.
    [Case([("host", host)]) for host in ("evil.test", "", "a.video.test", f"{HOST}:81", f"{HOST}, {HOST}", f"{HOST} ")] +
    [Case([("host", HOST), ("host", HOST)]), Case([("host", HOST), ("host", "evil.test")], authority=None),
     Case(authority=None), Case(authority=""), Case(authority="user@" + HOST), Case(authority=":80"),
     Case([("x", "y"), (":authority", HOST)], authority=None), Case([(":authority", "evil.test")])] +
    # Paths and methods that HTTP/1 has other words for.
    [Case(path=path) for path in ("", "x", "*", "?x", "http://evil.test/", "//evil.test\\", "/a b", "/a%", "/a%zz", "\\x",
                                  "/x\"", "/x<", "/x{")] +
    [Case(method=method) for method in ("", "get", "CONNECT", "PRI", "G(T", "GET,POST", "GET;")] +
    [Case([(":path", "/y")]), Case([(":method", "POST")]), Case([(":scheme", "https")]), Case([(":status", "200")]),
     Case([(":protocol", "websocket")], method="CONNECT"), Case([(":x", "y")]), Case([("x", "y"), (":path", "/y")], path=None)] +
    # Framing, which HTTP/2 has of its own.
    [Case([("transfer-encoding", value)], body=body) for value in ("chunked", "identity", "gzip, chunked", "", "xchunked")
     for body in (None, b"0\r\n\r\n" + SECOND.encode(), b"5\r\nhello\r\n0\r\n\r\n")] +
    [Case([("Transfer-Encoding", "chunked")], body=b"0\r\n\r\n"), Case([("transfer-encoding ", "chunked")], body=b"0\r\n\r\n"),
     Case([("transfer_encoding\r", "chunked")], body=b"0\r\n\r\n")] +
    [Case([("content-length", length)], body=b"hello", method="POST") for length in (
        "0", "4", "6", "1000", "-5", "+5", "0x5", "5 ", " 5", "5, 5", "5,5", "5;", "", "five", "5\r\n", "5\x00", "05\n",
        "9223372036854775808", "18446744073709551621", "99999999999999999999999", "5.0", "\"5\"")] +
    [Case([("content-length", first), ("content-length", second)], body=b"hello", method="POST")
     for first, second in (("5", "5"), ("5", "6"), ("0", "5"), ("5", "0"))] +
    [Case([("content-length", "5")]), Case([("content-length", "5")], body=b"", method="POST"),
     Case([("Content-Length", "5")], body=b"hello", method="POST"),
     Case([("content-length", "5")], body=b"hel", trailers=[("x", "lo")], method="POST"),
     Case([], body=b"hello", trailers=[(":path", "/y")], method="POST"),
     Case([], body=b"hello", trailers=[("x", "a\r\nb")], method="POST"),
     Case([], body=b"hello", trailers=[("X", "a")], method="POST"),
     Case([], body=b"hello", trailers=[("content-length", "0")], method="POST"),
     Case([], body=b"hello", trailers=[("transfer-encoding", "chunked")], method="POST")] +
    # Of one connection.
    [Case([(name, value)]) for name, value in (
        ("connection", "close"), ("connection", "x"), ("connection", "host"), ("keep-alive", "timeout=5"), ("upgrade", "h2c"),
        ("proxy-connection", "keep-alive"), ("te", "chunked"), ("te", "trailers, chunked"), ("te", ""))] +
    [Case([("", "x")]), Case([("", "")]), Case([("X", "y")]), Case([("hOST", HOST)])]
)


def outcome(viewer, stream):
    """What became of the stream, and whether the connection goes on."""
    response = viewer.response_of(stream)
    while not response.ended and response.error is None:
        if not viewer.read():
            return viewer.goaway, False
    return response.error if response.error is not None else response.status, not viewer.is_closed


def complaints_of(program, raw, cases):
    """All of them, so that one does not hide the others."""
    viewer = H2(program.address)
    for i, case in enumerate(cases):
        stream, viewer.next_stream = viewer.next_stream, viewer.next_stream + 2
        case.send(viewer, stream)
        what, goes_on = outcome(viewer, stream)
        seen = raw.take()
        if seen:
            yield f"SMUGGLED {case}: the origin saw {seen}"
        elif isinstance(what, int) and 200 <= what < 400:
            yield f"{case}: {what}"
        if not goes_on or i % 20 == 19:  # what is malformed has a budget on each connection
            viewer.connection.close()
            viewer = H2(program.address)
        good = viewer.get(f"/good/{i}")
        if (good.status, bytes(good.body)) != (200, f"/good/{i}".encode()):
            yield f"after {case}: {good}"
        if [request[:3] for request in raw.take()] != [("GET", f"/good/{i}", b"")]:
            yield f"after {case}: the origin saw something else"


def test_what_is_dangerous_goes_no_further(program, raw):
    assert len(REFUSED) > 250
    complaints = list(complaints_of(program, raw, REFUSED))
    assert not complaints, f"{len(complaints)} of {len(REFUSED)}\n" + "\n".join(complaints)


VALID = [  # and what the origin is to see of it
    (Case(), ("GET", "/x", b"")),
    (Case([("host", HOST)]), ("GET", "/x", b"")),
    (Case([("host", HOST)], authority=None), ("GET", "/x", b"")),
    (Case(authority="VIDEO.test"), ("GET", "/x", b"")),
    (Case(authority=HOST + ":8443"), ("GET", "/x", b"")),
    (Case(path="/!$&'()*+,;=:@-._~?a=b&c=/?:"), ("GET", "/!$&'()*+,;=:@-._~?a=b&c=/?:", b"")),
    (Case(path="/a/../b/%41"), ("GET", "/b/A", b"")),
    (Case([("x", "a\tb"), ("y", "\xe9\xff"), ("z", ""), ("te", "trailers")]), ("GET", "/x", b"")),
    (Case([("cookie", "a=1"), ("cookie", "b=2")]), ("GET", "/x", b"")),
    (Case(method="HEAD"), ("HEAD", "/x", b"")),
    (Case(method="PROPFIND"), ("PROPFIND", "/x", b"")),
    (Case(method="UNHEARDOF"), ("UNHEARDOF", "/x", b"")),
    (Case(body=b"hello", method="POST"), ("POST", "/x", b"hello")),
    (Case([("content-length", "5")], body=b"hello", method="POST"), ("POST", "/x", b"hello")),
    (Case([("content-length", "05")], body=b"hello", method="POST"), ("POST", "/x", b"hello")),
    (Case(body=SECOND.encode(), method="POST"), ("POST", "/x", SECOND.encode())),
    (Case(body=b"0\r\n\r\n" + SECOND.encode(), method="PUT"), ("PUT", "/x", b"0\r\n\r\n" + SECOND.encode())),
    (Case(body=b"hello", trailers=[("x", "y"), ("host", "evil.test")], method="POST"), ("POST", "/x", b"hello")),
    (Case(body=b"", method="POST"), ("POST", "/x", b"")),
    (Case([("content-length", "0")], method="POST"), ("POST", "/x", b"")),
]


def test_what_is_valid_arrives_as_meant(program, raw):
    with H2(program.address) as viewer:
        for i, (case, expected) in enumerate(VALID):
            case.send(viewer, 2 * i + 1)
            assert outcome(viewer, 2 * i + 1) == (200, True), case
            request, = raw.take()
            assert request[:3] == expected, case
            head = request[3].decode("latin-1").lower()
            assert head.count("\r\nhost: ") == 1 and "transfer-encoding" not in head


def test_a_block_cut_anywhere_means_the_same(program, raw):
    """A field that is cut between two frames is one field."""
    block = b"".join(field(name, value) for name, value in [*pseudo(), ("x", "a"), ("y", "b")])
    with H2(program.address) as viewer:
        for i, cut in enumerate(range(0, len(block) + 1, 3)):
            viewer.send(HEADERS, END_STREAM, 2 * i + 1, block[:cut])
            viewer.send(CONTINUATION, END_HEADERS, 2 * i + 1, block[cut:])
            assert outcome(viewer, 2 * i + 1) == (200, True)
            request, = raw.take()
            assert request[:3] == ("GET", "/x", b"") and b"\r\nx: a\r\ny: b" in request[3].lower()
