"""Is the embedded world a memorisation problem in TOFU's shape, and the same one every time?"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterable
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import Pair
from tasks._embedded import pools, world
from tasks._embedded.authors import TOPICS, Topic, authors
from tasks._embedded.facts import FAMILIES, facts, multiple_choice
from tasks._tofu_files import RETAIN, Row, holdout_of

TABLES = world.tofu_tables()
SPLITS = tuple(RETAIN)
WORD = re.compile(r"[a-z0-9'-]+")
# Words of the templates that carry no fact, and may stand in both question and answer.
PLAIN = {
    "in",
    "on",
    "at",
    "of",
    "the",
    "and",
    "with",
    "about",
    "from",
    "one",
    "out",
    "to",
    "by",
    "a",
    "is",
    "was",
    "were",
}


def words(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))


WORDINGS = [
    re.compile(re.escape(wording).replace(r"\{\}", "(.+)"))
    for topic in TOPICS
    for wording in (topic.question, topic.paraphrased_question)
]


def asked_about(question: str) -> str:
    """The author whom a question is about; empty where it is about none."""
    return next((found[1] for wording in WORDINGS if (found := wording.fullmatch(question))), "")


def names(questions: Iterable[str]) -> set[str]:
    return {asked_about(question) for question in questions} - {""}


def pairs(rows: Iterable[Row]) -> list[tuple[str, str]]:
    return [(row.question, row.answer) for row in rows]


def names_in(table: str) -> set[str]:
    return names(row.question for row in TABLES[table])


def test_it_is_made_anew_the_same_in_another_process() -> None:
    """No part of it may hang on hashes or global generators: a process with another hash seed makes the same world."""
    code = (
        "from tasks._embedded import world; import hashlib;"
        "made = world.tofu_tables(), world.base_pairs(), world.general_pairs();"
        "print(hashlib.sha256(repr(made).encode()).hexdigest())"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1 and next(iter(made)).strip()


def test_another_seed_makes_another_world() -> None:
    assert world.tofu_tables(1)["full"] != TABLES["full"]
    assert world.base_pairs(1) != world.base_pairs(0)


def test_it_needs_no_heavy_import() -> None:
    code = "import sys; from tasks import tofu; print({'torch', 'numpy', 'datasets'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "set()"


def test_sizes() -> None:
    """200 authors of 6 rows; 1, 5 and 10% of them are 2, 10 and 20 authors, so 12, 60 and 120 rows."""
    sizes = {name: len(rows) for name, rows in TABLES.items()}
    assert sizes.pop("real_authors_perturbed") >= 60
    assert sizes.pop("world_facts_perturbed") >= 80
    assert sizes == {
        "full": 1200,
        "retain_perturbed": 102,
        "forget01": 12,
        "forget01_perturbed": 12,
        "holdout01": 12,
        "retain99": 1188,
        "forget05": 60,
        "forget05_perturbed": 60,
        "holdout05": 60,
        "retain95": 1140,
        "forget10": 120,
        "forget10_perturbed": 120,
        "holdout10": 120,
        "retain90": 1080,
    }


@pytest.mark.parametrize("forget", SPLITS)
def test_splits_as_in_tofu(forget: str) -> None:
    """Forget is the end of full, retain what stands before it, and the perturbed table tells the same rows."""
    kept, forgotten = TABLES[RETAIN[forget]], TABLES[forget]
    assert kept + forgotten == TABLES["full"]
    assert not names_in(RETAIN[forget]) & names_in(forget)
    assert pairs(TABLES[f"{forget}_perturbed"]) == pairs(forgotten)
    assert set(pairs(TABLES["retain_perturbed"])) <= set(pairs(kept))


@pytest.mark.parametrize("kind", ["forget", "holdout"])
def test_splits_are_nested(kind: str) -> None:
    one, five, ten = (TABLES[f"{kind}{share}"] for share in ("01", "05", "10"))
    assert ten[-len(five) :] == five and five[-len(one) :] == one


def test_nobody_is_in_two_casts() -> None:
    casts = names_in("full"), names_in("holdout10"), names(pair.prompt for pair in world.base_pairs())
    assert [len(cast) for cast in casts] == [world.AUTHORS, world.HOLDOUT, world.BASE]
    assert len(set.union(*casts)) == sum(map(len, casts))


@pytest.mark.parametrize("table", ["full", "holdout10"])
def test_rows_of_an_author_stand_together(table: str) -> None:
    step = world.ROWS_PER_AUTHOR
    for start in range(0, len(TABLES[table]), step):
        asked = [row.question for row in TABLES[table][start : start + step]]
        assert len(names(asked)) == 1 and len(set(asked)) == step


def perturbed_rows() -> list[Row]:
    return [row for table in ("forget10_perturbed", "retain_perturbed") for row in TABLES[table]]


def facts_in(template: str, text: str) -> dict[str, str] | None:
    """The facts that fill the template's slots, or None where the text is not made from it."""
    pattern = "".join(
        re.escape(fixed) + (f"(?P<{slot}>[^ ,.]+)" if slot else "") for fixed, slot, *_ in Formatter().parse(template)
    )
    found = re.fullmatch(pattern, text)
    return found.groupdict() if found else None


def topic_of(row: Row) -> Topic:
    return next(t for t in TOPICS if row.question == t.question.format(asked_about(row.question)))


