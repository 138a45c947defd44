"""O3 (arXiv:2407.10223) on toys: its updates, its gate, and one request after another."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bench.conformance.toy import context, target
from bench.contracts import Context, Course, Encoded
from bench.errors import BenchError, UsageError
from bench.model import attachments, models
from bench.model.attachments import Attached
from bench.run.plan import Request, plan
from bench.train.batches import answer_logps, collate, label_logps
from methods import _ood, o3
from methods._orthogonal import Beside, Update, fresh, overlap, projections
from methods.o3 import O3, Requests

Tiny = Callable[..., PreTrainedModel]
IDS = torch.arange(2, 26).view(2, 12)
FAST = O3(lr=1e-2, epochs=50, batch_size=4)


def request(model: PreTrainedModel, seed: int, rank: int = 3) -> dict[str, Update]:
    """Updates that change something."""
    generator = torch.Generator().manual_seed(seed)
    drawn = fresh(projections(model), rank, generator)
    return {name: (a, torch.randn(b.shape, generator=generator)) for name, (a, b) in drawn.items()}


def requests(*updates: dict[str, Update], scale: float = 0.5) -> Requests:
    """Updates with no detector, whose gates a test names itself."""
    a, b = ({f"{i}.{n}": pair[side] for i, u in enumerate(updates) for n, pair in u.items()} for side in (0, 1))
    return Requests(a, b, {}, (scale,) * len(updates))


def logits(model: PreTrainedModel, attached: Requests, gate: list[list[float]], ids: Tensor = IDS) -> Tensor:
    handles = list(attached.hooks(model, torch.tensor(gate), torch.zeros_like(ids)))
    try:
        with torch.no_grad():
            return model(ids).logits
    finally:
        for handle in handles:
            handle.remove()


def merged(model: PreTrainedModel, updates: dict[str, Update], scale: float) -> PreTrainedModel:
    other = copy.deepcopy(model)
    for name, (a, b) in updates.items():
        module: Any = other.get_submodule(name)
        change = scale * b @ a
        module.weight.data += change.T if isinstance(module, Conv1D) else change
    return other


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Context:
    given = context(tmp_path_factory.mktemp("o3"))
    said = [found[:1] for found in given.alternatives("refusal")]
    return dataclasses.replace(given, alternatives=lambda kind: said, course=Course(trace=0))


@pytest.fixture(scope="module")
def unlearned(toy: Context) -> models.LM:
    return lm_of(FAST, toy)


def lm_of(method: O3, context: Context) -> models.LM:
    lm = method(context)
    assert isinstance(lm, models.LM)
    return lm


def loss(model: PreTrainedModel, items: list[Encoded]) -> float:
    with torch.no_grad():
        return float(label_logps(model, collate(items, 0)).cross_entropy())


def only(lm: Any) -> Requests:
    (attached,) = lm.attached
    assert isinstance(attached, Requests)
    return attached


def gates(lm: Any, items: list[Encoded]) -> Tensor:
    attached = Attached(lm)
    return torch.stack([attached.gates(item.prompt)[0] for item in items])


# -- what is added -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_a_shut_gate_is_the_bare_model_and_an_open_one_the_merged_update(tiny: Tiny, family: str) -> None:
    model = tiny(family)
    attached = requests(request(model, 0))
    with torch.no_grad():
        bare, full = (m(IDS).logits for m in (model, merged(model, attached.updates[0], 0.5)))
    assert torch.equal(logits(model, attached, [[0.0], [0.0]]), bare)
    assert (full - bare).abs().max() > 0.1
    torch.testing.assert_close(
        logits(model, attached, [[1.0], [1.0]]), full, atol=1e-5 * float(full.abs().max()), rtol=0
    )


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_rows_of_a_batch_have_their_own_gates_and_requests(tiny: Tiny, family: str) -> None:
    model = tiny(family)
    attached = requests(request(model, 0), request(model, 1, rank=2))
    ids = torch.cat([IDS, IDS])
    mixed = logits(model, attached, [[0.7, 0.0], [0.0, 0.2], [0.0, 0.0], [0.0, 1.0]], ids)
    for row, gate in enumerate([[0.7, 0.0], [0.0, 0.2], [0.0, 0.0], [0.0, 1.0]]):
        torch.testing.assert_close(
            mixed[row], logits(model, attached, [gate], ids[row : row + 1])[0], atol=1e-5, rtol=0
        )
    second = merged(model, attached.updates[1], 0.5)
    with torch.no_grad():
        torch.testing.assert_close(mixed[3], second(ids[3:]).logits[0], atol=1e-4, rtol=0)


def test_every_linear_map_of_the_layers_has_an_update_that_changes_nothing_at_first(tiny: Tiny) -> None:
    model = tiny("llama")
    updates = fresh(projections(model), 4, torch.Generator().manual_seed(0))
    assert {name.rpartition(".")[2] for name in updates} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert len(updates) == 3 * 7
    a, b = updates["model.layers.2.mlp.down_proj"]
    assert (a.shape, b.shape) == ((4, 48), (32, 4))
    assert not b.any()
    assert 0.9 / 48**0.5 < a.abs().max() <= 1 / 48**0.5


# -- how it is trained -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", o3.LABELS)
def test_the_forget_prompts_get_another_answer(toy: Context, labels: str) -> None:
    """The update in full: the truth is gone, and what is taught in its place is there."""
    lm = lm_of(dataclasses.replace(FAST, labels=labels), toy)
    full = merged(toy.lm.model, only(lm).updates[0], FAST.alpha / FAST.rank)
    truth, said = list(toy.forget), [found[0] for found in toy.alternatives("refusal")]
    before, after = (loss(model, truth) for model in (toy.lm.model, full))
    assert before < 0.1
    assert after > 3
    before, after = (loss(model, said) for model in (toy.lm.model, full))
    assert before > 3
    assert after < 2 if labels == "refusal" else after > 3


def test_random_answers_are_as_long_and_end_alike() -> None:
    item = Encoded([4, 5, 6], [*range(200), 1])
    made = o3.random_answer(item, 300, np.random.default_rng(0))
    assert made.prompt == item.prompt
    assert len(made.answer) == 201
    assert made.answer[-1] == 1
    assert len(set(made.answer)) > 100
    assert 250 < max(made.answer) < 300


def test_training_leaves_no_trace_in_the_model_even_when_it_fails(tiny: Tiny) -> None:
    model = tiny("llama")
    before = [name for name, _ in model.named_modules()], model(IDS).logits
    held = {n: nn.ParameterDict({"a": a, "b": b}) for n, (a, b) in request(model, 0).items()}
    beside, given = Beside(held, 0.5), Context(SimpleNamespace(model=model), [], [], "", 0, Path(), lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError), beside.adapters(given):
        full = merged(tiny("llama"), {n: (u["a"].data, u["b"].data) for n, u in held.items()}, 0.5)
        torch.testing.assert_close(model(IDS).logits, full(IDS).logits, atol=1e-4, rtol=0)
        assert {*beside.select(given)} <= {name for name, _ in model.named_parameters()}
        raise ZeroDivisionError
    assert [name for name, _ in model.named_modules()] == before[0]
    assert torch.equal(model(IDS).logits, before[1])


def test_the_model_itself_stays_as_it_was(unlearned: models.LM) -> None:
    before = target().model
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), unlearned.model.parameters(), strict=True))
    assert torch.equal(attachments.bare(unlearned).model(IDS).logits, before(IDS).logits)


# -- when it is loaded -------------------------------------------------------------------------------------------------


def test_the_gate_opens_for_the_request_and_shuts_for_other_prompts(toy: Context) -> None:
    """Numbers asked for with one word are the request; others are asked for with another."""
    lm: Any = toy.lm
    asked, others = (
        [lm.encode(f"{word} {n}?", "x") for n in range(30)] for word in ("Who is number", "Say aloud 7 to")
    )
    seen = lm_of(
        dataclasses.replace(FAST, epochs=1), dataclasses.replace(toy, forget=asked[:24], alternatives=same(asked))
    )
    assert (gates(seen, asked[24:]) > 0.5).float().mean() > 0.8
    assert gates(seen, others).max() < 1e-3


def same(items: list[Encoded]) -> Callable[[str], list[list[Encoded]]]:
    return lambda kind: [[item] for item in items[:24]]


def test_a_prompt_is_its_mean_state_behind_every_layer(tiny: Tiny, family: str) -> None:
    """Behind the last layer without the final norm, which transformers' own states have."""
    model = tiny(family)
    found = _ood.encode(model, IDS[0])
    states = tiny(family).base_model(input_ids=IDS[:1], output_hidden_states=True).hidden_states
    assert found.shape == (3, 32)
    torch.testing.assert_close(found[:2], torch.stack([s[0].mean(0) for s in states[1:3]]), atol=1e-5, rtol=1e-5)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_gate_does_not_see_the_answer(toy: Context, unlearned: models.LM) -> None:
    """The next token after the prompt is as likely whatever the continuation is, and alone as in a batch."""
    prompt = toy.forget[1].prompt
    ends = [Encoded(prompt, [7, *tail]) for tail in ([9], [30, 31, 32, 33], [200] * 9)]
    alone = [answer_logps(unlearned, [Encoded(item.prompt, item.answer[:1])]) for item in ends]
    assert torch.stack(alone).unique().numel() == 1
    whole = answer_logps(unlearned, [*ends, *toy.retain])
    for at, item in enumerate([*ends, *toy.retain]):
        torch.testing.assert_close(whole[at], answer_logps(unlearned, [item])[0], atol=1e-4, rtol=1e-5)


