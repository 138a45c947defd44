"""The language-model head on chosen positions only."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.errors import UsageError
from bench.model.architecture import blocks
from bench.model.last_layer import last_mlp_at
from bench.model.shapes import rounded

_RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


def has_plain_head(model: PreTrainedModel) -> bool:
    """Whether logits are the output embedding applied to the last hidden state, with nothing behind it."""
    config = model.config.get_text_config(decoder=True)
    return all(getattr(config, name, None) in (None, 1, 1.0) for name in _RESCALED)


def label_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor | None, at: Tensor) -> Tensor:
    """Logits [N, V] at the N positions `at` of `ids` [B, L], flattened.

    A model whose logits are rescaled behind the head runs in full, and the positions are picked afterwards. One that
    has a `label_logits` of its own is asked: where weights are shared out, what gathers them is in there.
    """
    if not has_plain_head(model):
        logits = model(input_ids=ids, attention_mask=seen(mask), use_cache=False).logits
        return logits.flatten(0, 1).index_select(0, at)
    own = getattr(model, "label_logits", None)
    return (own(ids, mask, at) if own else padded_label_logits(model, ids, mask, at))[: len(at)]


def padded_label_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor | None, at: Tensor) -> Tensor:
    """`label_logits` of a model that has a plain head, and rows behind them that mean nothing."""
    with last_mlp_at(model, at):
        states = model.base_model(input_ids=ids, attention_mask=seen(mask), use_cache=False).last_hidden_state
    return model.get_output_embeddings()(rounded(states.flatten(0, 1).index_select(0, at)))


class _Reached(Exception):
    """The layer that was wanted has run."""


def layer_states(model: PreTrainedModel, ids: Tensor, mask: Tensor | None, at: Tensor, layer: int) -> Tensor:
    """Hidden states [N, D] behind decoder layer `layer` at the N positions `at` of `ids` [B, L], flattened.

    The layers above it and the head do not run. A model that has a `layer_states` of its own is asked, as for
    `label_logits`.

    Raises:
        UsageError: there is no such layer.
    """
    own = getattr(model, "layer_states", None)
    return own(ids, mask, at, layer) if own else states_behind(model, ids, mask, at, layer)


def states_behind(
    model: PreTrainedModel, ids: Tensor, mask: Tensor | None, at: Tensor, layer: int, stop: bool = True
) -> Tensor:
    """`layer_states`; without `stop` the rest of the model runs too, as where weights are gathered on the way."""
    found, caught = blocks(model)[1], []
    if not -len(found) <= layer < len(found):
        raise UsageError(
            f"there is no layer {layer}: {type(model).__name__} has {len(found)} decoder layers, 0 to "
            f"{len(found) - 1}. Choose one with --set METHOD.layer=NUMBER; -1 is the last."
        )

    def catch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)
        if stop:
            raise _Reached

    handle = found[layer].register_forward_hook(catch)
    try:
        with suppress(_Reached):
            model.base_model(input_ids=ids, attention_mask=seen(mask), use_cache=False)
    finally:
        handle.remove()
    states: Tensor = caught[0]
    return states.flatten(0, -2).index_select(0, at)


def seen(mask: Tensor | None) -> Tensor | None:
    """The attention mask of a batch that is padded on the right, for a causal model.

    It changes nothing that is read, for the padding comes after it. Without one torch's attention takes its flash
    kernel, and nobody has to look on an accelerator whether the mask masks anything.
    """
    return mask if mask is not None and mask.device.type == "cpu" else None
