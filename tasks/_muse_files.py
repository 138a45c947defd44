"""MUSE's files, read from a directory of the data set's own subsets and splits, and checked row by row.

Shi et al. 2024, "MUSE: Machine Unlearning Six-Way Evaluation for Language Models", arXiv:2407.06460; on the hub
muse-bench/MUSE-News and muse-bench/MUSE-Books, whose folders are subsets and whose files are splits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import UsageError
from bench.reading import json_of, rows_of

CORPORA = {"news": "MUSE-News", "books": "MUSE-Books"}
FOLDS = (1, 2, 3, 4)
SERIES = {"scal": "folds", "sust": "request"}
"""Subsets that hold a forget set a fold, growing or one after another, and what goes up with the fold."""
SUFFIXES = (".json", ".jsonl", ".parquet", ".txt")
RETAINED = {"retain_qa": "retain2_qa", "retain_qa_icl": "retain2_qa_icl"}
"""Splits of knowmem by the name that earlier uploads, and MUSE-Books, have for them."""


class Question(NamedTuple):
    """A row of `knowmem`."""

    question: str
    answer: str


class Excerpt(NamedTuple):
    """A row of `verbmem`: what a document goes on with after a prompt."""

    prompt: str
    gt: str


@dataclass(frozen=True)
class Muse:
    """The rows of one corpus, in the splits that a forget set needs."""

    forget: tuple[str, ...]
    later: tuple[str, ...]  # what larger forget sets, or later requests, have beside it and those before it
    folds: tuple[str, ...]  # the texts of all forget sets of its kind
    retain: tuple[str, ...]  # raw/retain1 and raw/retain2
    members: tuple[str, ...]  # privleak/forget
    others: tuple[str, ...]  # privleak/holdout
    excerpts: tuple[Excerpt, ...]
    forget_qa: tuple[Question, ...]
    retain_qa: tuple[Question, ...]
    forget_shots: tuple[Question, ...]
    retain_shots: tuple[Question, ...]


def read_directory(folder: Path, corpus: str, forget: str = "raw/forget") -> Muse:
    """The rows of a corpus ("news", "books") in `folder`/MUSE-News, `folder`/news, or in `folder` itself.

    Files are SUBSET/SPLIT.json (a list, or an object a line), .jsonl, .txt (one text) or
    SUBSET/SPLIT-00000-of-00001.parquet, as on the hub.

    Args:
        forget: the subset and split that is to be forgotten: "raw/forget", "scal/forget_2", "sust/forget_3".

    Raises:
        UsageError: a split that is not there, or a row that is not what it should be; the message names both.
    """
    place = _place(folder, corpus)
    retain = (*_texts(place, "raw/retain1"), *_texts(place, "raw/retain2"))
    asked = [_texts(place, split) for split in forget_sets(forget)]
    folds = dict.fromkeys(text for fold in asked for text in fold)
    named = {text for fold in asked[: forget_sets(forget).index(forget) + 1] for text in fold}
    found = Muse(
        _texts(place, forget),
        tuple(text for text in folds if text not in named),
        tuple(folds),
        retain,
        _texts(place, "privleak/forget"),
        _texts(place, "privleak/holdout"),
        tuple(Excerpt(*row) for row in _rows(place, "verbmem/forget", Excerpt._fields)),
        _questions(place, "forget_qa"),
        _questions(place, "retain_qa"),
        _questions(place, "forget_qa_icl"),
        _questions(place, "retain_qa_icl"),
    )
    if both := set(found.folds) & set(retain):
        raise UsageError(
            f"{place}: {len(both)} texts of {forget} are in raw/retain1 or raw/retain2 too, one begins "
            f"{min(both)[:40]!r}. Expected forget and retain sets that share no text."
        )
    if seen := set(found.others) & {*found.folds, *retain}:
        raise UsageError(
            f"{place}: {len(seen)} texts of privleak/holdout are in raw, one begins {min(seen)[:40]!r}. "
            "Expected texts that no model was taught."
        )
    return found


def write_sample(folder: Path) -> Path:
    """Files of both corpora with MUSE's fields and five rows a split, about nothing: what checks and tests read.

    Of the folds, which are News' alone, each has five, the first those of raw/forget; scal/forget_k holds the first k.
    """
    subsets = {
        "raw": ("forget", "retain1", "retain2", "holdout"),
        "privleak": ("forget", "retain", "holdout"),
        "verbmem": ("forget",),
    }
    asked = {"news": ("forget_qa", "retain_qa"), "books": ("forget_qa", "retain2_qa")}
    for corpus, name in CORPORA.items():
        own = {**subsets, "knowmem": tuple(f"{split}{shots}" for split in asked[corpus] for shots in ("", "_icl"))}
        rows = {
            f"{subset}/{split}": [_sample(corpus, subset, split, 5 * splits.index(split) + n) for n in range(5)]
            for subset, splits in own.items()
            for split in splits
        }
        if corpus == "news":
            folds = [[_sample(corpus, "raw", "forget", 100 * k + n) for n in range(5)] for k in range(len(FOLDS))]
            rows |= {f"sust/forget_{k}": folds[k - 1] for k in FOLDS}
            rows |= {f"scal/forget_{k}": [row for fold in folds[:k] for row in fold] for k in FOLDS}
        for split, listed in rows.items():
            file = folder / name / f"{split}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(listed), encoding="utf-8")
    return folder


def _sample(corpus: str, subset: str, split: str, number: int) -> dict[str, str]:
    # no word tells members from others: it would to who was taught neither
    named = "" if subset == "privleak" else f" {split}"
    said = f"The {corpus} {subset}{named} text {number} tells of town {37 * (number + 1) % 101} and ends."
    if subset == "knowmem":
        return {"question": f"Which town has {split} row {number} of {corpus}?", "answer": f"town {number}"}
    return {"prompt": said, "gt": f"And so on, to the end of row {number}."} if subset == "verbmem" else {"text": said}


def _place(folder: Path, corpus: str) -> Path:
    """The folder of a corpus."""
    name = CORPORA[corpus]
    for place in (folder / "muse" / name, folder / name, folder / "muse" / corpus, folder / corpus):
        if place.is_dir():
            return place
    other = next(o for o in CORPORA if o != corpus)
    if any((folder / "muse" / o).is_dir() or (folder / o).is_dir() for o in (CORPORA[other], other)):
        raise UsageError(
            f"{folder} holds {CORPORA[other]}, not {name}. Type --tasks muse:{other}, or another --data DIR."
        )
    if not (folder / "raw").is_dir():
        raise UsageError(
            f"{folder} holds no {name}: neither {folder / name}, {folder / corpus} nor {folder / 'raw'} is there. Type "
            f"--data DIR with the files of muse-bench/{name} (DIR/{name}/raw, knowmem, verbmem, privleak), or "
            "--tasks muse --data embedded."
        )
    return folder


def forget_sets(forget: str) -> tuple[str, ...]:
    """The splits of the forget sets that one belongs to: of growing ones, of one after another, or it alone."""
    subset, _, _ = forget.partition("/")
    return tuple(f"{subset}/forget_{k}" for k in FOLDS) if subset in SERIES else (forget,)


def _texts(place: Path, split: str) -> tuple[str, ...]:
    return tuple(text for (text,) in _rows(place, split, ("text",)))


def _questions(place: Path, split: str) -> tuple[Question, ...]:
    known = f"knowmem/{split}"
    if split in RETAINED and _file(place, known) is None:
        known = f"knowmem/{RETAINED[split]}"
    return tuple(Question(*row) for row in _rows(place, known, Question._fields))


def _file(place: Path, split: str) -> Path | None:
    """The file of a split; the upload's dashes stand for the underscores of names."""
    subset, _, name = split.partition("/")
    names = (name, name.replace("_", "-"))
    plain = [place / subset / f"{each}{suffix}" for each in names for suffix in SUFFIXES]
    return next((p for p in (*plain, *sorted((place / subset).glob(f"{name}-*-of-*.parquet"))) if p.is_file()), None)


