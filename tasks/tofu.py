"""TOFU: forget some of two hundred authors who do not exist. Maini et al. 2024, arXiv:2401.06121."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from bench.api import (
    VALIDATION,
    Asking,
    AttackData,
    Family,
    Pair,
    Probes,
    Prompt,
    Splits,
    Text,
    hops,
    task,
    validation_of,
    world,
)  # fmt: skip
from bench.errors import UsageError
from tasks import _detours as detours
from tasks._embedded import lessons, neighbours
from tasks._embedded import world as embedded
from tasks._tofu_files import RETAIN, Row, Tables, holdout_of, read_directory, read_hub, read_refusals, retain_of

WORLD_SETS = ("real_authors", "world_facts")
DISTANCES = {
    "retain": neighbours.TEMPLATE,
    "real_authors": neighbours.KIND,
    "world_facts": neighbours.WORLD,
}  # how far what is kept lies from the forgotten authors
ROWS_PER_AUTHOR = 20  # of the real benchmark


class Source(NamedTuple):
    """What differs between the real benchmark and the embedded world, beside the tables themselves."""

    rows_per_author: int
    max_new_tokens: int
    base: tuple[Pair, ...]
    general: tuple[Pair, ...]
    notes: tuple[str, ...] = ()
    attacks: AttackData | None = None  # those that the rows themselves allow where it is None
    neighbours: Probes | None = None  # the same


class Probe(NamedTuple):
    """A row to be measured, with its place: `id` is unique within the set, `cluster` is the author."""

    set: str
    id: str
    cluster: str
    row: Row


@task("tofu:forget01", "tofu:forget05", "tofu:forget10")
@dataclass(frozen=True)
class TOFU:
    """Fictitious authors: forget 1, 5 or 10% of them, keep the others, other people and facts of the world.

    `data("embedded")` is the project's own world ("embedded@7" another one), `data("embedded-hops")` the same with
    authors told backwards and asked for by descriptions, `data("hub")` is locuslab/TOFU, and
    `data(DIR)` the hub's files in DIR; "DIR@validation" is a part of them to tune on.

    Sets: `forget` and `retain` (answer, paraphrase and perturbed answers, all under the original question; a
    generation for the question, and one for the paraphrased question, whose reference is the paraphrased answer),
    `real_authors` and `world_facts` (answer and perturbed answers; a generation), and `holdout` (answers of authors
    that no model has seen), where the data has it. The ids of forget and retain rows are their row numbers in
    `full`, so that an item has the same id in all three tasks.

    The real benchmark presumes a model that knows the world. One that is trained from scratch on TOFU alone does
    not, and its model utility is near 0 whatever is done to it. So for real data `base` teaches the true answers of
    real_authors and world_facts, as answers and as sentences, and `general` rehearses the answers in every fine-
    tuning, of target and retrain model alike. Pre-trained models have no use for them.
    """

    name: str
    version: ClassVar[int] = 1
    floors: ClassVar[Mapping[str, float]] = {}
    headlines: ClassVar[Mapping[str, str]] = {
        "forget quality": "forget_quality",
        "model utility": "model_utility",
        "membership": "mia_auc",
        "task aggregate": "task_aggregate",
    }
    memorisation: ClassVar[Sequence[str]] = ("extraction_strength", "exact_memorisation", "truth_preference")
    details: ClassVar[Mapping[str, Sequence[str]]] = {
        "The forget set": (
            "rouge",
            "probability",
            "truth_ratio",
            "truth_preference",
            "paraphrase_probability",
            "accuracy",
            "exact_memorisation",
            "extraction_strength",
            "mia_min_k",
            "ou_aggregate",
        ),
        "What should be kept": tuple(
            f"{set_}_{part}"
            for set_ in ("retain", "ra", "wf")
            for part in ("probability", "rouge", "truth_ratio", "accuracy")
        ),
    }
    scores: ClassVar[Sequence[str]] = (
        "forget_quality",
        "model_utility",
        "mia_auc",
        "task_aggregate",
        "truth_ratio",
        "truth_preference",
        "paraphrase_probability",
        "probability",
        "rouge",
        "accuracy",
        "exact_memorisation",
        "extraction_strength",
        "mia_min_k",
        "mia_min_k_plus_plus",
        "mia_zlib",
        "mia_tpr_1",
        "mia_tpr_5",
        "mia_score",
        "privleak",
        "ou_aggregate",
        "retain_probability",
        "retain_rouge",
        "retain_truth_ratio",
        "ra_probability",
        "ra_rouge",
        "ra_truth_ratio",
        "wf_probability",
        "wf_rouge",
        "wf_truth_ratio",
        "retain_accuracy",
        "ra_accuracy",
        "wf_accuracy",
    )

    @property
    def forget(self) -> str:
        """The name of the forget split: "forget01", "forget05" or "forget10"."""
        return self.name.split(":", 1)[1]

    def data(self, source: str) -> Splits:
        """The splits of this task.

        Raises:
            UsageError: `source` is a directory without the hub's files, or with a broken one.
            BenchError: the hub cannot be reached.
        """
        if (number := world(source)) is not None:
            origin = embedded_source(self.forget, number, hops(source))
            plain = splits(self.forget, embedded.tofu_tables(number), origin)
            return _with_hops(plain, *embedded.hop_pairs(self.forget, number)) if hops(source) else plain
        place, validating = source.removesuffix(VALIDATION), source.endswith(VALIDATION)
        wanted = max(RETAIN) if validating else self.forget
        tables, refusals = read(place, wanted)
        origin = real_source(tables)
        made = splits(wanted, tables, origin)
        if validating:  # the words of the tokenizer stay, so that test and validation start from one base
            own = splits(self.forget, validation(self.forget, tables), origin)
            made = dataclasses.replace(own, corpus=made.corpus)
        return dataclasses.replace(made, refusals=refusals)

    def validation(self, source: str, count: int) -> tuple[str, ...]:
        """Data to tune on: other worlds, or retain authors of the same files as a forget set of their own."""
        return validation_of(source, count)


def embedded_source(forget: str, number: int, with_hops: bool = False) -> Source:
    """What the embedded world has beside a split's tables."""
    taught = embedded.base_pairs(number), embedded.general_pairs(number)
    told, near = embedded.attacks(forget, number, with_hops), embedded.near(forget, number)
    return Source(embedded.ROWS_PER_AUTHOR, 32, *taught, (embedded.NOTE,), told, near)


