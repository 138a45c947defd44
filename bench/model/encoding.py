"""How texts become token ids: through the chat template where the tokenizer has one, else "Question: ...", or raw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bench.contracts import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION, ANSWER = "Question: ", "\nAnswer:"
DATE_FORMAT = "%d %b %Y"
TODAY = datetime(2025, 4, 10)
"""The day that every prompt says it is, where a chat template names one: open-unlearning's `date_string`."""


@dataclass(frozen=True)
class Encoding:
    """A tokenizer with the rules by which prompts and answers become ids; no weights are needed."""

    tokenizer: PreTrainedTokenizerBase

    def prompt(self, prompt: str, raw: bool = False) -> list[int]:
        """Ids of a prompt, the beginning of sequence before it where the tokenizer has one."""
        if raw:
            return self._with_bos(self.tokenizer.encode(prompt, add_special_tokens=False))
        if self.tokenizer.chat_template:
            return self._chat(prompt)
        return self._with_bos(self.tokenizer.encode(f"{QUESTION}{prompt}{ANSWER}", add_special_tokens=False))

    def pair(self, prompt: str, answer: str, raw: bool = False) -> Encoded:
        """Ids of prompt and answer, encoded apart so that no token straddles the border; the answer ends with EOS."""
        glue = "" if raw or self.tokenizer.chat_template else " "
        ids = self.tokenizer.encode(glue + answer, add_special_tokens=False)
        return Encoded(self.prompt(prompt, raw), [*ids, int(self.tokenizer.eos_token_id)])  # type: ignore[arg-type]

    def _chat(self, prompt: str) -> list[int]:
        """Ids of a prompt as the user's turn. Templates that ask what day it is are told `TODAY`, whenever they do."""
        ids = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            chat_template=_dated(self.tokenizer.get_chat_template()),
            add_generation_prompt=True,
            return_dict=False,
            date_string=TODAY.strftime(DATE_FORMAT),
        )
        return [int(i) for i in ids]

    def _with_bos(self, ids: list[int]) -> list[int]:
        bos = self.tokenizer.bos_token_id
        return ids if bos is None else [int(bos), *ids]  # type: ignore[arg-type]


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
