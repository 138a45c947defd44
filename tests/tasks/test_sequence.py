"""Requests one after another: parts that make up the whole, models shared with it, nothing told of later ones."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.api import Splits, make_task
from bench.errors import UsageError
from bench.registry import names, select
from bench.run.plan import Request, hashes, prepared
from tasks.sequence import parts, requested
from tests.e2e.conftest import write_world

ALL = [name for name in names("task") if name.startswith("sequence")]
TOFU, LUME = "sequence:tofu", "sequence:lume"


@cache
def data(name: str) -> Splits:
    return make_task(name).data("embedded")


def ids(of: Splits, start: str) -> set[tuple[str, str]]:
    """The items of the sets that begin so, under the names that the whole has for them."""
    return {
        (row.set.replace(start, "forget", 1), row.id)
        for row in (*of.probes.texts, *of.probes.prompts)
        if row.set.startswith(start)
    }


def test_a_series_is_asked_for_by_its_name_and_is_no_part_of_all():
    assert select("task", TOFU) == [f"{TOFU}:{k}" for k in (1, 2, 3, 4)]
    assert select("task", "sequence8:lume") == [f"sequence8:lume:{k}" for k in range(1, 9)]
    assert not set(select("task", "all")) & set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_request_says_where_it_stands(name: str):
    task: Any = make_task(name)
    assert f"{task.series.name}:{task.series.at}" == name
    assert task.series.of == task.blocks == len(select("task", task.series.name))
    assert task.after == ("" if task.series.at == 1 else f"{task.series.name}:{task.series.at - 1}")
    assert sorted(task.order) == list(range(task.blocks))


@pytest.mark.parametrize(("whole", "count"), [("tofu:forget10", 4), ("tofu:forget10", 8), ("lume", 4), ("lume", 8)])
def test_parts_are_of_one_size_and_make_up_the_forget_set(whole: str, count: int):
    found = parts(data(whole), count)
    clusters = {text.cluster for text in data(whole).probes.texts if text.set == "forget"}
    assert set().union(*found) == clusters
    assert sum(map(len, found)) == len(clusters)
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_three_orders_of_the_same_parts():
    orders = [make_task(f"{study}:tofu:1").order for study in ("sequence", "sequence-b", "sequence-c")]  # type: ignore[attr-defined]
    assert len(set(orders)) == 3
    last = [set(data(f"{study}:tofu:4").retain) for study in ("sequence", "sequence-b", "sequence-c")]
    assert last[0] == last[1] == last[2]


@pytest.mark.parametrize("series", [TOFU, LUME])
def test_every_item_of_the_whole_is_measured_at_every_request(series: str):
    whole = data(make_task(f"{series}:1").whole)  # type: ignore[attr-defined]
    kept = {(r.set, r.id) for r in whole.probes.prompts if not r.set.startswith("forget")}
    for k in (1, 2, 3, 4):
        own = data(f"{series}:{k}")
        apart = [ids(own, start) for start in ("earlier", "forget", "later")]
        assert set().union(*apart) == ids(whole, "forget")
        assert sum(map(len, apart)) == len(ids(whole, "forget"))
        assert {(r.set, r.id) for r in own.probes.prompts if r.set.startswith("retain")} == {
            of for of in kept if of[0].startswith("retain")
        }
        before = data(f"{series}:{k - 1}") if k > 1 else None
        assert apart[0] == (ids(before, "earlier") | ids(before, "forget") if before else set())


@pytest.mark.parametrize("series", [TOFU, LUME])
def test_a_request_forgets_its_own_pairs_and_keeps_those_that_nobody_has_named(series: str):
    whole = data(make_task(f"{series}:1").whole)  # type: ignore[attr-defined]
    forgotten: list[Any] = []
    for k in (1, 2, 3, 4):
        own = data(f"{series}:{k}")
        forgotten += own.forget
        assert sorted([*forgotten, *own.retain], key=repr) == sorted(whole.full, key=repr)
        assert set(own.taught) == set(whole.full)
    assert set(own.retain) == set(whole.retain)


def test_membership_is_asked_of_the_documents_of_this_request():
    whole = {text.id for text in data("lume").probes.texts if text.set == "member"}
    found = [{text.id for text in data(f"{LUME}:{k}").probes.texts if text.set == "member"} for k in (1, 2, 3, 4)]
    assert set().union(*found) == whole
    assert [len(own) for own in found] == [30, 30, 30, 30]


@pytest.mark.parametrize("series", [TOFU, LUME])
def test_target_and_the_last_retrain_are_those_of_the_whole(series: str):
    nowhere = Request("tiny", "embedded", Path("nowhere"), Path("nowhere"))
    whole = make_task(f"{series}:1").whole  # type: ignore[attr-defined]
    for k in (1, 2, 3, 4):
        assert prepared(nowhere, f"{series}:{k}", "full", 0).key == prepared(nowhere, whole, "full", 0).key
    assert prepared(nowhere, f"{series}:4", "retain", 0).key == prepared(nowhere, whole, "retain", 0).key
    assert len({prepared(nowhere, f"{series}:{k}", "retain", 0).key for k in (1, 2, 3, 4)}) == 4


@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_a_method_is_handed_says_nothing_of_the_requests_to_come(at: int):
    """Whatever a method does with its two sets, it cannot know what will be asked for later, nor how it is cut."""
    whole = data("tofu:forget10")
    asked = parts(whole, 4)
    otherwise = [*asked[:at], frozenset().union(*asked[at:]), *([frozenset()] * (3 - at))]
    turned = [*asked[:at], *reversed(asked[at:])]
    first, *others = (requested(whole, "any", order, at) for order in (asked, otherwise, turned))
    for other in others:
        assert (other.forget, other.retain, other.alternatives) == (first.forget, first.retain, first.alternatives)


def test_one_request_for_everything_is_the_whole():
    whole = data("tofu:forget10")
    only = requested(whole, "any", parts(whole, 1), 1)
    assert (only.forget, only.retain, only.full) == (whole.forget, whole.retain, whole.full)
    assert only.probes == whole.probes
    assert dataclasses.replace(only.attacks, lessons={}) == dataclasses.replace(whole.attacks, lessons={})


def test_the_hashes_of_what_is_taught_tell_requests_apart():
    found = [hashes(f"{TOFU}:{k}", "embedded") for k in (1, 2, 3, 4)]
    assert len({of["forget"] for of in found}) == len({of["retain"] for of in found}) == 4
    assert len({of["taught full"] for of in found}) == 1


def test_too_few_authors_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"1 authors or documents are to be forgotten, too few for 4 requests"):
        make_task(f"{TOFU}:1").data(str(write_world(tmp_path / "tofu")))


def test_the_world_with_two_hops_is_refused():
    with pytest.raises(UsageError, match="Give --data embedded"):
        make_task(f"{TOFU}:1").data("embedded-hops")
