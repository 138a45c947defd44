"""Every objective with both orders of optimizer on every kind of scope: whole weights, chosen ones, added ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.conformance import toy as toys

USUAL = [("adamw", "all"), ("sophia", "simu"), ("adamw", "lora")]
OTHERS = [("sophia", "all"), ("adamw", "simu"), ("sophia", "lora")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where neuron masks are kept: they are the same for all, and found once."""
    return tmp_path_factory.mktemp("masks")


@pytest.mark.filterwarnings("ignore:.*of the weights were clipped")
@pytest.mark.parametrize("pairs", [USUAL, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["usual", "others"])
@pytest.mark.parametrize("objective", registry.names("objective"))
def test_an_objective_runs_with_every_optimizer_and_scope(
    objective: str, pairs: Sequence[tuple[str, str]], cache: Path
) -> None:
    """One step moves weights and everything stays finite; no part has a parameter that is called as another's."""
    for optimizer, scope in pairs:
        if scope == "lora":
            pytest.importorskip("peft")
        name = f"{objective}+{optimizer}+{scope}"
        toy = toys.run(name, cache, toys.context(cache), {"epochs": "1"})
        assert len(toy.curve.lines) == 1, name
        assert np.isfinite([*toy.curve.lines[0].values()]).all(), name
        weights = list(zip(toy.before.model.parameters(), toy.after.model.parameters(), strict=True))
        assert all(bool(torch.isfinite(after).all()) for _, after in weights), name
        assert any(not torch.equal(before, after) for before, after in weights), name
