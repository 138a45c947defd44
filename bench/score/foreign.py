"""Other people's evaluation logs: TOFU's aggregated log and open-unlearning's TOFU_EVAL.json, to items and scores."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.api import Metric, Score
from bench.errors import UsageError
from bench.metrics._compat import Compat
from bench.metrics._items import GENERAL
from bench.metrics._options import log_truth_ratio, normalised_probability
from bench.metrics._said import contains, rouge_recall
from bench.reading import json_of
from bench.score.scoring import build, score_items, scores_of

Format = Literal["tofu", "open-unlearning"]
Column = dict[str, Any]  # item id -> value, as the log has it

_SECTIONS = {
    "eval_log.json": "retain",
    "eval_real_author_wo_options.json": "real_authors",
    "eval_real_world_wo_options.json": "world_facts",
    "eval_log_forget.json": "forget",
}
_PREFIXES = {"forget": "forget", "retain": "retain", "ra": "real_authors", "wf": "world_facts"}
_OWN = {"exact_memorization": "exact_memorisation", "extraction_strength": "extraction_strength"}
_ATTACKS = {
    "mia_loss": "loss",
    "mia_zlib": "zlib",
    "mia_reference": "excess_loss",
    "mia_min_k": "min_k",
    "mia_min_k_plus_plus": "min_k_plus_plus",
    "mia_gradnorm": "gradient_norm",
}
_TOLERANCE = 1e-4  # of what a log says twice: float32 sums in two orders agree to 1e-6, mixed-up items do not


@dataclass(frozen=True)
class ForeignLog:
    """A log of somebody else's run.

    Attributes:
        format: whose log it is.
        items: as `scoring.item_table` makes them, in float64 because logs are small; a column is absent where the log
            has nothing to compute it from. The id is the log's own row number; no clusters are known, each item is one.
        generations: set, id, question, reference, generation; empty where the log holds no texts.
        meta: `file`, the number of `items` a set, `stated` (the totals that the log itself states, by its names),
            `carried` (by set and column, what the log's numbers carry with them) and the same as `notes`.
    """

    format: Format
    items: pd.DataFrame
    generations: pd.DataFrame
    meta: Mapping[str, Any]


TASK = "tofu:forget10"
"""Both formats are logs of TOFU, whose three tasks have the same scores."""


def score_log(
    path: str | Path, reference: str | Path | None = None, compat: Compat = "", task: str = TASK
) -> dict[str, Score]:
    """Every score of the task on a log, with its interval; what the log cannot tell is None with a note.

    A score whose items carry something of the log's that ours do not has a note that says what.

    Args:
        path: the log. reference: the log of the retrain model, for forget quality and PrivLeak.
        compat: whose published behaviour to reproduce where it differs from the correct one.
        task: the task that the log is a run of.

    Raises:
        UsageError: a log that cannot be read (see `read_log`), or a reference on other items.
    """
    log = read_log(path, compat)
    other = None if reference is None else read_log(reference, compat)
    if other is not None:
        _same_items(log, other)
    names = scores_of(task)
    scores = score_items(log.items, None if other is None else other.items, names, compat=compat)
    carried: dict[Any, str] = log.meta["carried"]
    against: dict[Any, str] = {} if other is None else other.meta["carried"]
    return {name: _noted(score, build(name), carried, against) for name, score in scores.items()}


def _noted(score: Score, metric: Metric, carried: dict[Any, str], against: dict[Any, str]) -> Score:
    """The score with what the items that it was computed from carry, those of the retrain model among them."""
    found = carried | against if metric.needs_retrain else carried
    notes = [found[need] for need in metric.needs if need in found] if score.value is not None else []
    return score._replace(note="; ".join(dict.fromkeys(filter(None, [score.note, *notes]))))


def read_log(path: str | Path, compat: Compat = "") -> ForeignLog:
    """Read a log of either format, and check what it says twice.

    Raises:
        UsageError: not readable, cut off, neither format, fields of different items, statements that contradict each
            other, a value that is no finite number; the message names file and item.
    """
    path = Path(path)
    try:
        content = json_of(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Give the file of an evaluation log.") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path}:{error.lineno} is no complete JSON ({error.msg}, character {error.pos}); "
            "it may have been cut off. Fetch it again."
        ) from None
    except ValueError as error:
        raise UsageError(f"{path} cannot be taken: {error}. Give the log as it was written.") from None
    try:
        return _read(path, content, compat)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise UsageError(
            f"{path} is no log as TOFU or open-unlearning write it ({type(error).__name__}: {error}). Give it as it "
            "was written."
        ) from error


def _read(path: Path, content: Any, compat: Compat) -> ForeignLog:
    format_ = _format(path, content)
    read = _read_tofu if format_ == "tofu" else _read_open_unlearning
    raw, texts, stated = read(path, content)
    for name, i, _, expected, said in texts:
        raw.setdefault((name, "rouge"), {})[i] = rouge_recall(expected, said, compat)
        if name in GENERAL:
            raw.setdefault((name, "correct"), {})[i] = contains(expected, said)
    items = pd.concat([_items(name, raw, compat) for name in dict.fromkeys(s for s, _ in raw)], ignore_index=True)
    generations = pd.DataFrame(texts, columns=["set", "id", "question", "reference", "generation"])
    counts = {str(name): int(n) for name, n in items.groupby("set").size().items()}
    carried = {} if compat == "open-unlearning" else _carried(raw)
    meta = {"file": path.name, "items": counts, "stated": stated, "carried": carried, "notes": [*carried.values()]}
    return ForeignLog(format_, items, generations, meta)


def _carried(raw: _Raw) -> dict[tuple[str, str], str]:
    """By set and column, what the log's numbers hold that ours would not and that cannot be undone."""
    found = {}
    for name in dict.fromkeys(s for s, _ in raw):
        have = {column for s, column in raw if s == name}
        options = "wrong_losses" in have
        lacks = "carry open-unlearning's 1e-10: the log lacks losses that they are made of"
        if "stated_ratio" in have and not (options and _true(name, have)):
            found[name, "log_truth_ratio"] = f"truth ratios of {name} {lacks}"
        if "normalised_probability" in have and not (options and "loss" in have):
            found[name, "normalised_probability"] = f"probabilities of {name} {lacks}"
        if "extraction_strength" in have:
            found[name, "extraction_strength"] = (
                "extraction strength carries open-unlearning's 1/m: an answer of m tokens has it if not even the last "
                "is right, and 0 here; --compat open-unlearning gives our own cells the same"
            )
    return found


def _format(path: Path, content: Any) -> Format:
    sections = content if isinstance(content, dict) else {}
    if set(_SECTIONS) & set(sections):
        if missing := set(_SECTIONS) - set(sections):
            raise UsageError(f"{path} lacks {', '.join(sorted(missing))}. Give the aggregated log of all four sets.")
        return "tofu"
    if any(isinstance(value, dict) and "agg_value" in value for value in sections.values()):
        return "open-unlearning"
    hint = f"It holds {', '.join(map(repr, list(sections)[:4])) or type(content).__name__}."
    if "avg_gt_loss" in sections:
        hint = "It is the log of one set; give the aggregated one (eval_log_aggregated.json)."
    elif sections and all(isinstance(value, int | float) for value in sections.values()):
        hint = "It looks like a summary without items; give TOFU_EVAL.json, not TOFU_SUMMARY.json."
    raise UsageError(f"{path} is neither TOFU's aggregated log nor open-unlearning's TOFU_EVAL.json. {hint}")


# -- the two formats, to raw columns by (set, name) ------------------------------------------------------------------

_Raw = dict[tuple[str, str], Column]
_Texts = list[tuple[str, str, str, str, str]]


def _read_tofu(path: Path, content: Mapping[str, Any]) -> tuple[_Raw, _Texts, dict[str, float]]:
    raw: _Raw = {}
    texts: _Texts = []
    fields = {"avg_gt_loss": "loss", "avg_paraphrased_loss": "correct_loss", "average_perturb_loss": "wrong_losses"}
    for section, name in _SECTIONS.items():
        try:
            table = {field: content[section][field] for field in (*fields, "rougeL_recall", "generated_text")}
        except (KeyError, TypeError) as error:
            raise UsageError(f"{path}: {section} has no field {error}. Give the log as TOFU wrote it.") from None
        _same_ids(path, section, table)
        raw |= {(name, column): _numbers(path, f"{section} {field}", table[field]) for field, column in fields.items()}
        _same_means(path, section, content[section], fields)
        stated = _numbers(path, f"{section} rougeL_recall", table["rougeL_recall"])
        for i, entry in table["generated_text"].items():
            if not (isinstance(entry, list) and len(entry) == 3 and all(isinstance(t, str) for t in entry)):
                raise UsageError(f"{path}: {section} generated_text item {i} is no (question, answer, reference).")
            question, said, expected = entry
            _agree(path, f"{section} rougeL_recall item {i}", stated[i], rouge_recall(expected, said, "tofu"))
            texts.append((name, i, question, expected, said))
        ratios = _numbers(path, f"{section} truth_ratio", content[section].get("truth_ratio", {}))
        for i, ratio in ratios.items():
            if i in raw[name, "loss"]:
                computed = math.exp(raw[name, "correct_loss"][i] - float(np.mean(raw[name, "wrong_losses"][i])))
                _agree(path, f"{section} truth_ratio item {i}", ratio, computed)
    return raw, texts, {}


def _read_open_unlearning(path: Path, content: Mapping[str, Any]) -> tuple[_Raw, _Texts, dict[str, float]]:
    raw: _Raw = {}
    texts: _Texts = []
    for metric, field, name, column in _open_unlearning_fields():
        section = content.get(metric, {})
        if metric in _ATTACKS:
            section = section.get(name, {})
        by_index = section.get("value_by_index")
        if by_index is None:
            continue
        if not isinstance(by_index, dict) or not all(isinstance(entry, dict) for entry in by_index.values()):
            raise UsageError(f"{path}: {metric} value_by_index is no table of items. Give the file as it was written.")
        values = {i: entry.get(field) for i, entry in by_index.items()}
        raw[name, column] = _numbers(path, f"{metric} {field}", values, empty=column in _OWN.values())
        if column == "rouge":
            texts += [
                (name, i, entry["input"], entry["ground_truth"], entry["generation"])
                for i, entry in by_index.items()
                if {"input", "ground_truth", "generation"} <= set(entry)
            ]
            for _, i, _, expected, said in (text for text in texts if text[0] == name):
                _agree(path, f"{metric} {field} item {i}", raw[name, column][i], rouge_recall(expected, said, "tofu"))
    if not raw:
        raise UsageError(f"{path} holds no metric of TOFU with items, only {', '.join(list(content)[:5])}.")
    for name in dict.fromkeys(s for s, _ in raw):
        _same_ids(path, f"the {name} set", {column: raw[s, column] for s, column in raw if s == name})
    stated = {metric: section.get("agg_value") for metric, section in content.items() if isinstance(section, dict)}
    return raw, texts, {k: float(v) for k, v in stated.items() if isinstance(v, int | float)}


def _open_unlearning_fields() -> Iterator[tuple[str, str, str, str]]:
    """(metric, field of an item, set, our column); a later one does not replace an earlier one that is there."""
    for metric, column in _ATTACKS.items():
        yield metric, "score", "forget", column
        yield metric, "score", "holdout", column
    for metric, column in _OWN.items():
        yield metric, "score", "forget", column
    for prefix, name in _PREFIXES.items():
        yield f"{prefix}_Q_A_Prob", "avg_loss", name, "loss"
        yield f"{prefix}_Q_A_PARA_Prob", "avg_loss", name, "correct_loss"
        yield f"{prefix}_Q_A_PERT_Prob", "avg_loss", name, "wrong_losses"
        yield f"{prefix}_Q_A_ROUGE", "rougeL_recall", name, "rouge"
        yield f"{prefix}_{'truth_ratio' if name == 'forget' else 'Truth_Ratio'}", "score", name, "stated_ratio"
        yield f"{prefix}_Q_A_Prob_normalised", "prob", name, "normalised_probability"


# -- raw columns to items --------------------------------------------------------------------------------------------


def _items(name: str, raw: _Raw, compat: Compat) -> pd.DataFrame:
    """The item table of one set."""
    have = {column: table for (s, column), table in raw.items() if s == name}
    ids = list(next(iter(have.values())))
    items = pd.DataFrame({"set": name, "id": ids, "cluster": ids})

    def values(column: str) -> np.ndarray:
        return np.array([have[column][i] for i in ids], dtype=float)

    for column in have.keys() - {"correct_loss", "wrong_losses", "stated_ratio"}:
        items[column] = values(column)
    if "stated_ratio" in have:
        with np.errstate(divide="ignore"):
            items["log_truth_ratio"] = np.log(values("stated_ratio"))
    if "wrong_losses" in have:
        options = [np.atleast_1d(have["wrong_losses"][i]) for i in ids]
        wrong, owner = np.concatenate(options), np.repeat(np.arange(len(ids)), [len(o) for o in options])
        if name in GENERAL and "loss" in have:
            items["normalised_probability"] = normalised_probability(values("loss"), wrong, owner, compat)
        if true := _true(name, have):
            items["log_truth_ratio"] = log_truth_ratio(values(true), wrong, owner, compat)
    return items


def _true(name: str, have: Container[str]) -> str:
    """The column of the losses that those of the wrong options are held against; empty where the log has none."""
    wanted = ("correct_loss", "loss") if name in GENERAL else ("correct_loss",)
    return next((column for column in wanted if column in have), "")


# -- checks ----------------------------------------------------------------------------------------------------------


def _numbers(path: Path, where: str, table: Any, empty: bool = False) -> Column:
    """The table itself, if each item has a finite number or a list of them; with `empty`, null is an unscored item."""
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {where} is no table of items. Give the log as it was written.")
    for i, value in table.items():
        parts = value if isinstance(value, list) and value else [value]
        if empty and value is None:
            continue
        if not all(isinstance(part, int | float) and math.isfinite(part) for part in parts):
            raise UsageError(
                f"{path}: {where} item {i} is {value!r}, no finite number. Evaluate the model again, or take the item "
                "out of every field if it cannot be scored."
            )
    return table


def _same_ids(path: Path, where: str, tables: Mapping[str, Any]) -> None:
    (first, ids), *others = tables.items()
    for field, table in others:
        if odd := set(table) ^ set(ids):
            raise UsageError(
                f"{path}: {where} has {len(ids)} items in {first} and {len(table)} in {field}; for one, item "
                f"{min(odd)} is not in both. The log mixes two runs; give it as it was written."
            )
    if not ids:
        raise UsageError(f"{path}: {where} has no items. Give a finished log.")


def _agree(path: Path, where: str, stated: float, computed: float) -> None:
    if not math.isclose(stated, computed, rel_tol=_TOLERANCE, abs_tol=1e-9):
        raise UsageError(
            f"{path}: {where} is {stated:.6g}, but its own texts and losses give {computed:.6g}. The log mixes two "
            "runs, or was edited; give it as it was written."
        )


_SUMS = {
    "avg_gt_loss": ("gt_loss", "num_token_gt"),
    "avg_paraphrased_loss": ("paraphrased_loss", "num_token_paraphrased"),
    "average_perturb_loss": ("perturb_loss", "num_token_perturb"),
}


def _same_means(path: Path, section: str, content: Mapping[str, Any], fields: Iterable[str]) -> None:
    """Hold the mean losses against the summed ones, where the log has both: they are of one run only if they agree."""
    for field in fields:
        sums, counts = (content.get(name) for name in _SUMS[field])
        if not sums or not counts:
            continue
        for i in content[field].keys() & sums.keys() & counts.keys():
            with np.errstate(divide="ignore", invalid="ignore"):
                means = np.atleast_1d(sums[i]) / np.atleast_1d(counts[i])
            for stated, computed in zip(np.atleast_1d(content[field][i]), means, strict=True):
                _agree(path, f"{section} {field} item {i}", float(stated), float(computed))


def _same_items(log: ForeignLog, other: ForeignLog) -> None:
    """Refuse a reference whose sets hold other items, by number and by reference answer."""
    here, there = (side.meta["file"] for side in (log, other))
    remedy = f"Give the retrain log of the same split as {here}."
    for name in sorted(log.meta["items"].keys() & other.meta["items"].keys()):
        ids, other_ids = (set(side.items.id[side.items["set"] == name]) for side in (log, other))
        if ids != other_ids:
            raise UsageError(
                f"{there} has {len(other_ids)} items of the {name} set and {here} has {len(ids)}; for one, item "
                f"{min(ids ^ other_ids)} is not in both. {remedy}"
            )
    answers = log.generations.merge(other.generations, on=["set", "id"], suffixes=("", "_there"))
    for _, row in answers[answers.reference.str.strip() != answers.reference_there.str.strip()].iterrows():
        raise UsageError(
            f"{there} is of other items: the answer to {row['set']}/{row['id']} is '{row.reference_there}' there and "
            f"'{row.reference}' in {here}. {remedy}"
        )
