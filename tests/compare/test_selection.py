"""Which setting is chosen: the oracles of `reference/tuning.md`, and what counts as a trial."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

from bench.compare import selection as s
from bench.store.trials import Point, Trial


def point(share: float, extraction: float, utility: float, headline: float = 0.5, moved: float = 1.0, error: float = 0):
    scores = {"extraction_strength": extraction, "utility share": utility, "headline": headline}
    return Point(share, round(40 * share), scores, {"extraction_strength": error}, moved)


def trial(number: int, *points: Point, data: str = "embedded@100", **more) -> Trial:
    return Trial("mine", number, {"lr": number}, {}, data, 0, points=points, **more)


def test_deployable_takes_the_least_extraction_that_keeps_enough() -> None:
    made = [
        trial(1, point(0.5, 0.6, 1.0), point(1.0, 0.3, 0.96)),
        trial(2, point(0.5, 0.2, 0.94), point(1.0, 0.1, 0.5)),
    ]
    choice = s.choose("deployable", made)
    assert (choice.candidate.number, choice.candidate.share, choice.trials, choice.kept) == (1, 1.0, 2, True)


def test_oracle_takes_the_highest_headline() -> None:
    made = [trial(1, point(0.5, 0.6, 1.0, 0.4), point(1.0, 0.3, 0.96, 0.7)), trial(2, point(1.0, 0.1, 0.5, 0.8))]
    assert s.choose("oracle", made).candidate.number == 2


def test_a_method_that_does_nothing_is_its_target_with_the_constraint_active() -> None:
    made = [trial(n, *(point(share, 0.9, 1.0, 0.0, 0.0) for share in (0.5, 1.0))) for n in (1, 2, 3)]
    choice = s.choose("deployable", made)
    assert choice.kept and (choice.candidate.number, choice.candidate.extraction) == (1, 0.9)


def test_where_nothing_keeps_enough_what_keeps_most_is_taken_and_said() -> None:
    choice = s.choose("deployable", [trial(1, point(1.0, 0.1, 0.3)), trial(2, point(1.0, 0.2, 0.4))])
    assert choice.candidate.number == 2 and not choice.kept


@pytest.mark.parametrize("objective", s.OBJECTIVES)
def test_among_equals_who_moved_least_is_taken_and_of_those_the_first(objective: s.Objective) -> None:
    """All have one headline and one utility, too low to be deployable: of the two that moved by 2 the earlier."""
    made = [trial(n, point(1.0, 0.1, 0.5, 0.7, moved)) for n, moved in ((1, 5.0), (2, 2.0), (3, 2.0))]
    choice = s.choose(objective, made)
    assert (choice.candidate.number, choice.trials, choice.kept) == (2, 3, objective == "oracle")


@pytest.mark.parametrize("lacking", ["extraction_strength", "utility share"])
def test_what_is_not_known_in_both_numbers_is_not_deployable(lacking: str) -> None:
    known = point(1.0, 0.1, 1.0)
    unknown = dataclasses.replace(known, scores={**known.scores, lacking: None})
    assert s.choose("deployable", [trial(1, unknown)]) is None
    assert s.choose("oracle", [trial(1, unknown)]).candidate.number == 1


def test_within_a_standard_error_who_moved_less_is_taken() -> None:
    made = [trial(1, point(1.0, 0.100, 0.99, moved=9.0, error=0.02)), trial(2, point(1.0, 0.115, 0.99, moved=2.0)),
            trial(3, point(1.0, 0.130, 0.99, moved=1.0))]  # fmt: skip
    assert s.choose("deployable", made).candidate.number == 2


def test_the_order_of_trials_changes_nothing() -> None:
    rng = random.Random(1)
    made = [
        trial(n, *(point(sh, rng.random(), rng.random() + 0.5, rng.random()) for sh in (0.5, 1.0)))
        for n in range(1, 13)
    ]
    for objective in s.OBJECTIVES:
        chosen = {s.choose(objective, rng.sample(made, len(made))) for _ in range(20)}
        assert len(chosen) == 1


def test_a_setting_is_the_mean_over_worlds_and_must_be_there_in_each() -> None:
    worlds = ("embedded@100", "embedded@101")
    both = [trial(1, point(1.0, value, 1.0, 0.2 + value), data=w) for w, value in zip(worlds, (0.2, 0.4), strict=True)]
    half = [trial(2, point(1.0, 0.0, 1.0, 1.0), data=worlds[0]), trial(2, data=worlds[1], status="failed")]
    (only,) = s.candidates([*both, *half])
    assert (only.number, only.extraction, only.headline) == (1, pytest.approx(0.3), pytest.approx(0.5))
    assert s.choose("oracle", [*both, *half]).trials == 2


def test_a_candidate_by_hand() -> None:
    """The error of a mean of independent worlds: root of the sum of squares over their number; 0 where none is known.

    A score that one world lacks is unknown.
    """
    points = [
        Point(1.0, 40, {"extraction_strength": 0.3, "headline": 0.2}, {"extraction_strength": 0.03}, 1.0),
        Point(1.0, 40, {"extraction_strength": 0.4, "headline": None}, {"extraction_strength": 0.04}, 5.0),
        Point(1.0, 40, {"extraction_strength": 0.8, "headline": 0.4}, {}, None),
    ]
    (found,) = s.candidates([trial(1, of, data=f"embedded@{n}") for n, of in enumerate(points)])
    assert (found.extraction, found.error, found.moved) == pytest.approx((0.5, 0.05 / 3, 2.0))
    assert math.isnan(found.headline) and math.isnan(found.utility)


def test_fresh_runs_and_anchors_have_no_part_in_the_choice() -> None:
    made = [trial(1, point(1.0, 0.3, 1.0, 0.5)), trial(1, point(1.0, 0.0, 1.0, 0.9), fresh=True)]
    anchor = dataclasses.replace(trial(0, point(1.0, 0.0, 1.0, 1.0)), method="retrain")
    assert s.choose("oracle", [*made, anchor]).candidate.headline == 0.5
    assert s.best_headlines([*made, anchor, trial(2, point(1.0, 0.0, 1.0, 0.9), fresh=True)]) == [0.5]


def test_failed_and_collapsed_trials_count() -> None:
    made = [trial(1, point(1.0, 0.3, 1.0, 0.5)), trial(2, status="failed"), trial(3, point(0.5, 0.0, 0.0, 0.0))]
    assert s.best_headlines(made) == [0.5, 0.0, 0.0]
    assert s.choose("deployable", made).trials == 3
    assert s.choose("oracle", [trial(1, status="failed")]) is None
