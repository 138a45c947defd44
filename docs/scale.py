"""What a full study costs on paper: 24 methods, 6 tasks, 5 seeds, 3 sizes, on machines that are not here.

    python docs/scale.py DIR          DIR holds the files of TOFU and LUME; writes the table of docs/scale.md anew

Shapes are those of Llama's three small sizes; no weights are loaded. Texts are read by a tokenizer made of themselves.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, PreTrainedTokenizerFast
from tuning_1b import table

from bench.cli.cells import data_source
from bench.registry import select
from bench.run.estimate import Estimate, Place, estimates
from bench.run.grid import jobs_of
from bench.run.plan import Planned, Request, plan, splits
from bench.run.simulate import Cluster, Cost, Played, play
from bench.run.site import Site
from bench.run.speed import Speed
from bench.store.record import CONTROLS

PAGE = Path(__file__).with_suffix(".md")
PLACE = re.compile(r"(<!-- paper -->\n).*?(<!-- end -->)", re.S)
LEFT_OUT = ("interpolation", "finetune", "key-space-detection", "neuron-adjust", "o3")
"""Of the methods that there are, so that this many remain:"""
METHODS = 24
TASKS = ("tofu:forget01", "tofu:forget05", "tofu:forget10", "lume:task1", "lume:task2", "lume:task3")
SEEDS = (0, 1, 2, 3, 4)
GPU = Speed(flops=0.4 * 312e12, operations=2e5, bytes=1.5e12)
"""A guess, of an A100: 40% of its products in bfloat16, 200,000 kernels a second, and its memory's speed."""
CLUSTER = Cluster(nodes=16, gpus=8, memory=80)
SIZES = {
    "1B": {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "intermediate_size": 8192},
    "3B": {"hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24, "intermediate_size": 8192},
    "8B": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 14336},
}
VOCABULARY = 128256
STEPS = ("taught", "unlearned", "measured")


class Paper(NamedTuple):
    """One size of the study.

    Attributes:
        cells, models: how many; models are targets and retrain models.
        hours: of an accelerator, by step.
        stored: bytes of the models that stay.
        most: bytes of the job that takes most memory.
        played: on `CLUSTER`.
    """

    cells: int
    models: int
    hours: dict[str, float]
    stored: int
    most: int
    played: Played


def shape(size: str, folder: Path, texts: Sequence[str]) -> Path:
    """A directory with the configuration of a size, and a tokenizer; no weights."""
    own = dict(SIZES[size], num_key_value_heads=8, vocab_size=VOCABULARY, tie_word_embeddings=size != "8B")
    LlamaConfig(**own, max_position_embeddings=8192, bos_token_id=0, eos_token_id=1).save_pretrained(folder)
    made = ByteLevelBPETokenizer()
    made.train_from_iterator(texts, vocab_size=16384, special_tokens=["<s>", "</s>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    save_file({"none": torch.zeros(1)}, folder / "model.safetensors")
    return folder


def costs(request: Request, cells: Sequence[Planned]) -> list[Estimate]:
    """What each job takes an accelerator of `CLUSTER`; one that does not fit takes what it takes."""
    return estimates(request, cells, place=Place(1 << 50, GPU))


def kind(estimate: Estimate) -> str:
    """Which step an estimate is of."""
    if estimate.planned is None:
        return "taught"
    return "measured" if estimate.planned.composed.method.control else "unlearned"


def study(size: str, data: str, methods: Sequence[str], tasks: Sequence[str], seeds: Sequence[int]) -> Paper:
    """The study at one size."""
    with tempfile.TemporaryDirectory() as place:
        texts = [f"{p.prompt} {p.answer}" for task in tasks for p in splits(task, data).lessons("full")]
        folder = shape(size, Path(place, size), texts)
        request = Request(str(folder), data, Path(place, "results"), Path(place, "cache"), precision="bfloat16")
        cells = plan(request, methods, tasks, seeds)
        found = costs(request, cells)
        weights = Site(request, tasks[0]).weight_bytes
        jobs = jobs_of(request, cells)
        played = play(jobs, {e.name: Cost(e.seconds, e.bytes) for e in found}, CLUSTER)
    hours: dict[str, float] = defaultdict(float)
    looked = {e.planned.cell.task: e.seconds for e in found if e.planned and e.planned.composed.method.control}
    for each in found:
        hours[kind(each)] += each.seconds / 3600
        if kind(each) == "unlearned" and each.planned:  # which includes measuring, as long as of a control
            hours["measured"] += looked[each.planned.cell.task] / 3600
            hours["unlearned"] -= looked[each.planned.cell.task] / 3600
    taught = [e for e in found if e.planned is None]
    return Paper(len(cells), len(taught), dict(hours), len(taught) * weights, max(e.bytes for e in found), played)


def more(paper: Paper) -> float:
    """Hours that one more method takes in the mean; nothing is taught for it."""
    return (paper.hours["unlearned"] + paper.hours["measured"]) / METHODS


def lines(papers: dict[str, Paper]) -> str:
    """The table."""
    rows = []
    for size, p in papers.items():
        total = sum(p.hours.values())
        shares = [f"{p.hours.get(step, 0):.0f} ({p.hours.get(step, 0) / total:.0%})" for step in STEPS]
        memory, stored = f"{p.most / 1e9:.0f} GB", f"{p.stored / 1e12:.2f} TB"
        rows.append([size, str(p.cells), str(p.models), *shares, f"{total:.0f}", stored, memory,
                     f"{p.played.seconds / 3600:.1f} h", f"{p.played.idle:.0%}", f"{more(p) / total:.1%}"])  # fmt: skip
    head = ["size", "cells", "models taught", "hours teaching", "unlearning", "measuring", "in all", "models kept",
            "largest job", "16 x 8 GPUs", "idle", "one more method"]  # fmt: skip
    return table(head, rows)


def main() -> None:
    """Write the page's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    data = data_source(parser.parse_args().data)
    methods = [m for m in select("method", "all") if m not in LEFT_OUT]
    if len(methods) - len(CONTROLS) != METHODS:
        raise SystemExit(f"{len(methods)} methods: name those that are left out anew")
    papers = {}
    for size in SIZES:
        papers[size] = study(size, data, methods, TASKS, SEEDS)
        print(size, papers[size], flush=True)
    found = lines(papers)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda place: f"{place[1]}\n{found}\n\n{place[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
