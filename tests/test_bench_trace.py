# SPDX-License-Identifier: Apache-2.0
"""`bench trace` on traces small enough to count by hand, and on one it must win."""
import csv
import io
import os
import random
import struct
import subprocess

PROGRAM = os.path.join(os.environ.get("SHOREBREAK_BUILD", "build/asan"), "bench_trace")


def replay(data, *arguments):
    """The rows of its CSV, by policy."""
    out = subprocess.run([PROGRAM, "-", "--csv", *arguments], input=data, capture_output=True, check=True, timeout=120)
    return {row["policy"]: row for row in csv.DictReader(io.StringIO(out.stdout.decode()))}


def lines(keys, size=1000):
    return "".join(f"{i * 1000000},{key},{size},1\n" for i, key in enumerate(keys)).encode()


def records(requests):
    return b"".join(struct.pack("<QQII", *request) for request in requests)


def key_of(title, segment, rendition=0):
    return title << 32 | rendition << 28 | segment


def test_counts_by_hand():
    # Room for two of four. LRU: a b miss, a hits, c d miss, a b miss. Belady keeps a and b.
    rows = replay(b"time_us,key,size,session\n" + lines(["a", "b", "a", "c", "d", "a", "b"]), "--sizes", "50")
    assert float(rows["lru"]["request_miss"]) == round(6 / 7, 4)
    assert float(rows["belady"]["request_miss"]) == round(4 / 7, 4)
    assert float(rows["belady"]["of_lru"]) == round(4 / 6, 4)


def test_binary_and_text_are_the_same():
    numbers = random.Random(1)
    requests = [(i * 500000, key_of(1 + numbers.randrange(9), numbers.randrange(50)), 1500, i % 7) for i in range(5000)]
    text = "".join(",".join(map(str, request)) + "\n" for request in requests).encode()
    by_record, by_line = replay(records(requests), "--sizes", "10"), replay(text, "--sizes", "10")
    for policy, row in by_record.items():
        assert row["byte_miss"] == by_line[policy]["byte_miss"], policy


def test_followers_are_worth_more_than_recency():
    """Pairs of viewers, the second some way behind the first, and many who are alone: half of what is fetched
    will be asked for again, and only the sessions tell which."""
    numbers = random.Random(2)
    requests = []
    for title in range(400):
        begin_s = title * 300
        for delay_s in [0, 240] if numbers.random() < 0.5 else [0]:
            requests += [((begin_s + delay_s + 6 * n) * 1000000, key_of(title + 1, n), 2000000, title * 2 + (delay_s > 0))
                         for n in range(150)]
    rows = replay(records(sorted(requests)), "--sizes", "2")
    assert float(rows["value"]["of_lru"]) < 1.02
    assert float(rows["value"]["written_per_missed"]) < 1.3


def test_nonsense_is_refused():
    bad = subprocess.run([PROGRAM, "-"], input=b"1,2\n3,4\n", capture_output=True, check=False, timeout=60)
    assert bad.returncode == 1
    assert b"line 2 is not time_us,key,size,session" in bad.stderr
