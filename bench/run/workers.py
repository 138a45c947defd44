"""Worker processes: how they are started, and how many there are cores for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.context import BaseContext
from pathlib import Path

READ = ("bench.run.cell",)
"""What every worker needs; seconds to import, and a moment to have by a fork."""
_ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where Linux has a driver of NVIDIA or AMD, or Windows' under WSL."""


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def context() -> BaseContext:
    """How workers are started: forked from a server that has read the code, or each anew.

    The server never computes, so that it has no threads of a pool, and what it has read is in memory once. macOS's
    libraries do not survive a fork, and neither does an accelerator's driver that some package calls as it is imported.
    """
    if not _can_fork():
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([*READ])
    return forking


def warm_up() -> None:
    """Have the server, if there is to be one, read the code while this process goes on with something else."""
    if not _can_fork():
        return
    from multiprocessing import forkserver

    context()
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()
        return
    # Born without it, the server never says where in its imports an interrupt found it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _can_fork() -> bool:
    return sys.platform == "linux" and not any(Path(place).exists() for place in _ACCELERATORS)
