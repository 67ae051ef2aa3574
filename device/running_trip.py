"""What the pipeline keeps of the running trip: its detector, its summary, its impacts, and what fed it."""

from __future__ import annotations

from typing import Any, Final

from device.contract.motion import (
    GRADE_GNSS,
    GRADE_IMU,
    GRADE_OBD_SPEED,
    QUALITY_GNSS_SPEED,
    QUALITY_IMU,
    MotionSample,
)
from device.contract.rules import Rules
from device.contract.trip import TripSummary
from device.events import DetectedEvent, EventDetector, Run
from device.impact import ImpactReport, ImpactWatch
from device.trips import SummaryBuilder

# Samples by which a trip is graded: all, with known speed, with the speed of GNSS, with an IMU.
NO_SAMPLES: Final = (0, 0, 0, 0)


class RunningTrip:
    """One trip from its first sample to its last.

    Parameters
    ----------
    rules : Rules
        In force for the whole trip.
    start_ms : int
        Monotonic time of its first sample.
    started_at_ms, utc_offset_min : int, int or None
        UTC and local time of it.
    period_ms : int
        Grid period of all its samples.
    """

    def __init__(
        self,
        rules: Rules,
        start_ms: int,
        started_at_ms: int,
        utc_offset_min: int | None,
        period_ms: int,
    ) -> None:
        self.rules = rules
        self.start_ms = start_ms
        self.period_ms = period_ms
        self.impacts = ImpactWatch()
        self._detector = EventDetector(rules, period_ms)
        self._summary = SummaryBuilder(started_at_ms, utc_offset_min, period_ms)
        self._fed = list(NO_SAMPLES)

    @property
    def summary(self) -> TripSummary:
        """Summary so far."""
        return self._summary.summary

    @property
    def sensor_grade(self) -> int:
        """What fed most samples: the IMU, else most of the known speeds, GNSS or the diagnostic port."""
        samples, known, by_gnss, by_imu = self._fed
        if 2 * by_imu > samples:
            return GRADE_IMU
        return GRADE_GNSS if 2 * by_gnss > known else GRADE_OBD_SPEED

    def push(self, sample: MotionSample) -> list[DetectedEvent]:
        """Take the next sample; return the events that it completed."""
        fed = self._fed
        fed[0] += 1
        fed[1] += sample.speed_dkmh is not None
        fed[2] += bool(sample.quality & QUALITY_GNSS_SPEED)
        fed[3] += bool(sample.quality & QUALITY_IMU)
        self._summary.push(sample)
        return self._count(*self._detector.push(sample))

    def watch(self, sample: MotionSample) -> list[ImpactReport]:
        """Take the next cell, whether or not it will be a sample: after an accident a car stands with its engine off.

        Once an IMU was heard every cell counts, so that the motion around an impact has no hole.
        """
        if sample.accel_peak_cmps2 is None and not self.impacts.watches:
            return []
        report = self.impacts.push(sample)
        return [] if report is None else [report]

    def end(self) -> list[DetectedEvent | ImpactReport]:
        """The trip has ended: return what is still open."""
        return [*self._count(*self._detector.flush()), *self.impacts.flush()]

    def to_state(self) -> dict[str, Any]:
        """JSON form, to be written before the next sample."""
        return {
            "start": self.start_ms,
            "period": self.period_ms,
            "detector": self._detector.to_state(),
            "summary": self._summary.to_state(),
            "impacts": self.impacts.to_state(),
            "fed": list(self._fed),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], rules: Rules) -> RunningTrip:
        """Trip that goes on where `to_state` was taken."""
        started_at_ms, utc_offset_min, period_ms = state["summary"]["start"]
        trip = cls(rules, state["start"], started_at_ms, utc_offset_min, period_ms)
        trip._detector.restore(state["detector"])
        trip._summary = SummaryBuilder.from_state(state["summary"])
        trip.impacts.restore(state["impacts"])
        trip._fed = list(state["fed"])
        return trip

    def _count(self, events: list[DetectedEvent], excursions: list[tuple[int, Run]]) -> list[DetectedEvent]:
        for event in events:
            self._summary.add_event(event.kind, event.level)
        for kind, run in excursions:
            self._summary.add_excursion(kind, run.peak, self._detector.duration_ms(run), run.onset_speed_dkmh)
        return events
