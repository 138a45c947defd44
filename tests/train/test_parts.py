"""A batch in parts against the whole batch: the same gradient, the same curvature, the same steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import registry
from bench.api import LossTerms, Pair, Probes, Schedule, Splits
from bench.contracts import Context, Encoded
from bench.errors import BenchError
from bench.keys import stream
from bench.model import heads, models
from bench.model.recipes import SCRATCH, Teaching
from bench.needs import sets_of
from bench.registry import load
from bench.run.compose import compose
from bench.train.alternatives import alternatives
from bench.train.batches import collate, label_logps
from bench.train.checkpointing import checkpointed
from bench.train.joint import joined
from bench.train.loop import fit
from bench.train.parts import Part, Room, cut
from bench.train.pieces import A_PASS, ON_CPU, pieces, usual
from bench.train.steps import Steps
from bench.train.teaching import teach
from bench.train.unlearning import unlearn

PAIRS = [Pair(f"What is {n}?", " and ".join(str(n) for _ in range(n + 1))) for n in range(8)]
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=300)
DRAWN = {"forget": [0, 1, 2, 3], "retain": [7, 4, 7, 5]}
OBJECTIVES = registry.names("objective")


@pytest.fixture
def lm() -> models.LM:
    torch.set_num_threads(1)
    made = models.new_llama(SHAPE, models.train_tokenizer([p.prompt + " " + p.answer for p in PAIRS], 300), seed=1)
    made.model.eval()
    return made


@pytest.fixture
def sets(lm: models.LM) -> dict[str, list[Encoded]]:
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    return {"forget": items, "retain": items}


def steps_of(lm: models.LM, sets: Mapping[str, Sequence[Encoded]], name: str) -> Steps:
    """A batch as an objective sees it, of a model that has moved since the run began."""
    data = Splits((), (), tuple(PAIRS), tuple(PAIRS), Probes((), ()), ())
    context = Context(
        lm, sets["forget"], sets["retain"], "t", 0, Path(), lambda *_: None,
        alternatives=lambda kind: alternatives(lm, data, kind, partial(stream, "t", 0)),
    )  # fmt: skip
    objective = compose(f"{name}+adamw", "tiny").parts["objective"]
    steps = Steps.of(context, objective, [{n: rows for n, rows in DRAWN.items() if n in sets_of(objective)}])
    with torch.no_grad():
        for i, weight in enumerate(lm.model.parameters()):
            weight.mul_(1 + 0.1 * (-1) ** i)
    return steps


def slopes(lm: models.LM, steps: Steps, parts: Sequence[Part]) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of an objective over parts, each weighted by its share."""
    room, total = Room(lm, steps.sets), torch.zeros(())
    lm.model.zero_grad()
    for part in parts:
        terms = steps.objective.loss(steps.step(lm.model, room.batches(part), part, 0.3))
        (terms.total * part.share).backward()
        total = total + terms.total.detach() * part.share
    return total, {n: p.grad.clone() for n, p in lm.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("tokens", "a_pass"), [(1, math.inf), (60, math.inf), (90, math.inf), (90, 8.0)])
def test_parts_add_up_to_the_batch(
    lm: models.LM, sets: Mapping[str, Sequence[Encoded]], objective: str, tokens: int, a_pass: float
) -> None:
    """Losses to 1e-6 of their terms, gradients to 1e-6 of the largest, whatever rows share a part, in any order."""
    steps = steps_of(lm, sets, objective)
    drawn = steps.drawn[0]
    parts = cut(drawn, steps.sets, tokens, a_pass=a_pass)
    assert len(parts) > 1 and sorted(i for part in parts for i in part.rows["forget"]) == DRAWN["forget"]
    whole, expected = slopes(lm, steps, cut(drawn, steps.sets, math.inf))
    found, gradients = slopes(lm, steps, parts)
    with torch.no_grad():
        terms = steps.objective.loss(steps.whole(lm, drawn, 0.3)).parts.values()
    assert found.item() == pytest.approx(whole.item(), abs=1e-6 * max(float(term.abs()) for term in terms))
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-6 * max(1.0, float(gradient.abs().max())))


