"""How files go wrong: trees of plain values with a part changed, bytes that are cut, flipped and spliced."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from bench.reading import DEEPEST

Draw = Callable[[st.SearchStrategy[Any]], Any]


def nested(depth: int) -> list[Any]:
    """Lists within lists."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, 1e-320, math.nan, math.inf, -math.inf)
TEXTS = (
    "", " ", "x", "0", "nan", "none", "..", ".", "/", "../../../outside", "/outside", "a/b", "a\\b", "C:\\x", "\0",
    "line\nbreak", "\u2028", "\ufeff", "\ud800", "\U0001f600", "e\u0301", "\u202eabc", "</script>", "<!--", "%s{0}",
    "k" * 5000, "=1+1", "$(id)", "__class__",
)  # fmt: skip
VALUES = (
    None,
    True,
    False,
    [],
    {},
    [None],
    {"": None},
    [[]],
    [0, "a"],
    nested(8),
    nested(DEEPEST + 1),
    *NUMBERS,
    *TEXTS,
)
ODD = st.sampled_from(VALUES)
"""Values that are seldom expected; letters that no file can hold are among them, escaped as JSON does."""


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in inner for place in ((tree, key), *places(value))]


@st.composite
def trees(draw: Draw, base: Any, most: int = 3) -> Any:
    """`base` with one to `most` of its nodes replaced, dropped, doubled, renamed, wrapped or exchanged."""
    whole = [copy.deepcopy(base)]
    for _ in range(draw(st.integers(1, most))):
        known = [(whole, 0), *places(whole[0])]
        at, key = known[draw(st.integers(0, len(known) - 1))]
        do = draw(st.sampled_from(("replace", "replace", "drop", "double", "rename", "wrap", "exchange", "empty")))
        if do == "drop" and at is not whole:
            del at[key]
        elif do == "double" and isinstance(at[key], list) and at[key]:
            at[key].append(copy.deepcopy(at[key][-1]))
        elif do == "rename" and isinstance(at, dict):
            at[draw(st.sampled_from(TEXTS))] = at.pop(key)
        elif do == "wrap":
            at[key] = draw(st.sampled_from(([at[key]], {"": at[key]}, str(at[key])[:50])))
        elif do == "exchange":
            other, there = known[draw(st.integers(0, len(known) - 1))]
            at[key] = copy.deepcopy(other[there])
        elif do == "empty" and isinstance(at[key], dict | list | str):
            at[key] = type(at[key])()
        else:
            at[key] = copy.deepcopy(draw(ODD))
    return whole[0]


def json_texts(base: Any, most: int = 3) -> st.SearchStrategy[bytes]:
    """The mutated tree as JSON, one time in four with bytes changed too."""
    plain = trees(base, most).map(lambda tree: json.dumps(tree, ensure_ascii=True).encode())
    return st.one_of(plain, plain, plain, plain.flatmap(binaries))


def json_lines(base: list[Any], most: int = 3) -> st.SearchStrategy[bytes]:
    """A mutated list as one value a line, one time in four with bytes changed too."""

    def lines(tree: Any) -> bytes:
        return b"".join(json.dumps(each).encode() + b"\n" for each in (tree if isinstance(tree, list) else [tree]))

    plain = trees(base, most).map(lines)
    return st.one_of(plain, plain, plain, plain.flatmap(binaries))


@st.composite
def binaries(draw: Draw, base: bytes) -> bytes:
    """`base` cut short, with bytes flipped, taken out, put in, doubled or spliced from elsewhere in it, or rubbish."""
    found = bytearray(base)
    for _ in range(draw(st.integers(1, 4))):
        size = len(found)
        at = draw(st.integers(0, size))
        # Headers and footers are where files say how large their parts are.
        at = draw(st.sampled_from((at, at, max(0, size - at % 64), at % 64 if size else 0)))
        end = min(size, at + draw(st.integers(1, 40)))
        do = draw(st.sampled_from(("flip", "flip", "set", "cut", "drop", "insert", "double", "splice", "rubbish")))
        if do == "flip" and at < size:
            found[at] ^= 1 << draw(st.integers(0, 7))
        elif do == "set":
            found[at:end] = bytes([draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)))]) * (end - at)
        elif do == "cut":
            del found[at:]
        elif do == "drop":
            del found[at:end]
        elif do == "insert":
            found[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif do == "double":
            found[at:at] = found[at:end]
        elif do == "splice":
            other = draw(st.integers(0, size))
            found[at:end] = found[other : other + end - at]
        elif do == "rubbish":
            found[:] = draw(st.binary(max_size=64))
    return bytes(found)


def to_toml(tree: Any) -> str:
    """A tree as TOML; what that has no words for becomes a text."""
    if not isinstance(tree, dict):
        return f"value = {_toml(tree)}\n"
    return "".join(f"{json.dumps(str(key))} = {_toml(value)}\n" for key, value in tree.items())


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(str(k))} = {_toml(v)}' for k, v in value.items())}}}"
    return json.dumps(str(value))
