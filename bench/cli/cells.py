"""From the words of a command line to planned cells, and the cells made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import registry
from bench.cli.results import complain, say
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.model.precision import Precision


def planned(
    methods: str,
    tasks: str,
    model: str,
    data: str,
    seeds: str,
    assignments: Sequence[str],
    results: Path,
    cache: Path,
    probes: str = "",
    lm_eval: str = "",
    match: bool = False,
    settings: str = "",
    precision: Precision = "float32",
    target: str = "",
    retrain: Sequence[str] = (),
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[Any, list[Any]]:
    """Everything the words of the command line mean; all that is wrong with them is said at once.

    Args:
        meanwhile: called where nothing is, before what takes seconds.
    """
    wrong: list[str] = []

    def tried(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except UsageError as error:
            wrong.append(str(error))

    from bench.cli.checkpoints import models

    chosen = tried(lambda: registry.select("method", methods))
    on = tried(lambda: registry.select("task", tasks))
    made_of = on and tried(lambda: models(model, target, retrain, on))
    numbers = tried(lambda: seed_numbers(seeds))
    source = tried(lambda: data_source(data))
    asked, examined = (
        tuple(dict.fromkeys(filter(None, (word.strip() for word in words.split(","))))) for words in (probes, lm_eval)
    )
    from bench.run.compose import MATCHED, assigned, parse_overrides, with_matched, with_variants
    from bench.run.plan import Request, asked_for, plan
    from bench.run.presets import settings as find_settings

    known = asked_for()
    wrong += [str(registry.unknown("probe", word, known)) for word in asked if word not in known]

    if examined:
        from bench.measure.exams import check
        from bench.model.recipes import SCRATCH

        tried(lambda: check(examined, model if model in SCRATCH and not target else ""))
    overrides = tried(lambda: parse_overrides(assignments))
    tried(lambda: find_settings(model, settings))
    for text in assignments if overrides is not None and chosen is not None else ():
        if not set(assigned([text])) & {*(name.removesuffix(MATCHED) for name in chosen), "retrain"}:
            wrong.append(f"--set {text}: none of --methods {methods} has that name")
    if wrong:
        raise UsageError("\nerror: ".join(dict.fromkeys(wrong)))
    meanwhile()
    asked += tuple(f"lm-eval/{name}" for name in examined)
    model, retrains = made_of
    for checkpoint in dict.fromkeys((model, *retrains.values())):
        _check_model(checkpoint)
    request = Request(
        model, source, overrides=overrides, probes=asked, settings=settings, precision=precision, retrains=retrains,
        **lies(results, cache),
    )  # fmt: skip
    chosen = with_variants(chosen, assignments)
    cells = plan(request, with_matched(chosen) if match else chosen, on, numbers)
    _check_packages(cells)
    return request, cells


def _check_packages(cells: Sequence[Any]) -> None:
    """Raise `UsageError` for the first part whose `package` (its name, and which extra has it) is not installed."""
    for c in cells:
        for kind, part in c.composed.parts.items():
            package, extra = getattr(part, "package", ("", ""))
            if package and find_spec(package) is None:
                raise UsageError(
                    f"{c.cell.method}: its {kind} needs {package}, which is not installed. "
                    f"Type: python -m pip install 'unlearning-bench[{extra}]'"
                )


def _check_model(model: str) -> None:
    """See that a directory holds a checkpoint that can be used, before its weights are read for its key."""
    from bench.model.recipes import SCRATCH

    if model not in SCRATCH and Path(model).is_dir():
        from bench.model.checkpoint import check

        check(Path(model))


def data_source(data: str) -> str:
    """What --data names, whatever folder the program is in.

    Raises:
        UsageError: no such directory.
    """
    from bench.data import world

    if data == "hub" or world(data) is not None:
        return data
    if not Path(data).is_dir():
        raise UsageError(
            f"--data {data}: no such directory. Give 'embedded', 'hub', or a directory with the hub's files."
        )
    return str(Path(data).resolve())


def say_of_settings(request: Any, cells: Sequence[Any]) -> None:
    """Say which file looks like settings and is none, and which methods the settings that were asked for leave out.

    Raises:
        UsageError: the settings were chosen on the data that they would be judged by.
    """
    from bench.model.recipes import model_label
    from bench.run.presets import TUNING, beside, settings

    if not request.settings and (file := beside(request.model)):
        say(f"{file} is not read; to take its settings, add --settings {file}")
    if request.settings:
        chosen = settings(request.model, request.settings)
        seen = [
            c.cell for c in cells if c.cell.data in chosen.said_of(c.cell.method, c.cell.task).get("validation", ())
        ]
        if seen:
            raise UsageError(
                f"{request.settings} was chosen on {seen[0].data}, for {seen[0].method} on {seen[0].task}: judged "
                "there it would look better than it is. Give other --data."
            )
        made_for = chosen.tables.get(TUNING, {}).get("model", request.model)
        if made_for not in (request.model, model_label(request.model)):
            say(f"warning: {request.settings} was tuned for the model {made_for}, not for {request.model}")
        left = {c.cell.method: None for c in cells if c.composed.parts and not c.composed.settled}
        if left:
            say(f"--settings {request.settings} says nothing of {', '.join(left)}: defaults stand")


def hired(most: int | None, executor: str, address: str, cell_cpus: float, cell_gpus: float, cell_memory: float) -> Any:
    """Who does the jobs, where that is not this machine's own processes.

    Raises:
        UsageError: something is asked of a cluster and none is named.
    """
    if executor == "local":
        if address or cell_gpus or cell_memory or cell_cpus != 1:
            raise UsageError("--address and --cell-... are of --executor ray. Name it too, or leave them out.")
        return None
    from bench.run.on_ray import OnRay

    return OnRay(address, cell_cpus, cell_gpus, cell_memory, most).hired


def lies(results: Path, cache: Path) -> dict[str, Any]:
    """Where a request's results and models are: models lie beside results whose directory is the mirror of a URL."""
    from bench.store import remote

    far = remote.of(results)
    return {"results": results, "cache": results / remote.CACHE if far else cache, "url": far.url if far else ""}


