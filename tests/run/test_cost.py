"""What a cell costs and draws depends neither on what the cache held nor on the cell before it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import LossTerms, Method
from bench.contracts import Context
from bench.model import models
from bench.model.recipes import SCRATCH
from bench.run import cell, memory
from bench.run.plan import Planned, Request, plan, splits
from bench.train import loop, unlearning
from bench.train.loop import Curve, fit
from methods import _attribution

TASK = "tofu:forget01"
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, heads=2, vocab_size=300)


class Clock:
    """Seconds that go by only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in (cell, loop):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=found))
    monkeypatch.setattr("bench.contracts.time", SimpleNamespace(monotonic=found))
    return found


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A run whose models are random and small, and whose sets are of eight items."""
    lm = models.new_llama(SHAPE, models.train_tokenizer(["Who wrote it, when and where?"], 300), seed=1)
    models.save(lm, tmp_path / "start")
    monkeypatch.setattr(cell, "load_prepared", lambda *_: models.load(tmp_path / "start"))
    few = splits(TASK, "embedded")
    few = dataclasses.replace(few, forget=few.forget[:8], retain=few.retain[:8])
    monkeypatch.setattr(cell, "splits", lambda *_: few)
    return Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache", trace=2)


def planned(request: Request, *methods: str) -> list[Planned]:
    """The cells of these methods, each run of one epoch."""
    short = {name: {"epochs": "1"} for name in methods}
    cells = plan(Request(request.model, request.source, request.results, request.cache, short), methods, [TASK], [0])
    return [next(c for c in cells if c.cell.method == name) for name in methods]


def silent(*_: object) -> None: ...


def test_attribution_counts_for_every_method_that_needs_it(
    request_: Request, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second finds it in the cache, and what it took; who asks twice pays once."""
    attribute, calls = _attribution.attribute, []

    def slow(*args: Any, **named: Any) -> list[torch.Tensor]:
        clock.now += 100
        calls.append(named["quantity"])
        return attribute(*args, **named)

    monkeypatch.setattr(_attribution, "attribute", slow)
    first, second, other, none = (
        cell._unlearned(request_, c, silent)[1]["cost"]
        for c in planned(request_, "simu-graddiff", "simu-npo", "simu-npo@mask=forget-only", "so-npo")
    )
    assert len(calls) == 2
    assert first["unlearn_seconds"] == first["attribution_seconds"] == 100
    assert second["unlearn_seconds"] == second["attribution_seconds"] == 100
    assert other["unlearn_seconds"] == other["attribution_seconds"] == 200
    assert none["unlearn_seconds"] == 0 and "attribution_seconds" not in none


