"""Intervals: exact for Poisson counts, bootstrap by driver for what has no formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from pricing.arrays import Floats, Ints
from pricing.evaluate import CONFIDENCE

RESAMPLES: Final = 200
SEED: Final = 20261


def poisson_interval(counts: npt.ArrayLike, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Exact (Garwood) interval of Poisson means: covers at least `confidence`, whatever the mean.

    Parameters
    ----------
    counts : array_like, shape (n,)

    Returns
    -------
    tuple of numpy.ndarray, shape (n,) each
        Lower and upper ends.
    """
    n, tail = np.asarray(counts, dtype=np.float64), (1.0 - confidence) / 2.0
    low = np.where(n > 0, gammaincinv(np.where(n > 0, n, 1.0), tail), 0.0)
    high: Floats = gammaincinv(n + 1.0, 1.0 - tail)
    return low, high


def actual_over_expected(claims: Floats, expected: Floats, prefix: str = "ae") -> dict[str, Floats]:
    """Columns of actual over expected claims with the exact 90 % interval: `ae`, `ae_low`, `ae_high`."""
    low, high = poisson_interval(claims)
    return {prefix: claims / expected, f"{prefix}_low": low / expected, f"{prefix}_high": high / expected}


def bootstrap(
    driver: Ints, measure: Callable[[Floats], Any], resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Percentile interval of a weighted measure when drivers are drawn again with replacement.

    Parameters
    ----------
    driver : numpy.ndarray of int, shape (n_rows,)
        Rows of a driver are drawn together.
    measure : callable
        From weights of shape (n_rows,) to a number or an array of numbers.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends, of the measure's shape. The seed is fixed, so a table comes out the same each time.
    """
    rng = np.random.default_rng(SEED)
    people = int(driver.max()) + 1
    found = [
        measure(rng.multinomial(people, np.full(people, 1.0 / people))[driver].astype(np.float64))
        for _ in range(resamples)
    ]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.asarray(found), [tail, 1.0 - tail], axis=0)
    return low, high
