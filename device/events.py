"""Events and excursions, sample by sample. The definition stands in `device/contract/event_rules`.

A run starts at the first sample at or over `entry` and lasts while samples stay at or over `exit` without a gap, or are
not known for at most `bridge_ms` between two that are; runs of one kind merge when they are close; what is long and
fast enough is an event. `features` derives the same from columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from device.contract.motion import ENGINE_ON, MotionSample
from device.contract.rules import Rule, Rules
from device.contract.trip import STANDING_DKMH


class Run(NamedTuple):
    """A run of samples over the threshold, or several merged; times since the trip's start."""

    onset_ms: int
    end_ms: int
    peak_ms: int
    peak: int
    onset_speed_dkmh: int | None
    end_speed_dkmh: int | None


class DetectedEvent(NamedTuple):
    """An event of a trip; `peak` in 0.01 m/s2, speeding in 0.1 km/h over the limit, idling 1."""

    kind: int
    level: int
    onset_ms: int
    peak_ms: int
    end_ms: int
    duration_ms: int
    peak: int
    onset_speed_dkmh: int | None
    delta_v_dkmh: int | None


class RunDetector:
    """Finds the runs of one rule and merges them. `push` and `flush` return runs that are complete."""

    __slots__ = ("_held", "_last_ms", "_open", "_period_ms", "_rule")

    def __init__(self, rule: Rule, period_ms: int) -> None:
        self._rule = rule
        self._period_ms = period_ms
        self._last_ms: int | None = None
        self._open: Run | None = None
        self._held: Run | None = None  # complete, but a later run may still merge with it

    def push(self, t_ms: int, value: int | None, speed_dkmh: int | None) -> list[Run]:
        """Take the next sample's signal value (sign applied)."""
        rule, run = self._rule, self._open
        done: list[Run] = []
        if run is not None and self._is_over(run, t_ms, value):
            done += self._close(run)
            run = None
        self._last_ms = t_ms
        if run is not None and value is not None:
            peak_ms, peak = (t_ms, value) if value > run.peak else (run.peak_ms, run.peak)
            run = run._replace(end_ms=t_ms, peak_ms=peak_ms, peak=peak, end_speed_dkmh=speed_dkmh)
        elif value is not None and value >= rule.entry:
            run = Run(t_ms, t_ms, t_ms, value, speed_dkmh, speed_dkmh)
        self._open = run
        if self._held is not None and (run.onset_ms if run else t_ms) - self._held.end_ms > rule.merge_gap_ms:
            done.append(self._held)
            self._held = None
        return done

    def _is_over(self, run: Run, t_ms: int, value: int | None) -> bool:
        """Whether the open run does not reach the next sample; it ends at its last sample at or over exit."""
        if self._last_ms is None or t_ms - self._last_ms != self._period_ms:
            return True
        return t_ms - run.end_ms > self._rule.bridge_ms if value is None else value < self._rule.exit

    def flush(self) -> list[Run]:
        """The trip has ended: close what is open."""
        done = self._close(self._open) if self._open is not None else []
        if self._held is not None:
            done.append(self._held)
        self._open = self._held = None
        return done

    def _close(self, run: Run) -> list[Run]:
        held, self._held = self._held, run
        if held is None:
            return []
        if run.onset_ms - held.end_ms > self._rule.merge_gap_ms:
            return [held]
        peak_ms, peak = (run.peak_ms, run.peak) if run.peak > held.peak else (held.peak_ms, held.peak)
        self._held = held._replace(end_ms=run.end_ms, peak_ms=peak_ms, peak=peak, end_speed_dkmh=run.end_speed_dkmh)
        return []

    def to_state(self) -> list[Any]:
        """JSON form of what the detector remembers."""
        return [self._last_ms, self._open, self._held]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._last_ms = state[0]
        self._open = Run(*state[1]) if state[1] else None
        self._held = Run(*state[2]) if state[2] else None


class EventDetector:
    """All rules over one trip: `push` returns the events and excursions that became complete."""

    def __init__(self, rules: Rules, period_ms: int) -> None:
        self._rules = rules
        self._period_ms = period_ms
        self._events = [(rule, RunDetector(rule, period_ms)) for rule in rules.rules]
        self._excursions = [(rule, RunDetector(rule, period_ms)) for rule in rules.excursions]

    def push(self, sample: MotionSample) -> tuple[list[DetectedEvent], list[tuple[int, Run]]]:
        """Take a sample; return (events, excursions as (kind, run))."""
        events: list[DetectedEvent] = []
        excursions: list[tuple[int, Run]] = []
        for rule, detector in self._events:
            for run in detector.push(sample.t_ms, self._value(rule, sample), sample.speed_dkmh):
                events += self._event(rule, run)
        for rule, detector in self._excursions:
            runs = detector.push(sample.t_ms, self._value(rule, sample), sample.speed_dkmh)
            excursions += [(rule.number, run) for run in runs]
        return events, excursions

    def flush(self) -> tuple[list[DetectedEvent], list[tuple[int, Run]]]:
        """The trip has ended."""
        events = [event for rule, d in self._events for run in d.flush() for event in self._event(rule, run)]
        return events, [(rule.number, run) for rule, d in self._excursions for run in d.flush()]

    def duration_ms(self, run: Run) -> int:
        """Duration of a run: each sample stands for one grid period."""
        return run.end_ms - run.onset_ms + self._period_ms

    def to_state(self) -> list[Any]:
        """JSON form of all detectors."""
        return [detector.to_state() for _, detector in self._events + self._excursions]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        for (_, detector), saved in zip(self._events + self._excursions, state, strict=True):
            detector.restore(saved)

    def _value(self, rule: Rule, sample: MotionSample) -> int | None:
        if rule.signal == "over_limit_dkmh":
            if sample.speed_dkmh is None:
                return None
            limit = self._rules.default_limit_dkmh if sample.limit_kmh is None else 10 * sample.limit_kmh
            return sample.speed_dkmh - limit
        if rule.signal == "idling":
            if sample.speed_dkmh is None or sample.engine is None:
                return None
            return int(sample.engine == ENGINE_ON and sample.speed_dkmh < STANDING_DKMH)
        value: int | None = getattr(sample, rule.signal)
        return None if value is None else rule.sign * value

    def _event(self, rule: Rule, run: Run) -> list[DetectedEvent]:
        duration_ms = self.duration_ms(run)
        speed = run.onset_speed_dkmh
        too_slow = rule.min_speed_dkmh > 0 and (speed is None or speed < rule.min_speed_dkmh)
        if duration_ms < rule.min_duration_ms or too_slow:
            return []
        end_speed = run.end_speed_dkmh
        return [
            DetectedEvent(
                kind=rule.number,
                level=rule.level(run.peak),
                onset_ms=run.onset_ms,
                peak_ms=run.peak_ms,
                end_ms=run.end_ms,
                duration_ms=duration_ms,
                peak=run.peak,
                onset_speed_dkmh=speed,
                delta_v_dkmh=None if speed is None or end_speed is None else end_speed - speed,
            )
        ]
