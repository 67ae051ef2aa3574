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
}


def files() -> dict[str, bytes]:
    """Name -> content; the bodies form one chain, its last message signed, and one has a tombstone beside it."""
    made: dict[str, bytes] = {}
    head = b""
    for seq, (name, body) in enumerate(BODIES.items(), start=1):
        header = wire.Header("golden", STREAM_ID, seq, head, b"boot", 1_499_252_400_123 + seq, 1_000 * seq, 1)
        encoded = wire.encode(header, body, SIGNER.sign if seq == len(BODIES) else None)
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
