"""The command line. Data goes to stdout, progress and errors to stderr; nothing heavy is imported before it is needed.

Exit status: 0 done, 1 something failed or diverged, 2 misuse, 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import registry
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.store.record import Cell, Record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        result = commands.main(arguments, prog_name="python -m bench", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return _complain("interrupted. What is finished is kept; the same command goes on from there.", 130)
    except KeyboardInterrupt:
        return _complain("interrupted. What is finished is kept; the same command goes on from there.", 130)
    except click.ClickException as error:
        error.show()
        return 2
    except BenchError as error:
        if os.environ.get("BENCH_TRACEBACK"):
            traceback.print_exc()
        return _complain(str(error), 2 if isinstance(error, UsageError) else 1)


def _complain(text: str, status: int) -> int:
    click.echo(f"error: {text}", err=True)
    return status


def _say(text: str) -> None:
    click.echo(text, err=True)


def _options(*chosen: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        for option in reversed(chosen):
            function = option(function)
        return function

    return add


_methods = click.option(
    "--methods",
    default="all",
    show_default=True,
    help="Comma list of names and groups; objective+optimizer+scope composes one.",
)
_tasks = click.option("--tasks", default="tofu", show_default=True, help="Comma list of names and groups.")
_model = click.option(
    "--model", default="tiny", show_default=True, help="tiny, small, a hub id, or the directory of a checkpoint."
)
_data = click.option(
    "--data", default="embedded", show_default=True, help="embedded, hub, or a directory that holds the hub's files."
)
_seeds = click.option("--seeds", default="0", show_default=True, help="Comma list of whole numbers.")
_results = click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="Where records are kept."
)
_cache = click.option(
    "--cache",
    default=".cache",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where models are kept; safe to delete.",
)
_workers = click.option(
    "--workers", type=click.IntRange(1), help="Processes; by default one a core, or one on an accelerator."
)
_set = click.option(
    "--set", "assignments", multiple=True, metavar="METHOD.PARAM=VALUE", help="Override a parameter; may be repeated."
)


_share = click.FloatRange(0, 1, min_open=True, max_open=True)
_rules = (
    click.option("--alpha", default=0.05, show_default=True, type=_share, help="Family-wise error rate of a table."),
    click.option(
        "--collapsed", default=0.5, show_default=True, type=click.FloatRange(0, 1),
        help="Share of the target's model utility below which a method is set apart, not ranked.",
    ),
    click.option("--match", "level", default=0.5, show_default=True, type=_share, help="Forget probability to match."),
    click.option(
        "--margin", default=0.05, show_default=True, type=click.FloatRange(0, min_open=True),
        help="Difference below which two methods count as equally good.",
    ),
    click.option("--dirty", is_flag=True, help="Let cells stand that were made from a tree with uncommitted changes."),
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Compare methods that make a language model forget.

    \b
    python -m bench run --methods all --tasks tofu      every method on TOFU's three splits, embedded world
    python -m bench leaderboard                         write leaderboard.md from results/
    python -m bench list methods                        what there is
    """


