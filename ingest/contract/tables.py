"""Schemas of the lake's tables. Every writer casts to these, every reader may rely on them."""

from __future__ import annotations

import hashlib
from typing import Final

import polars as pl

from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS

_Kinds = dict[str, type[pl.DataType] | pl.DataType]

HISTOGRAM: Final = pl.List(pl.Struct({"key": pl.Int32, "value": pl.Int64}))  # keys rise, no zero values

# One row a message, as it came. date = received UTC date, in the path.
MESSAGES: Final = pl.Schema(
    {
        "device_id": pl.String,
        "stream_id": pl.String,  # hex
        "seq": pl.Int64,
        "hash": pl.Binary,
        "prev_hash": pl.Binary,
        "body_kind": pl.Int16,
        "trip_seq": pl.Int64,  # the trip it belongs to; null: none, or not told (tombstone)
        "started_at_ms": pl.Int64,  # of a trip_start: UTC as the device believed it; else null
        "tombstone": pl.Boolean,
        "queued_at_ms": pl.Int64,
        "mono_ms": pl.Int64,
        "boot_id": pl.String,  # hex
        "clock_quality": pl.Int16,
        "received_at_ms": pl.Int64,
        "payload": pl.Binary,
    }
)

REJECTS: Final = pl.Schema(
    {
        "topic": pl.String,
        "device_id": pl.String,  # of the topic; null when the topic names none
        "stream_id": pl.String,  # hex; null when the header could not be read
        "seq": pl.Int64,
        "reason": pl.String,  # device.contract.wire.Reason
        "detail": pl.String,
        "received_at_ms": pl.Int64,
        "payload_sha256": pl.Binary,
        "payload": pl.Binary,  # null where consent does not cover it
    }
)

_SUMMARY: Final[_Kinds] = {**dict.fromkeys(SCALAR_FIELDS, pl.Int64), **dict.fromkeys(HISTOGRAM_FIELDS, HISTOGRAM)}

# One row a trip. trip_key = trip_key(trip_id): an integer that is cheap to compare in the motion table.
TRIPS: Final = pl.Schema(
    {
        "trip_id": pl.String,
        "trip_key": pl.UInt64,
        "device_id": pl.String,
        "stream_id": pl.String,
        "seq": pl.Int64,  # of the trip_start
        "last_seq": pl.Int64,  # the highest that names this trip
        "recording": pl.String,  # hex SHA-256 of the recording played; null in a real car
        "recorded_file": pl.String,  # base name of that recording; null in a real car
        "vehicle": pl.String,
        "adapter": pl.String,
        "start_ms": pl.Int64,  # UTC, corrected
        "device_start_ms": pl.Int64,  # UTC as the device believed
        "utc_offset_min": pl.Int32,  # null: local time not known
        "period_ms": pl.Int32,
        "sensor_grade": pl.Int16,  # of the whole trip where its end tells, else as it started
        "rules_version": pl.Int32,
        "end_reason": pl.Int16,
        "odometer_start_m": pl.Int64,
        "odometer_end_m": pl.Int64,
        "distance_since_clear_start_m": pl.Int64,  # since trouble codes were cleared; falls when they are
        "distance_since_clear_end_m": pl.Int64,
        "dtc_count": pl.Int16,  # stored trouble codes at the trip's end, else at its start
        "vin_hash": pl.String,  # hex, keyed hash of the VIN; null: not read
        "speed_rate_dhz": pl.Int32,  # readings of speed in 10 s over the trip, else up to its start
        "speed_readings": pl.Int64,  # these four: see device.speed_watch.Seen; null: too few, or of an older device
        "speed_missed": pl.Int64,
        "speed_step_dkmh": pl.Int16,
        "speed_frozen": pl.Int32,
        "start_cell_lat_cdeg": pl.Int16,  # 0.01 degree grid; null with location off
        "start_cell_lon_cdeg": pl.Int16,
        "end_cell_lat_cdeg": pl.Int16,
        "end_cell_lon_cdeg": pl.Int16,
        "config_version": pl.Int64,  # of the insurer's configuration in force; null: none
        "complete": pl.Boolean,  # the seq run from trip_start to trip_end is whole
        "chain_ok": pl.Boolean,  # every prev_hash of that run fits
        "signature": pl.String,  # of its last checkpoint, which covers all before it: see SIGNATURES
        "has_motion": pl.Boolean,  # all samples of the summary are in the motion table (no summary: any sample)
        "clock_quality": pl.Int16,  # of the device's clock when the trip started
        "clock_suspect": pl.Boolean,  # that clock was wrong at some time of the trip (a recording's is never suspect)
        "tombstones": pl.Int32,  # messages of the run whose body was sacrificed in the car
        "conflicts": pl.Int32,  # seqs of the run that also came with other content; the first received is kept
        "represents": pl.Int32,  # 1; in a simulated portfolio: how many trips of the year this one stands for
        **_SUMMARY,
    }
)

