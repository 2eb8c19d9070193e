# SPDX-License-Identifier: Apache-2.0
"""What RFC 9113 and RFC 7541 demand of a server, frame by frame: each case says what is sent, on a connection of its own
whose SETTINGS are settled, and how the edge must take it. The numbers of the cases are sections of RFC 9113 where
nothing else is said.
"""
import struct

import pytest

from harness import counters
from harness.h2 import (ACK, CANCEL, CLOSED, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENABLE_PUSH,
                        FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, FRAME_SIZE_MAX, GOAWAY, H2, HEADERS, INITIAL_WINDOW_SIZE,
                        MAX_FRAME_SIZE, NO_ERROR, PADDED, PING, PREFACE, PRIORITY, PRIORITY_FLAG, PROTOCOL_ERROR,
                        PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, Frame, frame,
                        settings, u32)
from harness.origin import Origin, answer
from harness.processes import Edge
from harness.scene import HOST

BODY = b"0123456789"
PSEUDO = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/ten")]
OPEN, WHOLE = END_HEADERS, END_HEADERS | END_STREAM


@pytest.fixture(name="program", scope="module")
def _program(tmp_path_factory):
    """One edge for all cases: none may harm it."""
    server = Origin()
    server.on("/ten", answer(200, BODY, {"Cache-Control": "max-age=1000"}))
    sites = [{"name": "demo", "hosts": [HOST], "origin": server.url, "pass_methods": ["POST"]}]
    edge = Edge({"sites": sites, "workers": 1}, tmp_path_factory.mktemp("h2") / "edge")
    edge.start()
    yield edge
    counters.wait_for_rest(edge)
    edge.stop()
    server.stop()


@pytest.fixture(name="viewer")
def _viewer(program):
    with H2(program.address) as viewer:
        yield viewer


def priority(depends_on, weight=15):
    return struct.pack(">IB", depends_on, weight)


# --- what must work ------------------------------------------------------------------------------------------------


def is_answered(viewer, stream=1, status=200):
    response = viewer.response(stream)
    assert (response.status, response.error) == (status, None)
    return True


def ask_padded(viewer):
    viewer.send(HEADERS, WHOLE | PADDED, 1, b"\x06" + viewer.block("/ten") + b"padded")
    return is_answered(viewer)


def ask_with_priority(viewer):
    viewer.send(HEADERS, WHOLE | PRIORITY_FLAG, 1, priority(0) + viewer.block("/ten"))
    return is_answered(viewer)


def ask_padded_with_priority(viewer):
    viewer.send(HEADERS, WHOLE | PRIORITY_FLAG | PADDED, 1, b"\x01" + priority(0) + viewer.block("/ten") + b"p")
    return is_answered(viewer)


def ask_in_pieces(viewer, pieces=3):
    block = viewer.block("/ten", {"x-long": "x" * 100})
    cuts = [len(block) * i // pieces for i in range(pieces + 1)]
    parts = [block[a:b] for a, b in zip(cuts, cuts[1:])]
    viewer.send(HEADERS, END_STREAM, 1, parts[0])
    for part in parts[1:-1]:
        viewer.send(CONTINUATION, 0, 1, part)
    viewer.send(CONTINUATION, END_HEADERS, 1, parts[-1])
    return is_answered(viewer)


def post(viewer, *datas, fields=(), end=True):
    viewer.ask("/ten", fields, "POST", end=False)
    for i, data in enumerate(datas):
        viewer.send(DATA, END_STREAM if end and i == len(datas) - 1 else 0, 1, data)


def post_padded(viewer):
    viewer.ask("/ten", (), "POST", end=False)
    viewer.send(DATA, END_STREAM | PADDED, 1, b"\x06testpadded")
    return is_answered(viewer)


def post_with_trailers(viewer):
    post(viewer, b"test", fields={"trailer": "x-test"}, end=False)
    viewer.send(HEADERS, WHOLE, 1, viewer.encoder.encode([("x-test", "ok")]))
    return is_answered(viewer)


def priorities_on_idle_streams(viewer):
    for stream, depends_on in ((1, 0), (3, 1), (5, 0x80000001), (7, 99), (201, 7)):
        viewer.send(PRIORITY, 0, stream, priority(depends_on, 255))
    return viewer.get("/ten").status == 200


def priority_on_a_closed_stream(viewer):
    is_answered(viewer, viewer.ask("/ten"))
    viewer.send(PRIORITY, 0, 1, priority(0))
    return viewer.ping() and viewer.get("/ten").status == 200


def frames_on_a_half_closed_stream(viewer):
    """5.1: WINDOW_UPDATE, PRIORITY and RST_STREAM are accepted there."""
    viewer.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0)))
    viewer.ask("/ten")
    viewer.send(PRIORITY, 0, 1, priority(0))
    viewer.widen(1, 1)
    viewer.until(lambda: len(viewer.response_of(1).body) == 1)
    viewer.send(RST_STREAM, 0, 1, u32(CANCEL))
    return viewer.ping()