def said_ends(cells: Sequence[Any]) -> bool:
    """Say which cells have no scores and why; whether something went wrong."""
    bad = False
    for c in cells:
        if c.state == "done" and not c.reason:
            continue
        status, _, why = (c.reason if c.state == "done" else f"{c.state}: {c.reason or 'not run'}").partition(": ")
        say(f"{status}: {c.cell}: {why.strip().splitlines()[-1]}")
        bad |= status != "not reached"
    return bad


def say_what_is_done(request: Any, cells: Sequence[Any], workers: int | None) -> None:
    """A line a cell with its state, and of what is not done the memory and the time it will take."""
    found, sums = _estimated(request, cells, workers)
    for c in cells:
        cost = f"  {found[str(c.cell)]}" if str(c.cell) in found else ""
        click.echo(f"{c.state:6} {c.cell}{cost}" + (f"  ({c.reason.strip().splitlines()[-1]})" if c.reason else ""))
    for line in sums:
        say(line)


def say_how_long(request: Any, cells: Sequence[Any], workers: int | None, hint: str) -> None:
    """What a large run consists of and how long it may take, in a line."""
    if all(c.state == "done" for c in cells):
        return
    from bench.run.refusal import duration

    parts = {what: len({getattr(c.cell, what) for c in cells}) for what in ("method", "task", "seed")}
    variants = len({c.cell.method for c in cells if "@" in c.cell.method})
    parts["method"] -= variants
    methods, *rest = (f"{n} {what}{'s' if n > 1 else ''}" for what, n in parts.items())
    methods += f" and {variants} variant{'s' if variants > 1 else ''}" if variants else ""
    said = " x ".join([f"({methods})" if variants else methods, *rest])
    count = workers_for(cells, workers)
    try:
        costs = _costs(request, cells, count)
        long = f"about {duration(_together(costs, count))} on {count} worker{'s' if count > 1 else ''}"
    except BenchError as error:
        long = f"no estimate ({error})"
    say("; ".join(filter(None, [f"{said}: {len(cells)} cells, {long}", hint])))


def say_how_it_goes(request: Any, cells: Sequence[Any], machines: Any) -> None:
    """How long the run takes other machines, and what most of that time goes into."""
    from bench.run.grid import jobs_of
    from bench.run.refusal import duration
    from bench.run.simulate import Cost, play

    costs = {e.name: Cost(e.seconds, e.bytes) for e in _costs(request, cells, 1)}
    jobs = jobs_of(request, cells)
    played = play(jobs, costs, machines)
    by_kind: dict[str, float] = {}
    for job in jobs:
        if job.name in costs:
            by_kind[job.kind[0]] = by_kind.get(job.kind[0], 0.0) + costs[job.name].seconds / machines.speed
    shares = sorted(by_kind.items(), key=lambda item: -item[1])
    work = sum(by_kind.values()) or 1.0
    say(
        f"simulated: {len(jobs)} jobs on {machines.nodes} nodes of {machines.gpus}: {duration(played.seconds)}, idle "
        f"{played.idle:.0%}; {duration(played.busy)} of work ({', '.join(f'{k} {s / work:.0%}' for k, s in shares)}); "
        f"no cluster is faster than {duration(played.longest)}"
    )


