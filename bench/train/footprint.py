"""What one pass of a causal language model costs, from shapes alone: bytes, floating-point operations, kernels.

The pass is run on fake tensors, which have shapes and no memory (torch's `FakeTensorMode`), and every storage is
watched from its making to its end. Nothing is computed, so a model of any size takes seconds; of one with many layers a
few are run and the others are taken to cost as much.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from bench.errors import BenchError
from bench.model.architecture import blocks
from bench.model.heads import label_logits
from bench.model.last_layer import last_mlp
from bench.train.checkpointing import checkpointed

FEW = (2, 4)
"""Layers that are run of a deeper model; an even number, for families in which two kinds of layers take turns."""
SPARE = 0.1
"""Share of the free memory that is left to allocators, which scatter what they hand out."""


class Uncounted(BenchError):
    """A model that does not run on tensors without memory."""


class Pass(NamedTuple):
    """What a pass costs; weights and their gradients are not in it.

    Attributes:
        saved: bytes that the forward pass leaves for the backward pass.
        forward, backward: most bytes at a time on either way.
        flops: floating-point operations of products and attention.
        operations: kernels that are called.
        written: bytes of all storages that are made on the way.
    """

    saved: int
    forward: int
    backward: int
    flops: int
    operations: int
    written: int

    @property
    def peak(self) -> int:
        """Most bytes at a time."""
        return max(self.forward, self.backward)

    def plus(self, other: Pass, times: float = 1) -> Pass:
        """Sum with so many of another, number by number."""
        return Pass(*(round(a + times * b) for a, b in zip(self, other, strict=True)))


def activation_bytes(model: PreTrainedModel | PretrainedConfig, rows: int, width: int, **how: Any) -> int:
    """Most bytes that a forward and backward pass of `rows` texts of `width` tokens holds at a time.

    Weights, gradients of weights and optimizer state are not in it. `how` is what `count` takes.
    """
    return count(model, rows, width, **how).peak


def tokens_that_fit(
    model: PreTrainedModel | PretrainedConfig, longest: int, free_bytes: int, **how: Any
) -> tuple[int, bool]:
    """How many padded tokens a pass may hold, and whether its layers must be checkpointed for that.

    Args:
        longest: tokens of the longest text, padding included; shorter ones take less a token.
        free_bytes: what activations may take: free memory less gradients and optimizer state that are not there yet
            (`pending_bytes`). A tenth of it is left to the allocator.
        how: what `count` takes, but for `checkpointing`, which is found.

    Raises:
        Uncounted: see `count`.
        BenchError: not even one text fits with checkpointing.
    """
    room = int(free_bytes * (1 - SPARE))
    for checkpointing in (False, True):
        one, two = (activation_bytes(model, n, longest, checkpointing=checkpointing, **how) for n in (1, 2))
        if one <= room:
            return longest * (1 + int((room - one) / max(1, two - one))), checkpointing
    raise BenchError(
        f"one text of {longest} tokens needs {one / 2**30:.1f} GiB for a pass, gradient checkpointing included, and "
        f"{max(0, room) / 2**30:.1f} GiB are free. Take --precision bfloat16, or a smaller scope."
    )


def generous_bytes(config: PretrainedConfig, rows: int, width: int) -> int:
    """Bytes that no pass of `rows` texts of `width` tokens needs, told at once: where they are free none are counted.

    A layer is taken to keep 80 times its width, 12 times its neurons and eight maps of attention for every token, the
    head six times its vocabulary, all in float32.
    """
    text = config.get_text_config(decoder=True)
    neurons = max(4 * text.hidden_size, *(getattr(text, name, None) or 0 for name in ("intermediate_size", "ffn_dim")))
    heads = getattr(text, "num_attention_heads", 1)  # Mamba has none
    layer = 80 * text.hidden_size + 12 * neurons + 8 * heads * width
    return int(4 * rows * width * (text.num_hidden_layers * layer + 6 * text.vocab_size))


def pending_bytes(parameters: Collection[nn.Parameter], per_weight: float = 8) -> int:
    """Bytes of gradients, and of optimizer state of `per_weight` bytes a weight, of parameters that have neither yet.

    AdamW and Sophia keep two float32 numbers a weight.
    """
    return sum(int(p.numel() * (p.element_size() * (p.grad is None) + per_weight)) for p in parameters)


def count(
    model: PreTrainedModel | PretrainedConfig,
    rows: int,
    width: int,
    *,
    labels: int | None = None,
    autocast: bool = False,
    checkpointing: bool = False,
    trained: Collection[str] | None = None,
    dropout: bool = False,
    masked: bool = True,
    backward: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Pass:
    """Cost of a forward and backward pass of label log-probabilities.

    Args:
        model: a model, whose weights are not touched, or the configuration of one.
        labels: label positions of the batch, of which alone there are logits; every token by default.
        autocast: bfloat16 forward and backward.
        checkpointing: each layer keeps its input alone and is run again on the way back.
        trained: names of the parameters that take gradients; by default all of a configuration, and of a model those
            that do now.
        dropout: as in training mode.
        masked: with an attention mask, as a CPU gets it.
        backward: False for a pass without gradients.
        dtype: of the weights of a configuration.

    Raises:
        Uncounted: the model looks at numbers where it should look at shapes, or has no such part.
    """
    with torch.inference_mode(False), FakeTensorMode(), _refused(model):
        few = isinstance(model, PretrainedConfig) and trained is None
        twin = _twin(_shallow(model) if few else model, dtype).train(dropout)  # type: ignore[arg-type]
        if trained is not None:
            for name, parameter in twin.named_parameters():
                parameter.requires_grad_(name in trained)
        wanted = rows * width if labels is None else labels
        context = partial(torch.autocast, "cpu", torch.bfloat16, cache_enabled=backward and not checkpointing)
        run = partial(_run, twin, rows, width, wanted, context if autocast else nullcontext, masked, backward)
        layers = _blocks(twin)
        depth = _depth(model if few else twin.config) if layers is not None else 0  # type: ignore[arg-type]
        with ExitStack() as stack:
            if checkpointing and layers is not None:
                stack.enter_context(checkpointed(twin))
            if layers is None or depth <= FEW[1] or not _alike(layers):
                return run()
            _cut(twin, layers, FEW[1])
            more = run()
            _cut(twin, layers, FEW[0])
            fewer = run()
            return fewer.plus(more.plus(fewer, -1), (depth - FEW[0]) / (FEW[1] - FEW[0]))


# -- the pass --------------------------------------------------------------------------------------------------------


def _run(
    model: PreTrainedModel, rows: int, width: int, labels: int, context: Callable[[], Any], masked: bool, backward: bool
) -> Pass:
    """One pass of fake tensors under watch."""
    at = torch.zeros(labels, dtype=torch.long)
    ids = torch.zeros(rows, width, dtype=torch.long)
    mask = torch.ones_like(ids) if masked else None
    last_mlp(model)  # tries it out, which is not to be counted
    watch = _Watch(model)
    handles = [p.register_post_accumulate_grad_hook(watch.pardon) for p in model.parameters() if p.requires_grad]
    try:
        with watch, torch.enable_grad() if backward else torch.no_grad():
            with context():
                loss = F.cross_entropy(label_logits(model, ids, mask, at).float(), at, reduction="none").sum()
            saved, forward = watch.now, watch.peak
            watch.peak = watch.now
            if backward:
                loss.backward()
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad()
    return Pass(saved, forward, watch.peak, watch.flops, watch.operations, watch.written)


@contextmanager
def _refused(model: PreTrainedModel | PretrainedConfig) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError, LookupError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        name = getattr(model, "config", model).model_type
        raise Uncounted(f"what a pass of a model of the kind '{name}' takes cannot be counted: {why}") from error


class _Watch(TorchDispatchMode):
    """Counts bytes of storages from their making to their end, kernels, and the operations of products.

    Attributes:
        now, peak: bytes of the storages that are held, and the most there were since it was last set.
        flops, operations, written: so far, as in `Pass`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = self.flops = self.operations = self.written = 0
        self._held: dict[int, int] = {}
        for tensor in (*model.parameters(), *model.buffers()):
            self._hold(tensor, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if formula := flop_registry.get(packet):
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        elif products := _ATTENTION.get(packet):
            query, key = args[products > 2 :][:2]
            self.flops += 2 * products * query.numel() * key.shape[-2]
        self.operations += 1
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor, tensor.untyped_storage().nbytes())
        return out

    def pardon(self, parameter: nn.Parameter) -> None:
        """Count the gradient of a weight no more: it stays, and is counted elsewhere."""
        if parameter.grad is not None:
            key = parameter.grad.untyped_storage()._cdata
            self.now -= self._held.get(key, 0)
            self._held[key] = 0

    def _hold(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._held:
            self._held[storage._cdata] = size
            self.now += size
            self.written += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, storage._cdata)

    def _drop(self, key: int) -> None:
        self.now -= self._held.pop(key, 0)


