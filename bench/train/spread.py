"""One training over several processes: who takes which share, what is summed, and FSDP's shards of a model.

Every process runs the same program on the same draws; only the rows of a batch differ. With one process every function
here gives back what it was given.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import MethodType
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from transformers import PreTrainedModel

from bench.contracts import LM
from bench.errors import UsageError
from bench.model.heads import has_plain_head, padded_label_logits, states_behind
from bench.train.checkpointing import run_again

T = TypeVar("T")
_BUCKET = 1 << 24  # numbers that are summed over processes at once


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if size() > 1 else 0


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sharded() -> bool:
    """Whether each process holds a slice of the model only: the user's accelerate configuration asks for FSDP."""
    return size() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def total(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes; gradients do not flow through it."""
    if size() == 1:
        return value
    summed = value.detach().to(_device(), copy=True)
    dist.all_reduce(summed)
    return summed.to(value.device)


def least(value: float) -> float:
    """The smallest of what the processes say, so that what follows from it is the same in all of them."""
    if size() == 1:
        return value
    found = torch.tensor(value, dtype=torch.float64, device=_device())
    dist.all_reduce(found, dist.ReduceOp.MIN)
    return found.item()


def share(value: float, parameters: Sequence[nn.Parameter]) -> float:
    """A mean over the weights in `parameters`, of which each process knew its own.

    Where some are slices and some whole, a whole one counts once for every process that holds it.
    """
    if not any(isinstance(p, Shard) for p in parameters):
        return value
    count = sum(p.numel() for p in parameters)
    both = total(torch.tensor([value * count if count else 0.0, count], dtype=torch.float64))
    return (both[0] / both[1]).item()


def same(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, which alone runs it, in all of them; raises what it raises in all."""
    if size() == 1:
        return make()
    told: list[Any] = [None]
    if rank() == 0:
        try:
            told = [(_on_cpu(make()), None)]
        except Exception as caught:
            told = [(None, caught)]
    dist.broadcast_object_list(told, src=0, device=_device())
    made, error = told[0]
    if error is not None:
        raise error
    return cast(T, made)


def check(optimizer: object) -> None:
    """See that an optimizer of `bench.api` can work on slices of the weights.

    Raises:
        UsageError: its curvature is estimated by differentiating on its own, which FSDP's slices do not allow.
    """
    source = getattr(optimizer, "curvature", "empirical")
    if sharded() and source != "empirical":
        raise UsageError(
            f"curvature={source} differentiates past FSDP, which would see no weight whole. Take the squared gradient, "
            "--set METHOD.curvature=empirical, or start without FSDP: accelerate launch --multi_gpu ..."
        )


def reduce_gradients(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Sum the gradients over all processes, in place, behind the last backward pass of a step.

    Returns:
        The Euclidean norm of the whole gradient, a scalar.
    """
    shards = [p for p in parameters if isinstance(p, Shard)]
    whole = [p.grad for p in parameters if not isinstance(p, Shard) and p.grad is not None]
    if size() > 1:
        _sum(whole)
    norm = get_total_norm(whole)
    if not shards:
        return norm
    for shard in shards:
        shard.take_gradient()
    own = get_total_norm([p.grad for p in shards if p.grad is not None])
    return (total(own.double() ** 2) + norm.to(own.device).double() ** 2).sqrt().to(own.dtype)


class Shard(nn.Parameter):
    """This process's rows of a parameter, in the parameter's own memory, as an ordinary parameter of as many axes.

    An optimizer that moves each weight by what it knows of that weight alone works on shards as on whole parameters.
    It may hold no row at all; such a one never has a gradient.
    """

    slice_of: nn.Parameter

    def take_gradient(self) -> None:
        """Take over the gradient that FSDP left at the parameter: of this process's rows, the mean over processes."""
        found = self.slice_of.grad
        self.slice_of.grad = None
        self.grad = found.to_local().mul_(size()) if found is not None and self.numel() else None  # type: ignore[attr-defined]


@contextmanager
def spread(lm: LM, parameters: Sequence[nn.Parameter]) -> Iterator[tuple[LM, list[nn.Parameter]]]:
    """Within the block a model and its trained parameters are laid over the processes as the launch asks for.

    Under FSDP the block has to use the model and the parameters that are yielded: `lm`'s own weights are empty there
    and whole again, with what was learnt, behind it. Parameters that are no part of the model, such as those of partly
    selected weights, stay whole in every process. Without FSDP both are yielded as they are. When an exception ends the
    block, nothing is gathered, and `lm` is lost.

    Yields:
        The model to run, through `heads.label_logits` and `layer_states` only, and the parameters for an optimizer.
    """
    if not sharded():
        yield lm, list(parameters)
        return
    model, own = lm.model, list(lm.model.parameters())
    # The twin shares the weights' memory until it is sharded: nothing is there twice.
    twins = [nn.Parameter(p.data, p.requires_grad) for p in own]
    memo: dict[int, Any] = {id(p): twin for p, twin in zip(own, twins)}
    memo |= {id(p): p for p in parameters if id(p) not in memo}
    twin = copy.deepcopy(model, memo)
    del twins, memo
    device = lm.device
    _shard(twin, device)
    slices = dict(zip(map(id, own), twin.parameters(), strict=True))
    for p in own:
        p.data = p.data.new_empty(0)
    yield (
        dataclasses.replace(cast(Any, lm), model=twin),
        [_slice(slices[id(p)]) if id(p) in slices else p for p in parameters],
    )
    for p in own:
        p.data = slices.pop(id(p)).detach().to(device).full_tensor()  # type: ignore[attr-defined]


def _slice(parameter: nn.Parameter) -> Shard:
    shard = Shard(parameter.detach().to_local())  # type: ignore[attr-defined]
    shard.slice_of = parameter
    return shard


def _shard(model: PreTrainedModel, device: torch.device) -> None:
    """Slice a model as the accelerate configuration says; what is tied stays with the root, as one group must hold it.

    Precision is not the configuration's: it is part of what is compared.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    plugin = FullyShardedDataParallelPlugin()
    plugin.set_auto_wrap_policy(model)
    mesh = init_device_mesh(device.type, (size(),))
    options: dict[str, Any] = {"mesh": mesh, "offload_policy": plugin.cpu_offload}
    wanted = fsdp2_prepare_auto_wrap_policy(plugin, model) or (lambda module: False)
    held = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    for module in reversed(list(model.modules())):
        container = isinstance(module, nn.ModuleList | nn.ModuleDict)
        if module is model or container or not wanted(module) or any(held[id(p)] > 1 for p in module.parameters()):
            continue
        if plugin.activation_checkpointing and "forward" not in vars(module):  # where it is, it checkpoints already
            run_again(module)
        fully_shard(module, reshard_after_forward=plugin.reshard_after_forward, **options)
    fully_shard(model, **options)
    if has_plain_head(model):
        vars(model)["label_logits"] = MethodType(padded_label_logits, model)
        register_fsdp_forward_method(model, "label_logits")
    vars(model)["layer_states"] = MethodType(partial(states_behind, stop=False), model)
    register_fsdp_forward_method(model, "layer_states")


def _sum(gradients: Sequence[Tensor]) -> None:
    """Sum tensors over all processes in place, many small ones at a time."""
    waiting: list[Tensor] = []
    for index, gradient in enumerate(gradients):
        waiting.append(gradient)
        last = index + 1 == len(gradients)
        if last or sum(g.numel() for g in waiting) >= _BUCKET or gradients[index + 1].dtype != gradient.dtype:
            flat = torch.cat([g.reshape(-1) for g in waiting]).float()  # bfloat16 would round at every process
            dist.all_reduce(flat)
            for g, summed in zip(waiting, flat.split([g.numel() for g in waiting])):
                g.copy_(summed.view_as(g))
            waiting = []


def _device() -> torch.device:
    """Where this process's collectives run."""
    from accelerate import PartialState

    return cast(torch.device, PartialState().device)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    return value.cpu() if isinstance(value, Tensor) else value
