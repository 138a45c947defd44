"""How much the inputs of low-rank updates overlap. O3, arXiv:2407.10223."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def overlap(current: Mapping[str, Tensor], earlier: Sequence[Mapping[str, Tensor]], layers: int) -> Tensor:
    """The sum over modules and earlier requests of ||A_i A_t'||_F^2, over the number of layers; a scalar.

    It is 0 where the rows of every earlier A_i are orthogonal to those of A_t, and the rank for each module where
    A_t = A_i has orthonormal rows. Without an earlier request it is 0 and has no gradient.

    Args:
        current: module -> A_t [r, inputs].
        earlier: of each earlier request, module -> A_i [r_i, inputs].
        layers: how many decoder layers the modules belong to.
    """
    found = [(past[name] @ now.T).square().sum() for past in earlier for name, now in current.items() if name in past]
    return torch.stack(found).sum() / layers if found else torch.zeros(())
