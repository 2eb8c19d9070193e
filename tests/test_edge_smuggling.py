# SPDX-License-Identifier: Apache-2.0
"""Requests and responses that two readers could read differently. Behind each request stands a second one, "canary":
a request is refused when one response says so, the connection ends, and the origin never saw a byte of either; it is
understood when the origin got exactly what was meant, and both were answered. Whatever is in between is smuggled.
"""
import re
import socket
import threading
import time

import pytest

from harness.deadline import DEADLINE_S
from harness.scene import HOST

CANARY = f"GET /canary HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
SITE = {"name": "demo", "hosts": [HOST, "*.video.test"], "pass_methods": ["*"], "forward_headers": ["*"]}
LIMITS = {"request_body_max": "64KiB"}
REFUSALS = {400, 408, 413, 414, 417, 421, 431, 501, 505}


class RawOrigin:
    """Reads requests as strictly as can be, keeps them, and answers each with its own target."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.requests, self.trouble = [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self):
        with self.lock:
            taken, self.requests = self.requests, []
            return taken

    def stop(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        data = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in data:
                    piece = connection.recv(65536)
                    if not piece:
                        if data:
                            self.trouble.append(f"half a request: {data!r}")
                        return
                    data += piece
                head, data = data.split(b"\r\n\r\n", 1)
                size = self._check(head)
                while len(data) < size:
                    data += connection.recv(65536)
                body, data = data[:size], data[size:]
                line = head.split(b"\r\n")[0].split(b" ")
                with self.lock:
                    self.requests.append((line[0].decode(), line[1].decode(), body, head))
                answer = line[1]
                connection.sendall(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s"
                                   % (len(answer), b"" if line[0] == b"HEAD" else answer))

    def _check(self, head):
        lines = head.split(b"\r\n")
        good = re.fullmatch(rb"[A-Z-]+ /[!-~]* HTTP/1\.1", lines[0])
        lengths, hosts = [], 0
        for line in lines[1:]:
            match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t\x20-\x7e\x80-\xff]*)", line)
            name = match[1].lower() if match else b""
            good = good and match and name not in (b"transfer-encoding", b"te", b"upgrade", b"keep-alive", b"expect",
                                                   b"trailer", b"http2-settings", b"content_length")
            hosts += name == b"host"
            if name == b"content-length":
                lengths.append(match[2])
        if not good or hosts != 1 or len(lengths) > 1 or not all(re.fullmatch(rb"[0-9]+", each) for each in lengths):
            self.trouble.append(f"no request: {head!r}")
        return int(lengths[0]) if lengths else 0


class Answered:
    def __init__(self, data):
        self.statuses, self.bodies, self.rest = [], [], data
        while match := re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", self.rest, re.DOTALL):
            status, fields = int(match[1]), match[2]
            self.rest = self.rest[match.end():]
            if status < 200:
                continue
            size = int(re.search(rb"(?im)^content-length: (\d+)\r?$", fields)[1])
            self.statuses.append(status)
            self.bodies.append(self.rest[:size])
            self.rest = self.rest[size:]

    def __repr__(self):
        return f"{list(zip(self.statuses, self.bodies))} rest {self.rest!r}"


def talk(address, data, ends=False):
    """Sends all, and gives what came back until the edge has closed."""
    received = b""
    with socket.create_connection(address, DEADLINE_S) as viewer:
        try:
            viewer.sendall(data)
            if ends:
                viewer.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        while True:
            try:
                piece = viewer.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            received += piece
    return Answered(received)


@pytest.fixture(name="raw")
def _raw():
    raw = RawOrigin()
    yield raw
    raw.stop()
    assert not raw.trouble, "\n".join(raw.trouble)


@pytest.fixture(name="program")
def _program(edge, raw):
    return edge(sites=[{**SITE, "origin": raw.url}], limits=LIMITS, workers=1)


# --- what is refused ------------------------------------------------------------------------------------------------


def lines(*fields, line="GET /x HTTP/1.1", host=f"Host: {HOST}", body=b""):
    """A request of latin-1 text; a field may have its own ideas about line ends."""
    all_fields = [field for field in (host, *fields) if field is not None]
    return (line + "\r\n" + "".join(field + "\r\n" for field in all_fields) + "\r\n").encode("latin-1") + body


def post(*fields, body=b"hello"):
    return lines(*fields, line="POST /x HTTP/1.1", body=body)


def chunked(body):
    return post("Transfer-Encoding: chunked", body=body)


CONTROLS = [chr(code) for code in [*range(0, 9), *range(11, 32), 127] if chr(code) not in "\r\n"]

REQUEST_LINES = [
    "get /x HTTP/1.1", "Get /x HTTP/1.1", "G ET /x HTTP/1.1", "GET\t/x HTTP/1.1", "GET  /x HTTP/1.1", "GET /x  HTTP/1.1",
    "GET /x HTTP/1.1 ", "GET /x\tHTTP/1.1", " GET /x HTTP/1.1", "\tGET /x HTTP/1.1", "GET /x HTTP/1.1\r", "GET /x HTTP/1.1\t",
    "GET /x HTTP/1.10", "GET /x HTTP/11", "GET /x http/1.1", "GET /x HTTP/1.1x", "GET /x HTTP/ 1.1", "GET /x HTTP/1,1",
    "GET /x HTTP/01.1", "GET /x HTTP/+1.1", "GET /x HTTP/1.+1", "GET /x HTTP/2.0", "GET /x HTTP/3.0", "GET /x HTTP/0.9",
    "GET /x HTTP/9.9", "GET /x HTTP/", "GET /x HTTP", "GET /x", "GET", "GET ", "GET  HTTP/1.1", "GET HTTP/1.1", "/x HTTP/1.1",
    "GET x HTTP/1.1", "GET ../x HTTP/1.1", "GET ?x HTTP/1.1", "GET http:/x HTTP/1.1", "GET http:// HTTP/1.1",
    "GET http://user@video.test/x HTTP/1.1", "GET http://user:pass@video.test/x HTTP/1.1", "GET http://video.test:99999/x HTTP/1.1",
    "GET http://video.test:x/ HTTP/1.1", "GET http://[::1/x HTTP/1.1", "GET http://a b/x HTTP/1.1", "GET * HTTP/1.1",
    "CONNECT video.test:80 HTTP/1.1", "CONNECT /x HTTP/1.1", "GET video.test:80 HTTP/1.1", "GET /a%zz HTTP/1.1",
    "GET /a% HTTP/1.1", "GET /a%2 HTTP/1.1", "GET /a%%20 HTTP/1.1", "GET /a#b HTTP/1.1", "GET /a<b HTTP/1.1",
    "GET /a>b HTTP/1.1", "GET /a\"b HTTP/1.1", "GET /a{b} HTTP/1.1", "GET /a\\b HTTP/1.1", "GET /a^b HTTP/1.1",
    "GET /a`b HTTP/1.1", "GET /a b HTTP/1.1", "GET /a|b HTTP/1.1", "GET /\xe9 HTTP/1.1", "GET /?\xff HTTP/1.1",
    "GET /x HTTP/1.1\n", "GET /x\nHTTP/1.1", "GET /x\r\n HTTP/1.1", "GET /x HTTP/1.1\r\n", "SOURCE /x ICE/1.0", "OPTIONS /x RTSP/1.0",
    "\x16\x03\x01\x02\x00\x01\x00", "PRI * HTTP/2.0", "GET /x HTTP/1.1 HTTP/1.1", "GET /x HTTP/1.1, HTTP/1.0", "GET:/x HTTP/1.1",
    "(GET) /x HTTP/1.1", "GE/T /x HTTP/1.1",
] + [f"GET /{c} HTTP/1.1" for c in CONTROLS] + [f"G{c}ET /x HTTP/1.1" for c in "\x00\x01\x0b\x7f"]

FIELDS = [
    "Name : x", "Name\t: x", " Name: x", "\tName: x", ": x", ":", "Name", "Na me: x", "Name: x\r\n folded", "Name: x\r\n\tfolded",
    "Name: x\r\n \r\n folded", "Name: x\rOther: y", "Name: x\nOther: y", "Name: x\r\rOther: y", "Name\r: x", "Name\n: x",
    "Name: x\r", "Name: x\n", "\rName: x", "Na\xe9me: x", "Name;a: x", "Name=a: x", "Na,me: x", "Na/me: x", "Na@me: x", "Na[me]: x",
    "Na{me}: x", "Na(me): x", "Na\"me: x", "Na\\me: x", "Na<me: x", "Na?me: x", "Host : video.test", "Host\t: video.test",
] + [f"Name: a{c}b" for c in CONTROLS] + [f"Na{c}me: x" for c in CONTROLS] + [f"Name:{c}" for c in "\x00\x0b\x0c"]

HOSTS = [
    None, "Host:", "Host: ", f"Host: {HOST}\r\nHost: {HOST}", f"Host: {HOST}\r\nHost: other.test", f"Host: {HOST}, other.test",
    f"Host: {HOST} other.test", f"Host: {HOST}/", f"Host: {HOST}/x", f"Host: {HOST}?", f"Host: {HOST}#x", f"Host: user@{HOST}",
    f"Host: {HOST}:80:80", f"Host: {HOST}:x", f"Host: {HOST}:99999", f"Host: {HOST}:-1", f"Host: {HOST}: 80", f"Host: {HOST}:+80",
    f"Host: http://{HOST}", "Host: [::1", "Host: ::1", "Host: [::1]x", "Host: [v1.x]",
    f"Host: {HOST}\\x", f"Host: \"{HOST}\"", f"Host: {HOST}\r\n .evil", f"Host:\r\n {HOST}", f"Host: {HOST}\x00", f"Host: \x00{HOST}",
    f"Host: {HOST}\x0b", "Host: vid\xe9o.test", "Host: :80",
    f"HOST: {HOST}\r\nhost: {HOST}",
]

LENGTHS = [
    "+5", "-5", "0x5", "5 5", "5,5", "5, 5", "5, 6", "5;", "5.0", "5e0", "", " ", "five", "5\x0b", "\x0b5", "5\x00", "\x005", "5\t5",
    "\"5\"", "5_0", "\xb2", "9223372036854775808", "18446744073709551616", "18446744073709551621", "99999999999999999999999",
    "5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "0\r\nContent-Length: 5", "5\r\ncontent-length: 0", "5\r\n 5", "5\r\n\t",
    "5\n", "5\r", "4294967301", "NaN", "-0", "+0", "0x0", "5 ; x", "(5)",
]

CODINGS = [
    "chunked, chunked", "gzip, chunked", "chunked, gzip", "chunked, identity", "identity, chunked", "identity", "gzip", "xchunked",
    "chunkedx", "chunked x", "x chunked", "chunked;q=1", "\"chunked\"", "'chunked'", ", ,", ",", "", "\x0bchunked", "chunked\x00", "chunked\x0b",
    "c hunked", "chun\tked", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity",
    "identity\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding:", "\r\n chunked", "chunked\r\n ", "chunked\n", "chunked\r",
    "chu\xe9ked", "chunked\r\nContent-Length: 5", "chunked\r\nContent-Length: 0", "CHUNKED\r\nContent-Length: 5", "chunked/1",
    "chunked=1", "trailers", "chunked, trailers", "deflate", "chunKED, x",
]

FRAMING_NAMES = [
    "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked",
    "Transfer-Encoding\x00: chunked", "Transfer-Encoding\x0b: chunked", "Transfer-Encoding\n: chunked", "Transfer-Encoding\r\n : chunked",
    "Transfer Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "X: y\r\r\nTransfer-Encoding: chunked",
    "Content-Length : 5", "Content-Length\t: 5", " Content-Length: 5", "Content-Length\x00: 5", "Content Length: 5", "X: y\nContent-Length: 5",
    "X: y\rContent-Length: 5",
]

CHUNKS = [
    b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5g\r\nhello\r\n0\r\n\r\n", b"\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n", b"\t5\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\rhello\r\n0\r\n\r\n", b"5\r\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5;a\n\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"5;\n\nhello\r\n0\r\n\r\n",
    b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", b"5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", b"5;a\x00\r\nhello\r\n0\r\n\r\n", b"5,a\r\nhello\r\n0\r\n\r\n",
    b"5 a\r\nhello\r\n0\r\n\r\n", b"5\x00\r\nhello\r\n0\r\n\r\n", b"5\x0b\r\nhello\r\n0\r\n\r\n", b"\x005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"8000000000000000\r\nhello\r\n0\r\n\r\n", b"5.0\r\nhello\r\n0\r\n\r\n", b"zz\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n0\r\n\n", b"5\r\nhello\r\n0\r\r\n", b"5\r\nhello\r\n-0\r\n\r\n", b"5\r\nhello\r\n0x0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nA b: c\r\n\r\n", b"5\r\nhello\r\n0\r\n: c\r\n\r\n", b"5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n", b"5\r\nhello\r\n0\r\nA: b\x00\r\n\r\n",
    b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n", b"5\r\nhello\r\n0\r\n x\r\n\r\n", b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
    b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 1000, b"5\r\nhello\r\n0\r\nA: " + b"b" * 20000 + b"\r\n\r\n", b"00000000000000000000000000000000000000005\r\nhel",
    b"11000\r\n" + b"x" * 69632 + b"\r\n0\r\n\r\n",
]

BIG = [
    lines(line="GET /" + "x" * 9000 + " HTTP/1.1"), lines(line="GET /" + "x" * 70000 + " HTTP/1.1"), lines("X: " + "x" * 17000),
    lines("X: " + "x" * 200000), lines(*["A: b"] * 101), lines(*["A: b"] * 5000), lines(*[f"A{i}: b" for i in range(1000)]),
    lines("N" * 17000 + ": x"), post("Content-Length: 65537", body=b"x" * 65537), post("Content-Length: 1000000000", body=b"hello"),
]

REFUSED = (
    [lines(line=line) for line in REQUEST_LINES] + [lines(field) for field in FIELDS] + [lines(host=host) for host in HOSTS] +
    [post(f"Content-Length: {length}") for length in LENGTHS] +
    [post(f"Transfer-Encoding: {coding}", body=b"5\r\nhello\r\n0\r\n\r\n") for coding in CODINGS] +
    [post(name, body=b"5\r\nhello\r\n0\r\n\r\n") for name in FRAMING_NAMES] + [chunked(body) for body in CHUNKS] + BIG + [
        b"\r\n\r\n\r\n" + lines(), b"\n" + lines(), b"\r" + lines(), b"\x00" + lines(), b" \r\n" + lines(), lines()[:-2] + b"\n",
        lines().replace(b"\r\n", b"\n"), lines().replace(b"\r\n", b"\r"), b"\xef\xbb\xbf" + lines(), b"0\r\n\r\n" + lines(),
        lines("Transfer-Encoding: chunked", line="POST /x HTTP/1.0", body=b"5\r\nhello\r\n0\r\n\r\n"),
        lines("Content-Length: 5", "Transfer-Encoding: chunked", line="POST /x HTTP/1.0", body=b"hello"),
    ])

def refuse_all(program, raw, cases):
    """All complaints, so that one does not hide the others."""
    complaints = []
    for data in cases:
        begun = time.monotonic()
        answered = talk(program.address, data + CANARY, ends=True)
        seen = raw.take()
        shown = data if len(data) < 200 else data[:100] + b"..." + data[-40:]
        if seen:
            complaints.append(f"SMUGGLED {shown!r}: the origin saw {[request[:3] for request in seen]}; {answered}")
        elif len(answered.statuses) > 1 or answered.rest or not set(answered.statuses) <= REFUSALS:
            complaints.append(f"{shown!r}: {answered}")
        elif not answered.statuses:
            complaints.append(f"{shown!r}: closed without a word")
        if time.monotonic() - begun > 5:
            complaints.append(f"{shown!r}: took {time.monotonic() - begun:.1f} s")
    return complaints


def test_what_is_ambiguous_is_refused(program, raw):
    assert len(REFUSED) > 350
    complaints = refuse_all(program, raw, REFUSED)
    assert not complaints, f"{len(complaints)} of {len(REFUSED)}\n" + "\n".join(complaints)


NOT_OURS = [  # clear, but of no site: the connection may go on
    (lines(host=host), 421) for host in
    ("Host: a..b", f"Host: .{HOST}", "Host: v%69deo.test", f"Host: {HOST}%00", "Host: *.video.test", "Host: " + "a" * 300, "Host: -")
] + [
    (lines(line="TRACE /x HTTP/1.1"), 405),
    (lines("Content-Length: 5", body=b"hello"), 413),  # a body that means nothing
    (lines("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), 413),
]


def test_what_is_not_ours_is_refused(program, raw):
    for data, status in NOT_OURS:
        answered = talk(program.address, data + CANARY)
        assert answered.statuses == [status, 200], data
        assert [request[:3] for request in raw.take()] == [("GET", "/canary", b"")], data


# --- what is valid ---------------------------------------------------------------------------------------------------


VALID = [  # request, what the origin is to see of it
    (lines(), ("GET", "/x", b"")),
    (b"\r\n" + lines(), ("GET", "/x", b"")),
    (lines("Name:x", "Other:  \t x \t ", "Empty:", "Tab: a\tb", "High: \xe9\xff"), ("GET", "/x", b"")),
    (lines(line="GET http://video.test/x HTTP/1.1"), ("GET", "/x", b"")),
    (lines(line="GET http://video.test/x HTTP/1.1", host="Host: other.test"), ("GET", "/x", b"")),
    (lines(line="GET HTTP://VIDEO.TEST:80/x?y HTTP/1.1"), ("GET", "/x?y", b"")),
    (lines(line="GET http://video.test HTTP/1.1"), ("GET", "/", b"")),
    (lines(line="GET http://video.test?q HTTP/1.1"), ("GET", "/?q", b"")),
    (lines(line="GET //x//y/ HTTP/1.1"), ("GET", "//x//y/", b"")),
    (lines(line="GET /x?a=b&c=/?: HTTP/1.1"), ("GET", "/x?a=b&c=/?:", b"")),
    (lines(line="GET /%41/../b HTTP/1.1"), ("GET", "/b", b"")),
    (lines(line="GET /!$&'()*+,;=:@-._~ HTTP/1.1"), ("GET", "/!$&'()*+,;=:@-._~", b"")),
    (lines(line="HEAD /x HTTP/1.1"), ("HEAD", "/x", b"")),
    (lines(line="DELETE /x HTTP/1.1"), ("DELETE", "/x", b"")),
    (lines(line="PROPFIND /x HTTP/1.1"), ("PROPFIND", "/x", b"")),
    (lines(line="UNHEARD-OF /x HTTP/1.1"), ("UNHEARD-OF", "/x", b"")),
    (lines(host="Host: VIDEO.TEST"), ("GET", "/x", b"")),
    (lines(host="Host: video.test."), ("GET", "/x", b"")),
    (lines(host="Host: video.test:8080"), ("GET", "/x", b"")),
    (lines(host="hOsT:video.test"), ("GET", "/x", b"")),
    (lines("Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "TE: trailers", "Upgrade: h2c", "Trailer: X",
           "HTTP2-Settings: AAMAAABkAAQAAP__", "Proxy-Connection: x", "Proxy-Authorization: Basic x"), ("GET", "/x", b"")),
    (lines("Connection: Host, Content-Length, CDN-Loop, Via"), ("GET", "/x", b"")),
    (post("Content-Length: 5"), ("POST", "/x", b"hello")),
    (post("Content-Length: 00005"), ("POST", "/x", b"hello")),
    (post("Content-Length:\t5 "), ("POST", "/x", b"hello")),
    (post("Content-Length: 0", body=b""), ("POST", "/x", b"")),
    (post(body=b""), ("POST", "/x", b"")),
    (post("Content-Length: 65536", body=b"x" * 65536), ("POST", "/x", b"x" * 65536)),
    (post("Content-Length: 5", "Expect: 100-continue"), ("POST", "/x", b"hello")),
    (post("Transfer-Encoding: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), ("POST", "/x", b"hello")),
    (post("Transfer-Encoding:\tchunked ", body=b"5\r\nhello\r\n0\r\n\r\n"), ("POST", "/x", b"hello")),
    (chunked(b"0\r\n\r\n"), ("POST", "/x", b"")),
    (chunked(b"000\r\n\r\n"), ("POST", "/x", b"")),
    (chunked(b"5;a\r\nhello\r\n0;b=c\r\n\r\n"), ("POST", "/x", b"hello")),
    (chunked(b"5;a=\"b;c\\\"\"\r\nhello\r\n0\r\n\r\n"), ("POST", "/x", b"hello")),
    (chunked(b"2\r\nhe\r\n003\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"), ("POST", "/x", b"hello")),
    (chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), ("POST", "/x", b"0123456789" * 2)),
    (lines(*[f"X-{i}: y" for i in range(90)]), ("GET", "/x", b"")),
    (lines("Content-Length: 0"), ("GET", "/x", b"")),
    (lines("Content_Length: 5", "Transfer_Encoding: chunked"), ("GET", "/x", b"")),
    (lines("X-Forwarded-Host: evil.test", "X-Original-URL: /admin", "X-HTTP-Method-Override: DELETE"), ("GET", "/x", b"")),
]


def test_what_is_valid_is_understood(program, raw):
    complaints = []
    for data, meant in VALID:
        answered = talk(program.address, data + CANARY)
        seen = [request[:3] for request in raw.take()]
        if seen != [meant, ("GET", "/canary", b"")] or answered.statuses != [200, 200] or answered.rest:
            if meant[0] != "HEAD":
                complaints.append(f"{data[:300]!r}: the origin saw {seen}; {answered}")
            elif seen != [meant, ("GET", "/canary", b"")]:
                complaints.append(f"{data!r}: the origin saw {seen}")
    assert not complaints, f"{len(complaints)} of {len(VALID)}\n" + "\n".join(complaints)


def test_what_is_valid_is_understood_byte_by_byte(program, raw):
    """However the bytes come."""
    for data, meant in [VALID[5], VALID[21], VALID[34]]:
        with socket.create_connection(program.address, DEADLINE_S) as viewer:
            viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(len(data)):
                viewer.sendall(data[at:at + 1])
            viewer.sendall(CANARY)
            received = b""
            while piece := viewer.recv(65536):
                received += piece
        assert Answered(received).statuses == [200, 200]
        assert [request[:3] for request in raw.take()] == [meant, ("GET", "/canary", b"")]


def test_fields_that_no_origin_may_see(program, raw):
    """Hop-by-hop fields, those that Connection names, and those that make an origin mean something else."""
    secret = ["X-Hop: 1", "Keep-Alive: 5", "TE: trailers", "Proxy-Authorization: x", "X-Forwarded-Host: evil", "Forwarded: host=evil",
              "X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-HTTP-Method-Override: DELETE", "Cookie: a=b", "Transfer_Encoding: chunked",
              "Range: bytes=0-1", "If-None-Match: \"x\"", "Accept-Encoding: br", "Upgrade: h2c"]
    talk(program.address, lines("Connection: close, X-Hop", "X-Kept: 1", *secret))
    _, _, _, head = raw.take()[0]
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert b"x-kept" in names
    for field in secret:
        name = field.split(":")[0].lower().encode()
        if name == b"accept-encoding":
            assert b"Accept-Encoding: identity" in head and b": br" not in head
        elif name == b"range":
            assert b"bytes=0-1\r\n" not in head  # a whole slice is asked for
        else:
            assert name not in names, name


def test_thousands_of_fields_cost_linear_time(edge, raw):
    """A head of a hundred times the fields takes no thousand times as long."""
    program = edge(sites=[{**SITE, "origin": raw.url}], limits={"request_head_max": "1MiB"}, workers=1)

    def seconds(count):
        data = lines(*["A: b"] * count) + CANARY
        begun = time.monotonic()
        for _ in range(5):
            assert talk(program.address, data).statuses == [431]
        return time.monotonic() - begun
    seconds(200)
    assert seconds(100_000) < 50 * max(seconds(1000), 0.05)


# --- responses -------------------------------------------------------------------------------------------------------


class ScriptedOrigin:
    """Answers every request with the same bytes, and closes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.data = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        piece = connection.recv(65536)
                        if not piece:
                            break
                        head += piece
                    if head:
                        connection.sendall(self.data)
                        connection.shutdown(socket.SHUT_WR)
                        connection.settimeout(5)
                        while connection.recv(65536):
                            pass
                except OSError:
                    pass


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=1000\r\n\r\nEVIL"
KEEP = "Cache-Control: max-age=1000"


