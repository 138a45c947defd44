"""Training only what a scope selects or adds, with gradients and optimizer state only for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import AddingScope, Scope, Selection
from bench.contracts import Context
from bench.errors import BenchError, UsageError
from bench.model.architecture import neuron_axis, weight
from bench.train import spread
from bench.train.draws import own_draws
from bench.train.placed import place


@contextmanager
def adapted(scope: Scope, context: Context) -> Iterator[None]:
    """Within the block, the model has the weights that a scope adds (`AddingScope`); most scopes add none.

    Their first values come from the cell's stream "adapters", so that they move no other draw of the run.
    """
    with ExitStack() as stack:
        if isinstance(scope, AddingScope):
            with own_draws(context.stream("adapters")):
                stack.enter_context(scope.adapters(context))
        yield


@contextmanager
def trainable(model: nn.Module, selection: Selection) -> Iterator[list[nn.Parameter]]:
    """Within the block, exactly the selected weights of `model` take gradients.

    A tensor that is selected as a whole is yielded itself. A down-projection of which only some neurons are selected
    keeps its frozen weight, with those neurons' entries at zero, and gains a compact parameter [width, k] (for Conv1D
    [k, width]) that holds them: W x = W_frozen x + C x[neurons]. Nothing of the full tensor's size is ever allocated
    for it, and weight decay, momentum and curvature cannot reach a frozen entry because none exists for it. This is the
    triple mask of SIMU (arXiv:2510.07822, on m, h and theta) without the zeros.

    A tensor of which single weights are selected gains a parameter that holds these alone ([1, k] of a matrix, [k] of a
    vector, so that what decays is told by its axes as ever); it is put in their places at every pass
    (`bench.train.placed`), in the embedding and in the head that is tied to it. The gradient of the whole tensor is
    there for a moment; state, remainders and `.grad` are of the k weights, whose places take 4 bytes each.

    The model's forward pass is right throughout the block, but a partly selected weight is whole again only when the
    block ends, however it ends: save checkpoints after it.

    Args:
        model: the model to train, altered in place.
        selection: parameter name -> None for the whole tensor, int64 neuron indices of a down-projection [k], or a bool
            mask of the parameter's shape.

    Yields:
        The trainable parameters, in the order of `selection`.

    Raises:
        BenchError: a name that the model lacks, neurons of something that is no matrix, indices that are out of range
            or occur twice, a mask of another shape, or a selection of nothing at all.
        UsageError: single weights under FSDP, whose slices have no places in common.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    _check(model, named, selection)
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    parameters: list[nn.Parameter] = []
    undo: list[Callable[[], None]] = []
    try:
        for name, chosen in selection.items():
            if _whole(chosen):
                named[name].requires_grad_(True)
                parameters.append(named[name])
            elif chosen is not None and not _nothing(chosen):
                owner = model.get_submodule(name.rpartition(".")[0])
                single = chosen.dtype == torch.bool
                compact, restore = place(model, named[name], chosen) if single else _compact(owner, chosen)
                parameters.append(compact)
                undo.append(restore)
        yield parameters
    finally:
        for restore in reversed(undo):
            restore()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None


def _compact(module: nn.Module, neurons: Tensor) -> tuple[nn.Parameter, Callable[[], None]]:
    """Move the neurons' entries of a projection into a parameter of their own; also what puts them back."""
    axis, frozen, whole = neuron_axis(module), weight(module), module.forward
    neurons = neurons.to(frozen.device)
    compact = nn.Parameter(frozen.detach().index_select(axis, neurons))
    with torch.no_grad():
        frozen.index_fill_(axis, neurons, 0.0)

    def restore() -> None:
        del module.forward
        with torch.no_grad():
            frozen.index_copy_(axis, neurons, compact.detach())

    module.forward = partial(_with_neurons, whole, compact, neurons, axis)
    return compact, restore


def _with_neurons(
    whole: Callable[[Tensor], Tensor], compact: nn.Parameter, neurons: Tensor, axis: int, x: Tensor
) -> Tensor:
    """W x = W_frozen x + C x[neurons]; no closure, so that a copy of the model runs on its own frozen weights."""
    part = compact if axis == 1 else compact.t()
    return whole(x) + F.linear(x.index_select(-1, neurons), part)


def _whole(chosen: Tensor | None) -> bool:
    """Whether every weight of a tensor is selected; one whose mask leaves nothing out trains as `all` trains it."""
    return chosen is None or (chosen.dtype == torch.bool and bool(chosen.all()))


def _nothing(chosen: Tensor | None) -> bool:
    return chosen is not None and not (bool(chosen.any()) if chosen.dtype == torch.bool else chosen.numel())


def _check(model: nn.Module, named: dict[str, nn.Parameter], selection: Selection) -> None:
    unknown = [name for name in selection if name not in named]
    if unknown:
        some = ", ".join([*named][:3])
        raise BenchError(f"the scope selects '{unknown[0]}', which the model lacks; it has {some}, ...")
    if all(_nothing(chosen) for chosen in selection.values()):
        raise BenchError("the scope selects no weight at all, so the method could do nothing. Choose another scope.")
    masked: dict[int, str] = {}
    for name, chosen in selection.items():
        if chosen is None:
            continue
        if chosen.dtype == torch.bool:
            _check_mask(name, named[name], chosen)
            if (other := masked.setdefault(id(named[name]), name)) != name:
                raise BenchError(f"the scope selects weights of '{other}' and of '{name}', which are one tensor.")
        else:
            _check_neurons(model, name, named[name], chosen)


def _check_mask(name: str, parameter: nn.Parameter, mask: Tensor) -> None:
    if mask.shape != parameter.shape:
        found, want = tuple(mask.shape), tuple(parameter.shape)
        raise BenchError(f"the scope's mask of '{name}' must have its shape {want}, not {found}.")
    if spread.sharded() and not _whole(mask):
        raise UsageError(
            "single weights cannot be trained under FSDP, which cuts each tensor into slices. Start without it: "
            "accelerate launch --multi_gpu ..., or take a scope of whole tensors or neurons."
        )


def _check_neurons(model: nn.Module, name: str, parameter: nn.Parameter, neurons: Tensor) -> None:
    if not name.endswith(".weight") or parameter.ndim != 2:
        raise BenchError(f"the scope selects neurons of '{name}', which is no projection's weight matrix.")
    if neurons.dtype != torch.int64 or neurons.ndim != 1 or neurons.unique().numel() != neurons.numel():
        raise BenchError(f"the scope's neurons of '{name}' must be distinct indices, int64 [k].")
    count = parameter.shape[neuron_axis(model.get_submodule(name.rpartition(".")[0]))]
    if neurons.numel() and not 0 <= int(neurons.min()) <= int(neurons.max()) < count:
        raise BenchError(f"the scope selects neurons of '{name}' that are out of range: it has {count}.")
