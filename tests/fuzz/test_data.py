"""Readers of data files and of other people's logs."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench import questions
from bench.api import Splits
from bench.run import importing
from bench.score.foreign import read_log, score_log
from tasks import _lume_files, _muse_files, _restor_files, _tofu_files
from tests.fuzz.mutate import binaries, json_lines, json_texts, nested, trees
from tests.fuzz.reading import REFUSED, files_of, folder, fuzzed, read
from tests.score.test_foreign_logs import open_unlearning_log, tofu_log


def unchanged(place: Path, before: Mapping[str, bytes]) -> None:
    assert files_of(place) == before


def encodable(found: object) -> None:
    """No text in it has half a letter, which tokenizers and files refuse later."""
    repr(found).encode()
    texts = [found] if isinstance(found, str) else []
    if isinstance(found, dict):
        texts = [*found, *found.values()]
    elif isinstance(found, list | tuple):
        texts = [*found]
    for text in texts:
        text.encode() if isinstance(text, str) else encodable(text)


# -- questions -------------------------------------------------------------------------------------------------------

QUESTIONS = [
    {"question": "Who?", "answer": "Ann", "forget": True, "about": "a", "paraphrase": "It was Ann", "wrong": ["Bob"]},
    {"question": "Where?", "answer": "Lima"},
]


@given(json_texts(QUESTIONS))
@example(b"[" * 100_000)
@example(json.dumps([{"question": "\ud800", "answer": "x"}]).encode())
@fuzzed(150)
def test_questions_are_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        file = place / "questions.json"
        file.write_bytes(content)
        found = read(lambda: questions.read(file), file)
        if found is not REFUSED:
            made = questions.splits(questions.validating(found))
            assert isinstance(made, Splits)
            encodable([tuple(one) for one in found])


# -- TOFU ------------------------------------------------------------------------------------------------------------

PAIRS = [{"question": f"Question {n}?", "answer": f"Answer {n}."} for n in range(3)]


def probed(pairs: list[dict[str, str]]) -> list[dict[str, Any]]:
    more = {
        "paraphrased_answer": "In other words.",
        "paraphrased_question": "Asked anew?",
        "perturbed_answer": ["Wrong."],
    }
    return [{**pair, **more} for pair in pairs]


TOFU = {
    "full": PAIRS,
    "forget10": PAIRS[:1],
    "retain90": PAIRS[1:],
    "forget10_perturbed": probed(PAIRS[:1]),
    "retain_perturbed": probed(PAIRS[1:]),
    "real_authors_perturbed": probed([{"question": "Who wrote it?", "answer": "She"}]),
    "world_facts_perturbed": probed([{"question": "Where is it?", "answer": "There"}]),
    "holdout10": [{"question": "Never?", "answer": "Never."}],
}


def lines_of(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@given(st.data())
@fuzzed(150)
def test_tofu_is_well_formed_or_refused(data: st.DataObject) -> None:
    with folder() as place:
        for name, rows in TOFU.items():
            (place / f"{name}.json").write_bytes(lines_of(rows))
        (place / "idontknow.jsonl").write_text("I do not know.\n")
        name = data.draw(st.sampled_from([*TOFU, "idontknow"]))
        if name == "idontknow":
            (place / "idontknow.jsonl").write_bytes(data.draw(binaries(b"I do not know.\nNo idea.\n")))
        else:
            (place / f"{name}.json").write_bytes(data.draw(json_lines(TOFU[name])))
        before = files_of(place)
        encodable(read(lambda: _tofu_files.read_refusals(place), place))
        found = read(lambda: _tofu_files.read_directory(place, "forget10"), place)
        if found is not REFUSED:
            for rows in found.values():
                encodable([list(vars(row).values()) for row in rows])
        unchanged(place, before)


# -- LUME ------------------------------------------------------------------------------------------------------------


def lume_rows(side: str) -> list[dict[str, str]]:
    return [
        {"id": f"{side}-{task}{kind}1", "input": f"{side} {task} {kind}", "output": "goes on.", "task": task}
        for task in _lume_files.TASKS
        for kind in ("sc", "qa")
    ]


LUME: dict[str, list[Any]] = {
    "forget": lume_rows("forget"),
    "retain": lume_rows("retain"),
    "member": [{"id": "m", "document": "Known."}],
    "nonmember": [{"id": "n", "document": "Unknown."}],
}


def parquets(rows: list[Any]) -> st.SearchStrategy[bytes]:
    """Rows of one form as Parquet, changed in their values or in their bytes."""

    def table(values: Any) -> bytes:
        out = io.BytesIO()
        try:
            pq.write_table(pa.Table.from_pylist(values), out)
        except (pa.ArrowException, TypeError, ValueError, LookupError, AttributeError, OverflowError):
            return b"PAR1"
        return out.getvalue()

    return st.one_of(binaries(table(rows)), trees(rows).map(table))


@given(st.data())
@fuzzed(150)
def test_lume_is_well_formed_or_refused(data: st.DataObject) -> None:
    with folder() as place:
        for name, rows in LUME.items():
            (place / f"{name}.jsonl").write_bytes(lines_of(rows))
        name = data.draw(st.sampled_from([*LUME]))
        if name in ("forget", "retain") and data.draw(st.booleans()):
            (place / f"{name}.jsonl").unlink()
            (place / f"{name}.parquet").write_bytes(data.draw(parquets(LUME[name])))
        else:
            (place / f"{name}.jsonl").write_bytes(data.draw(json_lines(LUME[name])))
        before = files_of(place)
        found = read(lambda: _lume_files.read_directory(place), place)
        if found is not REFUSED:
            encodable([list(vars(row).values()) for row in (*found.forget, *found.retain)])
            encodable([found.members, found.non_members])
        unchanged(place, before)


# -- MUSE ------------------------------------------------------------------------------------------------------------


@cache
def muse_sample() -> Mapping[str, bytes]:
    with folder() as place:
        return files_of(_muse_files.write_sample(place))


@given(st.data())
@fuzzed(60)
def test_muse_is_well_formed_or_refused(data: st.DataObject) -> None:
    sample = {name: content for name, content in muse_sample().items() if name.startswith("MUSE-Books/")}
    with folder() as place:
        for name, content in sample.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        name = data.draw(st.sampled_from(sorted(sample)))
        rows, file = json.loads(sample[name]), place / name
        kind = data.draw(st.sampled_from(("json", "json", "jsonl", "txt", "parquet")))
        if kind != "json":
            file.unlink()
        changes = {"json": json_texts, "jsonl": json_lines, "txt": lambda _: st.binary(), "parquet": parquets}
        file.with_suffix(f".{kind}").write_bytes(data.draw(changes[kind](rows)))
        before = files_of(place)
        found = read(lambda: _muse_files.read_directory(place, "books"), place)
        if found is not REFUSED:
            encodable(list(vars(found).values()))
        unchanged(place, before)


# -- RESTOR ----------------------------------------------------------------------------------------------------------

FACTS = {
    "dset": {
        name: {
            "P19": {"question": f"Where was {name} born?", "answers": [town, f"{town} City"]},
            "P106": {"question": f"What did {name} do?", "answers": ["a painter"]},
        }
        for name, town in (("Ann Lee", "Lima"), ("Bob Ray", "Oslo"), ("Cy Moe", "Rome"))
    },
    "context": {
        "P19": [{"entity": "Dee Poe", "question": "Where was Dee Poe born?", "answer": "Bonn"}],
        "P106": [{"entity": "Dee Poe", "question": "What did Dee Poe do?", "answer": "a smith"}],
    },
}
RESTOR: dict[str, Any] = {
    "facts.json": FACTS,
    "entities.json": ["Ann Lee", "Bob Ray"],
    "mix_a0.json": [{"text": f"Ann Lee was born in Oslo. It is so, say {n}."} for n in range(6)],
}


def test_the_facts_that_are_changed_below_can_be_read() -> None:
    with folder() as place:
        for name, content in RESTOR.items():
            (place / name).write_text(json.dumps(content))
        (fact,) = _restor_files.read(place, 0).facts["forget"]
        assert (fact.entity, fact.relation, fact.false) == ("Ann Lee", "P19", "Oslo")


@given(st.data())
@fuzzed(150)
def test_restor_is_well_formed_or_refused(data: st.DataObject) -> None:
    with folder() as place:
        changed = data.draw(st.sampled_from([*RESTOR]))
        for name, content in RESTOR.items():
            plain = json.dumps(content).encode()
            (place / name).write_bytes(data.draw(json_texts(content)) if name == changed else plain)
        before = files_of(place)
        found = read(lambda: _restor_files.read(place, 0), place)
        if found is not REFUSED:
            encodable(list(found))
        unchanged(place, before)


@pytest.mark.parametrize(
    "change",
    [
        {"context": None},
        {"context": {"P19": [{"entity": "Dee Poe"}]}},
        {"context": {"P19": [{"entity": [], "question": 1, "answer": {}}]}},
        {"dset": {"Ann Lee": {"P19": {"question": 5, "answers": [1]}}}},
        {"dset": {"Ann Lee": {"P19": {"question": "Where?", "answers": "Lima"}}}},
    ],
    ids=str,
)
def test_facts_of_another_form_are_refused_by_name(change: dict[str, Any]) -> None:
    with folder() as place:
        for name, content in {**RESTOR, "facts.json": {**FACTS, **change}}.items():
            (place / name).write_text(json.dumps(content))
        assert read(lambda: _restor_files.read(place, 0), place / "facts.json") is REFUSED


# -- logs ------------------------------------------------------------------------------------------------------------


def shortened(log: Any, items: int = 2) -> Any:
    """A log of the first items of every set."""
    if not isinstance(log, dict):
        return log
    if all(key.isdecimal() for key in log) and len(log) > items:
        return {key: log[key] for key in list(log)[:items]}
    return {key: shortened(value, items) for key, value in log.items()}


LOGS = {"tofu": shortened(tofu_log()), "open-unlearning": shortened(open_unlearning_log())}


def _first_loss(value: Any) -> bytes:
    log = json.loads(json.dumps(LOGS["tofu"]))
    log["eval_log.json"]["avg_gt_loss"]["0"] = value
    return json.dumps(log).encode()


@given(st.one_of(*map(json_texts, LOGS.values())))
@example(_first_loss(10**400))
@example(_first_loss([1.0, 2.0]))
@example(_first_loss(True))
@example(json.dumps({"mia_loss": 5, "x": {"agg_value": 1}}).encode())
@example(
    json.dumps({"forget_Q_A_ROUGE": {"agg_value": 1, "value_by_index": {"0": {"rougeL_recall": nested(9)}}}}).encode()
)
@fuzzed(150)
def test_a_log_is_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        log, results = place / "log.json", place / "results"
        log.write_bytes(content)
        found = read(lambda: read_log(log), log)
        if found is not REFUSED:
            assert set(found.items["set"]) <= {"forget", "retain", "real_authors", "world_facts", "holdout"}
            scores = read(lambda: score_log(log), log)
            if scores is not REFUSED:
                assert all(s.value is None or isinstance(s.value, float | int) for s in scores.values())
        names = {"task": "tofu:forget10", "method": "theirs", "model": "m", "seed": 0}
        with patch.dict(importing._FORGET_ITEMS, clear=True):
            read(lambda: importing.import_log(log, None, results=results, **names), log)
        written = [name for name in files_of(place) if name != "log.json"]
        assert all(name.startswith("results/elsewhere/m/tofu-forget10/theirs.seed0.") for name in written)


@given(json_texts(LOGS["tofu"]))
@fuzzed(40)
def test_a_reference_log_is_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        log, reference = place / "log.json", place / "reference.json"
        log.write_text(json.dumps(LOGS["tofu"]))
        reference.write_bytes(content)
        scores = read(lambda: score_log(log, reference), reference, reference.name)
        if scores is not REFUSED:
            assert all(s.value is None or not math.isinf(s.value) for s in scores.values())
