"""Golden payloads of wire version 1 as hex, and what they say as JSON; `tests/device/test_wire.py` reads them back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from device.contract.motion import COLUMNS
from device.contract.signing import Signer
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS, TripSummary

SIGNER = Signer.from_seed(bytes(range(32)))
STREAM_ID = bytes(range(16))
STATISTICS: dict[str, Any] = {name: 1_000 * (place + 1) for place, name in enumerate(SCALAR_FIELDS)} | {
    name: {0: 7, place + 1: 1, 975: 2**40} for place, name in enumerate(HISTOGRAM_FIELDS)
}
BATCH: dict[str, list[int | None]] = {
    "speed_dkmh": [500 + row % 7 for row in range(120)],
    "accel_lon_cmps2": [None, None, *(-row for row in range(116)), None, None],
    "accel_lat_cmps2": [None] * 120,
    "yaw_rate_ddps": [row if row % 2 else None for row in range(120)],
    "accel_peak_cmps2": [None] * 119 + [2_500],
    "engine": [1] * 120,
    "limit_kmh": [50] * 60 + [None] * 60,
    "quality": [2, 2, *[0] * 116, 2, 2],
}
AROUND: dict[str, list[int | None]] = {
    "speed_dkmh": [612 - 12 * max(0, row - 51) for row in range(100)],
    "accel_lon_cmps2": [-10 if row < 50 else -1_200 for row in range(100)],
    "accel_lat_cmps2": [None] * 100,
    "yaw_rate_ddps": [None] * 100,
    "accel_peak_cmps2": [120 if row < 50 else 3_980 if row == 50 else 400 for row in range(100)],
    "engine": [1] * 100,
    "limit_kmh": [None] * 100,
    "quality": [0] * 100,
}
BODIES: dict[str, bodies.Body] = {
    "trip_start": bodies.TripStart(
        period_ms=500,
        started_at_ms=1_499_252_400_000,
        utc_offset_min=120,
        rules_version=1,
        sensor_grade=pb.GRADE_OBD_SPEED,
        recording="ab" * 32,
        vehicle="Seat León",
        adapter="ELM327 v1.5",
        odometer_m=123_456_700,
        distance_since_clear_m=65_535_000,
        vin_hash=bytes(range(32)),
        start_mono_ms=12_500,
        recorded_file="drive.ubirec",
    ),
    "trip_start_least": bodies.TripStart(500, 0, None, 1, pb.GRADE_UNKNOWN),
    "event": bodies.Event(1, 1, 2, 61_000, 61_500, 63_000, 2_500, 640, 771, -560, 1, pb.GRADE_OBD_SPEED),
    "event_unknown_speed": bodies.Event(1, 5, 1, 0, 0, 0, 500, 2_452, None, None, 1, pb.GRADE_IMU),
    "motion": bodies.Motion(1, 250_000, 120, BATCH),
    "motion_one_row": bodies.Motion(1, 0, 1, {name: [0 if name == "quality" else None] for name in COLUMNS}),
    "trip_end": bodies.TripEnd(1, pb.END_INACTIVE, TripSummary(**STATISTICS), odometer_m=123_500_000),
    "health": bodies.Health({"readings": 3_600, "late_readings": 1}),
    "health_empty": bodies.Health({}),
    "trip_start_measured": bodies.TripStart(
        period_ms=100,
        started_at_ms=1_767_225_600_000,
        utc_offset_min=480,
        rules_version=1,
        sensor_grade=pb.GRADE_IMU,
        adapter="ELM327 v2.3, vLinker FS",
        vin_hash=bytes(range(32, 64)),
        start_mono_ms=600_000,
        speed_rate_dhz=123,
        dtc_count=0,
        start_cell=bodies.Cell(3_123, 12_147),
        config_version=7,
    ),
    "event_in_a_cell": bodies.Event(
        10, 3, 1, 1_000, 1_200, 1_900, 1_000, 312, 455, -12, 1, pb.GRADE_IMU, bodies.Cell(-3_387, -7_065)
    ),
    "impact_alert": bodies.Impact(10, 90_040, 3_141, None, complete=False, period_ms=100),
    "impact_report": bodies.Impact(
        10,
        90_040,
        3_980,
        612,
        complete=True,
        period_ms=100,
        around=bodies.Motion(10, 85_000, 100, AROUND),
        cell=bodies.Cell(0, 0),
    ),
    "impact_without_a_trip": bodies.Impact(
        0, 0, 2_500, None, complete=True, period_ms=500, around=bodies.Motion(0, 0, 1, {"quality": [0]})
    ),
    "track": bodies.Track(
        10,
        0,
        1_000,
        [3_122_912, 3_122_921, None, None, 3_122_948],
        [12_147_370, 12_147_371, None, None, 12_147_380],
    ),
    "track_without_a_fix": bodies.Track(10, 5_000, 1_000, [None] * 3, [None] * 3),
    "trip_end_measured": bodies.TripEnd(
        10,
        pb.END_INACTIVE,
        TripSummary(**STATISTICS),
        odometer_m=123_500_000,
        sensor_grade=pb.GRADE_GNSS,
        speed_rate_dhz=98,
        dtc_count=2,
        adapter="ELM327 v2.3, vLinker FS",
        end_cell=bodies.Cell(9_000, -18_000),
        vin_hash=bytes(range(32, 64)),
    ),
    "health_signed": bodies.Health({"config_applied": 1}),
    "trip_end_seen": bodies.TripEnd(
        10,
        pb.END_INACTIVE,
        TripSummary(**STATISTICS),
        speed_readings=1_200,
        speed_missed=0,
        speed_step_dkmh=16,
        speed_frozen=3,
    ),
}
SIGNED = ("health_empty", "health_signed", "trip_end_seen")


def files() -> dict[str, bytes]:
    """Name -> content; the bodies form one chain with two signed messages, and one has a tombstone beside it.

    Bodies are only ever added at the end, so that the bytes before stay as they were.
    """
    made: dict[str, bytes] = {}
    head = b""
    for seq, (name, body) in enumerate(BODIES.items(), start=1):
        header = wire.Header("golden", STREAM_ID, seq, head, b"boot", 1_499_252_400_123 + seq, 1_000 * seq, 1)
        encoded = wire.encode(header, body, SIGNER.sign if name in SIGNED else None)
        head = encoded.hash
        made |= _pair(name, encoded.payload)
        if name == "motion":
            made |= _pair("motion_tombstone", wire.tombstone(encoded.payload))
    return made


def told(payload: bytes) -> dict[str, Any]:
    """What a payload says, as JSON."""
    message = wire.decode(payload, "golden")
    assert isinstance(message, wire.Message), message
    fields = dataclasses.asdict(message) | {"kind": type(message.body).__name__}
    plain: dict[str, Any] = json.loads(json.dumps(fields, default=bytes.hex))
    return plain


def _pair(name: str, payload: bytes) -> dict[str, bytes]:
    rows = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in told(payload).items()]
    text = "{\n" + ",\n".join(rows) + "\n}\n"
    lines = [payload.hex()[start : start + 120] for start in range(0, 2 * len(payload), 120)]
    return {f"wire/v1/{name}.hex": "\n".join([*lines, ""]).encode(), f"wire/v1/{name}.json": text.encode()}
