"""The grid: methods x tasks x seeds to cells, each with its content keys and what is to be done about it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import plugins
from bench.api import VALIDATION, Exam, Method, Splits, make_task, world
from bench.errors import BenchError
from bench.keys import data_hash, digest, source_hash
from bench.metrics._asked import ABSTENTION, ASKED_FOR, NEAR
from bench.metrics._exam import EXAM
from bench.model import hub
from bench.model.pairs import short_name
from bench.model.recipes import SCRATCH, checkpoint_identity, finetuning, model_identity, model_label
from bench.model.weights import ATTACHED
from bench.needs import alternatives_of
from bench.refusals import refusals
from bench.registry import find, load, names, scan
from bench.run.compose import MATCHED, Composed, compose
from bench.run.presets import settings
from bench.run.resolve import resolve
from bench.run.state import State, state_of
from bench.score.scoring import build, scores_of
from bench.store import files, versions
from bench.store.record import RETRAIN, TARGET, Cell
from bench.store.versions import MEASURE, SCORE, TRAIN

if TYPE_CHECKING:
    from bench.model.precision import Precision

Stage = Literal["base", "full", "retain", "given"]
"""What a model was taught of a task: nothing, all, what is to be kept; unknown, of one that is only measured."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; everything a worker needs to know beside the cell."""

    model: str
    source: str  # "embedded", "hub" or a directory
    results: Path
    cache: Path
    overrides: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    probes: tuple[str, ...] = ()  # of `asked_for`, and lm-eval's tasks as "lm-eval/NAME"
    trace: int = 20  # points of a run at which its trade-off is probed; changes no weight, so it is in no key
    settings: str = ""  # a preset, or a file of settings, in place of the model's own
    precision: Precision = "float32"  # of weights and passes, in teaching, unlearning and measuring
    checkpoint: float | None = None  # minutes between two writings of an unfinished training; None: as it costs little
    track: str = ""  # a tracker of accelerate's that gets the training curves
    retrains: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The checkpoint that stands for retrain, by task; then `model` is the one that stands for target."""
    limit: float = math.inf  # bytes that the cache may take
    url: str = ""  # where `results` mirrors a place afar, which; models lie there too

    @property
    def data(self) -> str:
        """The label of the data in records: a directory's path belongs to one machine, its content is in the keys."""
        place = self.source.removesuffix(VALIDATION)
        known = place == "hub" or world(place) is not None
        return (place if known else "files") + self.source[len(place) :]

    @property
    def model_label(self) -> str:
        """The name of the model in records: of existing checkpoints the target's, or that of a known pair.

        With settings that were tuned, what they were tuned to stands behind it: their cells are a board of their own.
        """
        own = (self.retrains and short_name(self.model)) or model_label(self.model)
        chosen = settings(self.model, self.settings).label
        return f"{own}@{chosen}" if chosen else own


def asked_for() -> dict[str, tuple[str, ...]]:
    """Everything that `--probes` may name, and the metrics that each makes possible."""
    own = {name: tuple(load("probe", name).metrics) for name in names("probe")}
    return ASKED_FOR | own


def metrics(task: str, probes: Sequence[str] = ()) -> list[str]:
    """The scores of a cell of `task`: those it names, then metrics that no task names and whose probes were run."""
    dear = {metric for probe, made in asked_for().items() if probe not in probes for metric in made}
    asked = [probe for probe in probes if probe.startswith(EXAM)]
    return [name for name in dict.fromkeys([*scores_of(task), *asked]) if name not in dear]


def exams(request: Request, task: str, probes: Sequence[str]) -> tuple[Exam, ...]:
    """The exams of a cell: the task's own, and those asked for.

    Models that are trained from scratch sit the exam of the facts that their base was taught, pretrained ones MMLU.
    """
    own = splits(task, request.source).probes.exams
    chosen = [exam for exam in own if exam.scratch is None or exam.scratch == (request.model in SCRATCH)]
    return (*chosen, *(Exam(probe, probe.removeprefix(EXAM)) for probe in probes if probe.startswith(EXAM)))


@dataclass(frozen=True)
class Prepared:
    """A model that cells start from: the shared base, a fine-tuning of it, or a checkpoint as it is."""

    key: str
    stage: Stage
    task: str  # any task whose data it is taught; several tasks may share one key
    seed: int
    given: str = ""  # the checkpoint that it is, of one that is not made here

    def __str__(self) -> str:
        which = model_label(self.given) if self.given else f"seed {self.seed}"
        words = {
            "base": "base",
            "full": f"target, {which}",
            "retain": f"retrain for {self.task}, {which}",
            "given": f"checkpoint, {which}",
        }
        return words[self.stage]

    @property
    def name(self) -> str:
        """What no other model of a run is called."""
        return f"{self} ({self.key[:6]})"


