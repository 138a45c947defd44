"""Freed memory is kept at hand, where the C library can be told so, and nothing happens elsewhere."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from bench.model.allocator import _glibc, keep_freed_memory

PASSES = """
import resource, sys
from bench.model.allocator import _glibc, keep_freed_memory

told = keep_freed_memory() if sys.argv[1] == "kept" else None

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [b"x" * (8 << 20) for _ in range(3)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(told, faults())
"""


def passes(how: str) -> tuple[str, int]:
    run = subprocess.run([sys.executable, "-c", PASSES, how], capture_output=True, text=True, check=True)
    told, faults = run.stdout.split()
    return told, int(faults)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="another C library than glibc")
def test_what_a_pass_freed_the_next_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty passes of 24 MiB: a fault for each page of each without, next to none with."""
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    (_, plain), (told, kept) = passes("plain"), passes("kept")
    assert told == "True"
    assert kept < 200 and kept * 5 < plain


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without glibc's version there is nothing to tell, and nothing is asked."""
    for remembered in (keep_freed_memory, _glibc):
        remembered.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
    for remembered in (keep_freed_memory, _glibc):
        remembered.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    for remembered in (keep_freed_memory, _glibc):
        remembered.cache_clear()
