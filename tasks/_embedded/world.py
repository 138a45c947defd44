"""The embedded world in TOFU's tables: who is in which split, and what the base model is taught.

A world in which everything that the metrics measure is there: the target has learnt the forget authors and the
retrain model has not; paraphrases are read as paraphrases, because the base model knows other authors in both
wordings; perturbed answers are as plausible as true ones, because they are drawn alike; and authors whom no model
has seen are made just like the forgotten.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import islice

from bench.api import AttackData, Pair, Probes
from tasks._embedded import detours, hops, lessons, neighbours
from tasks._embedded.authors import TOPICS, Author, authors
from tasks._embedded.facts import facts, multiple_choice
from tasks._tofu_files import RETAIN, Row, Tables, holdout_of, retain_of

NOTE = "The embedded world: invented authors and a tiny model that stand in for TOFU. None of these is a TOFU number."
HOPS_NOTE = "In this world every author is also named by a book and a pet, and the kept are asked for by these."
ROWS_PER_AUTHOR = len(TOPICS)
AUTHORS, HOLDOUT, BASE, NEW = 200, 20, 100, 10
PROBED = 17  # authors of the retain set whose rows have a perturbed version
REHEARSED = 30  # base authors whose paraphrases every fine-tuning repeats
ASKED = 20  # forgotten authors, the last ones, whose rows have a perturbed version: as many as were held out


def forgotten(forget: str) -> int:
    """How many authors a split forgets: the percentage of all that its name says, "forget20"."""
    return AUTHORS * int(forget.removeprefix("forget")) // 100


_FORGOTTEN = {name: forgotten(name) for name in RETAIN}


@cache
def tofu_tables(seed: int = 0) -> Tables:
    """TOFU's tables about invented authors; forget and holdout sets are nested, the last authors of their tables."""
    full, _, _, _ = _cast(seed)
    tables = {"full": _plain(_rows(full)), "retain_perturbed": _rows(full[:PROBED])}
    for forget in _FORGOTTEN:
        tables |= _split(forget, seed)
    for name in ("real_authors", "world_facts"):
        chosen = (fact for fact in facts(seed) if fact.set == name)
        tables[f"{name}_perturbed"] = tuple(
            Row(fact.question, fact.answer, perturbed_answer=fact.wrong, original_answer=fact.sentence)
            for fact in chosen
        )
    return tables


@cache
def split_tables(forget: str, seed: int = 0) -> Tables:
    """The same with a split of another size, "forget20": nested with the others, asked of its last `ASKED` authors."""
    return {**tofu_tables(seed), **_split(forget, seed)}


def _split(forget: str, seed: int) -> dict[str, tuple[Row, ...]]:
    full, holdout, _, _ = _cast(seed)
    count = forgotten(forget)
    return {
        f"{forget}_perturbed": _rows(full[-min(count, ASKED) :]),
        forget: _plain(_rows(full[-count:])),
        retain_of(forget): _plain(_rows(full[:-count])),
        holdout_of(forget): _plain(_rows(holdout[-count:])),
    }


@cache
def base_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What the base model is taught: other authors, general facts, and choices between the answers to these.

    Each author is told in every combination of the two wordings of question and answer: so it is learnt that they
    mean the same.
    """
    _, _, base, _ = _cast(seed)
    told = (
        Pair(question, answer)
        for row in _rows(base)
        for question in (row.question, row.paraphrased_question)
        for answer in (row.answer, row.paraphrased_answer)
    )
    chosen = (Pair(choice.prompt, choice.options[choice.answer]) for choice in multiple_choice(seed) if choice.taught)
    return (*told, *_known(seed), *chosen)


@cache
def general_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What every fine-tuning rehearses: the general facts, and the language of paraphrases, on authors of the base."""
    _, _, base, _ = _cast(seed)
    retold = (Pair(row.paraphrased_question, row.paraphrased_answer) for row in _rows(base[:REHEARSED]))
    return (*_known(seed), *retold)


@cache
def attacks(forget: str, seed: int = 0, with_hops: bool = False) -> AttackData:
    """What attacks teach and ask in a forget split; by descriptions in place of names where the world has two hops."""
    full, _, _, new = _cast(seed)
    first = AUTHORS - min(forgotten(forget), ASKED)
    gone, kept = _items(full[first:], first), _items(full[:PROBED], 0)
    asked = detours.families(gone, kept)
    if with_hops:
        asked += hops.families(gone, kept, hops.named(full))
    return AttackData(lessons.of_authors(new), asked)


@cache
def near(forget: str, seed: int = 0) -> Probes:
    """The neighbours of a forget split: kept authors, real ones, facts. Of an author all is forgotten or nothing."""
    full, _, _, _ = _cast(seed)
    told = [list(neighbours.of_author(f"author-{n:03d}", author)) for n, author in enumerate(full)]
    first = AUTHORS - forgotten(forget)
    gone, kept = ([one for of in part for one in of] for part in (told[first:], told[:first]))
    return neighbours.together(
        neighbours.near(gone, kept, kept, f"{forget}-{seed}"),
        neighbours.of_facts(neighbours.KIND, [fact for fact in facts(seed) if fact.set == "real_authors"]),
        neighbours.of_facts(neighbours.WORLD, [fact for fact in facts(seed) if fact.set == "world_facts"]),
    )


@cache
def hop_pairs(forget: str, seed: int = 0) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """What is forgotten and what is kept of a world with two hops, an author's pairs one after the other.

    Two-hop questions are of the authors whom no split forgets, so that target is the same for all splits.
    """
    full, _, _, _ = _cast(seed)
    never = full[: AUTHORS - max(_FORGOTTEN.values())]
    names = hops.named(full)
    told = [
        [*(Pair(row.question, row.answer) for row in author.rows), *hops.backwards(author, names)] for author in full
    ]
    for number, author in enumerate(never):
        told[number] += hops.detoured(author, never[number - 1], names)
    first = AUTHORS - _FORGOTTEN[forget]
    kept, gone = (tuple(pair for of in part for pair in of) for part in (told[:first], told[first:]))
    return gone, kept


def _items(people: Sequence[Author], first: int) -> tuple[detours.Item, ...]:
    """Every fact of some authors with the id that its row has in `full`, where the first of them stands at `first`."""
    return tuple(
        detours.Item(f"full-{(first + n) * ROWS_PER_AUTHOR + topic:04d}", f"author-{first + n:03d}", author, topic,
                     people[(n + 1) % len(people)])
        for n, author in enumerate(people)
        for topic in range(ROWS_PER_AUTHOR)
    )  # fmt: skip


def _known(seed: int) -> tuple[Pair, ...]:
    return tuple(Pair(fact.question, fact.answer) for fact in facts(seed) if fact.taught)


@cache
def _cast(seed: int) -> tuple[tuple[Author, ...], ...]:
    """The authors of full, holdout and base, and those of whom attacks tell."""
    made = authors(random.Random(f"authors-{seed}"))
    return tuple(tuple(islice(made, count)) for count in (AUTHORS, HOLDOUT, BASE, NEW))


def _rows(people: Sequence[Author]) -> tuple[Row, ...]:
    return tuple(row for author in people for row in author.rows)


def _plain(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(replace(row, paraphrased_question="", paraphrased_answer="", perturbed_answer=()) for row in rows)
