"""Memory that was given back is kept at hand: a pass takes what the last one had, and the kernel clears no page twice.

The tensors of a pass are a few megabytes each. The C library of Linux asks the kernel for each that is large and gives
it back at once, so that every pass faults its pages in again, zeroed one by one: up to a tenth of the time of a small
model on a CPU. The peak stays what it is, for what is kept is what was in use.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

FROM_THE_KERNEL = 32 << 20
"""Bytes from which a piece has pages of its own, given back when it is freed; the most that the library takes."""
KEPT = 128 << 20
"""Bytes that may lie unused at the end of the heap before they are given back."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@cache
def keep_freed_memory() -> bool:
    """Have the allocator of this process, from now on, keep what tensors free; whether it is one that takes orders.

    Only glibc's does; anywhere else nothing happens. Later calls do nothing.
    """
    libc = _glibc()
    return libc is not None and bool(
        libc.mallopt(_M_MMAP_THRESHOLD, FROM_THE_KERNEL) and libc.mallopt(_M_TRIM_THRESHOLD, KEPT)
    )


def give_back() -> None:
    """Give what is kept and unused back to the kernel, where many passes have ended and something else begins."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process if it is glibc."""
    try:
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    except OSError:
        return None
    return libc if libc is not None and hasattr(libc, "gnu_get_libc_version") else None
