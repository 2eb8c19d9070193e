# SPDX-License-Identifier: Apache-2.0
"""What of a file is in memory, and how to have it forgotten: the state of a machine that has just started."""
import ctypes
import mmap
import os
import subprocess
from pathlib import Path

from harness.deadline import until

_LIBC = ctypes.CDLL(None, use_errno=True)


def is_on_disk(folder):
    """False where pages are the only copy (tmpfs)."""
    kind = subprocess.run(["stat", "--file-system", "--format=%T", str(folder)], capture_output=True, text=True, check=True)
    return kind.stdout.strip() not in ("tmpfs", "ramfs")


def resident_pages(path):
    """How many pages of a file are in memory."""
    size = os.path.getsize(path)
    if size == 0:
        return 0
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), size) as area:
        view = ctypes.c_char.from_buffer(area)
        flags = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        failed = _LIBC.mincore(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(size), flags)
        del view
        assert failed == 0, os.strerror(ctypes.get_errno())
        return sum(flag & 1 for flag in flags)


def evict(folder):
    """Everything in a folder that nobody has mapped."""
    def look():
        for path in Path(folder).iterdir():
            if path.is_file() and path.stat().st_size > 0:
                with open(path, "r+b") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return not any(resident_pages(path) for path in Path(folder).iterdir() if path.is_file())
    until(look, lambda: f"the pages of {folder} to go")
