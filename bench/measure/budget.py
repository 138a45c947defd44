"""How many tokens a pass of measuring may hold: what suits a CPU, and what fits on an accelerator."""

from __future__ import annotations

import math

from transformers import PretrainedConfig

from bench.measure.forward import Forward
from bench.measure.prompts import SLOTS_PER_TOKEN
from bench.measure.texts import LOGITS_HELD, chunk_rows
from bench.model.room import free_bytes
from bench.train.footprint import SPARE, Uncounted, activation_bytes

ON_CPU = 2048
"""Where a core is fastest; its memory is never what bounds it."""
UNKNOWN = 4096
"""Where what a token takes cannot be counted; if it is too many, it is halved."""
MOST = 1 << 15
"""Beyond so many an accelerator has long had all it can work on at a time."""


def token_budget(forward: Forward, longest: int) -> int:
    """Tokens in one forward pass, where the longest text, or prompt with its completion, has `longest`."""
    if forward.device.type == "cpu":
        return ON_CPU
    try:
        return budget_within(free_bytes(forward.device), forward, longest)
    except Uncounted:
        return UNKNOWN


def budget_within(free: int, forward: Forward, longest: int) -> int:
    """The largest power of two, up to `MOST`, of tokens for which `free` bytes are enough; at least 1.

    Powers of two, so that the budget, and with it how results round, does not follow every byte that comes free.
    """
    room = free * (1 - SPARE) - logits_bytes(forward)
    fitting = room / max(1, token_bytes(forward, longest))
    return int(min(MOST, 2 ** max(0, math.floor(math.log2(max(1, fitting))))))


def logits_bytes(forward: Forward) -> int:
    """What a chunk of logits takes, in float32, beside what is computed from it."""
    return chunk_rows(forward) * int(forward.model.config.get_text_config().vocab_size) * 4 * LOGITS_HELD


def token_bytes(forward: Forward, longest: int) -> int:
    """What a token of the budget takes: its pass in texts of `longest` tokens, and its slots of the cache."""
    one, two = (activation_bytes(forward.model, n, longest, labels=1, backward=False) for n in (1, 2))
    slots = cache_bytes(forward.model.config.get_text_config(), SLOTS_PER_TOKEN, forward.model.dtype.itemsize)
    return -(-(two - one) // longest) + slots


def cache_bytes(config: PretrainedConfig, slots: int, itemsize: int) -> int:
    """Keys and values of so many slots in all layers, and again those of one, which are moved one by one."""
    heads = int(config.num_attention_heads)
    width = getattr(config, "head_dim", None) or int(config.hidden_size) // heads
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    return 2 * (int(config.num_hidden_layers) + 1) * kept * int(width) * itemsize * slots
