"""The device path without any input or output: readings in, trips, samples and events out.

    MotionBuilder -> TripTracker -> RunningTrip (EventDetector, SummaryBuilder, ImpactWatch)

Everything it remembers goes through JSON (`to_state`), so that it can commit together with the messages it produced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from device.contract.motion import (
    GRADE_GNSS,
    GRADE_IMU,
    GRADE_OBD_SPEED,
    IMU_PERIOD_MS,
    LAG_MS,
    PERIOD_MS,
    QUALITY_GNSS_SPEED,
    MotionSample,
)
from device.contract.rules import CURRENT_VERSION, Rules, load_rules
from device.contract.signals import Reading
from device.contract.trip import TripSummary
from device.events import DetectedEvent
from device.impact import ImpactAlert, ImpactReport
from device.motion import Cell, MotionBuilder
from device.mounting import Mounting
from device.running_trip import RunningTrip
from device.speed_watch import Seen
from device.trips import TripTracker, is_active

# (UTC ms, local time minus UTC in minutes or None) of a monotonic time of the source.
WallTime = Callable[[int], tuple[int, int | None]]


class TripStarted(NamedTuple):
    """A trip began at `start_mono_ms` of the source's monotonic time.

    `period_ms` is the grid period of all its samples, `sensor_grade` what feeds it at its start, `speed_rate_dhz` the
    measured rate of its speed readings in 0.1 Hz; None where there were fewer than two. `rules_version` is that of all
    its events.
    """

    start_mono_ms: int
    started_at_ms: int
    utc_offset_min: int | None
    period_ms: int = PERIOD_MS
    sensor_grade: int = GRADE_OBD_SPEED
    speed_rate_dhz: int | None = None
    rules_version: int = CURRENT_VERSION


class TripEnded(NamedTuple):
    """A trip ended; `reason` is a number of the wire's EndReason.

    `sensor_grade` is what fed most of its samples, `speed_rate_dhz` the rate over the whole trip, gaps left out, `seen`
    what was seen of the readings of speed; None where there were too few.
    """

    reason: int
    summary: TripSummary
    sensor_grade: int = GRADE_OBD_SPEED
    speed_rate_dhz: int | None = None
    seen: Seen | None = None


Output = TripStarted | MotionSample | DetectedEvent | ImpactAlert | ImpactReport | TripEnded

END_OF_RECORDING = 2
END_REBOOT = 3


class Pipeline:
    """Readings of one car to the outputs of its trips, in order.

    Parameters
    ----------
    wall_time : callable
        Asked once at each trip's start.
    rules : Rules, optional
        In force from the next trip on; the newest of this release if not given.
    mounting : Mounting, optional
        What is known of the IMU's mounting.
    """

    def __init__(self, wall_time: WallTime, rules: Rules | None = None, mounting: Mounting | None = None) -> None:
        self.rules = self._next_rules = rules or load_rules()
        self._wall_time = wall_time
        self._motion = MotionBuilder(_blow_cmps2(self.rules), mounting)
        self._tracker = TripTracker()
        self._trip: RunningTrip | None = None
        self._idle = True  # no trip, and none that may be beginning

    def push(self, reading: Reading) -> list[Output]:
        """Take a reading; return what became final."""
        motion = self._motion
        out = self._advance(reading.t_ms) if motion.is_due(reading.t_ms) else []
        motion.add(reading)
        if motion.blows:
            out += self._strike()
        return out

    def advance(self, now_ms: int) -> list[Output]:
        """Time has passed without a reading."""
        return self._advance(now_ms)

    def finish(self, reason: int = END_OF_RECORDING) -> list[Output]:
        """The source has ended: close the running trip, if any."""
        out: list[Output] = []
        while (cell := self._motion.last_cell()) is not None:
            out += self._cell(cell)
        out += self._end(reason)
        self._tracker.end()
        return out

    def restarted(self) -> Pipeline:
        """Pipeline after a gap of unknown length: it keeps what outlives a trip (rules, mounting) and nothing else."""
        return Pipeline(self._wall_time, self._next_rules, self.mounting)

    def use_rules(self, rules: Rules) -> None:
        """Apply other rules from the next trip on."""
        self._next_rules = rules

    @property
    def in_trip(self) -> bool:
        """Whether a trip is running."""
        return self._tracker.start_ms is not None

    @property
    def mounting(self) -> Mounting:
        """What is known of the IMU's mounting; `describe()` tells it to a person."""
        return self._motion.mounting

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
            "idle": self._idle,
            "trip": self._trip.to_state() if self._trip else None,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], wall_time: WallTime, rules: Rules | None = None) -> Pipeline:
        """Pipeline that goes on where `to_state` was taken; a running trip keeps its rules version.

        `rules` are those of the next trip, the newest if not given. State of a release without IMU is understood.
        """
        pipeline = cls(wall_time, rules)
        running = load_rules(state["rules_version"])
        pipeline._motion = MotionBuilder.from_state(state["motion"], _blow_cmps2(pipeline.rules))
        pipeline._tracker.restore(state["tracker"])
        pipeline._idle = state.get("idle", False)
        if state.get("trip"):
            pipeline.rules, pipeline._trip = running, RunningTrip.from_state(state["trip"], running)
            if "heard_before" in state["trip"]:
                pipeline._motion.start_watching(state["trip"]["heard_before"])
        elif state.get("summary"):  # of a release without IMU
            old = {**state, "start": pipeline._tracker.start_ms, "impacts": [[], []], "fed": [0, 0, 0, 0]}
            pipeline.rules, pipeline._trip = running, RunningTrip.from_state(old, running)
            pipeline._motion.start_watching()
        return pipeline

    def _advance(self, now_ms: int) -> list[Output]:
        out: list[Output] = []
        while self._motion.is_due(now_ms):
            if self._idle:
                self._motion.choose_period()
            cell = self._motion.next_cell(now_ms)
            if cell is not None:
                out += self._cell(cell)
        return out

    def _cell(self, cell: Cell) -> list[Output]:
        out: list[Output] = []
        ended, started, samples = self._tracker.push(cell)
        if ended:
            out += self._end(ended)
        if started:
            out.append(self._start(samples[0]))
        for sample in samples:
            if self._trip is None:
                raise RuntimeError("a sample outside a trip")
            out.append(sample)
            out += self._trip.push(sample)
        if self._trip is not None:
            now = cell.sample._replace(t_ms=cell.mono_ms - self._trip.start_ms)
            for sample in samples if started else [now]:
                out += self._trip.watch(sample)
        self._idle = self._trip is None and not is_active(cell.sample)
        return out

    def _start(self, first: MotionSample) -> TripStarted:
        start_ms, motion = self._tracker.start_ms or 0, self._motion
        self.rules = self._next_rules
        started_at_ms, utc_offset_min = self._wall_time(start_ms)
        period_ms = motion.period_ms
        self._trip = RunningTrip(self.rules, start_ms, started_at_ms, utc_offset_min, period_ms)
        motion.start_watching()
        by_gnss = first.quality & QUALITY_GNSS_SPEED
        grade = GRADE_IMU if period_ms == IMU_PERIOD_MS else GRADE_GNSS if by_gnss else GRADE_OBD_SPEED
        rate_dhz = motion.speed_rate_dhz(start_ms + LAG_MS)
        return TripStarted(start_ms, started_at_ms, utc_offset_min, period_ms, grade, rate_dhz, self.rules.version)

    def _strike(self) -> list[Output]:
        blows, self._motion.blows[:] = list(self._motion.blows), []
        if self._trip is None:
            return []
        alerts = [self._trip.impacts.strike(t_ms - self._trip.start_ms, peak) for t_ms, peak in blows]
        return [alert for alert in alerts if alert is not None]

    def _end(self, reason: int) -> list[Output]:
        trip, self._trip = self._trip, None
        if trip is None:
            return []
        return [*trip.end(), TripEnded(reason, trip.summary, trip.sensor_grade, *self._motion.watched())]


def _blow_cmps2(rules: Rules) -> int:
    return next(rule.entry for rule in rules.rules if rule.kind == "impact")
