"""RMU: distances by hand, the control vector, the common implementation's product of means, and what moves."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.conformance import toy
from bench.contracts import Encoded, Step
from bench.errors import BenchError, UsageError
from bench.keys import stream
from bench.model import models
from bench.needs import needs_of, sets_of
from bench.registry import load
from bench.run.compose import compose
from bench.train.batches import collate
from bench.train.parts import Room, cut
from bench.train.steps import Passes
from methods.rmu import RMU, apart, control_vector

ANSWERS = [[4], [5, 6, 7]]
OFFSETS = torch.tensor([[1.0, 1], [0, 2], [0, 0], [2, 0]])
"""Mean squares 1 in the first answer and 2, 0, 2 in the second."""


def step(objective: RMU, totals: dict[str, float] | None = None, seed: int = 0, pad: int = 0) -> Step:
    """States that lie OFFSETS from the control vector, and twice that from the start model's retain states."""

    def draws(name: str) -> Any:
        return stream("task", seed, name)

    batch = collate([Encoded([1], answer) for answer in ANSWERS], 0)
    filled = torch.nn.functional.pad(batch.filled, (0, pad))
    batch = batch._replace(filled=filled, slots=filled.flatten().nonzero().squeeze(1))
    towards = control_vector(2, objective.steering, draws("control vector"))
    ran = {
        ("hidden", "forget"): (towards + OFFSETS).requires_grad_(),
        ("hidden", "retain"): 3 * OFFSETS,
        ("start hidden", "retain"): OFFSETS,
    }
    passes = Passes(objective.layer, lambda *_: torch.empty(0), draws)
    return Step(None, {"forget": batch, "retain": batch}, 0.0, passes, totals or {}, _ran=ran)  # type: ignore[arg-type]


def test_the_mean_over_answers_of_means_over_labels() -> None:
    """Answers have means 1 and 4/3, so forget is 7/6 (over labels it would be 5/4), and retain four times that. The
    gradient of a state is 2 offset / D / n / B: (1, 1) / 2 in the first answer, (0, 2) / 6 in the second."""
    objective = RMU(retain_weight=10.0)
    made = step(objective)
    terms = objective.loss(made)
    assert terms.parts["forget"].item() == pytest.approx(7 / 6)
    assert terms.total.item() == pytest.approx(7 / 6 + 10 * 4 * 7 / 6)
    (slope,) = torch.autograd.grad(terms.total, made.hidden("forget"))
    torch.testing.assert_close(slope, OFFSETS / torch.tensor([2, 6, 6, 6])[:, None])


def test_the_common_implementation_divides_every_answer_by_all_lengths() -> None:
    """Sums 1 and 4, lengths 1 and 3: mean(S) mean(1 / n) = 5/2 * 2/3 = 5/3."""
    objective = RMU(as_in="open-unlearning", retain_weight=10.0)
    terms = objective.loss(step(objective))
    assert terms.parts["forget"].item() == pytest.approx(5 / 3)
    assert terms.total.item() == pytest.approx(5 / 3 * 41)


def test_a_product_of_means_is_refused_in_parts() -> None:
    """The rows of a part know nothing of the others' lengths, so it would be another loss."""
    objective = RMU(as_in="open-unlearning")
    cause = r"^rmu\.as_in='open-unlearning' is a product of means over the batch"
    cure = r"Take a smaller batch_size, one process, or as_in='paper'\.$"
    with pytest.raises(UsageError, match=f"{cause}.*{cure}"):
        objective.loss(step(objective, {"forget": 2.0, "retain": 2.0}))


def test_of_answers_of_one_length_both_are_the_same(tmp_path) -> None:
    """On the toy, whose answers have different lengths, they differ; a row alone is both."""
    given = toy.context(tmp_path)
    found = {}
    for how in ("paper", "open-unlearning"):
        made = toy.steps(RMU(layer=1, as_in=how), given)
        room = Room(given.lm, made.sets)
        (whole,) = cut(made.drawn[0], made.sets, torch.inf)
        alone = {name: rows[:1] for name, rows in made.drawn[0].items()}
        found[how] = [
            made.objective.loss(made.step(given.lm.model, room.batches(part), part, 0.0)).total.item()
            for part in (whole, *cut(alone, made.sets, torch.inf))
        ]
    assert found["paper"][1] == pytest.approx(found["open-unlearning"][1], rel=1e-6)
    assert found["paper"][0] != pytest.approx(found["open-unlearning"][0], rel=1e-6)


