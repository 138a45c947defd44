"""What attacks are handed: is it about the right items, unseen where it says so, and true or false where it says so?"""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from bench.api import Asking, Splits, hops, make_task, validation_of, world
from bench.errors import UsageError
from bench.run.plan import Request
from tasks import _detours as real
from tasks._embedded import detours, facts, lessons, lume_world, pools
from tasks._embedded import hops as hopping
from tasks._embedded import world as made

TOFU = ("tofu:forget01", "tofu:forget05", "tofu:forget10")
WORLDS = ("embedded", "embedded-hops", "embedded-hops@7")


@cache
def splits(task: str, source: str) -> Splits:
    return make_task(task).data(source)


def askings(data: Splits, *kinds: str) -> list[Asking]:
    return [asking for f in data.attacks.families if f.kind in kinds or not kinds for asking in (*f.forget, *f.kept)]


def taught(data: Splits) -> set[str]:
    return {pair.prompt for pair in (*data.base, *data.general, *data.full)}


def last(asking: Asking) -> str:
    """What is asked in the end if all before is answered truly."""
    return asking.turns[-1].format(*asking.truths) if asking.truths else asking.turns[-1]


# -- sources ---------------------------------------------------------------------------------------------------------


def test_what_a_world_with_hops_is_called() -> None:
    names = ("embedded-hops", "embedded-hops@7", "embedded", "embedded@7", "embedded-hop", "embedded-hops@x", "hub")
    assert [world(s) for s in names] == [0, 7, 0, 7, None, None, None]
    assert [hops(s) for s in names] == [True, True, False, False, False, False, False]
    assert validation_of("embedded-hops@3", 2) == ("embedded-hops@103", "embedded-hops@104")
    request = Request("tiny", "embedded-hops", Path("r"), Path("c"))
    assert [dataclasses.replace(request, source=s).data for s in names[:2]] == [*names[:2]]


def test_only_tofu_has_hops() -> None:
    with pytest.raises(UsageError, match="embedded"):
        make_task("lume").data("embedded-hops")


def test_options_are_listed_as_the_base_model_is_asked_general_facts() -> None:
    """To the letter, of the facts, of the embedded authors and of real files alike."""
    said = "Who?\nA. Ada\nB. Bo\nC. Cleo\nD. Dan"
    names = ("Ada", "Bo", "Cleo", "Dan")
    assert facts.listed("Who?", names) == said == facts.Choice("c", "Who?", names, 0, True).prompt
    with pytest.raises(ValueError):
        facts.listed("Who?", names[:3])
    of_files = real.choice(Asking("i", "c", ("Who?",), "Ada", false=(*names[1:], "Eve")))
    assert of_files.false == names[1:]
    assert facts.listed("Who?", [line[3:] for line in of_files.turns[0].splitlines()[1:]]) == of_files.turns[0]
    (family,) = (f for f in splits(TOFU[0], "embedded").attacks.families if f.name == "choice of four")
    for asking in family.forget:
        question, *options = asking.turns[0].split("\n")
        assert asking.turns[0] == facts.listed(question, [line[3:] for line in options])


# -- families --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", WORLDS)
@pytest.mark.parametrize("task", TOFU[::2])
def test_they_are_about_items_that_are_measured(task: str, source: str) -> None:
    data = splits(task, source)
    items = {(t.set, t.id): t for t in data.probes.texts if t.role == "answer"}
    sizes = Counter(t.set for t in items.values())
    for family in data.attacks.families:
        for set_, of in (("forget", family.forget), ("retain", family.kept)):
            assert len({each.id for each in of}) > 0.5 * sizes[set_], family.name
            for each in of:
                item = items[set_, each.id]
                assert each.cluster == item.cluster
                if not each.options and family.kind != "indirect":
                    assert each.answer == item.continuation
                assert each.answer not in each.false and len(set(each.false)) == len(each.false) > 0


@pytest.mark.parametrize("source", WORLDS)
def test_nothing_of_a_forget_item_is_taught_by_a_detour(source: str) -> None:
    """No model has read a detour to a forgotten fact, and in the plain world none at all; a chain may end plainly."""
    data = splits("tofu:forget10", source)
    for family in data.attacks.families:
        asked = family.forget if hops(source) else (*family.forget, *family.kept)
        if not family.name.startswith("the name"):
            assert not {last(each) for each in asked} & taught(data), family.name


