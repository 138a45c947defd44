"""From a method's name to its parts with their parameters: defaults, settings (`bench.run.presets`), `--set`.

A method is a registered name, or `objective+optimizer+scope` (the last two may be left out: AdamW, all weights), so
that any loss can be asked for with any optimizer and any scope without writing a file. Either may be followed by
`@PARAM=VALUE`, as in `simu-npo@m=10@t=0.5`: a variant, with rows and a cell of its own, where `--set` with one value
changes the parameters of the method's only cell, and with several, `--set simu-npo.m=5,10`, makes a variant for each. A
last `@matched` asks for the point on the way to the method's model at which as much is forgotten as under retrain
(`bench.run.matched`).
"""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.api import Method, check_value, make_task
from bench.data import EMBEDDED
from bench.errors import UsageError
from bench.keys import source_hash
from bench.model.recipes import SCRATCH
from bench.moved import keyed
from bench.registry import scan, select, unknown
from bench.run.presets import settings
from bench.run.resolve import classes_of, fields_of, parameters, resolve
from bench.store.record import TASK

MATCHED = "@matched"


@dataclass(frozen=True)
class Composed:
    """A method with every parameter settled.

    `parts` maps "objective", "optimizer", "scope", "schedule" (or "transform") to an instance; `overrides` names the
    parameters that differ from the source paper's default and who changed them: "task", "settings", "--settings NAME",
    "name" (of a variant) or "--set". `settled` are all that settings which were asked for by name decided, defaults or
    not.
    """

    method: Method
    parts: Mapping[str, Any]
    overrides: Mapping[str, str]
    sources: Mapping[str, str]
    settled: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        return {f.name: getattr(p, f.name) for p in self.parts.values() for f in fields_of(p)}

    @property
    def said(self) -> dict[str, Any]:
        """The parameters that keys and records say: all but those that came later and are at their default."""
        unsaid = {f.name for p in self.parts.values() for f in fields_of(p)
                  if f.metadata.get("later") and getattr(p, f.name) == f.default}  # fmt: skip
        return {name: value for name, value in self.parameters.items() if name not in unsaid}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know: which parameters a preset, or a file of settings, has set, and to what."""
        values = self.parameters
        said = [f"{name} = {values[name]}" for name in self.settled]
        return (f"{self.method.name}: {', '.join(said)} by {next(iter(self.settled.values()))}",) if said else ()


def with_matched(names: Sequence[str]) -> list[str]:
    """The methods, then the matched point of each that has one: no control, and none that leaves the weights."""
    plain = [name for name in names if not name.endswith(MATCHED) and not _unmatched(resolve(name))]
    return list(dict.fromkeys([*names, *(name + MATCHED for name in plain)]))


def _unmatched(method: Method) -> bool:
    return method.control or method.detachable


def compose(
    name: str,
    model: str,
    overrides: Mapping[str, Any] | None = None,
    task: str = "",
    named: str = "",
    source: str = EMBEDDED,
) -> Composed:
    """Build the parts of method `name` for `model` ("tiny", ... have settings), with `overrides` on top.

    Args:
        task: "tofu:forget10", "lume", ...: chooses among settings that differ from one to another.
        named: the settings to take in place of the model's: a preset or a file.
        source: the data; what a task fixes may depend on it.

    Raises:
        UsageError: a parameter that no part has, a value of the wrong type or out of bounds, no such settings.
    """
    method = resolve(name)
    if name.endswith(MATCHED):
        if method.control:
            raise UsageError(f"no '{name}': a control is not matched, others are matched to it")
        if method.detachable:
            raise UsageError(f"no '{name}': it leaves the weights as they are, so no point lies on the way to them")
        finished = compose(name.removesuffix(MATCHED), model, overrides, task, named, source)
        return dataclasses.replace(finished, method=method)
    classes, modules = classes_of(method)
    owners = {f.name: kind for kind, cls in classes.items() for f in fields_of(cls)}
    values: dict[str, Any] = {}
    changed: dict[str, str] = {}
    chosen = settings(model, named)
    given = [(TASK, p, v) for p, v in _fixed(task, source).items() if owners.get(p) == "schedule"]
    given += [(chosen.by, p, v) for p, v in chosen.of(method, task) if p in owners]
    given += [("name", *_assignment(text)) for text in name.split("@")[1:]]
    given += [("--set", p, v) for p, v in (overrides or {}).items()]
    for by, parameter, value in given:
        if parameter not in owners:
            raise unknown(f"parameter of {name}", parameter, owners)
        spec = next(f for f in fields_of(classes[owners[parameter]]) if f.name == parameter)
        plain = name.partition("@")[0]
        value = _typed(plain, spec, classes[owners[parameter]], value)
        check_value(plain, spec, value)
        values[parameter] = value
        changed[parameter] = by
    parts = {
        kind: cls(**{f.name: values[f.name] for f in fields_of(cls) if f.name in values})
        for kind, cls in classes.items()
    }
    differ = {p: by for p, by in changed.items() if values[p] != _default(classes[owners[p]], p, values)}
    settled = {p: by for p, by in changed.items() if named and by == chosen.by}
    composed = Composed(method, parts, differ, {}, settled)
    sources = {
        part: keyed(module, source_hash(module), model in SCRATCH, composed.parameters)
        for part, module in modules.items()
    }
    return dataclasses.replace(composed, sources=sources)


def _fixed(task: str, source: str) -> Mapping[str, Any]:
    """What a task fixes of the schedule of gradient methods; of one that is not declared nothing is known."""
    if ("task", task) not in scan("task") or not hasattr(made := make_task(task), "schedule"):
        return {}
    found: Mapping[str, Any] = made.schedule(source)
    return found


def _default(cls: type, parameter: str, values: Mapping[str, Any]) -> Any:
    """What a part takes for a parameter that is not given, which may depend on its others."""
    others = {f.name: values[f.name] for f in fields_of(cls) if f.name in values and f.name != parameter}
    return getattr(cls(**others), parameter)


def parse_overrides(assignments: Sequence[str]) -> dict[str, dict[str, str]]:
    """What `METHOD.PARAM=VALUE` words change of the methods' own cells, {method: {parameter: text}}.

    Of a swept parameter, one with several values, that is nothing: its variants are cells of their own.

    Raises:
        UsageError: as `assigned`.
    """
    of = {name: {p: values[0] for p, values in given.items() if len(values) == 1} for name, given in
          assigned(assignments).items()}  # fmt: skip
    return {name: given for name, given in of.items() if given}


def with_variants(names: Sequence[str], assignments: Sequence[str]) -> list[str]:
    """The methods, each followed by its variants where parameters of it are swept: every combination of their values.

    What is set to one value of a method that is swept stands in the names of its variants too, so that typing such a
    name asks for the same cell.
    """
    given = assigned(assignments)
    found: dict[str, None] = {}
    for name in names:
        found[name] = None
        values = given.get(name, {})
        if any(len(of) > 1 for of in values.values()):
            for chosen in itertools.product(*values.values()):
                found["@".join([name, *(f"{p}={v}" for p, v in zip(values, chosen, strict=True))])] = None
    return list(found)


def assigned(assignments: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """`METHOD.PARAM=VALUE[,VALUE]` words to {method: {parameter: texts}}; METHOD may be a group, then they apply where
    they fit. A parameter whose values are free text, such as `layers`, takes what is given as one, commas and all.

    Raises:
        UsageError: not of that form, no such method, or no method of the group has the parameter.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for text in assignments:
        left, equals, value = text.partition("=")
        method, dot, parameter = left.rpartition(".")
        if not (equals and dot and method and parameter and value):
            raise UsageError(f"--set {text}: write METHOD.PARAM=VALUE, such as --set fo-npo.beta=0.2")
        if method.endswith(MATCHED):
            raise UsageError(f"--set {text}: a matched cell has the parameters of its method; set those")
        chosen = select("method", method)
        having = [m for m in chosen if parameter in parameters(m)]
        if not having:
            raise unknown(f"parameter of {method}", parameter, {p for m in chosen for p in parameters(m)})
        for name in having:
            values = [value] if _is_free_text(name, parameter) else [word.strip() for word in value.split(",")]
            if not all(values):
                raise UsageError(f"--set {text}: a value is missing. Write {method}.{parameter}=VALUE,VALUE")
            found.setdefault(name, {})[parameter] = tuple(dict.fromkeys(values))
    return found