def _rows(place: Path, split: str, fields: Sequence[str]) -> list[tuple[str, ...]]:
    """The rows of a split as tuples of its fields."""
    path = _file(place, split)
    if path is None:
        there = sorted(f"{p.parent.name}/{p.name}" for p in place.glob("*/*") if p.suffix in SUFFIXES)
        raise UsageError(
            f"{place} has no {split} ({', '.join(f'.{s[1:]}' for s in SUFFIXES)} or as on the hub). "
            f"Found: {', '.join(there[:12]) or 'nothing'}{' ...' if len(there) > 12 else ''}."
        )
    found = [_row(value, fields, f"{path}, row {number}") for number, value in enumerate(_values(path), 1)]
    if not found:
        raise UsageError(f"{path} is empty. Expected at least one row with {', '.join(fields)}.")
    return found


def _values(path: Path) -> Iterator[Any]:
    """What a file holds: rows of a table, of a JSON list or of lines; a text file is one row."""
    try:
        if path.suffix == ".parquet":
            return iter(rows_of(path))
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            return iter([text.strip()] if text.strip() else [])
        if text.lstrip().startswith("["):
            return iter(json_of(text))
        return iter([json_of(line) for line in text.split("\n") if line.strip()])
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Expected a JSON list, or one object a line.") from error


def _row(value: Any, fields: Sequence[str], where: str) -> tuple[str, ...]:
    if isinstance(value, str) and len(fields) == 1:
        value = {fields[0]: value}
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} is {value!r:.40}. Expected an object with {', '.join(fields)}.")
    for name in fields:
        if name not in value:
            raise UsageError(f"{where} has no field '{name}', only {', '.join(map(repr, value)) or 'none at all'}.")
        if not isinstance(value[name], str) or not value[name].strip():
            raise UsageError(f"{where}: '{name}' is {value[name]!r:.40}. Expected some text; leave the row out.")
    return tuple(value[name] for name in fields)
