"""How sure one driver's relativity is: would other months, and other luck in counting, have told another one.

Two sources, squared, added and told as one half width of log R:

- counts: a rate counted n times in T hundred kilometres is, after the counts, Gamma(n + a, T + b) with the
  model's prior. It is set to its 5 % and to its 95 % quantile, and half the way of log R between them is taken;
- months: the driver's months left out one at a time (jackknife), the rates held at what they are: the standard error
  times Student's t of that many.

Judgements:

1. Rates that count the same manoeuvres (a severe braking is a harsh one, too) are lucky together, and moved at once.
   Brakings, accelerations, turns and speedings are not: what each does is squared and added. All rates at an end at
   once, as if luck in braking were luck in turns, made the interval too wide.
2. The luck of counting is in the counts alone: what a month left out does to a rate is not told a second time. Counts
   are taken as Poisson: who drives otherwise in some months (another road, another hand at the wheel) has counts that
   vary more than that, and an interval that is too narrow.
3. Tables and slope are held fixed. A feature that is not known of so little driving (the catalogue's least distances)
   tells nothing, nor how much it will. What the interval covers in all is measured on simulated truth
   (docs/simulation.md).
4. A driver with one month in the window has no second one to compare with: counts alone are told, too narrow.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import polars as pl
from scipy.special import gammaincinv
from scipy.stats import t as student

from device.contract.trip import DURATION_CLASSES, LEVELS, ONSET_BANDS, PEAK_BINS
from features.contract.catalogue import Catalogue
from features.contract.measures import MEASURES
from features.contract.validate import told_before
from features.contract.window import rating_features
from pricing.arrays import Floats
from pricing.diagnostics.intervals import SEED
from pricing.diagnostics.stability import distance_bands
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.evaluate import CONFIDENCE
from pricing.matrix import Counted, Inputs, read_inputs
from pricing.model import RiskModel

MOST_DRIVERS: Final = 1_000  # enough for a median by distance
BINS_OF_A_KIND: Final = {"event_counts": LEVELS, "excursions": PEAK_BINS * DURATION_CLASSES * ONSET_BANDS}
_SCHEMA: Final = pl.Schema(
    {
        "exposure_km": pl.String,
        "drivers": pl.Int64,
        "median_half_width": pl.Float64,
        "p90_half_width": pl.Float64,
        "median_counts": pl.Float64,
        "median_months": pl.Float64,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """Relativities with the parts of their half widths, in logs. Shape (n_rows,) each; `months` is 0 for one month."""

    relativity: Floats
    counts: Floats
    months: Floats

    @property
    def half_width(self) -> Floats:
        """Half width of the interval of log R."""
        return np.hypot(self.counts, self.months)

    @property
    def ends(self) -> tuple[Floats, Floats]:
        """Lower and upper end of R."""
        return self.relativity * np.exp(-self.half_width), self.relativity * np.exp(self.half_width)


def relativity_interval(
    model: RiskModel, periods: pl.DataFrame, asked: pl.DataFrame, catalogue: Catalogue, confidence: float = CONFIDENCE
) -> Interval:
    """Interval of the indicated relativity of each row.

    Parameters
    ----------
    periods : polars.DataFrame
        driver_periods.
    asked : polars.DataFrame
        driver_id, rating_date; a driver once a date.
    """
    window = model.plan.window.feature_months
    drivers = asked["driver_id"].unique()
    own = periods.filter(pl.col("driver_id").is_in(drivers.implode()))

    def inputs_of(months: pl.DataFrame) -> Inputs:
        rows = asked.select("driver_id", "rating_date")
        return read_inputs(rating_features(months, rows, window, catalogue, told_before), catalogue)

    inputs = inputs_of(own)
    log = np.log(model.rate(inputs).relativity)
    counts = np.zeros(len(log))
    for together in _lucky_together(inputs, catalogue):
        low, high = (
            np.log(model.rate(_at_quantile(model, inputs, together, q)).relativity)
            for q in ((1 - confidence) / 2, (1 + confidence) / 2)
        )
        counts = np.hypot(counts, (high - low) / 2)
    left_out = []
    keyed = asked.select("driver_id", pl.col("rating_date").dt.month_start().alias("end")).with_row_index("row")
    for back in range(1, window + 1):
        month = keyed.select("row", "driver_id", month=pl.col("end").dt.offset_by(f"-{back}mo"))
        has = month.join(own.select("driver_id", "month").unique(), on=["driver_id", "month"], how="semi")
        if has.height:
            without = own.join(has.select("driver_id", "month"), on=["driver_id", "month"], how="anti")
            again = np.full(asked.height, np.nan)
            at = has["row"].to_numpy()
            others = dataclasses.replace(inputs_of(without), counted=inputs.counted)
            again[at] = np.log(model.rate(others).relativity)[at]
            left_out.append(again)
    return Interval(np.exp(log), counts, _jackknife(np.array(left_out), confidence) if left_out else np.zeros(len(log)))


def uncertainty(model: RiskModel, periods: pl.DataFrame, rows: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Width of the interval by distance in the window, on a sample of drivers of the last rating date.

    Returns
    -------
    pl.DataFrame
        exposure_km (band), drivers (looked at), median_half_width, p90_half_width, and the medians of its two parts
        (logs: 0.05 is about 5 %).
    """
    last = rows.filter(pl.col("rating_date") == pl.col("rating_date").max())
    part = last[np.sort(np.random.default_rng(SEED).permutation(last.height)[:MOST_DRIVERS])]
    found = relativity_interval(model, periods, part, catalogue)
    parts = []
    for name, at in distance_bands(part["exposure_km"].to_numpy()):
        if at.sum() >= LEAST_DRIVERS:
            median, p90 = np.quantile(found.half_width[at], [0.5, 0.9])
            parts.append((name, int(at.sum()), median, p90, np.median(found.counts[at]), np.median(found.months[at])))
    return pl.DataFrame(parts, schema=_SCHEMA, orient="row")