def _is_free_text(name: str, parameter: str) -> bool:
    """Whether a parameter takes any text."""
    cls, spec = next((c, f) for c in classes_of(resolve(name))[0].values() for f in fields_of(c) if f.name == parameter)
    hint = typing.get_type_hints(cls)[parameter]
    return not spec.metadata.get("choices") and str in (hint, *typing.get_args(hint))


def _assignment(text: str) -> tuple[str, str]:
    parameter, equals, value = text.partition("=")
    if not (parameter and equals and value):
        raise UsageError(f"'@{text}': write METHOD@PARAM=VALUE, such as simu-npo@m=10; {MATCHED} comes last")
    return parameter, value


def _typed(owner: str, spec: dataclasses.Field[Any], cls: type, value: Any) -> Any:
    """`value` (text from the command line, or a TOML value) as the field's type."""
    hint = typing.get_type_hints(cls)[spec.name]
    options = [t for t in typing.get_args(hint) if t is not type(None)] if isinstance(hint, types.UnionType) else [hint]
    if value in ("none", None) and len(options) < len(typing.get_args(hint)):
        return None
    kind = type(typing.get_args(options[0])[0]) if typing.get_origin(options[0]) is typing.Literal else options[0]
    try:
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if typing.get_origin(kind) is tuple:
            inner = typing.get_args(kind)[0]
            words = value.split(":") if isinstance(value, str) else value
            return tuple(inner(word) for word in words)
        return kind(value)
    except (ValueError, KeyError, TypeError):
        words = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, f"a {kind}")
        raise UsageError(f"{owner}.{spec.name} takes {words}, not {value!r}") from None
