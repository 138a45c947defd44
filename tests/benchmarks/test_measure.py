"""A full TOFU forget10 evaluation by the engine and by a plain loop, side by side in one process; the same scores.

    pytest tests/benchmarks/test_measure.py --benchmark-enable -m '' -s

The models are checkpoints named by BENCH_SMALL_TARGET (one that has learnt TOFU) and BENCH_SMALL_COLLAPSED (one whose
answers never end). Without the first, a model is taught a part of the items here, which alone are then measured;
without the second, a random model stands in, which is the easier case of the two. The engine runs linear layers through
oneDNN where that is what the processor is fast with, the plain loop through torch's default. BENCH_ROUNDS (1) sets how
often each side is timed, in turns; medians of the processor's seconds are compared, and rates are by these too.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rouge_score import rouge_scorer

from bench.api import Pair, Probes, Rows
from bench.measure.forward import evaluating
from bench.measure.one_pass import measure
from bench.model.models import LM, load, new_llama, train_tokenizer
from bench.model.recipes import SCRATCH
from bench.registry import load as load_task
from bench.train.teaching import teach
from tests.benchmarks._timing import Clock, spent
from tests.benchmarks.plain_loop import evaluate

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "1"))
TAUGHT = 100  # items a set, when the model is taught here


@pytest.fixture(scope="module")
def tofu() -> Any:
    """The real TOFU forget10, its probes cut to what the plain loop does too."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data is not here")
    return load_task("task", "tofu:forget10")("tofu:forget10").data(str(folder))


def questions_only(probes: Probes, most: int | None = None) -> Probes:
    """Texts of all sets and one completion a question; at most `most` items a set."""
    seen: dict[str, dict[str, None]] = {}
    for text in probes.texts:
        seen.setdefault(text.set, {})[text.id] = None
    kept = {(s, i) for s, ids in seen.items() for i in list(ids)[:most]}
    return Probes(
        tuple(t for t in probes.texts if (t.set, t.id) in kept),
        tuple(p for p in probes.prompts if (p.set, p.id) in kept and p.role == "question"),
    )


@pytest.fixture(scope="module")
def healthy(tofu: Any) -> tuple[LM, Probes]:
    """A model that has learnt its items, so that answers end."""
    if path := os.environ.get("BENCH_SMALL_TARGET"):
        return load(path), questions_only(tofu.probes)
    probes = questions_only(tofu.probes, TAUGHT)
    lm = new_llama(SCRATCH["small"], train_tokenizer(tofu.corpus, SCRATCH["small"].vocab_size), seed=0)
    answers = [Pair(t.prompt, t.continuation) for t in probes.texts if t.role == "answer"]
    teach(lm, answers, dataclasses.replace(SCRATCH["small"].finetune, epochs=30, batch_size=16), key="benchmark")
    return lm, probes


@pytest.fixture(scope="module")
def collapsed(tofu: Any) -> tuple[LM, Probes]:
    """A model whose answers never end."""
    if path := os.environ.get("BENCH_SMALL_COLLAPSED"):
        return load(path), questions_only(tofu.probes)
    tokenizer = train_tokenizer(tofu.corpus, SCRATCH["small"].vocab_size)
    return new_llama(SCRATCH["small"], tokenizer, seed=0), questions_only(tofu.probes)


def our_scores(rows: Rows) -> dict[str, float]:
    """Probability by set and role, truth ratio, extraction strength, min-k and ROUGE-L recall, from rows."""
    spans = list(zip(rows.logp.offsets[:-1], rows.logp.offsets[1:], strict=True))
    keys = list(zip(rows.texts["set"], rows.texts["role"], rows.texts["index"], strict=True))
    loss: dict[tuple[str, str, int], list[float]] = {}
    for key, (first, last) in zip(keys, spans, strict=True):
        loss.setdefault(key, []).append(-float(rows.logp.flat[first:last].mean()))
    forget = [span for key, span in zip(keys, spans, strict=True) if key == ("forget", "answer", 0)]
    return scores(
        loss,
        [rows.hit.flat[a : b - 1] for a, b in forget],
        [rows.logp.flat[a : b - 1] for a, b in forget],
        {name: part["generation"].tolist() for name, part in rows.generations.groupby("set")},
        {name: part["reference"].tolist() for name, part in rows.generations.groupby("set")},
    )


