"""Driver periods: the sums of all trips of a policy, driver and calendar month. What pricing reads.

They are a function of trip summaries, of what a trip's start and end tell of the car, of events, and of what sealing
judged of its messages and clock, so that sending motion or location or not never changes a price, and they merge: the
sums of two parts are the sums of the whole.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import (
    ACCEL_BINS,
    DURATION_CLASSES,
    HISTOGRAM_FIELDS,
    HOURS_OF_WEEK,
    LEVELS,
    MAXIMUM_FIELDS,
    ONSET_BANDS,
    PEAK_BINS,
    SCALAR_FIELDS,
    SPEED_BANDS,
)
from ingest.contract.tables import HISTOGRAM

# A trip below this is short: the engine stays cold and most of it is town.
SHORT_TRIP_MM: Final = 5_000_000
LONG_TRIP_MM: Final = 100_000_000
LONG_DRIVE_MS: Final = 2 * 3_600_000  # in motion within one trip: a break is due, see docs/features.md
NIGHT_FROM_HOUR: Final = 22
NIGHT_TO_HOUR: Final = 5

KEY: Final = ("policy_id", "driver_id", "month")
# Counters of the car that only rise, and the step they are told in: J1979 PID 0xA6 and PID 0x31.
COUNTERS: Final[dict[str, int]] = {"odometer": 100, "since_clear": 1_000}  # m
# What a trip came from: its least and greatest number are kept; where they differ there were two.
IDENTITIES: Final = ("vin", "device", "stream")

_Kinds = dict[str, type[pl.DataType] | pl.DataType]
_SUMMARY: Final[_Kinds] = {**dict.fromkeys(SCALAR_FIELDS, pl.Int64), **dict.fromkeys(HISTOGRAM_FIELDS, HISTOGRAM)}


def _counter(name: str) -> _Kinds:
    """Columns of a counter of the car; null where it was never told. Trips that stand for several are left out."""
    columns = (
        f"{name}_first_ms",  # UTC of its first reading on a trustworthy clock, in whole seconds
        f"{name}_first_m",  # that reading
        f"{name}_last_ms",
        f"{name}_last_m",
        f"{name}_inside_m",  # its rise within trips
        f"{name}_recorded_mm",  # distance recorded in the same trips
        f"{name}_whole_m",  # of these, in trips without a gap: its rise
        f"{name}_whole_mm",  # and the distance recorded
        f"{name}_trips",  # trips with a reading at either end, that did not fall
        f"{name}_falls",  # trips in which it fell
    )
    return dict.fromkeys(columns, pl.Int64)


# One row a policy, driver and month, sorted by (month, driver_id, policy_id). A trip that stands for several
# (`represents`, simulated portfolios) is counted as often; times and maxima are not.
DRIVER_PERIODS: Final = pl.Schema(
    {
        "policy_id": pl.String,  # null where no policies were given
        "driver_id": pl.String,
        "month": pl.Date,  # its first day, by the UTC start of the trips
        "first_start_ms": pl.Int64,
        "last_end_ms": pl.Int64,
        "trips": pl.Int64,
        "contents": pl.Int64,  # sum of a number made of all that each trip holds: it changes if one of them does
        "incomplete_trips": pl.Int64,  # some of their messages never came
        "short_trips": pl.Int64,  # below SHORT_TRIP_MM
        "local_unknown_mm": pl.Int64,  # distance of trips without known local time, or with a suspect clock
        "accel_mm": pl.Int64,  # distance with known longitudinal acceleration: the exposure of braking and acceleration
        "lateral_mm": pl.Int64,  # distance with known lateral acceleration: the exposure of turn rates
        # ---- kinds of trips
        "long_trips": pl.Int64,  # from LONG_TRIP_MM
        "long_drive_trips": pl.Int64,  # from LONG_DRIVE_MS in motion
        "holiday_mm": pl.Int64,  # distance of trips that start on a public holiday of their region
        "holiday_known_mm": pl.Int64,  # distance of trips whose region and local date are known
        "night_harsh_events": pl.Int64,  # braking and acceleration with onset in the local night
        "night_accel_mm": pl.Int64,  # distance in the local night with known longitudinal acceleration: their exposure
        # ---- speeding in trips whose limit is known for most of their time; event_counts has that of all trips
        "limit_speedings": pl.Int64,
        "limit_severe_speedings": pl.Int64,
        "limit_mm": pl.Int64,  # distance with known limit of these trips: their exposure
        # ---- distance weighted by how usual an event is at its speed and on its kind of trip: features/context.toml
        "braking_context_mm": pl.Int64,
        "acceleration_context_mm": pl.Int64,
        "turn_context_mm": pl.Int64,
        # ---- how well it was seen
        "unsummed_trips": pl.Int64,  # their summary never came: their distance is in no sum
        "gap_trips": pl.Int64,  # with time in which the car was not seen
        "clock_suspect_trips": pl.Int64,  # their hours count as not known
        "chain_broken_trips": pl.Int64,  # a prev_hash of theirs does not fit
        "bad_signature_trips": pl.Int64,
        "conflict_trips": pl.Int64,  # a seq of theirs came with two contents
        "dtc_trips": pl.Int64,  # with stored trouble codes
        "dtc_known_trips": pl.Int64,
        "imu_mm": pl.Int64,  # distance of trips with a motion sensor
        "gnss_mm": pl.Int64,  # of trips with GNSS and without motion sensor
        "graded_mm": pl.Int64,  # of trips whose sensors are known
        "speed_readings": pl.Int64,
        "rate_known_ms": pl.Int64,  # time of trips whose rate of speed readings is known
        # ---- one car, one box, one stream of messages: numbers of names, null where not told
        "vin_trips": pl.Int64,  # in which the VIN was read
        **{f"{name}_{side}": pl.Int64 for name in IDENTITIES for side in ("least", "greatest")},
        **_counter("odometer"),
        **_counter("since_clear"),
        **_SUMMARY,
    }
)

MINIMA: Final = ("first_start_ms", *(f"{name}_least" for name in IDENTITIES))
MAXIMA: Final = (
    "last_end_ms",
    *(name for name in SCALAR_FIELDS if name in MAXIMUM_FIELDS),
    *(f"{name}_greatest" for name in IDENTITIES),
)
# Readings at the first and the last time they were told: of two parts, the earlier and the later.
READINGS: Final = tuple(
    f"{name}_{end}_{unit}" for name in COUNTERS for end in ("first", "last") for unit in ("ms", "m")
)
SUMS: Final = tuple(
    name for name, kind in DRIVER_PERIODS.items() if kind == pl.Int64 and name not in (*MINIMA, *MAXIMA, *READINGS)
)
# Null where it was never told; every other number is 0 then.
NULLABLE: Final = (*READINGS, *(f"{name}_{side}" for name in IDENTITIES for side in ("least", "greatest")))

_KINDS: Final = max(KIND_NUMBERS.values()) + 1
# Histogram -> number of its bins.
BINS: Final[dict[str, int]] = {
    "distance_by_speed_mm": SPEED_BANDS,
    "distance_by_hour_mm": HOURS_OF_WEEK,
    "va_ms": SPEED_BANDS * ACCEL_BINS,
    "excursions": _KINDS * PEAK_BINS * DURATION_CLASSES * ONSET_BANDS,
    "event_counts": _KINDS * LEVELS,
}
