"""The figures of RESTOR on made cells whose truth is planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from bench.compare.studies import restor
from bench.compare.studies.found import KINDS, kind
from bench.compare.studies.study import Material, Study
from bench.store.record import Cell, Record

K, ENTITIES, EACH, SEEDS = 4, 12, 6, 3
TASKS = {float(k): f"restor:k{k}" for k in range(K)}
Way = Callable[[int], float]
"""How far a model is from the corrupted to the clean one at a dilution: 0 to 1."""
CLEAN: Way = lambda k: 1.0  # noqa: E731
CORRUPTED: Way = lambda k: 0.0  # noqa: E731


def table(way: float, gone: float, random: np.random.Generator, blank: int = 0) -> pd.DataFrame:
    """One cell: restored goes from 0.1 to 0.9, corrupted from 0.8 to 0; the first `blank` entities stay as they are."""
    rows = []
    for name, level in (("forget", 0.1 + 0.8 * way), ("neighbour", 0.9), ("untouched", 0.5 + 0.4 * way)):
        for entity in range(ENTITIES):
            own = 0.5 if name == "forget" and entity < blank else level
            for fact in range(EACH):
                noise = random.normal(0, 0.01)
                rows.append({
                    "set": name, "id": f"{entity}/{fact}", "cluster": f"entity-{entity}", "restored": own + noise,
                    "corrupted": 0.8 * (1 - gone), "lost": 1 - own - 0.8 * (1 - gone), "margin": -2 + 5 * way + noise,
                    "restored_generation": own,
                })  # fmt: skip
    return pd.DataFrame(rows).set_index("id")


def study(methods: Mapping[str, Way], gone: Mapping[str, Way] = {}, blank: int = 0, seeds: int = SEEDS) -> Study:
    random = np.random.default_rng(0)
    tables = {}
    for method, way in {"target": CORRUPTED, "retrain": CLEAN, **methods}.items():
        for k, task in TASKS.items():
            for seed in range(seeds):
                left = gone.get(method, way)(int(k))
                tables[Cell(task, method, "tiny", "embedded", seed)] = table(way(int(k)), left, random, blank)
    records = {cell: Record(cell, "ok", {}, {}) for cell in tables}
    made = restor.study(Material("restor", "embedded", "tiny", "dilution", TASKS, records, tables.__getitem__))
    assert made is not None
    return made


def test_the_series_has_its_study():
    assert KINDS[kind("restor")] is restor.study


def test_the_clean_model_is_1_and_the_corrupted_one_0():
    rows = study({"again": CLEAN, "idle": CORRUPTED}).rows
    for title in (restor.RECOVERY, restor.MARGIN, restor.FORGOTTEN):
        assert rows["again"][title].value == pytest.approx(1.0, abs=0.02)
        assert rows["idle"][title].value == pytest.approx(0.0, abs=0.02)
        assert rows["target"][title].value == pytest.approx(0.0, abs=1e-9)
    assert rows["again"][restor.RECOVERY].p < 1e-3
    assert rows["idle"][restor.RECOVERY].p > 0.05


def test_a_study_says_what_it_is_of():
    made = study({"again": CLEAN})
    said = (made.name, made.data, made.model, made.title, made.axis, made.seeds)
    title = "False facts forgotten: do the true ones come back"
    assert said == ("restor", "embedded", "tiny", title, "dilution", (0, 1, 2))
    assert [(curves.title, curves.y) for curves in made.curves] == [
        ("True facts that come back", "recovery rate"), ("Margin of the true answer restored", "share"),
        ("False facts forgotten", "share"), ("Other entities beside target", "difference in what is known"),
    ]  # fmt: skip
    ends = [[figure.value for _, figure in curves.lines["again"]] for curves in made.curves]
    assert ends == [pytest.approx([end] * K, abs=0.02) for end in (1.0, 1.0, 1.0, 0.4)]


def test_recovery_by_entity_is_exact_between_its_ends():
    own, target, retrain = (table(w, w, np.random.default_rng(0)) for w in (0.5, 0.0, 1.0))
    forget = [t[t["set"] == "forget"] for t in (own, target, retrain)]
    assert restor.recovery(forget[1], forget[1], forget[2]).eq(0).all()
    assert restor.recovery(forget[2], forget[1], forget[2]).eq(1).all()
    assert restor.recovery(*forget).to_numpy() == pytest.approx(np.full(ENTITIES, 0.5))  # the noise is the same


def test_an_entity_that_was_not_corrupted_is_unscored_and_told():
    blank = study({"half": lambda k: 0.5}, blank=3)
    assert blank.rows["half"][restor.RECOVERY].value == pytest.approx(0.5, abs=0.03)
    assert blank.rows["half"][restor.RECOVERY].n == ENTITIES - 3
    assert any(f"{3 * SEEDS} of {ENTITIES * SEEDS} at 0" in note for note in blank.notes)


def test_a_fact_without_a_score_is_left_out_of_all_models():
    own, target, retrain = (table(w, w, np.random.default_rng(0)) for w in (1.0, 0.0, 1.0))
    forget = [t[t["set"] == "forget"].copy() for t in (own, target, retrain)]
    forget[0].iloc[0, forget[0].columns.get_loc("restored")] = np.nan
    assert restor.recovery(*forget).to_numpy() == pytest.approx(np.ones(ENTITIES))


def test_who_forgets_without_restoring_is_told_from_who_restores_unless_diluted():
    rows = study(
        {"fo-ga": CORRUPTED, "fo-npo": lambda k: 0.8 - 0.2 * k}, {"fo-ga": CLEAN, "fo-npo": CLEAN}
    ).rows  # fmt: skip
    assert rows["fo-ga"][restor.FORGOTTEN].value == pytest.approx(1.0)
    assert rows["fo-ga"][restor.RECOVERY].value == pytest.approx(0.0, abs=0.02)
    assert rows["fo-npo"][restor.RECOVERY].value == pytest.approx(0.5, abs=0.02)
    assert rows["fo-npo"][restor.SLOPE].value == pytest.approx(-0.2, abs=0.01)
    assert rows["fo-npo"][restor.UNDILUTED].value == pytest.approx(0.8, abs=0.02)
    assert rows["fo-npo"][restor.RETURNED_SLOPE].value == pytest.approx(-0.2, abs=0.01)
    assert rows["fo-npo"][restor.RETURNED_SLOPE].p < 1e-3 and rows["fo-npo"][restor.RECOVERY].p < 1e-3
    assert rows["fo-npo"][restor.UNDILUTED].p < 0.01
    assert rows["fo-ga"][restor.RETURNED_SLOPE].p > 0.05 and rows["fo-ga"][restor.UNDILUTED].p > 0.05


def test_a_model_that_ruins_all_is_not_taken_to_restore_less_the_more_dilution_leaves_true():
    """Each dilution leaves target one more of an entity's facts; a ruined model has none of them, whatever dilution."""
    facts = [f"{entity}/{n}" for entity in range(ENTITIES) for n in range(EACH)]
    side = lambda values: pd.DataFrame(  # noqa: E731
        {"restored": values, "cluster": [f"entity-{name.partition('/')[0]}" for name in facts]}, index=facts
    )
    rates, back = [], []
    for k in range(K):
        target = side([float(int(name.partition("/")[2]) < k) for name in facts])
        ruined, clean = side([0.0] * len(facts)), side([1.0] * len(facts))
        rates.append(restor.recovery(ruined, target, clean).mean())
        back.append(restor.returned(ruined, target, clean).mean())
    assert rates == pytest.approx([-k / (EACH - k) for k in range(K)]) and rates[-1] < rates[0]
    assert back == [0.0] * K


