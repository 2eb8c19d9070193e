# SPDX-License-Identifier: Apache-2.0
"""Origins that break, and others that stand in for them: bodies that are resumed, failover, ejection, checks, bounds on
what is asked, TLS and secrets of an origin's own.
"""
import base64
import hashlib
import ssl
import threading

import pytest

from harness.client import Broken, fetch
from harness.deadline import until
from harness.h2 import H2
from harness.origin import answer, chunk, close, file_answer, hang, head, reset, send, signal, wait
from harness.scene import HOST, KIB, MIB, Scene, cache_status, noise

DATA = noise(300 * KIB)
LARGE = noise(3 * MIB)
ONE = {"Cache-Control": "max-age=1000", "ETag": '"one"'}
QUICK = {"origin_timeouts": {"connect": "500ms", "first_byte": "500ms", "idle": "500ms"}}


def body(response):
    return bytes(response.body)


def of(*servers, **more):
    """The site's origins: these, in the order of failover."""
    return {"origin": None, "origins": [{"url": server.url, "priority": index} for index, server in enumerate(servers)],
            **more}


def broken_after(size, data=DATA, fields=None, end=close):
    """A good head, and the first part of what it promised."""
    fields = fields or ONE
    return [head(200, {**fields, "Content-Length": len(data)}), send(data[:size]), end()]


def rest_of(data, fields=None):
    return lambda request: file_answer(request, data, fields or ONE)


def ranges(server, path="/seg.ts"):
    return [request.fields.get("Range") for request in server.seen(path)]


def word(scene, name):
    return scene.stats()["origin"]["results"][name]


def assert_breaks(scene, gate, data):
    """The viewer has got so much when the origin goes on, to break; and sees a break."""
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(len(data))
        gate.set()
        with pytest.raises(Broken) as broken:
            viewer.response()
    assert body(broken.value.response) == data


# --- a body that breaks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [close, reset, hang], ids=["closes", "resets", "hangs"])
def test_a_break_that_no_viewer_notices(edge, origin, end):
    """The rest is asked for by its validator; viewers on both workers get one body, and it is kept."""
    scene = Scene(edge, origin(), site=QUICK)
    scene.server.on_each("/seg.ts", [broken_after(100_000, end=end), rest_of(DATA)])
    assert body(scene.get("/seg.ts")) == DATA
    response = scene.get("/seg.ts")
    assert body(response) == DATA and "hit" in cache_status(response)
    assert ranges(scene.server) == [None, f"bytes=100000-{len(DATA) - 1}"]
    assert scene.server.seen("/seg.ts")[1].fields["If-Range"] == '"one"'
    document = scene.wait_for("flights.active", 0)
    assert (document["flights"]["failed"], document["origin"]["resumes"]) == (0, 1)
    assert document["requests_aborted"] == 0


