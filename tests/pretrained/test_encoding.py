"""Prompt and answer as the families' references encode them: in one text, whatever blanks the tokenizer would add."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from bench.api import Text
from bench.model.encoding import Encoding
from bench.model.models import LM, load, train_tokenizer
from tests.pretrained.conftest import TEXTS, save
from tests.pretrained.sentencepiece import BLANK, FAMILIES

QA = [
    ("Where was Bob born?", "Bob was born in Arden."),
    ("Who is Bo?", "Bo"),
    ("Who?", " two blanks before"),
    ("What is it?", "naïve ☃ 42"),
    ("Nothing?", ""),
]
BARE = "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %}"
TEMPLATES = {
    # Mistral's first template has no blank before an answer, its later ones and Llama 2's have one.
    "no blank": BARE + "{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}",
    "blank": BARE + " {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}",
    "header": "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] | trim }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
}
family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LM]:
    """A model with each tokenizer, saved and loaded."""
    folder = tmp_path_factory.mktemp("families")
    return {name: load(save(folder / name, tokenizer=make())) for name, make in FAMILIES.items()}


def said(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@family
@pytest.mark.parametrize(("question", "answer"), QA)
def test_question_and_answer_are_one_text(family, question, answer, loaded):
    """TOFU's and open-unlearning's rule: the ids of the whole text, of which the prompt's are left unlabelled."""
    lm = loaded[family]
    prompt, labels = lm.encode(question, answer)
    whole = lm.tokenizer(f"Question: {question}\nAnswer: {answer}").input_ids
    assert prompt == lm.tokenizer(f"Question: {question}\nAnswer:").input_ids
    assert prompt + labels == [*whole, lm.eos]


@family
def test_one_blank_stands_before_an_answer(family, loaded):
    labels = loaded[family].encode("Who is Bo?", "Bob").answer
    assert loaded[family].tokenizer.convert_ids_to_tokens(labels) == [f"{BLANK}Bob", "</s>"]


@family
def test_no_blank_gets_into_a_word(family, loaded):
    """The whole word is one token; cut in two, its ids are others and its letters the same."""
    lm = loaded[family]
    prompt, labels = lm.encode("Bo", "b", raw=True)
    assert lm.tokenizer.convert_ids_to_tokens(prompt + labels) == ["<s>", f"{BLANK}Bo", "b", "</s>"]
    assert prompt == lm.encode_prompt("Bo", raw=True)


@family
@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet="Bob ain.\n'é", min_size=2, max_size=14), cut=st.integers(1, 13))
def test_wherever_a_text_is_cut_it_is_read_as_it_is(family, text, cut):
    """And where a token ends at the border, its ids are those of the text in one piece."""
    tokenizer = TOKENIZERS[family]
    before, after = text[: min(cut, len(text) - 1)], text[min(cut, len(text) - 1) :]
    prompt, labels = Encoding(tokenizer).pair(before, after, raw=True)
    assert said(tokenizer, prompt + labels) == said(tokenizer, tokenizer(text).input_ids)
    whole = tokenizer(text).input_ids
    if whole[: len(prompt)] == prompt:
        assert prompt + labels == [*whole, tokenizer.eos_token_id]


TOKENIZERS = {name: make() for name, make in FAMILIES.items()}


@family
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_is_one_text(family, template, tmp_path):
    """The template's own rendering of question and answer, up to the end of sequence, has these very ids."""
    tokenizer = FAMILIES[family](TEMPLATES[template])
    lm = load(save(tmp_path / "m", tokenizer=tokenizer, template=TEMPLATES[template]))
    prompt, labels = lm.encode("Who is Bo?", "Bob was born")
    turns = [{"role": "user", "content": "Who is Bo?"}, {"role": "assistant", "content": "Bob was born"}]
    asked = lm.tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    text = lm.tokenizer.apply_chat_template(turns, tokenize=False)
    assert prompt == lm.tokenizer.encode(asked, add_special_tokens=False)
    words = text.removesuffix("</s>").removesuffix(" ")
    assert prompt + labels == [*lm.tokenizer.encode(words, add_special_tokens=False), lm.eos]


@pytest.mark.parametrize("raw", [False, True])
def test_other_tokenizers_encode_the_two_apart_as_ever(raw):
    """Byte-level ones put no blank of their own; models from scratch were taught like this and keep their ids."""
    tokenizer = train_tokenizer([*TEXTS, "Bob Bob Bob"], 320)
    for before, after in (*QA, ("Bo", "b"), ("Bo ", "b"), ("4", "2")):
        prompt, labels = Encoding(tokenizer).pair(before, after, raw)
        parts = (before, after) if raw else (f"Question: {before}\nAnswer:", f" {after}")
        apart = [tokenizer.encode(part, add_special_tokens=False) for part in parts]
        assert [prompt, labels] == [apart[0], [*apart[1], tokenizer.eos_token_id]]


def test_a_document_is_scored_as_one_text(loaded):
    """LUME's documents are cut after their first word, and scored like the whole that they are."""
    lm = loaded["llama2"]
    text = Text("member", "d", "d", "document", "The", " bank and the border", raw=True)
    prompt, labels = lm.encode(text.prompt, text.continuation, text.raw)
    assert prompt + labels == [*lm.tokenizer("The bank and the border").input_ids, lm.eos]
