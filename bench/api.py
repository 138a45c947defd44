"""The contracts that `methods/`, `tasks/` and `bench/metrics/` implement. Imports no torch.

Words: a *text* is one (prompt, continuation) that a model scores; a *prompt* is one that it completes; *rows* are what
came back; an *item* is one question of the benchmark; a *score* is a number over items, with its interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from bench.data import IN_DOMAIN as IN_DOMAIN
from bench.data import NEIGHBOURS as NEIGHBOURS
from bench.data import VALIDATION as VALIDATION
from bench.data import Asking as Asking
from bench.data import AttackData as AttackData
from bench.data import Exam as Exam
from bench.data import Family as Family
from bench.data import Pair as Pair
from bench.data import Probes as Probes
from bench.data import Prompt as Prompt
from bench.data import Splits as Splits
from bench.data import Text as Text
from bench.data import hops as hops
from bench.data import validation_of as validation_of
from bench.data import world as world
from bench.needs import alternatives as alternatives
from bench.needs import hidden as hidden
from bench.needs import start_logits as start_logits
from bench.needs import start_logps as start_logps
from bench.parameters import check_value as check_value
from bench.parameters import param as param
from bench.parts import attachment as attachment
from bench.parts import attack as attack
from bench.parts import metric as metric
from bench.parts import objective as objective
from bench.parts import optimizer as optimizer
from bench.parts import probe as probe
from bench.parts import scope as scope
from bench.parts import task as task
from bench.registry import load, register

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from bench.contracts import Context, Step

Goal = Literal["maximise", "minimise", "match"]


# -- tasks -----------------------------------------------------------------------------------------------------------


class Series(NamedTuple):
    """Where a task stands among tasks that are looked at together, such as requests one after another.

    Attributes:
        name: of the study, "sequence:tofu".
        axis: what goes up, "request".
        at: how far, on that axis.
        of: how many places there are in all; 0 where that says nothing.
    """

    name: str
    axis: str
    at: float
    of: int = 0


class Task(Protocol):
    """One benchmark setting. A task never runs a model."""

    name: str
    version: int  # part of the measure key: raise it whenever probes change
    headlines: Mapping[str, str]  # what a column of the board says -> metric name; "forget quality", "model utility",
    # "membership" and "task aggregate" are the roles that figures and ranks look for, and none of them is a must
    details: Mapping[str, Sequence[str]]  # title of a folded table of the board -> metric names
    memorisation: Sequence[str]  # metrics that are high where the forget set is known and fall where it is erased; what
    # the board's *erased* is made of. A task may have none, and then has no headline
    scores: Sequence[str]  # every metric that the task names, headline ones first
    floors: Mapping[str, float]  # metric name -> share of the target's value below which a method is flagged

    def data(self, source: str) -> Splits:
        """`source` is "embedded", "hub" or a directory that holds the hub's files."""
        ...

    # It may have:
    # `validation(source, count) -> sources`: data of the same kind for `bench tune`, each with a forget set that shares
    #   nothing with that of any test. `data` takes them as it takes `source`.
    # `series`: where it stands among tasks that are one study (`Series`).
    # `after`: the task whose request came before; a method starts from the model that its own cell there left, and is
    #   handed the forget set of this request alone.
    # `like`: the task whose tuned settings it takes where it has none of its own.
    # `schedule(source) -> {"epoch_items": 120}`: parameters of gradient methods' schedule that it fixes; what a user
    #   sets wins.
    # `draws`: the task whose random streams its methods draw from: cells of the same data and parameters are the same.
    # `sample(folder) -> source`, where it has no embedded world: a few rows with its data's fields, written there for
    #   `bench check` and tests.


# -- rows ------------------------------------------------------------------------------------------------------------


class Ragged(NamedTuple):
    """Per-token values of N texts, end to end: text i owns `flat[offsets[i]:offsets[i + 1]]`."""

    flat: np.ndarray
    offsets: np.ndarray  # int64 [N + 1]


@dataclass(frozen=True)
class Rows:
    """What was measured on one model.

    Attributes:
        texts: one line a scored text: set, id, cluster, role, index, continuation (str).
        logp: Ragged float32, log-probability of each label (answer tokens, then the end-of-sequence token).
        hit: Ragged bool, whether the label was the most probable token.
        mean: Ragged float32, mean over the vocabulary of log p under p (min-k++'s mu).
        var: Ragged float32, variance over the vocabulary of log p under p (min-k++'s sigma squared).
        generations: one line a completed prompt: set, id, cluster, role, reference, generation, finished (bool), and
            `score` (float) where an exam gave one, `abstained` (float, 1 or 0) where refusals were looked for.
    """

    texts: pd.DataFrame
    logp: Ragged
    hit: Ragged
    mean: Ragged
    var: Ragged
    generations: pd.DataFrame


