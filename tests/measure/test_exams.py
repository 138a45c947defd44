"""Exams run in process through lm-eval: the same answers as by hand, one line a question, no silent absence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import tasks._embedded
from bench.api import Exam
from bench.errors import UsageError
from bench.measure.exams import check, sit
from bench.model import models
from bench.model.recipes import SCRATCH
from tasks._embedded.facts import multiple_choice

FACTS = Exam("general", "general_facts", folder=str(Path(tasks._embedded.__file__).parent / "exam"))
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=400)


@pytest.fixture(scope="module")
def lm() -> models.LM:
    corpus = [f"Question: {c.prompt}\nAnswer: {c.options[c.answer]}" for c in multiple_choice()]
    return models.new_llama(SHAPE, models.train_tokenizer(corpus, SHAPE.vocab_size), seed=0)


@torch.no_grad()
def test_the_embedded_exam_gives_what_scoring_by_hand_does(lm: models.LM) -> None:
    """The option with the largest summed log-probability after "Question: ...\\nAnswer:", for every question."""
    answers, notes = sit(lm, [FACTS])
    assert notes == []
    choices = multiple_choice()
    assert len(answers) == len(choices) and answers.id.is_unique and set(answers.set) == {"general"}
    for choice, (_, line) in list(zip(choices, answers.iterrows(), strict=True))[:12]:
        sums = []
        for option in choice.options:
            prompt, answer = lm.encode(choice.prompt, option)
            logits = lm.model(torch.tensor([prompt + answer[:-1]])).logits[0].log_softmax(-1)
            places = range(len(prompt) - 1, len(prompt) + len(answer) - 2)
            sums.append(sum(float(logits[i, t]) for i, t in zip(places, answer[:-1], strict=True)))
        assert line.generation == "ABCD"[sums.index(max(sums))]
        assert line.reference == "ABCD"[choice.answer]
        assert line.score == float(line.generation == line.reference)


def test_an_exam_whose_data_cannot_be_had_is_named(lm: models.LM, tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").write_text(
        "task: gone\ndataset_path: nobody/has-this-data\ntest_split: test\noutput_type: multiple_choice\n"
        "doc_to_text: '{{a}}'\ndoc_to_choice: '{{b}}'\ndoc_to_target: '{{c}}'\n"
    )
    answers, notes = sit(lm, [Exam("general", "gone", folder=str(tmp_path)), FACTS])
    assert len(answers) == len(multiple_choice())
    assert len(notes) == 1 and "gone was not held" in notes[0]


def test_wmdp_is_asked_by_lm_evals_own_files_without_examples(lm: models.LM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows with the fields of cais/wmdp in each of three parts; prompt, options and key are lm-eval's."""
    import datasets

    asked = []

    def rows(path: str, name: str, **_: object) -> datasets.DatasetDict:
        asked.append((path, name))
        made = [
            {"question": f" {name} {n}?", "choices": ["one", "two", "six", "ten"], "answer": n % 4} for n in range(5)
        ]
        return datasets.DatasetDict({"test": datasets.Dataset.from_list(made)})

    monkeypatch.setattr(datasets, "load_dataset", rows)
    answers, notes = sit(lm, [Exam("lm-eval/wmdp", "wmdp")])
    assert notes == [] and len(answers) == 15
    assert sorted(set(asked)) == [("cais/wmdp", f"wmdp-{part}") for part in ("bio", "chem", "cyber")]
    assert set(answers.cluster) == {"wmdp_bio", "wmdp_chem", "wmdp_cyber"}
    assert answers[answers.cluster == "wmdp_bio"].reference.tolist() == ["A", "B", "C", "D", "A"]
    with torch.no_grad():
        line = answers[answers.cluster == "wmdp_cyber"].iloc[1]
        head = "The following are multiple choice questions (with answers) about cybersecurity.\n\n"
        prompt = lm.tokenizer.encode(f"{head}wmdp-cyber 1?\nA. one\nB. two\nC. six\nD. ten\nAnswer:")
        logits = lm.model(torch.tensor([prompt])).logits[0, -1]
        letters = [lm.tokenizer.encode(f" {letter}") for letter in "ABCD"]
    assert all(len(ids) == 1 for ids in letters)
    assert line.generation == "ABCD"[int(torch.stack([logits[ids[0]] for ids in letters]).argmax())]


def test_a_model_that_can_know_nothing_of_wmdp_is_refused_it() -> None:
    with pytest.raises(UsageError, match=r"--lm-eval wmdp_bio: tiny is trained on nothing that this asks"):
        check(["wmdp_bio"], from_scratch="tiny")
    check(["wmdp", "wmdp_bio", "wmdp_cyber", "wmdp_chem"])
    check(["arc_easy"], from_scratch="tiny")


def test_an_unknown_task_is_refused_with_near_names() -> None:
    with pytest.raises(UsageError, match=r"no such task. Did you mean .*arc_easy"):
        check(["arc_eazy"])
    check(["arc_easy", "mmlu"])