@commands.command()
@_options(_methods, _tasks, _model, _data, _seeds, _set, _results, _cache, _workers)
@click.option("--probes", default="", help="Membership attacks beyond the one pass: reference, gradient-norm.")
@click.option("--lm-eval", "lm_eval", default="", help="Comma list of lm-eval tasks whose scores are added.")
@click.option("--trace", default=10, show_default=True, type=click.IntRange(0), help="Points of a run's trade-off.")
@click.option("--track", default="", help="Send training curves to tensorboard, wandb, ..., kept in RESULTS/tracking.")
@click.option("--dry-run", is_flag=True, help="Say what is done, to do, stale (and why) and failed; run nothing.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails.")
def run(
    methods: str,
    tasks: str,
    model: str,
    data: str,
    seeds: str,
    assignments: tuple[str, ...],
    results: Path,
    cache: Path,
    workers: int | None,
    probes: str,
    lm_eval: str,
    trace: int,
    track: str,
    dry_run: bool,
    fail_fast: bool,
) -> int:
    """Unlearn, measure and score every cell that is not done, then rewrite the leaderboard of RESULTS."""
    if track:
        from bench.train.tracking import check

        check(track)
    _say("reading the data and the methods ...")
    request, cells = _planned(methods, tasks, model, data, seeds, assignments, results, cache, probes, lm_eval)
    request = dataclasses.replace(request, trace=trace, track=track)
    open_cells = [c for c in cells if c.state != "done"]
    if dry_run:
        for c in cells:
            click.echo(f"{c.state:6} {c.cell}" + (f"  ({c.reason.strip().splitlines()[-1]})" if c.reason else ""))
    counts = {state: sum(c.state == state for c in cells) for state in ("done", "to do", "stale", "failed")}
    _say(", ".join(f"{n} {state}" for state, n in counts.items() if n) + f" of {len(cells)} cells")
    if dry_run:
        return 0
    if open_cells:
        _run_open(request, cells, workers, fail_fast)
        cells = _planned(methods, tasks, model, data, seeds, assignments, results, cache, probes, lm_eval)[1]
    else:
        _say("nothing to do: every cell is done and up to date")
    bad = [c for c in cells if c.state != "done" or c.reason]
    for c in bad:
        state = "diverged" if c.state == "done" else c.state
        _say(f"{state}: {c.cell}: {(c.reason or 'not run').strip().splitlines()[-1]}")
    return max(_write_leaderboard(results), int(bool(bad)))


@commands.command()
@_options(_tasks, _model, _data, _seeds, _cache, _workers)
def prepare(tasks: str, model: str, data: str, seeds: str, cache: Path, workers: int | None) -> int:
    """Train the base, target and retrain models that the tasks need, so that a run only has to unlearn."""
    request, cells = _planned("target", tasks, model, data, seeds, (), Path(os.devnull), cache)
    from bench.run.grid import prepare_all

    well = prepare_all(request, [c.start for c in cells], _worker_count(workers, len(cells)), _say)
    return 0 if well else 1


@commands.command("list")
@click.argument(
    "kind", type=click.Choice(["methods", "tasks", "metrics", "models", "objectives", "optimizers", "scopes"])
)
def list_names(kind: str) -> None:
    """What there is: a name and what it is, a line each."""
    if kind == "models":
        from bench.model.recipes import SCRATCH

        found = {name: recipe.doc for name, recipe in SCRATCH.items()} | {"HUB_ID or DIR": "any causal language model"}
    else:
        found = {name: registry.find(kind[:-1], name).doc for name in registry.names(kind[:-1])}
    alike: dict[str, list[str]] = {}
    for name, doc in found.items():
        alike.setdefault(doc, []).append(name)
    lines = {", ".join(names): doc for doc, names in alike.items()}
    width = max(map(len, lines))
    for named, doc in lines.items():
        click.echo(f"{named:{width}}  {doc}")


@commands.command()
@_options(_results)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if leaderboard.md is not what results/ says.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON instead of writing the file.")
@click.option("--output", type=click.Path(path_type=Path), help="By default ./leaderboard.md, or in another RESULTS.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page into this folder instead.")
@click.option("--data", default="", help="With --html: a directory or hub; the questions of real data are read there.")
@_options(*_rules)
def leaderboard(
    results: Path, check: bool, as_json: bool, output: Path | None, html: Path | None, data: str, **rules: Any
) -> int:
    """Write leaderboard.md from the records in RESULTS, or a page with figures and answers."""
    from bench.board import leaderboard as board
    from bench.compare.analysis import Rules, analyse
    from bench.store import files

    if check and (html or as_json):
        raise UsageError("--check writes and prints nothing: leave out --html and --json")
    records, problems = _records(results)
    output = output or _board(results)
    by = Rules(**rules)
    tables = analyse(results, records, by)
    if html is not None:
        from bench.board import report

        page = report.write(results, records, tables, by, html, data, problems=problems)
        _say(f"wrote {page}: {len(tables)} tables, {len(records)} cells. Open it in a browser")
    elif as_json:
        click.echo(json.dumps(board.rows(tables), indent=1))
    elif check:
        now = output.read_text(encoding="utf-8") if output.is_file() else ""
        if now != board.render(tables, by, problems):
            return _complain(f"{output} is out of date. Run: python -m bench leaderboard --results {results}", 1)
        _say(f"{output} is up to date")
    else:
        with files.atomically(output) as temporary:
            temporary.write_text(board.render(tables, by, problems), encoding="utf-8")
        _say(f"wrote {output}: {len(records)} cells")
    return int(bool(problems))


