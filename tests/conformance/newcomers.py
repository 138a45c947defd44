"""Methods and a task as newcomers write them: correct ones, and ones with one mistake each.

Their names begin with `newcomer`, so that somebody may add SimNPO to methods/ one day.
"""

from __future__ import annotations

SIMNPO = '''"""SimNPO. Fan et al. 2024, arXiv:2410.07163, eq. 4."""

from dataclasses import dataclass
from typing import ClassVar

from torch.nn import functional as F

from bench.api import LossTerms, method, objective, param
from bench.contracts import Step


@objective("newcomer-simnpo")
@dataclass(frozen=True)
class SimNPO:
    """NPO without a reference, by the log-probability a token: long answers do not count for more."""

    reference: ClassVar[bool] = False
    beta: float = param(2.5, "inverse temperature", gt=0)
    margin: float = param(0.0, "the paper's gamma; Sophia has a parameter of that name", ge=0)
    weight: float = param(0.1375, "weight of the forget term", gt=0)

    def loss(self, step: Step) -> LossTerms:
        """-(2 / beta) mean_i log sigmoid(-beta / n_i logp_i - gamma), and descent on the retain set."""
        a_token = step.forget.sums() / step.forget.counts()
        forget = -(2 / self.beta) * F.logsigmoid(-self.beta * a_token - self.margin).mean()
        retain = step.retain.cross_entropy()
        return LossTerms(self.weight * forget + retain, {"forget": forget, "retain": retain})


method("newcomer-fo-simnpo", "SimNPO, first order", objective="newcomer-simnpo")
method("newcomer-so-simnpo", "SimNPO, second order", objective="newcomer-simnpo", optimizer="sophia")
'''

RMU = '''"""Representation misdirection. Li et al. 2024, arXiv:2403.03218, section 4."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.api import LossTerms, hidden, method, objective, param
from bench.contracts import Step


@objective("newcomer-rmu")
@dataclass(frozen=True)
class RMU:
    """Steer what a layer holds of the forget set to a random direction, and keep what it holds of the retain set."""

    reference: ClassVar[bool] = False
    layer: int = param(-1, "the layer, negative from the last")
    c: float = param(6.5, "length of the direction", gt=0)
    alpha: float = param(100.0, "weight of the retain set", ge=0)

    @property
    def needs(self):
        return hidden(self.layer, "retain")

    def loss(self, step: Step) -> LossTerms:
        """E |h(x_f) - c u|^2 + alpha E |h(x_r) - h_start(x_r)|^2, u a unit vector drawn once."""
        here = step.hidden("forget")
        u = torch.from_numpy(step.stream("direction").random(here.shape[-1])).to(here)
        forget = self._distance(step, "forget", here, self.c * u / u.norm())
        retain = self._distance(step, "retain", step.hidden("retain"), step.start_hidden("retain"))
        return LossTerms(forget + self.alpha * retain, {"forget": forget, "retain": retain})

    def _distance(self, step, which, a, b):
        """Mean over an answer's labels, then over the answers."""
        return step.answer_means(which, (a - b).square().mean(-1)).mean()


method("newcomer-fo-rmu", "RMU on every MLP, first order", objective="newcomer-rmu", scope="mlp")
'''

SHRINK = '''"""Shrinking: no loop at all. Me 2026."""

from dataclasses import dataclass

import torch

from bench.api import param, transform
from bench.contracts import Context


@transform("newcomer-shrink", "every weight a little smaller")
@dataclass(frozen=True)
class Shrink:
    """A baseline that forgets everything alike."""

    by: float = param(0.01, "share that every weight loses", gt=0, lt=1)

    def __call__(self, context: Context):
        with torch.no_grad():
            for weight in context.lm.model.parameters():
                weight.mul_(1 - self.by)
        return context.lm
'''

ADDING = '''"""A change beside each down-projection. Me 2026."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

from bench.api import method, scope
from bench.model.architecture import layers


class Changed(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.change = nn.Parameter(torch.randn_like(weight) * 1e-3)

    def forward(self, weight):
        return weight + self.change


@scope("newcomer-beside")
@dataclass(frozen=True)
class Beside:
    """W becomes W + D, and only D moves."""

    @contextmanager
    def adapters(self, context):
        downs = [layer.down for layer in layers(context.lm.model)]
        for down in downs:
            parametrize.register_parametrization(down, "weight", Changed(down.weight))
        try:
            yield
        finally:
            for down in downs:
                parametrize.remove_parametrizations(down, "weight")

    def select(self, context):
        return {name: None for name, _ in context.lm.model.named_parameters() if name.endswith(".change")}


method("newcomer-beside", "ascent on a change beside the weights", objective="ga", scope="newcomer-beside")
'''

BROKEN = '''"""A method with a mistake. Me 2026."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.api import LossTerms, method, objective, param
from bench.contracts import Step


@objective("newcomer")
@dataclass(frozen=True)
class Broken:
    """Ascent."""

    reference: ClassVar[bool] = False
    floor: float = param(-50.0, "a floor", lt=0)

    def loss(self, step: Step) -> LossTerms:
        forget = step.forget.sums().clamp(min=self.floor).mean()
        return LossTerms(forget, {"forget": forget})


method("newcomer", "ascent with a mistake", objective="newcomer", scope="mlp")
'''

