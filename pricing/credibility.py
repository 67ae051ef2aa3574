"""Calibration and credibility in one Poisson regression, on out-of-fold scores.

log lambda = offset + a + b Z s, Z = km / (km + kappa)

b says whether the score is too bold (below 1) or too timid; Z says how much of it a driver's distance earns.

Judgements:

1. kappa = 0 (Z = 1) is a valid result, since event rates are shrunk before. The smallest kappa is taken that the data
   do not reject, by the likelihood ratio at 90 %: a kappa that is only luck makes Z small for all and b large.
2. The rounds of boosting and kappa are chosen on the same out-of-fold scores, which flatters b a little; the choice
   is of two numbers against thousands of claims.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.arrays import Floats
from pricing.errors import ModelError
from pricing.evaluate import poisson_deviance

Z_90: Final = 1.6448536269514722  # two-sided 90 % of the normal distribution
CHI2_90: Final = 2.705543454095404  # 90 % of chi-squared with one degree of freedom
ITERATIONS: Final = 50
TOLERANCE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Calibration:
    """The frozen constants, and what they were chosen by."""

    a: float
    b: float
    b_low: float  # 90 % interval from the Fisher information; equal to b where there is no score to calibrate
    b_high: float
    kappa_km: float
    deviance: float  # mean Poisson deviance x 100, out of fold
    deviance_by_kappa: dict[float, float]

    def accepted(self, band: tuple[float, ...]) -> bool:
        """Tell whether the interval of b meets the band."""
        return self.b_low <= band[1] and self.b_high >= band[0]


def credibility(km: Floats, kappa_km: float) -> Floats:
    """Z = km / (km + kappa), in [0, 1]; 1 for kappa = 0, 0 without distance."""
    driven = np.nan_to_num(km, nan=0.0)
    return np.where(driven > 0, driven / np.where(driven > 0, driven + kappa_km, 1.0), 0.0)


def fit(claims: Floats, expected: Floats, km: Floats, score: Floats, kappas_km: tuple[float, ...]) -> Calibration:
    """Choose kappa by out-of-fold deviance, and estimate a and b.

    Parameters
    ----------
    claims, expected : numpy.ndarray, shape (n_rows,)
        Claims, and expected claims before the score.
    km : numpy.ndarray, shape (n_rows,)
        Distance in the feature window.
    score : numpy.ndarray, shape (n_rows,)
        Score of a model that has not seen the row's driver, centred.
    kappas_km : tuple of float
        Grid, rising.
    """
    fits = {kappa: _slope(claims, expected, credibility(km, kappa) * score) for kappa in kappas_km}
    deviances = {
        kappa: poisson_deviance(claims, expected * np.exp(a + b * credibility(km, kappa) * score))
        for kappa, (a, b, _) in fits.items()
    }
    worst_not_rejected = min(deviances.values()) + 100 * CHI2_90 / len(claims)  # mean deviance x 100
    kappa = next(k for k in kappas_km if deviances[k] <= worst_not_rejected)
    a, b, error = fits[kappa]
    return Calibration(a, b, b - Z_90 * error, b + Z_90 * error, kappa, deviances[kappa], deviances)


def _slope(claims: Floats, expected: Floats, x: Floats) -> tuple[float, float, float]:
    """Maximum likelihood a, b of log lambda = log expected + a + b x by Newton's method, and b's standard error."""
    if claims.sum() == 0:
        raise ModelError("no claim in the training year: nothing can be calibrated; give more months or policies")
    level = float(np.log(claims.sum() / expected.sum()))
    if np.ptp(x) == 0:
        return level - float(x[0]), 1.0, 0.0

    def at(a: float, b: float) -> tuple[Floats, Floats]:
        rate = expected * np.exp(a + b * x)
        return claims - rate, rate  # Fisher information

    return newton(at, level, x)


def newton(at: Callable[[float, float], tuple[Floats, Floats]], level: float, x: Floats) -> tuple[float, float, float]:
    """Maximum likelihood a, b of a log mean with a + b x, and b's standard error, by Newton's method.

    Parameters
    ----------
    at : callable
        Slope and information of each row, shape (n_rows,) each, by its log mean, at a and b.
    level : float
        Where a starts; b starts at 0.
    x : numpy.ndarray, shape (n_rows,)
        Not all equal.
    """
    a, b, error = level, 0.0, np.inf
    for _ in range(ITERATIONS):
        slope, information = at(a, b)
        slope_a, slope_b = slope.sum(), (slope * x).sum()
        i_aa, i_ab, i_bb = information.sum(), (information * x).sum(), (information * x * x).sum()
        determinant = i_aa * i_bb - i_ab * i_ab
        step_a = (i_bb * slope_a - i_ab * slope_b) / determinant
        step_b = (i_aa * slope_b - i_ab * slope_a) / determinant
        error = np.sqrt(i_aa / determinant)
        longest = max(abs(step_a), abs(step_b))
        a, b = a + step_a / max(1.0, longest), b + step_b / max(1.0, longest)  # Newton may overshoot
        if longest < TOLERANCE:
            break
    return float(a), float(b), float(error)
