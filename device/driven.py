"""Motion that the car did not make itself (ferry, car train, tow truck) is kept out of its trips.

    readings -> Driven.admits -> pipeline

What the car says of its own speed always counts. The speed of GNSS counts where the car says nothing, an adapter
pulled out in mid-trip for one; but not while the car's last word is that it stands with its engine off. That word is:
standing, and the engine off or the control unit no longer answering through an adapter that does.

Judgements
----------
1. A car towed on its own wheels with the ignition on tells a speed, as a hybrid that drives electrically does: driven.
2. A word older than `WORD_MS` no longer counts: no ferry takes that long, and a dead adapter must not hide trips for
   ever. A restart of the computer forgets it too: what is powered by the ignition has no power on a ferry.
3. What is kept out is counted (`not_driven`), so that the insurer sees it.
"""

from __future__ import annotations

from typing import Any, Final

from device.contract.signals import Reading

STANDING_KMH: Final = 1.0
# The control unit is asleep once it has not answered for so long; single replies fail in any car.
UNANSWERED_MS: Final = 3_000
WORD_MS: Final = 3 * 86_400_000
FROM_GNSS: Final = frozenset({"gnss_speed_kmh", "gnss_course_deg"})
ASKED: Final = frozenset({"speed_kmh", "rpm"})


class Driven:
    """Remembers the car's last word. All times are those of the readings."""

    def __init__(self) -> None:
        self._standing = False  # the last speed that the car told
        self._engine: bool | None = None  # the last that it told; None = it never did
        self._answered_ms = 0  # the last valid answer
        self._asked_ms = 0  # the last answer at all, null or not

    def admits(self, reading: Reading) -> bool:
        """Take a reading; False if it is of a motion that the car did not make."""
        if reading.signal in FROM_GNSS:
            return not self.is_parked(reading.t_ms)
        if reading.signal in ASKED:
            self._asked_ms = reading.t_ms
            if reading.value is not None:
                self._answered_ms = reading.t_ms
                if reading.signal == "rpm":
                    self._engine = reading.value > 0
                else:
                    self._standing = reading.value < STANDING_KMH
        return True

    def is_parked(self, now_ms: int) -> bool:
        """Whether the car's last word is that it stands and its engine is off."""
        if not self._standing or now_ms - self._asked_ms > WORD_MS:
            return False
        return self._engine is False or self._asked_ms - self._answered_ms >= UNANSWERED_MS

    def to_state(self) -> list[Any]:
        """JSON form; it holds within one boot."""
        return [self._standing, self._engine, self._answered_ms, self._asked_ms]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._standing, self._engine, self._answered_ms, self._asked_ms = state
