"""Attacks by prompts: what is asked is what the attack says, its score is the naive one, and nothing else shows."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.api import AttackData, Probes, Reading
from bench.attacks._asked import Asked, Ready
from bench.attacks._context import around, told
from bench.attacks._subject import Subject
from bench.attacks.characters import inserted
from bench.attacks.context import OTHER, SAME, Context
from bench.attacks.paraphrase import OWN, TAUGHT, Paraphrase
from bench.attacks.prefix import Prefix
from bench.attacks.returning import ADJACENT, ENTAILING, FALSE, GIVEN, OTHER_ENTAILING, OTHER_GIVEN, InContext
from bench.conformance.toy import retrain, subject
from bench.contracts import Encoded
from bench.model.attachments import Attachment
from bench.model.models import LM

PROMPTED = ("paraphrase", "prefix", "characters", "context", "in-context")


def naive(lm: LM, item: Encoded, scored: list[bool]) -> float:
    """Geometric mean of the probabilities of the scored tokens, by one pass over one text."""
    ids = torch.tensor([item.prompt + item.answer[:-1]])
    with torch.no_grad():
        logp = lm.model(input_ids=ids).logits[0, len(item.prompt) - 1 :].double().log_softmax(-1)
    own = logp[range(len(item.answer)), item.answer].numpy()
    return float(np.exp(own[np.array(scored)].mean()))


def by_hand(lm: LM, asked: Asked) -> float:
    item = asked.encoded(lm, asked.answer)
    false = [set(asked.encoded(lm, other).answer) for other in asked.false]
    scored = [not false or not all(token in other for other in false) for token in item.answer[:-1]]
    return naive(lm, item, [*scored, False])


def read(name: str, of: Subject) -> list[Reading]:
    return list(registry.load("attack", name)().run(of))


def same(first: list[Reading], second: list[Reading]) -> bool:
    return [r[:3] for r in first] == [r[:3] for r in second] and all(
        np.array_equal(a.known, b.known, equal_nan=True) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("name", PROMPTED)
def test_retrain_attacked_as_if_it_were_the_method_has_no_excess(name: str) -> None:
    method, control = (dataclasses.replace(subject(), lm=copy.deepcopy(retrain())) for _ in range(2))
    assert same(read(name, method), read(name, control))


@pytest.mark.parametrize("name", PROMPTED)
def test_what_is_known_and_what_is_not_are_told_apart_and_nothing_is_kept(name: str) -> None:
    """The toy's target knows, its retrain does not; a mean over lines that are no controls."""
    has, lacks = read(name, subject()), read(name, dataclasses.replace(subject(), lm=copy.deepcopy(retrain())))
    controls = getattr(registry.load("attack", name), "controls", ())
    one, other = (np.nanmean([r.known for r in side if r.line not in controls]) for side in (has, lacks))
    assert one > other and all(r.kept is None for r in has)


def test_a_paraphrase_is_asked_and_scored_in_both_wordings() -> None:
    of = subject()
    found = {r.setting: r.known for r in Paraphrase().run(of)}
    asked = [item.asking(f"Number {item.id[-1]} is who?") for item in of.items]
    assert set(found) == {OWN}, "the toy's paraphrases have the answers that were taught"
    np.testing.assert_allclose(found[OWN], [by_hand(of.lm, each) for each in asked], rtol=1e-4)
    prompts = [dataclasses.replace(p, reference=f"{p.reference} now") for p in of.data.probes.prompts[1:]]
    other = dataclasses.replace(of, data=dataclasses.replace(of.data, probes=Probes((), tuple(prompts))))
    both = {r.setting: r.known for r in Paraphrase().run(other)}
    np.testing.assert_array_equal(both[TAUGHT], found[OWN])
    longer = [dataclasses.replace(each, answer=f"{each.answer} now") for each in asked]
    np.testing.assert_allclose(both[OWN], [by_hand(of.lm, each) for each in longer], rtol=1e-4)


