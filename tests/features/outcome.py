"""What a trip comes to, in one form for the batch, the device and the written-out definition."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from device.contract.rules import load_rules
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS, TripSummary
from device.events import DetectedEvent
from features.derive import derive
from tests.features import oracle
from tests.features.trips import Trip, heads_of, motion_of

EVENT_COLUMNS = (
    "kind",
    "level",
    "onset_ms",
    "peak_ms",
    "end_ms",
    "duration_ms",
    "peak",
    "onset_speed_dkmh",
    "delta_v_dkmh",
)
Outcome = tuple[dict[str, Any], list[tuple[Any, ...]]]  # summary fields, events by onset and kind


def by_batch(drives: list[Trip]) -> dict[int, Outcome]:
    derived = derive(motion_of(drives), heads_of(drives))
    found: dict[int, list[tuple[Any, ...]]] = {}
    for key, *event in derived.events.select("trip_key", *EVENT_COLUMNS).rows():
        found.setdefault(key, []).append(tuple(event))
    out = {}
    for row in derived.summaries.iter_rows(named=True):
        histograms = {name: {e["key"]: e["value"] for e in row[name]} for name in HISTOGRAM_FIELDS}
        summary = {name: row[name] for name in SCALAR_FIELDS} | histograms
        out[row["trip_key"]] = (summary, found.pop(row["trip_key"], []))
    assert found == {}
    return out


def event_row(event: DetectedEvent) -> tuple[Any, ...]:
    return tuple(getattr(event, name) for name in EVENT_COLUMNS)


def summary_row(summary: TripSummary) -> dict[str, Any]:
    return asdict(summary)


def by_definition(trip: Trip) -> Outcome:
    rules = load_rules(trip.rules_version)
    summary = oracle.summary(trip.samples, rules, trip.period_ms, trip.start_ms, trip.utc_offset_min)
    return summary, oracle.events(trip.samples, rules, trip.period_ms)
