"""What scores of single weights are made of: mean gradients over a set, and the size of what projections read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bench.contracts import Encoded, Progress
from bench.errors import BenchError
from bench.model.architecture import blocks
from bench.model.heads import label_logits

if TYPE_CHECKING:
    from bench.contracts import Context

_KEPT_BELOW = 1 << 30  # bytes of a side product; larger ones are made again, as larger models are


def mean_gradient(context: Context, items: Sequence[Encoded]) -> dict[str, Tensor]:
    """g = (1/n) sum_i grad CE_i, with CE_i the mean over the labels of item i of -log p(y_t | x, y_<t).

    The mean over items of the mean over an answer's labels is what batches of one item give (WAGLE's code), but for
    its factor. Sums are in float32 whatever the weights are in; beside them one tensor's gradient is there at a time.

    Returns:
        By parameter name a float32 tensor of its shape, on the CPU; from the cache where it is known.

    Raises:
        BenchError: no item has a label to predict, or a gradient is not finite.
    """
    model = context.lm.model
    arrays = _kept(context, "gradients", items, lambda: list(_gradients(model, items, context.progress)))
    found = dict(zip((name for name, _ in model.named_parameters()), map(torch.from_numpy, arrays), strict=True))
    if odd := next((name for name, g in found.items() if not bool(torch.isfinite(g).all())), None):
        raise BenchError(f"the gradient of {odd} is not finite. Does the model itself give finite losses?")
    return found


def input_norms(context: Context, items: Sequence[Encoded]) -> dict[str, Tensor]:
    """||X_j||_2 of every input j of every linear map in the decoder layers, over all tokens of `items`.

    Returns:
        By the name of the map's weight, [inputs] float32 on the CPU; from the cache where it is known.
    """
    model = context.lm.model
    names = [*projections(model)]
    arrays = _kept(context, "input-norms", items, lambda: list(_norms(model, items, context.progress)))
    return dict(zip(names, map(torch.from_numpy, arrays), strict=True))


def projections(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The linear maps of all decoder layers by the name of their weight."""
    prefix, found = blocks(model)
    return {
        f"{prefix}.{index}.{name}.weight": module
        for index, block in enumerate(found)
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    }


def spaced(items: Sequence[Encoded], count: int) -> list[Encoded]:
    """At most `count` items at even distances: the same for every seed, so that gradients can be shared."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[i] for i in np.unique(places)] if items else []


def _kept(
    context: Context, name: str, items: Sequence[Encoded], make: Callable[[], Sequence[np.ndarray]]
) -> Sequence[np.ndarray]:
    model = context.lm.model
    if 4 * sum(p.numel() for p in model.parameters()) > _KEPT_BELOW:
        return make()
    told = repr((model.device.type, [tuple(item) for item in items]))
    digest = hashlib.blake2b(Path(__file__).read_bytes() + told.encode(), digest_size=16)
    digest.update(weights_digest(model))
    return context.kept(name, digest.hexdigest(), make)


def weights_digest(model: nn.Module) -> bytes:
    """Digest of every number of a model by name."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.digest()


def _gradients(model: PreTrainedModel, items: Sequence[Encoded], progress: Progress) -> Iterator[np.ndarray]:
    asked = [item for item in items if _labels(item)[1]]
    if not asked:
        raise BenchError(f"there is nothing to take gradients of: of {len(items)} items none has a label to predict.")
    with _summing(model) as sums:
        for done, item in enumerate(asked, 1):
            ids, at = _labels(item)
            logits = _run(model, ids[:-1], at)
            F.cross_entropy(logits.float(), torch.tensor([ids[i + 1] for i in at], device=logits.device)).backward()
            progress("gradients", done, len(asked))
        for total in sums:
            yield (total / len(asked)).cpu().numpy()


@contextmanager
def _summing(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Within the block every backward pass adds the gradients of all parameters to the tensors that are yielded."""
    parameters = list(model.parameters())
    flags = [p.requires_grad for p in parameters]
    sums = {id(p): torch.zeros_like(p, dtype=torch.float32) for p in parameters}

    def take(p: Tensor) -> None:
        if p.grad is not None:
            sums[id(p)].add_(p.grad)
            p.grad = None

    model.requires_grad_(True)
    handles = [p.register_post_accumulate_grad_hook(take) for p in parameters]
    try:
        with torch.enable_grad():
            yield [sums[id(p)] for p in parameters]
    finally:
        for handle in handles:
            handle.remove()
        for p, flag in zip(parameters, flags, strict=True):
            p.requires_grad_(flag)


@torch.no_grad()
def _norms(model: PreTrainedModel, items: Sequence[Encoded], progress: Progress) -> Iterator[np.ndarray]:
    if not items:
        raise BenchError("there are no items whose activations could be looked at.")
    found = projections(model)
    squares: dict[str, Tensor | float] = dict.fromkeys(found, 0.0)

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            squares[name] = squares[name] + inputs[0].float().flatten(0, -2).square().sum(0)

        return add

    handles = [module.register_forward_pre_hook(watch(name)) for name, module in found.items()]
    try:
        for done, item in enumerate(items, 1):
            ids, _ = _labels(item)
            _run(model, ids[:-1], [len(ids) - 2])
            progress("activations", done, len(items))
    finally:
        for handle in handles:
            handle.remove()
    for name, module in found.items():
        size = module.weight.shape[0 if isinstance(module, Conv1D) else 1]  # type: ignore[union-attr]
        square = squares[name]
        yield (square.sqrt().cpu() if isinstance(square, Tensor) else torch.zeros(int(size))).numpy()


def _labels(item: Encoded) -> tuple[list[int], list[int]]:
    """The ids of an item, and the positions whose next token is a label; nothing precedes that of an empty prompt."""
    ids = [*item.prompt, *item.answer]
    return ids, list(range(max(0, len(item.prompt) - 1), len(ids) - 1))


def _run(model: PreTrainedModel, ids: list[int], at: list[int]) -> Tensor:
    """Logits [labels, V] of one text as the model answers: without dropout."""
    training = model.training
    model.eval()
    try:
        device = model.device
        return label_logits(model, torch.tensor([ids], device=device), None, torch.tensor(at, device=device))
    finally:
        model.train(training)
