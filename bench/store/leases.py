"""Who is at what, where results lie afar: an object that only one can create, written anew while its holder lives.

No store tells who has died, so what its holder has not written for `SILENCE` may be had by anybody.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.store import remote

BEAT = 20.0
"""Seconds after which a holder writes again."""
SILENCE = 90.0


@contextmanager
def leased(place: Path) -> Iterator[bool]:
    """Hold afar what `place`, of a mirror, stands for while the block lasts; gives whether it could be had.

    Of a place in no mirror it always can. Whoever asks must hold the place on this machine (`bench.store.claims`):
    what this mirror wrote there earlier is then left over from a process that died. As with claims, to do something
    twice is slow and not wrong: two who find the same lease left at the same moment may both have it.

    Raises:
        BenchError: nothing can be written afar.
    """
    if (far := remote.of(place)) is None:
        yield True
        return
    name = place.relative_to(far.folder).as_posix()
    own = f"{platform.node()} {far.folder}".encode()
    if not (far.create(name, own) or (_cleared(far, name, own) and far.create(name, own))):
        yield False
        return
    over = threading.Event()
    beats = threading.Thread(target=_beat, args=(far, name, own, over), daemon=True)
    beats.start()
    try:
        yield True
    finally:
        over.set()
        beats.join()
        far.remove(name)


def _cleared(far: remote.Remote, name: str, own: bytes) -> bool:
    """Remove what a dead process left; whether nobody holds it now."""
    found = far.written(name)
    if found is None:
        return True
    text, at = found
    if text != own and abs(time.time() - at) < SILENCE:
        return False
    far.remove(name)
    return True


def _beat(far: remote.Remote, name: str, own: bytes, over: threading.Event) -> None:
    while not over.wait(BEAT):
        with suppress(Exception):  # the next one may arrive
            far.write(name, own)
