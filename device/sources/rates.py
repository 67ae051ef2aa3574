"""How often each signal really comes."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 50  # readings


class Rates:
    """Measured rates of the latest readings, signal by signal."""

    def __init__(self) -> None:
        self._times_ms: dict[str, deque[int]] = {}

    def saw(self, signal: str, t_ms: int) -> None:
        """Take the time of a good reading."""
        times = self._times_ms.get(signal)
        if times is None:
            times = self._times_ms[signal] = deque(maxlen=WINDOW)
        times.append(t_ms)

    def hz(self) -> dict[str, float | None]:
        """Return the mean rate of the latest readings of each signal, in Hz; None of one that came but once."""
        return {
            signal: (len(times) - 1) * 1_000 / (times[-1] - times[0]) if times[-1] > times[0] else None
            for signal, times in self._times_ms.items()
        }

    def clear(self) -> None:
        """Forget: what comes next is another connection."""
        self._times_ms.clear()
