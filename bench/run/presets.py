"""Where parameters that are not defaults come from: a model's own settings file, a published preset, a named file.

A settings file has tables `[schedule]`, `[objective.NAME]`, `[optimizer.NAME]`, `[scope.NAME]` and `[method.NAME]`, the
last winning, and the same again under `[benchmark.NAME]` for one benchmark and `[task."NAME"]` for one task, which win
over those. One that `bench tune` wrote says in `[tuning]` how its settings were chosen. No file is read because of
where it lies: only the settings of the models that are trained from scratch, and what `--settings` names.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.api import Method, Schedule, make_task
from bench.errors import UsageError
from bench.keys import digest
from bench.model.recipes import SCRATCH, model_label
from bench.registry import load, unknown
from bench.run.resolve import parameters

SETTINGS = Path(__file__).parent / "settings"
KINDS = ("objective", "optimizer", "scope")
TUNING = "tuning"


@dataclass(frozen=True)
class Settings:
    """Parameters by part and method; `by` is who set them, as records say it: "settings" or "--settings NAME".

    `origin` says of settings that were asked for by name what kind they are: "published", "tuned" or "by hand".
    """

    by: str
    tables: Mapping[str, Any]
    origin: str = ""

    @property
    def label(self) -> str:
        """What stands behind the model's name in cells: the objective that settings were tuned to; "" of others."""
        return str(self.tables[TUNING]["objective"]) if self.origin == "tuned" else ""

    def said_of(self, method: str, task: str) -> dict[str, Any]:
        """What a record says of where a method's settings are from; nothing of settings that go with a model.

        The digest is of the file; of a file that was tuned, of what it says of this task and method, for it grows with
        each task that is tuned.
        """
        if not self.origin:
            return {}
        found = {"origin": self.origin, "file": self.by.removeprefix("--settings ")}
        if self.origin != "tuned":
            return {**found, "digest": digest(self.tables)}
        tuned_on = self._tuned_on(task)
        own = self._inner("task", tuned_on)
        chosen = own.get("method", {}).get(method.partition("@")[0])
        if chosen is None:
            return {"origin": "by hand"}
        how = {**self.tables[TUNING], **own.get(TUNING, {}), **({"task": tuned_on} if tuned_on != task else {})}
        return {**found, "digest": digest([how, chosen]), **how}

    def of(self, method: Method, task: str) -> list[tuple[str, Any]]:
        """What is said of this method's parts on that task, the most specific last."""
        named = {kind: getattr(method, kind) for kind in KINDS}
        wanted: list[Mapping[str, Any]] = []
        for tables in (self.tables, self._benchmark(task), self._inner("task", self._tuned_on(task))):
            wanted += [tables.get("schedule", {})] if method.transform is None else []
            wanted += [tables.get(kind, {}).get(name, {}) for kind, name in named.items()]
            wanted.append(tables.get("method", {}).get(method.name.partition("@")[0], {}))
        return [item for table in wanted for item in table.items()]

    def trials(self, method: str, task: str) -> int:
        """How many settings of a method were tried on this benchmark before those in the file were chosen."""
        if self.origin == "tuned":
            return int(self.said_of(method, task).get("trials", 0))
        return int(self._benchmark(task).get("tuning_trials", {}).get(method.partition("@")[0], 0))

    def _tuned_on(self, task: str) -> str:
        """The task whose settings a task takes: its own, or those of the one that it says it is like, and so on."""
        known = self.tables.get("task", {})
        while known and task and task not in known and (like := getattr(make_task(task), "like", task)) != task:
            task = like
        return task

    def _benchmark(self, task: str) -> Mapping[str, Any]:
        own = self.tables.get("benchmark", {})
        return next((own[part] for part in task.split(":") if part in own), {})

    def _inner(self, kind: str, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.tables.get(kind, {}).get(name, {})
        return found


def names() -> list[str]:
    """The presets that `--settings` knows."""
    return sorted(path.stem for path in (SETTINGS / "presets").glob("*.toml"))


@cache
def settings(model: str, named: str = "") -> Settings:
    """The settings of a model, or those that were asked for by name instead: a preset, or a file that ends in .toml.

    Raises:
        UsageError: no such preset or file, or one that says what no part understands.
    """
    if not named:
        path = SETTINGS / f"{model}.toml"
        return Settings("settings", _read(path) if Path(model).name == model and path.is_file() else {})
    if named in names():
        tables = _read(SETTINGS / "presets" / f"{named}.toml")
        return Settings(f"--settings {named}", tables, "published")
    if not named.endswith(".toml"):
        raise unknown("preset", named, [*names(), "FILE.toml"])
    tables = _read(Path(named))
    _check(named, tables)
    # For another model nobody tuned them.
    tuned = TUNING in tables and tables[TUNING].get("model") == model_label(model)
    origin = "tuned" if tuned else "by hand"
    return Settings(f"--settings {Path(named).name}", tables, origin)


def beside(model: str) -> Path | None:
    """A file next to a checkpoint's folder that is named as if it held settings for it; it is not read unasked."""
    path = Path(f"{Path(model).resolve()}.toml")
    return path if model not in SCRATCH and Path(model).is_dir() and path.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"--settings {path}: {said}. Give {', '.join(names())} or a TOML file.") from None


def _check(file: str, tables: Mapping[str, Any]) -> None:
    """Raise `UsageError` for the first name in a settings file that means nothing, with near ones."""
    try:
        for table, said, known in _tables(tables, file):
            if not isinstance(said, Mapping):
                raise TypeError(f"[{table}] is no table")
            if strange := [name for name in said if name not in known]:
                raise unknown(f"parameter of [{table}] in {file}:", strange[0], known)
    except UsageError as error:
        raise error if file in str(error) else UsageError(f"{file}: {error}") from None
    except (AttributeError, TypeError):
        raise UsageError(f"{file} is no settings file. Write tables of parameters, such as [method.fo-npo].") from None


def _tables(
    tables: Mapping[str, Any], file: str, prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any], list[str]]]:
    """Every table of parameters in a settings file: its name, what it says, and what it might say."""
    for kind, table in tables.items():
        if kind == "schedule":
            yield f"{prefix}schedule", table, [f.name for f in dataclasses.fields(Schedule)]
        elif kind in KINDS:
            for name, said in table.items():
                yield f"{prefix}{kind}.{name}", said, [f.name for f in dataclasses.fields(load(kind, name))]
        elif kind == "method":
            for name, said in table.items():
                yield f"{prefix}method.{name}", said, list(parameters(name))
        elif kind in ("benchmark", "task") and not prefix:
            for name, inner in table.items():
                yield from _tables(inner, file, f"{kind}.{name}.")
        elif kind == TUNING:
            if not prefix and not isinstance(table.get("objective"), str):
                raise UsageError(f"{file}: [{TUNING}] names no objective. `bench tune` writes such files.")
            if not isinstance(table.get("trials", 0), int):
                raise UsageError(f"{file}: [{prefix}{TUNING}] has trials = {table['trials']!r}, no whole number.")
        elif kind == "tuning_trials" and prefix:
            if odd := [name for name, trials in table.items() if not isinstance(trials, int)]:
                raise UsageError(f"{file}: [{prefix}{kind}] has {odd[0]} = {table[odd[0]]!r}, no whole number.")
        else:
            raise unknown(f"table in {file}:", kind, ["schedule", *KINDS, "method", "benchmark", "task"])
