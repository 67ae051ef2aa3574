"""Where the car was a moment ago: position readings to the cells of messages and the points of tracks.

Nothing is remembered unless the location setting lets some of it leave.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final

from device.contract.bodies import Cell
from device.contract.signals import Reading
from device.privacy import cell_of, point_of
from device.trips import TRIP_GAP_MS

KEEP_MS: Final = TRIP_GAP_MS + 20_000  # a trip's end, and a wait in it, are told that long after, and the lag
EVERY_MS: Final = 1_000
NEAR_MS: Final = 2_500  # a position tells where the car was for so long: at 130 km/h less than 100 m


class Places:
    """The last positions. All times are on the axis of the trips."""

    def __init__(self) -> None:
        self._latitude: tuple[int, float] | None = None  # waits for its longitude
        self._times_ms: list[int] = []
        self._positions: list[tuple[float, float]] = []

    def hear(self, reading: Reading) -> None:
        """Take a position reading; latitude and longitude of one fix have one time."""
        if reading.value is None:
            return
        if reading.signal == "latitude_deg":
            self._latitude = (reading.t_ms, reading.value)
        elif self._latitude is not None and self._latitude[0] == reading.t_ms:
            self._add(reading.t_ms, self._latitude[1], reading.value)

    def cell(self, t_ms: int) -> Cell | None:
        """Coarse place at a time, None where it is not known."""
        position = self._at(t_ms)
        return None if position is None else cell_of(*position)

    def point(self, t_ms: int) -> tuple[int, int] | None:
        """Place at a time in 0.00001 degree, None where it is not known."""
        position = self._at(t_ms)
        return None if position is None else point_of(*position)

    def clear(self) -> None:
        """Forget."""
        self._latitude, self._times_ms, self._positions = None, [], []

    def to_state(self) -> list[Any]:
        """JSON form."""
        return [list(self._times_ms), list(self._positions)]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._times_ms, self._positions = list(state[0]), [(row[0], row[1]) for row in state[1]]

    def _add(self, t_ms: int, latitude_deg: float, longitude_deg: float) -> None:
        if self._times_ms and t_ms - self._times_ms[-1] < EVERY_MS:
            return
        self._times_ms.append(t_ms)
        self._positions.append((latitude_deg, longitude_deg))
        old = bisect_right(self._times_ms, t_ms - KEEP_MS)
        del self._times_ms[:old], self._positions[:old]

    def _at(self, t_ms: int) -> tuple[float, float] | None:
        """The last position at or before a time, if it is near enough."""
        index = bisect_right(self._times_ms, t_ms) - 1
        if index < 0 or t_ms - self._times_ms[index] > NEAR_MS:
            return None
        return self._positions[index]
