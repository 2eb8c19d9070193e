# SPDX-License-Identifier: Apache-2.0
"""While somebody attacks, from one address or from fifty, all that a good viewer asks for comes, and comes right. What
the limits of HTTP/2 do is in test_edge_h2.py; here is what others feel of it.
"""
import pytest

from harness import counters
from harness.attack import GoodViewer, Swarm, addresses, modes
from harness.herd import allow_many_files
from harness.origin import answer
from harness.scene import HOST, KIB, Scene, noise

LONG = {"Cache-Control": "max-age=1000"}
SEGMENT, PLAYLIST = noise(200 * KIB), b"#EXTM3U\n" + b"#" * 1000 + b"\n"
TARGETS = {"/seg.ts": SEGMENT, "/main.m3u8": PLAYLIST}
MODES = modes(HOST, "/seg.ts", "/main.m3u8")
REQUESTS = 40
CONNECTIONS_MAX = 400
WIDTH = 500  # more than may connect

FULL = ["too_many_connections", "too_many_connections_of_client"]
HANDSHAKES = ["tls_handshake_timeout", "tls_handshake_failed", "too_many_handshakes", "too_many_handshakes_of_client"]

# What a mode is called when the edge turns it away, where it does.
WORDS = {
    "slowloris": FULL,
    "slow first line": [*FULL, "bad_request"],
    "slow body": FULL,
    "slow chunks": FULL,
    "endless chunk line": ["bad_request", "request_body_not_accepted"],
    "expects": FULL,
    "idle flood": FULL,
    "kept idle": FULL,
    "never read": FULL,
    "slow read": FULL,
    "half tls": [*FULL, *HANDSHAKES],
    "tls stalled": [*FULL, *HANDSHAKES],
    "tls flood": HANDSHAKES,
    "tls broken": HANDSHAKES,
    "plain at tls": HANDSHAKES,
    "huge head": ["request_head_too_large"],
    "endless line": ["request_head_too_large"],
    "many fields": ["request_head_too_large"],
    "long uri": ["uri_too_long"],
    "garbage": ["bad_request"],
    "bad requests": ["bad_request"],
    "unknown host": ["unknown_host"],
    "unknown methods": ["method_not_allowed"],
    "h2 half a preface": FULL,
    "h2 idle": FULL,
    "h2 tiny windows": ["h2_window_update_flood"],
    "h2 rapid reset": ["h2_rapid_reset"],
    "h2 slow reset": ["h2_rapid_reset"],
    "h2 made reset": ["h2_made_reset", "h2_protocol_error"],
    "h2 empty continuations": ["h2_continuation_flood"],
    "h2 continuations": ["h2_continuation_flood", "h2_header_flood"],
    "h2 slow head": FULL,
    "h2 hpack bomb": ["h2_header_flood", "h2_protocol_error", "request_head_too_large"],
    "h2 settings": ["h2_settings_flood"],
    "h2 pings": ["h2_ping_flood"],
    "h2 pings unread": ["h2_ping_flood"],
    "h2 priorities": ["h2_priority_flood"],
    "h2 window updates": ["h2_window_update_flood"],
    "h2 empty data": ["h2_empty_frame_flood"],
    "h2 padding": ["h2_empty_frame_flood", "h2_data_flood"],
    "h2 unknown frames": ["h2_control_flood"],
    "h2 garbage": ["h2_protocol_error"],
    "h2 huge frame": ["h2_data_flood", "h2_protocol_error"],
}


def scene_of(edge, origin, authority, **fields):
    certificate, key = authority.issue(HOST)
    scene = Scene(edge, origin(), site={"tls": {"certificate": str(certificate), "key": str(key)},
                                        "pass_methods": ["POST"]},
                  listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}],
                  limits={"connections_max": CONNECTIONS_MAX}, **fields)
    for path, body in TARGETS.items():
        scene.server.on(path, answer(200, body, LONG))
        assert scene.get(path).status == 200
    return scene


@pytest.mark.parametrize("sources", [1, 50])
@pytest.mark.parametrize("name", list(MODES))
def test_a_good_viewer_is_served(edge, origin, authority, name, sources):
    allow_many_files()
    scene, mode = scene_of(edge, origin, authority), MODES[name]
    target = scene.edge.tls_address if mode.tls else scene.edge.address
    width = (WIDTH if FULL[0] in WORDS.get(name, []) else 300) if mode.held else 50
    with Swarm(target, mode, addresses(sources), width) as swarm:
        with GoodViewer(scene.edge.address, HOST, TARGETS) as good:
            good.watch(REQUESTS)
            words = WORDS.get(name, [])
            if words:
                counters.wait_for(scene.edge, "refusals", lambda counts: any(counts[word] for word in words))
            good.watch(REQUESTS)
    assert swarm.opened >= width
    assert good.failures == []
    assert len(good.latencies_s) == 2 * REQUESTS


@pytest.mark.parametrize("name", ["idle flood", "slowloris", "kept idle"])
def test_who_shares_an_address_with_the_attacker_is_served(edge, origin, authority, name):
    """A carrier's address: its idle connections give way, its requests do not."""
    allow_many_files()
    scene = scene_of(edge, origin, authority, workers=1)
    with Swarm(scene.edge.address, MODES[name], ["127.0.0.1"], WIDTH):
        with GoodViewer(scene.edge.address, HOST, TARGETS) as good:
            good.watch(2 * REQUESTS)
    assert good.failures == []


def test_the_admin_listener_has_room_of_its_own(edge, origin, authority):
    allow_many_files()
    scene = scene_of(edge, origin, authority)
    with Swarm(scene.edge.address, MODES["idle flood"], addresses(50), WIDTH):
        for _ in range(20):
            assert scene.stats()["connections"]["active"] <= CONNECTIONS_MAX
