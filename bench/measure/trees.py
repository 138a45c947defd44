"""Prefix trees: a prompt and its continuations as one sequence of tokens, each token once. No torch.

Continuations of one question share the prompt and often their first words. Laid out depth-first in one row, with each
node seeing its ancestors only, all of them are scored in one forward pass, and what they share is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tree:
    """A prompt and some continuations of it; nodes are numbered depth-first, the prompt's come first.

    Attributes:
        ids: token of each node.
        depth: position of each node in its own text.
        prompt: number of tokens of the prompt, at least 1.
        runs: (start, stop, parent): nodes start..stop-1 are a chain that hangs on `parent`.
        paths: continuation -> the node that predicts each of its labels; as long as the continuation.
    """

    ids: list[int]
    depth: list[int]
    prompt: int
    runs: list[tuple[int, int, int]] = field(default_factory=list)
    paths: dict[int, list[int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.ids)

    @property
    def branching(self) -> bool:
        """Whether anything but the order of the tokens says who sees whom."""
        return len(self.runs) > 1

    @property
    def width(self) -> int:
        """Slots it takes in a batch: its size rounded up by at most an eighth, to a multiple of 16.

        Only trees of one width share a batch. Attention sums in an order that depends on the width, so if that were the
        longest neighbour's, the batch would show in the last digits of the results.
        """
        step = max(16, 1 << max(0, self.size.bit_length() - 4))
        return -(-self.size // step) * step


def trees(prompt: Sequence[int], continuations: Iterable[tuple[int, Sequence[int]]], limit: int) -> Iterator[Tree]:
    """Arrange the continuations (key, token ids) of one prompt in trees of at most `limit` nodes where possible.

    The last token of a continuation is a label only, so it gets no node. A continuation that does not fit opens the
    next tree, which repeats the prompt; one that is longer than the limit has a tree to itself.
    """
    tree, path, before = _seed(prompt), [len(prompt) - 1], list[int]()
    for key, ids in sorted(continuations, key=lambda item: list(item[1])):
        inputs = list(ids[:-1])
        shared = _common(before, inputs)
        if tree.paths and tree.size + len(inputs) - shared > limit:
            yield tree
            tree, path, shared = _seed(prompt), [len(prompt) - 1], 0
        start, stop = tree.size, tree.size + len(inputs) - shared
        if stop > start:
            tree.runs.append((start, stop, path[shared]))
            tree.ids.extend(inputs[shared:])
            tree.depth.extend(range(len(prompt) + shared, len(prompt) + len(inputs)))
        path = [*path[: shared + 1], *range(start, stop)]
        tree.paths[key] = path
        before = inputs
    yield tree


def mask(tree: Tree, size: int) -> np.ndarray:
    """What is added to the attention scores: 0 where a node (row) may look (column), else -inf; float32 [size, size].

    A node looks at its ancestors and at itself. Filler rows look at themselves, so that no row is empty.
    """
    added = np.full((size, size), -np.inf, np.float32)
    np.fill_diagonal(added, 0)
    for start, stop, parent in [(0, tree.prompt, -1), *tree.runs]:
        if parent >= 0:
            added[start:stop, :start] = added[parent, :start]
        added[start:stop, start:stop][np.tril_indices(stop - start)] = 0
    return added


def _seed(prompt: Sequence[int]) -> Tree:
    return Tree(list(prompt), list(range(len(prompt))), len(prompt))


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))
