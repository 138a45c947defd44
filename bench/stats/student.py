"""Student's t, which is the normal distribution where its degrees of freedom are infinite."""

from __future__ import annotations

import math
from statistics import NormalDist


def quantile(share: float, df: float) -> float:
    """Quantile of Student's t with `df` degrees of freedom, of the normal distribution where they are infinite."""
    if math.isinf(df):
        return NormalDist().inv_cdf(share)
    from scipy.special import stdtrit

    return float(stdtrit(df, share))
