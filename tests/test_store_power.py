# SPDX-License-Identifier: Apache-2.0
"""Power losses of the store under a real kernel and file system: another kernel (harness/kernel) stores on a disk of
its own and is killed, with all that it had not written yet; it is started again, and what is found is compared.
"""
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness.processes import REPOSITORY, build_folder

KERNEL = str(REPOSITORY / "tests/harness/kernel")
PROGRAM = "test_edge_store_store_power"
MOUNT = "mkdir /run/arena && mount /run/disk /run/arena && exec "
ROUNDS = 3


def plain_program():
    """Without AddressSanitizer, whose map of memory that kernel has no room for."""
    folders = [build_folder(), REPOSITORY / "build/release", REPOSITORY / "build/dev"]
    programs = [folder / PROGRAM for folder in folders if (folder / PROGRAM).exists()]
    return next((str(program) for program in programs if b"__asan_init" not in program.read_bytes()), None)


def started(disk, command):
    return subprocess.Popen([KERNEL, "", "sh", "-c", MOUNT + command], cwd="/", text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "SHOREBREAK_KERNEL_DISK": str(disk)})


def cut_power(disk):
    """That kernel is several processes, in groups of their own: all that have this disk, which nobody else has."""
    found = True
    while found:
        found = False
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"ubd0={disk}".encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    found = True
            except (FileNotFoundError, ProcessLookupError):
                pass


def write_until(disk, program, after):
    """Cuts the power once so many objects were synced; returns how many were said to be."""
    synced = 0
    with started(disk, f"{program} write /run/arena/store") as run:
        for line in run.stdout:
            if line.startswith("synced "):
                synced = int(line.split()[1])
            if synced >= after:
                cut_power(disk)
        error = run.stderr.read()
        if run.wait() == 77 and synced == 0:  # else it is what the power's loss looks like
            pytest.skip(error.strip())
    assert synced >= after, error
    return synced


def test_nothing_synced_is_lost_and_nothing_torn_is_found(tmp_path):
    program = plain_program()
    if not program:
        pytest.skip(f"there is no {PROGRAM} without AddressSanitizer: cmake --preset release")
    mkfs = shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/sbin:/usr/sbin")
    if not mkfs:
        pytest.skip("there is no mkfs.ext4")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    after = random.Random(seed)
    for number in range(ROUNDS):
        disk = Path(tmp_path / f"disk-{number}")
        with disk.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run([mkfs, "-q", str(disk)], check=True)
        synced = write_until(disk, program, after.randrange(50, 600))
        with started(disk, f"{program} check /run/arena/store {synced}") as run:
            said, errors = run.communicate(timeout=300)
        print(synced, said, errors)
        assert run.returncode == 0
        assert " 0 of them wrong, 0 missed that were synced" in said
