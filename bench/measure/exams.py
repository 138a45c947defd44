"""Exams: tasks of lm-eval that a model sits in process; every question becomes an item.

lm-evaluation-harness asks, we keep one line a question, so that intervals and tests over questions are made as for
any other score. Data sets come from the hub's cache or the hub; an exam of our own is a folder with a YAML file.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.api import Exam
from bench.errors import BenchError, UsageError
from bench.measure.examinee import examinee
from bench.model.models import LM

ROLE = "exam"
_PREFERRED = ("acc", "exact_match")
_LEARNED = ("wmdp",)
"""Exams of what is only found in large corpora; on a model from scratch they would measure chance."""
_BATCH = {"cpu": 64}  # questions at once; an accelerator takes what fits, found by trying


def sit(lm: LM, exams: Sequence[Exam]) -> tuple[pd.DataFrame, list[str]]:
    """One line a question in the columns of `Rows.generations`, and what there is to say of exams that were not held.

    `cluster` is the subject (lm-eval's own task, of a group such as mmlu), `reference` and `generation` the right and
    the given answer (for choices their letters), `score` the question's score by the task's first metric, `acc` or
    `exact_match` where it has them.

    Raises:
        BenchError: an exam fails for another reason than that its data cannot be had.
    """
    found, notes = [], []
    for exam in exams:
        try:
            found.append(_table(exam, _evaluate(lm, exam)))
        except (OSError, _NotThere) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            notes.append(f"The exam {exam.task} was not held, its data cannot be had: {reason}")
    columns = ["set", "id", "cluster", "role", "reference", "generation", "finished", "score"]
    return (pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)), notes


def check(names: Iterable[str], from_scratch: str = "") -> None:
    """Raise `UsageError` for a name that lm-eval does not know, with near ones.

    Args:
        from_scratch: the model, where it is one that is trained here and can know nothing of what some exams ask.
    """
    known = _manager(None).all_tasks
    for name in names:
        if from_scratch and name.partition("_")[0] in _LEARNED:
            raise UsageError(
                f"--lm-eval {name}: {from_scratch} is trained on nothing that this asks, it would have chance, 0.25. "
                "Give --model a pretrained one, a directory or a hub id, or leave the exam out."
            )
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else "`lm-eval ls tasks` lists them."
            raise UsageError(f"--lm-eval {name}: lm-eval has no such task. {hint}")


class _NotThere(Exception):
    """The data of an exam cannot be had."""


def _evaluate(lm: LM, exam: Exam) -> Mapping[str, list[dict[str, Any]]]:
    """lm-eval's samples by task."""
    with _quiet():
        from datasets.exceptions import DatasetsError
        from lm_eval import simple_evaluate

        try:
            results = simple_evaluate(
                examinee(lm, _BATCH.get(lm.device.type, "auto")),
                tasks=[exam.task],
                num_fewshot=exam.shots,
                task_manager=_manager(exam.folder),
                bootstrap_iters=0,
                log_samples=True,
            )
        except (DatasetsError, ConnectionError) as error:
            raise _NotThere(str(error)) from error
    if not results or not any(results["samples"].values()):
        raise BenchError(f"the exam {exam.task} has no questions. Choose another with --lm-eval.")
    samples: Mapping[str, list[dict[str, Any]]] = results["samples"]
    return samples


def _manager(folder: str | None) -> Any:
    with _quiet():
        from lm_eval.tasks import TaskManager

        return TaskManager(include_path=folder, include_defaults=not folder)


def _table(exam: Exam, samples: Mapping[str, list[dict[str, Any]]]) -> pd.DataFrame:
    lines = [_line(exam, subject, sample) for subject, answers in samples.items() for sample in answers]
    return pd.DataFrame(lines).drop_duplicates(["set", "id"])


def _line(exam: Exam, subject: str, sample: Mapping[str, Any]) -> dict[str, Any]:
    names = list(sample["metrics"])
    metric = next((name for name in _PREFERRED if name in names), names[0])
    said = sample["filtered_resps"]
    if isinstance(sample["target"], int) and len(said) > 1:
        scores = [float(answer[0]) for answer in said]
        right, given = (chr(ord("A") + i) for i in (sample["target"], scores.index(max(scores))))
    else:
        right, given = str(sample["target"]), str(said[0])
    return {
        "set": exam.set,
        "id": f"{subject}-{sample['doc_id']:05d}",
        "cluster": subject if len({subject, exam.task}) > 1 else f"{subject}-{sample['doc_id']:05d}",
        "role": ROLE,
        "reference": right,
        "generation": given,
        "finished": True,
        "score": float(sample[metric]),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """lm-eval speaks through loggers, warnings and progress bars; ours are enough."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
