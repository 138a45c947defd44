"""What objectives need of the start model: kept once an item, or computed anew by a copy, to the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from bench.api import LossTerms, Schedule, alternatives, hidden, start_logits, start_logps
from bench.conformance import toy
from bench.contracts import Context, Step
from bench.errors import BenchError, UsageError
from bench.needs import Need
from bench.registry import load
from bench.train.batches import answer_logps, collate
from bench.train.steps import Steps
from bench.train.unlearning import unlearn

ALL = {"forget": [0, 1, 2, 3], "retain": [3, 1, 0, 2]}


@dataclass(frozen=True)
class Asking:
    """Asks for everything that there is."""

    needs: ClassVar[tuple[Need, ...]] = (
        hidden(0, "retain"), start_logits("forget", "retain"), start_logps("alternative"), alternatives("refusal"),
    )  # fmt: skip
    reference: ClassVar[bool] = True

    def loss(self, step: Step) -> LossTerms:
        apart = (step.hidden("retain") - step.start_hidden("retain")).square().mean(-1)
        moved = step.logits("forget").softmax(-1) - step.start_logits("forget").softmax(-1)
        total = (
            step.mean("retain", apart)
            + step.mean("forget", moved.square().sum(-1))
            + step.forget.mean(step.forget.logp)
        )
        return LossTerms(total, {"apart": apart.mean()})


@pytest.fixture
def given(tmp_path) -> Context:
    return toy.context(tmp_path)


def moved(context: Context) -> None:
    with torch.no_grad():
        for p in context.lm.model.parameters():
            p.mul_(1.05)


def look(steps: Steps, context: Context) -> dict[str, Tensor]:
    step = steps.whole(context.lm, steps.drawn[0])
    return {
        "logits": step.start_logits("retain"),
        "hidden": step.start_hidden("retain"),
        "logps": step.start_logps("alternative"),
        "reference": step.reference,
    }


@pytest.mark.parametrize("room", [None, 0.0], ids=["kept", "a copy"])
def test_the_start_model_is_remembered_while_the_model_moves(given: Context, room: float | None) -> None:
    """Whatever becomes of the weights, the step sees what a plain pass of the model gave before."""
    whole = collate([given.retain[i] for i in ALL["retain"]], given.lm.pad)
    out = given.lm.model(input_ids=whole.ids, attention_mask=whole.mask, output_hidden_states=True)
    logits = out.logits.flatten(0, 1)[whole.at].detach()
    states = out.hidden_states[1].flatten(0, 1)[whole.at].detach()  # behind layer 0
    before = answer_logps(given.lm, given.forget)
    steps = Steps.of(given, Asking(), [ALL], room)
    assert (steps.start.model is None) == (room is None)
    steps.start.own(dict.fromkeys(n for n, _ in given.lm.model.named_parameters()))
    moved(given)
    found = look(steps, given)
    torch.testing.assert_close(found["logits"], logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(found["hidden"], states, rtol=0, atol=1e-4)
    torch.testing.assert_close(found["reference"], before[ALL["forget"]], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(steps.whole(given.lm, ALL | steps.drawn[0]).logits("retain"), logits, atol=1e-2)


def test_the_copy_has_its_own_of_the_selected_weights_only(given: Context) -> None:
    """A start model costs what moves: everything else is the very same memory."""
    steps = Steps.of(given, Asking(), [ALL], 0.0)
    name = "model.layers.1.mlp.down_proj.weight"
    steps.start.own({name: None})
    ours, start = (dict(m.named_parameters()) for m in (given.lm.model, steps.start.model))
    assert {n for n in ours if ours[n].data_ptr() != start[n].data_ptr()} == {name}


@pytest.mark.parametrize("scope", ["all", "simu", "lora", "mlp"])
def test_kept_and_copied_give_the_same_run(tmp_path, scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five steps with what was kept, and with a start model beside, end at the same weights."""
    ends = []
    for share in (0.25, 0.0):
        monkeypatch.setattr("bench.train.start.SHARE", share)
        context = toy.context(tmp_path / str(share))
        parts = Asking(), load("optimizer", "adamw")(lr=1e-3), load("scope", scope)()
        unlearn(context, *parts, Schedule(epochs=5, batch_size=4), trace=0)
        ends.append(dict(context.lm.model.named_parameters()))
    for name, kept in ends[0].items():
        torch.testing.assert_close(kept, ends[1][name], rtol=0, atol=2e-5)


@pytest.mark.parametrize("room", [None, 0.0], ids=["kept", "a copy"])
def test_the_model_before_the_first_request_is_looked_back_to(given: Context, tmp_path, room: float | None) -> None:
    """What a step sees of the start is what that model gives, while another one is trained."""
    first = toy.context(tmp_path / "first")
    moved(given)
    steps = Steps.of(given, Asking(), [ALL], room, start=first.lm)
    steps.start.own(dict.fromkeys(n for n, _ in given.lm.model.named_parameters()))
    moved(given)
    plain = look(Steps.of(first, Asking(), [ALL]), first)
    for name, value in look(steps, given).items():
        torch.testing.assert_close(value, plain[name], rtol=1e-5, atol=1e-5)


