"""Trips of motion for the tests: drawn by hypothesis, and as the tables that `features` reads."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from hypothesis import strategies as st

from device.contract.motion import MotionSample
from features.derive import HEADS
from ingest.contract.tables import MOTION

PERIOD_MS = 500
# Thresholds of rules and bins, one below, one above, and values that pile up: where two implementations part.
SPEEDS = [None, 0, 0, 9, 10, 11, 99, 100, 149, 150, 500, 502, 999, 1_299, 1_300, 1_301, 1_310, 1_600, 4_000]
EDGES = [100, 150, 170, 200, 250, 300, 350, 440, 490, 600, 1_000, 1_700, 2_450, 20_000]
ACCELS = [
    None,
    None,
    0,
    *EDGES,
    *(v - 1 for v in EDGES),
    *(-v for v in EDGES),
    *(1 - v for v in EDGES),
    9,
    10,
    -10,
    -11,
]
LIMITS = [None, None, 0, 50, 120, 130, 400]


@dataclass(frozen=True)
class Trip:
    key: int
    start_ms: int
    utc_offset_min: int | None
    samples: list[MotionSample]
    period_ms: int = PERIOD_MS
    rules_version: int = 1


def _sticky(values):
    """Values that tend to stay for some samples, so that runs, blocks and merges happen."""
    piece = st.tuples(st.sampled_from(values), st.integers(1, 9))
    return st.lists(piece, min_size=1, max_size=12).map(lambda pieces: [v for v, n in pieces for _ in range(n)])


@st.composite
def samples(draw, period_ms: int = PERIOD_MS):
    columns = {
        "speed_dkmh": draw(_sticky(SPEEDS)),
        "accel_lon_cmps2": draw(_sticky(ACCELS)),
        "accel_lat_cmps2": draw(st.one_of(st.just([None]), _sticky(ACCELS))),
        "accel_peak_cmps2": draw(st.one_of(st.just([None]), _sticky([None, 0, 999, 1_000, 2_449, 2_450, 3_000]))),
        "engine": draw(_sticky([None, 0, 1, 1])),
        "limit_kmh": draw(st.one_of(st.just([None]), _sticky(LIMITS))),
        "yaw_rate_ddps": draw(st.one_of(st.just([None]), _sticky([None, 0, -1, 2_000, -20_000]))),
        "quality": draw(_sticky([0, 0, 1, 2, 3, 4, 8, 16, 18, 28, 255])),
    }
    n = draw(st.sampled_from([1, 1, 2, 3, max(map(len, columns.values()))]))
    gaps = draw(st.dictionaries(st.integers(0, n), st.sampled_from([1, 2, 3, 9, 10, 11, 7_200, 1_300_000]), max_size=3))
    t, rows = 0, []
    for i in range(n):
        t += gaps.get(i, 0) * period_ms
        rows.append(MotionSample(t, **{name: values[i % len(values)] for name, values in columns.items()}))
        t += period_ms
    return rows


def _with_period(period_ms: int):
    return samples(period_ms).map(lambda rows: (period_ms, rows))


@st.composite
def trips(draw, max_trips: int = 4):
    drawn = draw(st.lists(st.one_of(_with_period(500), _with_period(100)), min_size=1, max_size=max_trips))
    starts = st.integers(1_700_000_000_000, 1_700_700_000_000)
    offsets = st.sampled_from([None, 0, 60, -210, 345, 840, -720])
    keys = draw(st.lists(st.integers(0, 2**64 - 1), min_size=len(drawn), max_size=len(drawn), unique=True))
    versions = st.sampled_from([1, 2, 3])
    return [
        Trip(key, draw(starts), draw(offsets), rows, period_ms, draw(versions))
        for key, (period_ms, rows) in zip(sorted(keys), drawn, strict=True)
    ]


def motion_of(trips: list[Trip]) -> pl.DataFrame:
    rows = [(trip.key, *sample) for trip in trips for sample in trip.samples]
    return pl.DataFrame(rows, schema=MOTION, orient="row")


def heads_of(trips: list[Trip]) -> pl.DataFrame:
    rows = [
        (t.key, f"trip-{t.key}", "car", t.start_ms, t.utc_offset_min, t.period_ms, t.rules_version, 1)
        for t in reversed(trips)
    ]
    return pl.DataFrame(rows, schema=HEADS, orient="row")
