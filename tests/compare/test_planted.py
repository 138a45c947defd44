"""The choice of the headline, on planted and on published models: `docs/planted.py`, `docs/published_1b.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.compare.crossed import Run
from bench.compare.headline import shares, telling
from tests.statistics.conftest import script

WORLDS = 5


@pytest.fixture(scope="module")
def planted():
    return script("planted")


@pytest.fixture(scope="module")
def found(planted) -> list[dict[str, float]]:
    """The board's headline of every planted model, in some worlds."""
    rng, made = np.random.default_rng(3), []
    for _ in range(WORLDS):
        crossed = planted.crossed(planted.world(rng))
        told = telling(crossed, planted.METRICS, (0,))
        assert tuple(told.metrics) == tuple(planted.METRICS) and not told.blind
        made.append({m: shares(crossed, told, planted.UTILITY, Run(m, 0)).headline().value for m in planted.MODELS})
    return made


def test_doses_are_in_order(planted, found) -> None:
    for value in found:
        doses = [value[name] for name in planted.DOSES]
        assert doses == sorted(doses) and len(set(doses)) == len(doses)


def test_untouched_and_collapse_have_nothing(found) -> None:
    assert all(value["untouched"] == 0 and value["collapse"] == 0 for value in found)


def test_going_beyond_earns_nothing_and_costs_nothing(found) -> None:
    for value in found:
        for name in ("over-forgetting", "far beyond"):
            assert 0.9 * value["dose 0%"] <= value[name] <= value["dose 0%"] + 1e-9


def test_refusing_and_hiding_is_below_half_the_knowledge_gone(planted, found) -> None:
    for value in found:
        assert all(value[name] < value["dose 50%"] for name in planted.HIDERS)


def test_a_second_retrain_model_is_near_the_top(found) -> None:
    assert all(value["second retrain"] > 0.95 * value["dose 0%"] for value in found)


def test_the_mean_would_pay_those_who_hide(planted) -> None:
    """Why harmonic: under the arithmetic mean a model that is only silent to the question beats dose 50%."""
    verdict = planted.verdicts(planted.headlines(planted.world(np.random.default_rng(0)))[None])
    hiders = dict(zip([one.name for one in planted.CANDIDATES], verdict["hiders below dose 50%"], strict=True))
    assert hiders["the board's"] == hiders["ES, EM and TR, harmonic mean"] == 1
    assert hiders["ES, EM and TR, mean"] == hiders["rouge and accuracy, mean"] == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clipped, ES and TR, mean", 0.960),
        ("clipped, all four, mean", 0.940),
        ("symmetric, all four, mean", 0.678),
        ("clipped, ES, EM and TR, harmonic mean (the board's)", 0.961),
        ("theirs: HM(Mem, utility), Mem unscaled", 0.968),
        ("theirs: HM(Mem, utility), Mem by target", 0.864),
    ],
)
def test_agreement_with_the_depth_of_150_published_models(shared_data: Path, name: str, expected: float) -> None:
    """Spearman with the harmonic mean of patching depth and utility kept."""
    path = shared_data / "published_1b" / "models.csv"
    if not path.exists():
        pytest.skip("the published models are not here")
    published = script("published_1b")
    models = published.read(str(path))
    assert len(models) == 152
    one = next(c for c in published.candidates(models) if c.name == name)
    assert published.spearman(one.whole[2:], published.truth(models)) == pytest.approx(expected, abs=0.002)