def test_a_run_looks_back_to_its_own_start_unless_it_is_told_otherwise(tmp_path) -> None:
    """NPO against the target ends elsewhere than against the start, and at the same weights where both are one."""

    def run(name: str, reference: str, target: float | None) -> dict[str, Tensor]:
        context = toy.context(tmp_path / name)
        if target is not None:
            first = toy.context(tmp_path / f"{name}-first").lm
            with torch.no_grad():
                for p in first.model.parameters():
                    p.mul_(target)
            context = replace(context, target=lambda: first)
        parts = load("objective", "npo")(), load("optimizer", "adamw")(lr=1e-3), load("scope", "all")()
        unlearn(context, *parts, Schedule(epochs=3, batch_size=4, reference=reference), trace=0)
        return {name: p.detach() for name, p in context.lm.model.named_parameters()}

    plain = run("plain", "start", None)
    same = [run("unasked", "start", 1.5), run("one request", "target", None), run("the same", "target", 1.0)]
    assert all(torch.equal(own[name], plain[name]) for own in same for name in plain)
    other = run("another", "target", 1.5)
    assert any(not torch.equal(other[name], plain[name]) for name in plain)


def test_hidden_states_stop_at_their_layer(given: Context) -> None:
    """They are those of the whole pass, and no layer above runs."""
    ran: list[int] = []
    for index, layer in enumerate(given.lm.model.model.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    steps = Steps.of(given, Asking(), [ALL])
    ran.clear()
    steps.whole(given.lm, steps.drawn[0]).hidden("forget")
    assert ran == [0]


@dataclass(frozen=True)
class Wanting:
    """Reads what it did not ask for."""

    read: Callable[[Step], Tensor]
    reference: ClassVar[bool] = False

    def loss(self, step: Step) -> LossTerms:
        return LossTerms(self.read(step).mean(), {})


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda s: s.start_logits("forget"), r"needs = start_logits\('forget'\)"),
        (lambda s: s.start_hidden("retain"), r"needs = hidden\(LAYER, 'retain'\)"),
        (lambda s: s.hidden("forget"), r"needs = hidden\(LAYER\)"),
        (lambda s: s.reference, r"needs = start_logps\('forget'\)"),
    ],
)
def test_what_was_not_asked_for_is_named(given: Context, read: Callable[[Step], Tensor], says: str) -> None:
    steps = Steps.of(given, Wanting(read), [ALL])
    with pytest.raises(BenchError, match=says):
        steps.objective.loss(steps.whole(given.lm, ALL))


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda s: s.start_hidden("forget"), r"needs = hidden\(LAYER, 'forget'\)"),
        (lambda s: s.start_logits("retain"), r"needs = start_logits\('retain'\)"),
        (lambda s: s.reference, r"needs = start_logps\('forget'\)"),
    ],
)
def test_a_start_model_at_hand_answers_for_nothing_else(given: Context, read: Any, says: str) -> None:
    """With a copy beside, what was not asked for would be the states of layer 0, log-probabilities among them."""

    @dataclass(frozen=True)
    class One(Wanting):
        needs: ClassVar[Need] = start_logits("forget")

    steps = Steps.of(given, One(read), [ALL], room=0.0)
    assert steps.start.model is not None
    with pytest.raises(BenchError, match=says):
        steps.objective.loss(steps.whole(given.lm, ALL))


def test_a_layer_that_is_not_there_is_refused(given: Context) -> None:
    @dataclass(frozen=True)
    class Deep(Asking):
        needs = hidden(7, "retain")

    with pytest.raises(UsageError, match="no layer 7.*2 decoder layers"):
        Steps.of(given, Deep(), [ALL])


def test_alternatives_go_with_their_prompts(given: Context) -> None:
    """Row by row the prompt of the forget item, another answer, and each epoch draws anew."""
    steps = Steps.of(given, Asking(), [ALL] * 6)
    for batch in steps.drawn:
        for item, other in zip(batch["forget"], batch["alternative"], strict=True):
            assert steps.sets["alternative"][other].prompt == given.forget[item].prompt
            assert steps.sets["alternative"][other].answer != given.forget[item].answer
    assert len({tuple(batch["alternative"]) for batch in steps.drawn}) == 6


def test_a_state_goes_from_step_to_step(given: Context) -> None:
    """`after` sees the terms of the whole batch, however it was cut, and the next step sees what it made of them."""
    seen: list[float] = []

    @dataclass(frozen=True)
    class Counting:
        reference: ClassVar[bool] = False

        def begin(self) -> dict[str, float]:
            return {"weight": 1.0}

        def loss(self, step: Step) -> LossTerms:
            seen.append(float(step.state["weight"]))
            return LossTerms(
                step.state["weight"] * step.retain.cross_entropy(), {"ones": step.forget.sums().mean() * 0 + 1}
            )

        def after(self, state, parts, done):
            return {"weight": state["weight"] + parts["ones"]}

    parts = Counting(), load("optimizer", "adamw")(lr=1e-4), load("scope", "all")()
    unlearn(given, *parts, Schedule(epochs=3, batch_size=4), trace=0)
    assert seen == pytest.approx([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("needs", "retain", "says"),
    [
        ((hidden(0), hidden(1, "retain")), True, "one layer, not for 0 and 1"),
        ((alternatives("refusal"), alternatives("sampled")), True, "one kind of alternatives, not for refusal and"),
        (start_logps("alternative"), True, "logps of the alternative set, but its batches hold forget, retain"),
        (start_logits("retain"), False, "logits of the retain set, but its batches hold forget"),
    ],
)
def test_needs_that_nothing_could_meet_are_refused(given: Context, needs: Any, retain: bool, says: str) -> None:
    """The first of two layers would be taken for both; a set that is not there would be a KeyError."""
    asking = SimpleNamespace(needs=needs, retain=retain)
    with pytest.raises(UsageError, match=says):
        Steps.of(given, asking, [ALL])


def test_what_cannot_be_asked_for_is_named(given: Context) -> None:
    with pytest.raises(UsageError, match=r"needs = 'start_logits' is nothing.*start_logits\('retain'\)"):
        Steps.of(given, SimpleNamespace(needs=("start_logits",)), [ALL])
