"""What the cache holds, what of it results need, and how it is kept within bounds. All of it can be made again."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from bench.errors import BenchError
from bench.run.keeping import about_kept
from bench.store import files

Kind = Literal["unlearned", "prepared", "base", "checkpoint", "unfinished", "masks"]
KINDS: dict[Kind, str] = {
    "unlearned": "models that methods left; needed to attack, to measure anew and for the next request",
    "prepared": "targets and retrain models",
    "base": "models that targets and retrain models are taught from",
    "checkpoint": "what was found out about models that lie elsewhere",
    "unfinished": "the state of trainings that were cut off",
    "masks": "attributions and scores of weights",
}


GB = 2**30


class Kept(NamedTuple):
    """A model, a state or a file of the cache.

    Attributes:
        key: its content key.
        used: when it was last used, seconds since the epoch.
    """

    path: Path
    kind: Kind
    key: str
    bytes: int
    used: float


def kept(cache: Path) -> list[Kept]:
    """Everything that the cache holds, of what is half written nothing."""
    found = [_model(folder) for folder in sorted((cache / "models").glob("[!.]*")) if folder.is_dir()]
    loose: tuple[tuple[Kind, Iterable[Path]], ...] = (
        ("unfinished", (cache / "unfinished").glob("[!.]*")),
        ("masks", cache.glob("[!.]*.npz")),
    )
    found += [_file(kind, path) for kind, paths in loose for path in sorted(paths) if path.is_file()]
    return found


def needed(results: Iterable[Path]) -> set[str]:
    """The keys of the models that results were made of: what each cell started from, and what its method left.

    Raises:
        BenchError: no such directory.
    """
    keys: set[str] = set()
    for folder in results:
        for record in files.records(folder, lambda _: None).values():
            said = (record.keys.get("train"), record.identity.get("start"))
            keys |= {key for key in said if isinstance(key, str)}
    return keys


def unneeded(found: Sequence[Kept], keys: Collection[str]) -> list[Kept]:
    """What no result needs: models of no cell, and states of trainings that have ended.

    Bases stay, which are named by no record and taught to every new seed; masks too, which are small.
    """
    models = {each.key for each in found if each.kind in ("unlearned", "prepared", "base")}
    return [
        each
        for each in found
        if (each.kind in ("unlearned", "prepared", "checkpoint") and each.key not in keys)
        or (each.kind == "unfinished" and each.key in models)
    ]


def remove(each: Kept) -> None:
    """Take something away, at once: another process sees all of it or nothing."""
    aside = each.path.with_name(f".{each.path.name}.removed")
    try:
        each.path.rename(aside)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BenchError(f"cannot remove {each.path}: {error.strerror}.") from error
    if aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)


def trim(cache: Path, most: float, at_work: Collection[str] = ()) -> str:
    """Remove unlearned models, those used longest ago first, until the cache takes at most so many bytes.

    Models that cells start from stay, for all that rests on them would be taught again in turn.

    Args:
        at_work: keys of models that stay.

    Returns:
        What to say: nothing where it fits.
    """
    if most == math.inf or (total := _bytes(cache)) <= most:
        return ""
    found, gone = kept(cache), 0
    for each in sorted((each for each in found if each.kind == "unlearned"), key=lambda each: each.used):
        if total - gone <= most:
            break
        if each.key not in at_work:
            remove(each)
            gone += each.bytes
    if total - gone <= most:
        return ""
    return (
        f"{cache} takes {(total - gone) / GB:.1f} GB, above the {most / GB:g} of --cache-limit, and what is left is "
        "needed by this run or is what cells start from. python -m bench cache --prune removes what no result needs."
    )


def _bytes(folder: Path) -> int:
    """Of every file in it; one that vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total


def _model(folder: Path) -> Kept:
    try:
        about = about_kept(folder)
    except BenchError:
        about = {}
    weights = any(folder.glob("*.safetensors"))
    kind: Kind = "unlearned" if "cost" in about else "base" if about.get("made") == "base" else "prepared"
    size = _bytes(folder)
    return Kept(folder, kind if weights else "checkpoint", folder.name, size, folder.stat().st_mtime)


def _file(kind: Kind, path: Path) -> Kept:
    return Kept(path, kind, path.name.partition(".")[0], path.stat().st_size, path.stat().st_mtime)