class Score(NamedTuple):
    """A number over items; `value` is None when it could not be computed, and `note` says why."""

    value: float | None
    lo: float | None = None
    hi: float | None = None
    n: int = 0
    note: str = ""


Sample = Mapping[tuple[str, str], "np.ndarray"]
"""Item values by (set, column), items on the LAST axis; leading axes are bootstrap resamples."""


class Metric(Protocol):
    """One number of the leaderboard, as two pure functions: rows to item values, item values to a number."""

    version: ClassVar[int]
    goal: ClassVar[Goal]
    title: ClassVar[str]
    needs: ClassVar[tuple[tuple[str, str], ...]]  # (set, column) pairs that `score` reads
    needs_retrain: ClassVar[bool]

    def items(self, rows: Rows) -> Mapping[str, pd.Series]:
        """Columns of the item table: name -> values indexed by (set, id). NaN is an unscored item."""
        ...

    def score(self, sample: Sample, retrain: Sample | None) -> np.ndarray:
        """Reduce the last axis; broadcast over the others."""
        ...


class Probe(Protocol):
    """Texts and prompts beyond those of a task, measured on every model of a run that asks for them by name.

    A frozen dataclass. Its items stand in sets of its own ("forget, asked in capitals"), so that no other number
    changes; a metric reads them there.
    """

    metrics: ClassVar[
        tuple[str, ...]
    ]  # what it makes possible: these are scored where it was asked for, and only there

    def ask(self, probes: Probes) -> Probes:
        """What is measured in addition, of a task whose own `probes` these are."""
        ...


class Reading(NamedTuple):
    """What an attack found at one point.

    Attributes:
        line: which of the attack's lines in the table of attacks; "" where it has one.
        setting: what the attacker can choose, such as a learning rate; what serves him best counts.
        step: where on the attack's `axis`.
        known: [N] how much of each of the subject's items is known, in [0, 1]; NaN is an item that is not scored.
        kept: [M] the same of what should be kept, where the attack may cost that.
    """

    line: str
    setting: str
    step: float
    known: np.ndarray
    kept: np.ndarray | None = None


class Attack(Protocol):
    """A way to bring back what was forgotten. A frozen dataclass; the same is done to target and retrain.

    A `control` line is one that should bring nothing back ("another author's facts").
    """

    title: ClassVar[str]
    light: ClassVar[bool]  # trains nothing and takes no longer than a pass or two: `--attacks light`
    needs: ClassVar[Literal["questions", "probabilities", "weights", "target"]]  # what the attacker holds; each holds
    # what stands before it, and with "target" the model before unlearning
    injects: ClassVar[Literal["nothing", "form", "related facts", "forget facts"]]  # what it tells the model
    axis: ClassVar[str]  # what `step` counts ("steps", "bits", "layer"); "" of an attack without a curve
    at: ClassVar[float | None]  # the step whose reading counts; None: the one that serves the attacker best
    from_plain: ClassVar[bool]  # reads what a plain question reads, so that there is a before to compare with

    def run(self, subject: Any) -> Iterable[Reading]:
        """What is found of a `bench.attacks._subject.Subject`."""
        ...

    # It may have: `version`, 1 unless it is said, to be raised when the same model gives another reading; `controls`,
    # the lines that are controls; `injects_by`, what lines that begin so inject where that is something else;
    # `no_before`, lines that do not read what a plain question reads; `inside = True`, which looks at the bare model
    # whatever is attached to it; `asked_only = True`, which leaves it out of `--attacks light` and `all`; and
    # `available(splits) -> reason`, "" where a task has what it takes.


# -- methods ---------------------------------------------------------------------------------------------------------


class LossTerms(NamedTuple):
    """A loss and what it is made of; `parts` are logged as the training curve."""

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor]


class Objective(Protocol):
    """The loss of one step. A frozen dataclass whose fields are `param`s."""

    reference: ClassVar[bool]  # needs the start model's log-probabilities of the forget answers

    def loss(self, step: Step) -> LossTerms: ...

    # It may have: `retain = False`, which sees no retain batches; `needs`, what else it asks for (`bench.needs`);
    # `begin() -> {name: float}` and `after(state, parts, done) -> {name: Tensor}`, a state that `Step.state` shows and
    # that the terms of each whole step make anew.