def unknown_error_codes(viewer):
    """7"""
    viewer.ask("/ten", end=False)
    viewer.send(RST_STREAM, 0, 1, u32(0xff))
    return viewer.ping()


def unknown_things_are_ignored(viewer):
    """4.1, 5.5, 6.5.2: frame types, flags, the reserved bit, settings"""
    viewer.send(0x16, 0, 0, b"\0" * 8)
    viewer.raw(frame(PING, 0x16 & ~ACK, 0x80000000, b"\0" * 8))
    viewer.send(SETTINGS, 0, 0, settings((0xff, 1)))
    return viewer.ping(b"12345678")


def settings_are_acknowledged_in_order(viewer):
    """6.5.3: of two values of one setting the second holds"""
    viewer.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)))
    assert viewer.read() == Frame(SETTINGS, ACK, 0, b"")
    viewer.auto_window = False
    viewer.ask("/ten")
    viewer.until(lambda: viewer.response_of(1).body)
    assert viewer.ping()
    return viewer.response_of(1).body == BODY[:1]


def windows_are_kept(viewer):
    """6.9.1, 6.9.2: one byte of window is one byte of body; a changed initial size changes open streams"""
    viewer.auto_window = False
    viewer.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0)))
    viewer.ask("/ten")
    viewer.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 3)))
    viewer.until(lambda: len(viewer.response_of(1).body) == 3)
    viewer.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 2)))  # -1 left
    viewer.widen(1, 1)
    assert viewer.ping() and len(viewer.response_of(1).body) == 3
    viewer.widen(1, 1)
    viewer.until(lambda: len(viewer.response_of(1).body) == 4)
    viewer.widen(1, 100)
    return viewer.response(1).body == BODY


def tables_change_their_size(viewer):
    """RFC 7541 section 4.2: a size update, or two, at the beginning of a block"""
    viewer.encoder.header_table_size = 0
    assert viewer.get("/ten").status == 200
    viewer.encoder.header_table_size = 100
    viewer.encoder.header_table_size = 4096
    return viewer.get("/ten").status == 200


def every_representation(viewer):
    """RFC 7541 section 6: indexed; literal with, without and never indexed, names new and known, plain and Huffman"""
    common = b"\x82\x86\x04\x04/ten\x01\x0avideo.test"
    for stream, extra in ((1, b""), (3, b"\x40\x01x\x01y"), (5, b"\x00\x01x\x01y"), (7, b"\x10\x01x\x01y"),
                          (9, b"\x0f\x04\x01y"), (11, b"\x1f\x04\x01y"), (13, b"\x7a\x01y"), (15, b"\x40\x81\xf3\x81\xf3"),
                          (17, b"\x00\x81\xf3\x81\xf3"), (19, b"\xbe"), (21, b"\x20\x3f\xe1\x1f")):
        block = extra + common if extra[:1] == b"\x20" else common + extra
        viewer.send(HEADERS, WHOLE, stream, block)
        assert is_answered(viewer, stream)
    return True


WORKING = [
    ask_padded, ask_with_priority, ask_padded_with_priority, ask_in_pieces, post_padded, post_with_trailers,
    priorities_on_idle_streams, priority_on_a_closed_stream, frames_on_a_half_closed_stream, unknown_error_codes,
    unknown_things_are_ignored, settings_are_acknowledged_in_order, windows_are_kept, tables_change_their_size,
    every_representation,
    lambda viewer: ask_in_pieces(viewer, 2),
    lambda viewer: is_answered(viewer, viewer.ask("/ten")),
    lambda viewer: viewer.get("/ten", method="HEAD").body == b"",
    lambda viewer: post(viewer, b"test") or is_answered(viewer),
    lambda viewer: post(viewer, b"te", b"", b"st") or is_answered(viewer),
    lambda viewer: post(viewer, b"x" * FRAME_SIZE_MAX) or is_answered(viewer),
    lambda viewer: viewer.send(SETTINGS, 0, 0) or viewer.ping(),
    lambda viewer: viewer.widen(0, 1) or viewer.ping(),
    lambda viewer: viewer.send(PING, ACK, 0, b"unasked!") or viewer.ping(),
    lambda viewer: viewer.send(GOAWAY, 0, 0, u32(0) + u32(0xff)) or viewer.connection_error() in (CLOSED, NO_ERROR),
]


