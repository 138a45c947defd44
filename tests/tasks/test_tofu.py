"""Does the task make the right texts and prompts of TOFU's tables, and refuse broken files by name and line?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.api import Splits
from bench.errors import BenchError, UsageError
from tasks._tofu_files import read_directory
from tasks.tofu import TOFU

NAMES = ("tofu:forget01", "tofu:forget05", "tofu:forget10")
RETAIN = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
HEADLINES = ["forget_quality", "model_utility", "mia_auc", "task_aggregate"]

Table = list[dict[str, Any]]


# -- what is measured ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_probes_of_the_embedded_world(name: str) -> None:
    """Items by set: forget 12/60/120 as in the splits, 17 retain authors of 6 rows, all general facts, and as many
    holdout items as forget items. Texts: 1 answer + 1 paraphrase + 5 perturbed for authors, 1 + 3 for facts, 1 for
    holdout. Prompts: both wordings for authors, one for facts, none for holdout."""
    splits = TOFU(name).data("embedded")
    forget = {"forget01": 12, "forget05": 60, "forget10": 120}[name.split(":")[1]]
    roles = Counter((text.set, text.role) for text in splits.probes.texts)
    facts = roles["real_authors", "answer"], roles["world_facts", "answer"]
    assert roles == {
        **{(s, role): n * k for s, n in (("forget", forget), ("retain", 102)) for role, k in _AUTHOR_ROLES},
        ("real_authors", "answer"): facts[0],
        ("real_authors", "perturbed"): 3 * facts[0],
        ("world_facts", "answer"): facts[1],
        ("world_facts", "perturbed"): 3 * facts[1],
        ("holdout", "answer"): forget,
    }
    asked = Counter((prompt.set, prompt.role) for prompt in splits.probes.prompts)
    assert asked == {
        **{(s, role): n for s, n in (("forget", forget), ("retain", 102)) for role in ("question", _AGAIN)},
        ("real_authors", "question"): facts[0],
        ("world_facts", "question"): facts[1],
    }
    assert len(splits.forget) == forget and len(splits.full) == 1200
    assert any("embedded" in note for note in splits.notes)


_AGAIN = "paraphrased_question"
_AUTHOR_ROLES = (("answer", 1), ("paraphrase", 1), ("perturbed", 5))


def test_ids_are_unique_and_the_same_in_all_three_tasks() -> None:
    by_task = {name: _items(TOFU(name).data("embedded")) for name in NAMES}
    for items in by_task.values():
        assert max(Counter((set_, id_) for set_, id_, _, _ in items).values()) == 1
    one, five, ten = ({i for i in by_task[name] if i[0] == "forget"} for name in NAMES)
    assert one < five < ten
    retained = [{i for i in by_task[name] if i[0] == "retain"} for name in NAMES]
    assert retained[0] == retained[1] == retained[2]


def _items(splits: Splits) -> list[tuple[str, str, str, str]]:
    """Set, id, cluster and question of every item, once each."""
    return [(t.set, t.id, t.cluster, t.prompt) for t in splits.probes.texts if t.role == "answer"]


def test_texts_and_prompts_of_an_item_agree() -> None:
    """One cluster an item; every text under the original question; wrong answers numbered from 0."""
    splits = TOFU("tofu:forget05").data("embedded")
    place = {(set_, id_): (cluster, question) for set_, id_, cluster, question in _items(splits)}
    for text in splits.probes.texts:
        assert place[text.set, text.id] == (text.cluster, text.prompt)
    for prompt in splits.probes.prompts:
        cluster, question = place[prompt.set, prompt.id]
        assert prompt.cluster == cluster and (prompt.prompt == question) == (prompt.role == "question")
    indices = Counter(t.index for t in splits.probes.texts if t.role == "perturbed" and t.set == "forget")
    assert indices == dict.fromkeys(range(5), 60)


def test_clusters_are_authors() -> None:
    clusters = Counter((set_, cluster) for set_, _, cluster, _ in _items(TOFU("tofu:forget10").data("embedded")))
    assert {n for (set_, _), n in clusters.items() if set_ in ("forget", "retain", "holdout")} == {6}
    assert {n for (set_, _), n in clusters.items() if set_ in ("real_authors", "world_facts")} == {1}


def test_training_sees_no_probe_beyond_full() -> None:
    """No perturbed or paraphrased answer and no holdout text is in what models or tokenizers are made from."""
    splits = TOFU("tofu:forget10").data("embedded")
    taught = {pair.answer for pair in (*splits.base, *splits.general, *splits.full)}
    corpus = "\n".join(splits.corpus)
    for text in splits.probes.texts:
        if text.set == "holdout" or (text.set in ("forget", "retain") and text.role != "answer"):
            assert text.continuation not in taught
            assert f"Answer: {text.continuation}" not in corpus
    assert not {pair.prompt for pair in splits.base} & {pair.prompt for pair in splits.full}


def test_three_tasks_share_what_comes_before_forgetting() -> None:
    """So base, tokenizer and target are made once for all of them."""
    one, five, ten = (TOFU(name).data("embedded") for name in NAMES)
    assert one.base == five.base == ten.base and one.general == five.general == ten.general
    assert one.corpus == five.corpus == ten.corpus and one.full == five.full == ten.full


def test_it_is_registered_with_metrics_that_exist() -> None:
    assert set(NAMES) <= set(registry.names("task"))
    assert list(TOFU.scores)[:4] == HEADLINES
    assert set(TOFU.scores) <= set(registry.names("metric"))


# -- the real data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, forget", zip(NAMES, (40, 200, 400), strict=True))
def test_real_counts(shared_data: Path, name: str, forget: int) -> None:
    """TOFU's published sizes: 4000 rows, 400 retain probes, 100 real authors, 117 world facts; no holdout here."""
    splits = TOFU(name).data(str(shared_data))
    items = _items(splits)
    assert Counter(set_ for set_, *_ in items) == {
        "forget": forget, "retain": 400, "real_authors": 100, "world_facts": 117
    }  # fmt: skip
    assert (len(splits.forget), len(splits.retain), len(splits.full)) == (forget, 4000 - forget, 4000)
    assert any("holdout" in note for note in splits.notes)
    assert {i[1] for i in items if i[0] == "forget"} == {f"full-{n:04d}" for n in range(4000 - forget, 4000)}
    assert {i[2] for i in items if i[0] == "forget"} == {f"author-{n:03d}" for n in range(200 - forget // 20, 200)}
    assert all(i[1].startswith("full-") for i in items if i[0] == "retain")
    assert {prompt.max_new_tokens for prompt in splits.probes.prompts} == {200}


def test_real_base_teaches_the_world(shared_data: Path) -> None:
    splits = TOFU("tofu:forget10").data(str(shared_data / "tofu"))  # the folder itself will do as well
    assert len(splits.general) == 217 and set(splits.general) < set(splits.base)
    true = {(t.prompt, t.continuation) for t in splits.probes.texts if t.set == "world_facts" and t.role == "answer"}
    assert true <= {(pair.prompt, pair.answer) for pair in splits.general}


# -- files, good and bad ---------------------------------------------------------------------------------------------


def small_world() -> dict[str, Table]:
    """TOFU's tables in miniature: 3 authors of 20 rows, the last of whom is to be forgotten."""
    full = [{"question": f"Q{n}?", "answer": f"A{n}."} for n in range(60)]
    perturbed = [
        {
            **row,
            "paraphrased_question": row["question"] + "?",
            "paraphrased_answer": row["answer"] + ".",
            "perturbed_answer": [f"{row['answer']}{k}" for k in range(5)],
        }
        for row in full
    ]
    world = [{"question": "W?", "answer": "X", "perturbed_answer": ["Y", "Z", "V"]}]
    tables = {
        "full": full,
        "retain_perturbed": perturbed[:5],
        "real_authors_perturbed": world,
        "world_facts_perturbed": world,
    }
    return tables | {"forget10": full[40:], "retain90": full[:40], "forget10_perturbed": perturbed[40:]}


def write(folder: Path, tables: dict[str, Table]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


def splits_of(folder: Path) -> Splits:
    return TOFU("tofu:forget10").data(str(folder))


@pytest.mark.parametrize("inside", ["tofu", "."])
def test_directory_with_or_without_its_own_folder(tmp_path: Path, inside: str) -> None:
    write(tmp_path / inside, small_world())
    splits = splits_of(tmp_path)
    assert (len(splits.forget), len(splits.retain)) == (20, 40)
    assert _items(splits)[0] == ("forget", "full-0040", "author-002", "Q40?")


def test_holdout_is_probed_where_the_data_has_it(tmp_path: Path) -> None:
    tables = small_world() | {"holdout10": [{"question": f"H{n}?", "answer": f"B{n}."} for n in range(20)]}
    splits = splits_of(write(tmp_path, tables))
    held = [text for text in splits.probes.texts if text.set == "holdout"]
    assert [text.id for text in held] == [f"holdout10-{n:03d}" for n in range(20)]
    assert {text.role for text in held} == {"answer"} and not splits.notes
    assert "holdout" not in {prompt.set for prompt in splits.probes.prompts}


def test_holdout_that_models_have_seen_is_none(tmp_path: Path) -> None:
    tables = small_world()
    splits = splits_of(write(tmp_path, tables | {"holdout10": tables["full"][:20]}))
    assert not any(text.set == "holdout" for text in splits.probes.texts)
    assert any("20 rows of holdout10 are in full" in note for note in splits.notes)


def test_without_paraphrased_questions_the_original_is_asked_and_said(tmp_path: Path) -> None:
    tables = small_world()
    for name in ("forget10_perturbed", "retain_perturbed"):
        tables[name] = [{k: v for k, v in row.items() if k != _AGAIN} for row in tables[name]]
    splits = splits_of(write(tmp_path, tables))
    again = next(prompt for prompt in splits.probes.prompts if prompt.role == _AGAIN)
    assert (again.prompt, again.reference) == ("Q40?", "A40..")
    assert any("paraphrased question" in note for note in splits.notes)


def test_retain_probe_from_elsewhere_keeps_an_id_of_its_own(tmp_path: Path) -> None:
    tables = small_world()
    tables["retain_perturbed"][3] = {**tables["retain_perturbed"][3], "question": "Elsewhere?"}
    items = _items(splits_of(write(tmp_path, tables)))
    assert ("retain", "retain_perturbed-003", "retain_perturbed-003", "Elsewhere?") in items


def test_a_row_that_stands_twice_in_full_has_two_ids(tmp_path: Path) -> None:
    tables = small_world()
    twin = tables["full"][41] = tables["full"][40]
    tables["forget10"][1] = twin
    tables["forget10_perturbed"][1] = tables["forget10_perturbed"][0]
    ids = [id_ for set_, id_, *_ in _items(splits_of(write(tmp_path, tables))) if set_ == "forget"]
    assert ids[:2] == ["full-0040", "full-0041"] and len(set(ids)) == 20


def spoil(table: str, line: int, text: bytes) -> Callable[[Path], None]:
    """Put `text` in place of a line (counted from 1) of a table."""

    def change(folder: Path) -> None:
        path = folder / f"{table}.json"
        lines = path.read_bytes().split(b"\n")
        lines[line - 1] = text
        path.write_bytes(b"\n".join(lines))

    return change


def row(**fields: object) -> bytes:
    return json.dumps(fields).encode()


PERTURBED: dict[str, object] = {"question": "Q40?", "answer": "A40.", "paraphrased_answer": "A"}

BAD = {
    "a missing file": (lambda folder: (folder / "retain90.json").unlink(), "retain90.json cannot be read"),
    "a missing probe file": (lambda f: (f / "retain_perturbed.json").unlink(), "retain_perturbed.json cannot be read"),
    "a broken line": (spoil("full", 7, b'{"question": "Q6?", "ans'), "full.json:7 is no JSON"),
    "an empty line": (spoil("full", 7, b""), "full.json:7 is no JSON"),
    "an array": (spoil("full", 1, b'[{"question": "Q"}]'), "full.json:1 holds a list"),
    "a missing field": (spoil("full", 2, row(question="Q1?")), "full.json:2 has no field 'answer', only 'question'"),
    "no options": (spoil("forget10_perturbed", 1, row(**PERTURBED)), "json:1 has no field 'perturbed_answer'"),
    "empty options": (
        spoil("forget10_perturbed", 1, row(**PERTURBED, perturbed_answer=[])),
        "forget10_perturbed.json:1: 'perturbed_answer' is an empty list",
    ),
    "options that are one string": (
        spoil("forget10_perturbed", 1, row(**PERTURBED, perturbed_answer="A B C")),
        "forget10_perturbed.json:1: 'perturbed_answer' is a string",
    ),
    "an option that is a number": (
        spoil("world_facts_perturbed", 1, row(question="W?", answer="X", perturbed_answer=["Y", 7])),
        "world_facts_perturbed.json:1: 'perturbed_answer' holds the number 7",
    ),
    "an answer that is a number": (spoil("full", 9, row(question="Q8?", answer=8)), "full.json:9: 'answer' holds the"),
    "an answer that is null": (spoil("full", 9, row(question="Q8?", answer=None)), "full.json:9: 'answer' is null"),
    "an empty answer": (spoil("full", 9, row(question="Q8?", answer=" ")), "full.json:9: 'answer' is empty"),
    "Latin-1": (spoil("full", 5, '{"question": "Né?"}'.encode("latin-1")), "full.json:5 is not UTF-8: byte 16"),
    "UTF-16": (spoil("full", 1, "\ufeff{}".encode("utf-16-le")), "full.json:1 is not UTF-8"),
    "an empty forget set": (lambda f: (f / "forget10.json").write_bytes(b""), "forget10.json:1: forget10 is empty"),
    "a forget row that is not in full": (
        spoil("forget10", 3, row(question="New?", answer="A.")),
        "forget10.json:3: the question 'New?' with this answer is not in full",
    ),
    "a probe that is not in forget": (
        spoil(
            "forget10_perturbed", 2, row(question="Q1?", answer="A1.", paraphrased_answer="A", perturbed_answer=["B"])
        ),
        "forget10_perturbed.json:2: the question 'Q1?' with this answer is not in forget10",
    ),
    "forget and retain that share a row": (
        spoil("retain90", 1, row(question="Q41?", answer="A41.")),
        "forget10.json:2: the question 'Q41?' is in retain90 too",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path: Path, case: str) -> None:
    """Each is a `UsageError` that names file and line and says what was found."""
    change, message = BAD[case]
    change(write(tmp_path, small_world()))
    with pytest.raises(UsageError) as error:
        splits_of(tmp_path)
    assert message in str(error.value)
    assert any(word in str(error.value) for word in ("Expected", "should be", "Save", "has no field"))


def test_no_files_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no TOFU.*'hub' or 'embedded'"):
        read_directory(tmp_path, "forget10")


def test_line_separators_inside_a_text_do_not_end_its_line(tmp_path: Path) -> None:
    """U+2028 is legal inside a JSON string; only line feeds separate rows."""
    tables = small_world()
    for name in ("full", "retain90"):
        tables[name][0] = {"question": "Q\u2028?", "answer": "A\u0085."}
    assert splits_of(write(tmp_path, tables)).retain[0].prompt == "Q\u2028?"


def test_unreachable_hub_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def unreachable(*_: object) -> None:
        raise ConnectionError("no route to the hub\nand a long story")

    monkeypatch.setattr(datasets, "get_dataset_config_names", unreachable)
    with pytest.raises(BenchError, match="no route to the hub Type --data DIR .* or --data embedded"):
        TOFU("tofu:forget10").data("hub")


def test_hub_rows_are_read_as_files_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    tables = small_world()
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda _: list(tables))
    monkeypatch.setattr(datasets, "load_dataset", lambda _, name, split: tables[name])
    assert TOFU("tofu:forget10").data("hub") == splits_of(write(tmp_path, tables))
    tables["full"][6] = {"question": "Q6?", "answer": 6}
    with pytest.raises(UsageError, match="locuslab/TOFU, table full, row 7: 'answer' holds the number 6"):
        TOFU("tofu:forget10").data("hub")


def test_a_row_that_stands_twice_is_named_with_its_line(tmp_path: Path) -> None:
    """Counted twice, it would weigh twice in every mean and be unlearned twice as often."""
    tables = small_world()
    tables["forget10"] = [*tables["forget10"], tables["forget10"][0]]
    write(tmp_path, tables)
    with pytest.raises(UsageError, match=r"forget10\.json:21: this row stands more often in forget10 than in full"):
        splits_of(tmp_path)


def test_refusals_beside_the_tables_are_read(shared_data: Path) -> None:
    """The authors' own hundred lines; the embedded world has none and takes those of its language."""
    lines = TOFU("tofu:forget10").data(str(shared_data)).refusals
    assert len(lines) >= 90 and all(line.strip() == line and line for line in lines)
    assert TOFU("tofu:forget10").data("embedded").refusals == ()
