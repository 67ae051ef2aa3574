"""Event rates by empirical Bayes: few kilometres pull a rate to the book's, many leave it alone.

n ~ Poisson(r T), r ~ Gamma(a, b), T in 100 km; the estimate of r is (n + a) / (T + b). The prior is fitted by
moments on training drivers only and frozen in the model.

Judgements:

1. Where counts vary no more than chance says, all drivers get the book's rate: b is capped at `MAX_PRIOR` times the
   book's mean exposure.
2. A driver whose count is not known, or without exposure, has no rate (NaN), not the book's: the model treats
   missing as missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.arrays import Floats
from pricing.canonical import canonical

MAX_PRIOR: Final = 1_000.0


@dataclass(frozen=True, slots=True)
class GammaPrior:
    """Gamma prior of an event rate per 100 km: shape `a`, rate `b` in 100 km; a / b is the book's rate."""

    a: float
    b: float

    def rate(self, count: Floats, exposure_100km: Floats) -> Floats:
        """Posterior mean of the rate per 100 km; NaN where the count is NaN or there is no exposure."""
        known = ~np.isnan(count) & (exposure_100km > 0)
        rate: Floats = (count + self.a) / (np.where(known, exposure_100km, 1.0) + self.b)
        return np.where(known, rate, np.nan)


def fit(count: Floats, exposure_100km: Floats) -> GammaPrior:
    """Fit a prior by moments.

    With mean m = sum n / sum T, the variance of the rate is v = (sum (n - m T)^2 - sum m T) / sum T^2, what the
    counts vary beyond Poisson; then b = m / v and a = m b.

    Parameters
    ----------
    count : numpy.ndarray, shape (n_drivers,)
        Events; NaN where not known.
    exposure_100km : numpy.ndarray, shape (n_drivers,)
        Distance in which they were counted, in 100 km.
    """
    known = ~np.isnan(count) & (exposure_100km > 0)
    n, t = count[known], exposure_100km[known]
    if n.size == 0:
        return GammaPrior(0.0, 1.0)
    widest = MAX_PRIOR * float(t.mean())
    mean = float(n.sum() / t.sum())
    if mean == 0:
        return canonical(GammaPrior(0.0, widest))
    variance = float((((n - mean * t) ** 2).sum() - n.sum()) / (t**2).sum())
    b = min(mean / variance, widest) if variance > 0 else widest
    return canonical(GammaPrior(mean * b, b))
