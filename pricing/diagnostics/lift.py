"""Lift, double lift and calibration on groups of equal exposure."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from pricing.arrays import Floats, Ints
from pricing.diagnostics.intervals import actual_over_expected, poisson_interval
from pricing.diagnostics.validated import LEAST_DRIVERS, Validated
from pricing.evaluate import quantile_groups

DECILES: Final = 10
CALIBRATION_GROUPS: Final = 20


def lift(sample: Validated) -> pl.DataFrame:
    """Claim frequency by tenth of the predicted frequency, equal policy years in each.

    Returns
    -------
    pl.DataFrame
        group (1 is best), the columns of `grouped`, and frequency, frequency_low, frequency_high (claims a policy
        year, exact 90 % interval), frequency_model, frequency_tariff.
    """
    table = grouped(sample, _groups(sample, sample.mu / sample.years, sample.years, DECILES))
    return _frequencies(table)


def double_lift(sample: Validated) -> pl.DataFrame:
    """Tariff against model where they differ most: tenths of model over tariff, equal policy years in each.

    Returns
    -------
    pl.DataFrame
        As `grouped`; where the model is right, `ae_model` stays at 1 and `ae_tariff` rises from group to group.
    """
    return grouped(sample, _groups(sample, sample.relativity, sample.years, DECILES))


def calibration(sample: Validated) -> pl.DataFrame:
    """Observed against predicted claims by twentieth of the predicted frequency, equal predicted claims in each."""
    return _frequencies(grouped(sample, _groups(sample, sample.mu / sample.years, sample.mu, CALIBRATION_GROUPS)))


def grouped(sample: Validated, group: Ints) -> pl.DataFrame:
    """Sum up by group.

    Returns
    -------
    pl.DataFrame
        group, drivers, years, claims, expected_tariff, expected_model, relativity (model over tariff), and
        actual over expected with its interval by tariff (`ae_tariff`, `_low`, `_high`) and by model (`ae_model`).
    """
    values, index = np.unique(group, return_inverse=True)

    def total(amount: Floats) -> Floats:
        sums: Floats = np.bincount(index, amount, len(values)).astype(np.float64)
        return sums

    drivers = [len(np.unique(sample.driver[index == k])) for k in range(len(values))]
    claims, tariff, model = total(sample.claims), total(sample.mu0), total(sample.mu)
    return pl.DataFrame(
        {
            "group": values,
            "drivers": drivers,
            "years": total(sample.years),
            "claims": claims.astype(np.int64),
            "expected_tariff": tariff,
            "expected_model": model,
            "relativity": model / tariff,
            **actual_over_expected(claims, tariff, "ae_tariff"),
            **actual_over_expected(claims, model, "ae_model"),
        }
    )


def _groups(sample: Validated, order: Floats, exposure: Floats, most: int) -> Ints:
    """Groups of equal exposure, fewer where there are too few drivers for so many."""
    return quantile_groups(order, exposure, max(1, min(most, sample.drivers() // LEAST_DRIVERS)))


def _frequencies(table: pl.DataFrame) -> pl.DataFrame:
    claims, years = table["claims"].to_numpy(), table["years"].to_numpy()
    low, high = poisson_interval(claims)
    return table.with_columns(
        pl.Series("frequency", claims / years),
        pl.Series("frequency_low", low / years),
        pl.Series("frequency_high", high / years),
        frequency_model=pl.col("expected_model") / pl.col("years"),
        frequency_tariff=pl.col("expected_tariff") / pl.col("years"),
    )
