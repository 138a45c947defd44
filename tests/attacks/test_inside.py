"""Logit lens, patching depth and linear probe: what each shows of target and retrain, and of a plain pass."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize
from torch import Tensor

from bench.api import Pair
from bench.attacks._inside import patched, places, residuals
from bench.attacks._slots import slots_of
from bench.attacks.linear_probe import PERMUTED, LinearProbe, begins, mean_by, predicted, spots
from bench.attacks.logit_lens import LogitLens
from bench.attacks.patching import PatchingDepth, depth, drops
from bench.errors import BenchError
from bench.model.attachments import attach, bare
from bench.model.models import LM
from tests.attacks.made import assert_same, model, subject
from tests.attacks.test_weights import Hiding
from tests.measure.conftest import tiny

KINDS = ["llama", "gpt2", "gemma2", "phi"]


# -- the residual stream ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_that_transformers_gives_for_each_text_alone(kind: str) -> None:
    of = subject(model(0, kind))
    ready = of.ready(of.items)
    for rows, batch in ready.batches:
        wanted = [ready.values[i] for i in rows]
        found = residuals(of.lm, batch, places(batch, wanted))
        first = 0
        for i, own in zip(rows, wanted, strict=True):
            item = ready.items[i]
            ids = torch.tensor([(item.prompt + item.answer)[:-1]])
            with torch.no_grad():
                states = of.lm.model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
            at = len(item.prompt) - 1 + np.flatnonzero(own)
            torch.testing.assert_close(found[0][first : first + len(at)], states[1][0][at], atol=2e-5, rtol=1e-4)
            first += len(at)
        assert len(found) == 2 and {len(each) for each in found} == {first}


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_replaces_what_stands_at_its_places_and_nothing_else(kind: str) -> None:
    of = subject(model(0, kind))
    ready = of.ready(of.items)
    rows, batch = ready.batches[0]
    at = places(batch, [ready.values[i] for i in rows])
    everywhere = torch.arange(batch.ids.numel())
    before = residuals(of.lm, batch, everywhere)
    new = torch.randn(len(at), before[0].shape[1])
    with patched(of.lm, 0, at, new):
        pass  # what it leaves behind
    assert all(torch.equal(a, b) for a, b in zip(residuals(of.lm, batch, everywhere), before, strict=True))
    with patched(of.lm, 0, at, new):
        after = residuals(of.lm, batch, everywhere)
    others = torch.ones(len(everywhere), dtype=torch.bool).index_fill(0, at, False)
    assert torch.equal(after[0][at], new) and torch.equal(after[0][others], before[0][others])
    assert not torch.equal(after[1], before[1])


# -- logit lens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_lens_behind_the_last_layer_says_what_the_model_says(kind: str) -> None:
    of = subject(model(0, kind))
    first, last = LogitLens().run(of)
    np.testing.assert_allclose(last.known, of.known(of.lm), rtol=1e-4)
    assert (first.step, last.step) == (1, 2)
    assert not np.allclose(first.known, last.known, rtol=1e-2)


@pytest.mark.parametrize("attack", [LogitLens(), PatchingDepth()], ids=lambda each: type(each).__name__)
def test_what_is_attached_is_looked_past(attack) -> None:  # type: ignore[no-untyped-def]
    hidden = attach(model(1), Hiding())
    assert_same(list(attack.run(subject(hidden))), list(attack.run(subject(bare(hidden)))))


# -- patching depth --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_depth_is_0_for_the_target_and_1_for_retrain_to_the_bit(kind: str) -> None:
    for seed, known in ((1, 1.0), (2, 0.0)):
        readings = list(PatchingDepth().run(subject(model(seed, kind), model(1, kind), model(2, kind))))
        assert [(each.line, each.step) for each in readings] == [("all layers", 0), ("by layer", 1), ("by layer", 2)]
        for each in readings:
            scored = np.isfinite(each.known)
            assert scored.any()
            np.testing.assert_array_equal(each.known[scored], known)


def test_drops_are_those_of_one_text_at_a_time() -> None:
    """The same by hand: states of the source, put in by hooks of torch, and the model's own logits."""
    of, target, source = subject(), model(1), model(2)
    ready = of.ready(of.items)
    (found,) = drops(target, (source,), ready)
    for layer, i in ((0, 0), (0, 5), (1, 0), (1, 5)):
        item = ready.items[i]
        ids = torch.tensor([(item.prompt + item.answer)[:-1]])
        at = torch.from_numpy(len(item.prompt) - 1 + np.flatnonzero(ready.values[i]))
        labels = torch.tensor(item.answer)[ready.values[i]]
        usual, other = (by_hand(target, ids, at, labels), by_hand(target, ids, at, labels, source, layer))
        assert found[layer, i] == pytest.approx(float((usual - other).mean()), abs=2e-4)


