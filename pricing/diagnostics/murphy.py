"""Murphy's decomposition of the deviance: score = uncertainty - discrimination + miscalibration.

Uncertainty is the deviance of one rate for all; discrimination is what the order of a rate is worth once its values
are made right by isotonic regression; miscalibration is what its values cost against those (Dimitriadis, Gneiting and
Jordan 2021; Fissler, Lorentzen and Mayer 2022). All are mean Poisson deviance x 100 a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import xlogy

from pricing.arrays import Floats

RATE_DECIMALS: Final = 12  # of claims a year


@dataclass(frozen=True, slots=True)
class Murphy:
    """The parts, mean Poisson deviance x 100; score = uncertainty - discrimination + miscalibration."""

    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float


def murphy(claims: Floats, years: Floats, expected: Floats) -> Murphy:
    """Decompose the deviance of expected claims, arrays of shape (n_rows,)."""
    level = years * (claims.sum() / years.sum())
    score, uncertainty = _deviance(claims, expected), _deviance(claims, level)
    recalibrated = _deviance(claims, isotonic(claims, years, expected))
    return Murphy(score, score - recalibrated, uncertainty - recalibrated, uncertainty)


def isotonic(claims: Floats, years: Floats, expected: Floats) -> Floats:
    """Claims expected by the isotonic regression of the claim rate on the predicted rate. Shape (n_rows,)."""
    # Rates that differ in the last bits alone are one rate: a flat rate orders nobody.
    values, index = np.unique(np.round(expected / years, RATE_DECIMALS), return_inverse=True)
    n, t = np.bincount(index, claims, len(values)), np.bincount(index, years, len(values))
    fitted: Floats = isotonic_regression(n / t, weights=t).x[index] * years
    return fitted


def _deviance(claims: Floats, expected: Floats) -> float:
    # A block without claims is fitted to 0: its own rows add nothing.
    ratio = np.where(claims > 0, claims / np.where(expected > 0, expected, 1.0), 1.0)
    return float(200.0 * np.mean(xlogy(claims, ratio) - claims + expected))