def name_of(case):
    return getattr(case, "__name__", None)


@pytest.mark.parametrize("case", WORKING, ids=name_of)
def test_what_must_work(viewer, case):
    assert case(viewer)


def test_settings_come_first(program):
    with H2(program.address, handshake=False) as viewer:
        viewer.raw(PREFACE + frame(SETTINGS, 0, 0))
        first = viewer.read()
        assert (first.type, first.flags, first.stream) == (SETTINGS, 0, 0)
        assert viewer.settings == {3: 128, 6: 16384, 9: 1}


def test_other_prefaces_end_the_connection(program):
    for preface in (b"INVALID CONNECTION PREFACE\r\n\r\n", PREFACE + frame(PING, 0, 0, b"12345678"),
                    PREFACE[:-1] + b"X" + frame(SETTINGS, 0, 0)):
        with H2(program.address, handshake=False) as viewer:
            viewer.raw(preface)
            if preface.startswith(PREFACE):
                assert viewer.connection_error() in (PROTOCOL_ERROR, CLOSED)
            else:
                assert viewer.connection.head().status in (400, 505)
                assert viewer.connection.response().fields["Connection"] == "close"


# --- errors of the connection ----------------------------------------------------------------------------------------


def finished(viewer):
    """A request that was answered: its stream 1 is closed."""
    is_answered(viewer, viewer.ask("/ten"))


def half_a_block(viewer):
    viewer.send(HEADERS, END_STREAM, 1, viewer.block("/ten"))


def ask_out_of_order(viewer, first, second):
    viewer.ask("/ten", stream=first)
    viewer.ask("/ten", stream=second)


