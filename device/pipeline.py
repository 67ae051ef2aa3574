"""The device path without any input or output: readings in, trips, samples and events out.

    MotionBuilder -> TripTracker -> EventDetector + SummaryBuilder + ImpactWatch

Everything it remembers goes through JSON (`to_state`), so that it can commit together with the messages it produced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from device.contract.motion import GRADE_OBD_SPEED, PERIOD_MS, MotionSample
from device.contract.rules import Rules, load_rules
from device.contract.signals import Reading
from device.contract.trip import TripSummary
from device.events import DetectedEvent, EventDetector, Run
from device.impact import ImpactAlert, ImpactReport
from device.motion import Cell, MotionBuilder
from device.trips import SummaryBuilder, TripTracker

# (UTC ms, local time minus UTC in minutes or None) of a monotonic time of the source.
WallTime = Callable[[int], tuple[int, int | None]]


class TripStarted(NamedTuple):
    """A trip began at `start_mono_ms` of the source's monotonic time.

    `period_ms` is the grid period of all its samples, `sensor_grade` what feeds it at its start, `speed_rate_dhz` the
    measured rate of its speed readings in 0.1 Hz; None where there were fewer than two.
    """

    start_mono_ms: int
    started_at_ms: int
    utc_offset_min: int | None
    period_ms: int = PERIOD_MS
    sensor_grade: int = GRADE_OBD_SPEED
    speed_rate_dhz: int | None = None


class TripEnded(NamedTuple):
    """A trip ended; `reason` is a number of the wire's EndReason.

    `sensor_grade` is what fed most of its samples, `speed_rate_dhz` the rate over the whole trip, gaps left out.
    """

    reason: int
    summary: TripSummary
    sensor_grade: int = GRADE_OBD_SPEED
    speed_rate_dhz: int | None = None


Output = TripStarted | MotionSample | DetectedEvent | ImpactAlert | ImpactReport | TripEnded

END_OF_RECORDING = 2
END_REBOOT = 3


class Pipeline:
    """Readings of one source, in time order, to the outputs of its trips, in order.

    Parameters
    ----------
    wall_time : callable
        Asked once at each trip's start.
    rules : Rules
    """

    def __init__(self, wall_time: WallTime, rules: Rules | None = None) -> None:
        self.rules = rules or load_rules()
        self._wall_time = wall_time
        self._motion = MotionBuilder()
        self._tracker = TripTracker()
        self._detector: EventDetector | None = None
        self._summary: SummaryBuilder | None = None

    def push(self, reading: Reading) -> list[Output]:
        """Take a reading; return what became final."""
        cells = self._motion.push(reading)
        return self._cells(cells) if cells else []

    def advance(self, now_ms: int) -> list[Output]:
        """Time has passed without a reading."""
        return self._cells(self._motion.advance(now_ms))

    def finish(self, reason: int = END_OF_RECORDING) -> list[Output]:
        """The source has ended: close the running trip, if any."""
        out = self._cells(self._motion.flush()) + self._end(reason)
        self._tracker.end()
        return out

    def restarted(self) -> Pipeline:
        """Pipeline after a gap of unknown length: it keeps what outlives a trip (rules, mounting) and nothing else."""
        return Pipeline(self._wall_time, self.rules)

    @property
    def in_trip(self) -> bool:
        """Whether a trip is running."""
        return self._tracker.start_ms is not None

    @property
    def late_readings(self) -> int:
        """Readings dropped because they came out of order."""
        return self._motion.late_readings

    def to_state(self) -> dict[str, Any]:
        """JSON form of everything remembered."""
        return {
            "rules_version": self.rules.version,
            "motion": self._motion.to_state(),
            "tracker": self._tracker.to_state(),
            "detector": self._detector.to_state() if self._detector else None,
            "summary": self._summary.to_state() if self._summary else None,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], wall_time: WallTime) -> Pipeline:
        """Pipeline that goes on where `to_state` was taken; a running trip keeps its rules version."""
        pipeline = cls(wall_time, load_rules(state["rules_version"]))
        pipeline._motion = MotionBuilder.from_state(state["motion"])
        pipeline._tracker.restore(state["tracker"])
        if state["summary"]:
            pipeline._summary = SummaryBuilder.from_state(state["summary"])
            pipeline._detector = EventDetector(pipeline.rules, PERIOD_MS)
            pipeline._detector.restore(state["detector"])
        return pipeline

    def _cells(self, cells: list[Cell]) -> list[Output]:
        out: list[Output] = []
        for cell in cells:
            running = self._summary is not None
            ended, started, samples = self._tracker.push(cell)
            if ended and running:
                out += self._end(ended)
            if started and self._tracker.start_ms is not None:
                out.append(self._start(self._tracker.start_ms))
            for sample in samples:
                out += self._sample(sample)
        return out

    def _start(self, mono_ms: int) -> TripStarted:
        started_at_ms, utc_offset_min = self._wall_time(mono_ms)
        self._detector = EventDetector(self.rules, PERIOD_MS)
        self._summary = SummaryBuilder(started_at_ms, utc_offset_min, PERIOD_MS)
        return TripStarted(mono_ms, started_at_ms, utc_offset_min)

    def _sample(self, sample: MotionSample) -> list[Output]:
        if self._detector is None or self._summary is None:
            raise RuntimeError("a sample outside a trip")
        self._summary.push(sample)
        return [sample, *self._found(*self._detector.push(sample))]

    def _found(self, events: list[DetectedEvent], excursions: list[tuple[int, Run]]) -> list[DetectedEvent]:
        if self._detector is None or self._summary is None:
            raise RuntimeError("an event outside a trip")
        for event in events:
            self._summary.add_event(event.kind, event.level)
        for kind, run in excursions:
            duration_ms = self._detector.duration_ms(run)
            self._summary.add_excursion(kind, run.peak, duration_ms, run.onset_speed_dkmh)
        return events

    def _end(self, reason: int) -> list[Output]:
        if self._detector is None or self._summary is None:
            return []
        out: list[Output] = list(self._found(*self._detector.flush()))
        out.append(TripEnded(reason, self._summary.summary))
        self._detector = self._summary = None
        return out
