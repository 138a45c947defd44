"""How fast answers come back: planted curves are read off to the step, the area is that under the drawn line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from scipy.integrate import trapezoid

from bench.board import robustness as board
from bench.compare.clustered import Scored
from bench.compare.robustness import Recovery, robustness
from bench.compare.speed import Curves, Speed, speeds
from bench.store.attacked import Attacked
from tests.compare.test_robustness import CLUSTERS, EACH, SEEDS, N, found, table

STEPS = (0.0, 1.0, 2.0, 4.0, 8.0)
ALL = Scored(np.arange(N) // EACH, np.ones((2, N), dtype=bool))


def speed(
    steps: Sequence[float], own: np.ndarray, retrain: np.ndarray, gap: tuple[float, float], scored: Scored
) -> Speed:
    (found,) = speeds([Curves(tuple(steps), own, retrain)], [gap], scored)
    return found


def flat(levels: Sequence[float]) -> np.ndarray:
    """[T, S, N] the same of all items and seeds."""
    return np.broadcast_to(np.array(levels)[:, None, None], (len(levels), 2, N)).copy()


def test_it_is_the_first_step_at_which_half_of_the_gap_is_closed() -> None:
    own, retrain = flat([0.1, 0.4, 0.6, 0.9, 0.3]), flat([0.0, 0.1, 0.2, 0.3, 0.6])
    assert speed(STEPS, own, retrain, (0.0, 1.0), ALL)[:3] == (2.0, 8.0, 8.0)
    assert speed(STEPS[:4], own[:4], retrain[:4], (0.0, 1.0), ALL)[:3] == (2.0, None, 4.0)
    assert speed(STEPS, own, retrain, (0.18, 1.0), ALL)[:2] == (2.0, 8.0), "half of the gap, not of the target"
    assert speed(STEPS, own, retrain, (0.0, 0.18), ALL).steps == 0, "what never went is back at once"


def test_the_area_is_that_between_the_drawn_lines() -> None:
    """By trapezoids over log(1 + step), of means over seeds that score other items."""
    random = np.random.default_rng(0)
    items = random.random((2, N)) < 0.7
    own, retrain = random.random((2, len(STEPS), 2, N))
    own[:, ~items] = np.nan
    apart = [np.mean([(o - r)[of].mean() for o, r, of in zip(a, b, items)]) for a, b in zip(own, retrain)]
    x = np.log1p(STEPS)
    found = speed(STEPS, own, retrain, (0.0, 1.0), Scored(ALL.groups, items)).area
    assert found.value == pytest.approx(trapezoid(apart, x) / x[-1], abs=1e-12)
    assert found.lo < found.value < found.hi and found.n == CLUSTERS
    assert speed(STEPS, retrain, retrain, (0.0, 1.0), ALL).area[:3] == (0, 0, 0), "like retrain"


def test_of_many_each_is_what_it_is_alone() -> None:
    """Whatever their steps."""
    random = np.random.default_rng(2)
    curves = [Curves(STEPS[:t], *random.random((2, t, 2, N))) for t in (2, 5, 3)]
    gaps = [(0.0, 1.0), (0.1, 0.8), (0.0, 0.9)]
    alone = [speed(*of, gap, ALL) for of, gap in zip(curves, gaps, strict=True)]
    for one, other in zip(speeds(curves, gaps, ALL), alone, strict=True):
        assert one[:3] == other[:3]
        assert one.area[:3] == pytest.approx(other.area[:3], abs=1e-12)
    assert speeds([], [], ALL) == []


def test_the_interval_holds_the_true_area_in_95_of_100() -> None:
    """Authors differ in how much comes back of them, and seeds too; the truth is the mean of all authors."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        authors = np.repeat(random.normal(0.4, 0.2, CLUSTERS), EACH)
        known = authors + random.normal(0, 0.05, (2, 1)) + random.normal(0, 0.1, (len(STEPS), 2, N))
        area = speed(STEPS, known, known * 0, (0.0, 1.0), ALL).area
        held += area.lo <= 0.4 <= area.hi
    assert held / 300 >= 0.92


def rows(level: Callable[[str, str, float], float], kept: Callable[[str, float], float] = lambda setting, step: 1.0,
         axis: str = "steps") -> list[Recovery]:  # fmt: skip
    """Of a method `m`, from how much is known of every item by model, rate and step."""

    def made(model: str) -> list[Attacked]:
        of = found({("relearning", ""): {step: np.full(N, 0.0) for step in STEPS}}, axis=axis,
                   plain=np.full(N, level(model, "", 0.0)))  # fmt: skip
        (plain, *points) = of.points
        read = []
        for p, rate in product(points, ("rate 1", "rate 3")):
            known, left = np.full(N, level(model, rate, p.step)), np.full(4, kept(rate, p.step))
            read.append(p._replace(setting=rate, known=known, kept=left))
        return [Attacked(of.items, of.kept, (plain, *read), of.done)] * SEEDS

    return robustness(*table({model: made(model) for model in ("retrain", "target", "m")}), margin=0.05)


def planted(model: str, rate: str, step: float) -> float:
    """Of the method as much as 0.1 a step comes back at rate 3, of retrain a tenth of it; at rate 1 nothing does."""
    if model == "target":
        return 1.0
    return {"m": 0.1, "retrain": 0.01}[model] * step * (rate == "rate 3")


def test_the_curve_is_that_of_the_setting_that_attackers_choose() -> None:
    (row,) = rows(planted)
    assert row.speed is not None and row.speed[:3] == (8.0, None, 8.0)
    assert board.half_back(row) == ("8", "> 8")
    x = np.log1p(STEPS)
    assert row.speed.area.value == pytest.approx(trapezoid(np.multiply(STEPS, 0.09), x) / x[-1], abs=1e-3)


def test_steps_at_which_too_little_is_kept_do_not_count() -> None:
    """Ruined from step 8 on, half of the gap is not back by 4; other rates are not asked."""
    (row,) = rows(planted, kept=lambda rate, step: 0.5 if rate == "rate 3" and step == 8 else 1.0)
    assert row.speed is not None and row.speed[:3] == (None, None, 4.0)
    assert board.half_back(row) == ("> 4", "> 4")


def test_without_steps_or_a_gap_there_is_no_speed() -> None:
    (row,) = rows(planted, axis="bits")
    assert row.speed is None and board.half_back(row) == ("", "") and board.area(row) == "-"
    (row,) = rows(lambda model, rate, step: 0.04 if model == "target" else 0.0)
    assert row.speed is None
    (row,) = rows(planted, kept=lambda rate, step: float(step == 4))
    assert row.speed is None, "a point is no curve"


def test_it_is_in_the_json() -> None:
    (row,) = rows(planted)
    assert isinstance(row.speed, Speed)
    of = board.plain(row)["speed"]
    assert (of["steps"], of["retrain"], of["last"], of["area"]["value"]) == (8.0, None, 8.0, row.speed.area.value)