SIGNATURES: Final = {
    "verified": "made by a key of the device",
    "bad": "not made by any key of the device",
    "unverified": "no key of the device is known",
    "none": "no message of the trip carries one",
}

EVENTS: Final = pl.Schema(
    {
        "trip_key": pl.UInt64,
        "trip_id": pl.String,
        "device_id": pl.String,
        "kind": pl.Int16,  # device.contract.rules.KIND_NAMES
        "level": pl.Int16,
        "onset_ms": pl.Int64,  # since the trip's start, as are peak_ms and end_ms
        "peak_ms": pl.Int64,
        "end_ms": pl.Int64,
        "duration_ms": pl.Int64,
        "peak": pl.Int32,  # 0.01 m/s2; speeding: 0.1 km/h over the limit
        "onset_speed_dkmh": pl.Int32,
        "delta_v_dkmh": pl.Int32,
        "rules_version": pl.Int32,
        "sensor_grade": pl.Int16,  # when it happened
        "cell_lat_cdeg": pl.Int16,  # 0.01 degree grid; null with location off
        "cell_lon_cdeg": pl.Int16,
    }
)
# Columns of an event that follow from motion and rules alone: what the law of parity compares.
DETECTED: Final = (
    "kind",
    "level",
    "onset_ms",
    "peak_ms",
    "end_ms",
    "duration_ms",
    "peak",
    "onset_speed_dkmh",
    "delta_v_dkmh",
    "rules_version",
)

# Sorted by (trip_key, t_ms) within a file; a trip is never split across files.
MOTION: Final = pl.Schema(
    {
        "trip_key": pl.UInt64,
        "t_ms": pl.Int32,
        "speed_dkmh": pl.Int16,
        "accel_lon_cmps2": pl.Int16,
        "accel_lat_cmps2": pl.Int16,
        "yaw_rate_ddps": pl.Int16,
        "accel_peak_cmps2": pl.Int16,
        "engine": pl.Int8,
        "limit_kmh": pl.Int16,
        "quality": pl.UInt8,
    }
)

HEALTH: Final = pl.Schema(
    {
        "device_id": pl.String,
        "stream_id": pl.String,
        "seq": pl.Int64,
        "queued_at_ms": pl.Int64,
        "counter": pl.String,
        "value": pl.Int64,
    }
)

# Points with a fix, of trips with location full. Sorted by (trip_key, t_ms) within a file.
TRACK: Final = pl.Schema(
    {
        "trip_key": pl.UInt64,
        "t_ms": pl.Int32,
        "lat_e5deg": pl.Int32,  # WGS 84, 0.00001 degree
        "lon_e5deg": pl.Int32,
    }
)

_AROUND: Final[_Kinds] = {
    "around": pl.List(pl.Struct({name: kind for name, kind in MOTION.items() if name != "trip_key"}))
}
# One row an impact message: the alert, and the report once the motion after it was final. Sealed as it comes: it does
# not wait for its trip.
IMPACTS: Final = pl.Schema(
    {
        "device_id": pl.String,
        "stream_id": pl.String,
        "seq": pl.Int64,
        "trip_key": pl.UInt64,  # null: no trip was running
        "trip_id": pl.String,
        "queued_at_ms": pl.Int64,  # UTC as the device believed it; of an alert: when it happened
        "t_ms": pl.Int64,  # since the trip's start; without a trip on the time axis of around
        "peak_cmps2": pl.Int32,
        "speed_dkmh": pl.Int32,
        "complete": pl.Boolean,  # false: the alert, true: the report
        "cell_lat_cdeg": pl.Int16,
        "cell_lon_cdeg": pl.Int16,
        **_AROUND,
    }
)

SEALED: Final[dict[str, pl.Schema]] = {
    "trips": TRIPS,
    "events": EVENTS,
    "motion": MOTION,
    "track": TRACK,
    "impacts": IMPACTS,
    "health": HEALTH,
}

# Segments of messages that sealing has read.
LEDGER_SEGMENTS: Final = pl.Schema(
    {
        "path": pl.String,  # below the lake
        "compacted": pl.Boolean,  # made of others
        "superseded_at_ms": pl.Int64,  # since when it no longer counts, because it was compacted; null: it counts
    }
)


def trip_id(device_id: str, stream_id: str, seq: int) -> str:
    """Name of a trip: device, stream (hex) and seq of its trip_start."""
    return f"{device_id}:{stream_id}:{seq}"


def trip_key(name: str) -> int:
    """Integer form of a trip id, the first 8 bytes of its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
