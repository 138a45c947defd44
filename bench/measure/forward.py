"""One causal language model, asked for hidden states and for logits apart: logits are made where they are wanted.

What a model can do (a custom attention mask, a head that can be called alone, a cache of ours) is tried out on a few
tokens against its plain forward pass, never read off its class name: what does not agree is not used. The same is tried
once more with what is attached to the model, its gates wide open.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache

from bench.errors import BenchError
from bench.measure.blocks import fits, trunk_hidden
from bench.measure.lengths import context
from bench.measure.products import forward_replaced, onednn
from bench.measure.trees import Tree, mask, trees
from bench.model.allocator import give_back, keep_freed_memory
from bench.model.attachments import Attached, Spots, Told
from bench.model.checkpoint import quiet
from bench.model.models import LM
from bench.model.precision import Precision, arithmetic

_log = logging.getLogger(__name__)


class Forward:
    """The forward pass of `lm` in two halves: `hidden` up to the head, `logits` through the model's own head.

    Args:
        lm: the model and its tokenizer.
        precision: "mixed" runs a float32 model under autocast; logits are float32 either way.

    Raises:
        BenchError: the tokenizer has no end-of-sequence token.
    """

    def __init__(self, lm: LM, precision: Precision = "float32") -> None:
        if lm.tokenizer.eos_token_id is None:
            name = lm.tokenizer.name_or_path or type(lm.tokenizer).__name__
            raise BenchError(
                f"the tokenizer '{name}' has no end-of-sequence token, so no answer has an end to score. "
                "Set `eos_token` in its tokenizer_config.json."
            )
        self.lm = lm
        self.model = lm.model
        self.attached = Attached(lm)
        self.device = lm.device
        self._trunk = lm.model.base_model
        self._precision = precision
        self._template: Any = None  # an output object of the trunk, in which the head is handed its hidden states
        self._positions = "position_ids" in inspect.signature(self._trunk.forward).parameters

    @property
    def context(self) -> int | None:
        """The longest sequence that the model has positions for; None if it names no limit."""
        return context(self.model.config)

    @property
    def window(self) -> int | None:
        """The narrowest span that some layer's attention is confined to; None if all see everything."""
        config = self.model.config.get_text_config()
        spans = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
        return min((int(s) for s in spans if isinstance(s, int)), default=None)

    @cached_property
    def stops(self) -> frozenset[int]:
        """Tokens that end a generation: the tokenizer's end-of-sequence token and those of the generation settings."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        return frozenset({self.lm.eos, *([named] if isinstance(named, int) else named or [])})

    def hidden(
        self,
        ids: Tensor,
        positions: Tensor,
        attention: Tensor | None,
        cache: Cache | None = None,
        told: Told | None = None,
    ) -> Tensor:
        """What the head reads, [B, T, D] (or, of a model whose head cannot be called alone, its logits [B, T, V]).

        Args:
            ids, positions: [B, T]
            attention: None for plain causal, [B, S] true for real slots, or [B, 1, T, S] to be added to the scores.
            told: of the rows' prompts, for what is attached; None leaves it off.
        """
        if told is None and self.own_blocks:
            return trunk_hidden(self.model, ids, positions, attention, cache)
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": attention, "use_cache": cache is not None}
        if self._positions:
            inputs["position_ids"] = positions
        if cache is not None:
            inputs["past_key_values"] = cache
        separable = self.separable  # found out without hooks
        with self._autocast(), self.attached.on(told, positions):
            if not separable:
                return self.model(**inputs).logits
            return self._trunk(**inputs).last_hidden_state

    def logits(self, hidden: Tensor, spots: Spots | None = None) -> Tensor:
        """Logits [n, V], float32, of hidden states [n, D]: the model's own head, scaling and capping included.

        What is attached has the last word, where `spots` says whose and which tokens these are.
        """
        return self.attached.logits(self._head(hidden) if self.separable else hidden.float(), spots)

    def whole(self, ids: Tensor, told: Told | None = None) -> Tensor:
        """Logits [B, T, V] of a plain pass over `ids` [B, T] without filler, under the hooks of what is attached."""
        positions = torch.arange(ids.shape[1], device=self.device).expand_as(ids)
        with self._autocast(), self.attached.on(told, positions):
            return self.model(input_ids=ids, use_cache=False).logits

    def trials(self, prompts: Sequence[Sequence[int]]) -> list[Told | None]:
        """How a way of running is tried out on rows with these prompts: bare, and attached with every gate open."""
        told = self.attached.told(prompts)
        return [None] if told is None else [None, told._replace(gates=tuple(map(torch.ones_like, told.gates)))]

    @cached_property
    def separable(self) -> bool:
        """Whether trunk and head, called one after the other, give the logits of the whole."""
        if self._trunk is self.model:
            return False
        ids = self._some_ids(5)
        with self._autocast():
            self._template = self._trunk(input_ids=ids, use_cache=False)
            whole = self.model(input_ids=ids, use_cache=False).logits[0].float()
        if not hasattr(self._template, "last_hidden_state"):
            return False
        return self.agrees("its head called alone", lambda: self._head(self._template.last_hidden_state[0]), whole)

    @cached_property
    def own_blocks(self) -> bool:
        """Whether the blocks as we run them give what the trunk does, under a mask and without one."""
        if self._precision == "mixed" or self.window is not None or not self.separable or not fits(self.model):
            return False
        ids = self._some_ids(24).view(2, 12)
        positions = torch.arange(12).expand_as(ids)
        added = torch.zeros(2, 1, 12, 12).masked_fill_(torch.ones(12, 12).triu(1) > 0, -torch.inf)
        added[1, :, 7:, 2:5] = -torch.inf

        def agrees(attention: Tensor | None) -> bool:
            plain = {"input_ids": ids, "position_ids": positions, "attention_mask": attention, "use_cache": False}
            whole = self._trunk(**plain).last_hidden_state
            return self.agrees(
                "blocks of ours", lambda: trunk_hidden(self.model, ids, positions, attention, None), whole
            )

        return agrees(added) and agrees(None)

    @cached_property
    def takes_trees(self) -> bool:
        """Whether a prefix tree under a custom mask gives the logits of its texts one by one."""
        ids = self._some_ids(7)[0].tolist()
        texts = {0: [*ids[2:5], 0], 1: [ids[2], *ids[5:], 0]}
        (tree,) = trees(ids[:2], texts.items(), limit=100)
        rows = [torch.tensor([ids[:2] + text[:-1]], device=self.device) for text in texts.values()]
        nodes = tree.paths[0] + tree.paths[1]

        def agrees(told: Told | None) -> bool:
            whole = torch.cat([self.whole(row, told)[0, 1:].float() for row in rows])
            return self.agrees("prefix trees", lambda: self.logits(self.tree_hidden([tree], told)[0, nodes]), whole)

        return all(map(agrees, self.trials([ids[:2]])))

    def tree_hidden(self, batch: Sequence[Tree], told: Told | None = None) -> Tensor:
        """Hidden states [B, T, D] of the nodes of trees of one width T and one kind; what is beyond a tree is filler.

        Trees of one path need no mask: a causal model's filler comes after all that is read.
        """
        width = batch[0].width
        ids = torch.tensor([tree.ids + [self.lm.pad] * (width - tree.size) for tree in batch], device=self.device)
        if not batch[0].branching:
            return self.hidden(ids, torch.arange(width, device=self.device).expand_as(ids), None, told=told)
        positions = torch.tensor([tree.depth + [0] * (width - tree.size) for tree in batch], device=self.device)
        added = torch.from_numpy(np.stack([mask(tree, width) for tree in batch])[:, None])
        return self.hidden(ids, positions, added.to(self.device, self.model.dtype), told=told)

    def _head(self, hidden: Tensor) -> Tensor:
        """The model's own forward pass with the trunk's output already there."""
        output = dataclasses.replace(self._template, last_hidden_state=hidden[None])
        with forward_replaced(self._trunk, lambda *args, **kwargs: output), self._autocast():
            return self.model(input_ids=self._some_ids(1), use_cache=False).logits[0].float()

    def _some_ids(self, count: int) -> Tensor:
        vocabulary = self.model.config.get_text_config().vocab_size
        return (torch.arange(count, device=self.device)[None] * 7 + 3) % vocabulary

    def _autocast(self) -> AbstractContextManager[Any]:
        return arithmetic(self._precision, self.device)

    def agrees(self, what: str, attempt: Any, expected: Tensor) -> bool:
        """Whether `attempt()` gives `expected` but for rounding; a model that refuses it says no."""
        half = self._precision == "mixed" or self.model.dtype != torch.float32
        tolerance = 0.1 if half else 1e-4
        scale = float(expected.nan_to_num().abs().max()) + 1e-6
        try:
            found = attempt()
            same = torch.allclose(found, expected, rtol=0, atol=tolerance * scale, equal_nan=True)
            reason = "its logits differ"
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, NotImplementedError) as error:
            same, reason = False, f"{type(error).__name__}: {error}"
        if not same:
            _log.info("%s does without %s (%s)", type(self.model).__name__, what, reason)
        return same


@contextmanager
def evaluating(lm: LM) -> Iterator[None]:
    """The model in evaluation mode, without gradients, with fast products; as it was before, afterwards.

    Transformers warns of filler without a mask, which a causal model needs none for where it comes last.
    """
    keep_freed_memory()
    training = lm.model.training
    lm.model.eval()
    try:
        with torch.inference_mode(), onednn(lm.model), quiet():
            yield
    finally:
        lm.model.train(training)
        give_back()
