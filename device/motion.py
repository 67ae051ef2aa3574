"""Readings to motion: irregular raw readings in, one cell per grid period out, `LAG_MS` later and final.

    readings (t, signal, value) -> speed by interpolation, acceleration by 2 s centred difference -> quantised cells

Centred difference over 2 s: on BMW CAN at 5 Hz and whole km/h it has 0.038 g RMSE against CAN acceleration, naive
differencing 0.055 g; one count of 1 km/h becomes 0.14 m/s2, below every event threshold.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Any, Final, NamedTuple

from device.contract.motion import (
    BRIDGE_MS,
    ENGINE_OFF,
    ENGINE_ON,
    LAG_MS,
    PERIOD_MS,
    QUALITY_COARSE,
    QUALITY_JUMP,
    MotionSample,
)
from device.contract.signals import Reading

SLOPE_HALF_MS: Final = 1_000
# Readings further apart than this carry no slope of 2 s; a clone adapter at 1 Hz that misses one reply still does.
SLOPE_GAP_MS: Final = 2_500
# Steps between readings that no tyre can make: 1.2 g beyond the 1 km/h that rounding can add. Larger ones are faults.
TYRE_LIMIT_MPS2: Final = 11.8
ROUNDING_KMH: Final = 1.0
# A control unit renews its speed only every 0.1 to 0.2 s: a step may have built up for so much longer than its two
# readings are apart. Without it an emergency stop polled at 10 Hz loses its peak (53, 53, 47 km/h).
RENEWAL_MS: Final = 200
# Engine state and speed limit hold for this long after their reading; older is not known.
HOLD_MS: Final = 3_000
HELD_SIGNALS: Final = ("rpm", "limit_kmh")
# After this long without any reading no further empty cells are made: longer than the gap that ends a trip.
SILENCE_MS: Final = 190_000


class Cell(NamedTuple):
    """A motion sample before it belongs to a trip: `sample.t_ms` is monotonic time of the source."""

    sample: MotionSample

    @property
    def mono_ms(self) -> int:
        """Monotonic time of the cell."""
        return self.sample.t_ms


class MotionBuilder:
    """Builds the grid from readings pushed in time order. A reading earlier than the one before it is dropped."""

    def __init__(self) -> None:
        self._next: int | None = None  # next cell to emit
        self._last = 0  # time of the last reading
        self._times: list[int] = []
        self._speeds: list[float] = []
        self._faults: list[int] = []  # quality bits of the step from the reading before
        self._held: dict[str, list[tuple[int, float]]] = {name: [] for name in HELD_SIGNALS}
        self.late_readings = 0

    def push(self, reading: Reading) -> list[Cell]:
        """Take a reading; return the cells that became final by its time."""
        if self._next is not None and reading.t_ms < self._last:
            self.late_readings += 1
            return []
        cells = self.advance(reading.t_ms)
        self._last = reading.t_ms
        if reading.value is None:
            return cells
        if reading.signal == "speed_kmh":
            self._add_speed(reading.t_ms, reading.value)
        elif reading.signal in self._held:
            held = self._held[reading.signal]
            held.append((reading.t_ms, reading.value))
            while held[0][0] < reading.t_ms - LAG_MS - HOLD_MS - PERIOD_MS:
                held.pop(0)
        return cells

    def advance(self, now_ms: int) -> list[Cell]:
        """Return the cells that are final at `now_ms`, whether or not readings came."""
        if self._next is None:
            self._next = self._last = -(-now_ms // PERIOD_MS) * PERIOD_MS
            return []
        cells = []
        silent_from = self._last + SILENCE_MS
        while self._next + LAG_MS < now_ms:
            if self._next > silent_from:
                self._next = max(self._next, -(-(now_ms - LAG_MS) // PERIOD_MS) * PERIOD_MS)
                break
            cells.append(self._cell(self._next))
            self._next += PERIOD_MS
        return cells

    def flush(self) -> list[Cell]:
        """Return the remaining cells up to the last reading: the source has ended."""
        cells = []
        while self._next is not None and self._next <= self._last:
            cells.append(self._cell(self._next))
            self._next += PERIOD_MS
        return cells

    def to_state(self) -> dict[str, Any]:
        """JSON form of all that the builder remembers."""
        return {
            "next": self._next,
            "last": self._last,
            "times": list(self._times),
            "speeds": list(self._speeds),
            "faults": list(self._faults),
            "held": {name: list(held) for name, held in self._held.items()},
            "late": self.late_readings,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> MotionBuilder:
        """Builder that goes on where `to_state` was taken."""
        builder = cls()
        builder._next, builder._last = state["next"], state["last"]
        builder._times, builder._speeds = list(state["times"]), list(state["speeds"])
        builder._faults, builder.late_readings = list(state["faults"]), state["late"]
        builder._held = {name: [(t, v) for t, v in held] for name, held in state["held"].items()}
        return builder

    def _add_speed(self, t_ms: int, speed_kmh: float) -> None:
        if self._times and self._times[-1] == t_ms:
            return  # two answers in one millisecond carry no slope; the first stands
        self._faults.append(self._step_fault(t_ms, speed_kmh))
        self._times.append(t_ms)
        self._speeds.append(speed_kmh)
        oldest_ms = (t_ms if self._next is None else self._next) - SLOPE_HALF_MS
        keep = bisect_left(self._times, oldest_ms) - 1
        if keep > 64:
            del self._times[:keep], self._speeds[:keep], self._faults[:keep]

    def _step_fault(self, t_ms: int, speed_kmh: float) -> int:
        if not self._times:
            return QUALITY_COARSE
        gap_ms = t_ms - self._times[-1]
        if gap_ms > SLOPE_GAP_MS:
            return QUALITY_COARSE
        beyond_kmh = abs(speed_kmh - self._speeds[-1]) - ROUNDING_KMH
        return QUALITY_JUMP if beyond_kmh / 3.6 / ((gap_ms + RENEWAL_MS) / 1000) > TYRE_LIMIT_MPS2 else 0

    def _cell(self, t_ms: int) -> Cell:
        speed = self._speed_at(t_ms)
        accel, quality = (None, 0) if speed is None else self._accel_at(t_ms)
        rpm, limit = self._value_at("rpm", t_ms), self._value_at("limit_kmh", t_ms)
        return Cell(
            MotionSample(
                t_ms=t_ms,
                speed_dkmh=None if speed is None else _rounded(speed * 10),
                accel_lon_cmps2=accel,
                engine=None if rpm is None else (ENGINE_ON if rpm > 0 else ENGINE_OFF),
                limit_kmh=None if limit is None else _rounded(limit),
                quality=quality,
            )
        )

    def _speed_at(self, t_ms: int) -> float | None:
        """Speed by linear interpolation, km/h; None where the readings around are further apart than BRIDGE_MS."""
        after = bisect_left(self._times, t_ms)
        if after == len(self._times):
            return None
        t1, v1 = self._times[after], self._speeds[after]
        if t1 == t_ms:
            return v1
        if after == 0:
            return None
        t0, v0 = self._times[after - 1], self._speeds[after - 1]
        if t1 - t0 > BRIDGE_MS:
            return None
        return v0 + (v1 - v0) * ((t_ms - t0) / (t1 - t0))

    def _accel_at(self, t_ms: int) -> tuple[int | None, int]:
        """Centred 2 s slope in 0.01 m/s2, or None with the quality bits that say why."""
        before, after = self._speed_at(t_ms - SLOPE_HALF_MS), self._speed_at(t_ms + SLOPE_HALF_MS)
        if before is None or after is None:
            return None, QUALITY_COARSE
        first = bisect_right(self._times, t_ms - SLOPE_HALF_MS)
        last = bisect_left(self._times, t_ms + SLOPE_HALF_MS)
        fault = 0
        for bits in self._faults[first : last + 1]:
            fault |= bits
        if fault:
            return None, fault
        return _rounded((after - before) / 3.6 * (100_000 / (2 * SLOPE_HALF_MS))), 0

    def _value_at(self, signal: str, t_ms: int) -> float | None:
        """Last value of a slow signal at or before `t_ms` that still holds."""
        for read_ms, value in reversed(self._held[signal]):
            if read_ms <= t_ms:
                return value if t_ms - read_ms <= HOLD_MS else None
        return None


def _rounded(value: float) -> int:
    """Nearest integer, halves up."""
    return math.floor(value + 0.5)
