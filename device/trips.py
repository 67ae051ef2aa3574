"""Trips, sample by sample: where they start and end, and their summary.

A trip runs from the first sample with the engine on or the car moving to 180 s without either. Samples without either
are held back until the car is active again, so a trip ends at its last active sample. What only looks like motion of
this car (ferry, tow truck) is kept out before, by `device.driven`. `device.contract.trip` defines
the sums.
"""

from __future__ import annotations

from typing import Any, Final

from device.contract import wire_pb2 as pb
from device.contract.motion import BRIDGE_MS, ENGINE_ON, QUALITY_COARSE, QUALITY_JUMP, MotionSample
from device.contract.trip import (
    HISTOGRAM_FIELDS,
    LEVELS,
    OVER_130_DKMH,
    SCALAR_FIELDS,
    SPEED_BANDS,
    STANDING_DKMH,
    Histogram,
    TripSummary,
    excursion_key,
    hour_of_week,
    va_key,
)
from device.kept_motion import packed, unpacked
from device.motion import Cell

TRIP_GAP_MS: Final = 180_000
# Motion without a running engine starts a trip once it lasts this long: a jump of a GNSS speed in a garage does not.
MOTION_START_MS: Final = 3_000
# A trip is cut after this long and a new one goes on: nobody drives a day without a stop of three minutes, but a
# source may say for ever that the engine is on, and one trip's motion has to fit into an insurer's memory.
MAX_TRIP_MS: Final = 86_400_000

END_INACTIVE: Final = pb.END_INACTIVE
END_TOO_LONG: Final = pb.END_TOO_LONG


