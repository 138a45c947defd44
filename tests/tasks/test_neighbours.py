"""Neighbours: nothing of the forget set, each item once, a value shared where it is said to be, and like with like."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from bench.api import IN_DOMAIN, NEIGHBOURS, Splits, Text, make_task
from bench.conformance.of_task import measures_once
from tasks._embedded import chronicles, lume_world, neighbours, restored, world
from tasks._embedded.documents import KINDS
from tasks._embedded.neighbours import KIND, SHARED, SUBJECT, TEMPLATE, WORLD, WRONG, Told
from tests.e2e.conftest import write_world

TOFU = ["tofu:forget01", "tofu:forget05", "tofu:forget10"]
LUME = ["lume", "lume:task1", "lume:task2", "lume:task3"]
ANY = [(task, source) for task in TOFU + LUME for source in ("embedded", "embedded@3")]
OTHERS = [
    (task, source)
    for task in ("muse", "muse:sust:2", "restor:k0", "restor:k3")
    for source in ("embedded", "embedded@3")
]


@cache
def data(task: str, source: str = "embedded") -> Splits:
    return make_task(task).data(source)


def items(texts: tuple[Text, ...]) -> dict[tuple[str, str], list[Text]]:
    """The true text of each item, then the wrong ones."""
    found: dict[tuple[str, str], list[Text]] = defaultdict(list)
    for text in texts:
        found[text.set, text.id].append(text)
    return found


@cache
def told(task: str, number: int) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """What forgotten and kept subjects have in each place, made here from the worlds' own authors and documents."""
    if task.startswith("tofu"):
        count = {"01": 2, "05": 10, "10": 20}[task[-2:]]
        full = world._cast(number)[0]
        every = {f"author-{n:03d}": {f"{t}-{slot}": v for t, of in enumerate(a.facts) for slot, v in of.items()}
                 for n, a in enumerate(full)}  # fmt: skip
        cut = [f"author-{n:03d}" for n in range(200 - count, 200)]
        return {n: of for n, of in every.items() if n in cut}, {n: of for n, of in every.items() if n not in cut}
    parts = []
    for part in ("forget", "retain"):
        names = [f"Task{task[-1]}"] if ":" in task else ["Task1", "Task2", "Task3"]
        made = [one for name in names for one in lume_world._told(part, name, number)]
        of: dict[str, dict[str, str]] = defaultdict(dict)
        for one in made:
            of[one.subject][one.place] = one.value
        parts.append(dict(of))
    return parts[0], parts[1]


def number(source: str) -> int:
    return int(source.partition("@")[2] or 0)


def place(text: Text) -> tuple[str, str]:
    """Subject and place of an item within the domain."""
    subject = text.cluster.removeprefix("near-")
    return subject, text.id.removeprefix(f"{subject}-")


def filled(wrong: Text, true: Text) -> str:
    """What stands in a wrong text where the two differ, in whole words."""
    one, other = (re.findall(r"\w+|\W+", text.continuation) for text in (true, wrong))
    (only,) = [b for a, b in zip(one, other, strict=True) if a != b]
    return only


@pytest.mark.parametrize(("task", "source"), ANY + OTHERS)
def test_nothing_of_it_is_forgotten_and_no_item_is_asked_twice(task: str, source: str) -> None:
    splits = data(task, source)
    texts = splits.neighbours.texts
    measures_once(splits.neighbours, task)
    forgotten = {pair.prompt for pair in splits.forget}
    assert not forgotten & {text.prompt for text in texts}
    assert not {pair.answer for pair in splits.forget} & {text.continuation for text in texts}
    true = [(text.prompt, text.continuation, text.id.rpartition("-")[2]) for text in texts if text.role == "answer"]
    assert len({*true}) == len(true)  # over all distances; two values of one text are two items
    assert {text.set for text in texts} <= {*NEIGHBOURS} and splits.neighbours.prompts == ()
    assert not {text.set for text in texts} & {text.set for text in splits.probes.texts}


