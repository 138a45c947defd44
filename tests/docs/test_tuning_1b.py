"""docs/tuning_1b.md is what its script makes of the published models and of results/; its parts on made tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from bench.store import trials
from tests.e2e.conftest import ROOT
from tests.statistics.conftest import DOCS, script


@pytest.fixture(scope="module")
def tuning() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield script("tuning_1b")


@pytest.fixture(scope="module")
def published(tuning: ModuleType) -> pd.DataFrame:
    """The rows of the published models."""
    path = ROOT.parent / "shared" / "data" / "published_1b" / "models.csv"
    if not path.exists():
        pytest.skip("the published models are not here")
    return tuning.read(str(path))


def made(tuning: ModuleType, rows: list[tuple[str, str, float, float]]) -> pd.DataFrame:
    """Target, retrain, and models (name, method, lr, share): each metric that share of the way, nothing lost."""
    given = [("full", "full", float("nan"), 0.0), ("retain", "retain", float("nan"), 1.0), *rows]
    table = pd.DataFrame(given, columns=["model", "method", "lr", "share"])
    table["epoch"] = table.model.str.extract(r"_(ep\d+)$")[0]
    shares = dict.fromkeys((*tuning.MEMORY.values(), *tuning.PRIVACY), table.share)
    return table.assign(**shares, model_utility=0.6, fluency=0.9)


def of_headlines(tuning: ModuleType, values: dict[str, list[float]]) -> pd.DataFrame:
    """Runs with these headlines, the first of each method at the default rate."""
    rows = [(m, f"{m}{i}", "ep5", 1e-5 if not i else 2e-5, v) for m, of in values.items() for i, v in enumerate(of)]
    return pd.DataFrame(rows, columns=["method", "setting", "epoch", "lr", "headline"])


def test_runs_have_the_headline_and_the_aggregate(tuning) -> None:
    """Half way with everything kept: HM(1/2, 1) = 2/3, and HM(1/2, 1/2, 1) = 3/5."""
    table = made(tuning, [("npo_a1_ep5", "npo", 1e-5, 0.5), ("npo_a1_ep10", "npo", 1e-5, 1.0)])
    table.loc[3, "model_utility"] = 0.3
    of = tuning.runs(table)
    assert of.headline.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert of.theirs.iloc[0] == pytest.approx(3 / 5)
    assert set(of.setting) == {"npo_a1"} and set(of.method) == {"npo"}


def test_summary(tuning) -> None:
    """Of 1, .95, .2, .1, 0: of the five ways to draw four, four have 1. Two methods share a best, and so a rank."""
    of = tuning.summary(of_headlines(tuning, {"npo": [0.1, 1.0, 0.95, 0.2, 0.0], "rmu": [0.0, 1.0], "idknll": [0.3]}))
    assert list(of.index) == ["rmu", "npo", "idknll"]
    npo = of.loc["npo"]
    assert npo[["models", "default", "mean", "few", "many", "best", "width"]].tolist() == pytest.approx(
        [5, 0.1, 0.45, 0.8 + 0.2 * 0.95, 1, 1, 0.4]
    )
    assert of.loc["rmu", ["mean", "few", "many", "best", "width"]].tolist() == [0.5, 1, 1, 1, 0.5]
    assert of["by best"].to_dict() == {"rmu": 1.5, "npo": 1.5, "idknll": 3}
    assert of["by mean"].to_dict() == {"rmu": 1, "npo": 2, "idknll": 3}


def test_explained_variance(tuning) -> None:
    """Values 0 4 / 2 6 by a and b: 20 in all, 4 between the a, 16 between the b."""
    table = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1], "v": [0.0, 4, 2, 6], "same": 1.0})
    assert tuning.explained(table, "v", ["a"]) == pytest.approx(0.2)
    assert tuning.explained(table, "v", ["b"]) == pytest.approx(0.8)
    assert tuning.explained(table, "v", ["a", "b"]) == pytest.approx(1)
    assert pd.isna(tuning.explained(table, "same", ["a"]))


@pytest.fixture
def small(tuning) -> pd.DataFrame:
    return tuning.summary(of_headlines(tuning, {"npo": [0.9], "rmu": [0.5], "idknll": [0.1], "undial": [0.3]}))


def test_orders_are_by_our_names_and_correlate_what_both_sides_have(tuning, small) -> None:
    known = tuning.orders(small, {"fo-npo": 0.1, "fo-rmu": 0.5, "fo-idk": 0.9, "fo-ga": 1.0}, {"fo-npo": [0.2, 0.4]})
    assert known["1B, best"] == {"fo-npo": 0.9, "fo-rmu": 0.5, "fo-idk": 0.1, "fo-undial": 0.3}
    assert known["small, by hand"] == {"fo-npo": 0.1, "fo-rmu": 0.5, "fo-idk": 0.9}
    assert known["small, mean"] == {"fo-npo": 0.3} and known["small, best"] == {"fo-npo": 0.4}
    found = tuning.correlations(known, tuning.BETWEEN)
    assert {b for _, b in found} == {"1B, default rate", "1B, mean", "1B, best"}, "one tuned method has no order"
    assert all(c.spearman == pytest.approx(-1) and c.n == 3 for c in found.values())


def test_what_was_not_run_is_named_and_left_out(tuning, small) -> None:
    known = tuning.orders(small, {}, {})
    assert "**not yet run** for `fo-altpo`" in tuning.values(known) and "small," not in tuning.values(known)
    assert "none of these orders" in tuning.agreement(known) and "small," not in tuning.agreement(known)


def test_tuned_methods_enter(tuning, small) -> None:
    tuned = {ours: [0.1 * i, 0.1 * i + 0.05] for i, (_, ours) in enumerate(tuning.NAMES.values())}
    known = tuning.orders(small, {}, tuned)
    assert "small, mean ~ 1B, mean | 4 |" in tuning.agreement(known)
    assert "small, mean ~ small, best | 4 | 1.00 |  |  | 1.00 |  |" in tuning.agreement(known)


def test_the_best_of_each_trial_is_read(tuning, tmp_path: Path) -> None:
    file = trials.path(trials.folder(tmp_path, *tuning.PLACE), "fo-npo")
    for number, heads in ((1, (0.2, 0.6)), (2, (0.5,))):
        scores = [{"headline": h, "extraction_strength": 0.1, "utility share": 1.0} for h in heads]
        points = tuple(trials.Point((i + 1) / 2, i + 1, s) for i, s in enumerate(scores))
        trials.append(file, trials.Trial("fo-npo", number, {"lr": number}, {}, "embedded@100", 0, points=points))
    assert tuning.tried(tmp_path) == {"fo-npo": [0.6, 0.5]}
    assert tuning.board(tmp_path) == {}


def test_the_page_is_up_to_date(tuning, published) -> None:
    said = tuning.PAGE.read_text(encoding="utf-8")
    wanted = "Run: python docs/tuning_1b.py ../shared/data/published_1b/models.csv"
    assert tuning.rewritten(said, published, ROOT / "results") == said, wanted


def test_what_the_page_says_of_the_variance(tuning, published) -> None:
    """24% and 81%, and 99 models whose aggregate is 0."""
    of = tuning.runs(published)
    assert len(of) == 150 and int((of.theirs == 0).sum()) == 99
    rest = of[of.method != "undial"]
    shares = [tuning.explained(rest, "theirs", by) for by in (["method"], ["lr"], ["method", "lr"], ["epoch"])]
    assert [round(100 * share) for share in shares] == [24, 27, 81, 0]
    assert tuning.explained(of, "headline", ["method"]) > 1 / 3
    assert tuning.explained(of, "headline", ["method", "lr"]) > 0.9


def test_what_the_page_says_of_the_methods(tuning, published) -> None:
    of = tuning.summary(tuning.runs(published))
    assert (of.default < 0.1).sum() == 4 and set(of.index[of.default > 0.4]) == {"npo", "altpo"}
    assert sorted(of.best)[3:] == pytest.approx([0.950, 0.961, 0.969, 0.975, 0.975], abs=5e-4)
    assert of.loc["npo", ["few", "width"]].tolist() == pytest.approx([0.955, 0.61], abs=5e-3)
    assert of.loc["rmu", ["few", "width"]].tolist() == pytest.approx([0.810, 0.17], abs=5e-3)
