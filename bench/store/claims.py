"""Who is at what: a file that is locked while one process makes something that others may want to make too.

The lock is the system's: a process that dies lets go of what it holds, and a file that it left behind stops nobody.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = ".claims"


@contextmanager
def claimed(place: Path, stays: bool = False) -> Iterator[bool]:
    """Hold what `place` stands for while the block lasts; gives whether it could be had.

    Where no file can be written, or the system has no locks there, the answer is yes: to do something twice is slow,
    not to do it is wrong.

    Args:
        stays: the file is not removed when the block ends.
    """
    try:
        held = _opened(place)
    except BlockingIOError:
        yield False
        return
    except OSError:
        yield True
        return
    try:
        yield True
    finally:
        if not stays:
            place.unlink(missing_ok=True)
        os.close(held)


def _opened(place: Path) -> int:
    """The locked file; one that its last holder removed in the meantime is made anew."""
    place.parent.mkdir(parents=True, exist_ok=True)
    while True:
        held = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if place.is_file() and os.fstat(held).st_ino == place.stat().st_ino:
                return held
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(held)
            raise
        os.close(held)