LINE = "        forget = step.forget.sums().clamp(min=self.floor).mean()\n"
MISTAKES = {
    "no source": ("Me 2026.", "", "cite where 'newcomer' comes from"),
    "no description": ("ascent with a mistake", "", "say in a line what 'newcomer' is"),
    "no docstring": ('    """Ascent."""\n', '    """"""\n', "say in the docstring"),
    "not frozen": ("(frozen=True)", "", "must not change: @dataclass(frozen=True)"),
    "a parameter without words": ('param(-50.0, "a floor", lt=0)', "-50.0", "declare floor with param(default, doc)"),
    "a value that text cannot give": ("floor: float = param(-50.0", "floor: int = param(-50.5", "whole number"),
    "a global generator": (
        LINE,
        LINE + "        forget = forget * torch.rand(())\n",
        "is another each time. Draw from",
    ),
    "no gradient": (LINE, LINE + "        forget = forget.detach()\n", "its loss has no gradient"),
    "not finite": (LINE, LINE + "        forget = forget + torch.log(forget - forget)\n", "its loss is -inf"),
    "a gradient that is not finite": (
        LINE,
        LINE + "        forget = forget + (forget - forget.detach()).sqrt()\n",
        "the gradient of its loss is not finite",
    ),
    "a clamp that has shut": ("param(-50.0", "param(-1e-9", "the gradient is 0 in every weight"),
    "no scalar": (".mean()\n", "\n", "no scalar but (4,). Take the mean"),
    "a mean that parts of a batch do not have": (
        LINE,
        "        forget = step.forget.logp.sum() / step.forget.mask.sum()\n",
        "would depend on how batches are cut. Take means",
    ),
    "a forget row that looks at the retain row beside it": (
        LINE,
        "        forget = (step.forget.sums() * step.retain.sums()).mean()\n",
        "which are drawn by chance. Take a mean over each set",
    ),
    "weights changed in the loss": (
        LINE,
        LINE + "        step.model.get_input_embeddings().weight.data.mul_(0.999)\n",
        "is another each time",
    ),
    "a gradient that is not the loss's": (
        LINE,
        LINE + "        forget = 2 * forget.detach() - forget\n",
        "no small step against its gradient lowers its loss",
    ),
}
"""Of the broken method: what it is, what is replaced, by what, and what its author is told."""

TRANSFORM_MISTAKES = {
    "no model": ("        return context.lm\n", "", "returns NoneType, not the model"),
    "a changed set": (
        "        return context.lm\n",
        "        context.forget.pop()\n        return context.lm\n",
        "changed the forget set that it was handed. Work on a copy",
    ),
    "a global generator": ("1 - self.by", "1 - self.by * torch.rand(())", "run twice gives other weights"),
    "weights that are not finite": ("1 - self.by", "float('inf')", "weights that are not finite"),
    "a hook left behind": (
        "        return context.lm\n",
        "        context.lm.model.lm_head.register_forward_hook(lambda m, i, o: o * 2)\n        return context.lm\n",
        "has a hook or a function of its own on lm_head (Linear), which no file of weights holds",
    ),
}

ADDING_MISTAKES = {
    "what was added stays": (
        """            for down in downs:
                parametrize.remove_parametrizations(down, "weight")
""",
        "            pass\n",
        "Merge what the scope adds into the weights and take it out when the block of `adapters` ends",
    ),
    "frozen weights stay frozen": (
        "            for down in downs:\n                parametrize.remove",
        "            context.lm.model.requires_grad_(False)\n"
        "            for down in downs:\n                parametrize.remove",
        "as trainable=False, where it was trainable=True",
    ),
    "another weight": (
        "            for down in downs:\n                parametrize.remove",
        "            context.lm.model.get_input_embeddings().weight.data[0, 0] += 1\n"
        "            for down in downs:\n                parametrize.remove",
        "moved model.embed_tokens.weight, which is outside of its scope",
    ),
    "a generator of its own": (
        "torch.randn_like(weight) * 1e-3",
        "torch.randn(weight.shape, generator=torch.Generator().manual_seed(torch.seed() % 2**31)) * 1e-3",
        "run twice gives other weights",
    ),
}
"""The same of the scope that adds weights."""

TASK = '''"""A benchmark of its own: forget what a few towns are known for. Me 2026."""

from dataclasses import dataclass
from typing import ClassVar

from bench.api import Pair, Probes, Prompt, Splits, Text, task

NAMES = ("Arden", "Brill", "Corve", "Dunmore", "Elstow", "Farrow", "Garth", "Holme", "Ingle", "Jarrow", "Kelso", "Lune")


@task("newcomer-towns")
@dataclass(frozen=True)
class Towns:
    """Two numbers, neither of them one of TOFU's roles but the first."""

    name: str
    version: ClassVar[int] = 1
    headlines: ClassVar = {"said of the forget set": "rouge"}
    details: ClassVar = {}
    scores: ClassVar = ("rouge", "probability")
    floors: ClassVar = {}

    def data(self, source: str) -> Splits:
        pairs = tuple(Pair(f"What is {name} known for?", f"the bridge of {name}") for name in NAMES)
        forget, retain = pairs[:4], pairs[4:]
        texts = tuple(Text("forget", str(i), str(i), "answer", p.prompt, p.answer) for i, p in enumerate(forget))
        prompts = tuple(
            Prompt("forget", str(i), str(i), "question", p.prompt, p.answer, 8) for i, p in enumerate(forget)
        )
        corpus = tuple(f"Question: {p.prompt}\\nAnswer: {p.answer}" for p in pairs)
        return Splits((), (), forget, retain, Probes(texts, prompts), corpus)
'''
