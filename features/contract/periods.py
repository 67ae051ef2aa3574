"""Driver periods: the sums of all trips of a policy, driver and calendar month. What pricing reads.

They are a function of trip summaries and events alone, so that sending motion or not never changes a price, and
they merge: the sums of two parts are the sums of the whole.
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

KEY: Final = ("policy_id", "driver_id", "month")

_Kinds = dict[str, type[pl.DataType] | pl.DataType]
_SUMMARY: Final[_Kinds] = {**dict.fromkeys(SCALAR_FIELDS, pl.Int64), **dict.fromkeys(HISTOGRAM_FIELDS, HISTOGRAM)}

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
        "incomplete_trips": pl.Int64,  # some of their messages never came
        "short_trips": pl.Int64,  # below SHORT_TRIP_MM
        "local_unknown_mm": pl.Int64,  # distance of trips without known local time
        "lateral_mm": pl.Int64,  # distance with known lateral acceleration: the exposure of turn rates
        **_SUMMARY,
    }
)

MINIMA: Final = ("first_start_ms",)
MAXIMA: Final = ("last_end_ms", *(name for name in SCALAR_FIELDS if name in MAXIMUM_FIELDS))
SUMS: Final = tuple(
    name for name, kind in DRIVER_PERIODS.items() if kind == pl.Int64 and name not in MINIMA and name not in MAXIMA
)

_KINDS: Final = max(KIND_NUMBERS.values()) + 1
# Histogram -> number of its bins.
BINS: Final[dict[str, int]] = {
    "distance_by_speed_mm": SPEED_BANDS,
    "distance_by_hour_mm": HOURS_OF_WEEK,
    "va_ms": SPEED_BANDS * ACCEL_BINS,
    "excursions": _KINDS * PEAK_BINS * DURATION_CLASSES * ONSET_BANDS,
    "event_counts": _KINDS * LEVELS,
}
