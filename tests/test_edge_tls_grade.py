# SPDX-License-Identifier: Apache-2.0
"""The letter that testssl.sh gives, where there is one that can: Debian 12's has no letters, Debian 13's has."""
import json
import re
import shutil
import subprocess

import pytest

from harness.origin import answer
from harness.scene import HOST, Scene

LISTEN = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": True}]
# What a letter depends on, and nothing else: a minute instead of five.
CHECKS = ["--protocols", "--std", "--fs", "--server-defaults", "--header", "--heartbleed", "--ccs-injection", "--ticketbleed",
          "--BB", "--renegotiation", "--crime", "--poodle", "--tls-fallback", "--drown", "--beast", "--rc4", "--logjam"]
DEADLINE_S = 400


def program():
    """testssl.sh under Debian's name, if it knows letters; else why not."""
    path = shutil.which("testssl")
    if not path:
        pytest.skip("testssl.sh is not installed")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    version = re.search(r"testssl(?:\.sh)?\s+(?:version\s+)?((\d+)\.(\d+)\S*)", re.sub(r"\x1b\[[\d;]*m", "", said))
    assert version, said
    if (int(version[2]), int(version[3])) < (3, 1):
        pytest.skip(f"testssl.sh {version[1]} gives no letters")
    return path


def test_letter(edge, origin, authority, tmp_path):
    """With a header of the site's own, which the best letter asks for, there is nothing left to find fault with."""
    testssl = program()
    server = origin()
    server.on("/", answer(200, b"me", {"Cache-Control": "max-age=1000",
                                       "Strict-Transport-Security": "max-age=31536000; includeSubDomains"}))
    fields = []
    for kind in ("ecdsa", "rsa"):
        certificate, key = authority.issue(HOST, key=kind, stem=f"grade-{kind}", days=300)
        fields.append({"certificate": str(authority.with_chain(certificate)), "key": str(key)})
    scene = Scene(edge, server, {"tls": {**fields[0], "more": fields[1:]}}, listen=LISTEN)
    report = tmp_path / "report.json"
    done = subprocess.run([testssl, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
                           "--add-ca", str(authority.ca_path), "--jsonfile", str(report), *CHECKS,
                           f"{HOST}:{scene.edge.tls_address[1]}"],
                          capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    print(done.stdout, done.stderr)
    found = {finding["id"]: finding["finding"] for finding in json.loads(report.read_text())}
    caps = [text for name, text in found.items() if name.startswith("grade_cap_reason")]
    assert (found["overall_grade"], caps) == ("A+", [])
