"""A recording through the device path, without outbox and broker: what `device.pipeline` finds in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from device.contract.recording import RecordingHead
from device.contract.rules import KIND_NAMES
from device.contract.signals import Reading
from device.contract.trip import TripSummary
from device.driven import Driven
from device.events import DetectedEvent
from device.pipeline import Pipeline, TripEnded


@dataclass
class Found:
    """Summaries of the trips, and their events."""

    summaries: list[TripSummary] = field(default_factory=list)
    events: list[FoundEvent] = field(default_factory=list)


@dataclass(frozen=True)
class FoundEvent:
    """An event; `onset_ms` in the recording's time."""

    kind: str
    onset_ms: int
    event: DetectedEvent


def through_device(head: RecordingHead, readings: Iterable[Reading]) -> Found:
    """What the device finds in a recording."""
    starts: list[int] = []

    def wall_time(mono_ms: int) -> tuple[int, int | None]:
        starts.append(mono_ms)
        return (head.started_at_ms or 0) + mono_ms, head.utc_offset_min

    found, driven, pipeline = Found(), Driven(), Pipeline(wall_time)

    def take(outputs: list[object]) -> None:
        for output in outputs:
            if isinstance(output, TripEnded):
                found.summaries.append(output.summary)
            elif isinstance(output, DetectedEvent):
                found.events.append(FoundEvent(KIND_NAMES[output.kind], output.onset_ms + starts[-1], output))

    for reading in readings:
        if driven.admits(reading):
            take([*pipeline.push(reading)])
    take([*pipeline.finish()])
    found.events.sort(key=lambda event: event.onset_ms)
    return found