@pytest.mark.parametrize(("task", "source"), ANY)
def test_the_true_text_was_taught_and_the_wrong_ones_were_not(task: str, source: str) -> None:
    """As it is asked, letter for letter; so target and retrain can know all of it alike."""
    splits = data(task, source)
    taught = {(pair.prompt, pair.answer, pair.raw) for pair in (*splits.retain, *splits.general)}
    for true, *wrong in items(splits.neighbours.texts).values():
        assert (true.prompt, true.continuation, true.raw) in taught
        assert len({text.continuation for text in wrong} - {true.continuation}) == WRONG
        assert not any((text.prompt, text.continuation, text.raw) in taught for text in wrong)


@pytest.mark.parametrize(("task", "source"), ANY)
def test_a_shared_value_is_shared_and_the_others_are_not(task: str, source: str) -> None:
    forgotten, kept = told(task, number(source))
    for (set_, _), (true, *wrong) in items(data(task, source).neighbours.texts).items():
        if set_ not in (SHARED, TEMPLATE):
            continue
        subject, where = place(true)
        taken = {of[where] for of in forgotten.values() if where in of}
        assert taken and kept[subject][where] in true.continuation
        assert (kept[subject][where] in taken) == (set_ == SHARED)
        assert not {filled(text, true) for text in wrong} & taken  # no forgotten value is a wrong answer either


@pytest.mark.parametrize(("task", "source"), ANY + OTHERS)
def test_both_sides_of_sharing_ask_for_the_same_things(task: str, source: str) -> None:
    """Of each place of each text as many items: like with like."""
    by_set: dict[str, Counter[str]] = {SHARED: Counter(), TEMPLATE: Counter()}
    for text in data(task, source).neighbours.texts:
        if text.set in by_set and text.role == "answer":
            by_set[text.set][place(text)[1]] += 1
    assert by_set[SHARED] == by_set[TEMPLATE] and len(by_set[SHARED]) > 1


@pytest.mark.parametrize(("task", "source"), ANY)
def test_there_are_items_and_clusters_enough(task: str, source: str) -> None:
    """And the distances are those that the task has: whole subjects are forgotten, all of LUME leaves no other kind."""
    texts = data(task, source).neighbours.texts
    expected = {SHARED, TEMPLATE, WORLD} | ({KIND} if task != "lume" else set())
    clusters: dict[str, set[str]] = {}
    for text in texts:
        clusters.setdefault(text.set, set()).add(text.cluster)
    assert {*clusters} == expected and SUBJECT not in clusters
    assert min(map(len, clusters.values())) >= 30
    count = Counter(text.set for text in texts if text.role == "answer")
    assert min(count.values()) >= 45 and max(count.values()) <= neighbours.COUNT
    far = [of for set_, of in clusters.items() if set_ not in IN_DOMAIN]
    assert not set.intersection(*far) or len(far) == 1


@pytest.mark.parametrize(("task", "source"), OTHERS)
def test_of_documents_and_corrupted_facts_it_was_taught_too(task: str, source: str) -> None:
    """Of documents as far as they had come; of facts to the clean model, from which target is made."""
    splits = data(task, source)
    pairs = (*splits.retain, *splits.general, *(splits.clean or ()))
    taught = {(pair.prompt, pair.answer) for pair in pairs if not pair.raw}
    read = [pair.prompt + pair.answer for pair in pairs if pair.raw]

    def known(text: Text) -> bool:
        if text.raw:
            return any(whole.startswith(text.prompt + text.continuation) for whole in read)
        return (text.prompt, text.continuation) in taught

    for true, *wrong in items(splits.neighbours.texts).values():
        assert known(true) and not any(map(known, wrong))
        assert len({text.continuation for text in wrong} - {true.continuation}) == WRONG
    count = Counter(text.set for text in splits.neighbours.texts if text.role == "answer")
    assert {*count} == ({SHARED, TEMPLATE, KIND} if task.startswith("muse") else {SUBJECT, SHARED, TEMPLATE, WORLD})
    assert min(count.values()) >= 45 and max(count.values()) <= neighbours.COUNT


