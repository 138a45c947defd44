"""`bench score`: a log's own scores in a few lines, own cells as others compute them, nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.metrics._compat import CHANGED, COMPATS
from bench.metrics._items import Items
from bench.run.importing import import_log
from bench.score.foreign import score_log
from bench.score.scoring import item_table, score_items, scores_of
from bench.store import files
from bench.store.record import Cell, Record
from bench.store.rows import write_rows
from tests.metrics.conftest import build_rows, random_items
from tests.score.test_foreign_logs import open_unlearning_log, tofu_log

TASK = "tofu:forget10"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for name, log in (("tofu", tofu_log()), ("retrain", tofu_log(2)), ("ou", open_unlearning_log())):
        (tmp_path / f"{name}.json").write_text(json.dumps(log))
    return tmp_path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A method's cell and its retrain model's, with rows, among them answers whose last token is missed."""
    folder = tmp_path / "results"
    for seed, method in enumerate(("retrain", "fo-npo")):
        rows = build_rows(random_items(seed))
        items = item_table(rows, scores_of(TASK))
        keys = {"train": method, "measure": method, "score": method}
        scores = score_items(items, items, scores_of(TASK))
        files.save(folder, Record(Cell(TASK, method, "tiny", "embedded", 0), "ok", keys, {}, scores=scores), items)
        write_rows(rows, files.rows_path(folder, method))
    return folder


def said(capsys, *words: str | Path, status: int = 0) -> tuple[str, str]:
    assert main([*map(str, words)]) == status
    told = capsys.readouterr()
    return told.out, told.err


def test_a_log_in_few_lines_headlines_first(capsys, logs: Path):
    out, err = said(capsys, "score", logs / "tofu.json", "--reference", logs / "retrain.json")
    names = [line.split()[0] for line in out.splitlines()]
    assert names[:4] == ["forget_quality", "model_utility", "mia_auc", "task_aggregate"]
    assert set(names[4:]) == {"rouge", "probability", "truth_ratio", "truth_preference"}, (
        "of the others only what this log can have"
    )
    assert "holdout" in out, "a headline score that is missing says why"
    assert "more scores, and" in err and "--all" in err


def test_all_of_a_log_is_of_its_own_benchmark(capsys, logs: Path):
    out, err = said(capsys, "score", logs / "tofu.json", "--all")
    names = [line.split()[0] for line in out.splitlines()]
    assert set(names) == set(scores_of(TASK)) and not [
        name for name in names if "lume" in name or name.startswith("general")
    ]
    assert "--all" not in err
    assert "lume_forget_quality" not in score_log(logs / "tofu.json")


def test_json_says_why_a_score_is_missing(capsys, logs: Path):
    scores = json.loads(said(capsys, "score", logs / "tofu.json", "--json")[0])
    assert set(scores["rouge"]) == {"value", "lo", "hi", "n", "note"}
    assert scores["mia_auc"]["value"] is None and "holdout" in scores["mia_auc"]["note"]


def test_extraction_strength_of_an_open_unlearning_log_says_what_it_carries(capsys, logs: Path, monkeypatch):
    path = logs / "ou.json"
    assert "carries open-unlearning's 1/m" in said(capsys, "score", path)[0]
    assert "1/m" in json.loads(said(capsys, "score", path, "--json")[0])["extraction_strength"]["note"]
    assert "1/m" not in said(capsys, "score", path, "--compat", "open-unlearning")[0], "there it is what was asked for"
    assert "1/m" not in said(capsys, "score", logs / "tofu.json", "--all")[0]
    words = ("import", path, "--task", TASK, "--method", "npo", "--of", "7b", "--results", logs / "r")
    monkeypatch.setattr("bench.run.importing._FORGET_ITEMS", {})
    assert "1/m" in said(capsys, *words)[1]
    (record,) = files.records(logs / "r", print).values()
    assert any("1/m" in note for note in record.notes) and "1/m" in record.scores["extraction_strength"].note


def test_own_cells_as_open_unlearning_computes_them(capsys, results: Path):
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    plain = json.loads(said(capsys, "score", "fo-npo", "--results", results, "--json")[0])
    theirs = json.loads(
        said(capsys, "score", "fo-npo", "--compat", "open-unlearning", "--results", results, "--json")[0]
    )
    (name,) = plain
    assert name == str(Cell(TASK, "fo-npo", "tiny", "embedded", 0)) and set(theirs) == {name}
    rows = build_rows(random_items(1))
    expected = score_items(
        item_table(rows, scores_of(TASK), "open-unlearning"),
        item_table(build_rows(random_items(0)), scores_of(TASK), "open-unlearning"),
        scores_of(TASK),
        compat="open-unlearning",
    )
    assert theirs[name] == {score: expected[score]._asdict() for score in theirs[name]}
    assert theirs[name]["extraction_strength"]["value"] > plain[name]["extraction_strength"]["value"]
    out, _ = said(capsys, "score", "--compat", "tofu", "--results", results)
    assert out.count("as tofu computes it") == 2 and "extraction_strength" in out
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before, "nothing is stored"


def test_without_rows_only_what_an_item_table_tells(capsys, results: Path):
    stored = json.loads(said(capsys, "score", "fo-npo", "--results", results, "--json")[0])
    for path in (results / "rows").iterdir():
        path.unlink()
    (theirs,) = json.loads(
        said(capsys, "score", "fo-npo", "--compat", "open-unlearning", "--results", results, "--json")[0]
    ).values()
    (ours,) = stored.values()
    for name in ("extraction_strength", "truth_ratio", "forget_quality", "model_utility"):
        assert theirs[name]["value"] is None and "needs the rows" in theirs[name]["note"]
    for name in ("rouge", "probability", "mia_auc", "task_aggregate"):
        assert theirs[name]["value"] == pytest.approx(ours[name]["value"], rel=1e-6)
    assert "needs the rows" in said(capsys, "score", "fo-npo", "--compat", "open-unlearning", "--results", results)[0]


@pytest.mark.parametrize("compat", COMPATS)
@pytest.mark.parametrize("seed", range(3))
def test_the_columns_that_a_behaviour_changes_are_listed(compat, seed):
    """Else an item table would be taken for what it is not."""
    rows = build_rows(random_items(seed))
    ours, theirs = Items.of(rows), Items.of(rows, compat)
    for column in [name for name in item_table(rows, scores_of(TASK)) if hasattr(ours, str(name))]:
        same = getattr(ours, column).equals(getattr(theirs, column))
        assert same or column in CHANGED[compat], column


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["score", "fo-npoo"], 2, "none has 'fo-npoo'. Did you mean 'fo-npo'?"),
        (["score", "fo-npo", "--compat", "tofuu"], 2, "no compat 'tofuu'. Known: tofu"),
        (["score", "fo-npo", "--reference", "x.json"], 2, "--reference goes with a LOG"),
        (["score", "--all"], 2, "go with a LOG, a CELL or --compat"),
        (["score", "nowhere.json"], 2, "nowhere.json cannot be read"),
    ],
)
def test_misuse(capsys, results: Path, words, status, says):
    assert says in said(capsys, *words, "--results", results, status=status)[1]


def test_what_others_measured_is_scored_from_its_log(capsys, logs: Path, results: Path):
    import_log(logs / "ou.json", None, task="lume", method="theirs", model="7b", seed=0, results=results)
    assert "theirs" not in said(capsys, "score", "--compat", "tofu", "--results", results)[0]
    assert "Score its log" in said(capsys, "score", "theirs", "--compat", "tofu", "--results", results, status=1)[1]
