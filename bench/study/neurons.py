"""Which neurons SIMU keeps: how many in each layer, and how far the masks of different choices agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from bench.contracts import Progress
from bench.model.architecture import layers
from bench.registry import load
from bench.run.cell import make_context
from bench.run.plan import Request, prepared

Masks = Mapping[str, Sequence[Tensor]]
"""Name of a choice -> the kept neurons of each layer, int64 indices [k]."""


def find_masks(
    request: Request, task: str, seeds: Sequence[int], m: int, t: float, progress: Progress
) -> tuple[list[int], Masks]:
    """The masks of every seed's target: dual and forget-only by the default score, and dual by every other score.

    Attributions are read from the cache where they are known.

    Returns:
        The number of neurons of each layer, and the masks by name, such as "forget-only, seed 0".
    """
    simu = load("scope", "simu")
    score = next(spec for spec in dataclasses.fields(simu) if spec.name == "score")
    found: dict[str, list[Tensor]] = {}
    sizes: list[int] = []
    for seed in seeds:
        context = make_context(request, prepared(request, task, "full", seed), task, seed, progress)
        sizes = [layer.neurons for layer in layers(context.lm.model)]
        choices = {"dual": simu(m=m, t=t), "forget-only": simu(m=m, t=t, mask="forget-only")}
        others = [name for name in score.metadata["choices"] if name != score.default]
        choices |= {name: simu(m=m, t=t, score=name) for name in others}
        found |= {f"{name}, seed {seed}": choice.masks(context) for name, choice in choices.items()}
    return sizes, found


def shares_by_threshold(
    request: Request, task: str, seeds: Sequence[int], thresholds: Sequence[float], progress: Progress
) -> dict[float, list[float]]:
    """For each threshold the share of all neurons that are critical, one value a seed."""
    found: dict[float, list[float]] = {t: [] for t in thresholds}
    for seed in seeds:
        context = make_context(request, prepared(request, task, "full", seed), task, seed, progress)
        total = sum(layer.neurons for layer in layers(context.lm.model))
        for t in thresholds:
            found[t].append(sum(map(len, load("scope", "simu")(t=t).masks(context))) / total)
    return found


def overlap(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Jaccard index of two masks over all layers: neurons in both / neurons in either; NaN where neither keeps any."""
    both = sum(int(torch.isin(a, b).sum()) for a, b in zip(one, other, strict=True))
    either = sum(map(len, one)) + sum(map(len, other)) - both
    return both / either if either else float("nan")


def describe(sizes: Sequence[int], masks: Masks) -> str:
    """Two tables in Markdown: neurons kept by layer, and the overlap of every pair of masks."""
    heads = [f"layer {n} (of {size})" for n, size in enumerate(sizes)]
    lines = ["| mask | " + " | ".join([*heads, "share"]) + " |", "|---|" + "---|" * (len(heads) + 1)]
    for name, kept in masks.items():
        share = sum(map(len, kept)) / sum(sizes)
        lines.append(f"| {name} | " + " | ".join([*(str(len(k)) for k in kept), f"{share:.1%}"]) + " |")
    lines += ["", "| masks | overlap (Jaccard) |", "|---|---|"]
    lines += [f"| {a} / {b} | {overlap(masks[a], masks[b]):.2f} |" for a, b in combinations(masks, 2)]
    return "\n".join(lines)


def plot(sizes: Sequence[int], masks: Masks, path: Path) -> None:
    """Bars of the share of kept neurons, a group a layer and a bar a mask."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(1.5 + 1.8 * len(sizes), 3.6), layout="constrained")
    width = 0.8 / len(masks)
    for index, (name, kept) in enumerate(masks.items()):
        shares = [len(k) / size for k, size in zip(kept, sizes, strict=True)]
        shade = str(0.15 + 0.7 * index / len(masks))
        places = [layer + index * width for layer in range(len(sizes))]
        axes.bar(places, shares, width, color=shade, edgecolor="black", linewidth=0.4, label=name)
    axes.set_xticks([n + 0.4 - width / 2 for n in range(len(sizes))], [f"layer {n}" for n in range(len(sizes))])
    axes.set_ylabel("share of neurons kept")
    axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
