"""Readings of several sensors in one order: each waits for a moment, in case another sensor tells of earlier."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from device.contract.signals import Reading

WINDOW_MS: Final = 200  # sentences of a GNSS receiver and frames of an IMU are stamped when they began
_TIME: Final = attrgetter("t_ms")


class Merge:
    """Sorts by time. What comes later than `WINDOW_MS` is passed on out of order: the pipeline drops and counts it."""

    def __init__(self) -> None:
        self._waiting: list[Reading] = []

    def add(self, readings: Iterable[Reading]) -> None:
        """Take readings of one source."""
        self._waiting.extend(readings)

    def due(self, now_ms: int) -> list[Reading]:
        """Return what has waited for `WINDOW_MS`, oldest first; readings of one time as they were added."""
        self._waiting.sort(key=_TIME)
        until_ms = self.heard_until_ms(now_ms)
        count = next((index for index, reading in enumerate(self._waiting) if reading.t_ms > until_ms), None)
        out, self._waiting = self._waiting[:count], [] if count is None else self._waiting[count:]
        return out

    @staticmethod
    def heard_until_ms(now_ms: int) -> int:
        """Nothing of before this time is waited for any more."""
        return now_ms - WINDOW_MS

    def flush(self) -> list[Reading]:
        """Return all that is left: nothing more comes."""
        out, self._waiting = sorted(self._waiting, key=_TIME), []
        return out
