"""The data of two methods compared: words of the tests, means of items and authors, and figures that are valid."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bench.board.report import answers, pair
from bench.board.wording import words
from bench.compare import crossed
from bench.compare.analysis import Rules, analyse
from bench.compare.comparing import Comparison
from bench.compare.crossed import Crossed, Run
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP
from bench.score.scoring import find
from bench.stats.student import quantile
from tests.board.conftest import controls

RULES = Rules()
COMPARED = Comparison("a", "b", "model_utility", 0.2, 0.1, 0.3, 0.01, 0.2, "t, clusters and seeds", 20, 0.9, (0, 1))


def of(values: dict[Run, dict[tuple[str, str], list[float]]], authors: dict[str, list[str]]) -> Crossed:
    ids = {name: [f"{name}-{i}" for i in range(len(labels))] for name, labels in authors.items()}
    return Crossed(ids, authors, {run: {k: np.array(v, float) for k, v in one.items()} for run, one in values.items()})


def table(*methods: str, comparisons: tuple[Comparison, ...] = (), aside: tuple[Comparison, ...] = ()):
    rows = tuple(SimpleNamespace(method=method, scores={}) for method in methods)
    place = {"data": "embedded", "model": "tiny", "task": "tofu:forget10"}
    return SimpleNamespace(rows=rows, comparisons=comparisons, aside=aside, **place)


def made(held: Crossed, asked: SimpleNamespace) -> dict:
    return pair.data(held, asked, RULES, answers.texts(held, {}, None), {}, "t.js")


# -- words -----------------------------------------------------------------------------------------------------------


def test_asked_beforehand_p_decides_and_of_a_family_the_corrected_p() -> None:
    utility = find("model_utility")
    alone = words("model_utility", utility, COMPARED, RULES)
    assert alone.said == "a is better" and alone.test == "t, clusters and seeds, 20 clusters: p = 0.01, not corrected"
    of_many = words("model_utility", utility, COMPARED, RULES, of=28)
    assert of_many.said == "no difference is shown"
    assert of_many.test == "t, clusters and seeds, 20 clusters: p = 0.01; corrected for 28 comparisons p = 0.2"
    sure = words("model_utility", utility, COMPARED._replace(p_holm=0.01, seeds=(0,)), RULES, of=28)
    assert sure.said == "a is better in these runs; other seeds are unknown"


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("model_utility", "b", "a is better"),
        ("forget_quality", "b", "b is better"),  # compared by the KS distance behind it
        ("mia_auc", "b", "a is higher; which is better depends on the retrain model's"),
        (KS_DISTANCE, "retrain", "retrain is better"),
        (MEMBERSHIP_GAP, "retrain", "a is higher than retrain, where the same is wanted"),
    ],
)
def test_which_is_better_depends_on_the_number(name: str, other: str, said: str) -> None:
    assert words(name, find(name), COMPARED._replace(metric=name, b=other), RULES).said == said


def test_comparisons_beside_the_family_are_said_not_to_be_corrected() -> None:
    asked = table("a", "b", "c", comparisons=(COMPARED,), aside=(COMPARED._replace(b="c"),))
    first, second = pair.tests(asked, RULES)
    assert (first["a"], first["b"], first["corrected"]) == ("a", "b", True)
    assert (second["b"], second["corrected"]) == ("c", False) and "not corrected" in second["test"]
    assert first["difference"].endswith("+0.200 [+0.100, +0.300]") and first["turned"].endswith(
        "-0.200 [-0.300, -0.100]"
    )


def test_every_comparison_of_a_board_is_told(board) -> None:
    specs = [(m, s, knows, 0.9) for m, knows in (("a", 0.1), ("b", 0.6)) for s in (0, 1, 2)]
    (found,) = analyse(*board(*controls(0, 1, 2), *specs))
    told = pair.tests(found, RULES)
    assert len(told) == len(found.comparisons) + len(found.aside) > 20
    assert [one["corrected"] for one in told] == [True] * len(found.comparisons) + [False] * len(found.aside)
    assert {frozenset((one["a"], one["b"])) for one in told} >= {frozenset("ab"), frozenset(("a", "retrain"))}


# -- values ----------------------------------------------------------------------------------------------------------


def test_items_are_means_over_the_seeds_that_both_have() -> None:
    """a has seeds 0, 1, 2, b 0 and 1, c only 2: a's items are needed over 0 and 1, and over 2."""
    by = {("a", 0): 0.1, ("a", 1): 0.3, ("a", 2): 0.8, ("b", 0): 0.5, ("b", 1): 0.5, ("c", 2): 0.2}
    held = of({Run(*run): {("forget", "rouge"): [v, v / 2]} for run, v in by.items()}, {"forget": ["x", "x"]})
    methods = {one["name"]: one for one in made(held, table("a", "b", "c"))["methods"]}
    assert methods["a"]["items"] == {
        "0,1": {"forget": {"rouge": [2000, 1000]}},
        "2": {"forget": {"rouge": [8000, 4000]}},
    }
    assert methods["b"]["items"] == {"0,1": {"forget": {"rouge": [5000, 2500]}}}
    assert list(methods["c"]["items"]) == ["2"] and methods["a"]["seeds"] == (0, 1, 2)


