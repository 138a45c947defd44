"""`docs/methods.md`: what each method is, from docstrings and parameters; a pure function of what is declared.

A docstring's paragraphs are told apart by their first word: `Claim:`, which the equation follows, `Defaults:`,
`Deviations:`, `Cost:`; others are of the idea. An objective's claim is the docstring of the function that its class
calls. Methods of one objective share an entry, and so do those of one choice of weights.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from bench import registry
from bench.api import Method, Schedule
from bench.needs import alternatives_of, needs_of, sets_of

WIDE = 118
LABELS = ("Defaults", "Deviations", "Cost")
_ENDS = ("Args:", "Returns:", "Raises:", "Attributes:")
_HEAD = """\
# Methods

Written by `python -m bench list methods --docs` from the docstrings in `methods/`; do not edit.

A method is an objective, an optimizer and a choice of weights, or a transform that is none of these. Defaults are those
of the source; what a model of this project takes in their place stands in `bench/run/settings/`, and every record says
which of its parameters that changed. Beside those that stand with a method, it has those of its optimizer and of the
schedule, below. A step is one batch of `batch_size` forget items, with as many retain items where the objective looks
at these.
"""


class Words(NamedTuple):
    """A docstring, sorted."""

    claim: str = ""
    equation: str = ""
    text: tuple[str, ...] = ()
    labelled: Mapping[str, str] = {}


def words(docstring: str) -> Words:
    """The paragraphs of a docstring by what they are, up to its arguments; those of text are one line each."""
    claim, equation, text, labelled = "", "", [], {}
    expected = False
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        label, colon, rest = paragraph.partition(":")
        if paragraph.startswith(_ENDS):
            break
        if colon and label == "Claim":
            claim, expected = _line(rest), True
            continue
        if colon and label in LABELS:
            labelled[label] = _line(rest)
        elif expected and "=" in paragraph:
            equation = textwrap.dedent(paragraph)
        else:
            text.append(_line(paragraph))
        expected = False
    return Words(claim, equation, tuple(text), labelled)


def page() -> str:
    """The text of `docs/methods.md`."""
    families = _entries()
    contents, parts = [], []
    for family, groups in families.items():
        links = ", ".join(f"[{name}](#{_anchor(_title(names))})" for names in groups for name in names)
        contents += _filled(f"- **{family or 'other'}**: {links}", "  ")
        parts += [
            f"## {family or 'other'}\n",
            *_filled(_capital(registry.FAMILIES.get(family, "methods of their own")) + "."),
            "",
        ]
        parts += [line for names in groups for line in (*entry(names), "")]
    parts += ["## What methods share\n", *_shared(names for groups in families.values() for names in groups)]
    return "\n".join([_HEAD, *contents, "", *parts]).rstrip("\n") + "\n"


def entry(names: Sequence[str]) -> list[str]:
    """The lines of one entry: methods that share an objective, a choice of weights or a file."""
    methods = [_loaded(name) for name in names]
    first = methods[0]
    part = first.transform if first.transform is not None else _main_part(first)
    if len(methods) == 1:
        lines = [f"### {_title(names)}\n", *_source(part, f"{_capital(first.doc)}.")]
    else:
        lines = [f"### {_title(names)}\n", *_source(part)]
        lines += [line for method in methods for line in _filled(f"- `{method.name}`: {_plain(method.doc)}", "  ")]
    lines += ["", *_described(part)]
    if first.transform is None and _about(first) == "scope":
        lines += ["", f"**Loss:** {_joined([_loss(name) for name in dict.fromkeys(m.objective for m in methods)])}."]
    elif first.scope not in ("", "all"):
        lines += ["", f"**Weights that move:** [{first.scope}](#{_anchor(f'scope {first.scope}')})."]
    cost = words(inspect.getdoc(part) or "").labelled.get("Cost", "")
    said = " ".join(filter(None, [*([] if first.transform is not None else costs(methods)), _capital(cost)]))
    return [*lines, "", *_filled(f"**Cost:** {_plain(said)}")] if said else lines


def _loss(objective: str) -> str:
    """An objective, with a link to the entry that is about it, if there is one."""
    for names in (names for groups in _entries().values() for names in groups):
        first = _loaded(names[0])
        if first.transform is None and first.objective == objective and _about(first) == "objective":
            return f"[{objective}](#{_anchor(_title(names))})"
    return f"[{objective}](#{_anchor(f'objective {objective}')})"


def costs(methods: Sequence[Method]) -> list[str]:
    """What a step of methods that share an entry takes, from what objective, optimizer and scope declare."""
    first = methods[0]
    loss = registry.load("objective", first.objective)()
    passes = _steps(loss) if _about(first) == "objective" else "Passes: the loss's."
    states: dict[float, list[str]] = {}
    for name in dict.fromkeys(method.optimizer for method in methods):
        states.setdefault(getattr(registry.load("optimizer", name), "state_bytes", 8), []).append(name)
    held = " or ".join(f"{state:.3g} of state ({', '.join(of)})" for state, of in states.items())
    return [passes, f"Memory beside the model: for each weight that may move 4 bytes of gradient and {held}."]


def _steps(objective: Any) -> str:
    """Passes of a step and before the first, from what an objective declares."""
    needs = needs_of(objective)
    said = [f"A step runs a batch of {_joined(sets_of(objective))} answers forward and backward."]
    said += [f"Alternative answers are of the kind {kind!r}." for kind in [alternatives_of(objective)] if kind]
    said += [f"It reads the hidden states behind layer {need.of}." for need in needs if need.what == "hidden"]
    kept = [_KEPT[need.what].format(_joined(need.sets)) for need in needs if need.what in _KEPT and need.sets]
    if kept:
        said.append(f"Without gradient, the start model gives {_joined(kept)}, once an item.")
    else:
        said.append("Nothing is run without gradient.")
    return " ".join(said)


_KEPT = {
    "logps": "the log-probability of each {} answer (a number an item)",
    "logits": "its logits at the labels of {} answers (a number a label and token of the vocabulary)",
    "hidden": "its hidden states at the labels of {} answers (a number a label and hidden unit)",
}
"""What is kept of the start model, by what is needed of it."""


# -- what an entry is made of ----------------------------------------------------------------------------------------


def _entries() -> dict[str, list[list[str]]]:
    """The methods of each entry by family; those of plugins are described elsewhere."""
    of = {f: [name for name in names if _is_ours("method", name)] for f, names in registry.families().items()}
    return {family: _grouped(names) for family, names in of.items() if names}


def _is_ours(kind: str, name: str) -> bool:
    return registry.find(kind, name).module.startswith("methods.")


def _grouped(names: Iterable[str]) -> list[list[str]]:
    """Methods of one family by entry, in file order."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        method = _loaded(name)
        kind = "transform" if method.transform is not None else _about(method)
        groups.setdefault((kind, name if kind == "transform" else getattr(method, kind)), []).append(name)
    return list(groups.values())