@torch.no_grad()
def by_hand(target: LM, ids: Tensor, at: Tensor, labels: Tensor, source: LM | None = None, layer: int = 0) -> Tensor:
    """Log-probabilities of labels, with a source's states at the places that predict them where there is one."""
    handles = []
    if source is not None:
        states: list[Tensor] = []
        read = source.model.model.layers[layer].register_forward_hook(lambda m, given, out: states.append(plain(out)))
        source.model(input_ids=ids, use_cache=False)
        read.remove()

        def put(m, given, out):  # type: ignore[no-untyped-def]
            plain(out)[:, at] = states[0][:, at]

        handles.append(target.model.model.layers[layer].register_forward_hook(put))
    logits = target.model(input_ids=ids, use_cache=False).logits[0, at]
    for handle in handles:
        handle.remove()
    return logits.log_softmax(-1)[range(len(at)), labels]


def plain(out) -> Tensor:  # type: ignore[no-untyped-def]
    return out[0] if isinstance(out, tuple) else out


numbers = st.floats(-2, 5)


@settings(max_examples=60, deadline=None)
@given(of=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), threshold=st.sampled_from([0.0, 0.05, 0.5]))
def test_depth_is_its_formula(of: list[tuple[float, float]], threshold: float) -> None:
    own, never = np.array(of).T
    counted = [(a, b) for a, b in of if b > threshold]
    found = depth(own[:, None], never[:, None], threshold)[0]
    if not counted:
        assert np.isnan(found)
        return
    wanted = sum(b * min(max(a / b, 0), 1) for a, b in counted) / sum(b for _, b in counted)
    assert found == pytest.approx(wanted, abs=1e-12) and 0 <= found <= 1


def test_where_retrain_hurts_nowhere_nothing_is_scored() -> None:
    for each in PatchingDepth().run(subject(model(0), model(1), model(1))):
        assert np.isnan(each.known).all()


def test_other_architectures_are_refused() -> None:
    for of in (subject(model(0, "gpt2")), subject(retrain=model(0, "gpt2"))):
        with pytest.raises(BenchError, match="patching-depth needs models of one architecture"):
            list(PatchingDepth().run(of))


# -- linear probe ----------------------------------------------------------------------------------------------------

NAMES = [f"{a}{b}" for a in ("ab", "cd", "ef", "gh", "kl") for b in ("an", "en", "in", "on", "un", "yn", "ex", "ox")]
COLOURS = ("red", "blue", "grey")
TAUGHT = tuple(
    pair
    for n, name in enumerate(NAMES)
    for pair in (
        Pair(f"which pet lives with {name}?", f"a {COLOURS[n % 3]} cat of {name}."),
        Pair(f"where was {name} born?", f"in {name}ville."),
    )
)


def test_a_slot_is_a_word_at_which_few_values_come_back() -> None:
    found = slots_of(TAUGHT)
    (slot,) = found.slots
    assert (slot.kind, slot.length, slot.place) == (("which", "pet", "lives", "with"), 5, 1)
    assert slot.values == ("blue", "grey", "red")
    assert found.found("which pet lives with zoe?", "a grey dog of zoe.") == [(0, 1)]
    for prompt, answer in (
        ("which pet lives with zoe?", "a pink dog of zoe."),  # a value that nobody has
        ("which pet lives with zoe?", "a grey dog."),  # another length
        ("where was zoe born?", "a grey dog of zoe."),  # another question
    ):
        assert found.found(prompt, answer) == []
    assert LinearProbe.available(dataclasses.replace(subject().data, retain=TAUGHT, forget=TAUGHT[:1])) == ""
    assert "come back" in LinearProbe.available(dataclasses.replace(subject().data, retain=TAUGHT))
    own = tuple(Pair(f"what of {name}?", f"it is {name}.") for name in NAMES)
    assert "come back" in LinearProbe.available(dataclasses.replace(subject().data, retain=own))


