"""Models: the two that are trained from scratch, hub models and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from bench.contracts import Encoded
from bench.model import attachments, checkpoint, hub
from bench.model.attachments import Attachment
from bench.model.checkpoint import load_config as load_config
from bench.model.checkpoint import load_tokenizer as load_tokenizer
from bench.model.encoding import Encoding
from bench.model.recipes import Scratch

PAD, EOS = "<pad>", "<eos>"


@dataclass(frozen=True)
class LM:
    """A causal language model with its tokenizer; `pad` is only ever a filler, masks come from true lengths.

    `model` is the bare model; what is `attached` acts where the LM is measured, through `bench.model.attachments`.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    attached: tuple[Attachment, ...] = ()

    @property
    def eos(self) -> int:
        return int(self.tokenizer.eos_token_id)  # type: ignore[arg-type]

    @property
    def pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.eos if pad is None else int(pad)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        return self.model.device

    @cached_property
    def encoding(self) -> Encoding:
        """How its texts become ids."""
        return Encoding(self.tokenizer)

    def encode_prompt(self, prompt: str, raw: bool = False) -> list[int]:
        """Ids of a prompt, as the model's family is asked, or of the text as it is."""
        return self.encoding.prompt(prompt, raw)

    def encode(self, prompt: str, answer: str, raw: bool = False) -> Encoded:
        """Ids of prompt and answer; the answer ends with EOS."""
        return self.encoding.pair(prompt, answer, raw)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of generated ids, without special tokens, stripped."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def train_tokenizer(corpus: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `vocab_size` entries trained on `corpus`; the same corpus, the same ids."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=PAD, eos_token=EOS)


def llama_config(recipe: Scratch, vocabulary: int, **ids: int | None) -> LlamaConfig:
    """The recipe's shape; `ids` are those of special tokens, as transformers names them."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.max_length,
        tie_word_embeddings=True,
        initializer_range=recipe.initializer_range,
        **{"bos_token_id": None, "eos_token_id": None, **ids},
    )


def new_llama(recipe: Scratch, tokenizer: PreTrainedTokenizerBase, seed: int) -> LM:
    """A randomly initialised Llama of the recipe's shape; the same seed, the same weights."""
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = llama_config(recipe, len(tokenizer), pad_token_id=pad, eos_token_id=eos)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LM(LlamaForCausalLM(config), tokenizer)


def device() -> str:
    """Where models run: the first accelerator, or the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load(path: str | Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LM:
    """A checkpoint directory or hub id, from safetensors only and without running its own code.

    Raises:
        UsageError: weights, configuration and tokenizer do not fit together; nothing is ever filled in at random.
        BenchError: not found, not readable, too large for the memory, weights that are no numbers, or a tokenizer
            without an end-of-sequence token; something attached that is not known here.
    """
    tokenizer = load_tokenizer(path)
    config = load_config(path)
    checkpoint.check_vocabulary(path, config, tokenizer)
    if Path(path).is_dir():
        checkpoint.check_layers(Path(path), config)
        checkpoint.check_memory(path, device, dtype)
    with checkpoint.readable(path):
        model, info = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, revision=hub.revision(path), use_safetensors=True, trust_remote_code=False,
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
        checkpoint.check_names(path, type(model).__name__, info)
        checkpoint.check_finite(path, model)
        model = model.to(device).eval()
    return LM(model, tokenizer, attachments.load(_attached(path), device))


def _attached(path: str | Path) -> Path:
    """Where the files of what is attached lie, if there are any."""
    if Path(path).is_dir() or not hub.has(str(path), attachments.ABOUT):
        return Path(path)
    folder = Path(path)
    for name in (attachments.ABOUT, attachments.TENSORS):
        if (found := hub.file(str(path), name)) is not None:
            folder = found.parent
    return folder


def save(lm: LM, path: Path) -> None:
    """Write the bare model, tokenizer and what is attached as a checkpoint directory that `load` reads."""
    lm.model.save_pretrained(path, safe_serialization=True)
    lm.tokenizer.save_pretrained(path)
    attachments.save(lm.attached, path)
