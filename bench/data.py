"""What a task hands out: pairs to train on, texts and prompts to be measured. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["base", "full", "retain"]
"""A model that is prepared for a task: the base, target, or retrain."""


@dataclass(frozen=True)
class Pair:
    """One training example: the loss falls on `answer` and the end-of-sequence token, never on `prompt`.

    `raw` texts are glued as they are (documents); the others go through the model's question template.
    """

    prompt: str
    answer: str
    raw: bool = False


@dataclass(frozen=True)
class Text:
    """One (prompt, continuation) to be scored, and where it belongs."""

    set: str  # "forget", "retain", "real_authors", "world_facts", "holdout"
    id: str  # stable and unique within `set`
    cluster: str  # items that hang together, such as those of one author
    role: str  # "answer", "paraphrase", "perturbed"
    prompt: str
    continuation: str
    index: int = 0  # which of several continuations of the same role
    raw: bool = False


@dataclass(frozen=True)
class Prompt:
    """One prompt to be completed greedily, with the reference answer it will be compared with."""

    set: str
    id: str
    cluster: str
    role: str  # "question", "paraphrased_question"
    prompt: str
    reference: str
    max_new_tokens: int = 200
    raw: bool = False


@dataclass(frozen=True)
class Exam:
    """A task of lm-eval; each of its questions becomes an item of `set` with the role "exam"."""

    set: str
    task: str  # lm-eval's name
    shots: int | None = None  # examples before each question; None leaves it to the task
    folder: str | None = None  # where the task's YAML file lies, for those that are not lm-eval's own
    scratch: bool | None = None  # only for models that are trained from scratch, only for others, or for all


@dataclass(frozen=True)
class Probes:
    """Everything that is measured on a model for one task."""

    texts: tuple[Text, ...]
    prompts: tuple[Prompt, ...]
    exams: tuple[Exam, ...] = ()


@dataclass(frozen=True)
class Asking:
    """One question put to a model by a detour: turns, of which only the last one's answer is scored.

    Attributes:
        id, cluster: of the forget item (or retain item) whose fact it is.
        turns: prompts. In each, "{0}", "{1}", ... stand for the answers to the turns before.
        truths: the true answers to all turns but the last.
        false: wrong answers of the same kind.
        options: the answer is one among `false`, and what counts is its share of their probability, not of all.
    """

    id: str
    cluster: str
    turns: tuple[str, ...]
    answer: str
    truths: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    options: bool = False
    raw: bool = False


@dataclass(frozen=True)
class Family:
    """Questions of one kind about the forget set, and the same of what should be kept.

    Attributes:
        name: unique within its kind.
        kind: "direct" names the subject in other words, "indirect" describes it by another fact, "implied" asks what
            needs the fact and names neither; "given", "entailing" and "adjacent" tell the fact, what it follows from,
            or other facts of the same subject first; "chain" goes step by step.
        control: nothing should come back of it, such as another author's facts told first.
    """

    name: str
    kind: str
    forget: tuple[Asking, ...]
    kept: tuple[Asking, ...] = ()
    control: bool = False


@dataclass(frozen=True)
class AttackData:
    """What a task hands to attacks beyond what it trains on and measures.

    Attributes:
        lessons: what relearning teaches, none of it about the forget set or known to any model: "same template" (new
            subjects, the questions of the forget set), "other template" (new subjects, other questions), "unrelated".
        families: questions by detour.
    """

    lessons: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)
    families: tuple[Family, ...] = ()


NEIGHBOURS: Mapping[str, str] = {
    "neighbours_same_subject": "the same subject, another relation",
    "neighbours_shared_value": "another subject that shares a value",
    "neighbours_same_template": "another subject, asked alike",
    "neighbours_other_kind": "another kind of data",
    "neighbours_world_facts": "facts of the world",
}
"""The sets of neighbours from the nearest to the farthest of what is forgotten, and what is asked there. A subject is
an author or a document; the first three are in the domain of what is forgotten, the others are not."""
IN_DOMAIN = tuple(NEIGHBOURS)[:3]


@dataclass(frozen=True)
class Splits:
    """The data of one task. Training never sees anything but these pairs.

    `base` teaches a model from scratch general language and facts, `general` is what it rehearses in every fine-tuning
    so that it is not forgotten; a pretrained model sees neither. `full` = forget + retain is what the target learns,
    `probes` are what is measured. A task whose target or retrain is taught something else says so in `taught` or
    `clean`.
    """

    base: tuple[Pair, ...]
    general: tuple[Pair, ...]
    forget: tuple[Pair, ...]
    retain: tuple[Pair, ...]
    probes: Probes
    corpus: tuple[str, ...]  # texts a tokenizer is trained on, for models that are trained from scratch
    notes: tuple[str, ...] = ()  # what a reader must know of this data, for the foot of a table
    language: str = "en"  # what it is written in
    refusals: tuple[str, ...] = ()  # its own ways to say that one does not know; empty takes those of the language
    alternatives: tuple[tuple[str, ...], ...] = ()  # false answers to each forget pair, none of them measured
    attacks: AttackData = AttackData()  # what attacks ask and teach
    taught: tuple[Pair, ...] = ()  # what target is taught where that is more than retain and forget: earlier requests
    clean: tuple[Pair, ...] | None = None  # what retrain is taught where that is more than methods may see, or nothing
    # where the base is it; target is then that very model, taught the forget set
    neighbours: Probes = Probes((), ())  # what should be kept, in the sets of `NEIGHBOURS`; only asked for by name

    @property
    def full(self) -> tuple[Pair, ...]:
        return self.taught or self.retain + self.forget

    def lessons(self, stage: Stage) -> tuple[Pair, ...]:
        """What the model of that stage is taught."""
        if stage == "base":
            return self.base
        if stage == "retain":
            return self.retain if self.clean is None else self.clean
        return self.full if self.clean is None else self.forget


VALIDATION = "@validation"
"""What stands behind a directory, or "hub", whose test forget sets nobody may look at: a part of it to tune on."""


EMBEDDED, HOPS = "embedded", "embedded-hops"
"""The project's own worlds: as they are, and with questions that take two facts."""


def world(source: str) -> int | None:
    """The number of the embedded world that a source names, with or without two-hop facts; None of other data.

    "embedded" and "embedded-hops" are 0, "embedded@7" and "embedded-hops@7" are 7.
    """
    name, at, number = source.partition("@")
    if name not in (EMBEDDED, HOPS) or (at and not number.isdecimal()):
        return None
    return int(number or 0)


def hops(source: str) -> bool:
    """Whether a source names an embedded world with two-hop facts."""
    return world(source) is not None and source.partition("@")[0] == HOPS


def validation_of(source: str, count: int) -> tuple[str, ...]:
    """Where to tune in place of a source: `count` other worlds of the embedded one, or a part of other data."""
    number = world(source)
    if number is None:
        return (f"{source}{VALIDATION}",)
    return tuple(f"{source.partition('@')[0]}@{number + 100 + n}" for n in range(count))