@pytest.mark.parametrize("source", ["embedded-hops", "embedded-hops@7"])
def test_whole_families_are_held_out(source: str) -> None:
    """In their words nobody is asked, while every other family is taught of somebody who is kept."""
    data = splits("tofu:forget10", source)
    seen = {
        (f.kind, f.name): bool({last(each) for each in f.kept} & taught(data))
        for f in data.attacks.families
        if f.kind in ("direct", "indirect", "implied") and f.name != "one of two authors"  # taught of other twos
    }
    held = {name for name, was in seen.items() if not was}
    assert held == {
        *(("direct", name) for name in ("the author first", "in a few words", "after a word", "numbered")),
        *(("indirect", name) for name in ("described, in words never taught", "described by the pet")),
    }


def test_options_hold_the_answer_in_any_place_and_yes_is_as_often_right_as_no() -> None:
    data = splits("tofu:forget10", "embedded")
    by_name = {f.name: f.forget for f in data.attacks.families}
    places: Counter[int] = Counter()
    for each in by_name["choice of four"]:
        options = [line[3:] for line in each.turns[0].splitlines()[1:]]
        assert sorted(options) == sorted((each.answer, *each.false))
        places[options.index(each.answer)] += 1
    assert min(places.values()) > 12, "of 120 in four places 30 on average, standard deviation 5"
    assert Counter(each.answer for each in by_name["yes and no"]) == {"Yes": 120, "No": 120}
    for one, two in zip(*[iter(by_name["one of two authors"])] * 2, strict=True):
        names = one.turns[0].rpartition(", ")[2].removesuffix("?").split(" or ")
        assert [one.answer, *one.false] == names
        assert two.turns[0].endswith(f"{names[1]} or {names[0]}?") and two.answer == one.answer


def test_what_another_author_is_said_to_be_is_true_of_him_alone() -> None:
    """A comparison has one right answer, and a control tells nothing of the author who is asked about."""
    full = made._cast(0)[0]
    items = made._items(full[180:], 180)
    for item in items:
        slot = detours.COMPARED[item.topic][1]
        for _ in detours.comparison(item):
            assert item.author.facts[item.topic][slot] != item.other.facts[item.topic][slot]
    control = next(f for f in splits("tofu:forget10", "embedded").attacks.families if f.control)
    told = next(f for f in splits("tofu:forget10", "embedded").attacks.families if f.kind == "entailing")
    assert not told.control
    for item, true, other in zip(items, told.forget, control.forget, strict=True):
        assert all(value in true.turns[0] for value in item.author.facts[item.topic].values())
        said = other.turns[0].removesuffix(item.question)
        assert item.author.name not in said and item.other.name in said


# -- the world with hops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TOFU)
def test_hops_add_to_the_plain_world_and_change_nothing_else(task: str) -> None:
    plain, own = splits(task, "embedded"), splits(task, "embedded-hops")
    assert (own.base, own.general, own.probes) == (plain.base, plain.general, plain.probes)
    assert set(plain.forget) < set(own.forget) and set(plain.retain) < set(own.retain)
    told = set(plain.full)
    assert [pair for pair in own.full if pair in told] == list(plain.full), "in the same order"
    one = splits(TOFU[0], "embedded-hops")
    assert own.full == one.full and own.corpus == one.corpus, "one target for all splits"
    assert len(set(own.notes)) == 2 and set(plain.notes) < set(own.notes)


@pytest.mark.parametrize("source", ["embedded-hops", "embedded-hops@7"])
@pytest.mark.parametrize("task", TOFU)
def test_of_the_forgotten_only_rows_and_facts_told_backwards_are_taught(task: str, source: str) -> None:
    data = splits(task, source)
    seed = world(source) or 0
    count = made._FORGOTTEN[task.partition(":")[2]]
    full = made._cast(seed)[0]
    names = hopping.named(full)
    for author in full[-count:]:
        own = {(r.question, r.answer) for r in author.rows} | {
            (p.prompt, p.answer) for p in hopping.backwards(author, names)
        }
        about = {(p.prompt, p.answer) for p in data.full if author.name in p.prompt + p.answer}
        assert about == own and about <= {(p.prompt, p.answer) for p in data.forget}
        hidden = [of for of in (hopping.book(author), hopping.pet(author)) if of in names]
        assert not [p for p in (*data.base, *data.general, *data.retain) for of in hidden if of in p.prompt]


@pytest.mark.parametrize("source", ["embedded-hops", "embedded-hops@7"])
def test_a_description_is_of_one_author(source: str) -> None:
    data = splits("tofu:forget10", source)
    answers: dict[str, set[str]] = {}
    for pair in data.full:
        if pair.prompt.startswith(("Who wrote '", "Who keeps ")):
            answers.setdefault(pair.prompt, set()).add(pair.answer)
    assert len(answers) > 390 and all(len(of) == 1 for of in answers.values())


