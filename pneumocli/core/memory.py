"""Memory of this process: the most it has held, and giving back what it no longer needs."""

import contextlib
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctypes import CDLL

# Blocks from this size on go back to the system when they are freed. The activations of ResNet-18's first two stages
# are larger at batch 32 and 224 pixels (26 and 13 MB): kept, they leave holes that nothing else fills. Those of its
# later stages are many, and cost time to be had anew. Measured, see docs/benchmarks.md.
_LARGE_BYTES = 12 * 2**20

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>

# More than a step allocates at once. The C library takes both as an int.
_KEPT_BYTES, _MOST_BYTES = 2**30, 2**31 - 1

_ENOUGH_BYTES = 4e9  # free for each training process: a step at batch 32 and 224 pixels has its peak at 2.3 GB


def peak_memory_bytes() -> int | None:
    """The most memory this process has held at once; ``None`` on systems that do not report it (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, kilobytes elsewhere


def available_memory_bytes() -> int | None:
    """Memory that a program can have now, within a container's limit; ``None`` on systems that do not report it."""
    found = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" without a limit
        root = Path("/sys/fs/cgroup")
        limit = int((root / "memory.max").read_text(encoding="ascii"))
        found.append(max(0, limit - int((root / "memory.current").read_text(encoding="ascii"))))
    if not found and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # all there is, on macOS
    return min(found, default=None)


def has_memory_to_keep(processes: int = 1) -> bool:
    """Whether so much memory is free that each of some processes may keep what it has freed; so where it is unknown."""
    available = available_memory_bytes()
    return available is None or available >= processes * _ENOUGH_BYTES


def keep_freed_blocks() -> None:
    """Makes glibc keep what is freed for the next step, which saves the system's work for new pages.

    Releases before 2.36 refuse a threshold above 32 MB; there blocks go back as :func:`return_large_blocks` has it. The
    C library's own settings in the environment stay in force.
    """
    libc = _glibc()
    if libc is None or _is_set_by_user():
        return
    if libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES):
        libc.mallopt(_M_TRIM_THRESHOLD, _MOST_BYTES)
    else:
        return_large_blocks()


def return_large_blocks() -> None:
    """Makes glibc return large blocks to the system whenever they are freed; other C libraries do so by themselves.

    By itself it comes to keep blocks of up to 32 MB for later ones. Its own settings in the environment stay in force.
    """
    libc = _glibc()
    if libc is not None and not _is_set_by_user():
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BYTES)  # the ratio that glibc itself keeps


def return_free_blocks() -> None:
    """Gives all that is free at this moment back to the system, small blocks, too; only glibc keeps it otherwise."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _is_set_by_user() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    names = ("mmap_threshold", "trim_threshold")
    return any(f"MALLOC_{name.upper()}_" in os.environ or f"glibc.malloc.{name}" in tunables for name in names)


@cache
def _glibc() -> "CDLL | None":
    if platform.libc_ver()[0] != "glibc":
        return None
    import ctypes

    return ctypes.CDLL(None)