def test_the_curve_has_a_figure_a_dilution_and_collateral_is_less_target():
    made = study({"fo-npo": lambda k: 0.8 - 0.2 * k})
    line = made.curves[0].lines["fo-npo"]
    assert [at for at, _ in line] == list(TASKS)
    assert [figure.value for _, figure in line] == pytest.approx([0.8, 0.6, 0.4, 0.2], abs=0.02)
    row = made.rows["fo-npo"]
    assert row[restor.UNTOUCHED].value == pytest.approx(0.4 * 0.5, abs=0.01)
    assert row[restor.NEIGHBOUR].value == pytest.approx(0.0, abs=0.01)
    assert restor.DILUTING not in row
    assert sum(row[t].value for t in (restor.RESTORED, restor.CORRUPTED, restor.LOST)) == pytest.approx(1.0, abs=0.01)


def test_a_broken_model_has_no_recovery():
    made = study({"broken": lambda k: float("nan")}, {"broken": CLEAN})
    assert made.rows["broken"][restor.RECOVERY].value is None
    assert made.rows["broken"][restor.FORGOTTEN].value == pytest.approx(1.0)


def test_the_slope_is_that_of_least_squares():
    x, y = np.array([0.0, 2.0, 3.0]), np.array([0.3, -0.1, 0.7])
    assert restor.slope(x) @ y == pytest.approx(np.polyfit(x, y, 1)[0])
