# SPDX-License-Identifier: Apache-2.0
"""The public suite of HTTP caching tests (npm http-cache-tests), with the edge between its client and its origin.

The edge is told to pass everything on, as the suite asks about a cache and not about a video site. What fails is in
conformance/expected.json, each with its reason; tests of the kind "check" ask what a cache does and are not judged.
"""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "conformance"
SITE = {
    "name": "suite",
    "hosts": ["127.0.0.1"],
    "pass_methods": ["*"],
    "forward_headers": ["*"],
    "request_directives": "all",
    "store_set_cookie": True,
    "freshness": {"other": "0s"},  # the suite's own first question: is nothing kept that says nothing?
}
DEADLINE_S = 300


@pytest.fixture(name="suite_origin")
def _suite_origin(tmp_path):
    environment = {**os.environ, "npm_config_protocol": "http", "npm_config_port": "0",
                   "npm_config_pidfile": str(tmp_path / "origin.pid")}
    with subprocess.Popen(["node", "--no-warnings", FOLDER / "origin.mjs"], stdout=subprocess.PIPE, text=True,
                          env=environment) as process:
        port = re.search(r":(\d+)/$", process.stdout.readline().strip())[1]
        yield f"http://127.0.0.1:{port}"
        process.kill()


def run_suite(url):
    done = subprocess.run(["node", "--no-warnings", FOLDER / "suite.mjs", url], stdout=subprocess.PIPE, text=True,
                          timeout=DEADLINE_S, check=True)
    return json.loads(done.stdout)


def test_conformance(edge, suite_origin):
    program = edge(sites=[{**SITE, "origin": suite_origin}])
    results = run_suite(program.url)
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    judged = {name: test for name, test in results.items() if test["kind"] != "check"}
    for kind in ("required", "optimal"):
        tests = [test for test in judged.values() if test["kind"] == kind]
        print(f"{kind}: {sum(test['passed'] for test in tests)} of {len(tests)}")
    assert len(judged) > 200, "the suite did not run"
    failed = {name for name, test in judged.items() if not test["passed"]}
    unexpected = [f"{name}: {judged[name]['why']}" for name in sorted(failed - set(expected))]
    assert not unexpected, "\n".join(unexpected)
    assert not set(expected) - failed, f"these pass now, or are gone: {sorted(set(expected) - failed)}"
