"""Texts and prompts that a declared probe asks beyond a task's own, measured by passes of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench import registry
from bench.api import Probe, Probes, Ragged, Rows
from bench.contracts import Progress
from bench.measure.one_pass import measure
from bench.model.models import LM
from bench.model.precision import Precision


def added(
    rows: Rows, lm: LM, probes: Probes, asked: Sequence[str], progress: Progress, precision: Precision = "float32"
) -> Rows:
    """`rows`, to the bit, and behind them what the declared ones among the probes `asked` for measure on the model."""
    for name in asked:
        if name in registry.names("probe"):
            probe: Probe = registry.load("probe", name)()
            rows = joined(rows, measure(lm, probe.ask(probes), precision=precision, progress=progress))
    return rows


def joined(first: Rows, second: Rows) -> Rows:
    """The texts and generations of one measurement, then those of another."""
    return Rows(
        texts=pd.concat([first.texts, second.texts], ignore_index=True),
        logp=_end_to_end(first.logp, second.logp),
        hit=_end_to_end(first.hit, second.hit),
        mean=_end_to_end(first.mean, second.mean),
        var=_end_to_end(first.var, second.var),
        generations=pd.concat([first.generations, second.generations], ignore_index=True),
    )


def _end_to_end(a: Ragged, b: Ragged) -> Ragged:
    return Ragged(np.concatenate([a.flat, b.flat]), np.concatenate([a.offsets, a.offsets[-1] + b.offsets[1:]]))
