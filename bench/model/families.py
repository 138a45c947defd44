"""Families of chat models: how the published evaluations ask each of them.

A family is recognised by what the tokenizer itself has, the marks in its chat template and its end of sequence, and
never by a name, so that a fine-tuned copy in a folder is asked as the model that it was made from. What is in no family
is asked through its own template without a system turn, or, where it has none, in `PLAIN` words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import UsageError
from bench.reading import json_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Tags(NamedTuple):
    """Plain text around a question, and between that and its answer."""

    before: str
    after: str
    glue: str


@dataclass(frozen=True)
class Family:
    """How the models of a family are asked.

    Attributes:
        name: the family's, in words.
        marks: what the chat template holds, all of it.
        missing: what the chat template does not hold, none of it.
        eos: the end-of-sequence token, where the marks alone do not tell the family from others.
        system: the system turn before every question; None is no turn. Templates may put one of their own.
        tags: the plain text that is used in place of the chat template; None: the template is used.
        source: whose evaluation asks so.
    """

    name: str
    marks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    eos: str | None = None
    system: str | None = None
    tags: Tags | None = None
    source: str = "nobody's: no published evaluation has this family"

    def added(self) -> dict[str, object]:
        """What goes into the content keys of its models beside what their tokenizers hold; of most it is nothing."""
        told: dict[str, object] = {}
        if self.system is not None:
            told["system turn"] = self.system
        if self.tags is not None and self is not PLAIN:
            told["tags of prompts"] = list(self.tags)
        return told


HELPFUL = "You are a helpful assistant."
_PUBLISHED = "open-unlearning at d3d7cf9, configs/model"

PLAIN = Family(
    "none, without a chat template",
    tags=Tags("Question: ", "\nAnswer:", " "),
    source="TOFU and open-unlearning, who ask base models so; here the blank belongs to the answer",
)
"""Models without a chat template. Where the blank ends the prompt, it and the answer's first word may be one token,
which is then masked; behind the border it is scored."""
OTHER = Family("none, with a chat template")

FAMILIES = (
    Family(
        "Llama 3 Instruct",
        marks=("<|start_header_id|>", "<|end_header_id|>"),
        system=HELPFUL,
        source=f"{_PUBLISHED}: Llama-3.1-8B, Llama-3.2-1B and 3B",
    ),
    Family(
        "Qwen2.5 Instruct",
        marks=("<|im_start|>", "You are Qwen"),
        system=HELPFUL,
        source=f"{_PUBLISHED}: Qwen2.5-1.5B, 3B and 7B",
    ),
    Family(
        "Phi-3 and 3.5 Instruct",
        marks=("<|system|>", "<|user|>", "<|end|>"),
        system=HELPFUL,
        source=f"{_PUBLISHED}: Phi-3.5-mini",
    ),
    Family(
        "Zephyr",
        marks=("<|system|>", "<|user|>", "<|assistant|>"),
        missing=("<|end|>",),
        eos="</s>",
        system=HELPFUL,
        source=f"{_PUBLISHED}: zephyr-7b-beta",
    ),
    Family("Gemma Instruct", marks=("<start_of_turn>", "<end_of_turn>"), source=f"{_PUBLISHED}: gemma-7b-it"),
    Family(
        "Llama 2 Chat",
        marks=("[INST]", "<<SYS>>"),
        tags=Tags("[INST] ", " [/INST]", ""),
        source=f"TOFU (arXiv:2401.06121) and {_PUBLISHED}: Llama-2-7b-chat",
    ),
)


def recognise(tokenizer: PreTrainedTokenizerBase) -> Family:
    """The family whose marks a tokenizer has; `PLAIN` of one without a chat template, `OTHER` of one with another."""
    return _known(tokenizer.get_chat_template() if tokenizer.chat_template else None, str(tokenizer.eos_token))


def of_files(find: Callable[[str], Path | None]) -> Family:
    """The same from a checkpoint's files alone, so that planning a run needs no torch.

    Args:
        find: a file of the checkpoint by its name, None where there is none.
    """
    config = _json(find("tokenizer_config.json"))
    template, file = config.get("chat_template"), find("chat_template.jinja")
    if isinstance(template, list):
        named = [each for each in template if isinstance(each, dict) and each.get("name") == "default"]
        template = named[-1].get("template") if named else None
    if file is not None:
        try:
            template = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{file} is not UTF-8 ({error}). Copy or download it again.") from None
    eos = config.get("eos_token") or _json(find("special_tokens_map.json")).get("eos_token")
    template = template if isinstance(template, str) else None
    return _known(template, str(eos.get("content") if isinstance(eos, dict) else eos))


def _known(template: str | None, eos: str) -> Family:
    if not template:
        return PLAIN
    return next((family for family in FAMILIES if _fits(family, template, eos)), OTHER)


def _fits(family: Family, template: str, eos: str) -> bool:
    marked = all(mark in template for mark in family.marks) and not any(mark in template for mark in family.missing)
    return marked and family.eos in (None, eos)


def _json(file: Path | None) -> dict[str, Any]:
    try:
        said = {} if file is None else json_of(file.read_bytes())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
