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

from bench import api, parts
from bench.contracts import Encoded
from methods import _attribution, sophia

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
    for declaring in (api, parts):
        patch.setattr(declaring, "register", lambda *_: None)
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


@pytest.mark.parametrize("curvature", ["empirical", "gauss-newton-bartlett"])
@pytest.mark.parametrize("gamma", [204.8, 0.5])
def test_steps_of_sophia(former: Callable[[str], ModuleType], curvature: str, gamma: float) -> None:
    then = former("sophia")
    runs = []
    for code in (sophia, then):
        generator = torch.Generator().manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in ((40, 30), (30,), (600, 500))]
        optimizer = code.SophiaOptimizer(lr=1e-3, gamma=gamma, curvature=curvature, curvature_every=2).build(params)
        for _ in range(5):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator) * 1e-2
            if optimizer.curvature_due:
                optimizer.update_curvature(sum((p * p).sum() for p in params), 7)
            optimizer.step()
        runs.append([p.detach() for p in params] + [optimizer.state[p][name] for p in params for name in "mh"])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
