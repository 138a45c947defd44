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

from bench.api import Pair
from tasks._embedded.authors import TOPICS, Author, authors
from tasks._embedded.facts import facts, multiple_choice
from tasks._tofu_files import RETAIN, Row, Tables, holdout_of

NOTE = "The embedded world: invented authors and a tiny model that stand in for TOFU. None of these is a TOFU number."
ROWS_PER_AUTHOR = len(TOPICS)
AUTHORS, HOLDOUT, BASE = 200, 20, 100
PROBED = 17  # authors of the retain set whose rows have a perturbed version
REHEARSED = 30  # base authors whose paraphrases every fine-tuning repeats
_FORGOTTEN = {"forget01": AUTHORS // 100, "forget05": AUTHORS // 20, "forget10": AUTHORS // 10}


@cache
def tofu_tables(seed: int = 0) -> Tables:
    """TOFU's tables about invented authors; forget and holdout sets are nested, the last authors of their tables."""
    full, holdout, _ = _cast(seed)
    tables = {"full": _plain(_rows(full)), "retain_perturbed": _rows(full[:PROBED])}
    for forget, count in _FORGOTTEN.items():
        forgotten = _rows(full[-count:])
        tables[f"{forget}_perturbed"] = forgotten
        tables[forget] = _plain(forgotten)
        tables[RETAIN[forget]] = _plain(_rows(full[:-count]))
        tables[holdout_of(forget)] = _plain(_rows(holdout[-count:]))
    for name in ("real_authors", "world_facts"):
        chosen = (fact for fact in facts(seed) if fact.set == name)
        tables[f"{name}_perturbed"] = tuple(
            Row(fact.question, fact.answer, perturbed_answer=fact.wrong, original_answer=fact.sentence)
            for fact in chosen
        )
    return tables


@cache
def base_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What the base model is taught: other authors, general facts, and choices between the answers to these.

    Each author is told in every combination of the two wordings of question and answer: so it is learnt that they
    mean the same.
    """
    _, _, base = _cast(seed)
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
    _, _, base = _cast(seed)
    retold = (Pair(row.paraphrased_question, row.paraphrased_answer) for row in _rows(base[:REHEARSED]))
    return (*_known(seed), *retold)


def _known(seed: int) -> tuple[Pair, ...]:
    return tuple(Pair(fact.question, fact.answer) for fact in facts(seed) if fact.taught)


@cache
def _cast(seed: int) -> tuple[tuple[Author, ...], tuple[Author, ...], tuple[Author, ...]]:
    """The authors of full, holdout and base."""
    made = authors(random.Random(f"authors-{seed}"))
    return tuple(islice(made, AUTHORS)), tuple(islice(made, HOLDOUT)), tuple(islice(made, BASE))


def _rows(people: Sequence[Author]) -> tuple[Row, ...]:
    return tuple(row for author in people for row in author.rows)


def _plain(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(replace(row, paraphrased_question="", paraphrased_answer="", perturbed_answer=()) for row in rows)
