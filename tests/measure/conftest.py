"""Tiny random models of several architectures, a tokenizer of characters, and the naive loops they are held against."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from bench.model.models import LM

ALPHABET = "abcdefghijklmnopqrstuvwxyz .?:\n" + "ĊĠQA"
VOCABULARY = 48

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": VOCABULARY}
_GATED = {**_SMALL, "intermediate_size": 48, "num_key_value_heads": 1, "max_position_embeddings": 256}
SHAPES: dict[str, dict[str, object]] = {
    "llama": _GATED,
    "qwen2": _GATED,
    "olmo2": _GATED,
    "phi": {**_SMALL, "intermediate_size": 48, "max_position_embeddings": 256},
    "gpt_neox": {**_SMALL, "intermediate_size": 48, "max_position_embeddings": 256},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256, "vocab_size": VOCABULARY},
    # Logits are capped after the head, and every other layer sees 4 tokens only.
    "gemma2": {**_GATED, "head_dim": 16, "final_logit_softcapping": 2.0, "sliding_window": 4},
    "mistral": {**_GATED, "sliding_window": 12},
    # Positions by attention bias: no position ids, and its mask comes from a 2-D one.
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2, "vocab_size": VOCABULARY},
    # No attention at all.
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": VOCABULARY, "state_size": 4},
}
EXACT = ["llama", "qwen2", "gpt2", "gpt_neox"]


def character_tokenizer(eos: bool = True, pad: bool = True, bos: bool = False) -> PreTrainedTokenizerFast:
    """One token a character; byte-level, so that spaces and line breaks survive."""
    symbols = ["<pad>", "<eos>", "<bos>", *dict.fromkeys(ALPHABET)]
    inner = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    named = {"eos_token": "<eos>" if eos else None, "pad_token": "<pad>" if pad else None}
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>" if bos else None, **named)


@cache
def tiny(kind: str, seed: int = 0, spread: float = 0.2, attention: str | None = None) -> LM:
    """A random model; a `spread` above the usual 0.02 makes its distributions far from uniform."""
    settings = {"initializer_range": spread, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = AutoConfig.for_model(kind, **SHAPES[kind], **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return LM(model.eval(), character_tokenizer())


@torch.no_grad()
def naive_scores(lm: LM, prompt: str, continuation: str, raw: bool = False) -> tuple[np.ndarray, ...]:
    """(logp, hit, mean, var) by one forward pass over one text, all logits, softmax and moments in float64."""
    encoded = lm.encode(prompt, continuation, raw)
    ids = torch.tensor([encoded.prompt + encoded.answer[:-1]])
    logits = lm.model(input_ids=ids, use_cache=False).logits[0, len(encoded.prompt) - 1 :].double()
    logp = logits.log_softmax(-1)
    label = torch.tensor(encoded.answer)
    p = logp.exp()
    mean = (p * logp).sum(-1)
    var = (p * (logp - mean[:, None]) ** 2).sum(-1)
    return (
        logp.gather(-1, label[:, None])[:, 0].numpy(),
        (logits.argmax(-1) == label).numpy(),
        mean.numpy(),
        var.numpy(),
    )


@torch.no_grad()
def naive_greedy(lm: LM, prompt: str, max_new_tokens: int, raw: bool = False) -> tuple[list[int], bool]:
    """New tokens and whether a stop came, by a full forward pass for each token of one prompt."""
    ids, new = lm.encode_prompt(prompt, raw), list[int]()
    for _ in range(max_new_tokens):
        token = int(lm.model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[0, -1].argmax())
        if token == lm.eos:
            return new, True
        new.append(token)
    return new, False


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