_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: 2,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: 5,
}
"""Products of [T, d] with [d, S] in an attention kernel that torch has no formula for."""


# -- the model -------------------------------------------------------------------------------------------------------


def _twin(model: PreTrainedModel | PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """A model without memory, on the CPU; a real one lends its modules and which weights take gradients.

    A module whose forward pass has been replaced gets its own back, and all weights that it holds itself count as
    trained, as is the case of those that `masking.trainable` trains in part.
    """
    if isinstance(model, PretrainedConfig):
        return cast(PreTrainedModel, AutoModelForCausalLM.from_config(copy.deepcopy(model), dtype=dtype))
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        fake = torch.empty(parameter.shape, dtype=parameter.dtype)
        memo[id(parameter)] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
    memo |= {id(buffer): torch.empty(buffer.shape, dtype=buffer.dtype) for buffer in model.buffers()}
    memo |= {id(replaced): replaced for module in model.modules() if (replaced := vars(module).get("forward"))}
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        if module.__dict__.pop("forward", None) is not None:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(True)
    return twin


def _depth(config: PretrainedConfig) -> int:
    return int(config.get_text_config(decoder=True).num_hidden_layers)


def _shallow(config: PretrainedConfig) -> PretrainedConfig:
    """The same with the first layers alone."""
    shallow = copy.deepcopy(config)
    text = shallow.get_text_config(decoder=True)
    kinds = getattr(text, "layer_types", None)
    if kinds:
        text.layer_types = kinds[: FEW[1]]
    text.num_hidden_layers = min(_depth(config), FEW[1])
    return shallow


def _blocks(model: PreTrainedModel) -> nn.ModuleList | None:
    """The decoder layers; None where they cannot be told."""
    try:
        return blocks(model)[1]
    except BenchError:
        return None


def _alike(blocks: nn.ModuleList) -> bool:
    """Whether all layers train the same of their weights."""
    return len({tuple((name, p.requires_grad) for name, p in block.named_parameters()) for block in blocks}) == 1


def _cut(model: PreTrainedModel, blocks: nn.ModuleList, depth: int) -> None:
    """Leave the model its first layers."""
    del blocks[depth:]
    model.config.get_text_config(decoder=True).num_hidden_layers = depth
