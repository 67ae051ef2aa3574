"""Severity: what a paid claim costs, beside how many there are. Gamma, on amounts capped by the plan.

log amount = log tariff's amount + level + a + b Z s, Z = km / (km + kappa)

Judgements:

1. A claim counts with at most `model.large_claim_cap`: one wreck says little about driving, and the cap's excess is for
   the tariff to spread.
2. Claims closed at nothing say nothing of amounts: severity is that of paid claims, and the share that are paid is
   taken as the same for all drivers.
3. Amounts vary far more than counts. If the interval of the slope b does not lie above 0, or no number of trees was
   better than none, severity has no trees: the relativity is then frequency's alone.
4. kappa is the smallest of the plan's grid that paid claims do not reject, as for frequency.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pricing.arrays import Floats
from pricing.credibility import CHI2_90, Z_90, Calibration, credibility, newton
from pricing.evaluate import gamma_deviance
from pricing.sample import Goal

PARAMETERS: Final = 2  # a and b


def calibrate(goal: Goal, expected: Floats, km: Floats, score: Floats, kappas_km: tuple[float, ...]) -> Calibration:
    """Slope and kappa of severity on out-of-fold scores; b = 0 where the score says nothing.

    Parameters
    ----------
    goal : Goal
        Of `Sample.severity`.
    expected, km, score : numpy.ndarray, shape (n_rows,)
        Amount of a claim before the score, distance in the window, centred out-of-fold score.
    kappas_km : tuple of float
        Grid, rising.
    """
    told = goal.told
    y, w, mu, far, s = goal.observed[told], goal.weight[told], expected[told], km[told], score[told]
    fits = {kappa: _slope(y, w, mu, credibility(far, kappa) * s) for kappa in kappas_km}
    deviances = {
        kappa: gamma_deviance(y, mu * np.exp(a + b * credibility(far, kappa) * s), w)
        for kappa, (a, b, _, _) in fits.items()
    }
    spread = fits[min(deviances, key=deviances.__getitem__)][3]
    worst_not_rejected = min(deviances.values()) + 100 * CHI2_90 * spread / w.sum()  # mean deviance x 100
    kappa = next(k for k in kappas_km if deviances[k] <= worst_not_rejected)
    a, b, error, _ = fits[kappa]
    return Calibration(a, b, b - Z_90 * error, b + Z_90 * error, kappa, deviances[kappa], deviances)


def dispersion(goal: Goal) -> float:
    """Pearson's, of paid claims about the tariff: variance of an amount over its squared mean."""
    told = goal.rows(goal.told)
    return _dispersion(told.observed, told.weight, told.base * np.exp(told.level))


def _slope(y: Floats, w: Floats, mu: Floats, x: Floats) -> tuple[float, float, float, float]:
    """Gamma regression log mean = log mu + a + b x by Newton's method: a, b, b's standard error, dispersion."""
    level = float(np.log((w * y).sum() / (w * mu).sum()))
    if np.ptp(x) == 0:
        return level - float(x[0]), 1.0, 0.0, _dispersion(y, w, mu * np.exp(level))

    def at(a: float, b: float) -> tuple[Floats, Floats]:
        ratio = w * y / (mu * np.exp(a + b * x))
        return ratio - w, ratio  # observed information

    a, b, error = newton(at, level, x)
    spread = _dispersion(y, w, mu * np.exp(a + b * x))
    return a, b, float(error * np.sqrt(spread)), spread


def _dispersion(y: Floats, w: Floats, mu: Floats) -> float:
    return float((w * ((y - mu) / mu) ** 2).sum() / max(len(y) - PARAMETERS, 1))
