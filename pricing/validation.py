"""What every rating row was told by a model that has not seen its driver: the ground of all diagnostics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from pricing.arrays import Floats, Ints
from pricing.credibility import Calibration, credibility
from pricing.sample import Sample

VALIDATION: Final = pl.Schema(
    {
        "driver_id": pl.String,
        "rating_date": pl.Date,
        "fold": pl.Int64,
        "years": pl.Float64,
        "mu0": pl.Float64,  # expected claims by the tariff, at the level of the row's training fold
        "claims": pl.Float64,
        "claim_amount": pl.Float64,  # sum of amounts, each capped by the plan; null where none were given
        "exposure_km": pl.Float64,
        "credibility": pl.Float64,  # of frequency
        "score": pl.Float64,  # centred, of frequency, out of fold
        "relativity": pl.Float64,  # frequency's: exp(b Z score)
        "mu": pl.Float64,  # mu0 x relativity
        # Null where the model has no severity.
        "paid_claims": pl.Float64,
        "severity0": pl.Float64,  # amount of a paid claim before the score, at the level of the row's training fold
        "severity_score": pl.Float64,
        "severity_relativity": pl.Float64,
        "severity": pl.Float64,  # severity0 x severity_relativity
        # What the factor rests on: relativity, times severity_relativity where the plan includes severity.
        "indicated_relativity": pl.Float64,
        # mu x severity x the book's share of paid claims x exp(both intercepts a): sums to the amounts; null without.
        "pure_premium": pl.Float64,
    }
)
"""One row a rating row that was trained on, sorted by (driver_id, rating_date)."""


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """One part of the relativity, out of fold; arrays of shape (n_rows,).

    Attributes
    ----------
    score : numpy.ndarray
        Centred.
    expected : numpy.ndarray
        Before the score.
    """

    score: Floats
    expected: Floats
    calibration: Calibration

    def relativity(self, km: Floats) -> Floats:
        """exp(b Z score)."""
        return np.exp(self.calibration.b * credibility(km, self.calibration.kappa_km) * self.score)


def validation(
    rows: pl.DataFrame, sample: Sample, fold: Ints, frequency: OutOfFold, severity: OutOfFold | None
) -> pl.DataFrame:
    """Put the frame together.

    Parameters
    ----------
    rows : polars.DataFrame
        The rating rows, in the order of all else.
    severity : OutOfFold or None
        None where the model has none.

    Returns
    -------
    polars.DataFrame
        Schema VALIDATION.
    """
    km = sample.inputs.exposure_km
    relativity = frequency.relativity(km)
    columns: dict[str, Floats | Ints | None] = {
        "fold": fold,
        "years": sample.years,
        "mu0": frequency.expected,
        "claims": sample.claims,
        "claim_amount": sample.amount,
        "exposure_km": km,
        "credibility": credibility(km, frequency.calibration.kappa_km),
        "score": frequency.score,
        "relativity": relativity,
        "mu": frequency.expected * relativity,
        "paid_claims": sample.paid,
        "indicated_relativity": relativity,
    }
    if severity is not None and sample.paid is not None:
        by_score = severity.relativity(km)
        amount = severity.expected * by_score
        intercepts = frequency.calibration.a + severity.calibration.a
        paid_share = sample.paid.sum() / sample.claims.sum()
        columns |= {
            "severity0": severity.expected,
            "severity_score": severity.score,
            "severity_relativity": by_score,
            "severity": amount,
            "indicated_relativity": relativity * by_score,
            "pure_premium": frequency.expected * relativity * amount * (paid_share * np.exp(intercepts)),
        }
    known = {name: pl.Series(name, column) for name, column in columns.items() if column is not None}
    keyed = rows.select("driver_id", "rating_date", *known.values())
    empty = [pl.lit(None, kind).alias(name) for name, kind in VALIDATION.items() if name not in keyed.columns]
    return keyed.with_columns(empty).select(VALIDATION.names())
