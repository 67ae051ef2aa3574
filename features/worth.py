"""What one trip adds to its driver period: an integer a column, of its summary and of what its start and end tell.

Judgements, numbered:

1. A trip that stands for several counts as often, except where its car's own counters are read: they tell of one trip.
2. The car's counters are placed in time by trips on a trustworthy clock alone; their rise within a trip needs no clock.
3. A recording that is played is a stream of its own, so streams of recordings tell nothing about a box.
4. A counter that rises faster within a trip than any car drives was misread: the trip has no reading.
5. Night events have their onset in the local night by the offset of their trip's start, as the distance at night has.
6. A trip whose clock is suspect has no known local time, whatever it told: its hours, night and holiday are not known.
7. Speeding is counted in trips whose limit is known for at least half of the time that was observed, per distance with
   known limit. Elsewhere the event rules count from 130 km/h: that is another thing, and less of it.
"""

from __future__ import annotations

import hashlib
from typing import Final

import polars as pl

from device.contract.motion import GRADE_GNSS, GRADE_IMU
from device.contract.rules import KIND_NUMBERS
from device.contract.trip import SCALAR_FIELDS
from features.calendar import on_holiday
from features.contents import number
from features.context import CONTEXTS, context_mm
from features.contract.periods import (
    COUNTERS,
    IDENTITIES,
    LONG_DRIVE_MS,
    LONG_TRIP_MM,
    MAXIMA,
    NIGHT_FROM_HOUR,
    NIGHT_TO_HOUR,
    SHORT_TRIP_MM,
)
from ingest.contract.tables import TRIPS

# Counter -> its columns in a trip, and the reading at which it stands still: PID 0x31 has two bytes of km.
_SOURCES: Final[dict[str, tuple[str, int]]] = {
    "odometer": ("odometer", 2**30),
    "since_clear": ("distance_since_clear", 65_535_000),
}
MAX_M_PER_S: Final = 84  # 300 km/h
MARGIN_M: Final = 2_000  # a step of the coarser counter at either end
_ALONG: Final = [KIND_NUMBERS[kind] for kind in ("harsh_braking", "harsh_acceleration")]
_SPEEDING: Final = KIND_NUMBERS["speeding"]
_SEVERE: Final = 2  # level
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_DHZ_MS: Final = 10_000  # 0.1 readings a second, in milliseconds
_WEIGHT: Final = pl.col("represents").fill_null(1).cast(pl.Int64)
_OF_LOCAL_TIME: Final = ("utc_offset_min", "distance_by_hour_mm")
_UNTOLD: Final = pl.Schema(dict(TRIPS) | {"region": pl.String, "content": pl.String})


