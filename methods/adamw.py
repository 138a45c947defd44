"""AdamW: the first-order optimizer of the field. Loshchilov and Hutter 2019, arXiv:1711.05101."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bench.api import optimizer, param
from methods._groups import decay_groups


@optimizer("adamw")
@dataclass(frozen=True)
class AdamW:
    """AdamW with decoupled weight decay, in torch's fused form.

    Defaults: learning rate and decay are those of SOUL's first-order GradDiff on TOFU (Jia et al. 2024,
    arXiv:2404.18239, the configuration of its code); betas and eps are torch's defaults, which that code uses. The
    original TOFU code (arXiv:2401.06121) and open-unlearning take lr 1e-5 and decay 0.01.

    Cost: 8 bytes of state a weight that may move, two averages.
    """

    lr: float = param(5e-6, "learning rate", gt=0, search=(5e-7, 2e-4, "rate"))
    beta1: float = param(0.9, "decay of the gradient's moving average", ge=0, lt=1)
    beta2: float = param(0.999, "decay of the squared gradient's moving average", ge=0, lt=1)
    eps: float = param(1e-8, "added to the denominator", gt=0)
    weight_decay: float = param(0.1, "decoupled decay of matrices; norms and biases never decay", ge=0)

    def build(self, params: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        groups = decay_groups(params, self.weight_decay)
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)
