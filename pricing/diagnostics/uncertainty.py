"""How sure one driver's relativity is, by the luck of counts: other trips of the same habits count other events.

A rate that was counted n times in T hundred kilometres is, after the counts, Gamma(n + a, T + b) with the model's
prior. Rates are drawn from there, the relativity is made again, and the 90 % interval read off.

Judgements:

1. Rates are drawn independently. Some count the same braking at two thresholds, so their luck goes together: that makes
   the interval a little too narrow. Shares, levels and the calibration slope are held fixed: that does, too. What it
   covers on simulated truth is measured (docs/simulation.md).
2. Where a simulated trip stands for many (`represents`), counts look surer than they are.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import polars as pl

from pricing.arrays import Floats
from pricing.diagnostics.intervals import SEED
from pricing.diagnostics.stability import distance_bands
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.evaluate import CONFIDENCE
from pricing.matrix import Counted, Inputs
from pricing.model import RiskModel

DRAWS: Final = 100
MOST_DRIVERS: Final = 2_000  # enough for a median by distance


def relativity_interval(
    model: RiskModel, inputs: Inputs, draws: int = DRAWS, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Interval of each row's indicated relativity.

    Returns
    -------
    tuple of numpy.ndarray, shape (n_rows,) each
        Lower and upper ends.
    """
    rng = np.random.default_rng(SEED)
    drawn = [np.log(model.rate(_another(model, inputs, rng)).relativity) for _ in range(draws)]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.array(drawn), [tail, 1.0 - tail], axis=0)
    return np.exp(low), np.exp(high)


def uncertainty(model: RiskModel, inputs: Inputs) -> pl.DataFrame:
    """Width of the interval by distance in the window.

    Returns
    -------
    pl.DataFrame
        exposure_km (band), drivers (looked at), median_half_width, p90_half_width: half the interval over the
        relativity.
    """
    rows = len(inputs.exposure_km)
    chosen = np.zeros(rows, dtype=np.bool_)
    chosen[np.random.default_rng(SEED).permutation(rows)[:MOST_DRIVERS]] = True
    part = inputs.rows(chosen)
    low, high = relativity_interval(model, part)
    half = (high - low) / (high + low)
    parts = []
    for name, at in distance_bands(part.exposure_km):
        if at.sum() >= LEAST_DRIVERS:
            median, p90 = np.quantile(half[at], [0.5, 0.9])
            parts.append(
                {"exposure_km": name, "drivers": int(at.sum()), "median_half_width": median, "p90_half_width": p90}
            )
    return pl.DataFrame(
        parts,
        schema={
            "exposure_km": pl.String,
            "drivers": pl.Int64,
            "median_half_width": pl.Float64,
            "p90_half_width": pl.Float64,
        },
    )


def _another(model: RiskModel, inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """Inputs whose shrunk rates are draws from what the counts leave open."""
    counted = {}
    for name, seen in inputs.counted.items():
        prior = model.priors[name]
        known = ~np.isnan(seen.events) & (seen.over_100km > 0)
        shape = np.where(known, seen.events, 0.0) + prior.a
        # In place of the count one whose posterior mean is the draw, so that the model reads it as any other.
        draw = np.where(shape > 0, rng.standard_gamma(np.where(shape > 0, shape, 1.0)), 0.0)
        counted[name] = Counted(np.where(known, draw - prior.a, np.nan), seen.over_100km)
    return dataclasses.replace(inputs, counted=counted)
