"""Trips to driver periods: integer sums by policy, driver and month, which merge in any order.

trips + their events -> one part a set of trips -> merged -> driver periods
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from device.contract.trip import HISTOGRAM_FIELDS, LEVELS
from features.contract.histograms import as_lists, sum_lists
from features.contract.periods import BINS, COUNTERS, DRIVER_PERIODS, KEY, MAXIMA, MINIMA, SUMS
from features.worth import trip_worths

_ORDER: Final = ("month", "driver_id", "policy_id")
_SECOND_MS: Final = 1_000
_SECONDS: Final = 2**33 - 1  # since 1970
_READINGS: Final = 2**30  # of a counter of the car, in m: a million km
_OF_TRIPS: Final = tuple(name for name in HISTOGRAM_FIELDS if name != "event_counts")


def sum_trips(trips: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Sum whole trips to driver periods.

    Parameters
    ----------
    trips : pl.DataFrame
        Columns of `ingest.contract.tables.TRIPS` plus policy_id, driver_id and, where known, region; trips without
        driver are left out. Columns of no bearing on what a summary holds may be left out: they count as not told.
    events : pl.DataFrame
        trip_key, kind, level and onset_ms of the events of these trips (others are left out).

    Returns
    -------
    pl.DataFrame
        Schema DRIVER_PERIODS.
    """
    rows = trip_worths(trips.filter(pl.col("driver_id").is_not_null()), events)
    rows = rows.select("trip_key", *(name for name in DRIVER_PERIODS if name != "event_counts"))
    rows = rows.sort(*_ORDER, "trip_key", nulls_last=True)
    group = _groups(rows)
    sums = _sums(rows.with_columns(group=group))
    lists = {name: sum_lists(group, rows[name], rows["trips"], BINS[name]) for name in _OF_TRIPS}
    kind_and_level = pl.col("kind").cast(pl.Int32) * LEVELS + pl.col("level")
    lists["event_counts"] = (
        events.select("trip_key", key=kind_and_level)
        .join(rows.select("trip_key", value="trips", group=group), on="trip_key")
        .group_by("group", "key")
        .agg(pl.col("value").sum())
        .sort("group", "key")
    )
    return _with_lists(sums, lists)


def merge(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Merge driver periods of disjoint sets of trips, sorted by (month, driver_id, policy_id)."""
    rows = pl.concat([DRIVER_PERIODS.to_frame(), *parts])
    shared = rows.select(pl.struct(_ORDER).is_duplicated()).to_series()
    if shared.any():
        rows = pl.concat([rows.filter(~shared), _summed(rows.filter(shared).sort(_ORDER, nulls_last=True))])
    return rows.sort(_ORDER, nulls_last=True)


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of equal keys, which stand together, as one."""
    group = _groups(rows)
    ones = pl.repeat(1, rows.height, dtype=pl.Int64, eager=True)
    sums = _sums(rows.with_columns(group=group))
    lists = {name: sum_lists(group, rows[name], ones, BINS[name]) for name in HISTOGRAM_FIELDS}
    return _with_lists(sums, lists)


def _with_lists(sums: pl.DataFrame, lists: dict[str, pl.DataFrame]) -> pl.DataFrame:
    columns = [as_lists(bins, sums.height).alias(name) for name, bins in lists.items()]
    return sums.with_columns(columns).select(DRIVER_PERIODS.names())


def _groups(rows: pl.DataFrame) -> pl.Series:
    """Number of each row's key, from 0; equal keys stand together."""
    return rows.select(pl.struct(_ORDER).rle_id().cast(pl.Int64)).to_series()


def _sums(rows: pl.DataFrame) -> pl.DataFrame:
    """Key and scalar columns of each group."""
    return (
        rows.group_by("group", maintain_order=True)
        .agg(
            pl.col(KEY).first(),
            pl.col(SUMS).sum(),
            pl.col(MINIMA).min(),
            pl.col(MAXIMA).max(),
            *(_placed(name, "first").min() for name in COUNTERS),
            *(_placed(name, "last").max() for name in COUNTERS),
        )
        .with_columns(
            pl.col("max_speed_dkmh").fill_null(0),
            *(value for name in COUNTERS for end in ("first", "last") for value in _read(name, end)),
        )
    )


def _placed(name: str, end: str) -> pl.Expr:
    """Second and reading of a counter as one integer, whose least is the first reading and whose greatest the last."""
    at_s = (pl.col(f"{name}_{end}_ms") // _SECOND_MS).clip(0, _SECONDS)
    return (at_s * _READINGS + pl.col(f"{name}_{end}_m").clip(0, _READINGS - 1)).alias(f"{name}_{end}")


def _read(name: str, end: str) -> tuple[pl.Expr, pl.Expr]:
    placed = pl.col(f"{name}_{end}")
    at_ms, reading_m = placed // _READINGS * _SECOND_MS, placed % _READINGS
    return at_ms.alias(f"{name}_{end}_ms"), reading_m.alias(f"{name}_{end}_m")
