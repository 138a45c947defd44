"""What attacks bring back is what loops over lines, seeds, items and clusters find, one row at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bench.compare.comparing import compare, corrected
from bench.compare.robustness import POWER, SMALLEST_GAP, Recovery, robustness
from bench.score.estimates import Estimate, combine, error_parts, mean
from bench.stats.jackknife import free_interval
from bench.store.attacked import BARE, DELIVERED, Attacked, Point
from bench.store.record import Cell, Record
from tests.compare.test_robustness import ABOUT

SIZES = (3, 5, 4, 1, 6, 2, 4, 3)
CLUSTERS = np.repeat(np.arange(len(SIZES)), SIZES)
N, SEEDS = len(CLUSTERS), (0, 1, 2)
LEVELS = {"retrain": 0.1, "target": 0.8, "a": 0.3, "b": 0.5, "c": 0.2}
ATTACKS: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "teach": {"axis": "steps"},
    "tune": {"axis": "steps", "at": 4.0},
    "ask": {"needs": "questions", "controls": ["another"]},
    "look": {"from_plain": False, "axis": "layer"},
    "round": {"no_before": ["other"]},
}
Read = Mapping[tuple[str, str, int, str, str], Mapping[tuple[str, float], tuple[np.ndarray, np.ndarray]]]
"""By method, form, seed, attack and line: known and kept by setting and step."""


def readings(random: np.random.Generator) -> Read:
    """Of a table in which methods lack seeds and lines, models are ruined, and each seed gives other clusters away."""
    found: dict[tuple[str, str, int, str, str], dict[tuple[str, float], tuple[np.ndarray, np.ndarray]]] = {}
    for method, level in LEVELS.items():
        for form in (DELIVERED, BARE) if method == "b" else (DELIVERED,):
            for seed in SEEDS:
                if (method, seed) == ("c", 1):
                    continue
                for attack, line in (("plain", ""), ("teach", "part"), ("teach", "rest"), ("tune", ""), ("ask", "weak"),
                                     ("ask", "strong"), ("ask", "another"), ("look", ""), ("round", "one"),
                                     ("round", "other")):  # fmt: skip
                    if (method, attack, seed) == ("a", "round", 2):
                        continue
                    of = found.setdefault((method, form, seed, attack, line), {})
                    for setting in ("rate 1", "rate 3") if attack == "teach" else ("",):
                        for step in (0.0, 1.0, 4.0) if attack in ("teach", "tune", "look") else (0.0,):
                            own = level * (0.5 if line == "weak" else 1) + 0.1 * step * random.random()
                            known = np.clip(own + random.normal(0, 0.1, N) + random.normal(0, 0.1, 8)[CLUSTERS], 0, 1)
                            known[seed == CLUSTERS % 4] = np.nan if attack == "teach" else 0.3
                            ruined = (method, attack, setting, step) == ("a", "teach", "rate 3", 4.0)
                            kept = np.empty(0) if attack == "look" else random.normal(0.3 if ruined else 0.9, 0.01, 5)
                            of[setting, step] = known, kept
                            if (method, attack, line) == ("c", "round", "one"):
                                of[setting, step] = known, kept / 2
    return found


def table(read: Read) -> tuple[dict[Cell, Record], dict[Cell, Attacked]]:
    abouts = {name: {**ABOUT, "controls": [], **about} for name, about in ATTACKS.items()}
    every: dict[Cell, Attacked] = {}
    for method, seed in dict.fromkeys((key[0], key[2]) for key in read):
        points = [Point(attack, form, line, setting, step, *values) for (m, form, s, attack, line), of in read.items()
                  for (setting, step), values in of.items() if (m, s) == (method, seed)]  # fmt: skip
        done = {name: {"model": "m", "about": abouts[name]} for name in ATTACKS
                if any(point.attack == name for point in points)}  # fmt: skip
        items = tuple((f"i{n}", f"author-{CLUSTERS[n]}") for n in range(N))
        every[Cell("t", method, "tiny", "d", seed)] = Attacked(items, (), tuple(points), done)
    return {c: Record(c, "ok", {"train": "m"}, {}) for c in every}, every


def estimate(values: np.ndarray, scored: np.ndarray) -> Estimate:
    """Each cluster is left out by leaving out its items."""
    without = np.array([values[scored & (k != CLUSTERS)].mean() for k in range(len(SIZES))])
    sizes = np.array([(scored & (k == CLUSTERS)).sum() for k in range(len(SIZES))])
    return Estimate(float(values[scored].mean()), {"forget": without}, {"forget": sizes})


def expected(read: Read, method: str, form: str, attack: str, line: str) -> dict[str, Any] | None:
    """What a row says, before its p is corrected; None where there is none."""
    about = {**ABOUT, "controls": [], **ATTACKS[attack]}
    who = ((method, form), ("retrain", DELIVERED), ("target", DELIVERED))
    used = ((method, DELIVERED), *who[1:])
    seeds = [s for s in SEEDS if all((*w, s, attack, line) in read for w in who)]
    if not seeds or (attack == "plain" and form == DELIVERED):
        return None
    places = list(read[method, form, seeds[0], attack, line])
    before = [[read[*w, s, "plain", ""]["", 0.0] for s in seeds] for w in used]
    asking = about["needs"] != "weights"
    usable = []
    for place in places:
        kept = [read[method, form, s, attack, line][place][1] for s in seeds]
        enough = not len(kept[0]) or np.mean(kept) >= 0.9 * np.mean([of[1] for of in before[0]])
        if asking or enough:
            usable.append(place)
    at_all = [{p: [read[*w, s, attack, line][p][0] for s in seeds] for p in places} for w in who]
    strong = [p for p in usable if not asking or line in about["controls"] or np.nanmean(at_all[2][p]) >= POWER]
    if not usable:
        return {"weak": "ruined"}
    able = strong or usable
    if about["at"] is not None:
        able = [p for p in able if p[1] == min((q[1] for q in able), key=lambda step: abs(step - about["at"]))]
    chosen: dict[int, tuple[str, float]] = {}
    for half in (0, 1):
        others = half != CLUSTERS % 2
        gaps = {p: np.nanmean([o[others] - r[others] for o, r in zip(at_all[0][p], at_all[1][p], strict=True)])
                for p in able}  # fmt: skip
        chosen[half] = max(able, key=lambda p: gaps[p])
    at = [np.array([[at_all[m][chosen[c % 2]][s][i] for i, c in enumerate(CLUSTERS)] for s in range(len(seeds))])
          for m in range(3)]  # fmt: skip
    was = [np.array([of[0] for of in each]) for each in before]
    scored = [~np.isnan([each[s] for each in (*at, *was)]).any(axis=0) for s in range(len(seeds))]
    from_plain = about["from_plain"] and line not in about.get("no_before", ())
    level = [float(np.mean([of[s][scored[s]].mean() for s in range(len(seeds))])) for of in (*at, *was)]
    gains = [a - w if from_plain else a for a, w in zip(at, was, strict=True)]
    own, other = ({s: estimate(of[i], scored[i]) for i, s in enumerate(seeds)} for of in gains[:2])
    low, high = (was[1], was[2]) if from_plain else (at[1], at[2])
    gap = (level[5] - level[4]) if from_plain else (level[2] - level[1])
    share: tuple[Any, ...] = (None, None, None)
    if gap >= SMALLEST_GAP:
        ratios = [combine(np.divide, estimate((at[0] - at[1])[i], scored[i]), estimate((high - low)[i], scored[i]))
                  for i in range(len(seeds))]  # fmt: skip
        value = mean(ratios).value
        share = (value, *free_interval(value, error_parts(ratios)))
    weak = "" if strong else "asked"
    if not weak and line not in about["controls"] and level[2] - level[1] < SMALLEST_GAP:
        weak = "not told"
    return {
        "before": level[3] if from_plain else None, "after": level[0], "retrain": level[1], "target": level[2],
        "excess": compare(f"{attack} / {line} / {form}", method, "retrain", own, other, 0.05), "share": share,
        "chosen": set(chosen.values()), "weak": weak, "usable": usable, "seeds": tuple(seeds),
        "curves": {p: [np.nanmean(of[p]) for of in at_all] for p in places},
    }  # fmt: skip


def close(found: Any, wanted: Any) -> bool:
    return found is wanted or found == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("draw", range(4))
def test_rows_are_those_of_loops(draw: int) -> None:
    read = readings(np.random.default_rng(draw))
    rows = robustness(*table(read), margin=0.05)
    by = {(row.method, row.form, row.line.attack, row.line.name): row for row in rows}
    keys = dict.fromkeys((m, f, a, n) for m, f, _, a, n in read if m not in ("retrain", "target"))
    naive = {key: told for key in keys if (told := expected(read, *key)) is not None}
    assert set(by) == set(naive) and len(by) > 30
    tests = [told["excess"]._replace(metric=str(key)) for key, told in naive.items()
             if told.get("excess") and not told["weak"] and not by[key].line.control]  # fmt: skip
    holm = {c.metric: c.p_holm for c in corrected([tests])}
    for key, told in naive.items():
        row = by[key]
        if told["weak"] == "ruined":
            assert row.excess is None and "costs more than 10%" in row.weak
            continue
        for name in ("before", "after", "retrain", "target"):
            assert close(getattr(row, name), told[name]), (key, name)
        assert close(row.share[:3], told["share"]), key
        assert (row.seeds, set(row.chosen), list(row.usable)) == (told["seeds"], told["chosen"], told["usable"]), key
        assert bool(row.weak) is bool(told["weak"])
        excess, wanted = row.excess, told["excess"]
        assert excess is not None and (excess.n, excess.test, excess.seeds) == (wanted.n, wanted.test, wanted.seeds)
        for name in ("difference", "lo", "hi", "p", "equivalent"):
            assert close(getattr(excess, name), getattr(wanted, name)), (key, name)
        assert close(excess.p_holm, holm.get(str(key), 1.0)), key
        for setting, curve in row.curves.items():
            for step, *means in curve:
                assert close(means, told["curves"][setting, step]), key


def test_the_order_of_cells_changes_nothing() -> None:
    """Rows are counted together with those that score the same; none knows of the others but by its corrected p."""
    read = readings(np.random.default_rng(9))
    records, every = table(read)
    rows = robustness(records, every, margin=0.05)
    alone = [row for m in "abc" for row in robustness(*_only(records, every, m), margin=0.05)]
    by = {(row.method, row.form, row.line): row for row in alone}
    assert len(by) == len(rows)
    for row in rows:
        assert _uncorrected(row) == _uncorrected(by[row.method, row.form, row.line])


def _only(records: dict[Cell, Record], every: dict[Cell, Attacked], method: str) -> tuple[Any, Any]:
    some = [cell for cell in every if cell.method in ("retrain", "target", method)]
    return {c: records[c] for c in some}, {c: every[c] for c in some}


def _uncorrected(row: Recovery) -> list[Any]:
    """All that is said, numbers to twelve digits."""
    plain = dataclasses.replace(row, excess=row.excess and row.excess._replace(p_holm=1.0))
    return [_rounded(getattr(plain, of.name)) for of in dataclasses.fields(plain)]


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(each) for each in value]
    return round(value, 12) if isinstance(value, float) else value
