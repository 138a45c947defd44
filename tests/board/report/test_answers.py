"""What is said of every item, as data: every item, in order, judged as it should be, and nothing a text could run."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from bench.board.items import higher_is_worse, judgements, questions
from bench.board.remembered import remembered, shares
from bench.board.report import answers
from bench.compare.crossed import Crossed, Run
from tests.board.report.conftest import HOSTILE

FORGET = "forget"


def parsed(script: str, call: str) -> list:
    """The arguments of a script; it calls nothing but the page's own function."""
    assert script.isascii() and not set("<>&") & set(script)
    assert script.startswith(f"bench.{call}(") and script.endswith(");\n")
    return json.loads(f"[{script[len(f'bench.{call}(') : -3]}]")


def of(values: dict[Run, dict[tuple[str, str], list[float]]], authors: dict[str, list[str]]) -> Crossed:
    ids = {name: [f"{name}-{i}" for i in range(len(labels))] for name, labels in authors.items()}
    return Crossed(ids, authors, {run: {k: np.array(v, float) for k, v in one.items()} for run, one in values.items()})


def table(*memorisation: str, methods: tuple[str, ...] = (), seeds: tuple[int, ...] = (0,)) -> SimpleNamespace:
    rows = tuple(SimpleNamespace(method=method, seeds=seeds) for method in methods)
    return SimpleNamespace(memorisation=memorisation, rows=rows, variants=(), seeds=seeds)


@pytest.mark.parametrize("text", [*HOSTILE, "half \ud83d of one", "]]>--><!--"])
def test_hostile_text_comes_back_as_it_was(text: str) -> None:
    assert parsed(answers.as_script("cell", {"said": text}), "cell") == [{"said": text}]


def test_texts_hold_every_item_once_and_are_named_by_what_they_hold() -> None:
    crossed = of({Run("a", 0): {}}, {FORGET: ["x", "x", "y"]})
    asked = {(FORGET, "forget-0", "question"): "who?", (FORGET, "forget-2", "again"): "what?"}
    said = {(FORGET, "forget-1"): {"question": ("he", "she")}}
    made = answers.texts(crossed, asked, said)
    digest, content = parsed(made.script, "texts")
    assert digest == made.digest == answers.texts(crossed, asked, said).digest
    assert digest != answers.texts(crossed, asked, None).digest
    found = content["sets"][FORGET]
    assert (found["ids"], found["authors"], found["of"]) == (list(crossed.ids[FORGET]), ["x", "y"], [0, 0, 1])
    assert found["asked"]["question"] == {"questions": ["who?", None, None], "references": [None, "she", None]}
    assert found["asked"]["again"]["questions"] == [None, None, "what?"]


def test_a_cell_holds_all_items_in_the_order_of_the_texts() -> None:
    n = 300
    rouge = np.linspace(0, 1, n)
    rouge[7] = np.nan
    lacking = [np.nan] * n
    values = {
        (FORGET, "rouge"): rouge,
        (FORGET, "loss"): [1.0] * n,
        (FORGET, "correct"): lacking,
        ("retain", "loss"): [2.0],
    }
    crossed = of({Run("a", 0): values}, {FORGET: ["x"] * n, "retain": ["y"]})
    said = {(FORGET, f"forget-{i}"): {"question": (f"said {i}", "truth")} for i in range(n) if i != 5}
    made = answers.texts(crossed, {}, said)
    (cell,) = parsed(answers.cell(crossed, Run("a", 0), made, said, {}), "cell")
    found = cell["sets"][FORGET]
    assert (cell["method"], cell["seed"], cell["texts"], cell["here"]) == ("a", 0, made.digest, True)
    assert found["said"]["question"] == [None if i == 5 else f"said {i}" for i in range(n)]
    assert found["values"]["rouge"][7] is None and len(found["values"]["rouge"]) == n
    assert found["values"]["rouge"][150] == round(rouge[150] * answers.SCALE)
    assert set(found["values"]) == {"rouge", "loss", "probability"}, "a column without a value is left out"
    assert (found["by"], found["worse"]) == ("rouge", "high")
    assert (cell["sets"]["retain"]["by"], cell["sets"]["retain"]["worse"]) == ("probability", "low")
    assert cell["sets"]["retain"]["values"]["probability"] == [round(np.exp(-2) * answers.SCALE)]


def test_without_rows_the_values_are_there_and_the_answers_are_said_to_be_missing() -> None:
    crossed = of({Run("a", 0): {(FORGET, "rouge"): [0.5]}}, {FORGET: ["x"]})
    made = answers.texts(crossed, {(FORGET, "forget-0", "question"): "who?"}, None)
    (cell,) = parsed(answers.cell(crossed, Run("a", 0), made, None, {}), "cell")
    assert cell["here"] is False and cell["sets"][FORGET]["said"] == {}
    assert cell["sets"][FORGET]["values"] == {"rouge": [5000]}


def test_what_a_set_is_judged_by() -> None:
    """An answer where there is one, else the probability; a forget set by what it shows, others by what they lost."""
    some, none = np.array([0.5]), np.array([np.nan])
    assert list(judgements({("s", "correct"): some, ("s", "rouge"): some, ("s", "loss"): some}, "s")) == [
        "rouge", "correct", "probability"]  # fmt: skip
    assert list(judgements({("s", "rouge"): none, ("s", "knowledge"): some}, "s")) == ["knowledge"]
    assert judgements({("s", "loss"): some}, "s")["probability"] == pytest.approx(np.exp(-0.5))
    assert judgements({("s", "zlib"): some}, "s") == {}
    assert [higher_is_worse(name) for name in ("forget", "forget1-question", "member", "retain", "nonmember")] == [
        True, True, True, False, False]  # fmt: skip


