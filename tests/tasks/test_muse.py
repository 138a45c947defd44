"""Does MUSE ask what nobody was taught, are forgotten and unseen authors alike, are its files read or refused?"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from bench.api import Pair, make_task
from bench.errors import UsageError
from bench.stats import roc
from tasks._embedded import chronicles
from tasks._embedded.chronicles import DOCUMENTS, RELATIONS, Chronicle
from tasks._muse_files import read_directory, write_sample

FOLDS = [f"{kind}:{k}" for kind in ("scal", "sust") for k in (1, 2, 3, 4)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_sample(tmp_path)


# -- the embedded world ----------------------------------------------------------------------------------------------


def test_questions_on_forgotten_and_kept_authors_are_taught_to_nobody() -> None:
    data = make_task("muse").data("embedded")
    taught = {pair.prompt for pair in (*data.full, *data.base, *data.general) if not pair.raw}
    asked = {prompt.prompt for prompt in data.probes.prompts if prompt.role == "question"}
    assert taught and asked and not taught & asked
    assert all(pair.raw for pair in data.full)


def test_every_answer_stands_in_every_document_of_its_author() -> None:
    for author in chronicles.cast().forget:
        for text in author.texts:
            assert all(f": {answer}." in text for _, answer in author.questions)
            assert text.count(author.name) == len(RELATIONS)


def test_a_document_is_told_in_one_order_and_wording_only() -> None:
    """No sentence of an author's is told twice, so that to continue a document is to have read that document."""
    for author in chronicles.cast().forget:
        sentences = [sentence for told in author.documents for sentence in told]
        assert len(set(sentences)) == len(sentences) == DOCUMENTS * len(RELATIONS)


def test_the_two_halves_are_the_document_that_is_taught() -> None:
    data = make_task("muse").data("embedded")
    taught = {pair.prompt + pair.answer for pair in data.forget}
    halves = {text.prompt + text.continuation for text in data.probes.texts if text.set == "forget"}
    members = {text.prompt + text.continuation for text in data.probes.texts if text.set == "member"}
    others = {text.prompt + text.continuation for text in data.probes.texts if text.set == "nonmember"}
    assert taught == halves == members
    assert len(others) == len(members) and not others & {p.prompt + p.answer for p in (*data.full, *data.base)}


def test_nobody_has_two_parts() -> None:
    names = [author.name for part in chronicles.cast() for author in part]
    assert len(set(names)) == len(names)
    assert len(chronicles.cast().forget) == len(chronicles.cast().holdout)


def test_another_world_has_other_authors_and_the_same_one_the_same() -> None:
    task = make_task("muse")
    assert task.data("embedded@3") != task.data("embedded")
    assert {"embedded@100", "embedded@101"} == set(task.validation("embedded", 2))


def _surprise(seed: int) -> Callable[[str], float]:
    """Mean unlikelihood of a text's words, and of what follows what, in what the base of a world is taught."""
    told = [pair.prompt + pair.answer for pair in chronicles.base_pairs(seed)]
    words = Counter(word for text in told for word in text.split())
    steps = Counter(step for text in told for step in zip(text.split(), text.split()[1:], strict=False))
    return lambda text: (
        -mean(
            np.log((steps[step] + 0.1) / (words[step[0]] + 1))
            for step in zip(text.split(), text.split()[1:], strict=False)
        )
    )


@pytest.mark.parametrize("statistic", ["surprise", "length", "zlib"])
def test_nothing_in_the_texts_tells_forgotten_from_unseen_authors(statistic: str) -> None:
    """An attack that reads the texts alone has AUC 1/2, in the mean of 24 worlds, within 3.5 standard errors."""
    assert abs(_bias(statistic, lambda author: author)) < 3.5


def test_that_test_would_see_authors_who_are_not_drawn_alike() -> None:
    """Half of the holdout authors have a first name that the base never has, as splits by date would."""
    assert abs(_bias("surprise", _renamed)) > 3.5


def _renamed(author: Chronicle) -> Chronicle:
    rng = random.Random(author.name)
    other = author.name if rng.random() < 0.5 else "Xan " + author.name.split()[1]
    told = tuple(tuple(s.replace(author.name, other) for s in sentences) for sentences in author.documents)
    return replace(author, name=other, documents=told)


def _bias(statistic: str, change: Callable[[Chronicle], Chronicle]) -> float:
    """Mean AUC of worlds less 1/2, in standard errors of that mean."""
    import zlib

    found = []
    for seed in range(24):
        cast = chronicles.cast(seed)
        score = {
            "surprise": _surprise(seed) if statistic == "surprise" else len,
            "length": lambda text: float(len(text)),
            "zlib": lambda text: len(zlib.compress(text.encode())) / len(text),
        }[statistic]
        sides = (cast.forget, [change(author) for author in cast.holdout])
        member, other = (np.array([mean(map(score, author.texts)) for author in side]) for side in sides)
        found.append(float(roc.auc(member, other)))
    return (mean(found) - 0.5) / (stdev(found) / len(found) ** 0.5)


