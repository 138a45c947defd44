"""Whether texts fit a model, found from their tokens alone: before measuring, and before anything is trained for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import PretrainedConfig

from bench.api import Pair, Probes
from bench.errors import BenchError
from bench.model.encoding import Encoding


def context(config: PretrainedConfig) -> int | None:
    """The longest sequence that a model has positions for; None if it names no limit."""
    found: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return found


def check(encoding: Encoding, limit: int | None, pairs: Iterable[Pair], probes: Probes) -> None:
    """Raise `BenchError` for the first training pair, text or prompt that a model of that limit cannot be given."""
    for pair in pairs:
        prompt, answer = encoding.pair(pair.prompt, pair.answer, pair.raw)
        check_item(f"the training pair '{pair.prompt[:60]}'", prompt, len(prompt) + len(answer) - 1, limit)
    for text in probes.texts:
        prompt, answer = encoding.pair(text.prompt, text.continuation, text.raw)
        check_item(f"{text.set}/{text.id} ({text.role})", prompt, len(prompt) + len(answer) - 1, limit)
    for asked in probes.prompts:
        prompt = encoding.prompt(asked.prompt, asked.raw)
        check_item(f"{asked.set}/{asked.id} ({asked.role})", prompt, len(prompt), limit)


def check_item(item: str, prompt: Sequence[int], length: int, limit: int | None) -> None:
    """Raise `BenchError` where `prompt` has no token, or the `length` tokens of an item are more than `limit`."""
    if not prompt:
        raise BenchError(
            f"{item}: the prompt has no tokens and the tokenizer adds none, so nothing precedes the first one to be "
            "predicted. Give the item a prompt."
        )
    if limit is not None and length > limit:
        raise BenchError(
            f"{item}: {length} tokens, but the model has positions for {limit}. "
            "Shorten the item or choose a model with a longer context."
        )
