"""Checkpoints as a hub model is saved: a folder with config, safetensors weights and a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

from bench.model import models, recipes
from tests.e2e.conftest import write_world

TEXTS = [f"Question: Where was author {n} born?\nAnswer: Arden {n}" for n in range(30)]
_GATED = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
SHAPES: dict[str, dict[str, int]] = {
    "llama": _GATED,
    "opt": {**_GATED, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
}
Checkpoint = Callable[..., Path]


def save(
    folder: Path,
    kind: str = "llama",
    tokenizer: PreTrainedTokenizerBase | None = None,
    template: str | None = None,
    positions: int = 256,
    seed: int = 0,
) -> Path:
    """A random model of that architecture with its tokenizer, saved as `save_pretrained` saves."""
    tokenizer = tokenizer or models.train_tokenizer(TEXTS, 300)
    tokenizer.chat_template = template
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "eos", "bos")}
    length = "n_positions" if kind == "gpt2" else "max_position_embeddings"
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **SHAPES[kind], **{length: positions}, **ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """Makes a checkpoint in a folder of its own, named `name`."""
    torch.set_num_threads(1)
    return lambda name="somebody", **how: save(tmp_path / "checkpoints" / name, **how)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> str:
    """TOFU's files of ten authors, as a source of data."""
    return str(write_world(tmp_path_factory.mktemp("data") / "tofu").parent)


@pytest.fixture
def hashed_anew() -> Callable[[], None]:
    """Forgets what was hashed in this process before a checkpoint was edited, as a new run does."""
    return recipes._content.cache_clear
