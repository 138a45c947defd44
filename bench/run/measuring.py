"""Everything that is measured of a cell's model: the task's probes, those that were asked for, exams."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.api import Rows
from bench.contracts import Progress
from bench.measure import asked, membership
from bench.measure.abstention import refusals_of, with_abstained
from bench.measure.exams import sit
from bench.measure.one_pass import measure
from bench.metrics._asked import ABSTENTION, NEAR
from bench.model.models import LM
from bench.run.plan import Request, exams, splits


def measured(
    request: Request,
    task: str,
    lm: LM,
    probes: Sequence[str],
    parts: Mapping[str, Any],
    retrain: Callable[[], LM],
    progress: Progress,
) -> tuple[Rows, list[str]]:
    """The rows of a model, and what of its exams could not be held.

    Args:
        probes: what is measured beside the task's own (`bench.run.plan.asked_for`).
        parts: of the method, whose own refusals are looked for.
        retrain: loads the model that the reference attack needs.
    """
    data = splits(task, request.source)
    rows = measure(lm, data.probes, precision=request.precision, progress=progress)
    if "reference" in probes:
        rows = membership.with_reference(rows, data.probes.texts, retrain(), progress, request.precision)
    if "gradient-norm" in probes:
        rows = membership.with_gradient_norm(rows, data.probes.texts, lm, progress)
    rows = asked.added(rows, lm, data.probes, probes, progress, request.precision)
    if NEAR in probes and data.neighbours.texts:
        near = measure(lm, data.neighbours, precision=request.precision, progress=progress)
        rows = asked.joined(rows, near)
    if ABSTENTION in probes:
        rows = with_abstained(rows, refusals_of(data.refusals, parts))
    missed: list[str] = []
    if held := exams(request, task, probes):
        progress("exams", 0, len(held))
        examined, missed = sit(lm, held)
        rows = dataclasses.replace(rows, generations=pd.concat([rows.generations, examined], ignore_index=True))
    return rows, missed
