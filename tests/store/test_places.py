"""No name leads out of a results directory, onto another cell's place, or where no file can be."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.cli.main import main
from bench.errors import UsageError
from bench.names import LONGEST, unfit
from bench.run.plan import Request, plan
from bench.run.state import state_of
from bench.store import answers, attacked, files, live, trials
from bench.store.record import NO_RECORDS, Cell, Record
from tests.fuzz.mutate import TEXTS
from tests.score.test_foreign_logs import tofu_log

RESULTS = Path("/somewhere/results")
CELL = Cell("tofu:forget10", "fo-npo", "tiny", "embedded", 0)
NAMES = st.one_of(st.sampled_from([*TEXTS, *NO_RECORDS]), st.text(max_size=30), st.text("./\\:-ab\0\n", max_size=8))
BAD = ["", ".", "..", ".hidden", "../..", "a\\b", "a\0b", "a\nb", "a\x7fb", "a\u2028b", "\ud800", "n" * (LONGEST + 1)]


def places(results: Path, cell: Cell) -> list[Path]:
    """Every file that is made of a cell's names."""
    return [of(results, cell) for of in (files.record_path, files.items_path, answers.path, attacked.path)]


@given(st.tuples(NAMES, NAMES, NAMES, NAMES, st.integers(-3, 10**6)))
@example(("tofu:forget10", "/etc/passwd", "/abs", "embedded", 0))
@settings(derandomize=True, deadline=None)
def test_a_cell_lies_four_levels_down_or_nowhere(names: tuple[str, str, str, str, int]) -> None:
    try:
        found = places(RESULTS, Cell(*names))
    except UsageError as error:
        assert "has no place" in str(error)
        str(error).encode()
        return
    for place in found:
        assert Path(os.path.normpath(place)) == place and place.parents[3] == RESULTS
        assert not any(part.startswith(".") or len(part.encode()) > 255 for part in place.relative_to(RESULTS).parts)
    assert len(set(found)) == 4


@given(NAMES, NAMES)
@settings(derandomize=True, deadline=None)
def test_two_cells_have_two_places_or_are_refused_together(one: str, two: str) -> None:
    cells = [CELL._replace(method=one), CELL._replace(method=two)]
    try:
        files.refuse_shared(RESULTS, cells)
    except UsageError:
        return
    assert one == two or len({files.record_path(RESULTS, cell) for cell in cells}) == 2


@pytest.mark.parametrize("name", BAD, ids=ascii)
@pytest.mark.parametrize("what", ["task", "method", "model", "data"])
def test_a_name_that_no_file_can_have_is_named(what: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"its {what} .* cannot name a file") as said:
        files.record_path(RESULTS, CELL._replace(**{what: name}))
    assert "Take another name" in str(said.value) and len(str(said.value)) < 600


@pytest.mark.parametrize("data", NO_RECORDS)
def test_no_data_are_called_like_a_folder_of_other_files(data: str) -> None:
    with pytest.raises(UsageError, match="folder of other files"):
        files.record_path(RESULTS, CELL._replace(data=data))


def test_the_places_of_ordinary_names_are_what_they_were() -> None:
    places = {
        CELL: "embedded/tiny/tofu-forget10/fo-npo.seed0.json",
        Cell("scale:tofu:20", "a/b@m=1", "meta-llama/Llama-3.2-1B@oracle", "hub@validation", 7): (
            "hub@validation/meta-llama--Llama-3.2-1B@oracle/scale-tofu-20/a-b@m=1.seed7.json"
        ),
        Cell("lume", "npo+sophia+simu@lr=1e-5", "my model-0a1b2c3d", "files", 0): (
            "files/my model-0a1b2c3d/lume/npo+sophia+simu@lr=1e-5.seed0.json"
        ),
    }
    for cell, place in places.items():
        assert files.record_path(RESULTS, cell) == RESULTS / place


# -- two names, one place --------------------------------------------------------------------------------------------

SHARED = [
    {"method": "a/b"}, {"method": "a-b"},
    {"task": "tofu-forget10"}, {"task": "tofu:forget10"},
    {"model": "a/b"}, {"model": "a--b"},
]  # fmt: skip


@pytest.mark.parametrize(("one", "two"), list(zip(SHARED[::2], SHARED[1::2], strict=True)))
def test_no_record_is_written_over_another_cell_s(tmp_path: Path, one: dict[str, str], two: dict[str, str]) -> None:
    first, second = CELL._replace(**one), CELL._replace(**two)
    files.save(tmp_path, Record(first, "failed", {}, {}, error="first"), None)
    for use in (
        lambda: files.save(tmp_path, Record(second, "failed", {}, {}), None),
        lambda: files.find(tmp_path, second),
        lambda: state_of(tmp_path, second, {}, {}),
    ):
        with pytest.raises(UsageError, match="would both lie in"):
            use()
    found = files.find(tmp_path, first)
    assert found is not None and found.error == "first"


def test_a_record_that_was_copied_to_another_cell_s_place_is_made_anew(tmp_path: Path) -> None:
    place = files.save(tmp_path, Record(CELL, "failed", {}, {}), None)
    other = CELL._replace(method="fo-ga")
    files.record_path(tmp_path, other).write_bytes(place.read_bytes())
    state, why = state_of(tmp_path, other, {}, {})
    assert state == "stale" and "holds the record of" in why
    files.save(tmp_path, Record(other, "failed", {}, {}), None)
    assert files.find(tmp_path, other) is not None


# -- names from elsewhere --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*BAD, "/outside", "a/b"], ids=ascii)
def test_rows_and_trials_have_no_such_names_either(tmp_path: Path, name: str) -> None:
    if name:
        with pytest.raises(UsageError, match="no rows"):
            files.rows_path(tmp_path, name)
    if unfit(name.replace("/", "-")):
        for where in (
            lambda: trials.path(tmp_path, name),
            lambda: trials.folder(tmp_path, name, "tiny", "lume"),
            lambda: trials.folder(tmp_path, "embedded", name, "lume"),
            lambda: trials.folder(tmp_path, "embedded", "tiny", name or ".."),
        ):
            with pytest.raises(UsageError, match="no trials can be kept"):
                where()


@given(st.one_of(st.sampled_from([text for text in TEXTS if text != "\ud800"]), st.text(st.characters(codec="utf-8"))))
@settings(derandomize=True, deadline=None)
def test_a_live_file_lies_in_its_folder(name: str) -> None:
    place = live.path(RESULTS, name)
    assert place.parent == RESULTS / live.FOLDER and not place.name.startswith(".") and len(place.name) < 200


def test_a_checkpoint_whose_folder_is_called_so_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache")
    for label in (".hidden-0a1b2c3d", "a\nb-0a1b2c3d"):
        monkeypatch.setattr(Request, "model_label", label)
        with pytest.raises(UsageError, match="its model .* cannot name a file"):
            plan(dataclasses.replace(request), ["target"], ["tofu:forget10"], [0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("--method", ".."), ("--of", "."), ("--method", "../../x"), ("--of", "a/b")], ids=str
)
def test_an_imported_log_cannot_be_filed_elsewhere(tmp_path: Path, capsys, words: tuple[str, str]) -> None:
    (tmp_path / "log.json").write_text(json.dumps(tofu_log()))
    given = {"--method": "theirs", "--of": "llama", "--task": "lume", "--results": str(tmp_path / "in" / "results")}
    given |= dict([words])
    assert main(["import", str(tmp_path / "log.json"), *(w for pair in given.items() for w in pair)]) == 2
    said = capsys.readouterr().err
    assert repr(words[1]) in said and "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["log.json"]