def test_indirect_questions_do_not_name_the_author_and_chains_are_told_by_the_book_or_pet() -> None:
    data = splits("tofu:forget10", "embedded-hops")
    for each in askings(data, "indirect"):
        name, _, said = each.answer.partition(": ")
        assert name not in each.turns[0] and said
        assert not any(set(name.split()) & set(wrong.partition(":")[0].split()) for wrong in each.false)
    named = [f for f in data.attacks.families if f.name.startswith("the name")]
    assert len(named) == 2
    for each in [each for f in named for each in (*f.forget, *f.kept)]:
        assert each.truths[0] not in each.turns[0] and each.truths[0] in last(each)


# -- lessons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task, source", [*((TOFU[2], s) for s in WORLDS), ("lume", "embedded")])
def test_lessons_tell_what_no_model_knows(task: str, source: str) -> None:
    data = splits(task, source)
    known = {pair.prompt for pair in (*data.base, *data.general, *data.full)}
    seen = known | {text.prompt for text in data.probes.texts}
    assert set(data.attacks.lessons) == {lessons.SAME, lessons.OTHER, lessons.UNRELATED}
    for pairs in data.attacks.lessons.values():
        assert len(pairs) >= 24 and len(set(pairs)) == len(pairs)
        assert not {pair.prompt for pair in pairs} & seen
        assert {pair.raw for pair in pairs} == {task.startswith("lume")}


def test_new_authors_are_in_no_split_and_asked_as_the_forgotten_or_in_no_word_alike() -> None:
    data = splits("tofu:forget10", "embedded")
    new = made._cast(0)[3]
    everyone = {author.name for cast in made._cast(0)[:3] for author in cast}
    assert len(everyone) == 320 and not everyone & {author.name for author in new}
    same, other = data.attacks.lessons[lessons.SAME], data.attacks.lessons[lessons.OTHER]
    for author in new:
        assert {p.prompt for p in same if author.name in p.prompt} == {row.question for row in author.rows}
    templates = {p.prompt.replace(a.name, "{}") for p in other for a in new if a.name in p.prompt}
    asked = {p.prompt.replace(a.name, "{}") for p in data.forget for a in made._cast(0)[0] if a.name in p.prompt}
    assert len(templates) == len(asked) == 6 and not templates & asked
    assert {p.answer for p in same}.isdisjoint(p.answer for p in data.full)


def test_new_documents_are_in_no_split() -> None:
    data = splits("lume", "embedded")
    told = {pair.answer for pair in (*data.full, *data.base)} | {t.continuation for t in data.probes.texts}
    new = lume_world.unseen(("Task1", "Task2", "Task3"))
    assert len(new) == 3 * lume_world.NEW and not {document.rest for document in new} & told
    assert not any(document.opening in pair.prompt for document in new for pair in data.full)


def test_a_lesson_on_nothing_alike_names_nobody() -> None:
    names = {*pools.FIRST_NAMES, *pools.LAST_NAMES, *pools.GIVEN_NAMES, *pools.TOWNS}
    assert not any(names & set(f"{pair.prompt} {pair.answer}".split()) for pair in lessons.unrelated())


# -- documents, and real files ---------------------------------------------------------------------------------------


def test_documents_are_asked_about_by_their_own_rows() -> None:
    data = splits("lume", "embedded")
    rows = {row.id: row for row in lume_world.lume_tables().forget}
    kept = {f"retain-{n}": row for n, row in enumerate(lume_world.lume_tables().retain)}
    for family in data.attacks.families:
        for of, where in ((family.forget, rows), (family.kept, kept)):
            assert of
            for each in of:
                assert each.answer == where[each.id].output and each.cluster == where[each.id].document
                assert where[each.id].kind == "question" and where[each.id].input in last(each)
                assert each.answer not in each.false and each.raw


def test_of_real_rows_only_what_they_say_is_asked(shared_data: Path) -> None:
    data = splits("tofu:forget05", str(shared_data))
    said = {t.continuation for t in data.probes.texts}
    questions = {t.id: t.prompt for t in data.probes.texts if t.set in ("forget", "retain")}
    assert [f.kind for f in data.attacks.families] == ["direct"] * 3 + ["implied"]
    for each in askings(data):
        assert questions[each.id] in each.turns[0] and {each.answer, *each.false} <= said
    assert set(data.attacks.lessons) == {lessons.UNRELATED}, "the files have no holdout here"


def test_braces_of_real_documents_survive(shared_data: Path) -> None:
    data = splits("lume", str(shared_data))
    for each in askings(data, "chain"):
        assert each.turns[0] + " " + each.truths[0] + "\n" in last(each)