def trip_worths(trips: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Add to trips every number that a driver period sums, takes the least or the greatest of.

    Parameters
    ----------
    trips : pl.DataFrame
        Columns of `ingest.contract.tables.TRIPS`, those left out count as null, plus policy_id, driver_id and
        region and content (`features.contents`), which may be left out too.
    events : pl.DataFrame
        trip_key, kind, level and onset_ms of the events of these trips; others are left out.
    """
    trips = trips.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in _UNTOLD.items() if name not in trips.columns
    )
    believed = ~pl.col("clock_suspect").fill_null(value=False)
    trips = trips.with_columns(pl.when(believed).then(pl.col(_OF_LOCAL_TIME)))
    distance = pl.col("distance_mm").fill_null(0)
    grade = pl.col("sensor_grade")
    samples = pl.col("samples")
    along = (samples - pl.col("accel_null_samples")).clip(0)
    limit_ms, observed_ms = pl.col("limit_known_ms"), pl.col("observed_ms")
    limited = (limit_ms > 0) & (2 * limit_ms >= observed_ms)
    trips = trips.with_columns(
        *context_mm(trips),
        _holiday(trips),
        _numbered(trips["vin_hash"]).alias("vin"),
        _numbered(trips["device_id"]).alias("device"),
        _numbered(trips["stream_id"].set(trips["recording"].is_not_null(), None)).alias("stream"),
        night_harsh_events=_night_events(trips, events),
        speedings=_events(trips, events.filter(pl.col("kind") == _SPEEDING)),
        severe_speedings=_events(trips, events.filter((pl.col("kind") == _SPEEDING) & (pl.col("level") >= _SEVERE))),
    )
    counted = {
        "trips": pl.lit(1),
        "incomplete_trips": ~pl.col("complete"),
        "short_trips": pl.col("distance_mm") < SHORT_TRIP_MM,
        "long_trips": pl.col("distance_mm") >= LONG_TRIP_MM,
        "long_drive_trips": pl.col("moving_ms") >= LONG_DRIVE_MS,
        "unsummed_trips": pl.col("distance_mm").is_null(),
        "gap_trips": pl.col("unobserved_ms") > 0,
        "clock_suspect_trips": pl.col("clock_suspect"),
        "chain_broken_trips": ~pl.col("chain_ok"),
        "bad_signature_trips": pl.col("signature") == "bad",
        "conflict_trips": pl.col("conflicts") > 0,
        "dtc_trips": pl.col("dtc_count") > 0,
        "dtc_known_trips": pl.col("dtc_count").is_not_null(),
        "vin_trips": pl.col("vin_hash").is_not_null(),
        "local_unknown_mm": distance * pl.col("utc_offset_min").is_null(),
        "accel_mm": distance * along // samples,
        "night_accel_mm": _night_distance() * along // samples,
        "limit_speedings": limited * pl.col("speedings"),
        "limit_severe_speedings": limited * pl.col("severe_speedings"),
        "limit_mm": limited * distance * limit_ms // observed_ms,
        "lateral_mm": distance * pl.col("lateral_samples").fill_null(0) // samples,
        "holiday_mm": distance * pl.col("holiday"),
        "holiday_known_mm": distance * pl.col("holiday").is_not_null(),
        "imu_mm": distance * (grade == GRADE_IMU),
        "gnss_mm": distance * (grade == GRADE_GNSS),
        "graded_mm": distance * (grade > 0),
        "speed_readings": pl.col("speed_rate_dhz").cast(pl.Int64) * pl.col("duration_ms") // _DHZ_MS,
        "rate_known_ms": pl.col("duration_ms") * pl.col("speed_rate_dhz").is_not_null(),
        **{name: pl.col(name) for name in ("night_harsh_events", *(f"{kind}_context_mm" for kind in CONTEXTS))},
        **{name: pl.col(name) for name in SCALAR_FIELDS if name not in MAXIMA},
    }
    end_ms = pl.col("start_ms") + pl.col("duration_ms").fill_null(0)
    return trips.with_columns(
        pl.from_epoch("start_ms", time_unit="ms").dt.date().dt.month_start().alias("month"),
        pl.col("start_ms").alias("first_start_ms"),
        end_ms.alias("last_end_ms"),
        number(pl.col("content")).fill_null(0).alias("contents"),
        *((_WEIGHT * value.cast(pl.Int64)).fill_null(0).alias(name) for name, value in counted.items()),
        *(pl.col(name).alias(f"{name}_{side}") for name in IDENTITIES for side in ("least", "greatest")),
        *(column for name in COUNTERS for column in _counter(name, end_ms)),
    )


def _counter(name: str, end_ms: pl.Expr) -> list[pl.Expr]:
    """Columns of one counter of the car; see `features.contract.periods`."""
    source, full = _SOURCES[name]
    started, ended = pl.col(f"{source}_start_m"), pl.col(f"{source}_end_m")
    possible_m = pl.col("duration_ms") * MAX_M_PER_S // 1_000 + MARGIN_M
    told = (ended - started <= possible_m).fill_null(value=True)
    start, end = (pl.when(told & (reading < full)).then(reading) for reading in (started, ended))
    one = _WEIGHT == 1
    timed = one & ~pl.col("clock_suspect").fill_null(value=False)
    both = one & start.is_not_null() & end.is_not_null()
    rose = both & (end >= start)
    whole = rose & pl.col("complete") & (pl.col("unobserved_ms") == 0)
    told_ms = {
        "first": pl.when(start.is_not_null()).then(pl.col("start_ms")).otherwise(end_ms),
        "last": pl.when(end.is_not_null()).then(end_ms).otherwise(pl.col("start_ms")),
    }
    reading_m = {"first": pl.coalesce(start, end), "last": pl.coalesce(end, start)}
    sums = {
        "inside_m": rose * (end - start),
        "recorded_mm": rose * pl.col("distance_mm"),
        "whole_m": whole * (end - start),
        "whole_mm": whole * pl.col("distance_mm"),
        "trips": rose,
        "falls": both & ~rose,
    }
    known = timed & reading_m["first"].is_not_null()
    return [
        *(pl.when(known).then(value).alias(f"{name}_{at}_ms") for at, value in told_ms.items()),
        *(pl.when(known).then(value).alias(f"{name}_{at}_m") for at, value in reading_m.items()),
        *(value.cast(pl.Int64).fill_null(0).alias(f"{name}_{column}") for column, value in sums.items()),
    ]


def _holiday(trips: pl.DataFrame) -> pl.Series:
    """Whether a trip starts on a public holiday of its region, by its local date; null where that is not known."""
    local_ms = pl.col("start_ms") + pl.col("utc_offset_min").cast(pl.Int64) * _MINUTE_MS
    day = trips.select(pl.from_epoch(local_ms, time_unit="ms").dt.date()).to_series()
    return on_holiday(trips["region"], day).alias("holiday")


def _night_events(trips: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """Harsh brakings and accelerations of each trip whose onset lies in the local night."""
    local_ms = pl.col("start_ms") + pl.col("onset_ms") + pl.col("utc_offset_min").cast(pl.Int64) * _MINUTE_MS
    at_night = (
        events.filter(pl.col("kind").is_in(_ALONG))
        .select("trip_key", "onset_ms")
        .join(trips.select("trip_key", "start_ms", "utc_offset_min"), on="trip_key")
        .filter(_is_night(local_ms // _HOUR_MS % 24))
    )
    return _events(trips, at_night)


def _events(trips: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """How many of these events each trip has."""
    counts = events.group_by("trip_key").len("events")
    joined = trips.select("trip_key").join(counts, on="trip_key", how="left", maintain_order="left")
    return joined["events"].fill_null(0).cast(pl.Int64)


def _night_distance() -> pl.Expr:
    """Distance of each trip in the local night."""
    entry = pl.element().struct
    at_night = entry.field("value").filter(_is_night(entry.field("key") % 24))
    return pl.col("distance_by_hour_mm").list.eval(at_night).list.sum()


def _is_night(hour: pl.Expr) -> pl.Expr:
    return (hour >= NIGHT_FROM_HOUR) | (hour < NIGHT_TO_HOUR)


def _numbered(names: pl.Series) -> pl.Series:
    """Each name as an integer, the first 63 bits of its SHA-256: to compare, not to read."""
    different = names.drop_nulls().unique()
    numbers = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1 for name in different]
    table = pl.DataFrame({"name": different, "number": pl.Series(numbers, dtype=pl.Int64)})
    named = pl.DataFrame({"name": names.cast(pl.String)})
    return named.join(table, on="name", how="left", maintain_order="left")["number"]