def _loaded(name: str) -> Method:
    found: Method = registry.load("method", name)
    return found


def _main_part(method: Method) -> Any:
    """The objective of a method that may move all weights, the scope of others."""
    kind = _about(method)
    return registry.load(kind, getattr(method, kind))


def _about(method: Method) -> str:
    """What a method's entry is about: its scope, unless that is all weights or was made for its objective alone."""
    if method.scope == "all":
        return "objective"
    scope, objective = registry.find("scope", method.scope), registry.find("objective", method.objective)
    return "objective" if scope.module == objective.module else "scope"


def _source(part: Any, before: str = "") -> list[str]:
    """What the file says that it is, and where it lies."""
    module = sys.modules[part.__module__]
    told = _line(re.split(r"\n\s*\n", inspect.cleandoc(module.__doc__ or ""))[0])
    path = "/".join(part.__module__.split(".")) + ".py"
    link = f"[{path}](../{path})" if (registry.ROOMS["methods"].parent / path).is_file() else f"`{path}`"
    return _filled(f"{_plain(f'{before} {told}'.strip())} {link}")


def _described(part: Any) -> list[str]:
    """Idea, equation, parameters with where defaults come from, deviations."""
    own = words(inspect.getdoc(part) or "")
    claims = [w for w in (own, *(words(doc) for doc in _claims(part))) if w.claim]
    lines = _filled(f"**Idea:** {_plain(' '.join([*(_capital(w.claim) for w in claims), *own.text]))}")
    for claim in claims:
        if claim.equation:
            lines += ["```", *claim.equation.splitlines(), "```"]
        if claim is not own and claim.text:
            lines += _filled(_plain(" ".join(claim.text)))
    base = _base(part)
    if rows := list(_parameters(part, base)):
        lines += ["", "| parameter | default | |", "|---|--:|---|", *rows]
    if base is not None:
        lines += ["", f"{'Other' if rows else 'Its'} parameters are those of `{_name(base)}`."]
    for label in ("Defaults", "Deviations"):
        if said := own.labelled.get(label):
            lines += ["", *_filled(f"**{label}:** {_plain(said)}")]
    return lines


