"""What there is to see of a recording: its trips as the device path found them, cut into columns of a picture.

Everything but the track on the map is what the car would send. Location stays in the car by default; the track is read
from the recording itself, which is the file of whoever looks at it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from device.contract import bodies
from device.contract.motion import GRADE_GNSS, GRADE_IMU, GRADE_OBD_SPEED
from device.contract.rules import KIND_NAMES, KIND_NUMBERS
from device.contract.trip import TripSummary
from replay_data.driven import Trip, messages_of, trips_of
from replay_data.recording import Recording

# Kind -> what a person calls it, in the order in which it is shown.
LABELS: Final = {
    KIND_NUMBERS["harsh_braking"]: "braking",
    KIND_NUMBERS["harsh_acceleration"]: "acceleration",
    KIND_NUMBERS["harsh_turn_left"]: "left turn",
    KIND_NUMBERS["harsh_turn_right"]: "right turn",
    KIND_NUMBERS["impact"]: "impact",
    KIND_NUMBERS["speeding"]: "speeding",
    KIND_NUMBERS["idling"]: "idling",
}
GRADES: Final = {
    GRADE_OBD_SPEED: "speed of the diagnostic port",
    GRADE_GNSS: "GNSS",
    GRADE_IMU: "IMU",
}
SPEEDING, IDLING = KIND_NUMBERS["speeding"], KIND_NUMBERS["idling"]
M_PER_DEG: Final = 111_195.0  # of latitude, on a sphere
FASTEST_MPS, SLACK_M = 100.0, 100.0  # between two positions: 360 km/h, and what a receiver is off
MAX_CHAINS: Final = 16
HOUR_MS: Final = 3_600_000
NEAR_FIX_MS: Final = 5_000  # an event further from a position has no place on the map


class Span(NamedTuple):
    """Least and greatest of the values that fall into a column."""

    low: float
    high: float


class Point(NamedTuple):
    """A position of the recording, at a time since its beginning."""

    t_ms: int
    lat_deg: float
    lon_deg: float


class Place(NamedTuple):
    """Where an event was."""

    lat_deg: float
    lon_deg: float


@dataclass(frozen=True, slots=True)
class View:
    """A recording to look at."""

    recording: Recording
    trips: list[Trip]
    track: list[Point]


def view(recording: Recording) -> View:
    """Play a recording through the device path and take its track."""
    return View(recording, trips_of(messages_of(recording)), track(recording))


def track(recording: Recording) -> list[Point]:
    """Positions of a recording: readings of latitude and longitude of one time, without those that jump.

    Some logs tell an old position in between (POLIDriving: of the drive's end). Positions that a car could have driven
    one after the other are a chain; of all chains the one with most different places is the track.
    """
    latitude: dict[int, float] = {}
    chains: list[list[Point]] = []
    for t_ms, signal, value in recording.readings:
        if signal == "latitude_deg" and value is not None:
            latitude[t_ms] = value
        elif signal == "longitude_deg" and value is not None and t_ms in latitude:
            point = Point(t_ms, latitude.pop(t_ms), value)
            chain = next((chain for chain in chains if _is_drivable(chain[-1], point)), None)
            if chain is not None:
                chain.append(point)
            elif len(chains) < MAX_CHAINS:
                chains.append([point])
    return max(chains, key=lambda chain: len({point[1:] for point in chain}), default=[])


def _is_drivable(one: Point, other: Point) -> bool:
    north = other.lat_deg - one.lat_deg
    east = (other.lon_deg - one.lon_deg) * math.cos(math.radians(one.lat_deg))
    return math.hypot(north, east) * M_PER_DEG <= SLACK_M + FASTEST_MPS * (other.t_ms - one.t_ms) / 1_000


def columns(trip: Trip, column: str, steps: int, count: int) -> list[Span | None]:
    """Cut a motion column into `count` parts of equal time; None where nothing is known.

    Parameters
    ----------
    trip : Trip
    column : str
        Of `MotionSample`.
    steps : int
        The column's integer for one of the unit that is shown.
    count : int
    """
    spans: list[Span | None] = [None] * count
    whole_ms = duration_ms(trip)
    for sample in trip.samples:
        value = getattr(sample, column)
        if value is not None:
            at = min(sample.t_ms * count // whole_ms, count - 1)
            span, told = spans[at], value / steps
            spans[at] = Span(told, told) if span is None else Span(min(span.low, told), max(span.high, told))
    return spans


def stretched(spans: Sequence[Span | None], step_ms: float, period_ms: int) -> list[Span | None]:
    """Fill columns that are narrower than the motion's grid with what stands before them."""
    reach = max(0, round(period_ms / step_ms))
    filled = list(spans)
    for at, span in enumerate(spans):
        if span is None:
            before = next((spans[k] for k in range(at - 1, max(-1, at - 1 - reach), -1) if spans[k] is not None), None)
            filled[at] = before and Span(before.high, before.high)
    return filled


def duration_ms(trip: Trip) -> int:
    """Whole duration of a trip's motion."""
    return trip.samples[-1].t_ms + trip.start.period_ms if trip.samples else trip.start.period_ms


def places(trip: Trip, points: Sequence[Point]) -> list[Place | None]:
    """Where each event of a trip was, at its peak; None where there was no position nearby in time."""
    times = [point.t_ms for point in points]
    found: list[Place | None] = []
    for event in trip.events:
        at_ms = trip.start.start_mono_ms + event.peak_ms
        index = bisect_left(times, at_ms)
        near = [points[k] for k in (index - 1, index) if 0 <= k < len(points)]
        nearest = min(near, key=lambda point: abs(point.t_ms - at_ms), default=None)
        is_near = nearest is not None and abs(nearest.t_ms - at_ms) <= NEAR_FIX_MS
        found.append(Place(nearest.lat_deg, nearest.lon_deg) if nearest is not None and is_near else None)
    return found


def heading(number: int, trip: Trip) -> str:
    """When a trip was, how long and how far, and by which sensors."""
    summary = trip.end.summary if trip.end else TripSummary()
    return (
        f"Trip {number}: {started(trip)}, {lasting(summary.duration_ms)}, {summary.distance_mm / 1e6:.2f} km, "
        f"by {grade(trip)}, {1_000 / trip.start.period_ms:g} Hz"
    )


def grade(trip: Trip) -> str:
    """What the motion of a trip was made from."""
    end = trip.end.sensor_grade if trip.end else 0
    return GRADES.get(end or trip.start.sensor_grade, "?")


def started(trip: Trip) -> str:
    """Local time of a trip's start, or UTC where that is all that is known."""
    offset = trip.start.utc_offset_min
    at = datetime.fromtimestamp(trip.start.started_at_ms // 1_000, UTC) + timedelta(minutes=offset or 0)
    return f"{at:%Y-%m-%d %H:%M:%S}" + (" UTC" if offset is None else "")


def facts(trip: Trip) -> dict[str, str]:
    """What the summary of a trip says, for a person."""
    if trip.end is None:
        return {}
    told = trip.end.summary
    known = told.samples - told.speed_null_samples
    has_engine = any(sample.engine is not None for sample in trip.samples)
    engine = f"engine on {clock(told.idle_ms)}" if has_engine else "engine not known"
    return {
        "distance": f"{told.distance_mm / 1e6:.2f} km",
        "duration": lasting(told.duration_ms),
        "top speed": f"{told.max_speed_dkmh / 10:.0f} km/h",
        "moving": lasting(told.moving_ms),
        "standing": f"{lasting(told.standing_ms)}, {engine}",
        "not observed": lasting(told.unobserved_ms),
        "speed known": f"{100 * known / max(told.samples, 1):.0f} % of the time",
        "sideways known": f"{100 * told.lateral_samples / max(told.samples, 1):.0f} % of the time",
    }


def label(event: bodies.Event) -> str:
    """What a person calls an event."""
    return LABELS.get(event.kind, KIND_NAMES.get(event.kind, f"kind {event.kind}"))


def is_background(event: bodies.Event) -> bool:
    """Tell whether an event is a state that lasts rather than a manoeuvre: speeding and idling."""
    return event.kind in (IDLING, SPEEDING)


def strength(event: bodies.Event) -> str:
    """Peak of an event in its unit."""
    if event.kind == IDLING:
        return ""
    return f"+{event.peak / 10:.1f} km/h" if event.kind == SPEEDING else f"{event.peak / 100:.1f} m/s²"


def speeds(event: bodies.Event) -> str:
    """Speed at the onset and at the end of an event."""
    if event.onset_speed_dkmh is None:
        return "not known"
    if event.delta_v_dkmh is None:
        return f"{event.onset_speed_dkmh / 10:.0f} km/h"
    return f"{event.onset_speed_dkmh / 10:.0f} to {(event.onset_speed_dkmh + event.delta_v_dkmh) / 10:.0f} km/h"


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" + "s" * (number != 1)


def clock(t_ms: int) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, seconds = divmod(t_ms // 1_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def lasting(t_ms: int) -> str:
    """A duration with its unit."""
    return f"{clock(t_ms)} {'h' if t_ms >= HOUR_MS else 'min'}"


def tick_step(span: float, most: int) -> float:
    """Distance of at most `most` ticks over a span: 1, 2, 5, 10, ..."""
    step = 1.0
    while span / step > most:
        step *= 2.5 if f"{step:g}".startswith("2") else 2
    return step


def tick_minutes(duration_ms_: int, most: int) -> int:
    """Minutes between at most `most` ticks of a time axis."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440)
    return next((step for step in steps if duration_ms_ / 60_000 / step <= most), steps[-1])