def test_the_control_vector_is_drawn_once() -> None:
    """The same in every step of a cell, another for another seed; of the asked length, with no negative coordinate."""
    first, again, other = (control_vector(64, 6.5, stream("task", s, "control vector")) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other)
    assert first.norm().item() == pytest.approx(6.5, rel=1e-6) and float(first.min()) >= 0
    assert RMU().loss(step(RMU())).parts["forget"].item() == RMU().loss(step(RMU())).parts["forget"].item()


def test_what_is_kept_costs_nothing_at_the_start(tmp_path) -> None:
    """There the retain states are the start model's: value and gradient of that term are 0."""
    given = toy.context(tmp_path)
    made = toy.steps(RMU(layer=1), given)
    terms = made.objective.loss(made.whole(given.lm, made.drawn[0]))
    assert terms.parts["retain"].item() < 1e-9
    slopes = torch.autograd.grad(
        terms.parts["retain"], [*given.lm.model.parameters()], allow_unused=True, retain_graph=True
    )
    assert max(float(s.abs().max()) for s in slopes if s is not None) < 1e-6
    assert terms.parts["forget"].item() > 0.01


def test_without_a_weight_nothing_is_asked_of_the_retain_set() -> None:
    assert sets_of(RMU()) == ("forget", "retain") and needs_of(RMU())[0].sets == ("retain",)
    bare = RMU(retain_weight=0.0)
    assert sets_of(bare) == ("forget",) and needs_of(bare)[0].sets == ()
    terms = bare.loss(step(bare))
    assert set(terms.parts) == {"forget"} and terms.total.item() == pytest.approx(7 / 6)


def test_the_control_vector_goes_where_the_states_are() -> None:
    """It is drawn on the CPU, from which nothing can be subtracted on another device."""
    made, elsewhere = step(RMU()), torch.device("meta")
    batches = {name: batch.to(elsewhere) for name, batch in made.batches.items()}
    states = {key: value.to(elsewhere) for key, value in made._ran.items()}
    terms = RMU().loss(dataclasses.replace(made, batches=batches, _ran=states))
    assert {term.device for term in (terms.total, *terms.parts.values())} == {elsewhere}


@pytest.mark.parametrize("pad", [1, 7])
def test_padding_is_ignored(pad: int) -> None:
    for objective in (RMU(), RMU(as_in="open-unlearning")):
        torch.testing.assert_close(
            objective.loss(step(objective, pad=pad)).total, objective.loss(step(objective)).total
        )


def test_gradient() -> None:
    """Analytic against numerical, to what float32 allows."""
    torch.manual_seed(0)
    states, wanted = (torch.randn(3, 4, dtype=torch.float64) for _ in range(2))
    exact = 2 * (states - wanted) / 4
    (found,) = torch.autograd.grad(apart(states.requires_grad_(), wanted).sum(), states)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)


def test_the_papers_layers_move_and_no_other(tmp_path) -> None:
    """Layers 5 to 7 of ten, with the paper's settings; a model of two layers has no such layer, and says so."""
    deep = models.new_llama(dataclasses.replace(toy.SHAPE, layers=10), toy.target().tokenizer, seed=0)
    selection = load("scope", "rmu")().select(SimpleNamespace(lm=deep))
    assert {name.split(".")[2] for name in selection} == {"5", "6", "7"}
    assert len(selection) == 3 * 7
    with pytest.raises(BenchError, match="there is no layer 5; the model has 2"):
        load("scope", "rmu")().select(toy.context(tmp_path))


def test_published_defaults_stand_where_no_settings_are() -> None:
    made = compose("fo-rmu", "some/model").parameters
    assert (made["layer"], made["steering"], made["retain_weight"], made["layers"]) == (7, 6.5, 1200.0, "5-7")
    assert compose("fo-rmu", "tiny").overrides["layer"] == "settings"


def test_the_distance_falls(tmp_path) -> None:
    """A run brings the forget states nearer to the control vector than to where they were."""
    lines = toy.run("fo-rmu", tmp_path, told={"lr": "3e-3", "epochs": "20"}).curve.lines
    assert lines[-1]["forget"] < 0.7 * lines[0]["forget"]
