"""Where the car was: the cell of the 0.01 degree grid at a time, and the track of a trip. GNSS readings in, JSON state.

A position is a latitude and a longitude read at the same time. Whether any of it leaves the car, `device.privacy` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from device.contract.bodies import Cell, Track
from device.contract.signals import Reading
from device.privacy import cell_of, point_of

VALID_MS: Final = 30_000  # at 130 km/h a car crosses about one cell in this time
MAX_STAYS: Final = 32  # cells remembered: an event is told some seconds after its peak, a speeding one after some cells
TRACK_PERIOD_MS: Final = 1_000
MAX_POINTS: Final = 1_000  # waiting to be told; a trip's end is known 3 minutes later, a batch has at most 4
MAX_SLOTS: Final = 600  # of one message
_LATITUDE: Final = "latitude_deg"
_LONGITUDE: Final = "longitude_deg"

Stay = list[int]  # first ms, last ms, latitude and longitude of the cell in 0.01 degree
Point = list[int]  # ms, latitude and longitude in 0.00001 degree


class Positions:
    """Remembers where the car was lately. Times are those of the readings.

    Parameters
    ----------
    keep_track : bool
        Keep points for `track`; without, only cells.
    """

    def __init__(self, *, keep_track: bool = False) -> None:
        self.keep_track = keep_track
        self._stays: list[Stay] = []
        self._points: list[Point] = []
        self._half: Reading | None = None

    def push(self, reading: Reading) -> None:
        """Take a reading in time order; of other signals than a position nothing is kept."""
        if reading.signal not in (_LATITUDE, _LONGITUDE) or reading.value is None:
            return
        half, self._half = self._half, reading
        if half is None or half.value is None or half.t_ms != reading.t_ms or half.signal == reading.signal:
            return
        self._half = None
        latitude, longitude = (
            (half.value, reading.value) if reading.signal == _LONGITUDE else (reading.value, half.value)
        )
        self._stay(reading.t_ms, cell_of(latitude, longitude))
        if self.keep_track and (not self._points or reading.t_ms - self._points[-1][0] >= TRACK_PERIOD_MS * 9 // 10):
            self._points.append([reading.t_ms, *point_of(latitude, longitude)])
            del self._points[:-MAX_POINTS]

    def cell_at(self, t_ms: int) -> Cell | None:
        """The cell at a time; None if no position within `VALID_MS` of it is remembered."""
        before = next((stay for stay in reversed(self._stays) if stay[0] <= t_ms), None)
        after = next((stay for stay in self._stays if stay[0] > t_ms), None)
        if before is not None and t_ms - before[1] <= VALID_MS:
            return Cell(before[2], before[3])
        if after is not None and after[0] - t_ms <= VALID_MS:
            return Cell(after[2], after[3])
        return None

    def track(self, trip_seq: int, start_ms: int, until_ms: int) -> Iterator[Track]:
        """Give away the points of a trip up to a time, on its grid of `TRACK_PERIOD_MS`, and forget what was before.

        Parameters
        ----------
        trip_seq : int
        start_ms, until_ms : int
            Time of the trip's first sample, and of the last point wanted.
        """
        slots: dict[int, Point] = {}
        for point in self._points:
            if start_ms <= point[0] <= until_ms:
                slots[(point[0] - start_ms) // TRACK_PERIOD_MS] = point
        self._points = [point for point in self._points if point[0] > until_ms]
        for run in _runs(sorted(slots)):
            points = [slots.get(slot) for slot in range(run[0], run[-1] + 1)]
            yield Track(
                trip_seq,
                run[0] * TRACK_PERIOD_MS,
                TRACK_PERIOD_MS,
                [point[1] if point else None for point in points],
                [point[2] if point else None for point in points],
            )

    def forget(self, before_ms: int) -> None:
        """No trip that is still to be told began before this time: drop the points."""
        self._points = [point for point in self._points if point[0] >= before_ms]

    def to_state(self) -> list[Any]:
        """JSON form, to be written before the next reading."""
        return [self._stays, self._points]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._stays, self._points = state

    def _stay(self, t_ms: int, cell: Cell) -> None:
        last = self._stays[-1] if self._stays else None
        if last is not None and last[2:] == [cell.lat_cdeg, cell.lon_cdeg] and t_ms - last[1] <= VALID_MS:
            last[1] = t_ms
            return
        self._stays.append([t_ms, t_ms, cell.lat_cdeg, cell.lon_cdeg])
        del self._stays[:-MAX_STAYS]


def _runs(slots: list[int]) -> Iterator[list[int]]:
    """Cut rising slots where nothing was for longer than a position holds, and where a message is full."""
    run: list[int] = []
    for slot in slots:
        if run and ((slot - run[-1]) * TRACK_PERIOD_MS > VALID_MS or slot - run[0] >= MAX_SLOTS):
            yield run
            run = []
        run.append(slot)
    if run:
        yield run
