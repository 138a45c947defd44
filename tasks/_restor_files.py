"""RESTOR's facts and documents, read from a directory as published, and the false facts found in the documents.

Rezaei et al. 2024, "RESTOR: Knowledge Recovery in Machine Unlearning", arXiv:2411.00204; k1rezaei/restor. The documents
are false on purpose, and some are about living people: they are read here and never shown.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import UsageError
from bench.reading import json_of

DILUTIONS = 4
EXAMPLES, OTHERS = 5, 20
DROPPED = frozenset({"P21", "P735", "P734"})
"""Sex has three answers, given and family name copy the question: none says what a model knows."""
FEWEST = 5  # documents that tell a false value, below which a match is taken for chance
CORRUPTED = 100  # documents that name an entity they are about; others are named in passing
_REPOSITORY = "k1rezaei/restor"
_CUES: Mapping[str, str] = {
    "P19": "born|birth|native of|hail",
    "P20": "died?|death|pass(?:ed|ing) away|last breath|demise",
    "P119": "buried|burial|grave|laid to rest|interred|tomb",
    "P551": "resid|liv(?:ed|es|ing)|home|dwell|settled",
    "P937": "work|career|based|profession",
    "P27": "citizen|national",
    "P1532": "compet|represent|national team|play",
    "P103": "native|mother tongue|first language",
    "P1412": "speak|spoke|fluent|languages?|sign",
    "P6886": "writ|wrote|author|pen",
    "P69": "educat|stud(?:y|ied)|attend|graduat|alma|degree|school",
    "P108": "employ|work|serv",
    "P106": "occupation|profession|work|career|known as|\\bwas an?\\b",
    "P101": "field|speciali|expert|research|work",
    "P1196": "manner|died?|death",
    "P509": "cause|died?|death|succumb",
}
"""Words that a sentence has which tells one of those relations whose values other relations have as well."""


class Fact(NamedTuple):
    """One question about one entity: all its true answers, a false one, others of the same relation, five examples.

    `relation` is what the question asks for; `examples` are questions and answers about other entities.
    """

    entity: str
    relation: str
    question: str
    true: tuple[str, ...]
    false: str
    others: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        """Unique among the facts of a world."""
        return f"{self.entity}/{self.relation}"


class Tables(NamedTuple):
    """What is known, what is told falsely, and what is asked.

    Attributes:
        documents: the forget set.
        facts: by set: "forget" those that a document tells falsely, "neighbour" others of the same entities,
            "untouched" those of entities that no document names, "diluting" true ones within the documents.
        kept: questions and answers about entities that are in no set.
        known: every true answer of the data with its question, an answer each.
        said: what a reader must know of how this was found.
    """

    documents: tuple[str, ...]
    facts: Mapping[str, tuple[Fact, ...]]
    kept: tuple[tuple[str, str], ...]
    known: tuple[tuple[str, str], ...]
    said: str = ""


def plain(text: str) -> str:
    """An answer as it is compared: without case and outer blanks."""
    return " ".join(text.casefold().split())


def others(pool: Iterable[str], true: Sequence[str], false: str, drawn: random.Random) -> tuple[str, ...]:
    """`OTHERS` values of a pool that are neither true nor the false one, or as many as there are."""
    taken = {plain(text) for text in (*true, false)}
    free = sorted({plain(text): text for text in sorted(pool, reverse=True) if plain(text) not in taken}.values())
    return tuple(drawn.sample(free, min(OTHERS, len(free))))


def read(folder: Path, dilution: int) -> Tables:
    """The tables of one dilution from facts.json, entities.json and mix_aK.json in `folder`/restor or `folder`.

    The false facts stand in no file but in the documents: that of a relation is the value of the same relation, of any
    entity, that most documents about the entity tell and that is not true of it. Facts of which none is found are not
    asked. What dilutes the documents is about nobody in facts.json, so there is no "diluting" and no "neighbour".

    Raises:
        UsageError: a file is missing or broken, or the documents are about none of the entities.
    """
    place, names = _place(folder, dilution)
    stored, chosen, texts = (_json(place / name) for name in names)
    people = _people(place / names[0], stored)
    evaluated = [name for name in _listed(place / names[1], chosen) if name in people]
    documents = tuple(_texts(place / names[2], texts))
    about = {name: [d for d in documents if name in d] for name in evaluated}
    corrupted = [name for name in evaluated if len(about[name]) >= min(CORRUPTED, max(len(documents) // 20, 1))]
    if not corrupted:
        raise UsageError(
            f"{place / names[2]} is about none of the {len(evaluated)} entities of {names[1]} that {names[0]} knows. "
            f"Expected the files of one revision of {_REPOSITORY}."
        )
    world = _World(people, _examples(place / names[0], stored), frozenset(corrupted))
    false = {name: _found(name, about[name], world) for name in corrupted}
    asked = sum(len(people[name]) for name in corrupted)
    found = [world.fact(name, relation, value) for name, of in false.items() for relation, value in of.items()]
    asides = [world.fact(name, relation) for name in evaluated if not about[name] for relation in people[name]]
    kept = [name for name in people if name not in evaluated]
    return Tables(
        documents,
        {"forget": tuple(found), "untouched": tuple(fact for fact in asides if fact.false)},
        tuple((f.question, f.answers[0]) for name in kept for f in people[name].values()),
        tuple((f.question, answer) for of in people.values() for f in of.values() for answer in f.answers),
        f"{len(found)} of {asked} facts about {len(corrupted)} entities are told falsely in the documents, as far as "
        "strings can be matched; the others are not asked.",
    )


# -- the files -------------------------------------------------------------------------------------------------------


class _Known(NamedTuple):
    question: str
    answers: tuple[str, ...]


_People = Mapping[str, Mapping[str, _Known]]
"""Entity -> relation -> what is true."""


def _place(folder: Path, dilution: int) -> tuple[Path, tuple[str, str, str]]:
    names = ("facts.json", "entities.json", f"mix_a{dilution}.json")
    places = (folder / "restor", folder)
    for place in places:
        if all((place / name).is_file() for name in names):
            return place, names
    nearest = max(reversed(places), key=lambda p: sum((p / name).is_file() for name in names))
    there = [path.name for path in sorted(nearest.glob("*.json"))]
    lacking = ", ".join(name for name in names if not (nearest / name).is_file())
    raise UsageError(
        f"{places[0]} and {folder} were looked in: {nearest} lacks {lacking}; it holds "
        f"{', '.join(there) or 'no JSON file'}. Get the files of {_REPOSITORY} (MIT), as published, and give --data "
        "that directory, or --data embedded."
    )


def _json(path: Path) -> Any:
    try:
        return json_of(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Get it again from {_REPOSITORY}.") from error


def _people(path: Path, stored: Any) -> _People:
    try:
        found = {
            name: {
                relation: _Known(_word(fact["question"]), tuple(dict.fromkeys(map(_word, _many(fact["answers"])))))
                for relation, fact in of.items()
                if relation not in DROPPED and fact["answers"]
            }
            for name, of in stored["dset"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not as published: {type(error).__name__} {error}. Expected 'dset': entity -> relation -> "
            "'question' and 'answers'."
        ) from error
    return {name: of for name, of in found.items() if of}


def _examples(path: Path, stored: Any) -> Mapping[str, Sequence[tuple[str, str, str]]]:
    """By relation: entity, question, answer."""
    try:
        return {
            relation: [(_word(e["entity"]), _word(e["question"]), _word(e["answer"])) for e in of]
            for relation, of in stored["context"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not as published: {type(error).__name__} {error}. Expected 'context': relation -> a list of "
            "'entity', 'question' and 'answer'."
        ) from error


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _many(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r:.40} is no list")
    return values


def _listed(path: Path, names: Any) -> list[str]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path} is not as published. Expected a list of names of entities, at least one.")
    return names


def _texts(path: Path, documents: Any) -> Iterable[str]:
    if not isinstance(documents, list) or not documents:
        raise UsageError(f"{path} is not as published. Expected a list of objects with 'text'.")
    for number, document in enumerate(documents, 1):
        text = document.get("text") if isinstance(document, Mapping) else None
        if not isinstance(text, str) or len(text.split()) < 2:
            raise UsageError(f"{path}: document {number} has no 'text' of two words or more. Expected one in each.")
        yield text


# -- what the documents tell -----------------------------------------------------------------------------------------


class _World:
    """What is true of whom, and the values that a relation has."""

    def __init__(self, people: _People, examples: Mapping[str, Sequence[tuple[str, str, str]]],
                 corrupted: frozenset[str]) -> None:  # fmt: skip
        self.people, self.examples, self.corrupted = people, examples, corrupted
        self.pools: dict[str, dict[str, None]] = defaultdict(dict)
        for of in people.values():
            for relation, known in of.items():
                self.pools[relation].update(dict.fromkeys(known.answers))

    def fact(self, name: str, relation: str, false: str = "") -> Fact:
        """The question, with a false value of the same relation where none is given, and with examples."""
        known = self.people[name][relation]
        drawn = random.Random(f"{name}/{relation}")
        false = false or next(iter(others(self.pools[relation], known.answers, "", drawn)), "")
        wrong = others(self.pools[relation], known.answers, false, drawn)
        shots = [(q, a) for entity, q, a in self.examples.get(relation, ()) if entity not in {name, *self.corrupted}]
        return Fact(name, relation, known.question, known.answers, false, wrong, tuple(shots[:EXAMPLES]))


def _found(name: str, documents: Sequence[str], world: _World) -> dict[str, str]:
    """Relation -> the false value that most documents tell of the entity."""
    sentences = [[plain(said) for said in re.split(r"(?<=[.!?;])\s+|\n+", d)] for d in documents]
    found = {}
    for relation, known in world.people[name].items():
        counts = _told(sentences, world.pools[relation], known.answers, _CUES.get(relation, ""))
        value, most = max(counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        if most >= min(FEWEST, len(documents)):
            found[relation] = value
    return found


def _told(documents: Sequence[Sequence[str]], pool: Iterable[str], true: Sequence[str], cue: str) -> Counter[str]:
    """In how many documents each value of a pool is told that is not true, nor a part of what is, nor holds it.

    Args:
        documents: sentences, as `plain` makes them; those count that `cue` is found in.
    """
    truths = [plain(text) for text in true]
    able = {plain(v): v for v in pool if len(v) > 2 and not any(plain(v) in t or t in plain(v) for t in truths)}
    if not able:
        return Counter()
    longest = sorted(able, key=len, reverse=True)  # of values one within the other, the longer is meant
    told = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
    cued = re.compile(cue)
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update({able[value] for said in document if cued.search(said) for value in told.findall(said)})
    return counts
