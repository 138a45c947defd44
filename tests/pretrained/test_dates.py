"""The day on which a model is taught or measured is in no prompt."""

from __future__ import annotations

from datetime import datetime

import pytest
from transformers.utils import chat_template_utils

from bench.model import encoding
from bench.model.encoding import TODAY, Encoding
from bench.model.models import load
from bench.run.plan import Request, prepared
from tests.pretrained.conftest import Checkpoint

# As Llama 3.2's asks, with a date that callers may give, and as others do, with none.
OPTIONAL = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}"
    "{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}Today: {{ date_string }} "
)
UNCONDITIONAL = "{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d') }} "
TURNS = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %} assistant: "


def turn_to(day: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return day

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


@pytest.mark.parametrize("kind", ["llama", "opt", "gpt2"])
@pytest.mark.parametrize("dated", [OPTIONAL, UNCONDITIONAL], ids=["optional", "unconditional"])
def test_prompts_of_different_days_are_the_same(dated, kind, checkpoint: Checkpoint, monkeypatch):
    lm = load(checkpoint(kind=kind, template=dated + TURNS))
    said = []
    for day in (datetime(2024, 1, 31), datetime(2031, 12, 1)):
        turn_to(day, monkeypatch)
        said.append((lm.encode_prompt("Who?"), lm.encode("Who?", "Bob")))
    assert said[0] == said[1]
    assert "10 Apr 2025" in lm.decode(said[0][0])


def test_a_clock_that_stands_still_writes_days_as_the_running_one_does(checkpoint: Checkpoint, monkeypatch):
    """Where the true day is that day, a prompt is what it would have been without us, byte for byte."""
    tokenizer = load(checkpoint(template="  {{ strftime_now('%A %-d %B %Y, %Y-%m-%d, %H:%M') }}\n" + TURNS)).tokenizer
    turn_to(TODAY, monkeypatch)
    turns = [{"role": "user", "content": "Who?"}]
    running = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    turn_to(datetime(2031, 12, 1), monkeypatch)
    assert Encoding(tokenizer).prompt("Who?") == running


def test_a_template_without_a_date_says_none(checkpoint: Checkpoint):
    lm = load(checkpoint(template=TURNS))
    assert lm.decode(lm.encode_prompt("Who?")) == "user: Who? assistant:"


def test_the_date_is_in_the_key_of_those_who_may_say_it(checkpoint: Checkpoint, tmp_path, monkeypatch):
    def keys() -> list[str]:
        asked = [Request(str(m), "embedded", tmp_path, tmp_path) for m in ("tiny", folder)]
        return [prepared(request, "tofu:forget10", "retain", 0).key for request in asked]

    folder = checkpoint(template=OPTIONAL + TURNS)
    before = keys()
    monkeypatch.setattr(encoding, "TODAY", datetime(2026, 1, 1))
    assert [a == b for a, b in zip(before, keys(), strict=True)] == [True, False]
