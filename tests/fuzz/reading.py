"""What every reader has to keep to: well-formed or refused by name, soon, and nothing else touched."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from bench.errors import BenchError

ASKED = int(os.environ.get("FUZZ_EXAMPLES", 0))
PATIENCE = 30
"""Seconds after which a reader counts as hung; the slowest takes less than one."""
REFUSED = object()
"""What `read` gives for a file that was refused as it should be."""


def fuzzed(usual: int = 40, share: float = 1.0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a property on `usual` cases, the same ones every time, or on a share of FUZZ_EXAMPLES new ones."""
    return settings(
        max_examples=max(1, round(ASKED * share)) if ASKED else usual,
        derandomize=not ASKED,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def soon() -> Iterator[None]:
    """Fails where the block takes longer than `PATIENCE`."""

    def over(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"not done after {PATIENCE} seconds")  # no Exception, so that no reader takes it for a broken file

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one case, two levels down, so that what leaves it upwards is seen."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as above:
        place = Path(above) / "in" / "here"
        place.mkdir(parents=True)
        yield place
        there = [sorted(each.name for each in of.iterdir()) for of in (Path(above), place.parent)]
        assert there == [["in"], ["here"]], "a file was written outside"


def read(reader: Callable[[], Any], named: str | Path, *or_named: str | Path) -> Any:
    """What a reader gives, or `REFUSED`; any error but one of ours that names the file fails the test."""
    with soon():
        try:
            return reader()
        except BenchError as error:
            said = str(error)
            assert any(str(name) in said for name in (named, *or_named)), f"it names no file: {said}"
            assert len(said) < 20_000
            said.encode()
            return REFUSED


def files_of(place: Path) -> dict[str, bytes]:
    """Every file of a folder with what it holds."""
    return {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
