"""One line a predictor: deviance and its Murphy parts, Gini, area between the curves, slope. All out of fold."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from pricing.arrays import Floats
from pricing.diagnostics.curves import gini_and_abc
from pricing.diagnostics.intervals import actual_over_expected
from pricing.diagnostics.murphy import murphy
from pricing.diagnostics.slope import calibration_slope
from pricing.diagnostics.validated import Validated

FLAT: Final = 1e-12  # claims a year


def accuracy(sample: Validated, predictors: dict[str, Floats]) -> pl.DataFrame:
    """Judge some expected claims on the same rows.

    Parameters
    ----------
    predictors : dict of str to numpy.ndarray, shape (n_rows,)
        Expected claims of each row by a predictor that has not seen its driver.

    Returns
    -------
    pl.DataFrame
        predictor; deviance, miscalibration, discrimination, uncertainty (mean Poisson deviance x 100 a row); gini and
        abc with bootstrap intervals; ae with its exact interval; slope over the tariff with its interval.
    """
    return pl.DataFrame([_judged(sample, name, expected) for name, expected in predictors.items()])


def _ranked(sample: Validated, expected: Floats) -> dict[str, float]:
    """Gini and ABC; a rate that is the same for all ranks nobody, and needs no bootstrap to say so."""
    if np.ptp(expected / sample.years) < FLAT:
        return dict.fromkeys(("gini", "gini_low", "gini_high", "abc", "abc_low", "abc_high"), 0.0)
    return gini_and_abc(sample, expected)


def _judged(sample: Validated, name: str, expected: Floats) -> dict[str, Any]:
    parts = murphy(sample.claims, sample.years, expected)
    claims, total = np.array([sample.claims.sum()]), np.array([expected.sum()])
    slope = calibration_slope(sample.claims, sample.mu0, expected / sample.mu0)
    return {
        "predictor": name,
        "deviance": parts.score,
        "miscalibration": parts.miscalibration,
        "discrimination": parts.discrimination,
        "uncertainty": parts.uncertainty,
        **_ranked(sample, expected),
        **{column: float(value[0]) for column, value in actual_over_expected(claims, total).items()},
        "slope": None if slope is None else slope.slope,
        "slope_low": None if slope is None else slope.low,
        "slope_high": None if slope is None else slope.high,
    }
