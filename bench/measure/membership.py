"""Probes of membership attacks that need more than one forward pass of the model; they run only when asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from bench.api import Probes, Rows, Text
from bench.contracts import Progress
from bench.measure.one_pass import measure
from bench.model.models import LM
from bench.model.precision import Precision
from bench.train.batches import attached_logps, collate

SETS = ("forget", "holdout")  # members and non-members


def with_reference(
    rows: Rows, texts: Sequence[Text], reference: LM, progress: Progress, precision: Precision = "float32"
) -> Rows:
    """Add the column `reference_loss`: the mean loss of each answer under a reference model [texts], in nats.

    Carlini et al. 2021, arXiv:2012.07805. NaN for what no attack looks at.
    """
    asked = [text for text in texts if _is_probed(text)]
    measured = measure(reference, Probes(tuple(asked), ()), precision=precision, progress=progress)
    starts, sizes = measured.logp.offsets[:-1], np.diff(measured.logp.offsets)
    losses: Iterator[float] = iter(-np.add.reduceat(measured.logp.flat, starts) / sizes if asked else [])
    return _with(rows, "reference_loss", [float(next(losses)) if _is_probed(text) else np.nan for text in texts])


def with_gradient_norm(rows: Rows, texts: Sequence[Text], lm: LM, progress: Progress) -> Rows:
    """Add the column `gradient_norm`: the mean over weight tensors of the L2 norm of the loss's gradient [texts].

    The loss is the mean over an answer's tokens, without the end-of-sequence token; one text at a time, since norms of
    single texts are wanted. Wang et al. 2024, arXiv:2402.17012. NaN for what no attack looks at, and for answers of no
    token. Where something is attached to the model, the gradient goes through it, to the bare model's weights, with the
    gate of the text's prompt; it is 0 where the model abstains.
    """
    total = sum(map(_is_probed, texts))
    norms: list[float] = []
    for text in texts:
        norms.append(_gradient_norm(lm, text) if _is_probed(text) else np.nan)
        progress("gradient norms", int(np.count_nonzero(~np.isnan(norms))), total)
    return _with(rows, "gradient_norm", norms)


def _gradient_norm(lm: LM, text: Text) -> float:
    item = lm.encode(text.prompt, text.continuation, text.raw)
    labels = attached_logps(lm, collate([item], lm.pad).to(lm.device), [item.prompt])
    if labels.logp.shape[1] < 2:
        return float("nan")
    weights = [p for p in lm.model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(-labels.logp[0, :-1].mean(), weights, materialize_grads=True)
    return float(torch.stack(torch._foreach_norm(list(gradients))).mean())


def _is_probed(text: Text) -> bool:
    return text.role == "answer" and text.set in SETS


def _with(rows: Rows, column: str, values: Sequence[float]) -> Rows:
    return dataclasses.replace(rows, texts=rows.texts.assign(**{column: np.asarray(values, dtype=float)}))
