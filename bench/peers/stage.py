# SPDX-License-Identifier: Apache-2.0
"""Where a benchmark runs: its own network, one core for the server and another for all else, a folder.

Its own network, because the machine's may be tuned in ways that show on loopback: BBR, say, paces what it sends, and
there that costs more than all else together. Only root can have that; others get the machine's, and are told.
"""
import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SHOREBREAK_BUILD", REPOSITORY / "build/release"))
RESULTS = REPOSITORY / "build/bench"
ADDRESS = "127.0.0.1"

_INSIDE = "SHOREBREAK_BENCH_INSIDE"
_LOCAL_ROUTE = f"route replace local {ADDRESS} dev lo proto kernel scope host src {ADDRESS} table local congctl cubic"


def arguments(description, add=None):
    """Reads the command line. add(parser) adds a benchmark's own options."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="shorter and less exact")
    parser.add_argument("--servers", type=lambda text: text.split(","), metavar="NAME,...", help="only these")
    if add:
        add(parser)
    return parser.parse_args()


def enter():
    """Starts this program again inside a network of its own, where that can be had; returns there."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped and folders removed
    if _INSIDE not in os.environ and shutil.which("ip") and shutil.which("unshare") and os.geteuid() == 0:
        os.environ[_INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--", sys.executable, *sys.argv])
    if _INSIDE not in os.environ:
        print("no network of its own (that takes root and iproute2): the machine's TCP settings count")
        return
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", *_LOCAL_ROUTE.split()], check=True)


def set_mtu(size):
    """Of the network of its own, if there is one."""
    if _INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "mtu", str(size)], check=True)


def cores():
    """(the server's, everyone else's)"""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        sys.exit("a benchmark needs two cores")
    return available[0], available[1]


def free_port():
    with socket.socket() as listener:
        listener.bind((ADDRESS, 0))
        return listener.getsockname()[1]


class Folder:
    """A folder under `parent` that goes away with the benchmark."""

    def __init__(self, parent=RESULTS):
        self._parent = Path(parent)

    def __enter__(self):
        self._parent.mkdir(parents=True, exist_ok=True)
        self._path = Path(tempfile.mkdtemp(dir=self._parent, prefix="work-"))
        return self._path

    def __exit__(self, *_):
        shutil.rmtree(self._path, ignore_errors=True)
