"""What leaves the car in each setting: one table with every field of every message, and the one place that applies it.

    body with all that the car knows -> allowed(body, privacy) -> body with what may leave, or nothing

A field that is not in the table does not leave. docs/privacy.md is made from the table by `device.privacy_page`.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, replace
from enum import Enum
from typing import Any, Final, NamedTuple

from device.contract import bodies, wire

LOCATIONS: Final = ("off", "coarse", "full")  # each tells what the one before it tells, and more
MOTIONS: Final = ("off", "full")
CELLS_PER_DEG: Final = 100
POINTS_PER_DEG: Final = 100_000


class Privacy(NamedTuple):
    """The two settings; the strictest are the default."""

    location: str = "off"
    motion: str = "off"

    def is_within(self, consent: Privacy) -> bool:
        """Whether this tells nothing that `consent` does not cover."""
        return all(own <= agreed for own, agreed in zip(self._levels(), consent._levels(), strict=True))

    def stricter(self, other: Privacy) -> Privacy:
        """The stricter of both, setting by setting."""
        location, motion = map(min, self._levels(), other._levels())
        return Privacy(LOCATIONS[location], MOTIONS[motion])

    def _levels(self) -> tuple[int, int]:
        return LOCATIONS.index(self.location), MOTIONS.index(self.motion)


class When(Enum):
    """In which settings a field leaves the car; the value is how the page says it."""

    ALWAYS = "always"
    CELL = "location = coarse or full"
    POINT = "location = full"
    MOTION = "motion = full"

    def holds(self, privacy: Privacy) -> bool:
        """Whether the settings let it leave."""
        if self is When.CELL:
            return privacy.location in ("coarse", "full")
        if self is When.POINT:
            return privacy.location == "full"
        return self is When.ALWAYS or privacy.motion == "full"


class Row(NamedTuple):
    """Fields of a message that tell one thing, and when they leave."""

    message: type
    names: tuple[str, ...]
    when: When
    what: str


_START, _END, _EVENT, _IMPACT = bodies.TripStart, bodies.TripEnd, bodies.Event, bodies.Impact
TABLE: Final = (
    Row(wire.Header, ("device_id", "stream_id", "seq"), When.ALWAYS, "which device, and which message of it"),
    Row(wire.Header, ("prev_hash",), When.ALWAYS, "hash of the message before"),
    Row(wire.Header, ("boot_id",), When.ALWAYS, "a random number for each start of the computer"),
    Row(wire.Header, ("queued_at_ms", "mono_ms", "clock_quality"), When.ALWAYS, "when the message was made"),
    Row(wire.Header, ("schema_version", "body_kind", "body_codec", "body_size"), When.ALWAYS, "how to read the body"),
    Row(_START, ("started_at_ms", "utc_offset_min", "start_mono_ms"), When.ALWAYS, "when the trip started, local time"),
    Row(_START, ("odometer_m", "distance_since_clear_m"), When.ALWAYS, "odometers"),
    Row(_START, ("dtc_count",), When.ALWAYS, "how many trouble codes are stored, not which"),
    Row(_START, ("vin_hash",), When.ALWAYS, "hash of the VIN, keyed with a secret that stays in the device"),
    Row(_START, ("vehicle",), When.ALWAYS, "make and model as the configuration says, never a registration"),
    Row(_START, ("adapter", "sensor_grade", "speed_rate_dhz", "period_ms"), When.ALWAYS, "what measured, how fast"),
    Row(_START, ("rules_version", "config_version"), When.ALWAYS, "versions of event rules and configuration"),
    Row(_START, ("recording", "recorded_file"), When.ALWAYS, "in a replay: which recording; empty in a car"),
    Row(_START, ("start_cell",), When.CELL, "where it started, to 0.01 degree (about 1 km)"),
    Row(_EVENT, ("trip_seq",), When.ALWAYS, "which trip"),
    Row(_EVENT, ("kind", "level", "onset_ms", "peak_ms", "end_ms", "duration_ms"), When.ALWAYS, "what, and when"),
    Row(_EVENT, ("peak", "onset_speed_dkmh", "delta_v_dkmh"), When.ALWAYS, "how hard, and at what speed"),
    Row(_EVENT, ("rules_version", "sensor_grade"), When.ALWAYS, "by which rules and sensors"),
    Row(_EVENT, ("cell",), When.CELL, "where it peaked, to 0.01 degree"),
    Row(_IMPACT, ("trip_seq",), When.ALWAYS, "which trip"),
    Row(_IMPACT, ("t_ms", "peak_cmps2", "speed_dkmh", "complete"), When.ALWAYS, "when, how hard, at what speed"),
    Row(_IMPACT, ("period_ms", "around"), When.ALWAYS, "speed and acceleration 5 s before and after: the accident"),
    Row(_IMPACT, ("cell",), When.CELL, "where, to 0.01 degree"),
    Row(bodies.Motion, ("trip_seq",), When.MOTION, "which trip"),
    Row(bodies.Motion, ("first_t_ms", "count", "columns"), When.MOTION, "speed and acceleration of the whole trip"),
    Row(bodies.Track, ("trip_seq",), When.POINT, "which trip"),
    Row(bodies.Track, ("first_t_ms", "period_ms"), When.POINT, "when"),
    Row(bodies.Track, ("lat_e5deg", "lon_e5deg"), When.POINT, "positions of the whole trip, to 0.00001 degree (1 m)"),
    Row(_END, ("trip_seq", "reason"), When.ALWAYS, "which trip, and why it ended"),
    Row(_END, ("summary",), When.ALWAYS, "sums: distance by speed and by hour of the week, times, counts of events"),
    Row(_END, ("odometer_m", "distance_since_clear_m", "dtc_count"), When.ALWAYS, "as at the start"),
    Row(_END, ("vin_hash", "adapter", "sensor_grade", "speed_rate_dhz"), When.ALWAYS, "as at the start"),
    Row(
        _END,
        ("speed_readings", "speed_missed", "speed_step_dkmh", "speed_frozen"),
        When.ALWAYS,
        "how well the speed was heard: how often, how finely, whether it was stuck",
    ),
    Row(_END, ("end_cell",), When.CELL, "where it ended, to 0.01 degree"),
    Row(bodies.Health, ("counters",), When.ALWAYS, "counts of what went well and wrong in the device"),
)
_WHEN: Final = {(row.message, name): row.when for row in TABLE for name in row.names}


def allowed(body: bodies.Body, privacy: Privacy) -> bodies.Body | None:
    """Return what may leave of a body; None if nothing may.

    A field that may not leave becomes its default. A body without one of its required fields says nothing: it stays.
    """
    held_back: dict[str, Any] = {}
    for entry in fields(body):
        when = _WHEN.get((type(body), entry.name))
        if when is None or not when.holds(privacy):
            if entry.default is MISSING:
                return None
            held_back[entry.name] = entry.default
    return replace(body, **held_back) if held_back else body


def silent(privacy: Privacy) -> frozenset[type]:
    """Bodies of which nothing may leave."""
    return frozenset({row.message for row in TABLE} - {row.message for row in TABLE if row.when.holds(privacy)})


def cell_of(latitude_deg: float, longitude_deg: float) -> bodies.Cell:
    """The cell of the 0.01 degree grid that a position lies in, by its centre."""
    return bodies.Cell(_steps(latitude_deg, CELLS_PER_DEG), _steps(longitude_deg, CELLS_PER_DEG))


def point_of(latitude_deg: float, longitude_deg: float) -> tuple[int, int]:
    """Position in the 0.00001 degree of a track."""
    return _steps(latitude_deg, POINTS_PER_DEG), _steps(longitude_deg, POINTS_PER_DEG)


def _steps(deg: float, per_deg: int) -> int:
    return math.floor(deg * per_deg + 0.5)