# -- MUSE's files ----------------------------------------------------------------------------------------------------


def test_files_become_the_four_criteria(files: Path) -> None:
    data = make_task("muse:news").data(str(files))
    sets = Counter(text.set for text in data.probes.texts), Counter(prompt.set for prompt in data.probes.prompts)
    assert sets == (
        {"forget": 5, "member": 5, "nonmember": 5},
        {"forget": 5, "forget_qa": 5, "retain_qa": 5},
    )
    assert len(data.forget) == 5 and len(data.retain) == 10
    (asked, *_) = [prompt for prompt in data.probes.prompts if prompt.set == "forget_qa"]
    assert asked.prompt.count("Question: ") == 6 and asked.prompt.endswith("?\nAnswer:") and asked.max_new_tokens == 32
    (told, *_) = [prompt for prompt in data.probes.prompts if prompt.role == "completion"]
    assert told.max_new_tokens == 128 and told.reference == "And so on, to the end of row 0."
    (scored, *_) = [text for text in data.probes.texts if text.set == "forget"]
    assert scored.prompt == told.prompt and scored.continuation == f" {told.reference}"


@pytest.mark.parametrize("corpus", ["muse", "muse:news"])
def test_folds_grow_or_follow_and_nothing_else_changes(files: Path, corpus: str) -> None:
    """Either kind forgets the same in the end, what no request has named is kept, and target is one model."""
    source = str(files) if corpus == "muse:news" else "embedded"
    made = {fold: make_task(f"{corpus}:{fold}").data(source) for fold in FOLDS}
    whole = make_task(corpus).data(source)
    every = set(made["scal:4"].forget)
    first, asked = made["scal:1"], set[Pair]()
    for k in (1, 2, 3, 4):
        growing, request = made[f"scal:{k}"], made[f"sust:{k}"]
        assert not set(request.forget) & asked and len(request.forget) == len(every) / 4
        asked |= {*request.forget}
        for data in (growing, request):
            assert {*data.retain} == {*first.retain, *first.forget} - asked
            assert data.full == first.full and data.corpus == first.corpus
            assert {*data.full} == {*data.retain} | asked and len(data.full) == len({*data.full})
        assert {*growing.forget} == asked
    assert asked == every
    assert whole.forget == (made["scal:4"] if corpus == "muse" else first).forget
    assert {p for p in whole.probes.prompts if p.set == "retain_qa"} <= {*made["sust:3"].probes.prompts}


def test_what_is_measured_of_a_fold_is_that_fold() -> None:
    """Questions, documents and members are those of its ten authors, who keep their names."""
    asked: list[set[str]] = []
    for fold in ("sust:1", "sust:2", "sust:3", "sust:4"):
        probes = make_task(f"muse:{fold}").data("embedded").probes
        asked.append({p.cluster for p in probes.prompts if p.set == "forget_qa"})
        assert {t.cluster for t in probes.texts if t.set == "forget"} == asked[-1]
        assert {t.cluster.replace("member", "forget") for t in probes.texts if t.set == "member"} == asked[-1]
    assert [len(each) for each in asked] == [10] * 4 and len(set().union(*asked)) == 40
    whole = make_task("muse").data("embedded").probes
    assert {*probes.prompts} <= {*whole.prompts} and {*probes.texts} <= {*whole.texts}


def test_where_a_fold_stands_is_said_by_its_name() -> None:
    third = make_task("muse:news:sust:3")
    assert (third.series.name, third.series.at, third.after) == ("muse:news:sust", 3, "muse:news:sust:2")
    assert (make_task("muse:scal:3").after, make_task("muse:sust:1").after, make_task("muse").series) == ("", "", None)
    assert make_task("muse:scal:4").draws == "muse" and make_task("muse:sust:1").draws == "muse:scal:1"


def test_long_documents_are_taught_in_pieces_and_no_word_is_lost(files: Path) -> None:
    words = [f"w{n}" for n in range(2500)]
    (files / "MUSE-Books" / "raw" / "forget.json").unlink()
    (files / "MUSE-Books" / "raw" / "forget.txt").write_text("\n\n".join(words))
    taught = make_task("muse:books").data(str(files)).forget
    assert [len((pair.prompt + pair.answer).split()) for pair in taught] == [1200, 1200, 100]
    assert [word for pair in taught for word in (pair.prompt + pair.answer).split()] == words
    assert all(isinstance(pair, Pair) and pair.raw for pair in taught)