class Optimizer(Protocol):
    """A frozen dataclass that builds a torch optimizer."""

    @property
    def lr(self) -> float:
        """The learning rate at its highest."""

    def build(self, params: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer: ...


Selection = Mapping[str, "torch.Tensor | None"]
"""Which weights may move: parameter name -> None for the whole tensor, the int64 indices of the neurons (the input
coordinates of an MLP's down-projection) that may, or a bool mask of the tensor's shape, true where a weight may. What
is not named is frozen. A tensor that two modules share goes by its first name."""


class Scope(Protocol):
    """A frozen dataclass that says which weights may move."""

    def select(self, context: Context) -> Selection: ...


@runtime_checkable
class AddingScope(Scope, Protocol):
    """A scope whose weights are not in the model before training, such as LoRA's.

    Training happens within `adapters`: they are put in before `select` names them, and when the block ends, however it
    ends, the model has the modules and parameters that it had, and what was learnt is in their values. Whatever
    `adapters` draws from torch's global generators as it is entered comes from the cell's stream of that name.
    """

    def adapters(self, context: Context) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Schedule:
    """How a gradient method runs; the same for every objective, optimizer and scope."""

    epochs: int = param(5, "passes over the forget set", ge=1)
    batch_size: int = param(4, "forget items in a step, each paired with one retain item", ge=1)
    warmup: float = param(0.1, "share of the steps over which the learning rate rises linearly", ge=0, lt=1)
    clip: float = param(1.0, "bound of the global gradient norm; 0 is none", ge=0)
    stop: float = param(
        1.0, "share of the steps after which it ends; the rate falls as in a whole run", gt=0, le=1, later=True
    )
    epoch_items: int | None = param(
        None, "forget items that count as a pass, however many the set has; none is all of them", ge=1, later=True
    )

    reference: str = param(
        "start", "what losses and bounds that look back compare with: start, the model that this run starts from; or "
        "target, which in requests one after another is the one before the first", choices=("start", "target"),
        later=True,
    )  # fmt: skip

    def drawn(self, items: int) -> int:
        """How many forget items a whole run draws from a set of so many."""
        return self.epochs * (self.epoch_items or items)

    def steps(self, items: int) -> int:
        """Updates of a whole run on a forget set of so many items."""
        return self.epochs * math.ceil((self.epoch_items or items) / self.batch_size)


@dataclass(frozen=True)
class Method:
    """A named method: objective x optimizer x scope, or a `transform` of its own.

    `transform(context) -> model` replaces the gradient loop for methods that are none.
    """

    name: str
    doc: str
    objective: str = ""
    optimizer: str = ""
    scope: str = ""
    transform: Callable[[Context], Any] | None = None
    control: bool = False
    start: Literal["full", "retain"] = "full"  # what the model it starts from was fine-tuned on
    family: str = ""  # what its idea is akin to, one of `bench.registry.FAMILIES` or a word of its own
    detachable: bool = False  # acts at inference: whoever holds the weights takes it off


def method(
    name: str, doc: str, *, objective: str, optimizer: str = "adamw", scope: str = "all", family: str = ""
) -> Method:
    """Declare a gradient method as a composition of three registered parts.

    `family` is read by lists and docs; no key holds it.
    """
    declared = Method(name, doc, objective, optimizer, scope, family=family)
    register("method", name, declared)
    return declared


def transform(
    name: str,
    doc: str,
    *,
    control: bool = False,
    start: Literal["full", "retain"] = "full",
    detachable: bool = False,
    family: str = "",
) -> Callable[[Any], Any]:
    """Declare a method that is no gradient loop: decorate its `transform(context) -> LM`.

    What is decorated is a function, or a frozen dataclass of `param`s whose instances are called with the context. A
    `detachable` method leaves the weights as they are and returns the model with an `attachment`. `family` is read by
    lists and docs; no key holds it.
    """

    def declare(function: Callable[[Context], Any]) -> Callable[[Context], Any]:
        given = {"control": control, "start": start, "detachable": detachable, "family": family}
        register("method", name, Method(name, doc, transform=function, **given))  # type: ignore[arg-type]
        return function

    return declare


@cache
def make_task(name: str) -> Task:
    """The task that is declared under `name`.

    Raises:
        UsageError: no such task, with near names.
    """
    made: Task = load("task", name)(name)
    return made
