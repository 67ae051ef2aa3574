"""The same measures again on parts of the data: does one year, one fold or one kind of driver carry the result.

Actual over expected has one level for all parts, as a book has one base factor. The level that a fold got from the
others is low where the fold has many claims by chance, because they have few then: parts would seem to differ more than
they do.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from pricing.arrays import Bools, Floats, Ints
from pricing.diagnostics.intervals import actual_over_expected
from pricing.diagnostics.slope import calibration_slope
from pricing.diagnostics.validated import LEAST_DRIVERS, Validated
from pricing.evaluate import gini, levelled

KM_EDGES: Final = (2_500.0, 5_000.0, 10_000.0, 20_000.0)
YEARS_EDGE: Final = 0.5


def stability(sample: Validated, tier: Ints, tariff: Floats) -> pl.DataFrame:
    """Actual over expected, Gini and calibration slope of each part.

    Parameters
    ----------
    tier : numpy.ndarray, shape (n_rows,)
        Labels of the model.
    tariff : numpy.ndarray, shape (n_rows,)
        Claims that the tariff expects, at its own level.

    Returns
    -------
    pl.DataFrame
        part (rating date, fold, distance, term, tier), value, drivers, years, claims, ae_tariff and ae_model with
        intervals, gini_tariff, gini_model, slope with interval (null where it cannot be told).
        Parts of fewer than twenty drivers or without a claim are left out.
    """
    dates = np.array(sample.rating_date)
    parts: list[tuple[str, str, Bools]] = [("all", "all rows", np.ones(len(dates), dtype=np.bool_))]
    parts += [("rating date", str(day), dates == day) for day in np.unique(dates)]
    parts += [("fold", str(k + 1), sample.fold == k) for k in np.unique(sample.fold)]
    parts += [("distance", name, at) for name, at in distance_bands(sample.exposure_km)]
    parts += [("label term", "term below half a year", sample.years < YEARS_EDGE)]
    parts += [("label term", "term of half a year or more", sample.years >= YEARS_EDGE)]
    parts += [("tier", str(k), tier == k) for k in np.unique(tier)]
    by_tariff, by_model = levelled(tariff, sample.claims), levelled(tariff * sample.relativity, sample.claims)
    rows = [
        row
        for part, value, chosen in parts
        if (row := _row(part, value, sample.rows(chosen), by_tariff[chosen], by_model[chosen])) is not None
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def distance_bands(exposure_km: Floats) -> list[tuple[str, Bools]]:
    """Name of each band of distance, and the rows in it."""
    band = np.searchsorted(KM_EDGES, exposure_km, side="right")
    names = [
        f"below {KM_EDGES[0]:,.0f} km",
        *(f"{a:,.0f} to {b:,.0f} km" for a, b in pairwise(KM_EDGES)),
        f"{KM_EDGES[-1]:,.0f} km and more",
    ]
    return [(name, band == k) for k, name in enumerate(names)]


def _row(part: str, value: str, sample: Validated, by_tariff: Floats, by_model: Floats) -> dict[str, Any] | None:
    if len(sample.claims) == 0 or sample.drivers() < LEAST_DRIVERS or sample.claims.sum() == 0:
        return None
    claims, tariff, model = (np.array([amount.sum()]) for amount in (sample.claims, by_tariff, by_model))
    ratios = actual_over_expected(claims, tariff, "ae_tariff") | actual_over_expected(claims, model, "ae_model")
    slope = calibration_slope(sample.claims, sample.mu0, sample.relativity)
    return {
        "part": part,
        "value": value,
        "drivers": sample.drivers(),
        "years": float(sample.years.sum()),
        "claims": int(claims[0]),
        **{name: float(ratio[0]) for name, ratio in ratios.items()},
        "gini_tariff": gini(sample.claims, sample.years, sample.mu0 / sample.years),
        "gini_model": gini(sample.claims, sample.years, sample.mu / sample.years),
        "slope": None if slope is None else slope.slope,
        "slope_low": None if slope is None else slope.low,
        "slope_high": None if slope is None else slope.high,
    }