@dataclass(frozen=True)
class Planned:
    """A cell, how it is made, and its state."""

    cell: Cell
    composed: Composed
    start: Prepared
    keys: Mapping[str, str]
    identity: Mapping[str, Any]
    probes: tuple[str, ...]
    state: State
    reason: str = ""  # why it is not done; of one that is and has no scores, its status and why
    finished: Planned | None = None  # of a matched cell: that of the method whose model its way leads to
    before: Planned | None = None  # of a request that follows another: the cell whose model it starts from

    @property
    def compared(self) -> bool:
        """Whether there is a retrain cell that it is compared with, other than itself."""
        return bool(self.identity["retrain"] != "itself")


@cache
def splits(task: str, source: str) -> Splits:
    """The data of a task, read once a process."""
    return make_task(task).data(source)


def prompts(task: str, source: str) -> dict[tuple[str, str, str], str]:
    """Every prompt of a task's probes, by (set, id, role)."""
    return {(prompt.set, prompt.id, prompt.role): prompt.prompt for prompt in splits(task, source).probes.prompts}


def prepared(request: Request, task: str, stage: Stage, seed: int) -> Prepared:
    """The model of that stage, with the content key of all that it is made from.

    A checkpoint that stands for it is the same for every seed; the forget set is in its key because what it knows of
    that is looked at once for each.
    """
    if request.retrains:
        checkpoint = request.retrains[task] if stage == "retain" else request.model
        seen = {"stage": stage, "forget": hashes(task, request.source)["forget"]}
        return Prepared(digest({"model": checkpoint_identity(checkpoint), **seen}), stage, task, seed, checkpoint)
    made: dict[str, Any] = {"model": model_identity(request.model, task), "train": TRAIN, **_precision(request)}
    own = hashes(task, request.source)
    if request.model in SCRATCH:
        made |= {"base": own["base"], "corpus": own["corpus"]}
    if stage == "base":
        return Prepared(digest(made), stage, task, 0)
    made |= {"teaching": finetuning(request.model, task).ingredients(), "pairs": own[f"taught {stage}"], "seed": seed}
    if stage == "full" and splits(task, request.source).clean is not None:
        made |= {"from": prepared(request, task, "retain", seed).key}
    # Models from scratch rehearse general facts and have no dropout.
    made |= {"general": own["general"]} if request.model in SCRATCH else {"dropout": "drawn from a stream of its own"}
    return Prepared(digest(made), stage, task, seed)


def origin(request: Request, stage: Stage, task: str, seed: int) -> Prepared | None:
    """The model that one of that stage is taught from: the base, or retrain where the data has a target so."""
    if stage in ("base", "given") or request.retrains:
        return None
    if stage == "full" and splits(task, request.source).clean is not None:
        return prepared(request, task, "retain", seed)
    return prepared(request, task, "base", 0)


def _precision(request: Request) -> dict[str, str]:
    """What keys say of the precision. Float32 is unsaid: the first cells were made when there was no other."""
    return {} if request.precision == "float32" else {"precision": request.precision}


def model_folder(request: Request, key: str) -> Path:
    """Where the cache keeps a model, prepared or unlearned."""
    return request.cache / "models" / key


def plan(request: Request, methods: Sequence[str], tasks: Sequence[str], seeds: Sequence[int]) -> list[Planned]:
    """Every cell of the grid with its state; retrain and target, which all is measured between, are added in front.

    Raises:
        UsageError: an unknown name or parameter, bad data, a name that no file can have.
    """
    overrides = lambda name: request.overrides.get(name.removesuffix(MATCHED))  # noqa: E731
    taken = request.settings, request.source
    composed = cache(lambda name, task: compose(name, request.model, overrides(name), task, *taken))

    @cache
    def planned(name: str, task: str, seed: int) -> Planned:
        earlier = "" if composed(name, task).method.control else getattr(make_task(task), "after", "")
        return _plan_cell(
            request, task, composed(name, task), seed,
            None if name == RETRAIN else planned(RETRAIN, task, seed).keys["measure"],
            before=planned(name.removesuffix(MATCHED), earlier, seed) if earlier else None,
        )  # fmt: skip

    wanted = dict.fromkeys([RETRAIN, TARGET, *methods])
    found = [planned(name, task, seed) for task in tasks for seed in seeds for name in wanted]
    files.refuse_shared(request.results, [each.cell for each in found])
    return found


def plan_given(
    request: Request, checkpoint: str, name: str, task: str, seed: int, controls: Sequence[Planned]
) -> Planned:
    """The cell of a checkpoint that is measured as it is, as a row of that name.

    Args:
        controls: what it is measured beside; against the retrain cell of its task and seed, where there is one.
    """
    start = Prepared(digest({"model": checkpoint_identity(checkpoint)}), "given", task, seed, checkpoint)
    attached = hub.has(checkpoint, ATTACHED[0])
    given = Method(name, "a checkpoint, measured as it is", control=True, detachable=attached)
    composed = Composed(given, {}, {}, {})
    against = (c.keys["measure"] for c in controls if c.cell.method == RETRAIN and c.cell.task == task)
    return _plan_cell(request, task, composed, seed, next(against, None), start)


