"""Are families asked as they say, scored as a plain loop would, and chains fed with what the model says itself?"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.api import Asking, AttackData, Family, Probes, Splits, Text
from bench.attacks._asked import forget_items, kept_items
from bench.attacks._families import by_item, share
from bench.attacks._subject import Subject
from bench.attacks.detours import Detours
from bench.attacks.steps import OWN, TRUE, StepByStep, filled
from bench.keys import stream
from tests.measure.conftest import naive_greedy, naive_scores, tiny

NAMES = ("ann", "bob", "cat")


def asking(name: str, *turns: str, truths: tuple[str, ...] = (), options: bool = False, answer: str = "in oslo"):
    return Asking(name, name, turns, answer, truths, ("in rome", "in bern"), options)


FAMILIES = (
    Family("said so", "direct", tuple(asking(n, f"where is {n}?") for n in NAMES), (asking("kim", "where is kim?"),)),
    Family("who so", "indirect", (asking("bob", "where is the man?"),)),
    Family("of three", "implied", tuple(asking(n, f"is {n} here", options=True) for n in NAMES)),
    Family(
        "both ways", "implied",
        tuple(asking("ann", f"{way} ann?", options=True, answer=answer) for way, answer in (("a", "yes"), ("b", "no"))),
    ),
    Family(
        "two steps", "chain",
        tuple(asking(n, f"who is {n}?", f"who is {n}? {{0}} where is {n}?", truths=("a man",)) for n in NAMES[:2]),
        (asking("kim", "who is kim?", "is {0} kim? {0}", "where is {0} or {1}?", truths=("a", "b")),),
    ),
    Family("of another", "direct", (asking("ann", "where?"),), control=True),
)  # fmt: skip


def data(families: tuple[Family, ...] = FAMILIES) -> Splits:
    texts = [Text("forget", name, name, "answer", f"where is {name}", "in oslo") for name in NAMES]
    kept = [Text("retain", name, name, "answer", f"where is {name}", "in rome") for name in ("kim", "lee")]
    return Splits((), (), (), (), Probes((*texts, *kept), ()), ("x",), attacks=AttackData({}, families))


def subject() -> Subject:
    splits, random = data(), np.random.default_rng(0)
    lm = tiny("llama")
    items, kept = forget_items(splits, random), kept_items(splits, random)
    return Subject(
        lm, items, kept, splits, lambda: lm, lambda: lm, lambda name: stream("test", name), lambda *_: None, 1e-3
    )


@cache
def readings(attack: type):
    return {(r.line, r.setting): r for r in attack().run(subject())}


def test_options_are_held_against_each_other_by_the_probability_of_the_whole_answer() -> None:
    lm, known = tiny("llama"), readings(Detours)["implied", "of three"].known
    for name, value in zip(NAMES, known, strict=True):
        said = [naive_scores(lm, f"is {name} here", o)[0].sum() for o in ("in oslo", "in rome", "in bern")]
        assert value == pytest.approx(np.exp(said[0]) / np.exp(said).sum(), rel=1e-4)


def test_an_item_that_is_asked_twice_counts_by_the_product() -> None:
    lm, known = tiny("llama"), readings(Detours)["implied", "both ways"].known
    shares = []
    for prompt, answer in (("a ann?", "yes"), ("b ann?", "no")):
        said = [naive_scores(lm, prompt, o)[0].sum() for o in (answer, "in rome", "in bern")]
        shares.append(np.exp(said[0]) / np.exp(said).sum())
    assert known[0] == pytest.approx(shares[0] * shares[1], rel=1e-4)
    assert np.isnan(known[1:]).all()


def test_what_a_family_does_not_ask_is_no_number_and_controls_are_left_to_others() -> None:
    found = readings(Detours)
    assert [*found] == [
        ("direct", "said so"), ("indirect", "who so"), ("implied", "of three"), ("implied", "both ways"),
    ]  # fmt: skip
    assert np.isfinite(found["direct", "said so"].known).all()
    assert np.isfinite(found["indirect", "who so"].known).tolist() == [False, True, False]
    assert found["indirect", "who so"].kept is None
    assert np.isfinite(found["direct", "said so"].kept).tolist() == [True, False]


def test_only_the_value_counts_where_there_are_no_options() -> None:
    """Of "in oslo" the characters that "in rome" and "in bern" do not both have."""
    logp, *_ = naive_scores(tiny("llama"), "where is ann?", "in oslo")
    value = [i for i, letter in enumerate("in oslo") if not ({letter} <= set("in rome") and {letter} <= set("in bern"))]
    found = readings(Detours)["direct", "said so"].known[0]
    offset = len(logp) - 1 - len("in oslo")  # a blank before it, if the template has one
    assert found == pytest.approx(np.exp(logp[[i + offset for i in value]].mean()), rel=1e-4)


def test_chains_are_fed_with_the_models_own_greedy_answers() -> None:
    lm, length = tiny("llama"), StepByStep().max_new_tokens

    def says(prompt: str) -> str:
        return lm.decode(naive_greedy(lm, prompt, length)[0]).strip()

    of = subject()
    first = [says(f"who is {name}?") for name in NAMES[:2]]
    prompts = [f"who is {name}? {said} where is {name}?" for name, said in zip(NAMES[:2], first, strict=True)]
    own = readings(StepByStep)[OWN, "two steps"]
    assert np.isnan(own.known[2])
    np.testing.assert_allclose(own.known[:2], known(of, prompts), rtol=1e-4)
    one = says("who is kim?")
    two = says(f"is {one} kim? {one}")
    assert own.kept[0] == pytest.approx(known(of, [f"where is {one} or {two}?"])[0], rel=1e-4)
    true = readings(StepByStep)[TRUE, "two steps"]
    np.testing.assert_allclose(true.known[:2], known(of, [f"who is {n}? a man where is {n}?" for n in NAMES[:2]]))
    assert true.kept[0] == pytest.approx(known(of, ["where is a or b?"])[0])


def known(of: Subject, prompts: list[str]) -> np.ndarray:
    from bench.attacks._asked import Asked

    return of.known(of.lm, [Asked("x", "x", prompt, "in oslo", ("in rome", "in bern")) for prompt in prompts])


@pytest.mark.parametrize("attack", [Detours, StepByStep])
def test_the_same_again_and_nothing_is_changed(attack: type) -> None:
    lm = tiny("llama")
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    again = {(r.line, r.setting): r for r in attack().run(subject())}
    assert all(torch.equal(value, before[name]) for name, value in lm.model.state_dict().items())
    assert again.keys() == readings(attack).keys()
    assert all(np.array_equal(again[k].known, readings(attack)[k].known, equal_nan=True) for k in again)
    assert all(0 <= v <= 1 for r in again.values() for v in r.known if np.isfinite(v))


def test_why_a_task_cannot_be_asked_is_said() -> None:
    assert not Detours.available(data()) and not StepByStep.available(data())
    assert "chain" in StepByStep.available(data(FAMILIES[:1])) and not Detours.available(data(FAMILIES[:1]))
    assert "direct" in Detours.available(data(FAMILIES[-1:])), "a control is none"


def test_braces_of_a_question_without_steps_stay() -> None:
    assert filled("is {x} a set?", ()) == "is {x} a set?" and filled("{0} and {1}", ("a{", "b")) == "a{ and b"


@given(st.lists(st.floats(-700, 0), min_size=1, max_size=5), st.integers(0, 4))
def test_shares_add_up_to_one_and_alike_options_to_chance(logps: list[float], first: int) -> None:
    turned = [np.array(logps[i:] + logps[:i]) for i in range(len(logps))]
    assert sum(map(share, turned)) == pytest.approx(1)
    assert share(np.full(first + 1, logps[0])) == pytest.approx(1 / (first + 1))


def test_products_are_of_the_item() -> None:
    found = by_item([asking("a", "x"), asking("b", "x"), asking("a", "y")], np.array([0.5, 0.25, 0.5]), data_items())
    assert found.tolist()[:2] == [0.25, 0.25] and np.isnan(found[2])


def data_items():
    from bench.attacks._asked import Asked

    return [Asked(name, name, "", "") for name in "abc"]