def _claims(part: Any) -> list[str]:
    """Docstrings of the functions that a part calls by name and that claim something: those of its own file, if any."""
    found: dict[str, bool] = {}
    for cls in part.__mro__ if isinstance(part, type) else (part,):
        if cls.__module__ == "builtins":
            continue
        module = sys.modules[cls.__module__]
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        for name in (node.id for node in ast.walk(tree) if isinstance(node, ast.Name)):
            called = getattr(module, name, None)
            if inspect.isfunction(called) and (called.__doc__ or "").lstrip().startswith("Claim:"):
                found[str(called.__doc__)] = called.__module__ == part.__module__
    return [doc for doc, own in found.items() if own] or list(found)


def _parameters(part: Any, base: type | None = None) -> Iterator[str]:
    """A line a parameter; of a part that is made of another one only those that differ."""
    known = {spec.name: (spec.default, spec.metadata.get("doc")) for spec in fields(base)} if base else {}  # type: ignore[arg-type]
    own = fields(part) if is_dataclass(part) else ()
    usual = [spec for spec in own if part is not Schedule and spec.name in {f.name for f in fields(Schedule)}]
    for spec in own:
        doc = spec.metadata.get("doc", "")
        if known.get(spec.name) == (spec.default, doc) or spec in usual:
            continue
        choices = spec.metadata.get("choices") or ()
        more = f" ({', '.join(map(str, choices))})" if not all(str(choice) in doc for choice in choices) else ""
        said = _plain(doc + more + _searched(spec.metadata.get("search"))).replace("|", chr(92) + "|")
        yield f"| `{spec.name}` | {_value(spec.default)} | {said} |"
    if usual:
        named, values = (", ".join(of) for of in zip(*((f"`{s.name}`", _value(s.default)) for s in usual)))
        yield f"| {named} | {values} | as in [the schedule](#the-schedule) |"


def _searched(search: Any) -> str:
    """Where `bench tune` looks for a parameter."""
    if search is None:
        return ""
    if isinstance(search, list):
        return f"; tuned over {', '.join(map(str, search))}"
    low, high, scale = search
    return f"; tuned from {low:g} to {high:g}{'' if scale == 'linear' else f' ({scale})'}"


def _base(part: Any) -> type | None:
    """The part with a name of its own that a part is made of."""
    classes = part.__mro__[1:] if isinstance(part, type) else ()
    return next((cls for cls in classes if is_dataclass(cls) and _name(cls)), None)


def _name(part: type) -> str:
    """What a part is registered as; "" for one that is not."""
    named = ((kind, name) for kind in ("objective", "optimizer", "scope") for name in registry.names(kind))
    return next((name for kind, name in named if registry.load(kind, name) is part), "")


def _value(value: Any) -> str:
    """A default as the command line takes it."""
    if value == "":
        return "empty"
    if isinstance(value, tuple):
        return ":".join(map(_value, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shared(shown: Iterable[Sequence[str]]) -> list[str]:
    """Schedule, optimizers, and those objectives and scopes that no entry above is about."""
    about = {_main_part(m) for names in shown if (m := _loaded(names[0])).transform is None}
    lines = ["### The schedule\n", *_filled(_plain(_line(inspect.getdoc(Schedule) or ""))), ""]
    lines += ["| parameter | default | |", "|---|--:|---|", *_parameters(Schedule), ""]
    for kind in ("optimizer", "scope", "objective"):
        for name in registry.names(kind):
            part = registry.load(kind, name) if _is_ours(kind, name) else None
            if part is not None and part not in about:
                own = _capital(words(inspect.getdoc(part) or "").labelled.get("Cost", ""))
                cost = " ".join(filter(None, [_steps(part()) if kind == "objective" else "", own]))
                lines += [f"### {kind} {name}\n", *_source(part), "", *_described(part), ""]
                lines += [*_filled(f"**Cost:** {_plain(cost)}"), ""] if cost else []
    return lines


# -- text ------------------------------------------------------------------------------------------------------------


def _title(names: Sequence[str]) -> str:
    return ", ".join(names)


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _line(text: str) -> str:
    return " ".join(text.split())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _plain(text: str) -> str:
    """Text whose signs Markdown leaves alone; what stands in backticks is code already."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<])|(?<!\w)(_)|(_)(?!\w)", r"\\\1\2\3", part) for part in parts[::2]]
    return "`".join(parts)


def _filled(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDE, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
