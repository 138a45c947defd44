"""Forget truth ratio. Maini et al. 2024 (TOFU), arXiv:2401.06121."""

from typing import ClassVar

import numpy as np

from bench.api import metric
from bench.metrics._compat import EPSILON
from bench.metrics._forms import Mean


@metric("truth_ratio")
class TruthRatio(Mean):
    """Mean of min(R, 1/R) over the forget set: 1 where false and true answers are equally likely."""

    title: ClassVar = "forget truth ratio"
    needs: ClassVar = (("forget", "log_truth_ratio"),)

    def value(self, x: np.ndarray) -> np.ndarray:
        """exp(-|log R|); open-unlearning's min(R, 1 / (R + 1e-10)) under its name."""
        if self.compat == "open-unlearning":
            return np.exp(np.minimum(x, -np.logaddexp(x, np.log(EPSILON))))
        return np.exp(-np.abs(x))
