"""Matched cells: what is planned, under which keys and names, and how the point is found."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from bench.errors import BenchError, UsageError
from bench.run import grid, matched
from bench.run.cell import run_cell
from bench.run.compose import compose, parse_overrides, with_matched
from bench.run.plan import Request, plan
from bench.run.state import why_stale
from bench.store.files import record_path, save
from bench.store.record import Record

TASK = "tofu:forget10"
REQUEST = Request("tiny", "embedded", Path("/nowhere"), Path("/nowhere"))


def silent(*_: object) -> None: ...


def planned(methods: list[str], **changed):
    return {c.cell.method: c for c in plan(dataclasses.replace(REQUEST, **changed), methods, [TASK], [0])}


def test_every_method_but_the_controls_gets_a_matched_cell() -> None:
    names = with_matched(["target", "retrain", "fo-npo", "simu-npo@m=10", "npo+sophia"])
    assert names[5:] == ["fo-npo@matched", "simu-npo@m=10@matched", "npo+sophia@matched"]
    assert with_matched(names) == names
    assert list(planned(names)) == ["retrain", "target", *names[2:]]
    assert record_path(Path("r"), planned(names)["fo-npo@matched"].cell).name == "fo-npo@matched.seed0.json"


def test_nothing_changes_for_other_cells() -> None:
    without, beside = planned(["target", "fo-npo"]), planned(with_matched(["target", "fo-npo"]))
    assert {name: beside[name] for name in without} == without
    assert [c.finished for c in without.values()] == [None] * 3


def test_keys_come_from_the_method_and_from_retrain() -> None:
    cell = planned(["fo-npo@matched"])["fo-npo@matched"]
    plain, retrain = (planned(["fo-npo"])[name] for name in ("fo-npo", "retrain"))
    assert cell.finished == plain
    assert cell.identity["level"] == retrain.keys["measure"]
    assert not set(cell.keys.values()) & {*plain.keys.values(), *retrain.keys.values()}
    other = planned(["fo-npo@matched"], overrides={"fo-npo": {"beta": "0.2"}})["fo-npo@matched"]
    assert other.keys["train"] != cell.keys["train"] and other.finished.identity["parameter beta"] == 0.2
    other = planned(["fo-npo@matched"], probes=("gradient-norm",))["fo-npo@matched"]
    record = Record(cell.cell, "ok", cell.keys, cell.identity)
    assert "the retrain model it is matched to" in why_stale(record, other.identity)


def test_a_matched_cell_waits_for_retrain_and_its_method(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list = []
    monkeypatch.setattr(grid, "run_jobs", lambda request, jobs, *rest: kept.extend(jobs))
    cells = plan(REQUEST, with_matched(["fo-npo"]), [TASK], [0])
    grid.run(REQUEST, cells, 1, False, print)
    needs = next(job.needs for job in kept if "matched" in job.name)
    assert {str(c.cell) for c in cells if c.cell.method in ("retrain", "fo-npo")} < needs


def test_of_a_method_that_diverged_nothing_is_run_again(tmp_path: Path) -> None:
    request = dataclasses.replace(REQUEST, results=tmp_path)
    plain = planned(["fo-npo"])["fo-npo"]
    save(tmp_path, Record(plain.cell, "diverged", plain.keys, plain.identity, error="at step 3"), None)
    matched_cell = planned(["fo-npo@matched"])["fo-npo@matched"]
    made = run_cell(request, matched_cell, silent)
    assert (made.status, made.error, made.scores) == ("diverged", "at step 3", {})
    again = planned(["fo-npo@matched"], results=tmp_path)["fo-npo@matched"]
    assert (again.state, again.reason) == ("done", "diverged: at step 3")


@pytest.mark.parametrize("name", ["target@matched", "fo-npo@matched@beta=0.2", "fo-npo@mached"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="matched"):
        compose(name, "tiny")


def test_parameters_are_set_on_the_method() -> None:
    with pytest.raises(UsageError, match="parameters of its method"):
        parse_overrides(["fo-npo@matched.beta=0.2"])


# -- the search --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steep", [1, 50, 5000])
def test_the_point_is_found_however_steep_the_way(steep: float) -> None:
    """1 / (1 + exp(steep (a - 0.3))) is 0.4 at a = 0.3 + log(1.5) / steep."""
    tried = matched.bisect(lambda a: 0.5 - 0.5 * math.tanh(steep * (a - 0.3) / 2), 0.4 if steep > 1 else 0.5, silent)
    assert abs(tried[-1][1] - (0.4 if steep > 1 else 0.5)) <= matched.CLOSE
    assert tried[-1][0] == pytest.approx(0.3 + (math.log(1.5) / steep if steep > 1 else 0), abs=0.01)


def test_of_a_jump_the_nearest_side_is_taken_if_it_is_near() -> None:
    tried = matched.bisect(lambda a: 0.9 if a < 0.7 else 0.396, 0.4, silent)
    assert tried[-1] == (pytest.approx(0.7), 0.396) and len(tried) <= matched.HALVINGS + 1
    with pytest.raises(matched.NotReached, match=r"jumps over retrain's 0\.4000; the nearest is 0\.1000"):
        matched.bisect(lambda a: 0.9 if a < 0.7 else 0.1, 0.4, silent)


def test_the_end_itself_may_be_the_point() -> None:
    assert matched.bisect(lambda a: 1 - a / 2, 0.4995, silent) == [(0, 1), (1, 0.5)]


def test_what_is_not_reached_is_said() -> None:
    with pytest.raises(matched.NotReached, match=r"ends at 0\.5000, above retrain's 0\.4000"):
        matched.bisect(lambda a: 1 - a / 2, 0.4, silent)
    with pytest.raises(matched.NotReached, match=r"target's forget probability is 0\.3000"):
        matched.bisect(lambda a: 0.3 - a / 10, 0.4, silent)
    with pytest.raises(BenchError, match="no score 'probability'"):
        matched.level(None)


class _LM:
    def __init__(self, *shape: int) -> None:
        self.model = torch.nn.Linear(*shape)


def test_weights_are_interpolated_and_both_ends_are_exact() -> None:
    start, end = _LM(3, 2), _LM(3, 2)
    first, last = (torch.nn.utils.parameters_to_vector(lm.model.parameters()).detach() for lm in (start, end))
    move = matched.line(start, end)
    for share, expected in ((0.25, 0.75 * first + 0.25 * last), (1.0, last), (0.0, first)):
        move(share)
        now = torch.nn.utils.parameters_to_vector(start.model.parameters())
        assert torch.allclose(now, expected, atol=0 if share in (0, 1) else 1e-7, rtol=0)
    with pytest.raises(BenchError, match="not the same weights"):
        matched.line(start, _LM(3, 3))


def test_the_record_keeps_the_search_and_says_where_the_point_lies() -> None:
    point = matched.Matched(_LM(1, 1), 0.4, [(0.0, 0.9), (1.0, 0.1), (0.5, 0.4)])
    assert {len(column) for column in point.curve().values()} == {3}
    assert point.curve()["share of the way"][-1] == 0.5
    assert "weights 0.5 of the straight way" in point.words("fo-npo")
