"""The scoring engine: each distinct (prompt, continuation) once, log-probabilities and vocabulary moments per label."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.measure.forward import Forward
from bench.measure.products import top
from bench.measure.shortage import halved, unless_short
from bench.measure.trees import Tree, trees
from bench.model.attachments import Spots

CHUNK_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 26}  # logits made at a time: 2 MiB stay in a core's cache
LOGITS_HELD = 3  # times a chunk of logits that are there at once, with what is computed from it
LEAST_ROWS = 16  # a product of fewer rows goes another way through the BLAS and rounds differently
Advance = Callable[[int], None]


class Job(NamedTuple):
    """A prompt and its distinct continuations, as token ids: {key: ids}; keys number the continuations of all jobs."""

    prompt: list[int]
    continuations: dict[int, list[int]]


class Scored(NamedTuple):
    """Values per label; continuation i owns `offsets[i]:offsets[i + 1]`.

    Attributes:
        offsets: int64 [N + 1].
        label: int64, the label's token.
        logp: float32, log-probability of the label.
        top: int64, the most probable token (the first of equals).
        mean: float32, sum_v p log p.
        var: float32, sum_v p (log p)^2 - mean^2, at least 0.
    """

    offsets: np.ndarray
    label: np.ndarray
    logp: np.ndarray
    top: np.ndarray
    mean: np.ndarray
    var: np.ndarray


def plan(forward: Forward, jobs: Sequence[Job]) -> list[Tree]:
    """The trees that score all jobs, longest first.

    One tree a prompt computes each shared token once, but attention costs a tree its size squared. In a model of width
    d a token costs about 24 d^2 operations a layer, and 4 d more for each node of its row, at about a third of the
    speed of a plain product. Cutting a tree of T nodes in two saves half of its attention (6 d T^2) and repeats its
    prompt of P tokens and about as many that the halves shared (48 d^2 P), so it pays from T = sqrt(8 d P) on.
    """
    width = int(getattr(forward.model.config.get_text_config(), "hidden_size", 1024))
    longest = max((len(j.prompt) + len(c) for j in jobs for c in j.continuations.values()), default=0)
    shared = forward.takes_trees and (forward.window is None or longest < forward.window)

    def limit(job: Job) -> int:
        return int((8 * width * len(job.prompt)) ** 0.5) if shared else 0

    found = [tree for job in jobs for tree in trees(job.prompt, job.continuations.items(), limit(job))]
    return sorted(found, key=lambda tree: (-tree.width, tree.branching))


def batches(found: Sequence[Tree], token_budget: int) -> Iterator[Sequence[Tree]]:
    """Consecutive trees of one width and kind, as many as fit the budget; a tree beyond the budget goes alone.

    Of more than four, whole fours: with widths of 16 and more, products need no filler (`bench.measure.products`).
    """
    for (width, _), group in itertools.groupby(found, key=lambda tree: (tree.width, tree.branching)):
        most = max(1, token_budget // width)
        while batch := list(itertools.islice(group, most - most % 4 if most > 4 else most)):
            yield batch


def score(forward: Forward, jobs: Sequence[Job], found: Sequence[Tree], token_budget: int, advance: Advance) -> Scored:
    """Run the planned trees; `advance(n)` is told of every n tokens done.

    Where memory runs out the batch is run again in halves, and so are those that follow.

    Raises:
        BenchError: one tree alone does not fit.
    """
    answers = {key: ids for job in jobs for key, ids in job.continuations.items()}
    lengths = np.array([len(answers[key]) for key in range(len(answers))], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    total = int(offsets[-1])
    label = np.fromiter((i for key in range(len(answers)) for i in answers[key]), np.int64, total)
    logp, mean, var = (np.full(total, np.nan, np.float32) for _ in range(3))
    best = np.full(total, -1, np.int64)
    left = list(found)
    while left:
        batch = next(batches(left, token_budget))
        where = np.concatenate([np.arange(offsets[k], offsets[k + 1]) for tree in batch for k in tree.paths])
        nodes = np.concatenate(
            [np.asarray(path) + row * batch[0].width for row, tree in enumerate(batch) for path in tree.paths.values()]
        )
        order = np.argsort(nodes, kind="stable")
        where = where[order]
        wanted, node = np.unique(nodes[order], return_inverse=True)
        values = unless_short(partial(_batch_statistics, forward, batch, wanted, node, label[where]))
        if values is None:
            token_budget = halved(token_budget, len(batch), batch[0].width)
            continue
        logp[where], best[where], mean[where], var[where] = values
        left = left[len(batch) :]
        advance(sum(tree.size for tree in batch))
    return Scored(offsets, label, logp, best, mean, var)


def _batch_statistics(
    forward: Forward, batch: Sequence[Tree], wanted: np.ndarray, node: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, ...]:
    """`_statistics` of a batch of trees, whose nodes `wanted` [n] predict labels."""
    told = forward.attached.told([tree.ids[: tree.prompt] for tree in batch])
    hidden = forward.tree_hidden(batch, told).flatten(0, 1)
    spots = None
    if told is not None:
        row, at = np.divmod(np.pad(wanted, (0, -len(wanted) % LEAST_ROWS), "edge"), batch[0].width)
        depth = [batch[r].depth[n] for r, n in zip(row, at, strict=True)]
        spots = told.spots(torch.from_numpy(row).to(forward.device), torch.tensor(depth, device=forward.device))
    return _statistics(forward, hidden[torch.from_numpy(wanted).to(hidden.device)], node, label, spots)


def _statistics(
    forward: Forward, hidden: Tensor, node: np.ndarray, label: np.ndarray, spots: Spots | None
) -> tuple[np.ndarray, ...]:
    """(logp, top, mean, var) of each label given its node's hidden state.

    Args:
        hidden: [n, D], a row a distinct node.
        node: [m], ascending: the row that predicts each label.
        label: [m]
        spots: of the n rows and those that fill them up, where something is attached.
    """
    rows = chunk_rows(forward)
    hidden = F.pad(hidden, (0, 0, 0, -len(hidden) % LEAST_ROWS))
    parts = []
    for start in range(0, len(hidden), rows):
        logits = forward.logits(hidden[start : start + rows], spots and spots.part(start, start + rows))
        first, last = np.searchsorted(node, [start, start + rows])
        row = torch.from_numpy(node[first:last] - start).to(logits.device)
        parts.append(_moments(logits, row, torch.from_numpy(label[first:last]).to(logits.device)))
    return tuple(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))


def _moments(logits: Tensor, row: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(logp, top, mean, var) [m] of labels [m] under the softmax of rows of logits [n, V], which are overwritten.

    With z the logits less their maximum, p = exp(z) / s and s = sum exp(z): log p = z - log s, so that
    mean = sum p z - log s and var = sum p z^2 - (sum p z)^2, in which nothing large cancels.
    """
    best = top(logits)
    z = logits.sub_(logits.gather(-1, best[:, None]))
    picked = z[row, label]
    power = z.clamp_(min=-1e9).exp()  # an entry that is ruled out by -inf weighs 0, not 0 * inf
    total = power.sum(-1)
    first = power.mul_(z).sum(-1) / total
    second = power.mul_(z).sum(-1) / total
    log_total = total.log()
    mean, var = first - log_total, (second - first.square()).clamp_(min=0)
    return picked - log_total[row], best[row], mean[row], var[row]


def chunk_rows(forward: Forward) -> int:
    """Rows of logits that are made at a time."""
    vocabulary = int(forward.model.config.get_text_config().vocab_size)
    rows = CHUNK_ELEMENTS.get(forward.device.type, 1 << 26) // vocabulary
    return max(1, rows // LEAST_ROWS) * LEAST_ROWS
