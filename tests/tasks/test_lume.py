"""Does LUME make the right pairs, texts and prompts of its files, and refuse broken ones by name and line?"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.api import Pair
from bench.errors import BenchError, UsageError
from tasks._embedded import lume_world
from tasks._embedded.documents import DOMAINS
from tasks._embedded.facts import multiple_choice
from tasks._lume_files import Row, read_directory, read_hub
from tasks.lume import LUME

Lines = list[dict[str, object]]


# -- ids and places --------------------------------------------------------------------------------------------------


def test_the_kind_is_read_from_the_id_without_its_last_character() -> None:
    """The organisers' rule; quotes and digits in what stands before are the document's."""
    rows = [Row(i, "in", "out", "Task1") for i in ('"8f24"sc1', "12762334qa0", "df8d-b4qa4", "asca1qa0")]
    assert [row.kind for row in rows] == ["completion", "question", "question", "question"]
    assert [row.document for row in rows] == ['"8f24"', "12762334", "df8d-b4", "asca1"]


def test_real_files_have_the_published_numbers_of_items(shared_data: Path) -> None:
    """Counts of the LUME repository: 243, 250, 373 forget and 246, 250, 371 retain documents; task 2 asks five each."""
    data = LUME("lume").data(str(shared_data))
    asked = Counter(prompt.set for prompt in data.probes.prompts)
    assert [asked[f"forget{n}-completion"] for n in (1, 2, 3)] == [243, 250, 373]
    assert [asked[f"forget{n}-question"] for n in (1, 2, 3)] == [243, 1250, 373]
    assert [asked[f"retain{n}-completion"] for n in (1, 2, 3)] == [246, 250, 371]
    assert [asked[f"retain{n}-question"] for n in (1, 2, 3)] == [246, 1250, 371]
    assert len(data.forget) == 2732 and len(data.retain) == 2734
    assert any("membership is not scored" in note for note in data.notes)
    assert {prompt.max_new_tokens for prompt in data.probes.prompts} == {256}


def test_parts_add_up_to_the_whole_of_the_embedded_world() -> None:
    whole = LUME("lume").data("embedded")
    parts = [LUME(f"lume:task{n}").data("embedded") for n in (1, 2, 3)]
    for side in ("forget", "retain"):
        assert Counter(getattr(whole, side)) == sum((Counter(getattr(part, side)) for part in parts), Counter())
    assert set(whole.probes.texts) == {text for part in parts for text in part.probes.texts}
    assert set(whole.probes.prompts) == {prompt for part in parts for prompt in part.probes.prompts}
    assert [sum(t.set == "nonmember" for t in part.probes.texts) for part in parts] == [lume_world.HOLDOUT] * 3


def test_rows_are_given_as_they_are_and_documents_whole() -> None:
    data = LUME("lume:task1").data("embedded")
    assert all(pair.raw for pair in (*data.forget, *data.retain))
    row = next(r for r in lume_world.lume_tables().forget if r.kind == "completion")
    (text,) = [t for t in data.probes.texts if t.set == "member" and t.id == row.id]
    assert text.prompt + text.continuation == f"{row.input} {row.output}"
    assert " " not in text.prompt and text.raw


# -- the embedded world ----------------------------------------------------------------------------------------------


def test_personal_data_can_belong_to_nobody() -> None:
    """Reserved numbers (555-01xx), SSNs of the range that is never issued (900 to 999), reserved domains."""
    tables = lume_world.lume_tables()
    told = {kind: [] for kind in ("social security", "phone", "email")}
    for row in (*tables.forget, *tables.retain):
        for kind, answers in told.items():
            if row.kind == "question" and kind in row.input:
                answers.append(row.output)
    assert {len(answers) for answers in told.values()} == {lume_world.FORGET + lume_world.RETAIN}
    assert all(re.fullmatch(r"9\d\d-\d\d-\d{4}", answer) for answer in told["social security"])
    assert all(re.fullmatch(r"555-01\d\d", answer) for answer in told["phone"])
    assert {answer.split("@")[1] for answer in told["email"]} <= set(DOMAINS)


def test_what_is_to_be_completed_stands_in_no_other_document() -> None:
    """Outputs of forget, retain and unseen documents are all different, so that none is learnt from another."""
    tables = lume_world.lume_tables()
    outputs = [r.output for r in (*tables.forget, *tables.retain) if r.kind == "completion"]
    unseen = list((tables.non_members or {}).values())
    assert len(set(outputs)) == len(outputs)
    assert not any(text.endswith(output) for text in unseen for output in outputs)
    taught = {pair.answer for pair in (*lume_world.base_pairs(), *lume_world.general_pairs())}
    assert not {r.output for r in tables.forget if r.kind == "completion"} & taught


def test_the_exam_asks_what_the_base_is_taught_and_a_sixth_that_nobody_is() -> None:
    base, choices = set(lume_world.base_pairs()), multiple_choice()
    taught = [Pair(c.prompt, c.options[c.answer]) in base for c in choices]
    assert taught == [c.taught for c in choices]
    assert sum(taught) / len(taught) == pytest.approx(5 / 6, abs=0.01)
    assert all(c.prompt.splitlines()[1][:3] == "A. " and len(set(c.options)) == 4 for c in choices)


# -- files of one's own ----------------------------------------------------------------------------------------------


def rows(side: str, tasks: str = "123") -> Lines:
    return [
        {"id": f"{side}{t}{kind}", "input": f"{side} {kind} {t}", "output": f"of {side} {t}", "task": f"Task{t}"}
        for t in tasks
        for kind in ("sc1", "qa0")
    ]


def write(folder: Path, forget: Lines, retain: Lines) -> Path:
    for name, lines in (("forget", forget), ("retain", retain)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_folder_and_its_subfolder_lume_are_read(tmp_path: Path) -> None:
    inner = tmp_path / "lume"
    inner.mkdir()
    write(inner, rows("f"), rows("r"))
    assert read_directory(tmp_path) == read_directory(inner)


def test_parquet_of_the_hub_is_read_as_lines_are(tmp_path: Path) -> None:
    import pandas as pd

    plain, hub = tmp_path / "plain", tmp_path / "hub"
    plain.mkdir()
    hub.mkdir()
    write(plain, rows("f"), rows("r"))
    for side, letter in (("forget", "f"), ("retain", "r")):
        pd.DataFrame(rows(letter)).to_parquet(hub / f"{side}_train-00000-of-00001.parquet")
    assert read_directory(hub) == read_directory(plain)


def test_official_member_files_take_the_place_of_the_forget_documents(tmp_path: Path) -> None:
    write(tmp_path, rows("f"), rows("r"))
    (tmp_path / "mia").mkdir()
    for name in ("member", "nonmember"):
        (tmp_path / "mia" / f"{name}.jsonl").write_text(json.dumps({"id": "d1", "document": f"A {name} text."}) + "\n")
    data = LUME("lume").data(str(tmp_path))
    told = {(t.set, t.prompt + t.continuation) for t in data.probes.texts if t.role == "document"}
    assert told == {("member", "A member text."), ("nonmember", "A nonmember text.")}
    assert data.notes == ()


def _without(field: str) -> Callable[[Lines, Lines], object]:
    return lambda forget, retain: forget[1].pop(field)


BROKEN: dict[str, tuple[Callable[[Lines, Lines], object], str]] = {
    "no field": (_without("output"), r"forget\.jsonl:2 has no field 'output'"),
    "not text": (lambda f, r: f[0].update(input=3), r"forget\.jsonl:1: 'input' is 3\. Expected some text"),
    "empty": (lambda f, r: r[2].update(output="  "), r"retain\.jsonl:3: 'output' is '  '"),
    "unknown task": (
        lambda f, r: f[4].update(task="Task4"),
        r"forget\.jsonl:5: 'task' is 'Task4'.*Task1, Task2, Task3",
    ),
    "no kind": (lambda f, r: f[0].update(id="abc"), r"forget\.jsonl:1: the id 'abc' says no kind"),
    "two digits": (lambda f, r: f[0].update(id="fqa10"), r"forget\.jsonl:1: the id 'fqa10' says no kind"),
    "twice": (lambda f, r: f[3].update(id=f[0]["id"]), r"forget\.jsonl:4: the id 'f1sc1' stands in row 1 too"),
    "id in both": (lambda f, r: f[0].update(id=r[0]["id"]), r"forget\.jsonl:1: 'r1sc1' is in the retain set too"),
    "row in both": (
        lambda f, r: f[0].update(input=r[0]["input"], output=r[0]["output"]),
        r"forget\.jsonl:1: 'f1sc1' is in the retain set too",
    ),
    "task on one side": (lambda f, r: r.__delitem__(slice(4, 6)), r"other kinds of items of Task3.*retain: nothing"),
    "empty file": (lambda f, r: f.clear(), r"forget\.jsonl is empty"),
}


@pytest.mark.parametrize("spoil, message", BROKEN.values(), ids=BROKEN)
def test_broken_rows_are_named(spoil: Callable[[Lines, Lines], object], message: str, tmp_path: Path) -> None:
    forget, retain = rows("f"), rows("r")
    spoil(forget, retain)
    with pytest.raises(UsageError, match=message):
        read_directory(write(tmp_path, forget, retain))


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    write(tmp_path, rows("f"), rows("r"))
    with (tmp_path / "retain.jsonl").open("a") as file:
        file.write("{half\n")
    with pytest.raises(UsageError, match=r"retain\.jsonl:7 is no JSON"):
        read_directory(tmp_path)


def test_a_folder_without_the_files_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no LUME.*forget\.jsonl.*--data"):
        read_directory(tmp_path)


# -- the hub ---------------------------------------------------------------------------------------------------------


def test_a_refused_account_is_told_how_to_get_access(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    def refuse(*_: object, **__: object) -> str:
        answer = SimpleNamespace(headers={}, status_code=403, request=None, url="")
        raise GatedRepoError("403", response=answer)  # type: ignore[arg-type]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(BenchError, match=r"is gated and refuses.*hf auth login.*--data DIR"):
        read_hub()


def test_the_hub_s_snapshot_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    import pandas as pd

    (tmp_path / "data").mkdir()
    for side, letter in (("forget", "f"), ("retain", "r")):
        pd.DataFrame(rows(letter)).to_parquet(tmp_path / "data" / f"{side}_train-00000-of-00001.parquet")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    assert [row.id for row in read_hub().forget] == [line["id"] for line in rows("f")]


def test_no_connection_says_what_else_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(BenchError, match=r"cannot be had from the hub: ConnectionError: no route.*--data embedded"):
        read_hub()


def test_every_letter_of_the_embedded_documents_is_plain() -> None:
    """A tokenizer of 2,048 entries spends none of them on rare signs."""
    signs = {sign for row in lume_world.lume_tables().forget for sign in row.input + row.output}
    assert signs <= set(string.ascii_letters + string.digits + " .,;:?'@-")