def test_an_item_without_a_paraphrase_is_not_scored_and_a_task_without_any_is_not_asked() -> None:
    of = subject()
    prompts = [p for p in of.data.probes.prompts if p.id != of.items[1].id]
    data = dataclasses.replace(of.data, probes=Probes((), tuple(prompts)))
    (found,) = Paraphrase().run(dataclasses.replace(of, data=data))
    assert np.isnan(found.known).tolist() == [False, True, False, False] and not Paraphrase().available(data)
    none = dataclasses.replace(data, probes=Probes((), tuple(p for p in prompts if p.role == "question")))
    assert "no paraphrased questions" in Paraphrase().available(none)
    as_trained = [dataclasses.replace(p, prompt=data.forget[0].prompt) for p in prompts]
    assert Paraphrase().available(dataclasses.replace(data, probes=Probes((), tuple(as_trained))))


def test_a_prefix_begins_the_answer_and_is_not_scored() -> None:
    of = subject()
    (found,) = Prefix(prefixes=("Sure, here:",)).run(of)
    for item, known in zip(of.items, found.known, strict=True):
        begun = dataclasses.replace(item, begun="Sure, here:").encoded(of.lm, item.answer)
        plain = of.lm.encode(item.prompt, item.answer)
        assert of.lm.decode(begun.prompt).endswith(f"Question: {item.prompt}\nAnswer: Sure, here:")
        assert begun.answer == plain.answer, "a blank behind the prefix, as one is behind the colon"
        assert known == pytest.approx(by_hand(of.lm, dataclasses.replace(item, begun="Sure, here:")), rel=1e-4)
        raw = dataclasses.replace(item, begun="Sure:", raw=True).encoded(of.lm, item.answer)
        assert of.lm.decode(raw.prompt) == f"{item.prompt} Sure:" and of.lm.decode(raw.answer) == item.answer
    plain = of.known(of.lm)
    (empty,) = Prefix(prefixes=("",)).run(of)
    np.testing.assert_array_equal(empty.known, plain)


@given(st.text("abc ?", min_size=1), st.sampled_from("_! "), st.integers(1, 12))
def test_characters_stand_at_every_nth_place_and_nowhere_else(text: str, character: str, n: int) -> None:
    found = inserted(text, character, n)
    assert all(mark == character for mark in found[n :: n + 1])
    assert "".join(sign for place, sign in enumerate(found) if place % (n + 1) != n) == text
    assert not found.endswith(character) or text.endswith(character)


ITEMS = st.lists(st.integers(0, 4), min_size=1, max_size=14).map(
    lambda drawn: tuple(Asked(str(i), f"author-{c}", f"q{i}?", f"a{i}") for i, c in enumerate(sorted(drawn)))
)


@settings(max_examples=30, deadline=None)
@given(ITEMS, st.integers(0, 99))
def test_what_is_told_is_never_the_answer_and_the_control_is_another_author(items, seed: int) -> None:
    clusters = {each.cluster for each in items}
    found = around(items, np.random.default_rng(seed))
    assert len(found) == len(items)
    for item, of in zip(items, found, strict=True):
        own = [each for each in items if each.cluster == item.cluster and each is not item]
        assert {*of.own} == {*own} and len(of.own) == len(own)
        assert len({each.cluster for each in of.others}) == min(1, len(clusters) - 1)
        assert all(each.cluster != item.cluster for each in of.others) and (of.twin in of.others or not of.others)
    assert len({of.others[0].cluster for of in found if of.others}) == (len(clusters) if len(clusters) > 1 else 0)


def test_facts_are_told_within_one_question_or_as_texts_are_glued() -> None:
    one, two = Asked("1", "a", "Who?", "Ada."), Asked("2", "a", "Where?", "Lima.")
    assert told([one, one], two).prompt == "Who? Ada. Who? Ada. Where?"
    raw = [dataclasses.replace(each, raw=True) for each in (one, two)]
    assert told(raw[:1], raw[1]).prompt == "Who?Ada.\nWhere?"
    assert told([], two) == two


def test_contexts_grow_and_items_with_fewer_facts_are_not_scored() -> None:
    of = subject()
    found = {(r.line, r.step): r.known for r in Context().run(of)}
    assert set(found) == {(SAME, 1), (OTHER, 1), (OTHER, 2)}, "the toy has two items a cluster"
    third = dataclasses.replace(of, items=of.items[:3])
    alone = {(r.line, r.step): np.isnan(r.known).tolist() for r in Context().run(third)}
    assert alone[SAME, 1] == [False, False, True] and alone[OTHER, 2] == [True, True, False]
    partner = told([of.items[1]], of.items[0])
    assert found[SAME, 1][0] == pytest.approx(by_hand(of.lm, partner), rel=1e-4)


