"""Where a training goes on that was cut off: all of its state in one file, tensors as safetensors, the rest as JSON.

What is read back is what was written, to the bit, so a run that was killed ends at the weights of one that was not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.errors import BenchError
from bench.store import files
from bench.train import spread

SHARE = 0.02
"""Of the time of a training that goes into writing its state, at most, where nobody says how often."""
SOONEST = 10.0
"""Seconds between two writings then, at least."""
LARGEST = 1 << 30
"""Bytes of trained weights above which nothing is written then: their state takes three times as much, or more."""
_TENSOR = "tensor"
ODD = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What comes of a tree that is not as it was written."""


@dataclass
class Checkpoint:
    """The file of one training's state.

    Attributes:
        file: where it lies; whoever keeps the result removes it (`over`).
        minutes: between two writings; None is as often as costs `SHARE` of the time, 0 is never.
        seconds: what the training had taken when it was cut off.
    """

    file: Path
    minutes: float | None = None
    seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _next: float | None = None

    def begin(self, parameters: Sequence[nn.Parameter]) -> dict[str, Any] | None:
        """The state that is there; starts the clock. A file that cannot be read is no state."""
        self._began = time.monotonic()
        large = sum(p.numel() * p.element_size() for p in parameters) > LARGEST
        if self.minutes == 0 or spread.size() > 1 or (self.minutes is None and large):
            return None
        self._next = self._began + self._pause(0.0)
        try:
            found = read(self.file)
            seconds = float(found.pop("seconds"))
        except (OSError, SafetensorError, *ODD):
            return None
        self.seconds = seconds if 0 <= seconds < math.inf else 0.0
        return found

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self._next is not None and time.monotonic() >= self._next

    def write(self, state: dict[str, Any]) -> None:
        """Keep the state; where that cannot be written the training goes on without."""
        started = time.monotonic()
        try:
            write(self.file, {**state, "seconds": self.seconds + started - self._began})
        except BenchError:
            self._next = None
            return
        now = time.monotonic()
        self._next = now + self._pause(now - started)

    def over(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)

    def _pause(self, took: float) -> float:
        return max(SOONEST, took / SHARE) if self.minutes is None else 60 * self.minutes


def write(file: Path, state: dict[str, Any]) -> None:
    """Write a tree of tensors, numbers, words, lists and dictionaries, whole or not at all.

    Raises:
        BenchError: the place cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_packed(state, tensors))
    with files.atomically(file) as temporary:
        try:
            save_file(tensors, temporary, {"tree": tree})
        except SafetensorError as error:
            raise BenchError(f"cannot write {file}: {error}") from error


def read(file: Path) -> dict[str, Any]:
    """The tree that `write` has written.

    Raises:
        OSError, SafetensorError, and those of `ODD`: there is no such file, or it is another one.
    """
    with safe_open(file, "pt") as opened:
        tree = json.loads((opened.metadata() or {})["tree"])
        found = _unpacked(tree, {name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
    if not isinstance(found, dict):
        raise ValueError(f"{file} holds no state")
    return found


def _packed(node: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree as JSON has it: dictionaries as lists of pairs, for their keys may be numbers, tensors by their name."""
    if isinstance(node, Tensor):
        name = str(len(tensors))
        tensors[name] = node.detach().cpu().clone().contiguous()
        return {_TENSOR: name}
    if isinstance(node, dict):
        return {"pairs": [[key, _packed(value, tensors)] for key, value in node.items()]}
    return [_packed(each, tensors) for each in node] if isinstance(node, list | tuple) else node


def _unpacked(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, dict):
        if _TENSOR in node:
            return tensors[node[_TENSOR]]
        return {key: _unpacked(value, tensors) for key, value in node["pairs"]}
    return [_unpacked(each, tensors) for each in node] if isinstance(node, list) else node


def draws() -> list[Tensor]:
    """Where torch's global generators stand: the processor's, then each accelerator's."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def draw_from(states: Sequence[Tensor]) -> None:
    """Set them there."""
    torch.set_rng_state(states[0])
    torch.cuda.set_rng_state_all(states[1:])


def of_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state, and the plain numbers that it keeps beside that, such as a count of its steps."""
    plain = {name: value for name, value in vars(optimizer).items() if type(value) in (int, float)}
    return {"state": optimizer.state_dict(), "plain": plain}


def into_optimizer(optimizer: torch.optim.Optimizer, found: dict[str, Any]) -> None:
    """Give an optimizer of the same parameters that state."""
    optimizer.load_state_dict(found["state"])
    vars(optimizer).update(found["plain"])
