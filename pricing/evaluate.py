"""How well a rate ranks and fits: deviance, concentration, Gini, lift.

Conventions of the literature: deviance is the mean per row x 100; the Gini orders by predicted rate and compares
shares of claims with shares of exposure, Gini = 1 - 2 x area under (cumulative exposure, cumulative claims).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import gammaincinv, xlogy

from pricing.arrays import Floats, Ints

CONFIDENCE: Final = 0.90


def levelled(expected: Floats, observed: Floats) -> Floats:
    """Expected, scaled to the observed total."""
    scaled: Floats = expected * (observed.sum() / expected.sum())
    return scaled


def poisson_deviance(claims: Floats, expected: Floats) -> float:
    """Mean Poisson deviance per row x 100: 200 x mean(n log(n / mu) - n + mu)."""
    return float(200.0 * np.mean(xlogy(claims, claims / expected) - claims + expected))


def gamma_deviance(amount: Floats, expected: Floats, weight: Floats) -> float:
    """Mean gamma deviance x 100, by weight: 200 x mean(y / mu - 1 - log(y / mu))."""
    ratio = amount / expected
    return float(200.0 * (weight * (ratio - 1.0 - np.log(ratio))).sum() / weight.sum())


def tweedie_deviance(amount: Floats, expected: Floats, power: float) -> float:
    """Mean Tweedie deviance x 100 of a power between 1 and 2, amounts may be 0."""
    p = power
    zero = np.power(amount, 2 - p) / ((1 - p) * (2 - p))
    mixed = amount * np.power(expected, 1 - p) / (1 - p)
    return float(200.0 * np.mean(zero - mixed + np.power(expected, 2 - p) / (2 - p)))


def concentration(claims: Floats, exposure: Floats, rate: Floats) -> tuple[Floats, Floats]:
    """Cumulative shares of exposure and of claims, by rising predicted rate; ties are one point.

    Returns
    -------
    tuple of numpy.ndarray, shape (n_distinct_rates + 1,) each
        Both start at 0 and end at 1.
    """
    order = np.argsort(rate, kind="stable")
    last = np.append(np.flatnonzero(np.diff(rate[order])), len(rate) - 1)
    shares = [np.cumsum(amount[order])[last] / amount.sum() for amount in (exposure, claims)]
    return np.concatenate([[0.0], shares[0]]), np.concatenate([[0.0], shares[1]])


def gini(claims: Floats, exposure: Floats, rate: Floats) -> float:
    """Gini of a predicted rate; 0 for a constant one. `claims` may be true expected claims where they are known."""
    x, y = concentration(claims, exposure, rate)
    return float(1.0 - 2.0 * np.trapezoid(y, x))


def poisson_interval(count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact (Garwood) interval of a Poisson mean, from its count."""
    tail = (1.0 - confidence) / 2.0
    low = float(gammaincinv(count, tail)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1.0 - tail))


@dataclass(frozen=True, slots=True)
class LiftRow:
    """Observed against expected claims of a group. `expected` is the tariff's, level-adjusted to the observed total.

    Attributes
    ----------
    ratio, ratio_low, ratio_high : float
        Observed over expected, with its 90 % Poisson interval.
    predicted : float
        The ratio that the model foretold.
    """

    group: int
    rows: int
    claims: int
    expected: float
    ratio: float
    ratio_low: float
    ratio_high: float
    predicted: float


def lift(group: Ints, claims: Floats, expected: Floats, relativity: Floats) -> list[LiftRow]:
    """Lift by group (a tier, a decile), groups rising.

    Parameters
    ----------
    group : numpy.ndarray, shape (n_rows,)
    claims, expected, relativity : numpy.ndarray, shape (n_rows,)
        Claims, claims expected by the tariff, and the model's relativity to it.
    """
    tariff = expected * (claims.sum() / expected.sum())
    model = expected * relativity * (claims.sum() / (expected * relativity).sum())
    rows = []
    for value in np.unique(group):
        at = group == value
        count, by_tariff = int(claims[at].sum()), float(tariff[at].sum())
        low, high = poisson_interval(count)
        rows.append(
            LiftRow(
                int(value),
                int(at.sum()),
                count,
                by_tariff,
                count / by_tariff,
                low / by_tariff,
                high / by_tariff,
                float(model[at].sum()) / by_tariff,
            )
        )
    return rows


def quantile_groups(rate: Floats, exposure: Floats, groups: int) -> Ints:
    """Groups 1..n of equal exposure by rising rate; equal rates stay together."""
    order = np.argsort(rate, kind="stable")
    middle = np.cumsum(exposure[order]) - exposure[order] / 2
    _, first, index = np.unique(rate[order], return_index=True, return_inverse=True)
    share = middle[first][index] / exposure.sum()
    result = np.empty(len(rate), dtype=np.int64)
    result[order] = np.minimum((share * groups).astype(np.int64), groups - 1) + 1
    return result
