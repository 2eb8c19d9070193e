# SPDX-License-Identifier: Apache-2.0
"""Loads a server, and reads what its processes spent meanwhile."""
import json
import os
import statistics
import subprocess
import time
from dataclasses import dataclass

from peers.stage import ADDRESS, BUILD

CALM = 0.05  # of the two cores taken by others


@dataclass
class Spent:
    """CPU seconds."""
    all: float = 0.0
    user: float = 0.0  # in ticks of the clock, so rather coarse

    def __sub__(self, other):
        return Spent(self.all - other.all, self.user - other.user)


@dataclass
class Round:
    """One load on one server."""
    spent: Spent
    wall_s: float
    responses: int
    bytes: int
    first_byte_us: dict  # min, p50, p99, max
    whole_us: dict
    other_load: float  # what others took of the two cores, 0 to 1

    @property
    def cpu_s_per_gb(self):
        return self.spent.all / self.bytes * 1e9

    @property
    def cpu_us_per_request(self):
        return self.spent.all / self.responses * 1e6

    @property
    def requests_per_cpu_s(self):
        return self.responses / self.spent.all

    @property
    def gb_per_s(self):
        return self.bytes / self.wall_s / 1e9


def _process_spent(pid):
    """Exact to the nanosecond, threads that have ended included: the clock of another process."""
    try:
        every = time.clock_gettime(~pid << 3 | 2)
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            user_ticks = int(file.read().rpartition(")")[2].split()[11])
    except OSError:
        return Spent()
    return Spent(every, user_ticks / os.sysconf("SC_CLK_TCK"))


def spent(server):
    """What all processes of the server have spent so far, and the kernel's network thread of its core."""
    pids = server.pids() + ([_softirq_thread(server.core)] if server.core is not None else [])
    each = [_process_spent(pid) for pid in pids if pid]
    return Spent(sum(one.all for one in each), sum(one.user for one in each))


def _softirq_thread(core):
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/comm", encoding="ascii", errors="replace") as file:
                    if file.read() == f"ksoftirqd/{core}\n":
                        return int(entry)
            except OSError:
                pass
    return None


def busy_s(cores):
    """How long these cores have been busy."""
    with open("/proc/stat", encoding="ascii") as file:
        rows = {fields[0]: fields[1:] for fields in map(str.split, file)}
    ticks = 0
    for core in cores:
        user, nice, system, _, _, interrupts, soft, steal = map(int, rows[f"cpu{core}"][:8])
        ticks += user + nice + system + interrupts + soft + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def worked_s(core):
    """How long this core has been doing anything, by what it has not been idle: to a hundredth of a second. Unlike the clocks of
    processes it counts what timers and packets do in interrupts while nobody runs; and unlike busy_s it is not sampled."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = next(line.split() for line in file if line.startswith(f"cpu{core} "))
    return time.monotonic() - (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def load(port, connections, how, paths_file, core=None):
    """Runs bench_load (see there for `how`) and returns what it says, and `cpu_s`, what it spent itself."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    before = os.times()
    done = subprocess.run([*pinned, str(BUILD / "bench_load"), ADDRESS, str(port), str(connections), str(how),
                           str(paths_file)], check=True, stdout=subprocess.PIPE, text=True)
    after = os.times()
    result = json.loads(done.stdout)
    result["cpu_s"] = after.children_user + after.children_system - before.children_user - before.children_system
    return result


def measure(server, connections, how, paths_file, core):
    """One round. core: the client's."""
    cores = {server.core, core}
    busy, before = busy_s(cores), spent(server)
    result = load(server.port, connections, how, paths_file, core)
    used, busy = spent(server) - before, busy_s(cores) - busy
    if result["failures"]:
        raise RuntimeError(f"{server.name}: {result['failures']} of {connections} connections failed")
    wall_s = (result["ended_ns"] - result["began_ns"]) / 1e9
    others = max(0.0, busy - used.all - result["cpu_s"]) / (2 * wall_s)
    return Round(used, wall_s, result["responses"], result["bytes"], result["first_byte_us"], result["whole_us"],
                 others)


def rounds(servers, count, one_round, may_repeat):
    """Loads the servers in turn, `count` times, and returns {server's name: [Round]}. With may_repeat, turns that
    others disturbed are made up for, up to twice the count, and the calmest are taken: nothing but the other load
    decides which.
    """
    turns = []
    while len(turns) < count or (may_repeat and len(turns) < 2 * count
                                 and sum(disturbance(turn) <= CALM for turn in turns) < count):
        turns.append([one_round(server) for server in servers])
        print(f"turn {len(turns)}: others used {disturbance(turns[-1]):.0%}", flush=True)
    calmest = sorted(turns, key=disturbance)[:count]
    return {server.name: [turn[number] for turn in calmest] for number, server in enumerate(servers)}


def disturbance(turn):
    return max(one.other_load for one in turn)


def median_of(each, value):
    return statistics.median(value(one) for one in each)


def ratio_of(each, base, value):
    """The median over the rounds of one server's value divided by another's of the same turn."""
    return statistics.median(value(one) / value(other) for one, other in zip(each, base))
