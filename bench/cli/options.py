"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.errors import UsageError
from bench.run.together import size


def options(*chosen: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options on one command, in this order."""

    def add(function: Any) -> Any:
        for option in reversed(chosen):
            function = option(function)
        return function

    return add


METHODS = click.option(
    "--methods",
    default="all",
    show_default=True,
    help="Comma list of names, families and groups (mission: the ten of the showcase); objective+optimizer+scope "
    "composes one.",
)
TASKS = click.option("--tasks", default="tofu", show_default=True, help="Comma list of names and groups.")
MODEL = click.option(
    "--model", default="tiny", show_default=True,
    help="tiny, small, a hub id, the directory of a checkpoint, or a known pair (bench list models).",
)  # fmt: skip
TARGET = click.option(
    "--target", default="", metavar="DIR_OR_ID",
    help="In place of --model: a checkpoint that has learnt the forget set; nothing is taught.",
)  # fmt: skip
RETRAIN = click.option(
    "--retrain", multiple=True, metavar="[TASK=]DIR_OR_ID",
    help="With --target: the same model trained without the forget set; may be repeated, one a task.",
)  # fmt: skip
DATA = click.option(
    "--data", default="embedded", show_default=True,
    help="embedded, embedded-hops, hub, or a directory that holds the hub's files.",
)  # fmt: skip
SEEDS = click.option("--seeds", default="0", show_default=True, help="Comma list of whole numbers.")


class Place(click.Path):
    """A directory; of a URL the mirror on this machine, brought up to date, and sent when the command ends."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str) or "://" not in value:
            return super().convert(value, param, ctx)
        from bench.store import remote

        folder = remote.mirror(value)
        click.echo(f"{value}: mirrored in {folder}", err=True)
        remote.pull(folder)
        if ctx is not None:
            ctx.call_on_close(partial(remote.push, folder))
        return folder


RESULTS = click.option(
    "--results", default="results", show_default=True, type=Place(),
    help="Where records are kept: a directory, or a URL such as s3://BUCKET/results (docs/scale.md).",
)  # fmt: skip
CACHE = click.option(
    "--cache",
    default=".cache",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where models are kept; safe to delete.",
)


LIMIT = click.option(
    "--cache-limit", "limit", default=50.0, show_default=True, type=click.FloatRange(0, min_open=True), metavar="GB",
    callback=lambda _, __, asked: asked * 2**30,
    help="Unlearned models that were used longest ago leave the cache where it would take more.",
)  # fmt: skip


def _alone(_: object, __: object, workers: int | None) -> int | None:
    """Workers make cells side by side; launched processes make one cell together."""
    if size() == 1:
        return workers
    if workers not in (None, 1):
        raise UsageError(f"--workers {workers}: {size()} processes were launched to train together. Leave it out.")
    return 1


CHECKPOINT = click.option(
    "--checkpoint-minutes", "checkpoint", type=click.FloatRange(0),
    help="How often an unfinished training is kept, to go on there if the run is killed; 0 is never. By default as "
    "often as takes 2% of the time, and never for models above a gigabyte.",
)  # fmt: skip
WORKERS = click.option(
    "--workers", type=click.IntRange(1), callback=_alone,
    help="Processes; by default one a core, or one on an accelerator.",
)  # fmt: skip
MACHINES = (
    click.option(
        "--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True,
        help="Who does the work: processes of this machine, or a Ray cluster (docs/scale.md).",
    ),
    click.option("--address", default="", help="With --executor ray: of the cluster; by default one of this machine."),
    click.option("--cell-cpus", default=1.0, show_default=True, help="With --executor ray: processors of a job."),
    click.option("--cell-gpus", default=0.0, show_default=True, help="Accelerators of a job; 0.5 lets two share one."),
    click.option("--cell-memory", default=0.0, show_default=True, help="Memory of a job in GB; 0 asks for none."),
)  # fmt: skip
SET = click.option(
    "--set", "assignments", multiple=True, metavar="METHOD.PARAM=VALUE",
    help="Override a parameter; may be repeated. VALUE,VALUE sweeps it: a variant METHOD@PARAM=VALUE for each.",
)  # fmt: skip
SETTINGS = click.option(
    "--settings", default="", metavar="PRESET|FILE.toml",
    help="Parameters as published (soul, open-unlearning, simu-paper), or your own file, in place of the model's.",
)  # fmt: skip


class _Precision(click.Choice):  # type: ignore[type-arg]
    """Our three, and the word for one of them that others use for it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "bf16":
            click.echo("--precision bf16: taken as mixed, float32 weights and passes in bfloat16", err=True)
            value = "mixed"
        return super().convert(value, param, ctx)


PRECISION = click.option(
    "--precision", default="float32", show_default=True, type=_Precision(["float32", "mixed", "bfloat16"]),
    help="Of training and measuring: mixed computes in bfloat16, bfloat16 holds the weights in it as well.",
)  # fmt: skip


_share = click.FloatRange(0, 1, min_open=True, max_open=True)
RULES = (
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
    click.option("--dirty", is_flag=True, help="Of old command lines: such cells stand anyway, with a mark."),
)  # fmt: skip