def response(*fields, line="HTTP/1.1 200 OK", body=b"", keep=KEEP):
    return (line + "\r\n" + "".join(field + "\r\n" for field in (keep, *fields)) + "\r\n").encode("latin-1") + body


def sized(*fields, **options):
    return response("Content-Length: 5", *fields, **{"body": b"hello", **options})


def in_chunks(body):
    return response("Transfer-Encoding: chunked", body=body)


HOSTILE_HEADS = (
    [sized(line=line) for line in (
        "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.1 2000 OK", "HTTP/1.1 abc OK", "HTTP/1.1 +20 OK", "HTTP/1.1 -20 OK", "HTTP/1.1 0x2 OK",
        "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", " HTTP/1.1 200 OK", "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "HTTP/1.10 200 OK", "HTTP/1 200 OK",
        "http/1.1 200 OK", "HTTP/1.1 099 -", "HTTP/1.1 000 -", "HTTP/1.1 600 -", "HTTP/1.1 999 -", "ICY 200 OK", "200 OK", "GET / HTTP/1.1",
        "HTTP/1.1 200 O\x00K", "HTTP/1.1 200 O\x07K", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\rX: y", "HTTP/1.1 101 Switching", "\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200\x0bOK", "RTSP/1.0 200 OK", "HTTPS/1.1 200 OK")] +
    [sized(field) for field in (
        "Name : x", " Name: x", "\tName: x", ": x", "Name", "Na me: x", "X: a\r\n folded", "X: a\r\n\tfolded", "X: a\rSet-Cookie: evil=1",
        "X: a\nSet-Cookie: evil=1", "X: a\x00b", "X: a\x01b", "X: a\x0bb", "X: a\x7fb", "Na\x00me: x", "Na\xe9me: x", "Na(me): x", "Na/me: x", "X\n: y", "X\r: y",
        "X: a\r\r\n", "Content-Length: 6", "Content-Length: 5, 6", "Content-Length: +5", "Content-Length : 5", "Content-Length: 0",
        "Transfer-Encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding: identity", "Transfer-Encoding\x0b: chunked",
        "Transfer-Encoding:\n chunked", "Transfer-Encoding: gzip", "X: y\nTransfer-Encoding: chunked", "X: y\nContent-Length: 99")] +
    [response(f"Content-Length: {length}", body=b"hello") for length in (
        "+5", "-5", "0x5", "5 5", "5;", "5.0", "", " ", "five", "5\x0b", "5\x00", "9223372036854775808", "18446744073709551621", "99999999999999999999", "5\n",
        "5, 5, 5", "\"5\"", "5\r\n 5")] +
    [response(f"Transfer-Encoding: {coding}", body=b"5\r\nhello\r\n0\r\n\r\n") for coding in (
        "chunked, chunked", "gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunked;q=1", "\"chunked\"", "", ",chunked,", "\x0bchunked",
        "chunked\x00", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity", "chunked\r\nContent-Length: 5",
        "chunked\r\nContent-Length: 0", "\r\n chunked", "chun\tked", "chu\xe9ked")] + [
        in_chunks(b"5\r\nhello\r\n0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), sized("X: " + "x" * 40000), sized(*["A: b"] * 5000), b"", b"\x00" * 100,
        b"hello", b"<html>hello</html>", sized().replace(b"\r\n", b"\n"), sized().replace(b"\r\n", b"\r"), b"HTTP/1.1 200 OK\r\n", sized()[:30],
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + sized(), b"HTTP/1.1 103 -\r\nX: a\nb\r\n\r\n" + sized(), b"HTTP/1.1 101 -\r\n\r\n" + sized(),
        sized(line="HTTP/1.1 206 -"), sized("Content-Range: bytes 0-4/5", line="HTTP/1.1 206 -"),
    ])

HOSTILE_BODIES = [  # the head is good: what follows must not look whole, and must not be kept
    sized(body=b"hell"), sized(body=b""), response("Content-Length: 100000000", body=b"hello"), in_chunks(b""), in_chunks(b"5\r\nhell"),
    in_chunks(b"5\r\nhello"), in_chunks(b"5\r\nhello\r\n"), in_chunks(b"5\r\nhello\r\n0\r\n"), in_chunks(b"5\r\nhello0\r\n\r\n"),
    in_chunks(b"5\r\nhello\n0\r\n\r\n"), in_chunks(b"5\r\nhelloX\r\n0\r\n\r\n"), in_chunks(b"5\nhello\r\n0\r\n\r\n"), in_chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    in_chunks(b"+5\r\nhello\r\n0\r\n\r\n"), in_chunks(b"-5\r\nhello\r\n0\r\n\r\n"), in_chunks(b"5g\r\nhello\r\n0\r\n\r\n"), in_chunks(b"\r\nhello\r\n0\r\n\r\n"),
    in_chunks(b" 5\r\nhello\r\n0\r\n\r\n"), in_chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), in_chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), in_chunks(b"5\x00\r\nhello\r\n0\r\n\r\n"),
    in_chunks(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), in_chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), in_chunks(b"8000000000000000\r\nhello\r\n0\r\n\r\n"),
    in_chunks(b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n"), in_chunks(b"5\r\nhello\r\n0\r\nA b: c\r\n\r\n"), in_chunks(b"5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n"),
    in_chunks(b"5\r\nhello\r\n0\r\nA: " + b"b" * 20000 + b"\r\n\r\n"), in_chunks(b"5\r\nhello\r\nzz\r\n\r\n"), in_chunks(b"5\r\nhello\r\n0\r\n x\r\n\r\n"),
]

GOOD_RESPONSES = [
    (sized(), b"hello"), (sized() + EVIL, b"hello"), (in_chunks(b"5\r\nhello\r\n0\r\n\r\n"), b"hello"), (in_chunks(b"5\r\nhello\r\n0\r\n\r\n") + EVIL, b"hello"),
    (in_chunks(b"0\r\n\r\n"), b""), (in_chunks(b"2;a=\"b\"\r\nhe\r\n003\r\nllo\r\n0;c\r\nT: x\r\nSet-Cookie: evil=1\r\n\r\n"), b"hello"), (response(body=b"hello"), b"hello"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 -\r\nLink: x\r\n\r\n" + sized(), b"hello"), (sized(line="HTTP/1.1 200 "), b"hello"),
    (sized(line="HTTP/1.0 200 OK"), b"hello"), (sized(line="HTTP/1.1 200 \xe9t\xe9"), b"hello"), (sized("Empty:", "High: \xe9", "Tab:\ta\tb "), b"hello"),
    (response("Content-Length: 00005", body=b"hello"), b"hello"), (response("Content-Length: 0"), b""), (response("Content-Length: 0") + EVIL, b""),
    (sized("Connection: close, X-Hop, Content-Length", "X-Hop: 1"), b"hello"), (sized("Host: a", "Host: b"), b"hello"),
]


@pytest.fixture(name="hostile")
def _hostile():
    scripted = ScriptedOrigin()
    yield scripted
    scripted.listener.close()


@pytest.fixture(name="before_hostile")
def _before_hostile(edge, hostile):
    return edge(sites=[{"name": "demo", "hosts": [HOST], "origin": hostile.url}], workers=1)


def ask(program, path):
    """The raw response to a request that closes."""
    received = b""
    with socket.create_connection(program.address, DEADLINE_S) as viewer:
        viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        try:
            while piece := viewer.recv(65536):
                received += piece
        except ConnectionResetError:
            received += b"<reset>"
    return received


def looks_whole(received):
    head, _, body = received.partition(b"\r\n\r\n")
    if received.endswith(b"<reset>"):
        return False
    if match := re.search(rb"(?im)^content-length: (\d+)\r?$", head):
        return len(body) == int(match[1])
    return body.endswith(b"0\r\n\r\n") if b"chunked" in head else False


def test_hostile_response_heads_are_bad_gateways(before_hostile, hostile):
    assert len(HOSTILE_HEADS) > 100
    complaints = []
    for number, data in enumerate(HOSTILE_HEADS):
        hostile.data = data
        received = ask(before_hostile, f"/{number}.ts")
        if not received.startswith(b"HTTP/1.1 502 ") or b"evil=1" in received or b"EVIL" in received:
            complaints.append(f"{data[:200]!r}: {received!r}")
        hostile.data = sized(body=b"fresh")
        if not ask(before_hostile, f"/{number}.ts").endswith(b"\r\n\r\nfresh"):
            complaints.append(f"{data[:200]!r}: was kept")
    assert not complaints, f"{len(complaints)} of {len(HOSTILE_HEADS)}\n" + "\n".join(complaints)


def test_hostile_bodies_never_look_whole(before_hostile, hostile):
    complaints = []
    for number, data in enumerate(HOSTILE_BODIES):
        hostile.data = data
        received = ask(before_hostile, f"/{number}.ts")
        if looks_whole(received) and not received.startswith(b"HTTP/1.1 502 "):
            complaints.append(f"{data[:200]!r}: {received!r}")
        hostile.data = sized(body=b"fresh")
        if not ask(before_hostile, f"/{number}.ts").endswith(b"\r\n\r\nfresh"):
            complaints.append(f"{data[:200]!r}: was kept")
    assert not complaints, f"{len(complaints)} of {len(HOSTILE_BODIES)}\n" + "\n".join(complaints)


def test_good_responses_are_passed_on(before_hostile, hostile):
    complaints = []
    for number, (data, wanted) in enumerate(GOOD_RESPONSES):
        hostile.data = data
        received = ask(before_hostile, f"/{number}.ts")
        received = received.removeprefix(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        head, _, body = received.partition(b"\r\n\r\n")
        if b"chunked" in head:
            body = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", body, re.DOTALL)) if body != b"0\r\n\r\n" else b""
        if not head.startswith(b"HTTP/1.1 200 ") or body != wanted or b"evil" in received or b"X-Hop" in head:
            complaints.append(f"{data[:200]!r}: {received!r}")
    assert not complaints, f"{len(complaints)} of {len(GOOD_RESPONSES)}\n" + "\n".join(complaints)
