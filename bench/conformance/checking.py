"""Every demand of one part, each with whether it is met, and where to look if not."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import registry
from bench.conformance import of_attack, of_method, of_metric, of_probe, of_task
from bench.conformance.unmet import Demand, Unmet
from bench.errors import BenchError, UsageError
from bench.keys import source_files

PARTS = {"objective": "{}+adamw+all", "optimizer": "graddiff+{}+all", "scope": "graddiff+adamw+{}"}
"""The composition in which a part alone is tried."""


class Finding(NamedTuple):
    """A demand, and why it is not met: "" where it is. `at` is the file and line to mend."""

    says: str
    reason: str = ""
    at: str = ""


def kinds_of(name: str) -> list[str]:
    """The kinds under which a name is declared; "method" for a composition.

    Raises:
        UsageError: nobody declares it; near names of every kind are suggested.
    """
    if "+" in name:
        return ["method"]
    known = registry.scan()
    found = [kind for kind in registry.KINDS if (kind, name) in known]
    if "method" in found:  # a part of the same name is asked as a part of it
        own = {kind for kind, made in known["method", name].parts.items() if made == name}
        found = [kind for kind in found if kind not in own | {"attachment"}]
    if found == ["attachment"]:
        raise UsageError(f"attachment '{name}' is tried with the method that returns it. Check that method.")
    if not found:
        raise registry.unknown("part", name, sorted({other for _, other in known}))
    return found


def declared_in(file: Path) -> list[tuple[str, str]]:
    """Kind and name of all that a file declares; parts that a method of the file is made of are asked with it."""
    own = [d for d in registry.scan().values() if d.path.resolve() == file.resolve()]
    if not own:
        raise UsageError(f"{file} declares nothing. `python -m bench new method NAME --to {file}` writes one that does")
    used = {(kind, made) for d in own if d.kind == "method" for kind, made in d.parts.items()}
    return [(d.kind, d.name) for d in own if (d.kind, d.name) not in used and d.kind != "attachment"]


def check(kind: str, name: str, folder: Path) -> Iterator[Finding]:
    """Ask everything of a part, one demand after the other; `folder` is for what is cached meanwhile."""
    before: set[str] = set()
    for demand in _demands(kind, name, folder):
        reason, at = _tried(demand)
        again = reason in before
        before.add(reason)
        yield Finding(demand.says, "as above" if reason and again else reason, "" if again else at)
        if reason and demand.opens:
            return


def _demands(kind: str, name: str, folder: Path) -> Iterator[Demand]:
    if kind == "task":
        return of_task.demands(name)
    if kind == "metric":
        return of_metric.demands(name)
    if kind == "probe":
        return of_probe.demands(name)
    if kind == "attack":
        return of_attack.demands(name)
    return of_method.demands(PARTS.get(kind, "{}").format(name), folder)


def _tried(demand: Demand) -> tuple[str, str]:
    """Why a demand is not met, and where; two empty texts if it is."""
    where = f"{demand.at.path}:{demand.at.line}" if demand.at else ""
    try:
        demand.meet()
    except (Unmet, BenchError) as error:
        named = re.match(r"(\S+\.py:\d+):? ", str(error))
        told = named and _file(named[1]) == _file(where)
        return str(error), "" if told else where
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}", _line(error, demand) or where
    return "", ""


def _file(place: str) -> str:
    """The name of the file in `FILE:LINE`."""
    return Path(place).name.rpartition(":")[0]


def _line(error: BaseException, demand: Demand) -> str:
    """The last line of the part's own files that an error passed; "" where it passed none."""
    own = {str(path) for path in source_files(demand.at.module).values()} if demand.at else set()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in own]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
