"""Prefix trees: every continuation can be read back, shared tokens are there once, nodes see their ancestors only."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.trees import Tree, mask, trees

IDS = st.lists(st.integers(0, 2), min_size=1, max_size=7)
PROMPT = st.lists(st.integers(0, 2), min_size=1, max_size=5)


def ancestors(tree: Tree, node: int) -> list[int]:
    """From the root to the node itself, by the runs' parents."""
    start, parent = next(((a, p) for a, b, p in tree.runs if a <= node < b), (0, -1))
    above = ancestors(tree, parent) if parent >= 0 else []
    return above + list(range(start, node + 1))


@given(prompt=PROMPT, texts=st.lists(IDS, min_size=1, max_size=6), limit=st.integers(0, 30))
def test_each_label_is_predicted_by_the_text_before_it(prompt: list[int], texts: list[list[int]], limit: int) -> None:
    """The tokens on the way from the root to the node that predicts label t are the prompt and the first t tokens."""
    found = list(trees(prompt, enumerate(texts), limit))
    assert sorted(key for tree in found for key in tree.paths) == list(range(len(texts)))
    for tree in found:
        for key, path in tree.paths.items():
            assert len(path) == len(texts[key])
            for t, node in enumerate(path):
                assert [tree.ids[i] for i in ancestors(tree, node)] == prompt + texts[key][:t]
                assert tree.depth[node] == len(prompt) + t - 1


@given(prompt=PROMPT, texts=st.lists(IDS, min_size=1, max_size=6))
def test_one_tree_has_a_node_for_each_distinct_beginning(prompt: list[int], texts: list[list[int]]) -> None:
    (tree,) = trees(prompt, enumerate(texts), limit=10_000)
    beginnings = {tuple(text[:t]) for text in texts for t in range(1, len(text))}
    assert tree.size == len(prompt) + len(beginnings)


@given(prompt=PROMPT, texts=st.lists(IDS, min_size=1, max_size=6), limit=st.integers(0, 30))
def test_a_tree_keeps_to_its_limit_unless_one_text_alone_is_beyond_it(
    prompt: list[int], texts: list[list[int]], limit: int
) -> None:
    for tree in trees(prompt, enumerate(texts), limit):
        assert tree.size <= limit or len(tree.paths) == 1


@given(prompt=PROMPT, texts=st.lists(IDS, min_size=1, max_size=6), filler=st.integers(0, 3))
def test_a_node_sees_its_ancestors_and_filler_sees_itself(
    prompt: list[int], texts: list[list[int]], filler: int
) -> None:
    (tree,) = trees(prompt, enumerate(texts), limit=10_000)
    seen = mask(tree, tree.size + filler) == 0
    for node in range(tree.size + filler):
        expected = ancestors(tree, node) if node < tree.size else [node]
        assert np.flatnonzero(seen[node]).tolist() == expected


@given(size=st.integers(1, 5000))
def test_a_width_holds_its_tree_and_wastes_at_most_an_eighth_or_fifteen_slots(size: int) -> None:
    width = Tree([0] * size, [0] * size, 1).width
    assert size <= width <= size + max(15, size / 8) and width % 16 == 0


def test_a_width_depends_on_the_tree_alone() -> None:
    """17 to 32 nodes take 32 slots, 129 take 144, 300 take 320."""
    assert [Tree([0] * n, [0] * n, 1).width for n in (1, 16, 17, 129, 300)] == [16, 16, 32, 144, 320]
