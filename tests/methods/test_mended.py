"""What `bench.moved.MENDED` claims: the cells that keep their keys are computed as before, to the bit."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from bench.contracts import Encoded
from methods import _attribution

BEFORE = "acd02f58fcc1151654a2ffb8b3c9fe4f13e0772c"
"""The last commit whose code made the committed cells."""


@pytest.fixture
def former(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    return lambda module: _former(module, tmp_path, monkeypatch)


def _former(module: str, folder: Path, patch: pytest.MonkeyPatch) -> ModuleType:
    """A module of `methods/` as it was; the test is skipped where the history is not here."""
    root = Path(__file__).resolve().parents[2]
    shown = subprocess.run(["git", "show", f"{BEFORE}:methods/{module}.py"], cwd=root, capture_output=True, check=False)
    if shown.returncode:
        pytest.skip("the history is not here")
    path = folder / f"former_{module}.py"
    path.write_bytes(shown.stdout)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, path.stem, loaded)  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded


def items(seed: int) -> list[Encoded]:
    random = np.random.default_rng(seed)
    return [
        Encoded(random.integers(2, 50, p).tolist(), [*random.integers(2, 50, a).tolist(), 1])
        for p, a in zip(random.integers(1, 12, 9), random.integers(0, 12, 9), strict=True)
    ]


@pytest.mark.parametrize("quantity", ["loss", "probability"])
@pytest.mark.parametrize("budget", [40, 2048])
def test_attributions_of_a_llama(
    tiny: Callable[..., PreTrainedModel], former: Callable[[str], ModuleType], quantity: str, budget: int
) -> None:
    then = former("_attribution")
    for seed in range(3):
        found, before = (
            code.attribute(tiny("llama", seed), items(seed), steps=5, quantity=quantity, budget=budget)
            for code in (_attribution, then)
        )
        assert all(torch.equal(a, b) for a, b in zip(found, before, strict=True))
