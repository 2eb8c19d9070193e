# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium: hls.js on the demo's own page (tests/demo/player, tests/browser/play.js), and pages to look at."""
import json
import shutil
import subprocess

from harness.processes import REPOSITORY

_NODE = REPOSITORY / "tests/browser"


def make_page(folder, streams=(), edges=()):
    """The player page, ready to be served from the folder: its config.json names these streams and edges."""
    shutil.copytree(REPOSITORY / "tests/demo/player", folder)
    shutil.copy(_NODE / "node_modules/hls.js/dist/hls.min.js", folder)
    config = {"subtitle": "a test", "cmcd": True, "streams": list(streams), "edges": list(edges)}
    (folder / "config.json").write_text(json.dumps(config))


def _run(*command):
    done = subprocess.run(["node", *map(str, command)], cwd=_NODE, capture_output=True, text=True, check=False,
                          timeout=90)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def play(page_url, *options, seconds=3):
    """Plays so many seconds, switches the level, plays on. What the page has measured (see player.js); fails when it
    did not play to the end.
    """
    return _run("play.js", "--seconds", seconds, "--timeout", 60, *options, page_url)


def look(url, selector, screenshot_path):
    """Opens a page, waits until it has such an element: its title, its text, its errors."""
    return _run("look.js", url, selector, screenshot_path)


def hosts_of(responses):
    return {response["host"] for response in responses}