def _costs(request: Any, cells: Sequence[Any], workers: int) -> list[Any]:
    """What each model and cell that is not done takes, with so many workers."""
    from bench.run.estimate import estimates
    from bench.run.workers import usable_cores

    return estimates(request, cells, threads=max(1, usable_cores() // workers))


def _together(costs: Sequence[Any], workers: int) -> float:
    """Seconds until all are made."""
    return float(max(max(e.seconds for e in costs), sum(e.seconds for e in costs) / workers))


def _estimated(request: Any, cells: Sequence[Any], asked: int | None) -> tuple[dict[str, str], list[str]]:
    """Memory and time of each cell that is not done, by name, and lines of the models before them and of it all."""
    if all(c.state == "done" for c in cells):
        return {}, []
    from bench.run.refusal import duration, size

    workers = workers_for(cells, asked)
    try:
        costs = _costs(request, cells, workers)
    except BenchError as error:
        return {}, [f"no estimate: {error}"]
    found = {e.name: (e, f"{size(e.bytes):>7} {duration(e.seconds):>6}") for e in costs}
    taught = [f"teach  {name}  {said}" for name, (e, said) in found.items() if e.planned is None]
    most = max(e.bytes for e in costs)
    total = f"estimated: {size(most)} in each of {workers} processes" if workers > 1 else f"estimated: {size(most)}"
    total += f", {duration(_together(costs, workers))} in all"
    return {name: said for name, (_, said) in found.items()}, [*taught, total]


def seed_numbers(seeds: str) -> list[int]:
    try:
        found = [int(word) for word in seeds.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {seeds}: write whole numbers with commas, such as --seeds 0,1,2") from None
    if len(set(found)) < len(found) or min(found) < 0:
        raise UsageError(f"--seeds {seeds}: each seed once, none below 0")
    return found


def worker_count(workers: int | None, jobs: int) -> int:
    if workers is None:
        import torch

        from bench.run.workers import usable_cores

        workers = 1 if torch.cuda.is_available() else usable_cores()
    return min(workers, jobs)


def start_workers(workers: int | None) -> None:
    """Have workers get ready while cells are planned, where there are going to be several."""
    from bench.run.workers import usable_cores, warm_up

    if (workers or usable_cores()) > 1:
        warm_up()


def workers_for(cells: Sequence[Any], workers: int | None) -> int:
    """Processes for these cells. The retrain cell, which all others wait for, keeps no second one busy on its own."""
    return worker_count(workers, max(1, sum(c.state != "done" and c.cell.method != "retrain" for c in cells)))


def run_open(
    request: Any,
    cells: Sequence[Any],
    workers: int | None,
    fail_fast: bool,
    meanwhile: Callable[[], None] = lambda: None,
    hire: Any = None,
) -> None:
    """Make every cell that is not done, after seeing that memory is enough and that what is made can be kept.

    Args:
        meanwhile: called as soon as workers have something to do.
        hire: who makes them (`bench.run.executors.Hire`); by default this machine.
    """
    from bench.run.grid import run as run_grid
    from bench.run.refusal import refuse

    writable("--results", request.results)
    writable("--cache", request.cache)
    count = workers_for(cells, workers)
    refuse(request, cells, count)
    run_grid(request, cells, count, fail_fast, say, meanwhile, hire)


def attack(
    request: Any, cells: Sequence[Any], names: Sequence[str], workers: int | None, fail_fast: bool, hire: Any = None
) -> bool:
    """Carry out the attacks that are missing of cells that are done; whether all went well.

    What goes wrong is said and not raised: the board is written all the same.
    """
    from bench.run import attacking

    try:
        sieges = attacking.missing(request, cells, names)
        if not sieges:
            say("no attack to carry out: every cell that is done has them")
            return True
        writable("--results", request.results)
        writable("--cache", request.cache)
        return attacking.run(request, sieges, worker_count(workers, len(sieges)), fail_fast, say, hire)
    except BenchError as error:
        complain(str(error), 1)
        return False


def say_what_is_attacked(request: Any, cells: Sequence[Any], names: Sequence[str]) -> None:
    """A line a cell that is done, with the attacks that are missing of it."""
    from bench.run import attacking

    for siege in attacking.missing(request, cells, names):
        click.echo(f"attack {siege}")


def writable(option: str, folder: Path) -> None:
    """Make the folder and see that it can be written, before any work whose outcome could not be kept.

    Raises:
        BenchError: it cannot, and why.
    """
    import tempfile

    from bench.store.files import in_the_way

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = in_the_way(folder)
        remedy = (
            f"{why}, or name another place with" if why else f"{error.strerror}. Name a place that you may write with"
        )
        raise BenchError(f"cannot write {folder}: {remedy} {option} DIR.") from None
