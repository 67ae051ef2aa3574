"""Tells a car that keeps its speed from an adapter that repeats what it said before.

Every reply being the same as before is suspicious while the engine runs, but a car on cruise control can do that for a
while. The time since engine start cannot stand still: where it does, nothing of what the adapter says is of now.
"""

from __future__ import annotations

from typing import Final

WITNESS: Final = "run_time_s"  # in whole seconds
SUSPECT_MS: Final = 2_000  # without one changed byte, before the witness is called
ASK_MS: Final = 800  # between questions to the witness
STILL_MS: Final = 2_500  # it has to count two seconds in this time
MOVING: Final = ("rpm", "speed_kmh")  # one of them above 0: the witness counts


class Freshness:
    """Watches raw replies. A witness that never counted, as in some electric cars, accuses nobody."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}
        self._same_since_ms: float | None = None
        self._moving: dict[str, bool] = {}
        self._counts = False  # whether the witness was ever seen to count
        self._still_since_ms = 0.0
        self._asked_ms = 0.0

    def saw(self, signal: str, reply: bytes, value: float, now_ms: float) -> None:
        """Take a good reply."""
        before = self._last.get(signal)
        self._last[signal] = reply
        if signal == WITNESS:
            self._asked_ms = now_ms
            if reply != before:
                self._still_since_ms = now_ms
                self._counts = self._counts or before is not None
            return
        if signal in MOVING:
            self._moving[signal] = value > 0
        if self._same_since_ms is None or (before is not None and reply != before):
            self._same_since_ms = now_ms

    def wants_witness(self, now_ms: float) -> bool:
        """Whether `WITNESS` is to be asked out of turn."""
        return WITNESS in self._last and self._suspects(now_ms) and now_ms - self._asked_ms >= ASK_MS

    def is_stale(self, now_ms: float) -> bool:
        """Whether the adapter repeats itself."""
        if not self._counts or not self._suspects(now_ms) or self._same_since_ms is None:
            return False
        return self._asked_ms - max(self._still_since_ms, self._same_since_ms) >= STILL_MS

    def _suspects(self, now_ms: float) -> bool:
        since_ms = self._same_since_ms
        return since_ms is not None and now_ms - since_ms >= SUSPECT_MS and any(self._moving.values())
