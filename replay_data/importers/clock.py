"""Time of day to monotonic time: recordings that tell no date, whose clock may step back or pass midnight."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAY_MS: Final = 86_400_000
HALF_DAY_MS: Final = DAY_MS // 2


class DayClock:
    """Reads the time cells of a recording in row order.

    Judgements, each counted in `repairs`:

    1. A step back of more than half a day is midnight.
    2. A step back of up to `late_ms` is a row that was written late: it keeps its time ("late_rows").
    3. A longer step back is the clock being set: the row comes one median row spacing after the row before it, and
       all that follows is shifted with it, so that durations stay true ("clock_steps_back").

    Parameters
    ----------
    repairs : Counter
    late_ms : int
        0 where rows are written in the order of reading.
    """

    def __init__(self, repairs: Counter[str], late_ms: int = 0) -> None:
        self.first_ms: int | None = None  # time of day of t_ms = 0
        self._repairs = repairs
        self._late_ms = late_ms
        self._latest = 0
        self._shift = 0
        self._spacings: Counter[int] = Counter()

    def read(self, cell: str) -> int:
        """Monotonic ms since the first row.

        Raises
        ------
        ValueError
            The cell is not a time of day, or lies before the first row.
        """
        day_ms = time_of_day_ms(cell)
        if self.first_ms is None:
            self.first_ms = day_ms
        t_ms = day_ms - self.first_ms + self._shift
        step = t_ms - self._latest
        if step < -HALF_DAY_MS:
            self._shift += DAY_MS
            step += DAY_MS
        elif step - DAY_MS >= -self._late_ms:  # written late, after midnight
            step -= DAY_MS
        if -self._late_ms <= step < 0:
            if self._latest + step < 0:
                raise ValueError(f"{cell} is before the first row")
            self._repairs["late_rows"] += 1
            return self._latest + step
        if step < 0:
            self._repairs["clock_steps_back"] += 1
            spacing = self._median_spacing()
            self._shift += spacing - step
            step = spacing
        self._spacings[min(step, 10_000)] += 1
        self._latest += step
        return self._latest

    def _median_spacing(self) -> int:
        half = self._spacings.total() / 2
        seen = 0
        for spacing in sorted(self._spacings):
            seen += self._spacings[spacing]
            if seen >= half:
                return spacing
        return 0


def time_of_day_ms(cell: str) -> int:
    """Milliseconds since midnight of HH:MM:SS or HH:MM:SS.fff."""
    try:
        hours, minutes, seconds = cell.split(":")
        hour, minute, second = int(hours), int(minutes), float(seconds)
    except ValueError:
        raise ValueError(f"{cell[:40]!r} is not a time HH:MM:SS") from None
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 61):
        raise ValueError(f"{cell[:40]!r} is not a time of day")
    return hour * 3_600_000 + minute * 60_000 + round(second * 1000)


def day_in(text: str) -> date | None:
    """Date of YYYY-MM-DD or YYYYMMDD; None if it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def started(day: date | None, first_ms: int | None, zone: str) -> tuple[int | None, int | None]:
    """UTC at the first row in ms since 1970, and local time minus UTC in minutes; None where the day is not known.

    Parameters
    ----------
    day : date or None
        Local date of the first row.
    first_ms : int or None
        Local time of day of the first row.
    zone : str
        IANA name; gives the offset with summer time.
    """
    if day is None or first_ms is None:
        return None, None
    local = datetime.combine(day, time(), ZoneInfo(zone)) + timedelta(milliseconds=first_ms)
    offset = local.utcoffset() or timedelta()
    return round(local.timestamp() * 1000), offset // timedelta(minutes=1)
