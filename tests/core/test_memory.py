"""memory.py: what is freed goes back to the system."""

import platform
import subprocess
import sys

import pytest

from pneumocli.core.memory import has_memory_to_keep, peak_memory_bytes

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed blocks")

# Twenty blocks freed below one that is not, after a block of that size has been freed: what makes glibc keep them.
_FREED_BUT_KEPT = """
import sys
from pneumocli.core.memory import keep_freed_blocks, return_free_blocks, return_large_blocks

def resident():
    with open("/proc/self/statm") as counts:
        return int(counts.read().split()[1]) * 4096 / 2**20

def blocks(size):
    return [bytearray(b"1") * size for _ in range(20)]

when, size = sys.argv[1], int(sys.argv[2])
if when == "before":
    return_large_blocks()
if when == "keep":
    keep_freed_blocks()
bytearray(size)
before = resident()
held = blocks(size)
pin = bytearray(b"1") * 100_000
del held
if when == "after":
    return_free_blocks()
print(resident() - before)
"""


def megabytes_kept(when: str, size: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _FREED_BUT_KEPT, when, str(size)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@glibc
@pytest.mark.slow
@pytest.mark.parametrize(("when", "size"), [("before", 13 << 20), ("after", 13 << 20), ("after", 1 << 20)])
def test_what_is_freed_goes_back(when: str, size: int):
    assert megabytes_kept("never", size) > 15 * size / 2**20  # else there is nothing to return
    assert megabytes_kept(when, size) < 2


@glibc
@pytest.mark.slow
def test_what_is_freed_can_be_kept_whatever_its_size():
    """From 32 MB on glibc gives blocks back by itself."""
    size = 40 << 20
    assert megabytes_kept("never", size) < 2
    assert megabytes_kept("keep", size) > 15 * size / 2**20


@pytest.mark.parametrize(
    ("available", "processes", "enough"),
    [(None, 1, True), (4_000_000_000, 1, True), (3_999_999_999, 1, False), (8e9, 2, True), (7e9, 2, False)],
)
def test_memory_is_kept_where_each_process_has_4_gb(available, processes: int, enough: bool, monkeypatch):
    monkeypatch.setattr("pneumocli.core.memory.available_memory_bytes", lambda: available)
    assert has_memory_to_keep(processes) == enough


@glibc
@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", "{}"), ("GLIBC_TUNABLES", "glibc.malloc.check=0:glibc.malloc.mmap_threshold={}")],
)
def test_glibcs_own_setting_stays_in_force(name: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, value.format(30 << 20))
    assert megabytes_kept("before", 13 << 20) > 200


def test_the_peak_is_told():
    assert (peak_memory_bytes() or 0) > 10_000_000
