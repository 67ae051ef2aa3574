"""The bodies of a message as plain dataclasses, and the bounds of what they say. Units are in the names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from device.contract.trip import LEVELS, TripSummary

Sign = Callable[[bytes], bytes]
MAX_BATCH_SAMPLES: Final = 5_000
MAX_HIST_BINS: Final = 20_000
MAX_TRIP_MS: Final = 1_800_000_000  # 20 days; with a whole batch more a time still has 31 bits, as in the lake
MAX_COUNTERS: Final = 1_000
MAX_TEXT: Final = 256
MAX_HASH_BYTES: Final = 32
_INT32: Final = 2**31
ABSURD: Final = 2**53  # JSON and floats lose integers from here on

# Plausible bounds of the motion columns, in their integers. Values outside are refused, not clipped.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "speed_dkmh": (0, 4_000),
    "accel_lon_cmps2": (-20_000, 20_000),
    "accel_lat_cmps2": (-20_000, 20_000),
    "yaw_rate_ddps": (-20_000, 20_000),
    "accel_peak_cmps2": (0, 32_000),
    "engine": (0, 1),
    "limit_kmh": (0, 400),
    "quality": (0, 255),
}

# The same for the fields of bodies, so that whatever is taken fits the lake. Enums leave room for later numbers.
FIELD_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "trip_seq": (1, ABSURD),
    "period_ms": (10, 60_000),
    "utc_offset_min": (-16 * 60, 16 * 60),
    "rules_version": (0, _INT32 - 1),
    "sensor_grade": (0, 255),
    "reason": (0, 255),
    "kind": (0, 255),
    "level": (0, LEVELS - 1),
    "onset_ms": (0, MAX_TRIP_MS),
    "peak_ms": (0, MAX_TRIP_MS),
    "end_ms": (0, MAX_TRIP_MS),
    "duration_ms": (0, MAX_TRIP_MS),
    "first_t_ms": (0, MAX_TRIP_MS),
    "count": (1, MAX_BATCH_SAMPLES),
    "peak": (0, 32_000),
    "peak_cmps2": (0, 32_000),
    "t_ms": (0, MAX_TRIP_MS),
    "speed_dkmh": (0, 4_000),
    "onset_speed_dkmh": (0, 4_000),
    "delta_v_dkmh": (-4_000, 4_000),
    "speed_rate_dhz": (0, 10_000),
    "speed_step_dkmh": (0, 4_000),
    "speed_frozen": (0, _INT32 - 1),
    "dtc_count": (0, 255),
    "lat_cdeg": (-9_000, 9_000),
    "lon_cdeg": (-18_000, 18_000),
    "lat_e5deg": (-9_000_000, 9_000_000),
    "lon_e5deg": (-18_000_000, 18_000_000),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the 0.01 degree grid by its centre; all that a coarse location tells."""

    lat_cdeg: int
    lon_cdeg: int


@dataclass(frozen=True, slots=True)
class TripStart:
    """A trip began; everything that holds for the whole trip."""

    period_ms: int
    started_at_ms: int
    utc_offset_min: int | None
    rules_version: int
    sensor_grade: int
    recording: str = ""
    vehicle: str = ""
    adapter: str = ""
    odometer_m: int | None = None
    distance_since_clear_m: int | None = None
    vin_hash: bytes = b""
    start_mono_ms: int = 0
    recorded_file: str = ""
    speed_rate_dhz: int | None = None
    dtc_count: int | None = None
    start_cell: Cell | None = None
    config_version: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """An event; `peak` in 0.01 m/s2, for speeding in 0.1 km/h over the limit; times since the trip's start."""

    trip_seq: int
    kind: int
    level: int
    onset_ms: int
    peak_ms: int
    end_ms: int
    duration_ms: int
    peak: int
    onset_speed_dkmh: int | None
    delta_v_dkmh: int | None
    rules_version: int
    sensor_grade: int
    cell: Cell | None = None


@dataclass(frozen=True, slots=True)
class Motion:
    """A batch of motion cells from `first_t_ms` on; `columns` as in `device.contract.motion.COLUMNS`."""

    trip_seq: int
    first_t_ms: int
    count: int
    columns: Mapping[str, Sequence[int | None]]


@dataclass(frozen=True, slots=True)
class Track:
    """Positions from `first_t_ms` on, in 0.00001 degree (WGS 84); both are None where there was no fix."""

    trip_seq: int
    first_t_ms: int
    period_ms: int
    lat_e5deg: Sequence[int | None]
    lon_e5deg: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Impact:
    """An impact: the alert at once, and the report (`complete`) with the motion around it when that is final.

    `trip_seq`, and that of `around`, is 0 where no trip was running; `t_ms` then counts on the time axis of `around`.
    """

    trip_seq: int
    t_ms: int
    peak_cmps2: int
    speed_dkmh: int | None
    complete: bool
    period_ms: int
    around: Motion | None = None
    cell: Cell | None = None


@dataclass(frozen=True, slots=True)
class TripEnd:
    """A trip ended, with its summary; `sensor_grade` 0 and an empty `adapter` say: as in the TripStart."""

    trip_seq: int
    reason: int
    summary: TripSummary
    odometer_m: int | None = None
    distance_since_clear_m: int | None = None
    sensor_grade: int = 0
    speed_rate_dhz: int | None = None
    dtc_count: int | None = None
    adapter: str = ""
    end_cell: Cell | None = None
    vin_hash: bytes = b""
    speed_readings: int | None = None
    speed_missed: int | None = None
    speed_step_dkmh: int | None = None
    speed_frozen: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Counters of the device since its last health message."""

    counters: dict[str, int] = field(default_factory=dict)


Body = TripStart | Event | Motion | TripEnd | Health | Track | Impact
