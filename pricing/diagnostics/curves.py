"""Concentration and Lorenz curves: how well a rate ranks (Gini), and how far it is from what it ranks (ABC).

Rows are ordered by rising predicted rate. The concentration curve sums observed claims, the Lorenz curve the claims
that the rate itself foretells, both against the share of policy years. ABC is the area between them (Denuit, Sznajder
and Trufin 2019); an auto-calibrated rate has ABC 0 but for chance. Gini = 1 - 2 x area under the concentration curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from pricing.arrays import Floats, Ints
from pricing.diagnostics.intervals import bootstrap
from pricing.diagnostics.validated import Validated

POINTS: Final = 50  # of a curve as it is kept: a point is fifty rows or more on any book worth a model


@dataclass(frozen=True, slots=True)
class Ordered:
    """A predicted rate, sorted once, so that a resample costs a sum and no sort.

    Attributes
    ----------
    order : numpy.ndarray of int, shape (n_rows,)
        Rows by rising rate.
    last : numpy.ndarray of int
        Last row of each run of equal rates: within one there is no order.
    """

    order: Ints
    last: Ints

    @classmethod
    def by(cls, rate: Floats) -> Ordered:
        """Sort."""
        order = np.argsort(rate, kind="stable")
        return cls(order, np.append(np.flatnonzero(np.diff(rate[order])), len(rate) - 1))

    def cumulated(self, amount: Floats) -> Floats:
        """Cumulative shares, from 0 to 1."""
        sums = np.cumsum(amount[self.order])[self.last]
        return np.concatenate([[0.0], sums / sums[-1]])

    def area(self, exposure: Floats, amount: Floats) -> float:
        """Area under the curve of an amount against exposure."""
        return float(np.trapezoid(self.cumulated(amount), self.cumulated(exposure)))


def gini_and_abc(sample: Validated, expected: Floats) -> dict[str, float]:
    """Gini and ABC of expected claims, with bootstrap intervals by driver.

    Returns
    -------
    dict
        gini, gini_low, gini_high, abc, abc_low, abc_high.
    """
    ordered = Ordered.by(expected / sample.years)

    def measure(weight: Floats) -> tuple[float, float]:
        exposure = weight * sample.years
        under = ordered.area(exposure, weight * sample.claims)
        return 1.0 - 2.0 * under, under - ordered.area(exposure, weight * expected)

    values = measure(np.ones(len(sample.claims)))
    lows, highs = bootstrap(sample.driver, measure)
    return {
        name: float(value)
        for k, kind in enumerate(("gini", "abc"))
        for name, value in ((kind, values[k]), (f"{kind}_low", lows[k]), (f"{kind}_high", highs[k]))
    }


def curves(sample: Validated, rates: dict[str, Floats]) -> pl.DataFrame:
    """Concentration and Lorenz curves of some expected claims at even shares of exposure.

    Returns
    -------
    pl.DataFrame
        order_by, share_of_years, share_of_claims (observed), share_of_expected.
    """
    grid = np.linspace(0, 1, POINTS + 1)
    parts = []
    for name, expected in rates.items():
        ordered = Ordered.by(expected / sample.years)
        x = ordered.cumulated(sample.years)
        parts.append(
            pl.DataFrame(
                {
                    "order_by": [name] * len(grid),
                    "share_of_years": grid,
                    "share_of_claims": np.interp(grid, x, ordered.cumulated(sample.claims)),
                    "share_of_expected": np.interp(grid, x, ordered.cumulated(expected)),
                }
            )
        )
    return pl.concat(parts)
