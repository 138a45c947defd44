"""Keys change when, and only when, what they stand for changes."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import keys
from bench.api import Pair
from bench.moved import keyed

pairs = st.lists(st.builds(Pair, st.text(max_size=5), st.text(max_size=5), st.booleans()), max_size=5)


def test_digest_is_pinned():
    """Records of the past are found by these keys: if this fails, every result everywhere became stale."""
    assert keys.digest({"a": [1, 2.5, "ä", None], "b": {"c": True}}) == "69158cee0b868a98"


def test_the_order_of_ingredients_does_not_count():
    """Of ingredients that were gathered in another order, at any depth; of lists it does."""
    a, b = {"x": 1, "y": {"p": [1, 2], "q": 3}}, {"y": {"q": 3, "p": [1, 2]}, "x": 1}
    assert list(a) != list(b) and keys.digest(a) == keys.digest(b)
    assert keys.digest(a) != keys.digest({"x": 1, "y": {"p": [2, 1], "q": 3}})


@given(pairs)
def test_the_order_of_data_does_not_count(rows):
    assert keys.data_hash(rows) == keys.data_hash(rows[::-1])


@given(pairs, pairs)
def test_other_data_other_hash(a, b):
    same = sorted(map(repr, a)) == sorted(map(repr, b))
    assert (keys.data_hash(a) == keys.data_hash(b)) == same


def test_rows_stand_in_it_as_they_are_written():
    """A row is the JSON of its values, letters beyond ASCII as themselves."""
    assert keys.data_hash([Pair("ä", "€", True), ("b", 1)]) == keys.digest(['["b", 1]', '["ä", "€", true]'])


def test_streams_are_named_and_repeat():
    a, again, other = (keys.stream("tofu", seed, "batches").random(4).tolist() for seed in (0, 0, 1))
    assert a == again != other


def test_a_stream_is_seeded_by_the_first_64_bits_of_the_digest_of_its_name():
    """Runs of the past drew from these."""
    seed = int(hashlib.sha256(b"tofu/0/batches").hexdigest()[:16], 16)
    assert keys.stream("tofu", 0, "batches").random(4).tolist() == np.random.default_rng(seed).random(4).tolist()


def test_source_hash_sees_code_and_not_comments(tmp_path: Path, monkeypatch):
    room = tmp_path / "hashroom"
    room.mkdir()
    (room / "__init__.py").touch()
    (room / "_part.py").write_text("K = 1\n")
    main = room / "main.py"
    monkeypatch.setattr(keys, "ROOMS", {"hashroom": room})

    def hashed(text: str) -> str:
        main.write_text(text)
        keys.source_hash.cache_clear()
        return keys.source_hash("hashroom.main")

    code = 'from hashroom._part import K\n\ndef f(x):\n    """Doc."""\n    return x * K\n'
    first = hashed(code)
    assert hashed(code.replace("Doc.", "Better doc.") + "# comment\n") == first
    assert hashed(code.replace("x * K", "x + K")) != first
    declared = code + 'method("a", "doc", objective="o")\n@transform("t", "doc")\ndef g(c): ...\n'
    second = hashed(declared)
    assert hashed(declared.replace('"o")', '"o", family="ascent")').replace('doc")\n', 'doc", family="x")\n')) == second
    assert hashed(declared.replace('"o")', '"o", scope="mlp")')) != second
    assert hashed(declared + 'other(family="x")') != hashed(declared + "other()")
    (room / "_part.py").write_text("K = 2\n")
    assert hashed(code) != first
    keys.source_hash.cache_clear()


@pytest.mark.parametrize(
    ("module", "hashed"),
    [
        ("methods.adamw", "4a0c3962b80b5cae"),
        ("methods.ga", "b2b6868213d7b420"),
        ("methods.graddiff", "5abeb079a0555176"),
        ("methods.npo", "00b0d2c98feafb4b"),
        ("methods.scopes", "0fcddd7b53fb2598"),
        ("methods.simu", "254f3076feb864ea"),
        ("methods.sophia", "8d0c777ee38b2bd4"),
    ],
)
def test_the_code_of_shipped_methods_is_what_committed_cells_were_made_with(module: str, hashed: str):
    """Moving or renaming what a method imports changes none of these, nor does mending it where they do not reach."""
    assert keyed(module, keys.source_hash(module), True, {"curvature": "empirical"}) == hashed


def test_what_was_mended_is_in_the_key_where_it_counts():
    code = keys.source_hash("methods.simu")
    assert keyed("methods.simu", code, False, {}) == code != keyed("methods.simu", code, True, {})
    code = keys.source_hash("methods.sophia")
    assert keyed("methods.sophia", code, True, {"curvature": "hutchinson"}) == code
    assert keyed("methods.sophia", code, False, {"curvature": "empirical"}) != code
    assert keyed("methods.simu", "changed again", True, {}) == "changed again"
    assert keyed("methods.ga", "anything", True, {}) == "anything"


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("from bench.contracts import Step", "from bench.train import Step"),
        ("from bench.contracts import Encoded, Step", "from bench.models import Encoded\nfrom bench.train import Step"),
        ("from bench.model.architecture import Layer, layers", "from bench.architecture import Layer, layers"),
        # Sorted as ruff sorts: modules by name, constants before classes before functions.
        (
            "from bench.api import B, Z, a\nfrom bench.contracts import LM, Context",
            "from bench.api import B, Z, a\nfrom bench.models import LM\nfrom bench.train import Context",
        ),
        ("from bench.api import param", "from bench.api import param"),
        ("import numpy\nfrom torch import nn", "import numpy\nfrom torch import nn"),
        ("if True:\n    from bench.contracts import LM\nx = 1", "if True:\n    from bench.models import LM\nx = 1"),
        ("def f():\n    from bench.contracts import Context", "def f():\n    from bench.train import Context"),
    ],
)
def test_import_lines_are_read_as_they_were(now: str, then: str):
    assert ast.dump(keys._imports_as_they_were(ast.parse(now))) == ast.dump(ast.parse(then))
