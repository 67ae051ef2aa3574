"""A recording as data for a program: trips with their summaries, events, impacts and the range of each curve.

All of it is decoded from the messages that the device path made, in their integers: the names tell the units, as in
the lake. Motion itself is not in it; `ubi replay --broker` sends that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from device.contract.motion import COLUMNS
from device.contract.rules import KIND_NAMES
from device.contract.trip import SCALAR_FIELDS
from replay_data import view as seen
from replay_data.driven import Trip
from replay_data.view import View

EVENT_FIELDS: Final = (
    *("level", "onset_ms", "peak_ms", "end_ms", "duration_ms", "peak"),
    *("onset_speed_dkmh", "delta_v_dkmh", "rules_version"),
)
CURVES: Final = tuple(name for name in COLUMNS if name not in {"engine", "quality"})


def as_json(view: View) -> dict[str, Any]:
    """Return what there is to see of a recording; times of events and impacts are since their trip's start."""
    recording = view.recording
    return {
        "file": recording.file,
        "format": recording.format,
        "device_id": recording.device_id,
        "simulated": recording.head.notes.get("simulated") == "yes",
        "repairs": dict(sorted(recording.head.repairs.items())),
        "trips": [_trip(trip) for trip in view.trips],
    }


def _trip(trip: Trip) -> dict[str, Any]:
    start, end = trip.start, trip.end
    return {
        "started_at": _local(start.started_at_ms, start.utc_offset_min),
        "recorded_from_ms": start.start_mono_ms,
        "period_ms": start.period_ms,
        "sensor": seen.grade(trip),
        "summary": None if end is None else {name: getattr(end.summary, name) for name in SCALAR_FIELDS},
        "curves": {name: told for name in CURVES if (told := _range(trip, name)) is not None},
        "events": [
            {"kind": KIND_NAMES.get(event.kind, str(event.kind))}
            | {name: getattr(event, name) for name in EVENT_FIELDS}
            for event in trip.events
        ],
        "impacts": [
            {"t_ms": impact.t_ms, "peak_cmps2": impact.peak_cmps2, "speed_dkmh": impact.speed_dkmh}
            for impact in trip.impacts
        ],
    }


def _range(trip: Trip, column: str) -> dict[str, int] | None:
    """Least and greatest value of a motion column, and in how many samples it is known; None where in none."""
    known = [value for sample in trip.samples if (value := getattr(sample, column)) is not None]
    return {"samples": len(known), "least": min(known), "greatest": max(known)} if known else None


def _local(at_ms: int, utc_offset_min: int | None) -> str:
    """ISO 8601 with the offset of where it was; in UTC (Z) where that is not known."""
    zone = UTC if utc_offset_min is None else timezone(timedelta(minutes=utc_offset_min))
    told = datetime.fromtimestamp(at_ms // 1_000, zone).replace(microsecond=at_ms % 1_000 * 1_000)
    text = told.isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if utc_offset_min is None else text