def scores(
    loss: dict[tuple[str, str, int], list[float]],
    hits: list[np.ndarray],
    logp: list[np.ndarray],
    generations: dict[str, list[str]],
    references: dict[str, list[str]],
) -> dict[str, float]:
    found = {f"probability {key}": float(np.exp(-np.array(each)).mean()) for key, each in loss.items()}
    for name in generations:
        correct = loss.get((name, "paraphrase", 0), loss[name, "answer", 0])
        wrong = np.mean([each for key, each in loss.items() if key[:2] == (name, "perturbed")], axis=0)
        ratio = np.exp(np.array(correct) - wrong)
        found[f"truth ratio {name}"] = float(np.minimum(ratio, 1 / ratio).mean())
    suffix = [int(np.argmin(hit[::-1])) if not hit.all() else len(hit) for hit in hits]
    found["extraction strength"] = float(np.mean([n / len(hit) for n, hit in zip(suffix, hits, strict=True)]))
    found["min-k"] = float(np.mean([np.sort(each)[: max(1, int(0.4 * len(each)))].mean() for each in logp]))
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
    for name, texts in generations.items():
        pairs = zip(references[name], texts, strict=True)
        found[f"rouge {name}"] = float(np.mean([scorer.score(r, g)["rougeL"].recall for r, g in pairs]))
    return found


def seconds_a_token(lm: LM) -> float:
    """The machine's forward-pass limit for this model: full rows, all logits, the engine's products, nothing else."""
    ids = torch.randint(3, 1000, (8, 64), generator=torch.Generator().manual_seed(0))
    with evaluating(lm):
        each = [spent(lambda: lm.model(input_ids=ids, use_cache=False))[1].cpu for _ in range(8)]
    return statistics.median(each) / ids.numel()


def side_by_side(benchmark: Any, clock: Clock, lm: LM, probes: Probes) -> float:
    """Hold the scores against each other and return how many times faster the engine is, where that can be judged."""
    totals: dict[str, int] = {}
    limit = seconds_a_token(lm)
    for _ in range(max(1, ROUNDS)):
        rows = clock.time(
            "engine",
            lambda: measure(lm, probes, progress=lambda phase, done, total: totals.update({phase: total})),
        )
        plain = clock.time("plain loop", lambda: evaluate(lm, probes))
    references: dict[str, list[str]] = {}
    for prompt in probes.prompts:
        references.setdefault(prompt.set, []).append(prompt.reference)
    a, b = our_scores(rows), scores(plain.loss, plain.hits, plain.logp, plain.generations, references)
    worst = max(a, key=lambda name: abs(a[name] - b[name]))
    assert a.keys() == b.keys()
    assert abs(a[worst] - b[worst]) <= 1e-4, f"{worst}: {a[worst]} by the engine, {b[worst]} by the plain loop"
    tokens = totals["scoring"] + int(rows.generations["generation"].map(lambda g: len(lm.tokenizer.encode(g))).sum())
    ratio = clock.cpu("plain loop") / clock.cpu("engine")
    benchmark.extra_info.update(
        ratio=ratio,
        tokens_a_second=tokens / clock.cpu("engine"),
        limit_tokens_a_second=1 / limit,
        share_of_limit=tokens * limit / clock.cpu("engine"),
        finished=float(rows.generations["finished"].mean()),
        worst_difference=abs(a[worst] - b[worst]),
        rouge_forget=a["rouge forget"],
    )
    clock.record()
    print({name: round(value, 6) for name, value in benchmark.extra_info.items()})
    benchmark.pedantic(lambda: None)
    clock.only_if_quiet()
    return ratio


@pytest.fixture(scope="module")
def tiny() -> tuple[LM, Probes]:
    """The tiny model, taught the embedded world as a target is, but for the base."""
    data = load_task("task", "tofu:forget10")("tofu:forget10").data("embedded")
    lm = new_llama(SCRATCH["tiny"], train_tokenizer(data.corpus, SCRATCH["tiny"].vocab_size), seed=0)
    teach(lm, data.full, SCRATCH["tiny"].finetune, key="benchmark", rehearsed=data.general)
    return lm, questions_only(data.probes)


def test_tiny_model(benchmark: Any, clock: Clock, tiny: tuple[LM, Probes]) -> None:
    """Faster on the tiny model too, where overhead is most of the time."""
    assert side_by_side(benchmark, clock, *tiny) > 1


def test_healthy_model(benchmark: Any, clock: Clock, healthy: tuple[LM, Probes]) -> None:
    """At least three times faster where answers end."""
    assert side_by_side(benchmark, clock, *healthy) >= 3


def test_collapsed_model(benchmark: Any, clock: Clock, collapsed: tuple[LM, Probes]) -> None:
    """At least three times faster where they never do."""
    assert side_by_side(benchmark, clock, *collapsed) >= 3
