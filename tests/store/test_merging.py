"""Two results directories made one: all of both, or nothing where they contradict."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.api import Score
from bench.cli.main import main
from bench.errors import BenchError
from bench.store import attacked, files, merging, trials
from bench.store.attacked import Attacked, Point
from bench.store.record import Cell, Record
from bench.store.trials import Trial

ITEMS = pd.DataFrame({"set": ["forget"], "id": ["1"], "cluster": ["a"], "rouge": [0.5]})


SAID = {"needs": "weights", "injects": "nothing", "axis": "", "from_plain": False, "controls": [], "at": None}


def record(method: str, seed: int = 0, value: float = 0.5, **other: object) -> Record:
    keys = {"train": f"t-{method}-{seed}", "measure": f"m-{method}-{seed}", "score": f"s-{method}-{seed}"}
    against = "itself" if method == "retrain" else f"m-retrain-{seed}"
    made = Record(Cell("t", method, "tiny", "embedded", seed), "ok", keys, {"retrain": against, "forget": "f"},
                  scores={"rouge": Score(value, 0.4, 0.6, 1)}, created="2026-01-01T00:00:00+00:00")  # fmt: skip
    return dataclasses.replace(made, **other)  # type: ignore[arg-type]


def directory(path: Path, *records: Record) -> Path:
    path.mkdir(exist_ok=True)
    for each in records:
        files.save(path, each, ITEMS if each.status == "ok" else None)
    return path


def cells(path: Path) -> set[str]:
    return {f"{cell.method}{cell.seed}" for cell in files.records(path, lambda line: pytest.fail(line))}


def test_what_the_other_has_more_comes_with_its_items_and_rows(tmp_path: Path) -> None:
    into = directory(tmp_path / "a", record("retrain"), record("x"))
    other = directory(
        tmp_path / "b", record("x", created="2026-02-02T00:00:00+00:00"), record("retrain", 1), record("x", 1)
    )
    (other / "rows").mkdir()
    (other / "rows" / "m-x-1.parquet").write_text("rows")
    assert main(["merge", str(into), str(other)]) == 0
    assert cells(into) == {"retrain0", "x0", "retrain1", "x1"}
    assert (into / "rows" / "m-x-1.parquet").read_text() == "rows"
    x = Cell("t", "x", "tiny", "embedded", 0)
    assert files.find(into, x).created.startswith("2026-01"), "what both have stays as it is"
    assert len(files.items(into, x._replace(seed=1))) == 1


@pytest.mark.parametrize(
    ("own", "others", "said"),
    [
        (record("x"), record("x", value=0.6), "rouge is 0.5 in the one and 0.6 in the other"),
        (
            record("x"),
            record("x", keys={"train": "u"}, identity={"retrain": "r", "forget": "g"}),
            "made from something",
        ),
        (record("x"), record("x", status="diverged", scores={}, error="e"), "ok in the one, diverged in the other"),
    ],
)
def test_what_contradicts_is_named_and_nothing_is_copied(tmp_path, capsys, own, others, said) -> None:
    into, other = directory(tmp_path / "a", own), directory(tmp_path / "b", others, record("y"))
    assert main(["merge", str(into), str(other)]) == 1
    told = capsys.readouterr()
    assert said in told.out and "nothing of it was copied" in told.err
    assert cells(into) == {"x0"}
    with pytest.raises(BenchError, match="1 contradictions"):
        merging.carry_out(merging.compared(into, other), into, other)


def test_a_cell_that_was_held_against_another_retrain_model_contradicts(tmp_path: Path) -> None:
    into = directory(tmp_path / "a", record("retrain"))
    strange = record("x", identity={"retrain": "another", "forget": "f"})
    found = merging.compared(into, directory(tmp_path / "b", strange))
    assert found.contradictions == [f"{strange.cell}: scored against another retrain model than the one in {into}"]
    alone = merging.compared(directory(tmp_path / "c"), tmp_path / "b")
    assert not alone.contradictions, "where there is none it has nothing to contradict"


def test_a_failed_cell_gives_way_and_never_replaces(tmp_path: Path) -> None:
    failed = record("x", status="failed", scores={}, error="no memory")
    into, other = directory(tmp_path / "a", failed), directory(tmp_path / "b", record("x"))
    merging.carry_out(merging.compared(into, other), into, other)
    assert files.find(into, failed.cell).status == "ok"
    back = directory(tmp_path / "c", failed)
    merging.carry_out(merging.compared(into, back), into, back)
    assert files.find(into, failed.cell).status == "ok"


def test_attacks_are_joined_and_may_not_contradict(tmp_path: Path) -> None:
    into, other = directory(tmp_path / "a", record("x")), directory(tmp_path / "b", record("x"))
    cell = record("x").cell

    def attack(where: Path, name: str, known: float) -> None:
        point = Point(name, "as delivered", "", "", 0.0, np.array([known], np.float16), np.empty(0))
        about = {"key": f"k-{name}", "model": "t", "how": "h", "about": SAID, "seconds": 1.0, "error": "", "notes": []}
        before = attacked.read(where, cell)
        start = before if before.done else Attacked((("1", "a"),), ())
        attacked.save(where, cell, start.with_attack(name, about, (point,)))

    attack(into, "noise", 0.25)
    attack(other, "noise", 0.25)
    attack(other, "prefix", 0.5)
    found = merging.compared(into, other)
    merging.carry_out(found, into, other)
    assert {*attacked.read(into, cell).done} == {"noise", "prefix"}
    attack(other, "noise", 0.75)
    assert merging.compared(into, other).contradictions == [f"attacks on {cell}: noise found something else"]


def test_trials_are_joined_and_may_not_contradict(tmp_path: Path) -> None:
    into, other = directory(tmp_path / "a"), directory(tmp_path / "b")
    file = Path("tuning", "embedded", "tiny", "t", "x.jsonl")

    def trial(number: int, error: str = "") -> Trial:
        return Trial("x", number, {"lr": number / 10}, {}, "embedded@100", 0, False, "failed" if error else "ok", error,
                     created="2026-01-01T00:00:00+00:00")  # fmt: skip

    trials.append(into / file, trial(1))
    for number in (1, 2):
        trials.append(other / file, trial(number))
    merging.carry_out(merging.compared(into, other), into, other)
    assert [each.number for each in trials.read(into / file)] == [1, 2]
    trials.append(directory(tmp_path / "c") / file, trial(2, "broken"))
    (said,) = merging.compared(into, tmp_path / "c").contradictions
    assert "trial 2 of embedded@100, seed 0, ended otherwise" in said


def test_what_cannot_be_read_stops_it(tmp_path: Path) -> None:
    into, other = directory(tmp_path / "a"), directory(tmp_path / "b", record("x"))
    files.record_path(other, record("x").cell).write_text("{")
    with pytest.raises(BenchError, match="Nothing was copied"):
        merging.compared(into, other)


def test_a_directory_is_not_merged_with_itself(tmp_path: Path, capsys) -> None:
    into = directory(tmp_path / "a", record("x"))
    assert main(["merge", str(into), str(into)]) == 2
    assert main(["merge", str(tmp_path / "none"), str(into)]) == 2
    assert "is INTO itself" in (said := capsys.readouterr().err) and "Make it" in said