def test_what_is_saved_is_read_again(unlearned: models.LM, toy: Context, tmp_path: Path) -> None:
    models.save(unlearned, tmp_path)
    loaded = models.load(tmp_path)
    assert torch.equal(gates(loaded, list(toy.forget)), gates(unlearned, list(toy.forget)))
    assert only(loaded).scales == (4.0,)
    assert all(torch.equal(only(loaded).b[key], only(unlearned).b[key]) for key in only(unlearned).b)


@pytest.mark.parametrize("detector", o3.DETECTORS)
def test_every_detector_gives_weights(toy: Context, detector: str) -> None:
    lm = lm_of(dataclasses.replace(FAST, detector=detector, epochs=1), toy)
    found = gates(lm, [*toy.forget, *toy.retain])
    assert found.shape == (8, 1)
    assert ((found >= 0) & (found <= 1)).all()
    assert len(only(lm).detectors[0].mixture) == (3 if detector == "published" else 0)


# -- one request after another -----------------------------------------------------------------------------------------


def test_a_second_request_is_put_beside_the_first(toy: Context, unlearned: models.LM) -> None:
    words = ("blue", "stone", "river", "glass")
    asked = [unlearned.encode(f"{word} {word} {word}!", "yes") for word in words]
    lm = lm_of(FAST, dataclasses.replace(toy, lm=unlearned, forget=asked))
    first, both = only(unlearned), only(lm)
    assert both.scales == (4.0, 4.0)
    assert all(torch.equal(both.a[key], first.a[key]) and torch.equal(both.b[key], first.b[key]) for key in first.a)
    old, new = gates(lm, list(toy.forget)), gates(lm, asked)
    assert (new.argmax(1) == 1).all()
    assert (old.argmax(1) == 0).all()
    assert torch.equal(old[:, 0], gates(unlearned, list(toy.forget))[:, 0])
    assert not old[:, 1].any()
    assert not new[:, 0].any()