def test_means_of_parts_are_no_means_over_labels(lm: models.LM, sets: Mapping[str, Sequence[Encoded]]) -> None:
    """What the test above would miss if every row had as many labels: without totals the parts do not add up."""
    parts = [dataclasses.replace(part, totals={}) for part in cut(DRAWN, sets, 1)]
    steps = steps_of(lm, sets, "graddiff")
    whole, _ = slopes(lm, steps, cut(DRAWN, sets, math.inf))
    assert slopes(lm, steps, parts)[0].item() != pytest.approx(whole.item(), rel=1e-3)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("tokens", [1, 60, math.inf])
def test_processes_share_a_batch(
    lm: models.LM, sets: Mapping[str, Sequence[Encoded]], size: int, tokens: float
) -> None:
    """All have as many passes, all rows are run once, and what they have of the gradient adds up to the batch's."""
    shared = [cut(DRAWN, sets, tokens, rank, size) for rank in range(size)]
    assert len({len(parts) for parts in shared}) == 1
    assert sum(part.share for parts in shared for part in parts) == pytest.approx(1)
    weighty = [part for parts in shared for part in parts if part.share]
    assert [i for part in weighty for i in part.rows["retain"]] == DRAWN["retain"]
    steps = steps_of(lm, sets, "npo")
    whole, expected = slopes(lm, steps, cut(DRAWN, sets, math.inf))
    found, gradients = slopes(lm, steps, [part for parts in shared for part in parts])
    assert found.item() == pytest.approx(whole.item(), rel=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=1e-6)


def test_a_whole_batch_is_one_part(sets: Mapping[str, Sequence[Encoded]]) -> None:
    assert cut(DRAWN, sets, math.inf) == [Part(DRAWN, 1.0, {})]


def test_parts_of_like_length() -> None:
    """Each set is sorted by itself, but alternatives stay with the items that they answer."""
    lengths = {"forget": [9, 2, 5, 3], "retain": [2, 8, 3, 9], "alternative": [1, 6, 2, 2]}
    sets = {name: [Encoded([5] * 4, [6] * n) for n in each] for name, each in lengths.items()}
    drawn = {name: [0, 1, 2, 3] for name in sets}
    parts = cut(drawn, sets, math.inf, a_pass=1.0)
    rows = {name: [i for part in parts for i in part.rows[name]] for name in sets}
    assert rows == {"forget": [3, 2, 1, 0], "alternative": [3, 2, 1, 0], "retain": [0, 2, 1, 3]}
    assert sum(part.share for part in parts) == 1 and len(parts) > 1


def test_accelerators_take_batches_whole() -> None:
    assert usual(torch.device("cuda")) == (math.inf, math.inf)
    assert usual(torch.device("cpu")) == (ON_CPU, A_PASS)


@pytest.mark.parametrize("tokens", [1, 12, 40, math.inf])
@pytest.mark.parametrize("a_pass", [0.0, 7.0, 50.0])
def test_no_cut_is_cheaper(tokens: float, a_pass: float) -> None:
    """Against all 2^6 ways to cut seven rows of two sets: padded tokens, and `a_pass` for each piece."""
    lengths = [*zip([3, 3, 4, 9, 9, 2, 12], [1, 5, 5, 5, 6, 6, 1], strict=True)]

    def cost(cut: Sequence[tuple[int, int]]) -> float:
        padded = [(b - a) * sum(map(max, zip(*lengths[a:b], strict=True))) for a, b in cut]
        fits = all(p <= tokens or b - a == 1 for p, (a, b) in zip(padded, cut, strict=True))
        return sum(padded) + a_pass * len(cut) if fits else math.inf

    ways = [[0, *(i for i in range(1, 7) if mask >> i & 1), 7] for mask in range(0, 128, 2)]
    found = pieces(lengths, tokens, a_pass)
    assert [found[0][0], *(stop for _, stop in found)] in ways
    assert cost(found) == min(cost([*pairwise(way)]) for way in ways)