def _jackknife(left_out: Floats, confidence: float) -> Floats:
    """Half width from the values with one month left out, NaN where a driver has no such month."""
    months = (~np.isnan(left_out)).sum(axis=0)
    several = months > 1
    mean = np.where(several, np.nansum(left_out, axis=0) / np.maximum(months, 1), 0.0)
    squares = np.nansum((left_out - mean) ** 2, axis=0)
    error = np.sqrt((months - 1) / np.maximum(months, 1) * squares)
    width: Floats = student.ppf((1 + confidence) / 2, np.maximum(months - 1, 1)) * error
    return np.where(several, width, 0.0)


def _lucky_together(inputs: Inputs, catalogue: Catalogue) -> list[set[str]]:
    """Names of the model's rates, those together that count events of a kind in common."""
    numerators = {feature.name: feature.numerator for feature in catalogue.features}
    groups: list[tuple[set[int], set[str]]] = []
    for name in inputs.counted:
        kinds, names = _kinds(numerators[name] or ""), {name}
        for known in [group for group in groups if group[0] & kinds]:
            groups.remove(known)
            kinds, names = kinds | known[0], names | known[1]
        groups.append((kinds, names))
    return [names for _, names in groups]


def _kinds(measure: str) -> set[int]:
    """Kinds of events that a measure counts; those that are summed as they come are of one more kind."""
    if measure not in MEASURES:
        return {-1}
    histogram, weights = MEASURES[measure]
    return {int(key) // BINS_OF_A_KIND[histogram] for key in np.flatnonzero(weights)}


def _at_quantile(model: RiskModel, inputs: Inputs, names: set[str], quantile: float) -> Inputs:
    """Inputs with the shrunk rates of these names at a quantile of what the counts leave open."""
    counted = dict(inputs.counted)
    for name in names:
        prior, seen = model.priors[name], inputs.counted[name]
        known = ~np.isnan(seen.events) & (seen.over_100km > 0)
        shape = np.where(known, seen.events, 0.0) + prior.a
        # In place of the count one whose posterior mean is that quantile, so that the model reads it as any other.
        rate = np.where(shape > 0, gammaincinv(np.where(shape > 0, shape, 1.0), quantile), 0.0)
        counted[name] = Counted(np.where(known, rate - prior.a, np.nan), seen.over_100km)
    return dataclasses.replace(inputs, counted=counted)
