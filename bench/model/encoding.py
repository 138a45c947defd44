"""How texts become token ids: as the model's family is asked (`bench.model.families`), or raw.

Scored is the answer with one end of sequence. Templates may end a turn with more: open-unlearning scores all that its
template puts behind an answer, of Qwen2.5 the line break and a second end of sequence as well, of Gemma and Phi the end
of the turn and a line break. These tokens are the same after any answer, so they say nothing of what a model knows.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from bench.contracts import Encoded
from bench.model.families import Family, recognise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DATE_FORMAT = "%d %b %Y"
TODAY = datetime(2025, 4, 10)
"""The day that every prompt says it is, where a chat template names one: open-unlearning's `date_string`."""
_ANCHORS = ("\n", ")", "a")
_REMEMBERED = 1 << 15
"""Texts of a tokenizer whose ids are kept: the cells that a worker makes of one task ask for the same ones."""
_KNOWN: dict[tuple[type, bytes], dict[str, array[int]]] = {}


@dataclass(frozen=True)
class Encoding:
    """A tokenizer with the rules by which prompts and answers become ids; no weights are needed."""

    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def family(self) -> Family:
        """How its model is asked."""
        return recognise(self.tokenizer)

    def prompt(self, prompt: str, raw: bool = False) -> list[int]:
        """Ids of a prompt, the beginning of sequence before it where the tokenizer has one."""
        return self._begun(self._text(prompt, raw), raw)

    def pair(self, prompt: str, answer: str, raw: bool = False) -> Encoded:
        """Ids of prompt and answer, with no token that straddles the border; the answer ends with EOS.

        Of a tokenizer that puts a blank before every text (SentencePiece's: Llama 2, Mistral) the ids are those of the
        whole text wherever a token ends at the border, which is how TOFU and open-unlearning encode for such models.
        Where none does, the answer goes on without that blank. Other tokenizers encode the two apart.
        """
        text = self._text(prompt, raw)
        tags = self.family.tags
        glue = "" if raw else tags.glue if tags else self._glue(text, prompt, answer)
        ids = self._continued(text, glue + answer)
        return Encoded(self._begun(text, raw), [*ids, int(self.tokenizer.eos_token_id)])  # type: ignore[arg-type]

    def _text(self, prompt: str, raw: bool) -> str:
        """A prompt as the model reads it."""
        if raw:
            return prompt
        tags = self.family.tags
        return f"{tags.before}{prompt}{tags.after}" if tags else self._chat(prompt)

    def _chat(self, prompt: str, answer: str | None = None) -> str:
        """The family's system turn and the user's, then the beginning of an answer or a whole one.

        Templates that ask what day it is are told `TODAY`, whenever they do.
        """
        system = self.family.system
        turns = [] if system is None else [{"role": "system", "content": system}]
        turns.append({"role": "user", "content": prompt})
        text = self.tokenizer.apply_chat_template(
            turns if answer is None else [*turns, {"role": "assistant", "content": answer}],
            chat_template=_dated(self.tokenizer.get_chat_template()),
            add_generation_prompt=answer is None,
            tokenize=False,
            date_string=TODAY.strftime(DATE_FORMAT),
        )
        return str(text)

    def _begun(self, text: str, raw: bool) -> list[int]:
        """Ids of the text of a prompt, with the beginning of sequence unless a chat template has written its own."""
        chats = not raw and self.family.tags is None
        bos = None if chats else self.tokenizer.bos_token_id
        return self._ids(text) if bos is None else [int(bos), *self._ids(text)]  # type: ignore[arg-type]

    def _glue(self, begun: str, prompt: str, answer: str) -> str:
        """The blanks that a chat template puts between the beginning of an answer and its words."""
        whole, words = self._chat(prompt, answer), answer.strip()
        between = whole.removeprefix(begun).partition(words)[0] if words and whole.startswith(begun) else ""
        return between if between.isspace() else ""

    def _continued(self, before: str, text: str) -> list[int]:
        """Ids of `text` as it goes on after `before`, without the blank that it would have at the start of a text.

        Where a token straddles the border, what it is encoded after is a sign that joins no word.
        """
        for start in (before, *_ANCHORS) if self._starts_with_blank else ():
            known, whole = self._ids(start), self._ids(start + text)
            if whole[: len(known)] == known:
                return whole[len(known) :]
        return self._ids(text)

    @cached_property
    def _starts_with_blank(self) -> bool:
        """Whether the ids of two halves of a word, one after the other, are not that word."""
        halves, word = [*self._ids("Bo"), *self._ids("b")], self._ids("Bob")
        said, meant = (self.tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (halves, word))
        return said != meant

    def _ids(self, text: str) -> list[int]:
        found = self._known.get(text)
        if found is None:
            found = array("i", self.tokenizer.encode(text, add_special_tokens=False))
            if len(self._known) < _REMEMBERED:
                self._known[text] = found
        return found.tolist()

    @cached_property
    def _known(self) -> dict[str, array[int]]:
        """Ids of texts that this tokenizer, or another that says the same of itself, has encoded in this process."""
        own = getattr(self.tokenizer, "backend_tokenizer", None)
        if own is None:
            return {}
        return _KNOWN.setdefault((type(self.tokenizer), hashlib.sha256(own.to_str().encode()).digest()), {})


def _dated(template: str) -> str:
    """A chat template to which it is always `TODAY`.

    Transformers hands templates a clock of its own, `strftime_now(format)`, and nothing else that can be called, so a
    macro of that name stands in for it and puts the parts of the day into the format.
    """
    if "strftime_now" not in template:
        return template
    parts = {f"%{letter}": TODAY.strftime(f"%{letter}") for letter in "aAbBcdDeFHIjmMpRSTuUVwWxXyY"}
    parts |= {f"%-{letter}": parts[f"%{letter}"].lstrip("0") or "0" for letter in "dHIjmMSUVWy"}
    steps = "".join(f"|replace('{directive}', '{part}')" for directive, part in parts.items())
    return f"{{% macro strftime_now(format) %}}{{{{ format{steps} }}}}{{% endmacro %}}\n{template}"