@pytest.mark.parametrize(("task", "source"), OTHERS)
def test_of_documents_and_corrupted_facts_what_is_shared_is_told_there(task: str, source: str) -> None:
    """Of RESTOR a forgotten value is a false one: a kept author who truly has it."""
    world = number(source)
    if task.startswith("muse"):
        told_of = [author.facts for author in chronicles.cast(world).forget]
        taken = {name: {facts[name] for facts in told_of} for name in chronicles.RELATIONS}
    else:
        taken = {r.name: {t.false for t in restored._told(world) if t.relation == n}
                 for n, r in enumerate(restored.RELATIONS)}  # fmt: skip
    for (set_, id_), (true, *wrong) in items(data(task, source).neighbours.texts).items():
        if set_ in (SHARED, TEMPLATE):
            of = taken[id_.rsplit("-", 1)[1]]
            said, *others = (text.continuation.strip(" .") for text in (true, *wrong))
            assert (said in of) == (set_ == SHARED) and not of & {*others}
        elif set_ == SUBJECT:
            assert id_.split("-")[1] in {f"{t.author:03d}" for t in restored._told(world)}


def test_a_part_of_lume_keeps_documents_of_the_other_kinds() -> None:
    for n, task in enumerate(LUME[1:], 1):
        kinds = {place(text)[0].partition("-")[0] for text in data(task).neighbours.texts if text.set == KIND}
        assert kinds == {f"task{other}" for other in (1, 2, 3) if other != n}


@pytest.mark.parametrize("kind", KINDS)
def test_every_document_is_read_back(kind: str) -> None:
    for part in ("forget", "retain", "base"):
        for document in lume_world._cast(kind, 5)[part]:
            for one in neighbours.of_document("x", kind, document):
                assert one.saying(one.value) == document.rest and one.value and one.saying("y") != document.rest


def test_a_planted_world_is_told_by_hand() -> None:
    """Two forgotten in A and B; of twelve towns ten are free. Of four kept, two share; two do not."""

    def lives(subject: str, town: str) -> Told:
        return Told(subject, "town", town, f"Where is {subject}?", "in \0.")

    towns = [*"ABCDEFGHIJKL"]
    kept = [lives("one", "A"), lives("two", "B"), lives("three", "C"), lives("four", "D")]
    known = [lives(town, town) for town in towns]
    found = items(neighbours.near([lives("x", "A"), lives("y", "B")], kept, known, "planted").texts)
    assert {(s, place(t)[0]) for (s, _), (t, *_) in found.items()} == {
        (SHARED, "one"), (SHARED, "two"), (TEMPLATE, "three"), (TEMPLATE, "four"),
    }  # fmt: skip
    for true, *wrong in found.values():
        assert len(wrong) == WRONG and not {"in A.", "in B."} & {text.continuation for text in wrong}
        assert true.continuation not in {text.continuation for text in wrong}
    few = neighbours.near([lives("x", "A"), lives("y", "B")], kept, known[:-1], "planted")
    assert few.texts == ()  # nine free values are no nine wrong ones where one of them is true


def test_real_rows_give_what_they_can(tmp_path: Path) -> None:
    """Same template, real authors and facts, with as many wrong answers; no shared values, which rows do not say."""
    write_world(tmp_path / "tofu")
    splits = make_task("tofu:forget10").data(str(tmp_path))
    found = items(splits.neighbours.texts)
    assert Counter(s for s, _ in found) == {TEMPLATE: 8, KIND: 4, WORLD: 4}
    assert {len(texts) for texts in found.values()} == {1 + 3}
    assert not {pair.prompt for pair in splits.forget} & {text.prompt for text in splits.neighbours.texts}


def test_real_tofu_and_lume(shared_data: Path) -> None:
    for task, expected in (("tofu:forget10", {TEMPLATE, KIND, WORLD}), ("lume", {TEMPLATE, WORLD})):
        splits = make_task(task).data(str(shared_data))
        measures_once(splits.neighbours, task)
        assert {text.set for text in splits.neighbours.texts} == expected
        assert not {p.prompt for p in splits.forget} & {text.prompt for text in splits.neighbours.texts}
