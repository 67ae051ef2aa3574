"""Features of drivers as they were known on a rating date: sums over the months before it, then one division each.

    rating rows -> windows (driver, rating date) -> months of each -> integer measures -> features

A window has the whole months that end on or before the rating date, and nothing after it is read. The measures of a
month are made of its driver periods (`rating_features`), or were made when it was built (`priced_features`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.trip import ACCEL_STEP_CMPS2, ACCEL_ZERO_BIN
from features.contract.catalogue import Catalogue, Feature, Quantile, load_catalogue, terms
from features.contract.driver_measures import ACCEL_MS, DRIVER_MEASURES, FIRST_START, columns_of, driver_measures
from features.contract.measures import EXPOSURE
from features.contract.periods import BINS, DRIVER_PERIODS, KEY
from features.contract.reconcile import reconcile
from features.contract.validate import Tell, check_periods, check_table, validated, warn

MM_PER_KM: Final = 1_000_000
MS_PER_DAY: Final = 86_400_000
STRENGTHS_AT_ONCE: Final = 4_096  # their times by acceleration stay in the cache
WINDOWS_AT_ONCE: Final = 20_000  # bounds the memory that their months take: 1 to 2 KB each

_WINDOW: Final = ("driver_id", "rating_date")
RATING: Final = pl.Schema({"driver_id": pl.String, "rating_date": pl.Date})
Integers = npt.NDArray[np.int64]


def rating_features(
    periods: pl.DataFrame,
    rating: pl.DataFrame,
    months: int = 12,
    catalogue: Catalogue | None = None,
    tell: Tell = warn,
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
    tell : callable
        Given the doubts, see `validate.validated`.

    Returns
    -------
    pl.DataFrame
        The rating rows in their order, plus

        exposure_km Float64, accel_km Float64, exposure_days Float64, trips Int64
            Distance, that with known longitudinal acceleration, days from the first trip in the window to the window's
            end (null without a trip), trips.
        contents Int64
            Sum of the contents of all trips in the window, 0 without trips: any change of one of them changes it.
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
    check_table(periods, DRIVER_PERIODS, "driver periods")
    catalogue = catalogue or load_catalogue()

    def of(windows: pl.DataFrame) -> pl.DataFrame:
        rows, own = _months_of(windows, periods, months)
        check_periods(own)
        totals = _sums(windows, rows, driver_measures(own), catalogue.features)
        totals |= reconcile(windows.height, own.drop(BINS)[rows["row"]].with_columns(rows["window"]))
        return _features(windows, totals, catalogue.features)

    return _joined(rating, of, catalogue, WINDOWS_AT_ONCE, tell)


def priced_features(
    measures: pl.DataFrame, rating: pl.DataFrame, months: int, catalogue: Catalogue, tell: Tell = warn
) -> pl.DataFrame:
    """Features that enter the model: the same as of `rating_features`, of what a build made ready.

    Parameters
    ----------
    measures : pl.DataFrame
        Of DRIVER_MEASURES the columns that `priced_columns` names.
    tell : callable
        Given the doubts, see `validate.validated`.
    """
    wanted = pl.Schema({name: DRIVER_MEASURES[name] for name in priced_columns(catalogue)})
    check_table(measures, wanted, "driver measures")
    priced = _priced(catalogue)

    def of(windows: pl.DataFrame) -> pl.DataFrame:
        rows, own = _months_of(windows, measures, months)
        check_periods(own)
        return _features(windows, _sums(windows, rows, own, priced.features), priced.features)

    return _joined(rating, of, priced, max(rating.height, 1), tell)


def priced_columns(catalogue: Catalogue) -> tuple[str, ...]:
    """Columns of DRIVER_MEASURES that the features of the model are made of."""
    return columns_of(_priced(catalogue).features)


def _priced(catalogue: Catalogue) -> Catalogue:
    return replace(catalogue, features=tuple(feature for feature in catalogue.features if feature.model))


def _joined(
    rating: pl.DataFrame,
    of: Callable[[pl.DataFrame], pl.DataFrame],
    catalogue: Catalogue,
    at_once: int,
    tell: Tell = warn,
) -> pl.DataFrame:
    """Rating rows with the features of their windows, some windows at a time."""
    check_table(rating, RATING, "rating rows")
    windows = rating.select(_WINDOW).unique().sort(_WINDOW)
    firsts = [*range(0, windows.height, at_once)] or [0]
    known = validated(pl.concat(of(windows.slice(first, at_once)) for first in firsts), catalogue, tell)
    return rating.join(known, on=_WINDOW, how="left", maintain_order="left")


def _months_of(windows: pl.DataFrame, table: pl.DataFrame, months: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pairs of a window and a month that it sums, and the months that are in any window.

    Returns
    -------
    tuple of pl.DataFrame
        window (row of `windows`), row (of the second table); and those rows of `table`, in their order.
    """
    end = pl.col("rating_date").dt.month_start()
    pairs = (
        windows.with_row_index("window")
        .select("window", "driver_id", end=end, start=end.dt.offset_by(f"-{months}mo"))
        .join(table.select("driver_id", "month").with_row_index("row"), on="driver_id", maintain_order="right")
        .filter((pl.col("month") >= pl.col("start")) & (pl.col("month") < pl.col("end")))
        .select(pl.col("window", "row").cast(pl.Int64))
    )
    row = pairs["row"].to_numpy()
    used = np.zeros(table.height, np.bool_)
    used[row] = True
    first, count = int(used.argmax()) if row.size else 0, int(used.sum())
    own = table.slice(first, count) if used[first : first + count].all() else table.filter(pl.Series(used))
    return pairs.with_columns(row=pl.Series((np.cumsum(used) - 1)[row])), own


