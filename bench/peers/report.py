# SPDX-License-Identifier: Apache-2.0
"""Tables for people, and JSON for everyone else."""
import json
import os
import platform
from pathlib import Path

from peers.stage import RESULTS


def table(title, header, rows):
    """Prints rows of texts, the first column flush left."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n{title}")
    for row in [header, ["-" * width for width in widths], *rows]:
        first = row[0].ljust(widths[0])
        print("  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]))


def abouts(servers):
    width = max(len(server.name) for server in servers)
    print()
    for server in servers:
        print(f"{server.name.ljust(width)}  {server.about}")


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def noise(shares):
    """A sentence on what else ran meanwhile."""
    worst, typical = max(shares), sorted(shares)[len(shares) // 2]
    print(f"\nOthers used {typical:.0%} of the two cores in the median round, {worst:.0%} in the worst."
          + (" That is much: take the ratios with care." if typical > 0.1 else ""))


def write(name, document):
    """Into build/bench/NAME.json; returns the path."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **document}, indent=2) + "\n")
    print(f"\n{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
