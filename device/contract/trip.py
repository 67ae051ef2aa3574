"""The trip summary: mergeable sufficient statistics, every one an integer, and the bins they are counted in.

Two implementations fill it (`device.trips` sample by sample, `features` by columns); the law of parity says they agree.
Sums of summaries do not depend on order, batching, engine, threads or machine; floats are derived once, at the end.

Definitions
-----------
A *segment* joins two successive samples with known speed that are at most `BRIDGE_MS` apart; the time of longer gaps is
`unobserved_ms`. With va, vb in 0.1 km/h and dt in ms a segment has

    distance_mm = (( va + vb ) * dt + 36) // 72          (0.1 km/h = 1/36 mm per ms, trapezoid, rounded half up)
    moving      = va + vb >= 2 * STANDING_DKMH           (mean of at least 1 km/h), else standing
    idle        = standing and the engine on at the first sample
    speed band  = min((va + vb) // 200, SPEED_BANDS - 1) (10 km/h of mean speed)
    hour        = local hour of week of its first sample, Monday 00:00 = 0; none where the UTC offset is not known
    speeding    = limit known at the first sample and (va + vb) > 20 * limit_kmh
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

SPEED_BANDS: Final = 16
HOURS_OF_WEEK: Final = 168
STANDING_DKMH: Final = 10
OVER_130_DKMH: Final = 1_300

# v-a heatmap: key = speed band * ACCEL_BINS + acceleration bin, steps of 0.2 m/s2, bin 30 is [-0.1, 0.1).
ACCEL_BINS: Final = 61
ACCEL_STEP_CMPS2: Final = 20
ACCEL_ZERO_BIN: Final = 30

# Excursions: key = ((kind * PEAK_BINS + peak bin) * DURATION_CLASSES + duration class) * ONSET_BANDS + onset band.
PEAK_BINS: Final = 64
PEAK_STEP_CMPS2: Final = 25
DURATION_CLASSES: Final = 4
DURATION_EDGES_MS: Final = (1_000, 2_000, 4_000)  # class = how many edges the duration reached
ONSET_BANDS: Final = SPEED_BANDS + 1  # the last one: speed at onset not known

# Event counts: key = kind * LEVELS + level.
LEVELS: Final = 8

Histogram = dict[int, int]


@dataclass(slots=True)
class TripSummary:
    """Sufficient statistics of one trip. All are sums but `max_speed_dkmh` (a maximum)."""

    duration_ms: int = 0  # last sample's time plus one grid period
    samples: int = 0
    distance_mm: int = 0
    observed_ms: int = 0  # time in segments
    unobserved_ms: int = 0  # time between known samples too far apart for a segment
    moving_ms: int = 0
    standing_ms: int = 0
    idle_ms: int = 0
    limit_known_ms: int = 0
    speeding_ms: int = 0
    over_130_ms: int = 0  # mean speed of the segment over 130 km/h
    max_speed_dkmh: int = 0
    speed_null_samples: int = 0
    accel_null_samples: int = 0
    lateral_samples: int = 0  # samples with known lateral acceleration: the exposure of turn rates
    jump_samples: int = 0  # QUALITY_JUMP
    coarse_samples: int = 0  # QUALITY_COARSE
    distance_by_speed_mm: Histogram = field(default_factory=dict)  # key: speed band
    distance_by_hour_mm: Histogram = field(default_factory=dict)  # key: local hour of week
    va_ms: Histogram = field(default_factory=dict)  # key: v-a bin; grid period of every sample with speed and accel
    excursions: Histogram = field(default_factory=dict)  # key: excursion bin; count
    event_counts: Histogram = field(default_factory=dict)  # key: kind * LEVELS + level; count


SCALAR_FIELDS: Final[tuple[str, ...]] = tuple(f.name for f in fields(TripSummary) if f.type == "int")
HISTOGRAM_FIELDS: Final[tuple[str, ...]] = tuple(f.name for f in fields(TripSummary) if f.type == "Histogram")
MAXIMUM_FIELDS: Final = frozenset({"max_speed_dkmh"})


def va_key(speed_dkmh: int, accel_cmps2: int) -> int:
    """Bin of the v-a heatmap for a sample."""
    band = min(speed_dkmh // 100, SPEED_BANDS - 1)
    bound = ACCEL_STEP_CMPS2 * ACCEL_ZERO_BIN
    clipped = max(-bound, min(bound, accel_cmps2))
    return band * ACCEL_BINS + (clipped + bound + ACCEL_STEP_CMPS2 // 2) // ACCEL_STEP_CMPS2


def excursion_key(kind: int, peak_cmps2: int, duration_ms: int, onset_speed_dkmh: int | None) -> int:
    """Bin of the excursion table."""
    peak_bin = min(peak_cmps2 // PEAK_STEP_CMPS2, PEAK_BINS - 1)
    duration_class = sum(duration_ms >= edge for edge in DURATION_EDGES_MS)
    band = SPEED_BANDS if onset_speed_dkmh is None else min(onset_speed_dkmh // 100, SPEED_BANDS - 1)
    return ((kind * PEAK_BINS + peak_bin) * DURATION_CLASSES + duration_class) * ONSET_BANDS + band


def hour_of_week(utc_ms: int, utc_offset_min: int) -> int:
    """Local hour of week of a UTC time, Monday 00:00 = 0. The epoch was a Thursday."""
    return ((utc_ms + utc_offset_min * 60_000) // 3_600_000 + 72) % HOURS_OF_WEEK
