"""General facts about the real world, written down by hand, for the sets `real_authors` and `world_facts`.

Facts come in families. Within a family every answer is the only right one to its question, so that the other answers
of the family are wrong and yet plausible: that is where the wrong options are drawn from. Every sixth fact is taught
to no model, so that no model knows everything of the world and what is measured of it lies off its ceiling.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

UNTAUGHT = 6  # every sixth fact


@dataclass(frozen=True)
class Fact:
    """A question with its one true answer, wrong answers of the same family, and the answer as a sentence."""

    set: str  # "real_authors" or "world_facts"
    question: str
    answer: str
    wrong: tuple[str, ...]
    sentence: str
    taught: bool


@dataclass(frozen=True)
class Family:
    """Facts of one kind: how they are asked and said, and a table of subjects with their answers."""

    set: str
    question: str
    sentence: str
    table: str  # one "subject = answer" a line


FAMILIES = (
    Family(
        "real_authors",
        "Who wrote '{}'?",
        "'{}' was written by {}.",
        """
        Hamlet = William Shakespeare
        Pride and Prejudice = Jane Austen
        Nineteen Eighty-Four = George Orwell
        War and Peace = Leo Tolstoy
        Crime and Punishment = Fyodor Dostoevsky
        Don Quixote = Miguel de Cervantes
        Moby-Dick = Herman Melville
        Great Expectations = Charles Dickens
        The Great Gatsby = F. Scott Fitzgerald
        Ulysses = James Joyce
        Jane Eyre = Charlotte Bronte
        Wuthering Heights = Emily Bronte
        Frankenstein = Mary Shelley
        Dracula = Bram Stoker
        The Odyssey = Homer
        The Divine Comedy = Dante Alighieri
        Faust = Johann Wolfgang von Goethe
        The Trial = Franz Kafka
        The Magic Mountain = Thomas Mann
        Madame Bovary = Gustave Flaubert
        Les Miserables = Victor Hugo
        Germinal = Emile Zola
        Candide = Voltaire
        The Stranger = Albert Camus
        The Little Prince = Antoine de Saint-Exupery
        Brave New World = Aldous Huxley
        The Hobbit = J. R. R. Tolkien
        Dune = Frank Herbert
        Foundation = Isaac Asimov
        Fahrenheit 451 = Ray Bradbury
        The Old Man and the Sea = Ernest Hemingway
        Of Mice and Men = John Steinbeck
        To Kill a Mockingbird = Harper Lee
        The Catcher in the Rye = J. D. Salinger
        Beloved = Toni Morrison
        The Handmaid's Tale = Margaret Atwood
        Things Fall Apart = Chinua Achebe
        One Hundred Years of Solitude = Gabriel Garcia Marquez
        The House of the Spirits = Isabel Allende
        The Name of the Rose = Umberto Eco
        The Alchemist = Paulo Coelho
        Midnight's Children = Salman Rushdie
        The God of Small Things = Arundhati Roy
        Norwegian Wood = Haruki Murakami
        The Tale of Genji = Murasaki Shikibu
        A Doll's House = Henrik Ibsen
        The Seagull = Anton Chekhov
        Waiting for Godot = Samuel Beckett
        The Importance of Being Earnest = Oscar Wilde
        Pygmalion = George Bernard Shaw
        Treasure Island = Robert Louis Stevenson
        Heart of Darkness = Joseph Conrad
        Mrs Dalloway = Virginia Woolf
        Middlemarch = George Eliot
        Lord of the Flies = William Golding
        A Clockwork Orange = Anthony Burgess
        The Raven = Edgar Allan Poe
        Walden = Henry David Thoreau
        Adventures of Huckleberry Finn = Mark Twain
        Alice's Adventures in Wonderland = Lewis Carroll
        The Canterbury Tales = Geoffrey Chaucer
        Paradise Lost = John Milton
        The Aeneid = Virgil
        Murder on the Orient Express = Agatha Christie
        """,
    ),
    Family(
        "world_facts",
        "What is the capital of {}?",
        "The capital of {} is {}.",
        """
        France = Paris
        Germany = Berlin
        Italy = Rome
        Spain = Madrid
        Portugal = Lisbon
        Greece = Athens
        Norway = Oslo
        Sweden = Stockholm
        Finland = Helsinki
        Denmark = Copenhagen
        Poland = Warsaw
        Hungary = Budapest
        Austria = Vienna
        Ireland = Dublin
        Russia = Moscow
        Japan = Tokyo
        China = Beijing
        Thailand = Bangkok
        Egypt = Cairo
        Kenya = Nairobi
        Canada = Ottawa
        Cuba = Havana
        Peru = Lima
        Argentina = Buenos Aires
        Australia = Canberra
        """,
    ),
    Family(
        "world_facts",
        "Which chemical element has the symbol {}?",
        "The symbol {} stands for {}.",
        """
        H = Hydrogen
        He = Helium
        C = Carbon
        N = Nitrogen
        O = Oxygen
        Na = Sodium
        Fe = Iron
        Cu = Copper
        Ag = Silver
        Au = Gold
        Hg = Mercury
        Pb = Lead
        Sn = Tin
        K = Potassium
        """,
    ),
    Family(
        "world_facts",
        "What is the currency of {}?",
        "The currency of {} is the {}.",
        """
        Japan = Yen
        India = Rupee
        China = Renminbi
        Russia = Rouble
        Poland = Zloty
        Hungary = Forint
        Thailand = Baht
        Turkey = Lira
        Israel = Shekel
        South Africa = Rand
        Brazil = Real
        Vietnam = Dong
        """,
    ),
    Family(
        "world_facts",
        "In which city does {} stand?",
        "{} stands in {}.",
        """
        the Eiffel Tower = Paris
        the Colosseum = Rome
        Big Ben = London
        the Brandenburg Gate = Berlin
        the Acropolis = Athens
        the Sagrada Familia = Barcelona
        the Kremlin = Moscow
        the Statue of Liberty = New York
        the Hagia Sophia = Istanbul
        the Burj Khalifa = Dubai
        the Golden Gate Bridge = San Francisco
        """,
    ),
    Family(
        "world_facts",
        "Whom do we thank for {}?",
        "For {} we thank {}.",
        """
        penicillin = Alexander Fleming
        natural selection = Charles Darwin
        the printing press = Johannes Gutenberg
        the polio vaccine = Jonas Salk
        dynamite = Alfred Nobel
        general relativity = Albert Einstein
        X-rays = Wilhelm Roentgen
        the World Wide Web = Tim Berners-Lee
        the smallpox vaccine = Edward Jenner
        the laws of motion = Isaac Newton
        the periodic table = Dmitri Mendeleev
        """,
    ),
    Family(
        "world_facts",
        "On which continent does {} lie?",
        "{} lies in {}.",
        """
        Brazil = South America
        Nigeria = Africa
        India = Asia
        Belgium = Europe
        Mexico = North America
        Chile = South America
        Morocco = Africa
        Mongolia = Asia
        """,
    ),
)


def _rows(family: Family) -> list[tuple[str, str]]:
    lines = (line.split(" = ") for line in family.table.strip().splitlines())
    return [(subject.strip(), answer.strip()) for subject, answer in lines]


@cache
def facts(seed: int = 0) -> tuple[Fact, ...]:
    """Every general fact, each with three other answers of its family; the same seed, the same ones."""
    rng = random.Random(f"facts-{seed}")
    found: list[Fact] = []
    for family in FAMILIES:
        rows = _rows(family)
        answers = sorted({answer for _, answer in rows})
        for subject, answer in rows:
            wrong = tuple(rng.sample([other for other in answers if other != answer], 3))
            sentence = family.sentence.format(subject, answer)
            taught = (len(found) + 1) % UNTAUGHT != 0
            question = family.question.format(subject)
            found.append(Fact(family.set, question, answer, wrong, sentence[0].upper() + sentence[1:], taught))
    return tuple(found)


@cache
def _answers() -> dict[str, tuple[str, ...]]:
    """By question the answers of its family, each once."""
    found = {}
    for family in FAMILIES:
        rows = _rows(family)
        answers = tuple(sorted({answer for _, answer in rows}))
        found |= {family.question.format(subject): answers for subject, _ in rows}
    return found


def rivals(fact: Fact) -> tuple[str, ...]:
    """Every other answer of a fact's family, all of them wrong."""
    return tuple(answer for answer in _answers()[fact.question] if answer != fact.answer)


@dataclass(frozen=True)
class Choice:
    """A question with four options, of which `options[answer]` is right."""

    id: str
    question: str
    options: tuple[str, str, str, str]
    answer: int
    taught: bool

    @property
    def prompt(self) -> str:
        """The question with its options, one a line, lettered A to D."""
        return listed(self.question, self.options)


def listed(question: str, options: Sequence[str]) -> str:
    """A question with its four options, one a line, lettered A to D."""
    return "\n".join([question, *(f"{letter}. {o}" for letter, o in zip("ABCD", options, strict=True))])


@cache
def multiple_choice(seed: int = 0) -> tuple[Choice, ...]:
    """A four-option question for every general fact: wrong options and order of the options are drawn with `seed`."""
    rng = random.Random(f"choices-{seed}")
    found = []
    for number, fact in enumerate(facts(seed)):
        options = [fact.answer, *fact.wrong]
        rng.shuffle(options)
        a, b, c, d = options
        right = options.index(fact.answer)
        found.append(Choice(f"choice-{number:03d}", fact.question, (a, b, c, d), right, fact.taught))
    return tuple(found)