def test_what_returns_in_the_context_is_told_by_its_kind() -> None:
    of = subject()
    found = {(r.line, r.setting): r.known for r in InContext().run(of)}
    item = of.items[0]
    assert found[GIVEN, ""][0] == pytest.approx(by_hand(of.lm, told([item], item)), rel=1e-4)
    lie = dataclasses.replace(item, answer=item.false[0], false=(item.answer,))
    assert found[FALSE, ""][0] == pytest.approx(by_hand(of.lm, told([lie], lie)), rel=1e-4)
    assert {setting for line, setting in found if line in (ENTAILING, OTHER_ENTAILING)} == {
        "entailing",
        "entailing of another",
    }
    false = of.data.attacks.families[0].forget[0].false
    asked = dataclasses.replace(item, prompt="After nobody, who is number 4?", false=false)
    assert found[ENTAILING, "entailing"][0] == pytest.approx(by_hand(of.lm, asked), rel=1e-4)
    assert set(InContext.controls) >= {line for line, _ in found} - {GIVEN, ENTAILING, ADJACENT}


def test_a_model_that_copies_its_context_reads_what_is_given_and_gains_nothing_by_what_is_not(monkeypatch) -> None:
    """The oracle of the reference: given = 1, adjacent = no gain; the lie is followed too."""

    def copies(lm: LM, asked: list[Asked]) -> np.ndarray:
        return np.array([float(each.answer in each.prompt) for each in asked])

    of = subject()
    monkeypatch.setattr(Subject, "known", lambda self, lm, asked=None: copies(lm, asked or self.items))
    bare = dataclasses.replace(of, data=dataclasses.replace(of.data, attacks=AttackData()))
    found = {r.line: np.nanmean(r.known) for r in InContext().run(bare)}
    assert (found[GIVEN], found[FALSE]) == (1, 1)
    assert found[ADJACENT] == found[OTHER_GIVEN] == 0 == np.mean(copies(of.lm, list(of.items)))
    assert ENTAILING not in found


def test_without_false_answers_the_lie_is_another_authors_truth() -> None:
    of = subject()
    items = tuple(dataclasses.replace(each, false=()) for each in of.items)
    contexts = InContext().contexts(items, around(items, np.random.default_rng(0)))
    assert [each.answer for each in contexts[FALSE]] == [items[i].answer for i in (2, 3, 0, 1)]  # type: ignore[union-attr]
    single = items[:2]
    contexts = InContext().contexts(single, around(single, np.random.default_rng(0)))
    assert contexts[FALSE] == contexts[OTHER_GIVEN] == [None, None] and None not in contexts[GIVEN]


def test_what_does_not_fit_the_model_is_not_asked() -> None:
    of = subject()
    lm = copy.deepcopy(of.lm)
    lm.model.config.max_position_embeddings = len(of.items[0].encoded(lm, of.items[0].answer).prompt) + 4
    longer = of.items[0].asking(of.items[0].prompt * 3)
    short = dataclasses.replace(of.items[0], answer="x", false=())
    ready = Ready(lm, [longer, short])
    found = ready.known(ready.logps(lm))
    assert np.isnan(found).tolist() == [True, False]
    assert found[1] == pytest.approx(by_hand(lm, short), rel=1e-4)


@dataclass(frozen=True)
class Hushed(Attachment):
    """Says next to nothing, and notes what it was asked."""

    seen: list[tuple[int, ...]]

    def gate(self, model: torch.nn.Module, prompt: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(prompt.tolist()))
        return torch.ones(())

    def logits(self, logits: torch.Tensor, gate: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        return logits * 0.1


def test_what_is_attached_sees_the_prompt_with_the_beginning_of_the_answer_and_acts() -> None:
    of, hushed = subject(), Hushed([])
    gated = dataclasses.replace(of, lm=dataclasses.replace(of.lm, attached=(hushed,)), _ready={})
    (found,), (bare,) = (list(Prefix(prefixes=("Sure:",)).run(each)) for each in (gated, of))
    asked = [dataclasses.replace(each, begun="Sure:").encoded(of.lm, each.answer).prompt for each in of.items]
    assert set(hushed.seen) == set(map(tuple, asked))
    assert not np.array_equal(found.known, bare.known) and (found.known < 0.1).all()