class TripTracker:
    """Cuts the motion grid into trips. `push` returns (why a trip ended before this cell or 0, trip started, samples).

    An active cell has the engine on or moves at 1 km/h or more: electric cars tell no RPM, a car with start-stop moves
    again within the gap, and one whose control unit creeps at 0.1 km/h stands.
    """

    def __init__(self) -> None:
        self._start_ms: int | None = None
        self._active_ms = 0
        self._pending: list[MotionSample] = []
        self._onset: list[MotionSample] = []  # active cells that are not yet a trip

    @property
    def start_ms(self) -> int | None:
        """Monotonic time of the running trip's first sample; None between trips."""
        return self._start_ms

    def push(self, cell: Cell) -> tuple[int, bool, list[MotionSample]]:
        """Take the next cell."""
        ended = self._reason_to_end(cell.mono_ms)
        if ended:
            self.end()
        if self._start_ms is None:
            samples = self._before_trip(cell)
            return ended, bool(samples), samples
        sample = cell.sample._replace(t_ms=cell.mono_ms - self._start_ms)
        if not is_active(sample):
            self._pending.append(sample)
            return ended, False, []
        self._active_ms = cell.mono_ms
        samples = [*self._pending, sample]
        self._pending = []
        return ended, False, samples

    def end(self) -> None:
        """End the running trip; samples after its last activity are not part of it."""
        self._start_ms = None
        self._pending = []
        self._onset = []

    def _reason_to_end(self, now_ms: int) -> int:
        if self._start_ms is None:
            return 0
        if now_ms - self._active_ms > TRIP_GAP_MS:
            return END_INACTIVE
        return END_TOO_LONG if now_ms - self._start_ms >= MAX_TRIP_MS else 0

    def _before_trip(self, cell: Cell) -> list[MotionSample]:
        """Samples of the trip that begins with this cell or shortly before it, if one does."""
        if not is_active(cell.sample):
            self._onset = []
            return []
        self._onset.append(cell.sample)
        first_ms = self._onset[0].t_ms
        if cell.sample.engine != ENGINE_ON and cell.mono_ms - first_ms < MOTION_START_MS:
            return []
        samples = [sample._replace(t_ms=sample.t_ms - first_ms) for sample in self._onset]
        self._start_ms, self._active_ms, self._onset = first_ms, cell.mono_ms, []
        return samples

    def to_state(self) -> list[Any]:
        """JSON form of what the tracker remembers."""
        return [self._start_ms, self._active_ms, packed(self._pending), packed(self._onset)]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken; an older release had no onset."""
        self._start_ms, self._active_ms, self._pending = state[0], state[1], unpacked(state[2])
        self._onset = unpacked(state[3]) if len(state) > 3 else []


def is_active(sample: MotionSample) -> bool:
    """Whether the car is in use: the engine on, or moving."""
    return sample.engine == ENGINE_ON or (sample.speed_dkmh or 0) >= STANDING_DKMH


class SummaryBuilder:
    """Accumulates the summary of one trip.

    Parameters
    ----------
    started_at_ms : int
        UTC of the trip's first sample.
    utc_offset_min : int or None
        Local time minus UTC; None = not known, then no distance is counted by hour.
    period_ms : int
        Grid period.
    """

    def __init__(self, started_at_ms: int, utc_offset_min: int | None, period_ms: int) -> None:
        self._started_at_ms = started_at_ms
        self._utc_offset_min = utc_offset_min
        self._period_ms = period_ms
        self._known: MotionSample | None = None  # last sample with known speed
        self.summary = TripSummary()

    def push(self, sample: MotionSample) -> None:
        """Take the next sample of the trip."""
        total = self.summary
        total.samples += 1
        total.duration_ms = sample.t_ms + self._period_ms
        total.accel_null_samples += sample.accel_lon_cmps2 is None
        total.lateral_samples += sample.accel_lat_cmps2 is not None
        total.jump_samples += bool(sample.quality & QUALITY_JUMP)
        total.coarse_samples += bool(sample.quality & QUALITY_COARSE)
        if sample.speed_dkmh is None:
            total.speed_null_samples += 1
            return
        total.max_speed_dkmh = max(total.max_speed_dkmh, sample.speed_dkmh)
        if sample.accel_lon_cmps2 is not None:
            _add(total.va_ms, va_key(sample.speed_dkmh, sample.accel_lon_cmps2), self._period_ms)
        if self._known is not None:
            self._segment(self._known, sample)
        self._known = sample

    def add_event(self, kind: int, level: int) -> None:
        """Count an event of the trip."""
        _add(self.summary.event_counts, kind * LEVELS + level, 1)

    def add_excursion(self, kind: int, peak_cmps2: int, duration_ms: int, onset_speed_dkmh: int | None) -> None:
        """Count an excursion of the trip."""
        _add(self.summary.excursions, excursion_key(kind, peak_cmps2, duration_ms, onset_speed_dkmh), 1)

    def _segment(self, a: MotionSample, b: MotionSample) -> None:
        total = self.summary
        dt_ms = b.t_ms - a.t_ms
        if dt_ms > BRIDGE_MS:
            total.unobserved_ms += dt_ms
            return
        speed_sum = (a.speed_dkmh or 0) + (b.speed_dkmh or 0)
        distance_mm = (speed_sum * dt_ms + 36) // 72
        total.observed_ms += dt_ms
        total.distance_mm += distance_mm
        if speed_sum >= 2 * STANDING_DKMH:
            total.moving_ms += dt_ms
        else:
            total.standing_ms += dt_ms
            total.idle_ms += dt_ms if a.engine == ENGINE_ON else 0
        total.over_130_ms += dt_ms if speed_sum > 2 * OVER_130_DKMH else 0
        if a.limit_kmh is not None:
            total.limit_known_ms += dt_ms
            total.speeding_ms += dt_ms if speed_sum > 20 * a.limit_kmh else 0
        if distance_mm:
            _add(total.distance_by_speed_mm, min(speed_sum // 200, SPEED_BANDS - 1), distance_mm)
            if self._utc_offset_min is not None:
                hour = hour_of_week(self._started_at_ms + a.t_ms, self._utc_offset_min)
                _add(total.distance_by_hour_mm, hour, distance_mm)

    def to_state(self) -> dict[str, Any]:
        """JSON form of the summary so far, to be written before the next sample."""
        return {
            "start": [self._started_at_ms, self._utc_offset_min, self._period_ms],
            "known": self._known,
            "summary": {name: getattr(self.summary, name) for name in (*SCALAR_FIELDS, *HISTOGRAM_FIELDS)},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SummaryBuilder:
        """Builder that goes on where `to_state` was taken."""
        builder = cls(*state["start"])
        builder._known = MotionSample(*state["known"]) if state["known"] else None
        fields = dict(state["summary"])
        for name in HISTOGRAM_FIELDS:  # JSON has string keys
            fields[name] = {int(key): value for key, value in fields[name].items()}
        builder.summary = TripSummary(**fields)
        return builder


def _add(histogram: Histogram, key: int, amount: int) -> None:
    histogram[key] = histogram.get(key, 0) + amount