@commands.command()
@click.argument("a")
@click.argument("b")
@click.option("--task", default="tofu:forget10", show_default=True)
@click.option("--metric", default="", help="By default every headline metric of the task.")
@click.option("--model", default="", help="Needed where several have both methods.")
@click.option("--data", default="", help="embedded, hub, files or elsewhere; needed where several have both methods.")
@_options(_results, *_rules)
def compare(a: str, b: str, task: str, metric: str, model: str, data: str, results: Path, **rules: Any) -> int:
    """What the paired tests say of methods A and B, and the items on which they differ most."""
    from bench.board.versus import versus
    from bench.compare.analysis import Rules

    where = {"task": task, "model": Path(model).name if Path(model).is_dir() else model, "data": data}
    records, problems = _records(results)
    click.echo(versus(results, records, a, b, where, metric, Rules(**rules)))
    return int(bool(problems))


@commands.command()
@click.argument("cell")
@_options(_results)
def show(cell: str, results: Path) -> int:
    """One cell in full. CELL is TASK/METHOD[/MODEL[/DATA[/SEED]]], or part of it that fits only one."""
    from bench.board.show import describe

    records, problems = _records(results)
    words = cell.split("/")
    fits = [c for c in records if all(w in str(c).split("/") or w == str(c.seed) for w in words)]
    if len(fits) != 1:
        near = fits or list(records)
        listed = "\n  ".join([*map(str, near[:12]), *([f"and {len(near) - 12} more"] if len(near) > 12 else [])])
        raise UsageError(f"'{cell}' fits {len(fits)} cells of {results}. Name one of:\n  {listed}")
    click.echo(describe(records[fits[0]], results))
    return int(bool(problems))


