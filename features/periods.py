"""Trips to driver periods: integer sums by policy, driver and month, which merge in any order.

trips + their events -> one part a set of trips -> merged -> driver periods
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from device.contract.trip import HISTOGRAM_FIELDS, LEVELS, SCALAR_FIELDS
from features.contract.histograms import as_lists, sum_lists
from features.contract.periods import BINS, DRIVER_PERIODS, KEY, MAXIMA, MINIMA, SHORT_TRIP_MM, SUMS

_ORDER: Final = ("month", "driver_id", "policy_id")
_OF_TRIPS: Final = tuple(name for name in HISTOGRAM_FIELDS if name != "event_counts")


def sum_trips(trips: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Sum whole trips to driver periods.

    Parameters
    ----------
    trips : pl.DataFrame
        Columns of `ingest.contract.tables.TRIPS` plus policy_id and driver_id; trips without driver are left out.
    events : pl.DataFrame
        trip_key, kind and level of the events of these trips (others are left out).

    Returns
    -------
    pl.DataFrame
        Schema DRIVER_PERIODS.
    """
    weight = pl.col("represents").fill_null(1).cast(pl.Int64)
    distance = pl.col("distance_mm").fill_null(0)
    rows = (
        trips.filter(pl.col("driver_id").is_not_null())
        .with_columns(
            month=pl.from_epoch("start_ms", time_unit="ms").dt.date().dt.month_start(),
            first_start_ms=pl.col("start_ms"),
            last_end_ms=pl.col("start_ms") + pl.col("duration_ms").fill_null(0),
            trips=weight,
            incomplete_trips=weight * ~pl.col("complete"),
            short_trips=weight * (pl.col("distance_mm") < SHORT_TRIP_MM),
            local_unknown_mm=weight * distance * pl.col("utc_offset_min").is_null(),
            lateral_mm=weight * (distance * pl.col("lateral_samples").fill_null(0) // pl.col("samples")),
            **{name: weight * pl.col(name) for name in SCALAR_FIELDS if name not in MAXIMA},
        )
        .sort(*_ORDER, "trip_key", nulls_last=True)
    )
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
    return rows.group_by("group", maintain_order=True).agg(
        pl.col(KEY).first(),
        pl.col(SUMS).sum(),
        pl.col(MINIMA).min(),
        pl.col(MAXIMA).max().fill_null(0),
    )