def _plan_cell(
    request: Request, task: str, composed: Composed, seed: int, reference: str | None, start: Prepared | None = None,
    before: Planned | None = None,
) -> Planned:  # fmt: skip
    method, finished = composed.method, None
    start = start or prepared(request, task, method.start, seed)
    cell = Cell(task, method.name, request.model_label, request.data, seed)
    probes = tuple(sorted({*_probes(request, cell), *([ABSTENTION] if method.detachable else [])}))
    own = hashes(task, request.source)
    training: dict[str, Any] = {"start": start.key, **_precision(request)}
    if method.control and start.given:
        training["checkpoint"] = model_label(start.given)
    if not method.control:
        begun = before.keys["train"] if before else start.key
        training |= {"seed": seed, **trained_from(request, task, composed, begun)}
        training |= {f"parameter {name}": value for name, value in composed.said.items()}
    if method.name.endswith(MATCHED):
        plain = dataclasses.replace(composed, method=resolve(method.name.removesuffix(MATCHED)))
        finished = _plan_cell(request, task, plain, seed, reference, before=before)
        training |= {"matched": versions.MATCHED, "level": reference}
    measuring: dict[str, Any] = {
        "probes": own["probes"],
        "task version": make_task(task).version,
        "measure": MEASURE,
    }
    if probes:
        measuring["probes asked for"] = list(probes)
        declared = {name: find("probe", name).module for name in probes if name in names("probe")}
        measuring |= {f"source of probe {name}": source_hash(module) for name, module in declared.items()}
    if NEAR in probes:
        measuring["neighbours"] = data_hash(splits(task, request.source).neighbours.texts)
    if held := exams(request, task, probes):
        measuring["exams"] = [f"{exam.task}, {exam.shots or 0} shots" for exam in held]
    train_key = start.key if method.control else digest(training)
    measuring |= _precision(request)
    measure_key = digest([train_key, measuring])
    score_key, scoring = scoring_key(metrics(task, probes), measure_key, reference)
    keys = {"train": train_key, "measure": measure_key, "score": score_key}
    identity = {**training, **measuring, **scoring}
    state, reason = state_of(request.results, cell, keys, identity)
    return Planned(cell, composed, start, keys, identity, probes, state, reason, finished, before)


def trained_from(request: Request, task: str, composed: Composed, start: str) -> dict[str, Any]:
    """What a method's model is made from beside seed and parameters: start model (its key), data, code."""
    own = hashes(task, request.source)
    found: dict[str, Any] = {"start": start, **_precision(request), "train": TRAIN}
    found |= {"forget": own["forget"], "retain": own["retain"]}
    drawn = getattr(make_task(task), "draws", task)
    if getattr(make_task(drawn), "series", None):  # steps may share data with other tasks, but not the draws
        found["task"] = drawn
    found |= {f"source of {name}": value for name, value in composed.sources.items()}
    return found | _alternatives(composed, task, request.source)


def _alternatives(composed: Composed, task: str, source: str) -> dict[str, str]:
    """What keys say of the alternative answers that a method is taught: the lines that the data has for them."""
    asking = composed.parts.get("objective") or composed.parts.get("transform")
    kind, data = alternatives_of(asking), splits(task, source)
    own = {"refusal": data.refusals or refusals(data.language), "plausible": data.alternatives}
    return {"alternatives": digest(own[kind])} if own.get(kind) else {}


def _probes(request: Request, cell: Cell) -> tuple[str, ...]:
    """The probes asked for now or when the cell was measured: a later run without them does not throw them away."""
    try:
        record = files.find(request.results, cell)
    except BenchError:
        record = None
    before = record.identity.get("probes asked for", []) if record else []
    known = {*request.probes, *asked_for(), *(probe for probe in before if probe.startswith(EXAM))}
    return tuple(sorted({*request.probes, *before} & known))


def scoring_key(wanted: Sequence[str], measure_key: str, reference: str | None) -> tuple[str, dict[str, Any]]:
    """The score key of a measurement and its ingredients: versions of the metrics, and the retrain's measure key."""
    scoring: dict[str, Any] = {f"metric {name}": build(name).version for name in wanted}
    scoring |= {f"source of metric {name}": source_hash(module) for name, module in _outside_metrics(wanted).items()}
    scoring |= {"scoring": SCORE, "retrain": reference or "itself"}
    return digest([measure_key, scoring]), scoring


def _outside_metrics(names: Sequence[str]) -> dict[str, str]:
    """The metrics that a plugin declares, with its module: nobody can know when their versions must rise."""
    declared = ((name, scan().get(("metric", name))) for name in names)
    return {name: found.module for name, found in declared if found and found.module in plugins.sources()}


@cache
def hashes(task: str, source: str) -> dict[str, str]:
    """Content hashes of a task's data by part: what is taught, and under "probes" what is measured."""
    data = splits(task, source)
    named: dict[str, Sequence[Any]] = {
        name: getattr(data, name) for name in ("base", "general", "forget", "retain", "corpus")
    }
    named |= {"taught full": data.lessons("full"), "taught retain": data.lessons("retain")}
    named["probes"] = (*data.probes.texts, *data.probes.prompts)
    return {name: data_hash(rows) for name, rows in named.items()}