def test_sets_share_a_pass_from_the_second_on(lm: models.LM, sets: Mapping[str, Sequence[Encoded]]) -> None:
    """What the first step read of each by itself the next reads of both at once: the same loss, to the last digits."""
    steps, drawn = steps_of(lm, sets, "npo"), DRAWN
    passes: list[int] = []
    handle = lm.model.base_model.register_forward_pre_hook(
        lambda _, args, kwargs: passes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    losses = [steps.objective.loss(steps.whole(lm, drawn)) for _ in range(3)]
    handle.remove()
    assert passes == [4, 4, 8, 8]
    for name, first in losses[0].parts.items():
        assert losses[1].parts[name].item() == losses[2].parts[name].item() == pytest.approx(first.item(), rel=1e-6)


def test_sets_of_unlike_length_go_apart() -> None:
    """Two tokens beside twenty would be padded to twenty."""
    short, long = (collate([Encoded([5] * n, [6, 1])] * 3, 0, 1) for n in (1, 19))
    assert joined([short, long]) is None and joined([long]) is None
    ids, mask, at = joined([long, collate([Encoded([7] * 18, [8, 8, 1])] * 2, 0, 1)]) or ()
    assert (ids.shape, len(at)) == ((5, 20), 3 * 2 + 2 * 3)
    assert torch.equal(mask.sum(1), torch.full((5,), 20))
    expected = [19, 20] * 3 + [18, 19, 20] * 2
    assert [int(i) % 20 + 1 for i in at] == expected and at.unique().numel() == len(at)


def memory_for(tokens: int, patch: pytest.MonkeyPatch) -> list[int]:
    """From now on a forward pass of more padded tokens than that runs out of memory, unless it is checkpointed."""
    passes: list[int] = []
    original = heads.label_logits

    def limited(model: torch.nn.Module, ids: Tensor, mask: Tensor, at: Tensor) -> Tensor:
        saved = "forward" in vars(model.model.layers[0])  # type: ignore[index, union-attr]
        if torch.is_grad_enabled() and ids.numel() > tokens * (4 if saved else 1):
            raise torch.OutOfMemoryError("no room")
        passes.append(ids.numel() if torch.is_grad_enabled() else 0)
        return original(model, ids, mask, at)

    for module in ("batches", "steps"):
        patch.setattr(f"bench.train.{module}.label_logits", limited)
    return passes


def trained(lm: models.LM, folder, optimizer: str = "adamw", **how) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    context = Context(lm, items[:4], items[4:], "t", 0, folder, lambda *_: None)
    made = load("optimizer", optimizer)(lr=1e-3, **how)
    schedule = Schedule(epochs=3, batch_size=4)
    curve, _ = unlearn(context, load("objective", "npo")(), made, load("scope", "all")(), schedule, trace=0)
    return {n: p.detach().clone() for n, p in lm.model.named_parameters()}, curve.lines


@pytest.mark.parametrize("room", [100, 40, 10])
def test_memory_that_runs_out_is_found_its_measure(lm, tmp_path, monkeypatch, room) -> None:
    """100 tokens hold half a batch, 40 a row, 10 a row only with checkpointing: the same losses, whatever there is."""
    twin = models.new_llama(SHAPE, lm.tokenizer, seed=1)
    expected, lines = trained(twin, tmp_path)
    passes = memory_for(room, monkeypatch)
    found, ours = trained(lm, tmp_path)
    assert max(passes) <= room * (4 if room == 10 else 1)
    for line, want in zip(ours, lines, strict=True):
        assert line == pytest.approx(want, rel=1e-4)
    assert not any("forward" in vars(layer) for layer in lm.model.model.layers)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=2e-4)  # AdamW steps of 1e-3 on rounding of 1e-8


def test_no_room_for_one_row_is_said(lm, tmp_path, monkeypatch) -> None:
    memory_for(1, monkeypatch)
    with pytest.raises(BenchError, match="memory ran out with one item .* --precision bfloat16"):
        trained(lm, tmp_path)


def test_teaching_goes_in_parts_too(lm, monkeypatch) -> None:
    twin = models.new_llama(SHAPE, lm.tokenizer, seed=1)
    teaching = Teaching(epochs=2, lr=1e-3, batch_size=8)
    expected = teach(twin, PAIRS, teaching, key="k").lines
    passes = memory_for(60, monkeypatch)
    assert [line["loss"] for line in teach(lm, PAIRS, teaching, key="k").lines] == pytest.approx(
        [line["loss"] for line in expected], rel=1e-4
    )
    assert max(passes) <= 60


@pytest.mark.parametrize("curvature", ["gauss-newton-bartlett", "hutchinson"])
def test_curvature_of_parts_adds_up(curvature: str) -> None:
    """Several losses that add up give the estimate of their sum: gradients add up before they are squared."""
    a, b = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, 1.0, -1.0])
    estimates = []
    for parted in (False, True):
        p = torch.nn.Parameter(torch.tensor([1.0, 2.0, -3.0]))
        optimizer = load("optimizer", "sophia")(curvature=curvature).build([p])
        optimizer.generator = torch.Generator().manual_seed(0)

        def losses(p=p) -> Iterator[Tensor]:
            yield (a * p**3).sum() * 0.25
            yield (b * p**3).sum() * 0.75

        optimizer.update_curvature(losses() if parted else sum(losses()), 7)
        estimates.append(optimizer.state[p]["h"].clone())
    torch.testing.assert_close(estimates[1], estimates[0], rtol=1e-6, atol=0)
    assert float(estimates[0].abs().max()) > 0


