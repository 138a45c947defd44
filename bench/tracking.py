"""Training curves sent to where people look at theirs: TensorBoard, Weights & Biases, ... through accelerate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import UsageError

Log = Callable[[Mapping[str, float], int], None]
"""What a step says, and its number."""
_PACKAGES = {"comet_ml": "comet-ml", "dvclive": "dvclive"}


def check(name: str) -> None:
    """Raise `UsageError` unless accelerate knows the tracker and its package is installed."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(str(getattr(t, "value", t)) for t in LOGGER_TYPE_TO_CLASS)
    if name not in known:
        raise UsageError(f"--track {name}: accelerate has no such tracker. Known: {', '.join(known)}.")
    if name not in [str(getattr(t, "value", t)) for t in get_available_trackers()]:
        raise UsageError(f"--track {name}: its package is missing. Type: pip install {_PACKAGES.get(name, name)}")


@contextmanager
def tracked(name: str | Any, folder: Path, run: str, parameters: Mapping[str, Any]) -> Iterator[Log]:
    """A run of the tracker `name` (or of a tracker object) that ends with the block; files go to `folder`."""
    from accelerate import Accelerator

    folder.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(log_with=name, project_dir=folder)
    plain = {key: value if isinstance(value, int | float | str) else str(value) for key, value in parameters.items()}
    accelerator.init_trackers(run.replace("/", "-"), config=plain)
    try:
        yield lambda values, step: accelerator.log(dict(values), step=step)
    finally:
        accelerator.end_training()
