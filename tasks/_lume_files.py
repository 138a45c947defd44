"""LUME's rows, read from a directory with its files or from the hub, and checked row by row.

Ramakrishna et al. 2025, "LUME: LLM Unlearning with Multitask Evaluations", arXiv:2502.15097; SemEval-2025 Task 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError, UsageError
from bench.reading import json_of, rows_of

HUB = "llmunlearningsemeval2025organization/semeval25-unlearning-dataset-public"
TASKS = ("Task1", "Task2", "Task3")
_FIELDS = ("id", "input", "output", "task")
_DOCUMENT_FIELDS = ("id", "document")

Where = Callable[[int], str]
"""Row number (from 1) to the place that an error message names."""


@dataclass(frozen=True)
class Row:
    """One item: `output` continues `input` (sentence completion) or answers it (question)."""

    id: str
    input: str
    output: str
    task: str

    @property
    def kind(self) -> Literal["completion", "question"]:
        """The organisers' rule: the id without its last character ends in "sc" or in "qa"."""
        return "completion" if self.id[:-1].endswith("sc") else "question"

    @property
    def document(self) -> str:
        """The id of the document that the item is about: what stands before the kind and its number."""
        return self.id[:-3]

    @property
    def text(self) -> str:
        """The document itself, of a sentence completion."""
        return f"{self.input} {self.output}"


@dataclass(frozen=True)
class Tables:
    """LUME's rows; `members` and `non_members` are documents by id, None where the data has none."""

    forget: tuple[Row, ...]
    retain: tuple[Row, ...]
    members: Mapping[str, str] | None = None
    non_members: Mapping[str, str] | None = None


def read_directory(folder: Path) -> Tables:
    """The rows in `folder`/lume or `folder`: forget.jsonl and retain.jsonl, or .parquet as on the hub.

    member.jsonl and nonmember.jsonl (fields id and document) are read where they are, in the same place or in a folder
    of its own that holds both.

    Raises:
        UsageError: no such files, or a row that is not what it should be; the message names file and line.
    """
    for place in (folder / "lume", folder):
        files = {name: _one_of(place, name) for name in ("forget", "retain")}
        if all(files.values()):
            break
    else:
        raise UsageError(
            f"{folder} holds no LUME: neither {folder / 'forget.jsonl'} and retain.jsonl nor {folder / 'lume'}/... are "
            "there. Give --data a directory with the benchmark's files, 'hub' or 'embedded'."
        )
    read = {name: _checked_rows(path) for name, path in files.items() if path}
    documents = {
        name: dict(_documents(path)) if (path := next(iter(sorted(place.rglob(f"{name}.jsonl"))), None)) else None
        for name in ("member", "nonmember")
    }
    found = Tables(read["forget"], read["retain"], documents["member"], documents["nonmember"])
    _check_apart(found, str(files["forget"]))
    return found


def read_hub() -> Tables:
    """The rows on the hub, through `huggingface_hub` and its cache; the data set is gated.

    Raises:
        BenchError: no access, or the hub cannot be reached; the message says what to do.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    elsewhere = "Or type --data DIR with a directory that holds forget.jsonl and retain.jsonl, or --data embedded."
    try:
        folder = snapshot_download(HUB, repo_type="dataset", allow_patterns=["*.parquet", "*.jsonl"])
    except GatedRepoError:
        raise BenchError(
            f"{HUB} is gated and refuses this account. Accept its terms at https://huggingface.co/datasets/{HUB}, "
            f"make a token under https://huggingface.co/settings/tokens and type: hf auth login. {elsewhere}"
        ) from None
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "no reason given")
        raise BenchError(f"{HUB} cannot be had from the hub: {type(error).__name__}: {reason} {elsewhere}") from error
    place = next((p.parent for p in sorted(Path(folder).rglob("*.parquet")) if "forget" in p.name), Path(folder))
    return read_directory(place)


def _one_of(place: Path, name: str) -> Path | None:
    """The file of a split: NAME.jsonl, NAME.parquet, or the hub's NAME_train-00000-of-00001.parquet."""
    plain = [place / f"{name}.jsonl", place / f"{name}.parquet", *sorted(place.glob(f"{name}_train*.parquet"))]
    return next((path for path in plain if path.is_file()), None)