def _sums(
    windows: pl.DataFrame, rows: pl.DataFrame, measures: pl.DataFrame, features: tuple[Feature, ...]
) -> dict[str, Integers]:
    """Sums of each window, and its exposure: from its first trip to its end."""
    window, row = (rows[name].to_numpy() for name in ("window", "row"))
    every = np.array_equal(row, np.arange(measures.height))
    sums: dict[str, Integers] = {}
    first = np.full(windows.height, np.iinfo(np.int64).max)
    for name in columns_of(features):
        if name in KEY:
            continue
        values = measures[name].to_numpy() if every else measures[name].to_numpy()[row]
        if name == FIRST_START:
            np.minimum.at(first, window, values)
        else:
            sums[name] = np.zeros(windows.height, np.int64)
            np.add.at(sums[name], window, values)
    end_ms = windows["rating_date"].dt.month_start().cast(pl.Datetime("ms")).dt.epoch("ms").to_numpy()
    driven = np.zeros(windows.height, np.bool_)
    driven[window] = True
    return sums | {EXPOSURE: np.where(driven, end_ms - first, 0)}


def _features(windows: pl.DataFrame, totals: dict[str, Integers], features: tuple[Feature, ...]) -> pl.DataFrame:
    km = totals["distance_mm"] / MM_PER_KM
    columns = {
        "exposure_km": km,
        "accel_km": totals["accel_mm"] / MM_PER_KM,
        "exposure_days": _or_nan(totals[EXPOSURE] / MS_PER_DAY, totals[EXPOSURE] > 0),
        "trips": totals["trips"],
        "contents": totals["contents"],
    }
    for feature in features:
        known = _is_known(feature, totals)
        columns[feature.name] = _or_nan(_value(feature, totals), known & (km >= feature.min_exposure_km))
        if feature.kind == "rate":
            over_mm = _sum(feature.denominator, totals)
            count = _sum(feature.numerator, totals).astype(np.float64)
            countable = (over_mm > 0) | (feature.denominator == "distance_mm")
            columns[f"{feature.name}__n"] = _or_nan(count, countable & known)
            columns[f"{feature.name}__km"] = over_mm / MM_PER_KM
    return windows.select(_WINDOW).hstack(
        [pl.Series(name, column, nan_to_null=column.dtype == np.float64) for name, column in columns.items()]
    )


def _value(feature: Feature, totals: dict[str, Integers]) -> npt.NDArray[np.float64]:
    if feature.quantile is not None:
        return _strengths(totals, feature.quantile)
    top, bottom = _sum(feature.numerator, totals), _sum(feature.denominator, totals)
    ratio: npt.NDArray[np.float64] = feature.scale * top / np.where(bottom > 0, bottom, 1)
    return _or_nan(ratio, bottom > 0)


def _strengths(totals: dict[str, Integers], quantile: Quantile) -> npt.NDArray[np.float64]:
    every = [totals[name] for name in ACCEL_MS]
    blocks = (slice(at, at + STRENGTHS_AT_ONCE) for at in range(0, max(len(every[0]), 1), STRENGTHS_AT_ONCE))
    return np.concatenate([strength_exceeded(np.stack([time[rows] for time in every]).T, quantile) for rows in blocks])


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
    stronger = side.T.copy()  # time in a bin or a stronger one, bin by bin
    for weaker in range(len(stronger) - 2, -1, -1):
        stronger[weaker] += stronger[weaker + 1]
    wanted = quantile.exceeded * time
    bin_ = (stronger > wanted).sum(axis=0)  # how many bins the strength lies beyond the weak edge of
    rows = np.arange(len(heatmap))
    last = np.maximum(bin_ - 1, 0)
    within = (stronger[last, rows] - wanted) / np.maximum(side[rows, last], 1)
    strength = np.where(bin_ > 0, (last + 0.5 + within) * ACCEL_STEP_CMPS2 / 100, 0.0)
    return _or_nan(strength, time > 0)


def _sum(names: str | None, totals: dict[str, Integers]) -> Integers:
    result: Integers = np.sum([totals[name] for name in terms(names)], axis=0)
    return result


def _or_nan(values: npt.NDArray[np.float64], known: npt.NDArray[np.bool_] | bool) -> npt.NDArray[np.float64]:
    return np.where(known, values, np.nan)