@commands.command()
@click.option("--task", "task_name", default="tofu:forget10", show_default=True)
@_options(_model, _data, _seeds, _cache, _workers)
@click.option("-m", "m", default=5, show_default=True, type=click.IntRange(1), help="Steps of the attribution.")
@click.option("-t", "t", default=0.3, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Threshold.")
@click.option("--plot", "figure", type=click.Path(path_type=Path), help="Write the shares by layer as a figure.")
def neurons(
    task_name: str,
    model: str,
    data: str,
    seeds: str,
    cache: Path,
    workers: int | None,
    m: int,
    t: float,
    figure: Path | None,
) -> int:
    """How many neurons SIMU keeps in each layer, and how its masks overlap (dual, forget-only, scores, seeds)."""
    request, cells = _planned("target", task_name, model, data, seeds, (), Path(os.devnull), cache)
    from bench.run.grid import prepare_all
    from bench.study.neurons import describe, find_masks, plot

    if not prepare_all(request, [c.start for c in cells if c.cell.method == "target"], workers or 1, _say):
        return 1
    _say("attributing the forget set to neurons ...")
    sizes, masks = find_masks(request, task_name, _numbers(seeds), m, t, lambda *_: None)
    click.echo(describe(sizes, masks))
    if figure is not None:
        plot(sizes, masks, figure)
        _say(f"wrote {figure}")
    return 0


@commands.command()
@click.argument("study", type=click.Choice(["simu"]))
@click.option("--task", "task_name", default="tofu:forget10", show_default=True)
@_options(_model, _data, _seeds, _set, _results, _cache, _workers)
@click.option(
    "--level", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="Forget probability to match."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder of table and figure; by default RESULTS/ablate."
)
def ablate(
    study: str,
    task_name: str,
    model: str,
    data: str,
    seeds: str,
    assignments: tuple[str, ...],
    results: Path,
    cache: Path,
    workers: int | None,
    level: float,
    output: Path | None,
) -> int:
    """The SIMU paper's study: m, t, masks, scores, scopes; random neurons beside them, at matched forgetting."""
    from bench.study import ablate as paper

    names = ",".join(paper.methods())
    request, cells = _planned(names, task_name, model, data, seeds, assignments, results, cache)
    from bench.run.grid import prepare_all
    from bench.store import files
    from bench.study.neurons import shares_by_threshold

    todo = [c for c in cells if c.state != "done"]
    _say(f"{len(cells) - len(todo)} of {len(cells)} cells are done")
    if todo:
        _run_open(request, cells, workers, fail_fast=False)
    # Finished cells need no model, but the shares of neurons are counted on the targets.
    if not prepare_all(request, [c.start for c in cells if c.start.stage == "full"], workers or 1, _say):
        return 1
    found = {(c.cell.method, c.cell.seed): files.find(results, c.cell) for c in cells}
    records = {key: record for key, record in found.items() if record is not None and record.status == "ok"}
    shares = shares_by_threshold(request, task_name, _numbers(seeds), paper.THRESHOLDS, lambda *_: None)
    text = paper.report(records, level)
    folder = output or results / "ablate"
    slug = f"{study}-{task_name.replace(':', '-')}-{request.data}-{Path(model).name}"
    with files.atomically(folder / f"{slug}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    paper.plot(records, level, shares, folder / f"{slug}.png")
    click.echo(text)
    _say(f"wrote {folder / slug}.md and .png")
    return 0 if len(records) == len(found) else 1


@commands.command()
@click.argument("log", required=False, type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), help="The retrain model's log, for forget quality.")
@click.option("--compat", default="", help="Published behaviour to reproduce: tofu or open-unlearning.")
@click.option("--json", "as_json", is_flag=True, help="Print {name: {value, lo, hi, n}} instead of a table.")
@_options(_results)
def score(log: Path | None, reference: Path | None, compat: str, as_json: bool, results: Path) -> int:
    """Score other people's LOG (TOFU's aggregated log, open-unlearning's TOFU_EVAL.json), or RESULTS anew.

    Without LOG, every score of RESULTS is computed again from the rows that were measured. Neither needs torch.
    """
    if log is None:
        from bench.run.rescore import rescore

        if reference is not None or compat or as_json:
            raise UsageError("--reference, --compat and --json go with a LOG. Name one, or leave them out.")
        done = rescore(results, lambda problem: _say(f"left out: {problem}"))
        _say(f"{done.whole} cells scored from their rows, {done.compact} from their item tables")
        if done.broken:
            _say(f"{done.broken} cells or files of rows could not be used")
        return max(_write_leaderboard(results), int(bool(done.broken)))
    from bench.board.show import score_lines
    from bench.score.foreign import score_log

    scores = score_log(log, reference, compat)  # type: ignore[arg-type]
    if as_json:
        fields = ("value", "lo", "hi", "n")
        click.echo(json.dumps({name: {f: getattr(s, f) for f in fields} for name, s in scores.items()}, indent=1))
    else:
        click.echo("\n".join(score_lines(scores)))
    return 0


@commands.command("import")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), help="The retrain model's log, for forget quality.")
@click.option("--task", "task_name", required=True, help="The task that it is a run of, such as tofu:forget10.")
@click.option("--method", "method_name", required=True, help="What the table shall call it.")
@click.option("--of", "model_name", required=True, help="The model that was evaluated, such as llama2-7b.")
@click.option("--seed", default=0, show_default=True)
@_options(_results)
def import_(
    log: Path, reference: Path | None, task_name: str, method_name: str, model_name: str, seed: int, results: Path
) -> int:
    """File other people's LOG in RESULTS, marked as measured elsewhere, to stand beside your own runs."""
    from bench.run.importing import import_log

    registry.find("task", task_name)
    record = import_log(
        log, reference, task=task_name, method=method_name, model=model_name, seed=seed, results=results
    )
    _say(f"filed as {record.cell}")
    return _write_leaderboard(results)