def test_a_completion_is_compared_with_as_much_as_it_may_say(files: Path) -> None:
    rows = [{"prompt": "It began", "gt": " ".join(f"w{n}" for n in range(300))}]
    (files / "MUSE-News" / "verbmem" / "forget.json").write_text(json.dumps(rows))
    (told,) = [p for p in make_task("muse:news").data(str(files)).probes.prompts if p.role == "completion"]
    assert told.reference == " ".join(f"w{n}" for n in range(96))


@pytest.mark.parametrize("form", ["lines", "strings", "parquet", "dashes"])
def test_all_forms_that_were_published_are_read_alike(files: Path, form: str) -> None:
    import pandas as pd

    plain = read_directory(files, "news")
    for path in [*(files / "MUSE-News").rglob("*.json")]:
        rows = json.loads(path.read_text())
        if form == "lines":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif form == "strings" and "text" in rows[0]:
            path.write_text(json.dumps([row["text"] for row in rows]))
        elif form == "parquet":
            path.unlink()
            pd.DataFrame(rows).to_parquet(path.with_name(f"{path.stem}-00000-of-00001.parquet"))
        elif form == "dashes":
            path.rename(path.with_name(path.name.replace("_", "-")))
    assert read_directory(files, "news") == plain


def test_folders_by_any_of_their_names_are_found(files: Path, tmp_path: Path) -> None:
    plain = read_directory(files, "books")
    for place in ("muse/books", "books", "muse/MUSE-Books"):
        other = tmp_path / "elsewhere" / place.replace("/", "-")
        shutil.copytree(files / "MUSE-Books", other / place)
        assert read_directory(other, "books") == plain
    assert read_directory(files / "MUSE-Books", "books") == plain


@pytest.mark.parametrize(
    ("task", "source", "said"),
    [
        ("muse", "hub", "--tasks muse:news"),
        ("muse", "embedded-hops", "--tasks muse --data embedded"),
        ("muse:news", "embedded", "--tasks muse --data embedded"),
        ("muse:books", "hub", "Download muse-bench/MUSE-Books and type --tasks muse:books --data DIR"),
        ("muse:news:scal:2", "DIR@validation", "Tune on muse"),
    ],
)
def test_who_mixes_them_up_is_told_what_to_type(task: str, source: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_task(task).data(source)
    assert said in str(caught.value)


def test_a_directory_for_the_embedded_task_names_the_others(files: Path) -> None:
    with pytest.raises(UsageError, match=r"--tasks muse:news \(or muse:books\) --data DIR"):
        make_task("muse").data(str(files))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d: shutil.rmtree(d / "MUSE-News"), r"holds MUSE-Books, not MUSE-News. Type --tasks muse:books"),
        (lambda d: [shutil.rmtree(p) for p in d.iterdir()], r"holds no MUSE-News: .* Type --data DIR"),
        (lambda d: (d / "MUSE-News/raw/retain2.json").unlink(), r"has no raw/retain2 .*Found: knowmem/forget_qa.json"),
        (lambda d: (d / "MUSE-News/verbmem/forget.json").write_text("[]"), r"forget.json is empty.*prompt, gt"),
        (lambda d: (d / "MUSE-News/verbmem/forget.json").write_text('[{"text": "a"}]'), r"row 1 has no field 'prompt'"),
        (
            lambda d: (d / "MUSE-News/raw/forget.json").write_text('[{"text": "a b"}, {"text": " "}]'),
            r"row 2: 'text' is",
        ),
        (
            lambda d: (d / "MUSE-News/raw/forget.json").write_text('{"text": '),
            r"cannot be read: .*Expected a JSON list",
        ),
        (lambda d: (d / "MUSE-News/raw/forget.json").write_text("[3]"), r"row 1 is 3. Expected an object with text"),
        (
            lambda d: shutil.copy(d / "MUSE-News/raw/retain1.json", d / "MUSE-News/raw/forget.json"),
            r"5 texts of raw/forget are in raw/retain1 or raw/retain2 too",
        ),
        (
            lambda d: shutil.copy(d / "MUSE-News/raw/retain2.json", d / "MUSE-News/privleak/holdout.json"),
            r"5 texts of privleak/holdout are in raw",
        ),
    ],
)
def test_what_is_wrong_with_files_is_said(files: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(files)
    with pytest.raises(UsageError, match=said):
        make_task("muse:news").data(str(files))


def test_books_have_no_forget_sets_of_growing_size(files: Path) -> None:
    with pytest.raises(UsageError, match="no task 'muse:books:scal:1'"):
        make_task("muse:books:scal:1")
