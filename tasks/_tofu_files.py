"""TOFU's tables, read from a directory with the hub's files or from the hub itself, and checked row by row.

Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv:2401.06121. The hub's files are named
after their tables and hold one JSON object a line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, UsageError
from bench.reading import json_of

HUB = "locuslab/TOFU"
REFUSALS = "idontknow.jsonl"
RETAIN = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}


@dataclass(frozen=True)
class Row:
    """One question with its answer; the other fields are empty in tables that do not have them."""

    question: str
    answer: str
    paraphrased_question: str = ""
    paraphrased_answer: str = ""
    perturbed_answer: tuple[str, ...] = ()
    original_answer: str = ""  # the answer as a sentence, in the two tables about the real world


Tables = Mapping[str, tuple[Row, ...]]
"""TOFU's tables by the names of the hub's files: "full", "forget10", "forget10_perturbed", ..."""

Where = Callable[[str, int], str]
"""Table and row number (from 1) to the place that an error message names."""


def required(forget: str) -> dict[str, tuple[str, ...]]:
    """The tables that the split `forget` needs, each with the fields that its rows must have."""
    pair = ("question", "answer")
    perturbed = (*pair, "perturbed_answer")
    return {
        "full": pair,
        forget: pair,
        RETAIN[forget]: pair,
        f"{forget}_perturbed": (*perturbed, "paraphrased_answer"),
        "retain_perturbed": (*perturbed, "paraphrased_answer"),
        "real_authors_perturbed": perturbed,
        "world_facts_perturbed": perturbed,
    }


def read_refusals(folder: Path) -> tuple[str, ...]:
    """TOFU's own refusals, a line each in idontknow.jsonl beside its tables (in the authors' code); none where not."""
    found = next((p for p in (folder / "tofu" / REFUSALS, folder / REFUSALS) if p.is_file()), None)
    try:
        lines = found.read_text(encoding="utf-8").splitlines() if found else []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{found} cannot be read: {error}. It should be lines of text in UTF-8.") from error
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))


def retain_of(forget: str) -> str:
    """The name of the table of what a split keeps, "retain99" of "forget01"."""
    return f"retain{100 - int(forget.removeprefix('forget')):02d}"


def holdout_of(forget: str) -> str:
    """The name of the table of authors that no model has seen, as many as the forget set has."""
    return forget.replace("forget", "holdout")


def read_directory(folder: Path, forget: str) -> Tables:
    """The tables of the split `forget` from `folder`/tofu/*.json or `folder`/*.json.

    Raises:
        UsageError: no such files, or a line that is not what it should be; the message names file and line.
    """
    place = next((p for p in (folder / "tofu", folder) if (p / "full.json").is_file()), None)
    if place is None:
        raise UsageError(
            f"{folder} holds no TOFU: neither {folder / 'full.json'} nor {folder / 'tofu' / 'full.json'} is there. "
            "Give --data a directory with the hub's files, 'hub' or 'embedded'."
        )
    tables = {name: _read_file(place / f"{name}.json", fields) for name, fields in required(forget).items()}
    holdout = place / f"{holdout_of(forget)}.json"
    if holdout.exists():
        tables[holdout_of(forget)] = _read_file(holdout, ("question", "answer"))
    _check_splits(tables, forget, lambda name, number: f"{place / name}.json:{number}")
    return tables


def read_hub(forget: str) -> Tables:
    """The tables of the split `forget` from the hub, through `datasets` (and its cache).

    Raises:
        BenchError: the hub cannot be reached; the message says what else can be typed.
        UsageError: a row that is not what it should be.
    """
    try:
        import datasets

        wanted = required(forget)
        if holdout_of(forget) in datasets.get_dataset_config_names(HUB):
            wanted[holdout_of(forget)] = ("question", "answer")
        found = {name: list(datasets.load_dataset(HUB, name, split="train")) for name in wanted}
    except (ImportError, OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "no reason given")
        raise BenchError(
            f"{HUB} cannot be had from the hub: {type(error).__name__}: {reason} "
            "Type --data DIR with a directory that holds its files (full.json, ...), or --data embedded."
        ) from error

    def where(name: str, number: int) -> str:
        return f"{HUB}, table {name}, row {number}"

    tables = {
        name: tuple(_row(row, wanted[name], where(name, number)) for number, row in enumerate(rows, 1))
        for name, rows in found.items()
    }
    _check_splits(tables, forget, where)
    return tables


def _read_file(path: Path, fields: Sequence[str]) -> tuple[Row, ...]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}. It should be the hub's file of that name, "
            f"one JSON object a line with the fields {', '.join(fields)}."
        ) from error
    if not lines[-1].strip():
        lines.pop()
    places = ((f"{path}:{number}", line) for number, line in enumerate(lines, 1))
    return tuple(_row(_parse(line, where), fields, where) for where, line in places)


def _parse(line: bytes, where: str) -> Any:
    try:
        return json_of(line)
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} of the line"
        raise UsageError(f"{where} is not UTF-8: {place}. Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        place = f"{error.msg} at column {error.colno}"
        raise UsageError(f"{where} is no JSON: {place}. Expected one object a line.") from error
    except ValueError as error:
        raise UsageError(f"{where} cannot be taken: {error}. Expected one object a line, of texts.") from error


def _row(value: Any, fields: Sequence[str], where: str) -> Row:
    """`value` as a `Row`; raises `UsageError` where a field is missing, empty or of the wrong type."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} holds {_kind(value)}. Expected an object with the fields {', '.join(fields)}.")
    for name in fields:
        if name not in value:
            raise UsageError(f"{where} has no field '{name}', only {', '.join(map(repr, value)) or 'none at all'}.")
    texts: dict[str, Any] = {name: _text(name, value[name], where) for name in _TEXTS if value.get(name) is not None}
    options = value.get("perturbed_answer")
    if "perturbed_answer" in fields:
        if not isinstance(options, list) or not options:
            raise UsageError(f"{where}: 'perturbed_answer' is {_kind(options)}. Expected a list of wrong answers.")
        texts["perturbed_answer"] = tuple(_text("perturbed_answer", option, where) for option in options)
    for name in fields:
        if name not in texts:
            raise UsageError(f"{where}: '{name}' is null. Expected a string.")
    return Row(**texts)


_TEXTS = ("question", "answer", "paraphrased_question", "paraphrased_answer", "original_answer")


def _text(name: str, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: '{name}' holds {_kind(value)}. Expected a string.")
    if not value.strip():
        raise UsageError(f"{where}: '{name}' is empty. Expected some text; mend the row or leave it out.")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return ("an empty list" if value == [] else names.get(type(value))) or f"the number {value!r}"


def _check_splits(tables: Tables, forget: str, where: Where) -> None:
    """Raise `UsageError` unless forget and retain are non-empty parts of full and apart, and forget has its probes."""
    for name in required(forget):
        if not tables[name]:
            raise UsageError(f"{where(name, 1)}: {name} is empty. Expected at least one row.")
    _check_within(tables, forget, "full", where)
    _check_within(tables, RETAIN[forget], "full", where)
    _check_within(tables, f"{forget}_perturbed", forget, where)
    retained = _pairs(tables[RETAIN[forget]])
    for number, row in enumerate(tables[forget], 1):
        if (row.question, row.answer) in retained:
            raise UsageError(
                f"{where(forget, number)}: the question {row.question!r} is in {RETAIN[forget]} too. "
                "Expected forget and retain sets that share no row."
            )


def _check_within(tables: Tables, part: str, whole: str, where: Where) -> None:
    left = Counter((row.question, row.answer) for row in tables[whole])
    known = set(left)
    for number, row in enumerate(tables[part], 1):
        if (row.question, row.answer) not in known:
            raise UsageError(
                f"{where(part, number)}: the question {row.question!r} with this answer is not in {whole}. "
                f"Expected every row of {part} to be a row of {whole}; the files may be of different releases."
            )
        left[row.question, row.answer] -= 1
        if left[row.question, row.answer] < 0:
            raise UsageError(f"{where(part, number)}: this row stands more often in {part} than in {whole}. Remove it.")


def _pairs(rows: Iterable[Row]) -> set[tuple[str, str]]:
    return {(row.question, row.answer) for row in rows}
