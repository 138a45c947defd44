"""Every objective with both orders of optimizer on every kind of scope: whole weights, chosen ones, added ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.conformance import toy as toys

PAIRED = [(o, s) for o in ("adamw", "sophia") for s in ("all", "simu", "lora")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where neuron masks are kept: they are the same for all, and found once."""
    return tmp_path_factory.mktemp("masks")


@pytest.mark.parametrize("objective", registry.names("objective"))
def test_an_objective_runs_with_every_optimizer_and_scope(objective: str, cache: Path) -> None:
    """One step each moves weights, and everything stays finite; no parameter of one part has a name of another's."""
    for optimizer, scope in PAIRED:
        if scope == "lora":
            pytest.importorskip("peft")
        name = f"{objective}+{optimizer}+{scope}"
        given = dataclasses.replace(toys.context(cache), cache=cache)
        toy = toys.run(name, cache, given, {"epochs": "1"})
        assert len(toy.curve.lines) == 1, name
        assert all(torch.isfinite(torch.tensor(list(toy.curve.lines[0].values())))), name
        pairs = list(zip(toy.before.model.parameters(), toy.after.model.parameters(), strict=True))
        assert all(bool(torch.isfinite(after).all()) for _, after in pairs), name
        assert any(not torch.equal(before, after) for before, after in pairs), name