def test_means_of_authors_are_over_the_same_items_for_all() -> None:
    """Item 1 is scored for nobody and left out; item 3 not for b, whose author y then has no mean."""
    nan = np.nan
    held = of(
        {Run("a", 0): {("forget", "rouge"): [0.2, nan, 0.4, 0.6, 0.9]},
         Run("b", 0): {("forget", "rouge"): [0.1, nan, 0.3, nan, 0.5]}},
        {"forget": ["x", "x", "x", "y", "z"]},
    )  # fmt: skip
    methods = {one["name"]: one["authors"][0]["forget"]["rouge"] for one in made(held, table("a", "b"))["methods"]}
    assert methods == {"a": [3000, 6000, 9000], "b": [2000, None, 5000]}


def test_what_the_page_needs_for_intervals_and_for_sets() -> None:
    held = of({Run(m, 0): {("forget", "rouge"): [0.1] * 4, ("retain", "zlib"): [1.0]} for m in "ab"},
              {"forget": ["x", "x", "x", "y"], "retain": ["z"]})  # fmt: skip
    found = made(held, table("a", "b"))
    assert found["t"] == [pytest.approx(quantile(0.975, df), abs=1e-6) for df in (1, 2)], "the largest author has three"
    assert found["sets"] == {"forget": {"columns": ["rouge"], "worse": "high"}}, (
        "a set that nothing judges is not there"
    )


def test_authors_stand_in_the_order_of_the_texts() -> None:
    held = of({Run(m, 0): {("forget", "rouge"): [0.1, 0.2, 0.4]} for m in "ab"}, {"forget": ["y", "x", "y"]})
    texts = answers.texts(held, {}, None).script
    assert '"authors":["y","x"]' in texts
    assert made(held, table("a", "b"))["methods"][0]["authors"][0]["forget"]["rouge"] == [2500, 2000]


def test_the_script_of_hostile_results_is_one_call(results) -> None:
    from bench.store import files

    records = files.records(results, print)
    (found,) = analyse(results, records, RULES)
    held = crossed.load(results, records).crossed
    texts = answers.texts(held, {}, None)
    script = pair.script(held, found, RULES, texts, dict.fromkeys(held.values, "<&>.js"), "t.js")
    assert script.isascii() and not set("<>&") & set(script)
    content = json.loads(script.removeprefix("bench.pair(").removesuffix(");\n"))
    assert "evil<b>-</script>" in [one["name"] for one in content["methods"]]
    assert all(len(one["cells"]) == 2 for one in content["methods"])


@pytest.mark.parametrize("name", ["items", "authors"])
def test_figures_are_valid_vega_lite_with_one_dataset_and_height_left_to_the_page(name: str) -> None:
    import altair as alt

    held = of({Run(m, 0): {("forget", "rouge"): [0.1]} for m in "ab"}, {"forget": ["x"]})
    spec = made(held, table("a", "b"))["specs"][name]
    with alt.data_transformers.enable("default"):
        alt.Chart.from_dict(spec, validate=True)
    assert spec["data"] == {"name": "rows", "values": []} and spec["width"] == "container" and "height" not in spec
    assert all("data" not in layer and "datasets" not in layer for layer in spec["layer"])