def test_a_break_under_viewers_of_http2(edge, origin, authority):
    chain, key = authority.issue(HOST)
    scene = Scene(edge, origin(), site={"tls": {"certificate": str(chain), "key": str(key)}},
                  listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}])
    scene.server.on_each("/seg.ts", [broken_after(len(LARGE) // 2, LARGE), rest_of(LARGE)])
    with H2(scene.edge.tls_address, tls=authority.client_context()) as viewer:
        response = viewer.get("/seg.ts")
    assert (response.status, bytes(response.body), response.error) == (200, LARGE, None)
    assert scene.stats()["origin"]["resumes"] == 1


def test_a_break_in_a_range(edge, origin):
    """Of a large object: the rest of the slices that were asked for, and no byte twice."""
    scene, data = Scene(edge, origin()), noise(8 * MIB)
    part = {**ONE, "Content-Range": f"bytes {2 * MIB}-{4 * MIB - 1}/{len(data)}", "Content-Length": 2 * MIB}
    scene.server.on_each("/movie.mp4", [[head(206, part), send(data[2 * MIB:3 * MIB + 1000]), close()], rest_of(data)])
    response = scene.get("/movie.mp4", {"Range": f"bytes={2 * MIB + 7}-{4 * MIB - 8}"})
    assert (response.status, body(response)) == (206, data[2 * MIB + 7:4 * MIB - 7])
    assert ranges(scene.server, "/movie.mp4") == [f"bytes={2 * MIB}-{4 * MIB - 1}", f"bytes={3 * MIB + 1000}-{4 * MIB - 1}"]


def test_a_break_in_a_private_response(edge, origin):
    scene, fields = Scene(edge, origin()), {"Cache-Control": "no-store", "ETag": '"one"'}
    scene.server.on_each("/seg.ts", [broken_after(100_000, fields=fields), rest_of(DATA, fields)])
    assert body(scene.get("/seg.ts")) == DATA
    assert scene.stats()["origin"]["resumes"] == 1


def test_the_digest_is_of_the_joined_bytes(edge, origin):
    value = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    fields = {**ONE, "Repr-Digest": f"sha-256=:{value}:"}
    scene = Scene(edge, origin())
    scene.server.on_each("/seg.ts", [broken_after(100_000, fields=fields), rest_of(DATA, fields)])
    assert body(scene.get("/seg.ts")) == DATA
    other = DATA[:200_000] + bytes(len(DATA) - 200_000)
    scene.server.on_each("/bad.ts", [broken_after(100_000, fields=fields), rest_of(other, fields)])
    with pytest.raises(Broken) as broken:
        scene.get("/bad.ts")
    assert broken.value.response.body_size < len(DATA)
    assert scene.wait_for("flights.corrupt", 1)["flights"]["failed"] == 1


def test_an_old_date_is_a_validator_too(edge, origin):
    fields = {"Cache-Control": "max-age=1000", "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}
    scene = Scene(edge, origin())
    scene.server.on_each("/seg.ts", [broken_after(100_000, fields={**fields, "Date": "Mon, 02 Jan 2023 03:05:05 GMT"}),
                                     answer(206, DATA[100_000:], {**fields, "Content-Range": f"bytes 100000-{len(DATA) - 1}/{len(DATA)}"})])
    assert body(scene.get("/seg.ts")) == DATA
    assert scene.server.seen("/seg.ts")[1].fields["If-Range"] == fields["Last-Modified"]


SIZED = {"Cache-Control": "max-age=1000", "Content-Length": len(DATA)}
NOT_RESUMED = {
    "a weak validator": [head(200, {**SIZED, "ETag": 'W/"one"'}), send(DATA[:100_000])],
    "no validator": [head(200, SIZED), send(DATA[:100_000])],
    "a date that may be too young": [head(200, {**SIZED, "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT",
                                                "Date": "Mon, 02 Jan 2023 03:04:05 GMT"}), send(DATA[:100_000])],
    "an unknown length": [head(200, {**ONE, "Transfer-Encoding": "chunked"}), chunk(DATA[:100_000])],
}


@pytest.mark.parametrize("case", NOT_RESUMED)
def test_what_is_not_resumed(edge, origin, case):
    """Nothing says that other bytes would go on where these ended: the viewers see a break, and nothing is kept."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on_each("/seg.ts", [[*NOT_RESUMED[case], wait(gate), close()], answer(200, DATA, ONE)])
    assert_breaks(scene, gate, DATA[:100_000])
    assert scene.server.count() == 1
    document = scene.wait_for("flights.active", 0)
    assert (document["flights"]["failed"], document["arena"]["objects"], document["origin"]["resumes"]) == (1, 0, 0)


def part(first, last, total, fields=None, data=DATA):
    return answer(206, data[first:last + 1], {**(fields or ONE), "Content-Range": f"bytes {first}-{last}/{total}"})


SIZE = len(DATA)
WRONG_RESTS = {
    "another version": (answer(200, noise(SIZE, "other"), {**ONE, "ETag": '"two"'}), "origin_representation_changed", 2),
    "a part of another version": (part(100_000, SIZE - 1, SIZE, {**ONE, "ETag": '"two"'}), "origin_representation_changed", 2),
    "another size": (part(100_000, SIZE - 1, SIZE + 1), "origin_representation_changed", 2),
    "gone": (answer(404, b"", ONE), "origin_representation_changed", 2),
    "another place": (part(99_999, SIZE - 1, SIZE), "origin_bad_range", 4),
    "too little": (part(100_000, SIZE - 2, SIZE), "origin_bad_range", 4),
    "no place": (answer(206, DATA[100_000:], ONE), "origin_bad_range", 4),
    "all of it again": (answer(200, DATA, ONE), "origin_bad_range", 4),
    "no answer": (answer(503, b"busy"), "origin_error_response", 4),
}


@pytest.mark.parametrize("case", WRONG_RESTS)
def test_a_rest_that_is_none(edge, origin, case):
    """A clean abort, never other bytes; what may be an accident is tried a bounded number of times."""
    script, reason, asked = WRONG_RESTS[case]
    scene = Scene(edge, origin())
    scene.server.on_each("/seg.ts", [broken_after(100_000), script])
    with pytest.raises(Broken) as broken:
        scene.get("/seg.ts")
    assert body(broken.value.response) == DATA[:100_000]
    document = scene.wait_for("flights.active", 0)
    assert (document["flights"]["failed"], document["arena"]["objects"]) == (1, 0)
    assert document["origin"]["results"][reason] == asked - 1
    assert scene.server.count() == asked
    assert sum(document["origin"]["results"].values()) == document["origin"]["requests"] == asked


def test_attempts_are_bounded_but_for_progress(edge, origin):
    """Three without a slice's worth of progress are enough; who gets on is allowed more."""
    scene = Scene(edge, origin())
    scene.server.on("/stuck.ts", lambda request: broken_part(request, 1000))
    with pytest.raises(Broken) as broken:
        scene.get("/stuck.ts")
    assert body(broken.value.response) == noise(8 * MIB)[:4000]
    assert scene.server.count("/stuck.ts") == 4
    scene.server.on("/slow.ts", lambda request: broken_part(request, 5 * MIB // 4))
    assert body(scene.get("/slow.ts")) == noise(8 * MIB)
    assert scene.server.count("/slow.ts") == 7


def broken_part(request, size):
    """Whatever is asked for, so many bytes of it at most."""
    data = noise(8 * MIB)
    first = int(request.fields.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
    fields = {**ONE, "Content-Length": len(data) - first}
    if first:
        fields["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
    return [head(206 if first else 200, fields), send(data[first:first + size]), close()]


def test_a_chunked_part_that_is_too_short(edge, origin):
    """It ends well, and yet it is not what it promised: that is a break."""
    scene, data = Scene(edge, origin()), noise(4 * MIB)
    fields = {**ONE, "Transfer-Encoding": "chunked", "Content-Range": f"bytes {MIB}-{2 * MIB - 1}/{len(data)}"}
    scene.server.on_each("/movie.mp4", [[head(206, fields), chunk(data[MIB:MIB + 1000]), send(b"0\r\n\r\n")], rest_of(data)])
    response = scene.get("/movie.mp4", {"Range": f"bytes={MIB}-{2 * MIB - 1}"})
    assert body(response) == data[MIB:2 * MIB]
    assert ranges(scene.server, "/movie.mp4") == [f"bytes={MIB}-{2 * MIB - 1}", f"bytes={MIB + 1000}-{2 * MIB - 1}"]


def test_no_budget_no_resume(edge, origin):
    scene = Scene(edge, origin(), site={"origin_retries": {"percent": 0, "floor": 0}})
    gate = threading.Event()
    scene.server.on_each("/seg.ts", [[head(200, {**ONE, "Content-Length": SIZE}), send(DATA[:100_000]), wait(gate), close()], rest_of(DATA)])
    assert_breaks(scene, gate, DATA[:100_000])
    assert scene.server.count() == 1
    assert scene.stats()["origin"]["retries_refused"] == 1


def test_nobody_waits_for_a_rest(edge, origin):
    """The last viewer has left before it broke: nothing is asked for again, little as is missing."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/seg.ts", [head(200, {**ONE, "Content-Length": SIZE}), send(DATA[:200_000]), wait(gate), close()])
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(200_000)
        viewer.reset()
    scene.wait_for("flights.readers", 0)
    gate.set()
    document = scene.wait_for("flights.active", 0)
    assert (document["origin"]["resumes"], scene.server.count()) == (0, 1)


# --- several origins -----------------------------------------------------------------------------------------------


def test_the_rest_comes_from_the_next_origin(edge, origin):
    """The one that began is gone; another one has the same version."""
    one, two, gate = origin(), origin(), threading.Event()
    scene = Scene(edge, None, site=of(one, two))
    one.on("/seg.ts", [head(200, {**ONE, "Content-Length": SIZE}), send(DATA[:100_000]), wait(gate), close()])
    two.file("/seg.ts", DATA, ONE)
    with scene.connect() as viewer:
        viewer.request("/seg.ts")
        viewer.read(100_000)
        one.refuse()
        gate.set()
        assert body(viewer.response()) == DATA
    assert ranges(two) == [f"bytes=100000-{SIZE - 1}"]
    assert "hit" in cache_status(scene.get("/seg.ts"))


def test_the_next_origin_has_another_version(edge, origin):
    """Its bytes are not used; the one that began is asked once more and goes on."""
    one, two = origin(), origin()
    scene = Scene(edge, None, site=of(one, two))
    one.on_each("/seg.ts", [broken_after(100_000), [close()], rest_of(DATA)])
    two.file("/seg.ts", noise(SIZE, "other"), {**ONE, "ETag": '"two"'})
    assert body(scene.get("/seg.ts")) == DATA
    assert (one.count(), two.count()) == (3, 1)


FAILURES = {
    "refuses": None,
    "closes": [close()],
    "hangs": [hang()],
    "talks nonsense": [send(b"SSH-2.0-x\r\n"), close()],
    "is overloaded": answer(503, b"busy"),
    "has no gateway": answer(502, b""),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failover(edge, origin, failure):
    """Another origin is asked before the viewer hears anything; after some failures the first is left alone."""
    one, two = origin(), origin()
    site = of(one, two, origin_ejection={"consecutive_errors": 2, "first": "1h", "longest": "1h"}, **QUICK)
    scene = Scene(edge, None, site=site)
    if failure == "refuses":
        one.refuse()
    for i in range(6):
        one.on(f"/{i}.ts", FAILURES[failure])
        two.file(f"/{i}.ts", DATA, ONE)
        response = scene.get(f"/{i}.ts")
        assert (response.status, body(response)) == (200, DATA)
    document = scene.stats()
    first, second = document["origins"]["demo"]
    assert (first["usable"], first["requests"], first["errors"], first["ejections"]) == (False, 2, 2, 1)
    assert (second["usable"], second["requests"], second["errors"]) == (True, 6, 0)
    assert document["origin"]["retries"] == 2
    assert document["flights"]["failed"] == 0


def test_none_is_well(edge, origin):
    """Then they are asked all the same, each once; the viewer gets the last one's failure, and what comes back serves."""
    one, two = origin(), origin()
    scene = Scene(edge, None, site=of(one, two, origin_ejection={"consecutive_errors": 1, "first": "1h", "longest": "1h"}))
    for server in (one, two):
        server.on_each("/seg.ts", [[close()], [close()], answer(200, DATA, ONE)])
    for _ in range(2):
        response = scene.get("/seg.ts")
        assert (response.status, cache_status(response)["detail"]) == (502, "origin_closed_before_response")
    assert [each["usable"] for each in scene.stats()["origins"]["demo"]] == [False, False]
    assert body(scene.get("/seg.ts")) == DATA
    assert (one.count(), two.count()) == (3, 2)
    assert [each["usable"] for each in scene.stats()["origins"]["demo"]] == [True, False]


def test_errors_of_all_are_passed_on(edge, origin):
    one, two = origin(), origin()
    scene = Scene(edge, None, site=of(one, two))
    for server in (one, two):
        server.on("/seg.ts", answer(503, b"busy", {"Retry-After": "7"}))
    response = scene.get("/seg.ts")
    assert (response.status, body(response), response.fields["Retry-After"]) == (503, b"busy", "7")


def test_retries_have_a_budget(edge, origin):
    """A dead origin does not double what the other one has to do."""
    one, two = origin(), origin()
    site = of(one, two, origin_retries={"percent": 10, "floor": 0}, origin_ejection={"consecutive_errors": 1000000})
    scene = Scene(edge, None, site=site, workers=1)
    one.refuse()
    statuses = []
    for i in range(40):
        two.file(f"/{i}.ts", DATA, ONE)
        statuses.append(scene.get(f"/{i}.ts").status)
    assert (statuses.count(200), statuses.count(502)) == (4, 36)
    assert scene.stats()["origin"]["retries_refused"] == 36


def test_contents_have_their_origins(edge, origin):
    """Among equals each URL has its own, and all of its slices come from there; weights are shares."""
    servers, data = [origin(), origin(), origin()], noise(3 * MIB)
    origins = [{"url": server.url, "weight": weight} for server, weight in zip(servers, (1000, 1000, 1))]
    scene = Scene(edge, None, site={"origin": None, "origins": origins})
    for i in range(24):
        for number, server in enumerate(servers):
            server.file(f"/{i}.mp4", data, {**ONE, "ETag": f'"{number}"'})
        for at in (0, MIB, 2 * MIB):
            response = scene.get(f"/{i}.mp4", {"Range": f"bytes={at}-{at + 99}"})
            assert (response.status, body(response)) == (206, data[at:at + 100])
        assert sorted(server.count(f"/{i}.mp4") for server in servers) == [0, 0, 3]
    counts = [server.count() for server in servers]
    assert min(counts[:2]) >= 9 and counts[2] <= 6


def test_checks(edge, origin):
    """Who says that it is not well is not asked, and is again when it says so; its checks are no viewers' requests."""
    one, two, is_ill = origin(), origin(), threading.Event()
    scene = Scene(edge, None, site=of(one, two, origin_check={"path": "/health?deep", "interval": "50ms", "healthy": 2, "unhealthy": 2}))
    one.on("/health", lambda _: answer(503 if is_ill.is_set() else 204))
    two.on("/health", answer(204))
    for server in (one, two):
        server.wait_for_requests(2, "/health?deep")
        for i in range(3):
            server.file(f"/{i}.ts", DATA, ONE)

    def usable():
        return [each["usable"] for each in scene.stats()["origins"]["demo"]]
    assert body(scene.get("/0.ts")) == DATA
    assert (one.count("/0.ts"), usable()) == (1, [True, True])
    is_ill.set()
    until(lambda: usable() == [False, True], "the first to be found ill")
    assert body(scene.get("/1.ts")) == DATA
    assert (one.count("/1.ts"), two.count("/1.ts")) == (0, 1)
    is_ill.clear()
    until(lambda: usable() == [True, True], "the first to be found well")
    assert body(scene.get("/2.ts")) == DATA
    assert one.count("/2.ts") == 1
    assert scene.stats()["bytes_origin"] < 4 * SIZE
    check = one.seen("/health")[0]
    assert (check.method, check.fields["Host"]) == ("GET", one.url.removeprefix("http://"))


def test_connections_have_a_bound(edge, origin):
    """More wait in line, then go on without it: with a name, or at the next origin."""
    one, gate = origin(), threading.Event()
    site = {"origin": None, "origins": [{"url": one.url, "connections_max": 1}], "origin_timeouts": {"queue": "300ms"}}
    scene = Scene(edge, None, site=site, workers=1)
    arrived = threading.Event()
    one.on("/slow.ts", [signal(arrived), wait(gate), *answer(200, DATA, ONE)])
    one.on("/next.ts", answer(200, DATA, ONE))
    with scene.connect() as viewer:
        viewer.request("/slow.ts")
        one.wait_for(arrived)
        response = scene.get("/other.ts")
        assert (response.status, cache_status(response)["detail"]) == (503, "origin_connections_exhausted")
        with scene.connect() as waiting:
            waiting.request("/next.ts")
            gate.set()
            assert body(viewer.response()) == DATA
            assert body(waiting.response()) == DATA
    assert one.connections_opened == 1
    assert scene.stats()["origins"]["demo"][0]["errors"] == 0


# --- how an origin is asked ----------------------------------------------------------------------------------------


def tls_site(server, **more):
    port = server.address[1]
    return {"origin": None, "origins": [{"url": f"https://127.0.0.1:{port}", **more}]}


def test_a_pinned_authority_and_another_name(edge, origin, authority):
    """The origin is reached by its address, asked for by its name, and believed for its own certificate alone."""
    names = []
    server = origin(tls=named_context(authority, names))
    tls = {"ca": str(authority.ca_path), "server_name": "origin.test"}
    scene = Scene(edge, server, site=tls_site(server, tls=tls))
    server.on("/seg.ts", answer(200, DATA, ONE))
    assert body(scene.get("/seg.ts")) == DATA
    assert names == ["origin.test"]


def named_context(authority, names):
    context = authority.server_context("origin.test")
    context.sni_callback = lambda _, name, __: names.append(name)
    return context


@pytest.mark.parametrize("tls", [{}, {"server_name": "other.test"}], ids=["the system's authorities", "another name"])
def test_who_is_not_believed(edge, origin, authority, tls):
    server = origin(tls=authority.server_context("origin.test"))
    if tls:
        tls = {**tls, "ca": str(authority.ca_path)}
    scene = Scene(edge, server, site=tls_site(server, tls=tls))
    response = scene.get("/seg.ts")
    assert (response.status, cache_status(response)["detail"]) == (502, "origin_tls_failed")
    assert server.count() == 0


def test_verification_can_be_switched_off(edge, origin, authority):
    server = origin(tls=authority.server_context("origin.test"))
    scene = Scene(edge, server, site=tls_site(server, tls={"verify": False}))
    server.on("/seg.ts", answer(200, DATA, ONE))
    assert body(scene.get("/seg.ts")) == DATA


def test_a_client_certificate(edge, origin, authority):
    context = authority.server_context("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_path)
    server = origin(tls=context)
    server.on("/seg.ts", answer(200, DATA, ONE))
    chain, key = authority.issue("edge.test")
    known = Scene(edge, server, site=tls_site(server, tls={"ca": str(authority.ca_path), "certificate": str(chain), "key": str(key)}))
    assert body(known.get("/seg.ts")) == DATA
    unknown = Scene(edge, server, site=tls_site(server, tls={"ca": str(authority.ca_path)}))
    assert unknown.get("/seg.ts").status == 502
    assert server.count() == 1
    server.errors.clear()  # a handshake that it refused, as it should


def test_secrets(edge, origin, tmp_path):
    """The origin is told, in place of what a viewer may say; nobody else ever sees them."""
    (tmp_path / "secret").write_text("s3cr3t-value\nnot this\n")
    (tmp_path / "token").write_text("t0k3n-value\n")
    server = origin()
    item = {"url": server.url, "host": "inner.test", "secret_header": "X-Origin-Auth", "secret_file": str(tmp_path / "secret"),
            "bearer_file": str(tmp_path / "token")}
    scene = Scene(edge, server, site={"origin": None, "origins": [item], "forward_headers": ["X-Origin-Auth", "Authorization", "*"],
                                      "pass_methods": ["POST"]})
    server.on("/seg.ts", answer(200, DATA, ONE))
    lies = {"X-Origin-Auth": "lie", "Authorization": "Bearer lie", "X-Other": "kept"}
    assert body(scene.get("/seg.ts", lies)) == DATA
    server.on("/form", answer(200))
    scene.get("/form", lies, method="POST")
    for request in server.requests:
        assert request.fields.all("X-Origin-Auth") == ["s3cr3t-value"]
        assert request.fields.all("Authorization") == ["Bearer t0k3n-value"]
        assert (request.fields["Host"], request.fields["X-Other"]) == ("inner.test", "kept")
    response = scene.get("/seg.ts")
    assert "hit" in cache_status(response)  # the edge's own token makes nothing private
    said = [body(scene.get("/seg.ts")), response.head, scene.edge.log().encode()]
    for path in ("/stats", "/metrics", "/", f"/explain?url=http://{HOST}/seg.ts"):
        said.append(body(fetch(scene.edge.admin_address, path)))
    until(lambda: len(scene.edge.access_log()) >= 4, "the access log")
    said.append((scene.edge.folder / "access.log").read_bytes())
    assert not [text for text in said if b"s3cr3t" in text or b"t0k3n" in text]


@pytest.mark.parametrize("content", [None, "", "\n", "a\x01b\n"], ids=["absent", "empty", "no line", "no text"])
def test_a_secret_that_cannot_be_used(edge, origin, tmp_path, content):
    """The edge does not start without it, and says which file it was."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    site = {"origin": None, "origins": [{"url": origin().url, "bearer_file": str(path)}], "name": "demo", "hosts": [HOST]}
    program = edge(start=False, sites=[{name: value for name, value in site.items() if value is not None}])
    with pytest.raises(AssertionError, match="ended with 1 at start"):
        program.start()
    assert str(path) in program.stderr_path.read_text()


def test_an_origin_by_ipv6(edge, origin):
    server = origin("::1")
    scene = Scene(edge, server, site={"origin": None, "origins": [{"url": server.url}]})
    server.on("/seg.ts", answer(200, DATA, ONE))
    assert body(scene.get("/seg.ts")) == DATA
    assert server.requests[0].fields["Host"] == server.url.removeprefix("http://")


def test_an_address_that_does_not_answer(edge, origin):
    """A name with several addresses: the next one is tried, and remembered."""
    server = origin()
    scene = Scene(edge, server, site={"origin": f"http://localhost:{server.address[1]}"}, workers=1)
    for i in range(3):
        server.on(f"/{i}.ts", [*answer(200, DATA, ONE), close()])
        assert body(scene.get(f"/{i}.ts")) == DATA
    assert scene.stats()["origin"]["results"]["ok"] == 3


# --- what may be asked ---------------------------------------------------------------------------------------------


FLOODER, OTHER = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "203.0.113.9"}
PROXY = {"trusted_proxies": ["127.0.0.0/8"]}


def test_a_flood_of_misses_costs_its_own_client(edge, origin):
    """One client asks for what nobody has, again and again: most of it is refused, with a name and a time. Its hits, and
    hits and misses of another client, go on; and so do joins of what is on its way.
    """
    server = origin()
    scene = Scene(edge, server, site={"misses": {"client_rate": 1, "client_burst": 5, "wait": "100ms"}}, **PROXY)
    for path in ("/hit.ts", "/a.ts", "/b.ts", "/c.ts"):
        server.on(path, answer(200, DATA, ONE))
    assert body(scene.get("/hit.ts", OTHER)) == DATA
    refused = 0
    with scene.connect() as flooder:
        for i in range(60):
            flooder.request(f"/hit.ts?random={i}", FLOODER)
            response = flooder.response()
            refused += response.status == 503
            if response.status == 503:
                assert (cache_status(response)["detail"], response.fields["Retry-After"]) == ("client_miss_budget", "1")
            flooder.request("/hit.ts", FLOODER)
            assert "hit" in cache_status(flooder.response())
    assert refused >= 40
    assert server.count() == 1 + 60 - refused
    for path in ("/a.ts", "/b.ts", "/c.ts"):
        response = scene.get(path, OTHER)
        assert (response.status, cache_status(response)["fwd"]) == (200, "uri-miss")
    assert scene.stats()["refusals"]["client_miss_budget"] == refused


def test_joins_are_free(edge, origin):
    """Who has used up all of its budget still follows what others have asked for."""
    scene, gate = Scene(edge, origin(), site={"misses": {"client_rate": 1, "client_burst": 1, "wait": "1ms"}}, **PROXY), threading.Event()
    scene.server.on("/live.ts", [wait(gate), *answer(200, DATA, ONE)])
    scene.server.on("/seg.ts", answer(200, DATA, ONE))
    statuses = [scene.get(f"/seg.ts?{i}", FLOODER).status for i in range(8)]
    assert statuses[0] == 200 and 503 in statuses
    with scene.connect() as one, scene.connect() as other:
        one.request("/live.ts", OTHER)
        scene.wait_for("flights.active", 1)
        other.request("/live.ts", FLOODER)
        scene.wait_for("flights.readers", 2)
        gate.set()
        assert body(one.response()) == body(other.response()) == DATA


def test_turns_come(edge, origin):
    """More than the rate, but not for long: each waits a little, and nobody is refused."""
    scene = Scene(edge, origin(), site={"misses": {"client_rate": 100, "client_burst": 1, "wait": "30s"}}, **PROXY)
    scene.server.on("/seg.ts", answer(200, b"x", ONE))
    viewers = [scene.connect() for _ in range(30)]
    for i, viewer in enumerate(viewers):
        viewer.request(f"/seg.ts?{i}", FLOODER)
    assert [viewer.response().status for viewer in viewers] == [200] * 30
    assert scene.server.count() == 30


def test_fills_of_a_client_at_a_time(edge, origin):
    """A slow origin makes a few requests last: they wait for one another, and what has waited too long is refused."""
    scene, gate = Scene(edge, origin(), site={"misses": {"client_fills": 2, "wait": "300ms"}}, **PROXY), threading.Event()
    scene.server.on("/slow.ts", [wait(gate), *answer(200, DATA, ONE)])
    scene.server.on("/seg.ts", answer(200, DATA, ONE))
    viewers = [scene.connect() for _ in range(2)]
    for i, viewer in enumerate(viewers):
        viewer.request(f"/slow.ts?{i}", FLOODER)
    scene.wait_for("flights.active", 2)
    response = scene.get("/seg.ts?1", FLOODER)
    assert (response.status, cache_status(response)["detail"]) == (503, "client_miss_budget")
    assert scene.get("/seg.ts?1", OTHER).status == 200
    gate.set()
    for viewer in viewers:
        assert body(viewer.response()) == DATA
    assert scene.get("/seg.ts?2", FLOODER).status == 200


def test_a_site_under_a_flood_leaves_the_others_alone(edge, origin):
    """All of one site's fills are taken, by however many clients; another site's misses, and its own hits, succeed."""
    server, gate = origin(), threading.Event()
    sites = [{"name": "demo", "hosts": [HOST], "origin": server.url, "misses": {"site_fills": 4, "wait": "200ms"}},
             {"name": "other", "hosts": ["other.test"], "origin": server.url}]
    scene = Scene(lambda **fields: edge(**{**fields, "sites": sites}), server, **PROXY)
    server.on("/slow.ts", [wait(gate), *answer(200, DATA, ONE)])
    server.on("/seg.ts", answer(200, DATA, ONE))
    assert body(scene.get("/seg.ts")) == DATA
    viewers = [scene.connect() for _ in range(4)]
    for i, viewer in enumerate(viewers):
        viewer.request(f"/slow.ts?{i}", {"X-Forwarded-For": f"198.51.100.{i}"})
    scene.wait_for("flights.active", 4)
    response = scene.get("/seg.ts?1", OTHER)
    assert (response.status, cache_status(response)["detail"]) == (503, "site_miss_budget")
    assert "hit" in cache_status(scene.get("/seg.ts", OTHER))
    for i in range(10):
        assert body(scene.get(f"/seg.ts?{i}", OTHER, host="other.test")) == DATA
    gate.set()
    for viewer in viewers:
        assert body(viewer.response()) == DATA
    assert body(scene.get("/seg.ts?1", OTHER)) == DATA


def test_a_flood_of_seeks(edge, origin):
    """Slices cost what they cost: who seeks wildly in a large file is held back before the head, and what has begun goes
    on to its end.
    """
    scene, data = Scene(edge, origin(), site={"misses": {"client_rate": 1, "client_burst": 2, "wait": "1ms"}}, **PROXY), noise(12 * MIB)
    scene.server.file("/movie.mp4", data, ONE)
    statuses = [scene.get("/movie.mp4", {"Range": f"bytes={i * MIB}-{i * MIB + 9}", **FLOODER}).status for i in range(0, 12, 2)]
    assert statuses[0] == 206 and statuses.count(503) >= 3
    response = scene.get("/movie.mp4", OTHER)
    assert (response.status, body(response)) == (200, data)


def test_what_is_kept_stands_in_for_what_may_not_be_asked(edge, origin):
    scene = Scene(edge, origin(), site={"misses": {"client_rate": 1, "client_burst": 1, "wait": "1ms"}}, **PROXY)
    scene.server.on("/seg.ts", answer(200, DATA, {"Cache-Control": "max-age=1, stale-if-error=1000", "Age": "1"}))
    assert scene.get("/seg.ts", OTHER).status == 200
    for i in range(4):
        scene.get(f"/seg.ts?{i}", FLOODER)
    response = scene.get("/seg.ts", FLOODER)
    assert (response.status, body(response)) == (200, DATA)
    assert scene.records("/seg.ts", 2)[-1]["cause"] == "stale"


# --- what is not shared --------------------------------------------------------------------------------------------


PRIVATE = {"Cache-Control": "private, no-store"}


def test_nobody_waits_for_what_is_not_shared(edge, origin):
    """Once that is known of a URL its viewers are at the origin side by side; when it may be kept again, it is."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/me.json", answer(200, b"first", PRIVATE))
    response = scene.get("/me.json")
    assert cache_status(response)["fwd"] == "uri-miss"
    scene.server.on("/me.json", [wait(gate), *answer(200, b"own", PRIVATE)])
    viewers = [scene.connect() for _ in range(5)]
    for viewer in viewers:
        viewer.request("/me.json")
    scene.server.wait_for_requests(6)
    gate.set()
    for viewer in viewers:
        response = viewer.response()
        assert (body(response), cache_status(response)["fwd"]) == (b"own", "bypass")
    document = scene.wait_for("requests", 6)
    assert document["flights"]["hit_for_miss"] == 5
    assert document["by_cause"]["uncacheable"]["requests"] == 6
    scene.server.on("/me.json", answer(200, b"public", ONE))
    assert cache_status(scene.get("/me.json"))["stored"]
    assert "hit" in cache_status(scene.get("/me.json"))
    assert scene.stats()["flights"]["hit_for_miss"] == 6


def test_errors_are_kept_by_class(edge, origin):
    """Where the site wants it, those of a broken server too; but not in place of what is better."""
    fresh = {"not_found": "1h", "not_found_playlist": "1h", "not_found_other": "1ms", "gone": "1h", "server_error": "1h"}
    scene = Scene(edge, origin(), site={"freshness": fresh})
    kept = {"/a.ts": 404, "/a.m3u8": 404, "/b.ts": 410, "/c.ts": 503}
    for path, status in {**kept, "/a.bin": 404}.items():
        scene.server.on(path, answer(status, b"no"))
        assert [scene.get(path).status for _ in range(3)] == [status] * 3
    assert [scene.server.count(path) for path in kept] == [1, 1, 1, 1]
    until(lambda: scene.get("/a.bin").status == 404 and scene.server.count("/a.bin") >= 2, "another question for it")
    scene.server.on_each("/d.ts", [answer(200, DATA, {"Cache-Control": "max-age=1, stale-if-error=1000", "Age": "1"}), answer(503)])
    assert [scene.get("/d.ts").status for _ in range(3)] == [200] * 3


def test_outcomes_of_orphans(edge, origin):
    """What is finished for nobody, and what is dropped, in bytes."""
    scene, gate = Scene(edge, origin()), threading.Event()
    scene.server.on("/little.ts", [head(200, {**ONE, "Content-Length": SIZE}), send(DATA[:100_000]), wait(gate), send(DATA[100_000:])])
    scene.server.on("/much.ts", [head(200, {**ONE, "Content-Length": 1000 * MIB}), send(DATA), hang()])
    for path, size in (("/little.ts", 100_000), ("/much.ts", SIZE)):
        with scene.connect() as viewer:
            viewer.request(path)
            viewer.read(size)
            viewer.reset()
    document = scene.wait_for("flights.dropped", 1)
    assert document["flights"]["orphans_dropped_bytes"] == SIZE
    gate.set()
    document = scene.wait_for("flights.orphans_finished", 1)
    assert document["flights"]["orphans_finished_bytes"] == SIZE - 100_000
    assert document["origin"]["results"]["dropped"] == 1
    assert "hit" in cache_status(scene.get("/little.ts"))