def _checked_rows(path: Path) -> tuple[Row, ...]:
    seen: dict[str, int] = {}
    rows = []
    for number, value in _objects(path):
        where = f"{path}:{number}"
        row = Row(**_texts(value, _FIELDS, where))
        if row.task not in TASKS:
            raise UsageError(f"{where}: 'task' is {row.task!r}. Expected one of {', '.join(TASKS)}.")
        if not re.search(r"(sc|qa).\Z", row.id, re.DOTALL):
            raise UsageError(
                f"{where}: the id {row.id!r} says no kind. Expected ...sc1 for a sentence completion or ...qa0 for a "
                "question: two letters and one character."
            )
        if row.id in seen:
            raise UsageError(f"{where}: the id {row.id!r} stands in row {seen[row.id]} too. Remove one of them.")
        seen[row.id] = number
        rows.append(row)
    if not rows:
        raise UsageError(f"{path} is empty. Expected at least one row.")
    return tuple(rows)


def _documents(path: Path) -> Iterator[tuple[str, str]]:
    seen = set()
    for number, value in _objects(path):
        row = _texts(value, _DOCUMENT_FIELDS, f"{path}:{number}")
        if row["id"] in seen:
            raise UsageError(f"{path}:{number}: the id {row['id']!r} stands there twice. Remove one of them.")
        seen.add(row["id"])
        yield row["id"], row["document"]


def _objects(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a file with their numbers, from 1."""
    try:
        if path.suffix == ".parquet":
            yield from enumerate(rows_of(path), 1)
            return
        lines = path.read_bytes().split(b"\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Expected rows with {', '.join(_FIELDS)}.") from error
    for number, line in enumerate(lines, 1):
        if line.strip() or number < len(lines):
            try:
                yield number, json_of(line)
            except ValueError as error:
                raise UsageError(f"{path}:{number} is no JSON: {error}. Expected one object a line.") from error


def _texts(value: Any, fields: Sequence[str], where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} is no object. Expected one with the fields {', '.join(fields)}.")
    for name in fields:
        if name not in value:
            raise UsageError(f"{where} has no field '{name}', only {', '.join(map(repr, value)) or 'none at all'}.")
        if not isinstance(value[name], str) or not value[name].strip():
            raise UsageError(f"{where}: '{name}' is {value[name]!r}. Expected some text; mend the row or leave it out.")
    return {name: value[name] for name in fields}


def _check_apart(tables: Tables, forget_file: str) -> None:
    """Raise `UsageError` if a row or an id is in both sets, or a task in only one of them."""
    ids, texts = {row.id for row in tables.retain}, {(row.input, row.output) for row in tables.retain}
    for number, row in enumerate(tables.forget, 1):
        if row.id in ids or (row.input, row.output) in texts:
            raise UsageError(
                f"{forget_file}:{number}: {row.id!r} is in the retain set too. "
                "Expected forget and retain sets that share no row."
            )
    for task in TASKS:
        sides = {name: kinds(rows, task) for name, rows in (("forget", tables.forget), ("retain", tables.retain))}
        if sides["forget"] != sides["retain"]:
            said = "; ".join(f"{name}: {', '.join(sorted(k)) or 'nothing'}" for name, k in sides.items())
            raise UsageError(
                f"{forget_file}: the two sets have other kinds of items of {task} ({said}). Expected the same in both."
            )


def kinds(rows: Iterable[Row], task: str) -> set[str]:
    """The kinds of items that there are of a task."""
    return {row.kind for row in rows if row.task == task}
