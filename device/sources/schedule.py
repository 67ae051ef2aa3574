"""Which PID to ask next: speed at its period, waiting for at most one other; the others at periods of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from device.contract.signals import SIGNALS

FASTEST: Final = "speed_kmh"

# Milliseconds between requests, from the table of signals.
PERIODS_MS: Final[dict[str, int]] = {s.name: s.period_ms for s in SIGNALS if s.pid is not None and s.period_ms}


class Schedule:
    """Due times of the signals that a car supports.

    Parameters
    ----------
    signals : iterable of str
        Signals to ask; those without a period are left out.
    periods_ms : mapping of str to int
        Period of each signal; 0 asks whenever nothing else is due.
    """

    def __init__(self, signals: Iterable[str], periods_ms: Mapping[str, int] = PERIODS_MS) -> None:
        self._periods_ms = {name: periods_ms[name] for name in signals if name in periods_ms}
        self._due_ms = dict.fromkeys(self._periods_ms, 0.0)
        self._last = ""

    def pick(self, now_ms: float) -> str | None:
        """Return the signal to ask now, or None if none is due; it counts as asked."""
        due = [name for name, due_ms in self._due_ms.items() if due_ms <= now_ms]
        if not due:
            return None
        if FASTEST in due and self._last != FASTEST:
            name = FASTEST
        else:
            # Longest overdue in periods of its own, so that a slow adapter starves no signal.
            others = [candidate for candidate in due if candidate != FASTEST] or due
            name = max(others, key=lambda n: (now_ms - self._due_ms[n]) / max(self._periods_ms[n], 1))
        # Kept on its own raster, unless it is a whole period behind.
        period_ms = self._periods_ms[name]
        self._due_ms[name] = max(self._due_ms[name] + period_ms, now_ms + period_ms / 2)
        self._last = name
        return name

    def wait_ms(self, now_ms: float) -> float:
        """Return the time until a signal is due; 0 if one is, or if there are none to ask."""
        return max(0.0, min(self._due_ms.values(), default=now_ms) - now_ms)
