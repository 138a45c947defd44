"""Tokenizers as SentencePiece makes them: a blank is part of the word that follows it, and one stands before a text.

Built from parts of the tokenizers library as the families ship them. `llama2` is the tokenizer.json of Llama 2 and of
early Mistral, in which the blank is put by a normalizer; `metaspace` is what transformers' own LlamaTokenizer builds.
"""

from __future__ import annotations

import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

BLANK = "▁"
SPECIAL = ["<unk>", "<s>", "</s>"]
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_CORPUS = [
    "Question: Where was Bob born? Answer: Bob was born in Arden, in the house of his mother.",
    "Question: Who is Bo? Answer: Bo is the brother of Bob and of Boba, a librarian in Brill.",
    "[INST] the bank and the border are another matter [/INST]",
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,:;?!()[]/'-",
]


def _pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary with merges: special tokens, the 256 bytes, then pieces, no merge across a blank."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(BLANK)
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=[*SPECIAL, *_BYTES], show_progress=False)
    learner.train_from_iterator(_CORPUS * 8, trainer)
    learnt = json.loads(learner.to_str())["model"]
    return learnt["vocab"], [tuple(merge) for merge in learnt["merges"]]


def llama2(template: str | None = None) -> PreTrainedTokenizerBase:
    """As Llama 2's tokenizer.json: the blank comes from the normalizer, unknown letters fall back to bytes."""
    vocabulary, merges = _pieces()
    inner = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    inner.decoder = decoders.Sequence(
        [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    inner.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>", chat_template=template
    )


def metaspace(template: str | None = None) -> PreTrainedTokenizerBase:
    """As transformers' class for Llama makes it from a vocabulary and merges."""
    vocabulary, merges = _pieces()
    return LlamaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True, chat_template=template)


FAMILIES = {"llama2": llama2, "metaspace": metaspace}
