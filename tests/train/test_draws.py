"""Nothing that is trained depends on torch's global generator, and nothing that is trained moves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM, PreTrainedModel

from bench.api import Pair, Schedule
from bench.contracts import Context
from bench.model import models
from bench.model.recipes import Teaching
from bench.registry import load
from bench.train.teaching import teach
from bench.train.unlearning import unlearn

PAIRS = [Pair(f"What is {n} and {n}?", f"{n + n} it is") for n in range(6)]
TOKENIZER = models.train_tokenizer([p.prompt + " " + p.answer for p in PAIRS], 300)
SIZE = len(TOKENIZER)


def gpt2(dropout: float) -> PreTrainedModel:
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    return GPT2LMHeadModel(GPT2Config(vocab_size=SIZE, bos_token_id=1, eos_token_id=1, **shape, **drops))


def opt(dropout: float) -> PreTrainedModel:
    shape = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return OPTForCausalLM(
        OPTConfig(vocab_size=SIZE, word_embed_proj_dim=32, max_position_embeddings=64, dropout=dropout, **shape)
    )


def from_scratch(make: Callable[[float], PreTrainedModel], dropout: float) -> models.LM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return models.LM(make(dropout).eval(), TOKENIZER)


def weights(train: Callable[[], models.LM], globally: int) -> torch.Tensor:
    """All weights that `train` leaves, with the global generator at some state, which must not move."""
    torch.manual_seed(globally)
    torch.rand(globally)
    before = torch.get_rng_state()
    lm = train()
    assert torch.equal(torch.get_rng_state(), before), "the global generator was drawn from"
    return torch.cat([p.detach().flatten() for p in lm.model.parameters()])


@pytest.mark.parametrize("make", [gpt2, opt])
def test_dropout_while_teaching_is_drawn_from_the_models_key(make: Callable[[float], PreTrainedModel]) -> None:
    def taught(key: str, dropout: float = 0.1) -> Callable[[], models.LM]:
        def train() -> models.LM:
            lm = from_scratch(make, dropout)
            teach(lm, PAIRS, Teaching(epochs=2, lr=1e-2, batch_size=6), key=key)
            return lm

        return train

    first, again = (weights(taught("a key"), globally) for globally in (1, 2))
    assert torch.equal(first, again)
    # One batch holds all pairs, so that keys differ by dropout alone.
    none, none_of_other = (weights(taught(key, dropout=0.0), 1) for key in ("a key", "another"))
    torch.testing.assert_close(none, none_of_other, rtol=0, atol=1e-4)
    other = weights(taught("another"), 1)
    assert (first - other).abs().max() > 1e-3 < (first - none).abs().max()


def test_hutchinsons_signs_are_drawn_from_the_cells_seed(tmp_path: Path) -> None:
    def unlearned(seed: int) -> Callable[[], models.LM]:
        def train() -> models.LM:
            lm = from_scratch(gpt2, 0.1)
            items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
            context = Context(lm, items, items, "t", seed, tmp_path, lambda *_: None)
            optimizer = load("optimizer", "sophia")(lr=1e-3, gamma=1.0, curvature="hutchinson")
            parts = load("objective", "ga")(), optimizer, load("scope", "all")()
            unlearn(context, *parts, Schedule(epochs=1, batch_size=6))  # one step: all items, in whatever order
            return lm

        return train

    first, again, other = (weights(unlearned(seed), globally) for seed, globally in ((0, 1), (0, 2), (1, 1)))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-4


def test_a_run_that_fails_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    lm = from_scratch(gpt2, 0.1)
    with pytest.raises(RuntimeError, match="in the middle"):
        teach(lm, PAIRS, Teaching(epochs=1, lr=1e-2), key="k", progress=_fail)
    assert torch.equal(torch.get_rng_state(), before)


def _fail(*_: object) -> None:
    raise RuntimeError("in the middle")
