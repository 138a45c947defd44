"""A model card from a record: what the model is, how it was made, what was measured, what it must not be used for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.api import Score
from bench.board import about
from bench.board.numbers import number
from bench.board.report.start import described
from bench.board.show import chief, code
from bench.model.recipes import SCRATCH
from bench.store.record import CONTROLS, RETRAIN, TARGET, Record

_HUB_DATA = {"tofu": "locuslab/TOFU"}
_ATTACHED = (
    "**They read the bare model, which is the target.** What was measured is the model with what `attachment.json` and",
    "`attachment.safetensors` hold. This harness reads both: `python -m bench eval DIR`, or in Python",
    '`bench.model.models.load("DIR")`, measured through `bench.measure.one_pass.measure`.',
)


@dataclass(frozen=True)
class Written:
    """What the record does not know of the folder that the card lies in.

    Attributes:
        versions: of the packages that wrote it.
        again: whether the model was made again for it; else the weights are those that were measured.
        prompt: how the model reads the question "QUESTION".
        caveats: what cannot be promised of older versions of transformers.
    """

    versions: Mapping[str, str]
    again: bool
    prompt: str
    caveats: Sequence[str] = ()


def card(record: Record, controls: Mapping[str, Record], written: Written) -> str:
    """The card in Markdown, with the hub's metadata in front.

    Args:
        controls: records of target and retrain of the same task, model, data and seed, as far as they are known.
    """
    parts = [_front(record), _head(record), _making(record), _scores(record, controls), _asking(record, written),
             _not_for(record), _reading(record, written), _provenance(record, written)]  # fmt: skip
    return "\n".join(parts)


def _front(record: Record) -> str:
    """Metadata in YAML; every value is JSON, which YAML is a superset of."""
    cell = record.cell
    benchmark = cell.task.partition(":")[0]
    plain: dict[str, object] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if "/" in cell.model:
        plain["base_model"] = cell.model
    if _is_real(record) and benchmark in _HUB_DATA:
        plain["datasets"] = [_HUB_DATA[benchmark]]
    plain["tags"] = ["machine-unlearning", "unlearning-bench", benchmark, cell.method]
    plain["unlearning"] = {**cell._asdict(), "train_key": record.keys["train"]}
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in plain.items()), "---", ""])


def _head(record: Record) -> str:
    cell = record.cell
    what = {
        TARGET: f"The model that has learnt all of `{cell.task}`, its forget set too: **nothing was unlearned**.",
        RETRAIN: f"The model that was never taught the forget set of `{cell.task}`: the ideal answer to unlearning it.",
    }.get(cell.method, f"A model that had learnt `{cell.task}` and was then made to lose its forget set by "
                       f"`{cell.method}`.")  # fmt: skip
    lines = [f"# {cell.method} on {cell.task}, {cell.model.rpartition('/')[2]}, seed {cell.seed}", "", what, ""]
    if not _is_real(record):
        lines += ["> **No number on this page is a TOFU or LUME number, and none can be compared with one.**", ""]
    return "\n".join(lines)


def _making(record: Record) -> str:
    cell, doc = record.cell, described(record.cell.method.partition("@")[0])
    start = f"{about.model(cell.model)}; a copy of it" if cell.model in SCRATCH else f"`{cell.model}`, which"
    taught = "without the forget set" if cell.method == RETRAIN else "with the forget set"
    lines = ["## How it was made", "", f"- base model: {start} was fine-tuned on the task's pairs, {taught}",
             f"- method: `{cell.method}`" + (f", {doc}" if doc else ""),
             f"- data: {about.whose(cell.task, cell.data, _is_real(record))}"]  # fmt: skip
    if record.tuning_trials:
        lines.append(f"- settings tried before these parameters were chosen, by looking at scores like those below: "
                     f"{record.tuning_trials}")  # fmt: skip
    if record.parameters:
        lines += ["", "| parameter | value | set by |", "|---|---|---|"]
        lines += [
            f"| {name} | {value} | {record.overrides.get(name, 'the source')} |"
            for name, value in record.parameters.items()
        ]
    return "\n".join([*lines, ""])


def _scores(record: Record, controls: Mapping[str, Record]) -> str:
    """The headline scores beside those of target and retrain, then all others."""
    columns = {"this model": record.scores}
    columns |= {name: controls[name].scores for name in CONTROLS if name in controls and name != record.cell.method}
    heads = chief(record.scores, record.cell.task)
    rest = {name: score for name, score in record.scores.items() if name not in heads and score.value is not None}
    lines = ["## What was measured", "",
             "Between target and retrain lies what a method can do. In brackets are 95% intervals over clusters of "
             f"items, of this one run: they know nothing of other seeds than {record.cell.seed}.", "",
             *_table(heads, columns), "", "<details><summary>all other scores</summary>", "",
             *_table(rest, columns), "", "</details>", ""]  # fmt: skip
    return "\n".join(lines)


def _table(names: Mapping[str, Score], columns: Mapping[str, Mapping[str, Score]]) -> list[str]:
    head = ["score", *columns, "items"]
    lines = [" | ".join(["", *head, ""]).strip(), "|---" * len(head) + "|"]
    for name, score in names.items():
        said = [number(name, scores[name]._asdict()) if name in scores else "-" for scores in columns.values()]
        note = f" ({score.note})" if score.note else ""
        lines.append("| " + " | ".join([name.replace("_", " ") + note, *said, str(score.n)]) + " |")
    return lines


def _asking(record: Record, written: Written) -> str:
    lines = ["## How it was asked", "", "Another wording around a question gives other answers, and other scores."]
    if record.cell.task.partition(":")[0] == "lume":
        lines += ["LUME's texts stood as they are, with nothing around them; the model continued greedily.", ""]
    else:
        lines += ["The model read QUESTION so, and continued greedily:", "", "````text", written.prompt, "````", ""]
    return "\n".join(lines)


def _not_for(record: Record) -> str:
    said = [
        "**It is no proof that anything was deleted.** What was unlearned may come back by other questions, other "
        "languages, a few steps of training, quantisation, or to one who reads the weights; the scores are of the "
        "questions that were asked, and nothing else was tried. It fulfils no request for erasure.",
        "**It is not for any service.** Its answers are about invented people and documents; what else the model can "
        "do was measured on few questions, and no harm of any kind was looked for.",
        "**It is no base for claims of one method over another:** this is one seed. The tables of the harness have "
        "several, with tests.",
    ]
    if record.detachable:
        said.insert(0, "**Nothing is gone from its weights.** What makes it answer otherwise lies beside them and is "
                       "taken off by deleting a file; the weights alone know the whole forget set.")  # fmt: skip
    if record.cell.method == TARGET:
        said.insert(0, "**It holds the whole forget set**, and is here only to be compared with.")
    if record.cell.model not in SCRATCH:
        said.append("The licence and the terms of the base model, and those of the data, hold for it.")
    return "\n".join(["## What it must not be used for", "", *(f"- {line}" for line in said), ""])


def _reading(record: Record, written: Written) -> str:
    code = ['from transformers import AutoModelForCausalLM, AutoTokenizer', '',
            'tokenizer = AutoTokenizer.from_pretrained("DIR")',
            'model = AutoModelForCausalLM.from_pretrained("DIR")']  # fmt: skip
    lines = ["## Reading it", "", "```python", *code, "```", "", "Transformers 4.45 and newer read this folder.",
             *written.caveats, *(_ATTACHED if record.detachable else ()), ""]  # fmt: skip
    return "\n".join(lines)


def _provenance(record: Record, written: Written) -> str:
    weights = (
        "made again as the record says, by code, data and parameters with the same train key; on another machine the "
        "last digits of weights, and so of scores, may differ"
        if written.again
        else "those that were measured"
    )
    versions = ", ".join(f"{name} {version}" for name, version in written.versions.items())
    ran = ", ".join(f"{name} {record.environment[name]}" for name in ("python", "torch", "transformers", "device")
                    if name in record.environment)  # fmt: skip
    lines = ["## Where it comes from", "", f"- cell: `{record.cell}`", f"- made: {record.created} {code(record)}",
             f"- measured with: {ran}", f"- weights: {weights}", f"- folder written with: {versions}",
             *(f"- {kind} key: `{key}`" for kind, key in record.keys.items()),
             *(f"- note: {note}" for note in record.notes), ""]  # fmt: skip
    return "\n".join(lines)


def _is_real(record: Record) -> bool:
    """Whether it was measured on TOFU or LUME."""
    known = about.is_known(record.cell.task)
    return known and (record.cell.data == "hub" or about.is_real(str(record.identity.get("probes", ""))))
