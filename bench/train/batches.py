"""Items to padded batches, and the log-probabilities of their labels.

Shapes: B batch, T time (label positions, padded at the end), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from bench.contracts import LM, Batch, Encoded, Labels
from bench.model.attachments import Attached
from bench.model.heads import label_logits
from bench.model.shapes import compiled
from bench.train.pieces import pieces, usual

IGNORED = -100
LOGITS = 1 << 28
"""Logits that are there at a time where nothing is trained: 1 GiB in float32, and a few times that with the softmax."""


def collate(items: Sequence[Encoded], pad: int, multiple: int = 8) -> Batch:
    """Pad on the right; `labels[i, t]` is what position t must predict, so the shift is done here and nowhere else.

    The width is rounded up to a multiple: kernels that are compiled for a shape are then compiled a few times and not
    for every batch anew.
    """
    ids = [torch.tensor((item.prompt + item.answer)[:-1]) for item in items]
    labels = [torch.tensor(([IGNORED] * len(item.prompt) + item.answer)[1:]) for item in items]
    lengths = torch.tensor([len(i) for i in ids])
    width = padded(int(lengths.max()), multiple)
    filled_ids, expected = (
        torch.nn.functional.pad(rows, (0, width - rows.shape[1]), value=filler)
        for rows, filler in (
            (pad_sequence(ids, batch_first=True, padding_value=pad), pad),
            (pad_sequence(labels, batch_first=True, padding_value=IGNORED), IGNORED),
        )
    )
    labelled = expected != IGNORED
    counts = labelled.sum(1)
    filled = torch.arange(int(counts.max())) < counts[:, None]
    at, slots = (places.flatten().nonzero().squeeze(1) for places in (labelled, filled))
    return Batch(filled_ids, (torch.arange(width) < lengths[:, None]).long(), expected, at, filled, slots)


def padded(width: int, multiple: int = 8) -> int:
    """The width of a batch whose longest text has `width` tokens."""
    return -(-width // multiple) * multiple


def width_multiple(lm: LM) -> int:
    """What widths of batches for this model are rounded up to, as passes compute now."""
    return 8 if compiled(lm.device, lm.model.dtype) else 1


def label_logps(model: PreTrainedModel, batch: Batch) -> Labels:
    """Log-probability of every label of a batch; the head runs on label positions only, the softmax in float32."""
    return labelled(label_logits(model, batch.ids, batch.mask, batch.at).float(), batch)


def labelled(logits: Tensor, batch: Batch) -> Labels:
    """Log-probability of every label of a batch under logits [N, V]."""
    return Labels(batch.rows(-torch.nn.functional.cross_entropy(logits, batch.answers, reduction="none")), batch.filled)


def sampled_cross_entropies(
    model: PreTrainedModel, parts: Sequence[Sequence[Batch]], generator: torch.Generator
) -> tuple[Iterator[Tensor], int]:
    """The mean cross-entropy over labels that the model itself proposes at every label position, and their number.

    The mean comes in as many terms as there are parts, each of some batches: they are made when they are asked for, so
    that one graph is alive at a time. What the Gauss-Newton-Bartlett estimate of the curvature is made from
    (arXiv:2305.14342, algorithm 2).
    """
    count = sum(len(batch.at) for part in parts for batch in part)

    def proposed(part: Sequence[Batch]) -> Tensor:
        logits = torch.cat([label_logits(model, b.ids, b.mask, b.at).float() for b in part])
        labels = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator).squeeze(1)
        return torch.nn.functional.cross_entropy(logits, labels) * (len(labels) / count)

    return map(proposed, parts), count


def attached_logps(lm: LM, batch: Batch, prompts: Sequence[Sequence[int]]) -> Labels:
    """`label_logps` of a batch, whose rows have these prompts, under a model with what is attached to it."""
    attached = Attached(lm)
    told = attached.told(prompts)
    if told is None:
        return label_logps(lm.model, batch)
    width = batch.ids.shape[1]
    spots = told.spots(batch.at // width, batch.at % width)
    with attached.on(told, torch.arange(width, device=lm.device).expand_as(batch.ids)):
        logits = label_logits(lm.model, batch.ids, batch.mask, batch.at).float()
    return labelled(attached.logits(logits, spots), batch)


def answer_logps(lm: LM, items: Sequence[Encoded], batch_size: int = 32) -> Tensor:
    """[N] log-probability of each answer: once for a whole run, so that no reference model has to stay in memory."""
    return logps_of(lm, items, in_batches(lm, items, range(len(items)), batch_size))


@torch.no_grad()
def logps_of(lm: LM, items: Sequence[Encoded], batches: Iterable[tuple[list[int], Batch]]) -> Tensor:
    """`answer_logps` of items that are in batches already."""
    found = torch.empty(len(items), device=lm.device)
    for chosen, batch in batches:
        found[chosen] = attached_logps(lm, batch, [items[i].prompt for i in chosen]).sums()
    return found


def in_batches(
    lm: LM, items: Sequence[Encoded], chosen: Sequence[int], batch_size: int = 32
) -> Iterator[tuple[list[int], Batch]]:
    """The chosen items in batches of similar length, each with the indices of its rows.

    A batch has at most `batch_size` rows, and no more than have `LOGITS` logits at their labels, or one.
    """
    order = sorted(chosen, key=lambda i: len(items[i].prompt) + len(items[i].answer))
    most = LOGITS // int(lm.model.config.get_text_config(decoder=True).vocab_size)
    multiple = width_multiple(lm)
    for piece in _cut(order, [len(items[i].answer) for i in order], batch_size, most):
        lengths = [[len(items[i].prompt) + len(items[i].answer)] for i in piece]
        for start, stop in pieces(lengths, *usual(lm.device)):
            rows = piece[start:stop]
            yield rows, collate([items[i] for i in rows], lm.pad, multiple).to(lm.device)


def _cut(order: Sequence[int], labels: Sequence[int], rows: int, most: int) -> Iterator[list[int]]:
    """Consecutive ones in pieces of at most `rows` that have no more than `most` labels, or of one."""
    piece: list[int] = []
    held = 0
    for index, count in zip(order, labels, strict=True):
        if piece and (len(piece) == rows or held + count > most):
            yield piece
            piece, held = [], 0
        piece.append(index)
        held += count
    if piece:
        yield piece