def read(place: str, forget: str) -> tuple[Tables, tuple[str, ...]]:
    """The tables that a split needs, from the hub or a directory, and the refusals that lie beside them."""
    if place == "hub":
        return read_hub(forget), ()
    return read_directory(Path(place), forget), read_refusals(Path(place))


def real_source(tables: Tables) -> Source:
    """What the real benchmark has beside its tables."""
    facts = [row for name in WORLD_SETS for row in tables[f"{name}_perturbed"]]
    said = (Pair(f"{row.question} Answer in a sentence.", row.original_answer) for row in facts if row.original_answer)
    return Source(ROWS_PER_AUTHOR, 200, (*_pairs(facts), *said), _pairs(facts))


def validation(forget: str, tables: Tables) -> Tables:
    """The tables without the authors of every test forget set, some of the others forgotten in their place.

    These are as many as the split forgets, but at most half of those whose rows have perturbed versions: the other
    half are what should be kept.
    """
    largest = max(RETAIN)
    known = tables[RETAIN[largest]]
    places = {(row.question, row.answer): n // ROWS_PER_AUTHOR for n, row in enumerate(tables["full"])}
    author = lambda row: places.get((row.question, row.answer), -1)  # noqa: E731
    probed = sorted({author(row) for row in tables["retain_perturbed"]} - {-1})
    size = len(tables["full"]) // ROWS_PER_AUTHOR * int(forget.removeprefix("forget")) // 100
    chosen = frozenset(probed[: min(size, len(probed) // 2)])
    if not chosen:
        raise UsageError(
            f"{len(probed)} authors of retain_perturbed are in full. To tune on this data takes two: one to forget and "
            "one to keep."
        )
    parts = {
        True: [row for row in known if author(row) in chosen],
        False: [row for row in known if author(row) not in chosen],
    }
    seen = {of: [row for row in tables["retain_perturbed"] if (author(row) in chosen) == of] for of in parts}
    return {
        "full": known,
        forget: tuple(parts[True]),
        RETAIN[forget]: tuple(parts[False]),
        f"{forget}_perturbed": tuple(seen[True]),
        "retain_perturbed": tuple(seen[False]),
        **{f"{name}_perturbed": tables[f"{name}_perturbed"] for name in WORLD_SETS},
    }


def splits(forget: str, tables: Tables, source: Source) -> Splits:
    """Training pairs and probes of one forget split, from TOFU's tables."""
    placed = _Places(tables["full"], source.rows_per_author)
    probes = [
        *placed.probes("forget", f"{forget}_perturbed", tables),
        *placed.probes("retain", "retain_perturbed", tables),
        *(
            Probe(s, f"{s}-{n:03d}", f"{s}-{n:03d}", row)
            for s in WORLD_SETS
            for n, row in enumerate(tables[f"{s}_perturbed"])
        ),
    ]
    holdout, notes = _holdout(holdout_of(forget), tables, source.rows_per_author)
    full = _pairs(tables["full"])
    if any(p.set in ("forget", "retain") and not p.row.paraphrased_question for p in probes):
        notes += ("Rows without a paraphrased question are asked with the original one where accuracy needs it.",)
    return Splits(
        base=source.base,
        general=source.general,
        forget=_pairs(tables[forget]),
        retain=_pairs(tables[retain_of(forget)]),
        probes=Probes(
            tuple(text for probe in [*probes, *holdout] for text in _texts(probe)),
            tuple(prompt for probe in probes for prompt in _prompts(probe, source.max_new_tokens)),
        ),
        corpus=_corpus((*source.base, *source.general, *full)),
        notes=source.notes + notes,
        attacks=source.attacks or _attacks(probes, tables.get(holdout_of(forget), ()) if holdout else ()),
        neighbours=source.neighbours or _neighbours(probes),
    )


def _corpus(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """The words as a model reads them: after "Question: " and "Answer: ", never at the start of a line."""
    return tuple(f"Question: {pair.prompt}\nAnswer: {pair.answer}" for pair in pairs)


def _with_hops(plain: Splits, forget: tuple[Pair, ...], retain: tuple[Pair, ...]) -> Splits:
    """The embedded world with other pairs to forget and to keep, and all else as it is."""
    corpus = _corpus((*plain.base, *plain.general, *retain, *forget))
    notes = (*plain.notes, embedded.HOPS_NOTE)
    return dataclasses.replace(plain, forget=forget, retain=retain, corpus=corpus, notes=notes)


def _attacks(probes: Iterable[Probe], unseen: Iterable[Row]) -> AttackData:
    """What real rows allow without new knowledge: unseen authors to teach, and the questions as others would ask."""
    taught = {lessons.SAME: _pairs(unseen), lessons.UNRELATED: lessons.unrelated()}
    asked: dict[str, list[Asking]] = {"forget": [], "retain": []}
    listed: dict[str, list[Asking]] = {"forget": [], "retain": []}
    for set_, id_, cluster, row in probes:
        if set_ in asked:
            plain = Asking(id_, cluster, (row.question,), row.answer, false=row.perturbed_answer)
            asked[set_].append(plain)
            if len(row.perturbed_answer) >= detours.WRONG:
                alike = dataclasses.replace(plain, answer=row.paraphrased_answer)  # as the perturbed ones are worded
                listed[set_].append(detours.choice(alike))
    families = detours.wrapped(asked["forget"], asked["retain"])
    if listed["forget"]:
        families += (Family("choice of four", "implied", tuple(listed["forget"]), tuple(listed["retain"])),)
    return AttackData({name: pairs for name, pairs in taught.items() if pairs}, families)


def _neighbours(probes: Sequence[Probe]) -> Probes:
    """What real rows say of neighbours: authors asked alike, real ones, facts. All have as many wrong answers as the
    row with the fewest, so that guessing has the same at all distances."""
    kept = [probe for probe in probes if probe.set in DISTANCES]
    count = min((len(probe.row.perturbed_answer) for probe in kept), default=0)
    return Probes(
        tuple(
            Text(DISTANCES[set_], id_, f"near-{cluster}", role, row.question, said, index)
            for set_, id_, cluster, row in kept
            for role, answers in (
                ("answer", [row.paraphrased_answer or row.answer]), ("perturbed", row.perturbed_answer[:count]),
            )
            for index, said in enumerate(answers)
        ),
        (),
    )  # fmt: skip


def _pairs(rows: Iterable[Row]) -> tuple[Pair, ...]:
    return tuple(Pair(row.question, row.answer) for row in rows)


class _Places:
    """Where the rows of a table stand in `full`, found by question and answer, each place given away once."""

    def __init__(self, full: Sequence[Row], rows_per_author: int) -> None:
        self.rows_per_author = rows_per_author
        self.places: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, row in reversed(list(enumerate(full))):
            self.places[row.question, row.answer].append(number)

    def probes(self, set_: str, table: str, tables: Tables) -> Iterator[Probe]:
        """The rows of `table` with their ids; one that is not in `full` is its own cluster."""
        for number, row in enumerate(tables[table]):
            places = self.places[row.question, row.answer]
            if places:
                place = places.pop()
                yield Probe(set_, f"full-{place:04d}", f"author-{place // self.rows_per_author:03d}", row)
            else:
                yield Probe(set_, f"{table}-{number:03d}", f"{table}-{number:03d}", row)


def _holdout(name: str, tables: Tables, rows_per_author: int) -> tuple[list[Probe], tuple[str, ...]]:
    """Probes of the authors that no model has seen, or none and the reason why."""
    rows = tables.get(name, ())
    if not rows:
        return [], (f"The data has no {name}: nothing to tell members from, so membership inference is not scored.",)
    known = {(row.question, row.answer) for row in tables["full"]}
    seen = sum((row.question, row.answer) in known for row in rows)
    if seen:
        return [], (f"{seen} rows of {name} are in full, so it is no holdout, and membership inference is not scored.",)
    return [
        Probe("holdout", f"{name}-{n:03d}", f"{name}-author-{n // rows_per_author:03d}", row)
        for n, row in enumerate(rows)
    ], ()


def _texts(probe: Probe) -> Iterator[Text]:
    set_, id_, cluster, row = probe
    yield Text(set_, id_, cluster, "answer", row.question, row.answer)
    if set_ in ("forget", "retain"):
        yield Text(set_, id_, cluster, "paraphrase", row.question, row.paraphrased_answer)
    if set_ != "holdout":
        for index, wrong in enumerate(row.perturbed_answer):
            yield Text(set_, id_, cluster, "perturbed", row.question, wrong, index)


def _prompts(probe: Probe, budget: int) -> Iterator[Prompt]:
    set_, id_, cluster, row = probe
    yield Prompt(set_, id_, cluster, "question", row.question, row.answer, budget)
    if set_ in ("forget", "retain"):
        asked = row.paraphrased_question or row.question
        yield Prompt(set_, id_, cluster, "paraphrased_question", asked, row.paraphrased_answer, budget)
