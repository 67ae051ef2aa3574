"""Course of GNSS to yaw rate: what is left to tell a turn by when there is no IMU."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from device.speed_track import SLOPE_GAP_MS

HALF_MS: Final = 1_000
# Slower than this a receiver's course is noise.
MIN_SPEED_KMH: Final = 10.0
KEPT_MS: Final = 10_000  # nothing older is asked for; with the speed it would tell the shape of the way


class CourseTrack:
    """Course readings in time order, degrees clockwise from north."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._courses: list[float] = []  # without the jump at north

    def add(self, t_ms: int, course_deg: float) -> None:
        """Take the next reading."""
        if self._times and self._times[-1] == t_ms:
            return
        before_ms = self._times[-1] if self._times else t_ms
        before = self._courses[-1] if self._courses else course_deg
        self._times.append(t_ms)
        self._courses.append(before + (course_deg - before + 180.0) % 360.0 - 180.0)
        if before_ms - self._times[0] > 2 * KEPT_MS:  # of the one before: after a gap it is still asked for that
            old = bisect_left(self._times, before_ms - KEPT_MS)
            del self._times[:old], self._courses[:old]

    def yaw_rate_at(self, t_ms: int) -> float | None:
        """Mean yaw rate over 2 s, deg/s, positive to the left; None where readings are too far apart."""
        before, after = self._at(t_ms - HALF_MS), self._at(t_ms + HALF_MS)
        return None if before is None or after is None else (before - after) / (2 * HALF_MS / 1_000)

    def to_state(self) -> list[Any]:
        """JSON form of what the track remembers."""
        return [list(self._times), list(self._courses)]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._times, self._courses = list(state[0]), list(state[1])

    def _at(self, t_ms: int) -> float | None:
        after = bisect_left(self._times, t_ms)
        if after == len(self._times):
            return None
        t1, c1 = self._times[after], self._courses[after]
        if t1 == t_ms:
            return c1
        if after == 0 or t1 - self._times[after - 1] > SLOPE_GAP_MS:
            return None
        t0, c0 = self._times[after - 1], self._courses[after - 1]
        return c0 + (c1 - c0) * ((t_ms - t0) / (t1 - t0))
