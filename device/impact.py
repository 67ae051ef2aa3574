"""Impacts: told at once from the raw IMU, and told again when the motion around them is final.

The event of kind "impact" on the motion grid is another thing: it obeys the law of parity and comes with the lag.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from device.contract.motion import MotionSample

AROUND_MS: Final = 5_000  # motion told before and after an impact


class ImpactAlert(NamedTuple):
    """A blow in the running trip, told without lag.

    `t_ms` counts from the trip's start, `peak_cmps2` is the raw magnitude (0.01 m/s2). `samples` are the final motion
    samples of the 5 s before that exist already: they end one lag before the blow.
    """

    t_ms: int
    peak_cmps2: int
    samples: tuple[MotionSample, ...]


class ImpactReport(NamedTuple):
    """The same impact when the motion 5 s before and after it is final, or its trip has ended.

    `t_ms` is that of the alert; `peak_cmps2` is the largest magnitude within 5 s after it.
    """

    t_ms: int
    peak_cmps2: int
    samples: tuple[MotionSample, ...]


class ImpactWatch:
    """Watches one trip. A second blow within 5 s of one belongs to it. All times count from the trip's start."""

    def __init__(self) -> None:
        self._recent: deque[MotionSample] = deque()  # the last AROUND_MS, and AROUND_MS before the oldest open impact
        self._open: list[list[int]] = []  # t_ms and peak of the impacts whose report is due

    @property
    def watches(self) -> bool:
        """Whether an impact is open, or might have motion before it."""
        return bool(self._recent or self._open)

    def strike(self, t_ms: int, peak_cmps2: int) -> ImpactAlert | None:
        """Take a raw magnitude over the threshold; return what is to be told at once."""
        if self._open and t_ms - self._open[-1][0] <= AROUND_MS:
            self._open[-1][1] = max(self._open[-1][1], peak_cmps2)
            return None
        self._open.append([t_ms, peak_cmps2])
        return ImpactAlert(t_ms, peak_cmps2, self._around(t_ms))

    def push(self, sample: MotionSample) -> ImpactReport | None:
        """Take the next final cell since the trip began; return the report that it completes."""
        self._recent.append(sample)
        report = None
        if self._open and sample.t_ms >= self._open[0][0] + AROUND_MS:
            report = self._report()
        oldest_ms = min([sample.t_ms, *(t_ms for t_ms, _ in self._open)])
        while self._recent[0].t_ms < oldest_ms - AROUND_MS:
            self._recent.popleft()
        return report

    def flush(self) -> list[ImpactReport]:
        """The trip has ended: report what there is."""
        return [self._report() for _ in list(self._open)]

    def to_state(self) -> list[Any]:
        """JSON form of what the watch remembers."""
        return [list(self._recent), [list(one) for one in self._open]]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._recent = deque(MotionSample(*fields) for fields in state[0])
        self._open = [list(one) for one in state[1]]

    def _report(self) -> ImpactReport:
        t_ms, peak = self._open.pop(0)
        return ImpactReport(t_ms, peak, self._around(t_ms))

    def _around(self, t_ms: int) -> tuple[MotionSample, ...]:
        return tuple(sample for sample in self._recent if abs(sample.t_ms - t_ms) <= AROUND_MS)