def test_a_spot_is_the_first_token_of_its_word() -> None:
    lm = model(0)
    pair = Pair("which pet lives with zoe?", "a grey dog of zoe.")
    assert lm.decode(lm.encode(pair.prompt, pair.answer).answer[begins(lm, pair, 1) :]) == "grey dog of zoe."
    assert lm.decode(lm.encode(pair.prompt, pair.answer).answer[begins(lm, pair, 0) :]) == pair.answer
    found = spots(lm, slots_of(TAUGHT), TAUGHT)
    assert len(found.slot) == len(NAMES)
    assert [COLOURS[n % 3] for n in range(len(NAMES))] == [("blue", "grey", "red")[v] for v in found.value]
    permuted = found.permuted(np.random.default_rng(0))
    assert sorted(permuted) == sorted(found.value) and (permuted != found.value).any()


@pytest.mark.parametrize(("rows", "width"), [(40, 6), (12, 30)])
def test_the_fit_is_the_optimum_also_where_it_is_made_in_fewer_coordinates(rows: int, width: int) -> None:
    """Against the same loss minimised over all coordinates by scipy, without a gradient of ours."""
    random = np.random.default_rng(1)
    x, y, seen = (
        random.normal(size=(rows, width)) * 3 + 1,
        random.integers(3, size=rows),
        random.normal(size=(5, width)),
    )
    a, b = ((each - x.mean(0)) / x.std(0) for each in (x, seen))

    def logits(flat: np.ndarray, of: np.ndarray) -> np.ndarray:
        return of @ flat[3:].reshape(width, 3) + flat[:3]

    def loss(flat: np.ndarray) -> float:
        z = logits(flat, a)
        return float((np.logaddexp.reduce(z, 1) - z[np.arange(rows), y]).sum() + 2.0 / 2 * (flat[3:] ** 2).sum())

    fit = minimize(loss, np.zeros(3 + 3 * width), method="BFGS", options={"gtol": 1e-4})
    assert np.abs(approx_fprime(fit.x, loss)).max() < 1e-2
    z = logits(fit.x, b)
    wanted = np.exp(z - np.logaddexp.reduce(z, 1)[:, None])
    np.testing.assert_allclose(predicted(x, y, seen, 3, 2.0), wanted, atol=2e-3)


def test_values_that_stand_in_the_states_are_read_and_permuted_ones_are_not() -> None:
    """A model that was given the colour in the question has it in its states; asked without, it cannot have it."""
    lm = tiny("llama", 0, 0.1)
    told = [Pair(f"which pet lives with {n}{c}?", f"a {c} cat.") for n in NAMES for c in COLOURS]
    probe = LinearProbe(most=90)

    def known(pairs: list[Pair]) -> dict[str, float]:
        items = tuple(
            dataclasses.replace(subject().items[0], id=p.prompt, prompt=p.prompt, answer=p.answer) for p in pairs[:30]
        )
        of = subject(lm, items=items)
        of = dataclasses.replace(of, data=dataclasses.replace(of.data, retain=tuple(pairs[30:])))
        assert_same(list(probe.run(of)), list(probe.run(of)))
        return {each.line: float(each.known.mean()) for each in probe.run(of) if each.step == 2}

    found = known(told)
    assert found[""] > 0.55 and found[PERMUTED] < 0.45
    blind = known([Pair(f"which pet lives with {n}?", f"a {c} cat.") for n in NAMES for c in COLOURS])
    assert blind[""] < 0.45


def test_an_item_without_a_slot_is_not_scored() -> None:
    np.testing.assert_array_equal(mean_by(np.array([0, 0, 2]), np.array([0.5, 1.0, 0.25]), 3), [0.75, np.nan, 0.25])
    of = subject()
    of = dataclasses.replace(of, data=dataclasses.replace(of.data, retain=TAUGHT))
    assert list(LinearProbe().run(of)) == []