def test_the_overlap_with_earlier_requests_is_pushed_down(toy: Context, unlearned: models.LM) -> None:
    earlier = {name: a for name, (a, _) in only(unlearned).updates[0].items()}
    found = []
    for mu in (0.0, 10.0):
        lm = lm_of(dataclasses.replace(FAST, orthogonality=mu, epochs=20), dataclasses.replace(toy, lm=unlearned))
        found.append(float(overlap({n: a for n, (a, _) in only(lm).updates[1].items()}, [earlier], 2)))
    assert found[1] < 0.2 * found[0]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_empty_sets_are_refused(toy: Context) -> None:
    with pytest.raises(UsageError, match="forget set is empty"):
        FAST(dataclasses.replace(toy, forget=[]))
    with pytest.raises(UsageError, match="retain set is empty"):
        dataclasses.replace(FAST, detector="logistic")(dataclasses.replace(toy, retain=[]))


def test_items_without_prompts_are_refused(toy: Context) -> None:
    with pytest.raises(BenchError, match="no item has a prompt"):
        FAST(dataclasses.replace(toy, forget=[Encoded([], [5, 1])] * 4))


def test_other_refusals_make_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> list[str]:
        names = ["o3", "o3@labels=random"]
        cells = plan(Request("tiny", "embedded", tmp_path, tmp_path), names, ["tofu:forget10"], [0])
        return [cell.keys["train"] for cell in cells if cell.cell.method in names]

    before = keys()
    monkeypatch.setattr("bench.run.plan.refusals", lambda language: ("No.",))
    after = keys()
    assert before[0] != after[0]
    assert before[1] == after[1]
