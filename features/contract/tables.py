"""Tables for people and for reports: trips and events in the units they are told in. Pricing reads driver periods."""

from __future__ import annotations

from typing import Final

import polars as pl

_UTC: Final = pl.Datetime("ms", "UTC")
_Kinds = dict[str, type[pl.DataType] | pl.DataType]

_TRIPS: Final[_Kinds] = {
    "trip_id": pl.String,
    "device_id": pl.String,
    "policy_id": pl.String,  # null: no policies were given, or none covers the start
    "driver_id": pl.String,
    "recording": pl.String,  # hex SHA-256 of the recording played; null in a real car
    "recorded_file": pl.String,
    "vehicle": pl.String,
    "start": _UTC,
    "end": _UTC,
    "utc_offset_min": pl.Int32,
    "distance_km": pl.Float64,
    "moving_s": pl.Float64,
    "max_speed_kmh": pl.Float64,
    "rate_hz": pl.Float64,
    "sensor_grade": pl.String,  # unknown, obd_speed, gnss, imu, simulated
    "rules_version": pl.Int32,
    "represents": pl.Int32,  # trips that this one stands for; 1 but in a simulated portfolio
    "quality_flags": pl.List(pl.String),  # of QUALITY_FLAGS, in their order; empty: nothing to remark
    "complete": pl.Boolean,
    "chain_ok": pl.Boolean,
    "has_motion": pl.Boolean,
    "unobserved_s": pl.Float64,
    "speed_null_samples": pl.Int64,
    "jump_samples": pl.Int64,
    "coarse_samples": pl.Int64,
    "content": pl.String,  # hash of all the lake holds of the trip and its events, see `features.contents`
}
# One row a trip, sorted by (month, device_id, start, trip_id); a month of many trips by the devices' buckets first.
TRIPS: Final = pl.Schema(_TRIPS)

# Flag -> when a trip carries it.
QUALITY_FLAGS: Final[dict[str, str]] = {
    "incomplete": "messages of the trip never came",
    "chain": "the chain of hashes does not fit, or a seq came with two contents",
    "clock": "the clock was wrong, by when messages came, its own word or how it was set: its hours count as unknown",
    "gaps": "the car was not seen for longer than distance is bridged",
    "jumps": "acceleration withheld where steps of speed imply more than a tyre can do, or a frozen value before them",
    "coarse": "acceleration withheld for more than 1 % of the samples: readings too far apart for a slope",
    "sparse": "over a third of the readings of speed did not come, by the rhythm of those that did: lost or refused",
    "frozen": "a speed was told again while the car moved on, as its length or the step after it shows",
    "coarse_speed": "speeds come in steps of over 1.2 km/h: peaks of accelerations are rough",
    "no_local_time": "the local time is not known: no night, rush hour or weekend",
}

_EVENTS: Final[_Kinds] = {
    "trip_id": pl.String,
    "device_id": pl.String,
    "kind": pl.String,
    "level": pl.Int16,
    "onset": _UTC,
    "peak_at": _UTC,
    "end": _UTC,
    "peak_mps2": pl.Float64,  # null for speeding
    "peak_over_limit_kmh": pl.Float64,  # of speeding; null for all else
    "duration_ms": pl.Int64,
    "onset_speed_kmh": pl.Float64,
    "delta_v_kmh": pl.Float64,
    "rules_version": pl.Int32,
    "sensor_grade": pl.String,
}
# One row an event, sorted as the trips, then by (onset, kind).
EVENTS: Final = pl.Schema(_EVENTS)
