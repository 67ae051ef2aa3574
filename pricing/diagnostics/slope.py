"""Slope of claims on the log of a relativity: 1 where it is neither too bold nor too timid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.arrays import Floats
from pricing.credibility import ITERATIONS, TOLERANCE, Z_90


@dataclass(frozen=True, slots=True)
class Slope:
    """Level and slope of log claims over log expected, with the slope's 90 % interval (Fisher information)."""

    level: float
    slope: float
    low: float
    high: float


LEAST_CLAIMS: Final = 5


def calibration_slope(claims: Floats, mu0: Floats, relativity: Floats) -> Slope | None:
    """Poisson regression log lambda = log mu0 + level + slope x log relativity, by Newton's method.

    Parameters
    ----------
    claims, mu0, relativity : numpy.ndarray, shape (n_rows,)

    Returns
    -------
    Slope or None
        None where a slope cannot be told: fewer than five claims, or one relativity for all.
    """
    x = np.log(relativity)
    if claims.sum() < LEAST_CLAIMS or np.ptp(x) == 0:
        return None
    design = np.column_stack([np.ones(len(x)), x])
    coefficients = np.array([np.log(claims.sum() / mu0.sum()), 0.0])
    information = np.eye(2)
    for _ in range(ITERATIONS):
        expected = mu0 * np.exp(design @ coefficients)
        information = design.T @ (design * expected[:, None])
        step = np.linalg.solve(information, design.T @ (claims - expected))
        step /= max(1.0, float(np.abs(step).max()))  # Newton may overshoot
        coefficients = coefficients + step
        if np.abs(step).max() < TOLERANCE:
            break
    error = float(np.sqrt(np.linalg.inv(information)[1, 1]))
    level, slope = map(float, coefficients)
    return Slope(level, slope, slope - Z_90 * error, slope + Z_90 * error)