def _planned(
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
) -> tuple[Any, list[Any]]:
    """Everything the words of the command line mean; all that is wrong with them is said at once."""
    wrong: list[str] = []

    def tried(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except UsageError as error:
            wrong.append(str(error))

    chosen = tried(lambda: registry.select("method", methods))
    on = tried(lambda: registry.select("task", tasks))
    numbers = tried(lambda: _numbers(seeds))
    if data not in ("embedded", "hub") and not Path(data).is_dir():
        wrong.append(f"--data {data}: no such directory. Give 'embedded', 'hub', or a directory with the hub's files.")
    asked, examined = (
        tuple(dict.fromkeys(filter(None, (word.strip() for word in words.split(","))))) for words in (probes, lm_eval)
    )
    from bench.run.compose import parse_overrides
    from bench.run.plan import ASKED_FOR, Request, plan

    wrong += [str(registry.unknown("probe", word, ASKED_FOR)) for word in asked if word not in ASKED_FOR]

    if examined:
        from bench.measure.exams import check

        tried(lambda: check(examined))
    overrides = tried(lambda: parse_overrides(assignments))
    for text in assignments if overrides is not None and chosen is not None else ():
        if not set(parse_overrides([text])) & {*chosen, "retrain"}:
            wrong.append(f"--set {text}: none of --methods {methods} has that name")
    if wrong:
        raise UsageError("\nerror: ".join(dict.fromkeys(wrong)))
    source = data if data in ("embedded", "hub") else str(Path(data).resolve())
    asked += tuple(f"lm-eval/{name}" for name in examined)
    request = Request(model, source, results, cache, overrides, asked)
    return request, plan(request, chosen, on, numbers)


def _numbers(seeds: str) -> list[int]:
    try:
        found = [int(word) for word in seeds.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {seeds}: write whole numbers with commas, such as --seeds 0,1,2") from None
    if len(set(found)) < len(found) or min(found) < 0:
        raise UsageError(f"--seeds {seeds}: each seed once, none below 0")
    return found


def _worker_count(workers: int | None, jobs: int) -> int:
    if workers is None:
        import torch

        from bench.run.executors import usable_cores

        workers = 1 if torch.cuda.is_available() else usable_cores()
    return min(workers, jobs)


def _run_open(request: Any, cells: Sequence[Any], workers: int | None, fail_fast: bool) -> None:
    """Make every cell that is not done, after seeing that what is made can be kept."""
    from bench.run.grid import run as run_grid

    _writable("--results", request.results)
    _writable("--cache", request.cache)
    # The retrain cell is waited for by all others, so on its own it keeps no second process busy.
    apart = sum(c.state != "done" and c.cell.method != "retrain" for c in cells)
    run_grid(request, cells, _worker_count(workers, max(1, apart)), fail_fast, _say)


def _writable(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BenchError(
            f"cannot write {folder}: {error.strerror}. Name a directory that you may write with {option} DIR."
        ) from None


def _board(results: Path) -> Path:
    """Where the board of a results directory is written: beside `results`, inside any other."""
    return Path("leaderboard.md") if results == Path("results") else results / "leaderboard.md"


def _records(results: Path) -> tuple[Mapping[Cell, Record], list[str]]:
    """The records of RESULTS, and what is wrong with files that were left out, which are also said and counted."""
    from bench.store import files

    problems: list[str] = []
    records = files.records(results, problems.append)
    for problem in problems:
        _say(f"left out: {problem}")
    if problems:
        _say(files.count(len(problems)))
    return records, problems


def _write_leaderboard(results: Path) -> int:
    """The board of these results, written if it changed; the exit status is 1 if files were left out."""
    from bench.board import leaderboard as board
    from bench.compare.analysis import Rules, analyse
    from bench.store import files

    records, problems = _records(results)
    output = _board(results)
    text = board.render(analyse(results, records, Rules()), Rules(), problems)
    if not output.is_file() or output.read_text(encoding="utf-8") != text:
        with files.atomically(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    _say(f"leaderboard: {os.path.relpath(output)}")
    return int(bool(problems))