def test_questions_are_those_of_the_embedded_world() -> None:
    asked = questions("tofu:forget10", "embedded", "")
    assert len(asked) > 100 and all(text.endswith("?") for text in list(asked.values())[:20])
    assert questions("tofu:forget10", "files", "") == {}


# -- remembered ------------------------------------------------------------------------------------------------------

COLUMN = (FORGET, "extraction_strength")
AUTHORS = {FORGET: [f"author {i // 10}" for i in range(40)]}


def test_the_retrain_model_remembers_a_twentieth_and_an_author_is_counted_by_hand() -> None:
    """Retrain 0.00 ... 0.39: its 95% quantile is 0.37 (38 of 40), two items are above. The method remembers the whole
    of author 0 in seed 0 and half of it in seed 1: 0.75 of it, and 15 of 80 items."""
    retrain = np.arange(40) / 100
    halves = [np.where(np.arange(40) < k, 0.9, 0.1) for k in (10, 5)]
    values = {Run("retrain", s): {COLUMN: retrain} for s in (0, 1)} | {
        Run("target", s): {COLUMN: [1.0] * 40} for s in (0, 1)
    }
    crossed = of(values | {Run("m", s): {COLUMN: halves[s]} for s in (0, 1)}, AUTHORS)
    asked = table("extraction_strength", methods=("m", "retrain", "target"), seeds=(0, 1))
    (threshold,) = remembered(crossed, asked, 0)["extraction_strength"]
    assert threshold.above == pytest.approx(0.37)
    assert threshold.flags(crossed.values[Run("m", 1)]) == "1" * 5 + "0" * 35
    found = {row["author"]: row["share"] for row in shares(crossed, asked, "m").rows}
    assert found == {"": 15 / 80, "author 0": 0.75, "author 1": 0, "author 2": 0, "author 3": 0}
    overall = {
        m: next(r["share"] for r in shares(crossed, asked, m).rows if not r["author"]) for m in ("retrain", "target")
    }
    assert overall == {"retrain": 0.05, "target": 1.0}


def test_unscored_items_do_not_count() -> None:
    own = np.where(np.arange(40) < 5, np.nan, 0.9)
    crossed = of({Run("retrain", 0): {COLUMN: np.zeros(40)}, Run("m", 0): {COLUMN: own}}, AUTHORS)
    asked = table("extraction_strength", methods=("m",))
    (threshold,) = remembered(crossed, asked, 0)["extraction_strength"]
    assert threshold.flags(crossed.values[Run("m", 0)]) == "-" * 5 + "1" * 35
    rows = {row["author"]: row for row in shares(crossed, asked, "m").rows}
    assert (rows["author 0"]["items"], rows["author 0"]["share"], rows[""]["items"]) == (5, 1.0, 35)


TIED_AT_THE_TOP = [1.0] * 4 + [0.0] * 36


@pytest.mark.parametrize(
    ("retrain", "target", "tells"),
    [([0.0] * 40, [1.0] * 40, True), ([0.3] * 40, [0.3] * 40, False), (TIED_AT_THE_TOP, [1.0] * 40, False)],
)
def test_a_metric_that_cannot_tell_says_so(retrain, target, tells) -> None:
    """A constant column, and one of which a tenth is at its top without having been seen: nothing can be above."""
    crossed = of({Run("retrain", 0): {COLUMN: retrain}, Run("target", 0): {COLUMN: target}}, AUTHORS)
    found = shares(crossed, table("extraction_strength", methods=("target",)), "target")
    assert bool(found.rows) is tells
    assert tells or "cannot tell" in found.silent["extraction_strength"]


def test_the_item_value_of_a_metric_counts_and_an_average_has_a_threshold_for_each_set() -> None:
    """Truth preference falls with the log truth ratio: the item with the lowest ratio is remembered. LUME's knowledge
    is a mean over three sets."""
    ratio = (FORGET, "log_truth_ratio")
    sets = [f"forget{n}-question" for n in (1, 2, 3)]
    knows = {(s, "knowledge"): [1.0, 0, 0, 0] for s in sets}
    retrain = {ratio: np.zeros(40), **{need: np.zeros(4) for need in knows}}
    values = {Run("retrain", 0): retrain, Run("m", 0): {ratio: [-1.0] + [1.0] * 39, **knows}}
    crossed = of(values, AUTHORS | {s: [f"{s} {i}" for i in range(4)] for s in sets})
    asked = table("truth_preference", "lume_knowledge", "mia_auc", "no_such_metric", methods=("m",))
    marks = remembered(crossed, asked, 0)
    assert marks["truth_preference"][0].above == pytest.approx(expit(0))
    assert marks["truth_preference"][0].flags(crossed.values[Run("m", 0)]) == "1" + "0" * 39
    assert [threshold.set for threshold in marks["lume_knowledge"]] == sets
    found = shares(crossed, asked, "m")
    overall = {row["metric"]: (row["share"], row["items"]) for row in found.rows if not row["author"]}
    assert overall == {"truth_preference": (1 / 40, 40), "lume_knowledge": (3 / 12, 12)}
    assert set(found.silent) == {"mia_auc", "no_such_metric"} and "no mean over items" in found.silent["mia_auc"]


def test_without_a_retrain_model_nothing_is_called_remembered() -> None:
    crossed = of({Run("m", 0): {COLUMN: [1.0] * 40}}, AUTHORS)
    found = shares(crossed, table("extraction_strength", methods=("m",)), "m")
    assert found.rows == [] and "no retrain model" in found.silent["extraction_strength"]