CONNECTION_ERRORS = [  # name, what is sent, codes that GOAWAY may have
    # Frames of sizes that they cannot have, or that nobody has allowed.
    ("4.2 HEADERS too large", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\0" * FRAME_SIZE_MAX), [FRAME_SIZE_ERROR]),
    ("4.2 DATA too large", lambda v: post(v, b"x" * (FRAME_SIZE_MAX + 1)), [FRAME_SIZE_ERROR]),
    ("5.4.1 bad PING", lambda v: v.send(PING, 0, 0, b"short"), [FRAME_SIZE_ERROR]),
    ("6.3 PRIORITY of 4 bytes", lambda v: v.send(PRIORITY, 0, 1, b"\0" * 4), [FRAME_SIZE_ERROR]),
    ("6.4 RST_STREAM of 3 bytes", lambda v: v.ask("/ten", end=False) and v.send(RST_STREAM, 0, 1, b"\0" * 3), [FRAME_SIZE_ERROR]),
    ("6.5 SETTINGS of 3 bytes", lambda v: v.send(SETTINGS, 0, 0, b"\0" * 3), [FRAME_SIZE_ERROR]),
    ("6.5 SETTINGS ACK with a payload", lambda v: v.send(SETTINGS, ACK, 0, b"\0" * 6), [FRAME_SIZE_ERROR]),
    ("6.9 WINDOW_UPDATE of 3 bytes", lambda v: v.send(WINDOW_UPDATE, 0, 0, b"\0" * 3), [FRAME_SIZE_ERROR]),
    ("6.8 GOAWAY of 7 bytes", lambda v: v.send(GOAWAY, 0, 0, b"\0" * 7), [FRAME_SIZE_ERROR]),
    # Header blocks.
    ("4.3 bad block", lambda v: v.send(HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff"), [COMPRESSION_ERROR]),
    ("4.3 PRIORITY within a block", lambda v: half_a_block(v) or v.send(PRIORITY, 0, 1, priority(0)), [PROTOCOL_ERROR]),
    ("4.3 HEADERS within a block", lambda v: half_a_block(v) or v.send(HEADERS, WHOLE, 3, v.block("/ten")), [PROTOCOL_ERROR]),
    ("5.5 unknown frame within a block", lambda v: half_a_block(v) or v.send(0x16, 0, 0, b"\0" * 8), [PROTOCOL_ERROR]),
    ("6.2 DATA within a block", lambda v: half_a_block(v) or v.send(DATA, END_STREAM, 1, b"x"), [PROTOCOL_ERROR]),
    ("6.10 CONTINUATION of another stream", lambda v: half_a_block(v) or v.send(CONTINUATION, END_HEADERS, 3), [PROTOCOL_ERROR]),
    ("6.10 CONTINUATION on stream 0", lambda v: half_a_block(v) or v.send(CONTINUATION, END_HEADERS, 0), [PROTOCOL_ERROR]),
    ("6.10 CONTINUATION after the end", lambda v: v.ask("/ten", end=False) and v.send(CONTINUATION, END_HEADERS, 1), [PROTOCOL_ERROR]),
    ("6.10 CONTINUATION after CONTINUATION", lambda v: ask_in_pieces(v) and v.send(CONTINUATION, END_HEADERS, 1),
     [PROTOCOL_ERROR, STREAM_CLOSED]),
    ("6.10 CONTINUATION after DATA", lambda v: post(v, b"x", end=False) or v.send(CONTINUATION, END_HEADERS, 1), [PROTOCOL_ERROR]),
    ("RFC 7541 2.3.3 no such index", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\xc6"), [COMPRESSION_ERROR]),
    ("RFC 7541 2.3.3 no such name", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\x7f\x70\x01x"), [COMPRESSION_ERROR]),
    ("RFC 7541 6.1 index 0", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\x80"), [COMPRESSION_ERROR]),
    ("RFC 7541 4.2 size update at the end", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\x20"), [COMPRESSION_ERROR]),
    ("RFC 7541 6.3 size beyond the limit", lambda v: v.send(HEADERS, WHOLE, 1, b"\x3f\xe2\x1f" + v.block("/ten")), [COMPRESSION_ERROR]),
    ("RFC 7541 5.2 padding of 8 bits", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\0\x01x\x82\xf3\xff"), [COMPRESSION_ERROR]),
    ("RFC 7541 5.2 padding of zeros", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\0\x01x\x81\xf0"), [COMPRESSION_ERROR]),
    ("RFC 7541 5.2 EOS", lambda v: v.send(HEADERS, WHOLE, 1, v.block("/ten") + b"\0\x01x\x84\xff\xff\xff\xff"), [COMPRESSION_ERROR]),
    # States of streams.
    ("5.1 DATA on an idle stream", lambda v: v.send(DATA, END_STREAM, 1, b"x"), [PROTOCOL_ERROR]),
    ("5.1 RST_STREAM on an idle stream", lambda v: v.send(RST_STREAM, 0, 1, u32(CANCEL)), [PROTOCOL_ERROR]),
    ("5.1 WINDOW_UPDATE on an idle stream", lambda v: v.widen(1, 100), [PROTOCOL_ERROR]),
    ("5.1 CONTINUATION on an idle stream", lambda v: v.send(CONTINUATION, END_HEADERS, 1, v.block("/ten")), [PROTOCOL_ERROR]),
    ("5.1 CONTINUATION on a half-closed stream", lambda v: v.ask("/ten") and v.send(CONTINUATION, END_HEADERS, 1),
     [PROTOCOL_ERROR, STREAM_CLOSED]),
    ("5.1 DATA on a closed stream", lambda v: finished(v) or v.send(DATA, END_STREAM, 1, b"x"), [STREAM_CLOSED]),
    ("5.1 HEADERS on a closed stream", lambda v: finished(v) or v.ask("/ten", stream=1), [STREAM_CLOSED, PROTOCOL_ERROR]),
    ("5.1 CONTINUATION on a closed stream", lambda v: finished(v) or v.send(CONTINUATION, END_HEADERS, 1),
     [STREAM_CLOSED, PROTOCOL_ERROR]),
    ("5.1.1 an even stream", lambda v: v.ask("/ten", stream=2), [PROTOCOL_ERROR]),
    ("5.1.1 a smaller stream", lambda v: ask_out_of_order(v, 5, 3), [PROTOCOL_ERROR, STREAM_CLOSED]),
    # Streams that a frame may not have, and paddings.
    ("6.1 DATA on stream 0", lambda v: v.send(DATA, END_STREAM, 0, b"x"), [PROTOCOL_ERROR]),
    ("6.1 padding longer than DATA", lambda v: v.ask("/ten", end=False) and v.send(DATA, END_STREAM | PADDED, 1, b"\x05test"),
     [PROTOCOL_ERROR]),
    ("6.2 HEADERS on stream 0", lambda v: v.send(HEADERS, WHOLE, 0, v.block("/ten")), [PROTOCOL_ERROR]),
    ("6.2 padding longer than HEADERS", lambda v: v.send(HEADERS, WHOLE | PADDED, 1, b"\xff" + v.block("/ten")), [PROTOCOL_ERROR]),
    ("6.3 PRIORITY on stream 0", lambda v: v.send(PRIORITY, 0, 0, priority(1)), [PROTOCOL_ERROR]),
    ("6.4 RST_STREAM on stream 0", lambda v: v.send(RST_STREAM, 0, 0, u32(CANCEL)), [PROTOCOL_ERROR]),
    ("6.5 SETTINGS on a stream", lambda v: v.send(SETTINGS, 0, 1, settings((3, 1))), [PROTOCOL_ERROR]),
    ("6.7 PING on a stream", lambda v: v.send(PING, 0, 1, b"12345678"), [PROTOCOL_ERROR]),
    ("6.8 GOAWAY on a stream", lambda v: v.send(GOAWAY, 0, 1, b"\0" * 8), [PROTOCOL_ERROR]),
    ("8.4 PUSH_PROMISE of a client", lambda v: v.send(PUSH_PROMISE, END_HEADERS, 1, u32(3) + v.block("/ten")), [PROTOCOL_ERROR]),
    # Settings and windows.
    ("6.5.2 ENABLE_PUSH 2", lambda v: v.send(SETTINGS, 0, 0, settings((ENABLE_PUSH, 2))), [PROTOCOL_ERROR]),
    ("6.5.2 MAX_FRAME_SIZE too small", lambda v: v.send(SETTINGS, 0, 0, settings((MAX_FRAME_SIZE, 16383))), [PROTOCOL_ERROR]),
    ("6.5.2 MAX_FRAME_SIZE too large", lambda v: v.send(SETTINGS, 0, 0, settings((MAX_FRAME_SIZE, 1 << 24))), [PROTOCOL_ERROR]),
    ("6.9.2 INITIAL_WINDOW_SIZE too large", lambda v: v.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 1 << 31))),
     [FLOW_CONTROL_ERROR]),
    ("6.9 increment 0", lambda v: v.widen(0, 0), [PROTOCOL_ERROR]),
    ("6.9.1 window above 2^31-1", lambda v: v.widen(0, 0x7fffffff), [FLOW_CONTROL_ERROR]),
]


@pytest.mark.parametrize("what, codes", [case[1:] for case in CONNECTION_ERRORS], ids=[case[0] for case in CONNECTION_ERRORS])
def test_errors_of_the_connection(program, viewer, what, codes):
    what(viewer)
    assert viewer.connection_error() in [*codes, CLOSED]
    with H2(program.address) as other:
        assert other.get("/ten").body == BODY


# --- errors of a stream ----------------------------------------------------------------------------------------------


def ask_with(*fields):
    return lambda viewer: viewer.ask("/ten", fields)


def ask_pseudo(*pseudo):
    return lambda viewer: viewer.ask(pseudo=pseudo)


def without(name):
    return [pair for pair in PSEUDO if pair[0] != name]


def twice(name):
    return PSEUDO + [pair for pair in PSEUDO if pair[0] == name]


def after_a_reset(kind, flags, payload):
    def case(viewer):
        viewer.ask("/ten", end=False)
        viewer.send(RST_STREAM, 0, 1, u32(CANCEL))
        viewer.send(kind, flags, 1, payload or viewer.block("/ten"))
    return case


def post_and_more_headers(viewer):
    post(viewer, b"test", end=False)
    viewer.send(HEADERS, END_HEADERS, 1, viewer.encoder.encode([("x-test", "ok")]))


def pseudo_field_as_trailer(viewer):
    post(viewer, b"test", end=False)
    viewer.send(HEADERS, WHOLE, 1, viewer.encoder.encode([(":method", "GET")]))


def too_many(viewer):
    viewer.send(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0)))
    for _ in range(129):
        stream = viewer.ask("/ten")
    return stream


STREAM_ERRORS = [
    ("5.1 DATA on a half-closed stream", lambda v: v.ask("/ten") and v.send(DATA, END_STREAM, 1, b"x"), [STREAM_CLOSED]),
    ("5.1 HEADERS on a half-closed stream", lambda v: v.ask("/ten") and v.ask("/ten", stream=1), [STREAM_CLOSED]),
    ("5.1 DATA after RST_STREAM", after_a_reset(DATA, END_STREAM, b"x"), [STREAM_CLOSED]),
    ("5.1 HEADERS after RST_STREAM", after_a_reset(HEADERS, WHOLE, None), [STREAM_CLOSED]),
    ("5.1 CONTINUATION after RST_STREAM", after_a_reset(CONTINUATION, END_HEADERS, b"\x82"), [STREAM_CLOSED, PROTOCOL_ERROR]),
    ("5.3.1 HEADERS depends on itself", lambda v: v.send(HEADERS, WHOLE | PRIORITY_FLAG, 1, priority(1) + v.block("/ten")),
     [PROTOCOL_ERROR]),
    ("5.3.1 PRIORITY depends on itself", lambda v: v.send(PRIORITY, 0, 1, priority(1)), [PROTOCOL_ERROR]),
    ("6.9 increment 0", lambda v: v.ask("/ten", end=False) and v.widen(1, 0), [PROTOCOL_ERROR]),
    ("6.9.1 window above 2^31-1", lambda v: v.ask("/ten", end=False) and v.widen(1, 0x7fffffff), [FLOW_CONTROL_ERROR]),
    ("8.1 HEADERS after a body do not end it", post_and_more_headers, [PROTOCOL_ERROR]),
    ("8.1.1 shorter than content-length", lambda v: post(v, b"test", fields={"content-length": "9"}), [PROTOCOL_ERROR]),
    ("8.1.1 longer than content-length", lambda v: post(v, b"test", fields={"content-length": "1"}), [PROTOCOL_ERROR]),
    ("8.1.1 longer in two frames", lambda v: post(v, b"te", b"st", fields={"content-length": "1"}), [PROTOCOL_ERROR]),
    ("8.1.1 content-length without a body", ask_with(("content-length", "1")), [PROTOCOL_ERROR]),
    ("8.2.1 upper case", ask_with(("X-TEST", "ok")), [PROTOCOL_ERROR]),
    ("8.2.2 connection", ask_with(("connection", "keep-alive")), [PROTOCOL_ERROR]),
    ("8.2.2 te", ask_with(("te", "trailers, deflate")), [PROTOCOL_ERROR]),
    ("8.3 unknown pseudo field", ask_pseudo(*PSEUDO, (":test", "ok")), [PROTOCOL_ERROR]),
    ("8.3 pseudo field of responses", ask_pseudo(*PSEUDO, (":status", "200")), [PROTOCOL_ERROR]),
    ("8.3 pseudo field behind others", ask_pseudo(*PSEUDO[:3], ("x", "y"), PSEUDO[3]), [PROTOCOL_ERROR]),
    ("8.3 pseudo field as trailer", pseudo_field_as_trailer, [PROTOCOL_ERROR]),
    ("8.3.1 no method", ask_pseudo(*without(":method")), [PROTOCOL_ERROR]),
    ("8.3.1 no scheme", ask_pseudo(*without(":scheme")), [PROTOCOL_ERROR]),
    ("8.3.1 no path", ask_pseudo(*without(":path")), [PROTOCOL_ERROR]),
    ("8.3.1 empty path", ask_pseudo(*without(":path"), (":path", "")), [PROTOCOL_ERROR]),
    ("8.3.1 two methods", ask_pseudo(*twice(":method")), [PROTOCOL_ERROR]),
    ("8.3.1 two schemes", ask_pseudo(*twice(":scheme")), [PROTOCOL_ERROR]),
    ("8.3.1 two paths", ask_pseudo(*twice(":path")), [PROTOCOL_ERROR]),
]


@pytest.mark.parametrize("what, codes", [case[1:] for case in STREAM_ERRORS], ids=[case[0] for case in STREAM_ERRORS])
def test_errors_of_a_stream(program, viewer, what, codes):
    what(viewer)
    assert viewer.stream_error() in [*codes, CLOSED]
    with H2(program.address) as other:
        assert other.get("/ten").body == BODY


def test_too_many_streams(viewer):
    """5.1.2"""
    stream = too_many(viewer)
    assert viewer.stream_error(stream) in (PROTOCOL_ERROR, REFUSED_STREAM)
