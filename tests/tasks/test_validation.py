"""Data to tune on: nothing of any test's forget set is in them, and each has a retrain model of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.api import VALIDATION, make_task
from bench.data import world
from bench.errors import UsageError
from bench.questions import Question, validating
from bench.run.plan import Request, prepared
from tasks.tofu import validation as tofu_validation

TESTS = ("tofu:forget01", "tofu:forget05", "tofu:forget10", "lume")


def pairs(items) -> set[tuple[str, str]]:
    return {(pair.prompt, pair.answer) for pair in items}


def test_what_a_source_of_the_embedded_world_is_called() -> None:
    assert [world(s) for s in ("embedded", "embedded@7", "hub", "/a/b", "embedded@x", "embedded@validation")] == [
        0, 7, None, None, None, None,
    ]  # fmt: skip
    request = Request("tiny", "embedded@7", Path("r"), Path("c"))
    labels = [
        dataclasses.replace(request, source=s).data for s in ("embedded@7", "hub@validation", "/a@validation", "/a")
    ]
    assert labels == ["embedded@7", "hub@validation", "files@validation", "files"]


@pytest.mark.parametrize("name", TESTS)
def test_other_worlds_teach_nothing_of_the_tests(name: str) -> None:
    task = make_task(name)
    sources = task.validation("embedded", 2)
    assert sources == ("embedded@100", "embedded@101")
    forgotten = {pair for test in TESTS for pair in pairs(make_task(test).data("embedded").forget)}
    test = task.data("embedded")
    for source in sources:
        own = task.data(source)
        assert not pairs(own.full) & forgotten
        assert (len(own.forget), len(own.retain)) == (len(test.forget), len(test.retain))
        assert len(own.probes.prompts) == len(test.probes.prompts)
    assert pairs(task.data(sources[0]).forget) != pairs(task.data(sources[1]).forget)


@pytest.mark.parametrize("name", TESTS)
def test_of_real_data_what_is_retained_is_forgotten_in_place_of_the_tests(name: str, shared_data: Path) -> None:
    task, source = make_task(name), str(shared_data)
    (part,) = task.validation(source, 3)
    assert part == source + VALIDATION
    test, own = task.data(source), task.data(part)
    forgotten = {pair for other in TESTS for pair in pairs(make_task(other).data(source).forget)}
    measured = {(text.prompt, text.continuation) for text in own.probes.texts}
    assert own.forget and not pairs(own.full) & forgotten and not measured & forgotten
    assert pairs(own.full) <= pairs(test.retain) and not pairs(own.forget) & pairs(own.retain)
    assert own.corpus == test.corpus, "one tokenizer and one base for both"
    request = Request("small", source, Path("r"), Path("c"))
    validating = dataclasses.replace(request, source=part)
    stages = [
        (prepared(of, name, stage, 0).key) for of in (request, validating) for stage in ("base", "full", "retain")
    ]
    assert stages[0] == stages[3] and stages[5] not in stages[:5]


def test_tofu_forgets_as_many_authors_as_the_test_but_keeps_half_of_the_probed(shared_data: Path) -> None:
    sizes = [len(make_task(f"tofu:forget{n}").data(f"{shared_data}{VALIDATION}").forget) for n in ("01", "05", "10")]
    assert sizes == [40, 200, 200]


def test_data_with_one_probed_author_cannot_be_tuned_on() -> None:
    from tasks._embedded.world import tofu_tables

    tables = dict(tofu_tables())
    tables["retain_perturbed"] = tables["retain_perturbed"][:6]
    with pytest.raises(UsageError, match="one to forget and one to keep"):
        tofu_validation("forget10", tables)


def test_of_a_list_of_questions_every_third_person_that_is_kept_is_forgotten() -> None:
    questions = [Question(f"Q{n}", f"A{n}", forget=n < 4, about=f"p{n // 2}") for n in range(20)]
    own = validating(questions)
    assert {q.question for q in own}.isdisjoint({q.question for q in questions if q.forget})
    assert {q.about for q in own if q.forget} == {"p2", "p5", "p8"}
