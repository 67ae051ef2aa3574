"""Trip summaries from columns: the definitions of `device.contract.trip`, without a loop over samples."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from device.contract.motion import BRIDGE_MS, ENGINE_ON, QUALITY_COARSE, QUALITY_JUMP
from device.contract.trip import (
    ACCEL_BINS,
    ACCEL_STEP_CMPS2,
    ACCEL_ZERO_BIN,
    HOURS_OF_WEEK,
    OVER_130_DKMH,
    SPEED_BANDS,
    STANDING_DKMH,
)
from features.contract.histograms import Integers, as_lists, tally

HOUR_MS: Final = 3_600_000
_EPOCH_HOUR_OF_WEEK: Final = 72  # the epoch was a Thursday, Monday 00:00 = 0


def summarise(motion: pl.DataFrame, trips: pl.DataFrame, period_ms: int) -> pl.DataFrame:
    """Add to `trips` every summary field that motion alone decides (all but excursions and event_counts).

    Parameters
    ----------
    motion : pl.DataFrame
        trip UInt32 (row of `trips`, rising), t_ms and the motion columns; trips whole, in time order.
    trips : pl.DataFrame
        start_ms Int64, utc_offset_min Int32 (null: local time not known), one row a trip.
    period_ms : int
        Grid period of all trips.
    """
    known = motion.filter(pl.col("speed_dkmh").is_not_null()) if motion["speed_dkmh"].null_count() else motion
    segments = _segments(known)
    by_trip = trips.with_row_index("trip")
    for sums in (_of_samples(motion, period_ms), _of_segments(segments)):
        by_trip = by_trip.join(sums, on="trip", how="left", maintain_order="left")
    by_speed, by_hour = _distances(segments, trips)
    return by_trip.drop("trip").with_columns(
        pl.col(*_SEGMENT_SUMS).fill_null(0),
        distance_by_speed_mm=by_speed,
        distance_by_hour_mm=by_hour,
        va_ms=_heatmap(known, trips.height, period_ms),
    )


def _of_samples(motion: pl.DataFrame, period_ms: int) -> pl.DataFrame:
    return (
        motion.lazy()
        .with_columns(pl.col("trip").set_sorted())
        .group_by("trip", maintain_order=True)
        .agg(
            duration_ms=pl.col("t_ms").last().cast(pl.Int64) + period_ms,
            samples=pl.len().cast(pl.Int64),
            max_speed_dkmh=pl.col("speed_dkmh").max().fill_null(0).cast(pl.Int64),
            speed_null_samples=pl.col("speed_dkmh").null_count().cast(pl.Int64),
            accel_null_samples=pl.col("accel_lon_cmps2").null_count().cast(pl.Int64),
            lateral_samples=pl.col("accel_lat_cmps2").count().cast(pl.Int64),
            jump_samples=(pl.col("quality") & QUALITY_JUMP != 0).sum().cast(pl.Int64),
            coarse_samples=(pl.col("quality") & QUALITY_COARSE != 0).sum().cast(pl.Int64),
        )
        .collect()
    )


def _segments(known: pl.DataFrame) -> pl.DataFrame:
    """Segment from each sample to the next of its trip; dt_ms and distance_mm are 0 where there is none."""
    gap_ms = pl.col("t_ms").shift(-1, fill_value=0) - pl.col("t_ms")
    bridged = (pl.col("trip") == pl.col("trip").shift(-1)) & (gap_ms <= BRIDGE_MS)
    speed = pl.col("speed_dkmh").cast(pl.Int32)
    return (
        known.lazy()
        .select(
            pl.col("trip").set_sorted(),
            "t_ms",
            "engine",
            "limit_kmh",
            dt_ms=pl.when(bridged).then(gap_ms).otherwise(0),
            speed_sum=speed + speed.shift(-1, fill_value=0),
        )
        .with_columns(distance_mm=(pl.col("speed_sum") * pl.col("dt_ms") + 36) // 72)
        .collect()
    )


def _of_segments(segments: pl.DataFrame) -> pl.DataFrame:
    dt_ms, speed_sum = pl.col("dt_ms"), pl.col("speed_sum")
    standing = speed_sum < 2 * STANDING_DKMH
    limit_known = pl.col("limit_kmh").is_not_null()
    sums = {
        "distance_mm": pl.col("distance_mm").cast(pl.Int64).sum(),
        "observed_ms": dt_ms.sum(),
        "span_ms": pl.col("t_ms").last() - pl.col("t_ms").first(),
        "standing_ms": (dt_ms * standing).sum(),
        "idle_ms": (dt_ms * (standing & (pl.col("engine") == ENGINE_ON))).sum(),
        "over_130_ms": (dt_ms * (speed_sum > 2 * OVER_130_DKMH)).sum(),
        "limit_known_ms": (dt_ms * limit_known).sum(),
        "speeding_ms": (dt_ms * (speed_sum > 20 * pl.col("limit_kmh").cast(pl.Int32))).sum(),
    }
    return (
        segments.lazy()
        .group_by("trip", maintain_order=True)
        .agg(sum_.cast(pl.Int64).alias(name) for name, sum_ in sums.items())
        .select(
            "trip",
            *_SUMMED,
            unobserved_ms=pl.col("span_ms") - pl.col("observed_ms"),
            moving_ms=pl.col("observed_ms") - pl.col("standing_ms"),
        )
        .collect()
    )


_SUMMED: Final = (
    "distance_mm",
    "observed_ms",
    "standing_ms",
    "idle_ms",
    "over_130_ms",
    "limit_known_ms",
    "speeding_ms",
)
_SEGMENT_SUMS: Final = (*_SUMMED, "unobserved_ms", "moving_ms")


def _distances(segments: pl.DataFrame, trips: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Distance by speed band and by local hour of week; rows of one band and hour in a row are added up first."""
    trip = segments["trip"].to_numpy()
    band = np.minimum(segments["speed_sum"].to_numpy() // 200, SPEED_BANDS - 1)
    local = trips["start_ms"] + trips["utc_offset_min"].cast(pl.Int64) * 60_000
    local_ms = local.fill_null(0).to_numpy()
    into_hour_ms = (local_ms % HOUR_MS).astype(np.int32)
    hour = (into_hour_ms[trip] + segments["t_ms"].to_numpy()) // HOUR_MS  # hours begun since the one the trip began in
    run = _run_starts(trip, hour * SPEED_BANDS + band)
    trip, band, hour = trip[run], band[run], hour[run]
    distance_mm = np.add.reduceat(segments["distance_mm"].to_numpy(), run, dtype=np.int64) if run.size else run
    of_week = (local_ms[trip] // HOUR_MS + hour + _EPOCH_HOUR_OF_WEEK) % HOURS_OF_WEEK
    placed = local.is_not_null().to_numpy()[trip]
    by_speed = tally(trip, band, distance_mm, SPEED_BANDS)
    by_hour = tally(trip[placed], of_week[placed], distance_mm[placed], HOURS_OF_WEEK)
    return as_lists(by_speed, trips.height), as_lists(by_hour, trips.height)


def _run_starts(trip: Integers, cell: Integers) -> Integers:
    """Rows where the trip or the cell is another than in the row before."""
    changed = np.ones(trip.size, np.bool_)
    changed[1:] = (trip[1:] != trip[:-1]) | (cell[1:] != cell[:-1])
    return np.flatnonzero(changed)


def _heatmap(known: pl.DataFrame, trips: int, period_ms: int) -> pl.Series:
    both = known.select("trip", "speed_dkmh", "accel_lon_cmps2").drop_nulls()
    band = np.minimum(both["speed_dkmh"].to_numpy() // 100, SPEED_BANDS - 1)
    bound = ACCEL_STEP_CMPS2 * ACCEL_ZERO_BIN
    accel = np.clip(both["accel_lon_cmps2"].to_numpy(), -bound, bound)
    key = band * np.int16(ACCEL_BINS) + (accel + np.int16(bound + ACCEL_STEP_CMPS2 // 2)) // np.int16(ACCEL_STEP_CMPS2)
    return as_lists(tally(both["trip"].to_numpy(), key, period_ms, SPEED_BANDS * ACCEL_BINS), trips)