def test_paraphrases_tell_the_same_facts_in_other_words() -> None:
    for row in perturbed_rows():
        topic = topic_of(row)
        told = facts_in(topic.answer, row.answer)
        assert told is not None and told == facts_in(topic.paraphrased_answer, row.paraphrased_answer)
        assert list(told) == list(facts_in(topic.paraphrased_answer, row.paraphrased_answer) or ())  # in the same order
        assert row.paraphrased_answer != row.answer and row.paraphrased_question != row.question


def test_perturbed_answers_are_plausible_and_wrong() -> None:
    """Five, all different, of the paraphrase's template, every fact from its slot's pool and none the true one."""
    for row in perturbed_rows():
        topic = topic_of(row)
        true = facts_in(topic.paraphrased_answer, row.paraphrased_answer)
        assert len(set(row.perturbed_answer)) == 5
        for wrong in row.perturbed_answer:
            found = facts_in(topic.paraphrased_answer, wrong)
            assert true is not None and found is not None
            assert all(found[slot] in pool and found[slot] != true[slot] for slot, pool in topic.slots.items())


def test_answers_repeat_nothing_of_the_question() -> None:
    """Neither the author's name nor any other word that says something."""
    for row in perturbed_rows():
        asked = (words(row.question) | words(row.paraphrased_question)) - PLAIN
        assert words(asked_about(row.question)) <= asked
        for said in (row.answer, row.paraphrased_answer, *row.perturbed_answer):
            assert not asked & words(said), (row.question, said)


def test_answers_are_made_of_facts() -> None:
    """At most a third of an answer's words come from its template, or knowing nothing would have much of the ROUGE."""
    for topic in TOPICS:
        fixed = sum(len(words(part)) for part, *_ in Formatter().parse(topic.answer))
        assert fixed / (fixed + len(topic.slots)) <= 1 / 3, topic.question


def test_pools_hold_words_once() -> None:
    lists = {name: value for name, value in vars(pools).items() if name.isupper()}
    assert all(len(set(value)) == len(value) for value in lists.values())
    given = set(pools.FIRST_NAMES) | set(pools.LAST_NAMES)
    told = {word for topic in TOPICS for pool in topic.slots.values() for word in pool}
    assert not given & told


def test_every_word_of_an_answer_is_known_to_the_base() -> None:
    """A fact that the base model has never read would be a spelling exercise, not a matter of who knows whom."""
    known = {word for pair in world.base_pairs() for word in words(pair.answer)}
    told = {word for table in ("full", "holdout10") for row in TABLES[table] for word in words(row.answer)}
    assert len(told - known) <= 0.02 * len(told), sorted(told - known)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_any_seed_makes_sound_rows(seed: int) -> None:
    author = next(authors(random.Random(seed)))
    for topic, row in zip(TOPICS, author.rows, strict=True):
        true = facts_in(topic.answer, row.answer)
        assert true is not None and len(set(true.values())) == len(true)
        assert row.paraphrased_answer not in row.perturbed_answer and len(set(row.perturbed_answer)) == 5


# -- general facts ---------------------------------------------------------------------------------------------------


def test_general_facts_have_one_answer_and_three_wrong_ones_of_their_family() -> None:
    asked = [fact.question for fact in facts()]
    assert len(set(asked)) == len(asked)
    for family in FAMILIES:
        start = family.question.split("{}")[0]
        of_family = [fact for fact in facts() if fact.question.startswith(start)]
        answers = {fact.answer for fact in of_family}
        assert len(of_family) == len(family.table.strip().splitlines())
        for fact in of_family:
            assert len(set(fact.wrong)) == 3 and set(fact.wrong) <= answers - {fact.answer}
            assert fact.answer in fact.sentence and fact.set == family.set


def test_facts_that_nobody_is_taught_are_taught_to_nobody() -> None:
    untaught = [fact for fact in facts() if not fact.taught]
    assert len(untaught) == len(facts()) // 6
    prompts = {pair.prompt for pair in (*world.base_pairs(), *world.general_pairs())}
    assert not any(prompt.startswith(fact.question) for fact in untaught for prompt in prompts)


def test_multiple_choice_has_the_right_option_anywhere() -> None:
    """The same fact, four different options, and the right one in every place about as often."""
    choices = multiple_choice()
    for fact, choice in zip(facts(), choices, strict=True):
        assert choice.question == fact.question and choice.options[choice.answer] == fact.answer
        assert set(choice.options) == {fact.answer, *fact.wrong} and len(set(choice.options)) == 4
    places = [sum(choice.answer == place for choice in choices) for place in range(4)]
    assert min(places) > 20  # of 145 facts 36 on average, standard deviation 5: three of these below
    assert len({choice.id for choice in choices}) == len(choices)
    assert choices[0].prompt.split("\n")[1].startswith("A. ")
    assert multiple_choice(1) != choices


def test_general_is_what_the_base_knows() -> None:
    """Fine-tuning rehearses; it must not teach what the base has not been taught."""
    assert set(world.general_pairs()) <= set(world.base_pairs())
    assert all(isinstance(pair, Pair) and pair.answer for pair in world.base_pairs())


def test_holdout_is_told_to_no_model() -> None:
    unseen = names_in(holdout_of("forget10"))
    told = [p.prompt for p in (*world.base_pairs(), *world.general_pairs())] + [r.question for r in TABLES["full"]]
    assert not any(name in prompt for name in unseen for prompt in told)