def test_probes_on_the_way_are_no_unlearning(request_: Request, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> dict[str, float]:
        clock.now += 7
        return {"forget probability": 1.0}

    def step(what: str, done: int, total: int) -> None:
        clock.now += what == "unlearning"

    monkeypatch.setattr(unlearning, "trade_off", lambda *_: probe)
    (only,) = planned(request_, "fo-npo")
    _, meta = cell._unlearned(request_, only, step)
    assert meta["curve"]["trace step"] == [0, 1, 2]
    assert (meta["cost"]["trace_seconds"], meta["cost"]["unlearn_seconds"]) == (3 * 7, 2)


def test_a_probe_is_not_charged_with_steps_that_an_accelerator_still_works_on(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps return at once and are worked off, three seconds each, when somebody waits for them."""
    pending = [0.0]

    def wait(device: torch.device | None = None) -> None:
        clock.now, pending[0] = clock.now + pending[0], 0.0

    def probe() -> dict[str, float]:
        wait()
        clock.now += 7
        return {}

    weight = torch.nn.Parameter(torch.ones(1))

    def loss(*_: object) -> LossTerms:
        pending[0] += 3
        return LossTerms(weight.sum(), {})

    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    lm: Any = SimpleNamespace(device=torch.device("cuda"))
    curve = fit(lm, [weight], torch.optim.SGD([weight], lr=0.1), range(8), loss, warmup=0, probe=probe, points=4)
    assert curve.probing == 5 * 7 and clock.now == 5 * 7 + 8 * 3


# -- memory ----------------------------------------------------------------------------------------------------------


class Accelerator:
    """A stand-in for torch.cuda's counter: bytes held now, and the most since it was reset."""

    def __init__(self) -> None:
        self.held = self.most = 0

    def use(self, mb: int) -> None:
        """Take so much and give it back."""
        self.most = max(self.most, self.held + mb * 2**20)

    def is_available(self) -> bool:
        return True

    def reset_peak_memory_stats(self) -> None:
        self.most = self.held

    def max_memory_allocated(self) -> int:
        return self.most


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> Accelerator:
    found = Accelerator()
    monkeypatch.setattr(memory, "torch", SimpleNamespace(cuda=found))
    return found


def test_peak_memory_is_the_accelerators(accelerator: Accelerator) -> None:
    accelerator.held = 10 * 2**20
    accelerator.use(4990)
    assert memory.peak_mb() == 5000
    memory.reset_peak()
    assert memory.peak_mb() == 10


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this system cannot start counting anew")
def test_without_an_accelerator_it_is_this_processs() -> None:
    memory.reset_peak()
    before = memory.peak_mb()
    held = np.ones(100 * 2**17)  # 100 MB
    assert 95 < memory.peak_mb() - before < 200
    del held
    memory.reset_peak()
    assert memory.peak_mb() < before + 50


@pytest.fixture
def made(request_: Request, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """`made(method, unlearning, measuring)`: the peak in the record of a cell that uses so many MB for each."""

    def make(method: str, unlearning: int, measuring: int) -> float:
        def unlearn(*_: Any, **__: Any) -> tuple[Curve, int]:
            accelerator.use(unlearning)
            return Curve(), 1

        monkeypatch.setattr(cell, "unlearn", unlearn)

        def measured(*_: Any, **__: Any) -> tuple[SimpleNamespace, list[str]]:
            accelerator.use(measuring)
            return SimpleNamespace(generations=None), []

        monkeypatch.setattr(cell, "measured", measured)
        for name in ("write_rows", "item_table", "score_items", "files.items"):
            monkeypatch.setattr(f"bench.run.cell.{name}", lambda *_: None)
        monkeypatch.setattr(cell, "_record", lambda *_, **found: found)
        found, _, _ = cell._make(request_, planned(request_, method)[0], silent)
        return float(found["cost"]["peak_memory_mb"])  # type: ignore[index]

    return make


def test_peak_memory_is_the_cells_own(made: Callable[..., float]) -> None:
    assert made("fo-ga", 5000, 100) == 5000
    assert made("fo-npo", 300, 700) == 700


def test_a_model_from_the_cache_still_cost_its_making(made: Callable[..., float], request_: Request) -> None:
    """The rows are gone, the model is not: it is measured again, not unlearned again."""
    assert made("fo-ga", 5000, 100) == 5000
    for rows in (request_.results / "rows").iterdir():
        rows.unlink()
    assert made("fo-ga", 0, 100) == 5000


def test_memory_of_a_side_product_is_remembered_beside_it(tmp_path: Path) -> None:
    """Attribution may take more than what follows: whoever finds it in the cache did not need less."""

    def context(used: float) -> Context:
        return Context(None, (), (), "t", 0, tmp_path, silent, lambda: used)  # type: ignore[arg-type]

    make = lambda: [np.arange(3), np.ones((2, 2))]  # noqa: E731
    first, second = context(900.0), context(10.0)
    for here in (first, second, second):
        found = here.kept("mask", "key", make)
        assert all(np.array_equal(a, b) for a, b in zip(found, make(), strict=True))
    assert (first.spent.peak, second.spent.peak) == (0.0, 900.0)
    assert (
        first.spent.spared == 0 and second.spent.spared == second.spent.seconds["mask"] == first.spent.seconds["mask"]
    )


def test_a_method_that_is_no_loop_draws_from_the_cells_seed(request_: Request) -> None:
    def noisy(context: Context) -> models.LM:
        with torch.no_grad():
            weight = context.lm.model.get_output_embeddings().weight
            weight.add_(torch.randn(weight.shape))
        return context.lm  # type: ignore[return-value]

    (base,) = planned(request_, "fo-npo")
    composed = dataclasses.replace(base.composed, method=Method("noisy", "noise", transform=noisy), parts={})
    found = []
    for globally, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(globally)
        before = torch.get_rng_state()
        of = dataclasses.replace(
            base, composed=composed, cell=base.cell._replace(seed=seed), keys={"train": f"{len(found)}"}
        )
        found.append(cell._unlearned(request_, of, silent)[0].model.get_output_embeddings().weight.detach())
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
