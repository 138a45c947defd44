"""Keys change when, and only when, what they stand for changes."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bench import keys
from bench.api import Pair

pairs = st.lists(st.builds(Pair, st.text(max_size=5), st.text(max_size=5), st.booleans()), max_size=5)


def test_digest_is_pinned():
    """Records of the past are found by these keys: if this fails, every result everywhere became stale."""
    assert keys.digest({"a": [1, 2.5, "ä", None], "b": {"c": True}}) == "69158cee0b868a98"


@given(pairs)
def test_the_order_of_data_does_not_count(rows):
    assert keys.data_hash(rows) == keys.data_hash(rows[::-1])


@given(pairs, pairs)
def test_other_data_other_hash(a, b):
    same = sorted(map(repr, a)) == sorted(map(repr, b))
    assert (keys.data_hash(a) == keys.data_hash(b)) == same


def test_streams_are_named_and_repeat():
    a, again, other = (keys.stream("tofu", seed, "batches").random(4).tolist() for seed in (0, 0, 1))
    assert a == again != other


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
    (room / "_part.py").write_text("K = 2\n")
    assert hashed(code) != first
    keys.source_hash.cache_clear()
