"""open-unlearning's aggregate against numbers that others published for 150 models, and what it does without inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.metrics._forms import harmonic_mean
from bench.metrics.model_utility import ModelUtility
from bench.metrics.ou_aggregate import ATTACKS, MEMORY, OuAggregate, closeness, memorisation, privacy
from bench.score.scoring import item_table, score_items

TARGET = dict(zip(MEMORY, map(np.array, (0.679, 0.968, 0.105, 0.682)), strict=True))
RETRAIN = dict(zip(MEMORY, map(np.array, (0.059, 0.590, 0.055, 0.567)), strict=True))


def values(row: pd.Series) -> dict:
    """A row of the file as values of our metrics; `s_*` stand as AUCs with retrain at 1: closeness gives them back."""
    memory = ("one_minus_es", "one_minus_em", "one_minus_paraprob", "one_minus_truth")
    found = {part: np.array(1 - row[key]) for part, key in zip(MEMORY, memory, strict=True)}
    closes = ("s_loss", "s_zlib", "s_mink", "s_minkpp")
    found |= {part: np.array(row[key]) for part, key in zip(ATTACKS, closes, strict=True)}
    return found


def fluent(row: pd.Series) -> float:
    """Their utility, which is not ours: HM(model utility, fluency)."""
    return float(harmonic_mean([np.array(row.model_utility), np.array(row.fluency)]))


@pytest.fixture(scope="module")
def models(shared_data: Path) -> pd.DataFrame:
    path = shared_data / "published_1b" / "models.csv"
    if not path.exists():
        pytest.skip("the published models are not here")
    return pd.read_csv(path)


def test_parts_by_hand() -> None:
    """Memorisation .103 and .582 as published for target and retrain; HM(.582, 1, 1) = 3 / (1/.582 + 2) = .807."""
    rest = {attack: np.array(0.4) for attack in ATTACKS} | {ModelUtility: np.array(0.6)}
    assert memorisation(TARGET) == pytest.approx(0.103, abs=1e-3)
    assert memorisation(RETRAIN) == pytest.approx(0.582, abs=1e-3)
    assert privacy(rest, rest) == 1
    assert OuAggregate().join(RETRAIN | rest, RETRAIN | rest) == pytest.approx(0.807, abs=1e-3)
    ruined = TARGET | rest | {ModelUtility: np.array(0.0)}
    assert OuAggregate().join(ruined, RETRAIN | rest) == 0


@pytest.mark.parametrize("own", [0.0, 0.6])
def test_a_retrain_model_without_utility_gives_no_aggregate(own: float) -> None:
    attacks = {attack: np.array(0.4) for attack in ATTACKS}
    mine, theirs = (RETRAIN | attacks | {ModelUtility: np.array(utility)} for utility in (own, 0.0))
    assert np.isnan(OuAggregate().join(mine, theirs))


@pytest.mark.parametrize(
    ("method", "best"),
    [
        ("altpo", (0.784, 0.59, 0.95, 0.93)),
        ("npo", (0.752, 0.55, 0.88, 0.98)),
        ("simnpo", (0.733, 0.54, 0.82, 0.99)),
        ("idkdpo", (0.720, 0.55, 0.76, 0.98)),
        ("graddiff", (0.686, 0.50, 0.79, 0.90)),
        ("rmu", (0.631, 0.67, 0.71, 0.54)),
    ],
)
def test_best_of_each_published_method(models: pd.DataFrame, method: str, best: tuple[float, ...]) -> None:
    """Aggregate, memorisation, privacy and utility of the best run, as recomputed by others, with their utility."""
    target, retrain = models.iloc[0], values(models.iloc[1])
    found = []
    for _, row in models[models.method == method].iterrows():
        parts = [memorisation(values(row)), privacy(values(row), retrain), np.array(fluent(row) / fluent(target))]
        found.append((float(harmonic_mean(parts)), *map(float, parts)))
    top = max(found)
    assert top[0] == pytest.approx(best[0], abs=6e-4)
    assert top[1:] == pytest.approx(best[1:], abs=6e-3)


def test_two_thirds_have_no_privacy(models: pd.DataFrame) -> None:
    retrain = values(models.iloc[1])
    assert sum(privacy(values(row), retrain) == 0 for _, row in models.iloc[2:].iterrows()) == 99


def test_closeness() -> None:
    """1 at retrain's AUC, 1/2 half of it away on either side, 0 from twice of it on, NaN where retrain's is 0."""
    found = closeness(np.array([0.4, 0.6, 0.2, 0.8, 1.0]), np.array(0.4))
    assert found == pytest.approx([1, 0.5, 0.5, 0, 0])
    assert np.isnan(closeness(np.array(0.5), np.array(0.0)))


def test_from_items_it_is_what_its_parts_make(rows_of, some_items) -> None:
    names = ["ou_aggregate", "extraction_strength", "exact_memorisation", "paraphrase_probability", "truth_preference",
             "mia_auc", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "model_utility"]  # fmt: skip
    own, other = (item_table(rows_of(some_items(i)), names) for i in range(2))
    (mine, theirs) = (score_items(items, other, names) for items in (own, other))
    memory = harmonic_mean([np.array(1 - mine[name].value) for name in names[1:5]])
    near = harmonic_mean([closeness(np.array(mine[n].value), np.array(theirs[n].value)) for n in names[5:9]])
    utility = np.array(mine["model_utility"].value / theirs["model_utility"].value)
    found = mine["ou_aggregate"]
    assert found.value == pytest.approx(float(harmonic_mean([memory, near, utility])))
    assert 0 <= found.lo <= found.value <= found.hi


@pytest.mark.parametrize(
    ("without", "says"),
    [("holdout", "no holdout split"), ("paraphrase_loss", "no item of the forget set is scored for paraphrase_loss")],
)
def test_what_is_missing_is_said(rows_of, some_items, without: str, says: str) -> None:
    """Old item tables have no losses of paraphrases, some data no holdout: no value, and why."""
    table = item_table(rows_of(some_items(0)), ["ou_aggregate"])
    table = table.drop(columns=without) if without in table else table[table["set"] != without]
    score = score_items(table, table, ["ou_aggregate"])["ou_aggregate"]
    assert score.value is None and says in score.note
    assert "retrain" in score_items(table, None, ["ou_aggregate"])["ou_aggregate"].note
