"""What readings of a speed look like from outside: whether they came, whether they moved, how fine they are.

Counted over a trip and told in its end. The motion grid shows none of it: a cell between two readings is interpolated,
whether one of them was missing or not.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Any, Final, NamedTuple

from device.contract.motion import BRIDGE_MS, COARSE_STEP_DKMH

# Upper edges of the classes in which times between readings are counted: an eighth of an octave each.
_PER_OCTAVE: Final = 8
FASTEST_MS: Final = 100  # a source that is quicker misses nothing that the grid would show
EDGES_MS: Final = (*(round(FASTEST_MS * 2 ** (k / _PER_OCTAVE)) for k in range(45)), BRIDGE_MS)
_MIDDLES_MS: Final = (FASTEST_MS, *((a + b) // 2 for a, b in pairwise(EDGES_MS)))
# Changes between readings that differ are counted by 0.1 km/h, the last class being all larger ones.
CHANGES: Final = 101
# Fewer tell nothing.
LEAST: Final = 20
# A speed in decimals that stays the same for so long at such a speed is none: of 3,000 stretches that receivers told at
# 1 Hz one lasted for 3 s, none for 4 s.
FINE_DKMH: Final = 5
REPEATED_MS: Final = 3_500
MOVING_KMH: Final = 10.0


class Seen(NamedTuple):
    """What was seen of a trip's speed; None where there were too few readings to tell.

    `readings` came, `missed` did not by the rhythm of those that came, `step_dkmh` is how fine they are (0.1 km/h), and
    so many times was `frozen` told again what was no longer so.
    """

    readings: int
    missed: int | None
    step_dkmh: int | None
    frozen: int


class SpeedWatch:
    """Counts over the readings of one source.

    Attributes
    ----------
    steps, stepped_ms : int
        Readings, and the time between them, where they are at most BRIDGE_MS apart: the measured rate.
    frozen : int
        Values that were told again while the car moved on, as the step after them shows.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self.steps = self.stepped_ms = self.frozen = 0
        self._repeated = 0
        self._told_ms = 0  # for how long the last value had been told, up to the last reading
        self._gaps = [0] * len(EDGES_MS)
        self._changes = [0] * CHANGES

    def step(self, gap_ms: int, before_kmh: float, now_kmh: float) -> None:
        """Take the step from one reading to the next."""
        if gap_ms > BRIDGE_MS:
            self._told_ms = 0
            return
        self.steps += 1
        self.stepped_ms += gap_ms
        self._gaps[bisect_left(EDGES_MS, gap_ms)] += 1
        if now_kmh != before_kmh:
            self._told_ms = 0
            self._changes[min(round(abs(now_kmh - before_kmh) * 10), CHANGES - 1)] += 1
            return
        told_ms, self._told_ms = self._told_ms, self._told_ms + gap_ms
        self._repeated += now_kmh >= MOVING_KMH and told_ms < REPEATED_MS <= self._told_ms

    def seen(self) -> Seen:
        """Return what was seen so far."""
        step_dkmh = _quantile(self._changes, 20) if sum(self._changes) >= LEAST else None
        frozen = self.frozen
        if step_dkmh is not None and step_dkmh <= FINE_DKMH:
            frozen += self._repeated
        elif step_dkmh is not None and step_dkmh > COARSE_STEP_DKMH:
            frozen = 0  # such a speed stays the same until it makes a step
        return Seen(self.steps, self._missed() if self.steps >= LEAST else None, step_dkmh, frozen)

    def to_state(self) -> list[Any]:
        """JSON form, but for `steps` and `stepped_ms`."""
        return [self.frozen, self._repeated, self._told_ms, list(self._gaps), list(self._changes)]

    def restore(self, steps: int, stepped_ms: int, state: list[Any] | None) -> None:
        """Go on where `to_state` was taken; None: of an older release."""
        self.steps, self.stepped_ms = steps, stepped_ms
        if state is not None:
            self.frozen, self._repeated, self._told_ms = state[0], state[1], state[2]
            self._gaps, self._changes = list(state[3]), list(state[4])

    def _missed(self) -> int:
        """Readings between those that came, had they kept the rhythm of the quickest quarter."""
        rhythm_ms = _MIDDLES_MS[_quantile(self._gaps, 4)]
        return sum(
            count * ((2 * gap_ms + rhythm_ms) // (2 * rhythm_ms) - 1)
            for gap_ms, count in zip(_MIDDLES_MS, self._gaps, strict=True)
            if gap_ms > rhythm_ms
        )


def _quantile(counts: list[int], parts: int) -> int:
    """First class up to which one part in so many lies."""
    least, so_far = sum(counts), 0
    for place, count in enumerate(counts):
        so_far += count
        if so_far * parts >= least:
            return place
    raise ValueError("nothing was counted")