def test_checkpointing_changes_nothing_but_memory(
    lm: models.LM, sets: Mapping[str, Sequence[Encoded]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients to the bit, with fewer saved bytes; the model is as it was, also after an error.

    Layers that are run again run whole, so here the last one does without as well.
    """
    monkeypatch.setattr("bench.model.last_layer.last_mlp", lambda model: None)
    steps, parts = steps_of(lm, sets, "npo"), cut(DRAWN, sets, math.inf)

    def saved() -> tuple[int, dict[str, Tensor]]:
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
            gradients = slopes(lm, steps, parts)[1]
        return sum(kept), gradients

    saved()  # from the second pass on both sets share one
    plain, expected = saved()
    with pytest.raises(ZeroDivisionError), checkpointed(lm.model):
        less, found = saved()
        raise ZeroDivisionError
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
    assert less < plain
    assert not any("forward" in vars(layer) for layer in lm.model.model.layers)


def test_no_attention_mask_is_needed_on_the_right(lm: models.LM, sets, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an accelerator is handed, here on a CPU: padding that comes after all that is read is never seen."""
    batch = collate(sets["forget"], lm.pad)
    assert not batch.mask.all()
    expected = label_logps(lm.model, batch).logp
    monkeypatch.setattr(heads, "seen", lambda mask: None)
    torch.testing.assert_close(label_logps(lm.model, batch).logp, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sophia"])
def test_half_precision_unlearns_much_the_same(lm, tmp_path, precision: str, optimizer: str) -> None:
    """Losses of a run to 3% of float32's, which is what 8 bits of mantissa leave; weights stay in their type."""
    twin = models.new_llama(SHAPE, lm.tokenizer, seed=1)
    _, expected = trained(twin, tmp_path, optimizer)
    if precision == "bfloat16":
        lm.model.bfloat16()
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    context = Context(lm, items[:4], items[4:], "t", 0, tmp_path, lambda *_: None)
    parts = load("objective", "npo")(), load("optimizer", optimizer)(lr=1e-3), load("scope", "all")()
    curve, _ = unlearn(context, *parts, Schedule(epochs=3, batch_size=4), trace=0, precision=precision)
    for ours, want in zip(curve.lines, expected, strict=True):
        assert ours["forget"] == pytest.approx(want["forget"], rel=0.03)
        assert ours["retain"] == pytest.approx(want["retain"], rel=0.03)
    assert lm.model.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_the_first_loss_is_that_of_a_model_beside_itself(lm, tmp_path, precision: str) -> None:
    """NPO's at p = p_ref is (2 / beta) log 2: what is remembered of the start was computed in the run's precision."""
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.mul_(10)  # log-probabilities of thousands, of which bfloat16 rounds away whole nats
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    context = Context(lm, items[:4], items[4:], "t", 0, tmp_path, lambda *_: None)
    parts = load("objective", "npo")(), load("optimizer", "adamw")(), load("scope", "all")()
    curve, _ = unlearn(context, *parts, Schedule(epochs=1, batch_size=4), trace=0, precision=precision)
    assert curve.lines[0]["forget"] == pytest.approx(20 * math.log(2), abs=1e-4)


def test_lines_of_a_long_run_are_few(lm: models.LM) -> None:
    """At most a hundred, evenly spaced with both ends: nobody waits for an accelerator in the steps between."""
    weight = torch.nn.Parameter(torch.ones(1))
    looked: list[int] = []

    class Clipping(torch.optim.SGD):
        @property
        def clipped(self) -> float:
            looked.append(1)
            return 0.5

    curve = fit(
        lm, [weight], Clipping([weight], lr=0.0), range(1000), lambda b, d: LossTerms(weight.sum(), {}), warmup=0
    )
    steps = [line["step"] for line in curve.lines]
    assert (len(steps), steps[0], steps[-1], max(np.diff(steps))) == (100, 1, 1000, 11)
    assert len(looked) == 100
