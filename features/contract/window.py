"""Features of drivers as they were known on a rating date: sums over the months before it, then one division each.

    rating rows -> windows (driver, rating date) -> months of each -> integer measures -> features

A window has the whole months that end on or before the rating date, and nothing after it is read.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.trip import ACCEL_STEP_CMPS2, ACCEL_ZERO_BIN
from features.contract.catalogue import Catalogue, Feature, Quantile, load_catalogue, terms
from features.contract.folding import FOLDINGS, by_acceleration, fold, layers, measures_of
from features.contract.measures import EXPOSURE
from features.contract.periods import BINS, DRIVER_PERIODS, SUMS
from features.contract.reconcile import reconcile
from features.contract.validate import check_periods, check_table, validated

MM_PER_KM: Final = 1_000_000
MS_PER_DAY: Final = 86_400_000
WINDOWS_AT_ONCE: Final = 100_000  # bounds the memory that their histograms take: 3 KB each

_WINDOW: Final = ("driver_id", "rating_date")
SCALARS: Final = tuple(name for name in DRIVER_PERIODS if name not in (*BINS, "month"))
RATING: Final = pl.Schema({"driver_id": pl.String, "rating_date": pl.Date})
Integers = npt.NDArray[np.int64]


def rating_features(
    periods: pl.DataFrame, rating: pl.DataFrame, months: int = 12, catalogue: Catalogue | None = None
) -> pl.DataFrame:
    """Features of every rating row.

    Parameters
    ----------
    periods : pl.DataFrame
        Schema DRIVER_PERIODS, in any order; all policies of a driver count.
    rating : pl.DataFrame
        driver_id String, rating_date Date, and any other columns.
    months : int
        Length of the window, which ends with the last month that ended by the rating date.
    catalogue : Catalogue, optional
        The one of this release.

    Returns
    -------
    pl.DataFrame
        The rating rows in their order, plus

        exposure_km Float64, exposure_days Float64, trips Int64
            Distance, days from the first trip in the window to the window's end (null without a trip), trips.
        each feature's name Float64
            Null where it is not known.
        `<name>__n`, `<name>__km` Float64, for each feature of kind "rate"
            The count, null where it could not be counted or too little of the driving was known for it, and the
            distance it was counted in.

    Raises
    ------
    ContractError
        If a column is missing or has another type, or a value breaks the catalogue.
    """
    check_table(rating, RATING, "rating rows")
    check_table(periods, DRIVER_PERIODS, "driver periods")
    catalogue = catalogue or load_catalogue()
    windows = rating.select(_WINDOW).unique().sort(_WINDOW).with_row_index("window")
    rows = _months_of(windows, periods, months)
    firsts = [*range(0, windows.height, WINDOWS_AT_ONCE)] or [0]
    cuts = rows["window"].search_sorted(pl.Series([*firsts, windows.height])).to_list()
    parts = [
        _features(windows.slice(first, WINDOWS_AT_ONCE), rows[low:high], periods, catalogue.features)
        for first, low, high in zip(firsts, cuts, cuts[1:], strict=False)
    ]
    known = validated(pl.concat(parts), catalogue)
    return rating.join(known, on=_WINDOW, how="left", maintain_order="left")


def _months_of(windows: pl.DataFrame, periods: pl.DataFrame, months: int) -> pl.DataFrame:
    """Rows of `periods` that a window sums: window, period, sorted by both."""
    end = pl.col("rating_date").dt.month_start()
    keys = periods.select("driver_id", "month").with_row_index("period")
    return (
        windows.select("window", "driver_id", end=end, start=end.dt.offset_by(f"-{months}mo"))
        .join(keys, on="driver_id")
        .filter((pl.col("month") >= pl.col("start")) & (pl.col("month") < pl.col("end")))
        .select("window", "period")
        .sort("window", "period")
    )


def _features(
    windows: pl.DataFrame, rows: pl.DataFrame, periods: pl.DataFrame, features: tuple[Feature, ...]
) -> pl.DataFrame:
    first = windows["window"].min() or 0
    chosen = layers(rows.with_columns(pl.col("window").cast(pl.Int64) - first), periods.height)
    scalars = periods.select(*SCALARS)
    months = pl.concat(
        [scalars.clear().with_columns(window=pl.lit(0, pl.Int64))]
        + [layer.of(scalars).with_columns(window=pl.Series(layer.window)) for layer in chosen]
    )
    check_periods(months)
    totals = _scalars(windows, months) | reconcile(windows.height, months)
    folded = {histogram: fold(windows.height, chosen, periods[histogram]) for histogram in BINS}
    for histogram, sums in folded.items():
        totals |= measures_of(sums, FOLDINGS[histogram])
    heatmap = by_acceleration(folded["va_ms"])
    km = totals["distance_mm"] / MM_PER_KM
    columns = {
        "exposure_km": km,
        "exposure_days": _or_nan(totals[EXPOSURE] / MS_PER_DAY, totals[EXPOSURE] > 0),
        "trips": totals["trips"],
    }
    for feature in features:
        value = _value(feature, totals, heatmap)
        columns[feature.name] = _or_nan(value, km >= feature.min_exposure_km)
        if feature.kind == "rate":
            over_mm = _sum(feature.denominator, totals)
            count = _sum(feature.numerator, totals).astype(np.float64)
            countable = (over_mm > 0) | (feature.denominator == "distance_mm")
            columns[f"{feature.name}__n"] = _or_nan(count, countable & _is_known(feature, totals))
            columns[f"{feature.name}__km"] = over_mm / MM_PER_KM
    return windows.select(_WINDOW).hstack(
        [pl.Series(name, column, nan_to_null=column.dtype == np.float64) for name, column in columns.items()]
    )


def _scalars(windows: pl.DataFrame, own: pl.DataFrame) -> dict[str, Integers]:
    """Sums of each window, and its exposure: from its first trip to its end."""
    sums = own.group_by("window").agg(pl.col(SUMS).sum(), pl.col("first_start_ms").min())
    end_ms = pl.col("rating_date").dt.month_start().cast(pl.Datetime("ms")).dt.epoch("ms")
    every = (
        windows.select(pl.col("window").cast(pl.Int64) - (windows["window"].min() or 0), end_ms=end_ms)
        .join(sums, on="window", how="left", maintain_order="left")
        .with_columns((pl.col("end_ms") - pl.col("first_start_ms")).alias(EXPOSURE))
        .select(pl.col(*SUMS, EXPOSURE).fill_null(0))
    )
    return {name: every[name].to_numpy() for name in every.columns}


def _value(feature: Feature, totals: dict[str, Integers], heatmap: Integers) -> npt.NDArray[np.float64]:
    known = _is_known(feature, totals)
    if feature.quantile is not None:
        return _or_nan(strength_exceeded(heatmap, feature.quantile), known)
    top, bottom = _sum(feature.numerator, totals), _sum(feature.denominator, totals)
    ratio: npt.NDArray[np.float64] = feature.scale * top / np.where(bottom > 0, bottom, 1)
    return _or_nan(ratio, known & (bottom > 0))


def _is_known(feature: Feature, totals: dict[str, Integers]) -> npt.NDArray[np.bool_]:
    """Whether enough of the driving was seen to tell the feature."""
    known = np.ones(len(totals["distance_mm"]), np.bool_)
    if feature.known:
        known &= _sum(feature.known, totals) > 0
    for part in feature.parts:
        known &= totals[part.known] >= part.min_known_share * totals[part.whole]
    return known


def strength_exceeded(heatmap: Integers, quantile: Quantile) -> npt.NDArray[np.float64]:
    """Strength of braking or acceleration that a share of the time reaches, in m/s2; NaN without time.

    Parameters
    ----------
    heatmap : numpy.ndarray, shape (n, ACCEL_BINS)
        Time by acceleration.
    quantile : Quantile

    Notes
    -----
    Time in bins of no or the other sign has strength 0. Within a bin time is taken as spread evenly, so the result
    is continuous, and it rises when time moves to a stronger bin.
    """
    side = heatmap[:, ACCEL_ZERO_BIN - 1 :: -1] if quantile.side == "braking" else heatmap[:, ACCEL_ZERO_BIN + 1 :]
    time = heatmap.sum(axis=1)
    stronger = np.cumsum(side[:, ::-1], axis=1)[:, ::-1]  # time in a bin or a stronger one
    wanted = quantile.exceeded * time
    bin_ = (stronger > wanted[:, None]).sum(axis=1)  # how many bins the strength lies beyond the weak edge of
    rows = np.arange(len(heatmap))
    last = np.maximum(bin_ - 1, 0)
    within = (stronger[rows, last] - wanted) / np.maximum(side[rows, last], 1)
    strength = np.where(bin_ > 0, (last + 0.5 + within) * ACCEL_STEP_CMPS2 / 100, 0.0)
    return _or_nan(strength, time > 0)


def _sum(names: str | None, totals: dict[str, Integers]) -> Integers:
    result: Integers = np.sum([totals[name] for name in terms(names)], axis=0)
    return result


def _or_nan(values: npt.NDArray[np.float64], known: npt.NDArray[np.bool_] | bool) -> npt.NDArray[np.float64]:
    return np.where(known, values, np.nan)
