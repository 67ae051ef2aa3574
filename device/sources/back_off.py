"""When to try again: waits that grow with each failure in a row."""

from __future__ import annotations

import random
from typing import Final

# Waits after failures in a row, each shortened or lengthened by up to a quarter, so that a fleet does not go in step.
BACK_OFF_MS: Final = (1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 60_000)
JITTER: Final = 0.25


class BackOff:
    """The next try after failures in a row, on passed-in time.

    Parameters
    ----------
    rng : random.Random, optional
        Source of the jitter.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._in_row = 0
        self._retry_ms: int | None = None

    def fail(self, now_ms: int) -> int:
        """Remember a failure; return how long to wait, in ms."""
        longest_ms = BACK_OFF_MS[min(self._in_row, len(BACK_OFF_MS) - 1)]
        wait_ms = round(longest_ms * self._rng.uniform(1 - JITTER, 1 + JITTER))
        self._in_row += 1
        self._retry_ms = now_ms + wait_ms
        return wait_ms

    def clear(self) -> None:
        """It works, or is to be tried at once: the next failure is the first in a row."""
        self._in_row = 0
        self._retry_ms = None

    def retry_ms(self, now_ms: int) -> int:
        """Return when to try, not before `now_ms`."""
        return now_ms if self._retry_ms is None else max(now_ms, self._retry_ms)
