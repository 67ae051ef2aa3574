"""Times as files tell them to monotonic time: clocks that step back, pass midnight or tell no date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAY_MS: Final = 86_400_000
HALF_DAY_MS: Final = DAY_MS // 2
YEAR_MS: Final = 366 * DAY_MS
LAST_MS: Final = 4_102_444_800_000  # 2100: no recording is from later
LOCAL_START: Final = "local_start"
MANY_DESCENTS: Final = 50
UNSORTED: Final = 0.25  # share of rows too long before the one above them; half of them where the order is random
UNSORTED_LATE: Final = 0.75  # of rows before it by as little as a late one: every other one, where channels take turns
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Clock:
    """Reads the time cells of a recording in row order.

    Judgements, each counted in `repairs`:

    1. A step back of up to `late_ms` is a row that was written late: it keeps its time ("late_rows").
    2. A longer step back is the clock being set: the row comes one median row spacing after the row before it, and
       all that follows is shifted with it, so that durations stay true ("clock_steps_back").
    3. A step forward of over a year is a clock that began without its date: what was before moves up to one median
       row spacing before it, so that the start is true as well ("clock_steps_forward").

    Rows that are sorted by something else, or newest first, are refused: no clock goes back so often.

    Parameters
    ----------
    parse : callable
        A cell to ms of any zero; ValueError where it is no time.
    late_ms : int
        0 where rows are written in the order of reading.
    """

    def __init__(self, parse: Callable[[str], int], late_ms: int = 0) -> None:
        self.first_ms: int | None = None  # what was parsed at t_ms = 0
        self.repairs: Counter[str] = Counter()
        self._parse = parse
        self._late_ms = late_ms
        self._told_ms = -LAST_MS  # by the row above
        self._rows = self._descents = self._unexplained = 0
        self._latest = 0
        self._shift = 0
        self._spacings: Counter[int] = Counter()

    def read(self, cell: str) -> int:
        """Monotonic ms since the first row.

        Raises
        ------
        ValueError
            The cell is no time, or lies before the first row.
        """
        try:
            told_ms = self._parse(cell)
        except OverflowError:
            raise ValueError(f"{cell[:40]!r} is no time") from None
        if not -LAST_MS < told_ms < LAST_MS:
            raise ValueError(f"{cell[:40]!r} is no time that anybody drove at")
        self._refuse_unsorted(cell, told_ms)
        if self.first_ms is None:
            self.first_ms = told_ms
            return 0
        step = self._stepped(told_ms - self.first_ms + self._shift - self._latest)
        if -self._late_ms <= step < 0:
            if self._latest + step < 0:
                raise ValueError(f"{cell} is before the first row")
            self.repairs["late_rows"] += 1
            return self._latest + step
        if step < 0:
            self.repairs["clock_steps_back"] += 1
            spacing = self._median_spacing()
            self._shift += spacing - step
            step = spacing
        if step > YEAR_MS:
            self.repairs["clock_steps_forward"] += 1
            spacing = self._median_spacing()
            self.first_ms += step - spacing
            step = spacing
        self._spacings[min(step, 10_000)] += 1
        self._latest += step
        return self._latest

    def _refuse_unsorted(self, cell: str, told_ms: int) -> None:
        self._rows += 1
        self._descents += told_ms < self._told_ms
        self._unexplained += told_ms < self._told_ms - self._late_ms
        self._told_ms = told_ms
        is_unsorted = self._unexplained > UNSORTED * self._rows or self._descents > UNSORTED_LATE * self._rows
        if is_unsorted and self._descents >= MANY_DESCENTS:
            told = f"{self._descents} of {self._rows} rows are before the one above them"
            raise ValueError(f"{cell[:40]}: {told}; sort the file by its time")

    def _stepped(self, step_ms: int) -> int:
        """The step since the latest row, as it is meant."""
        return step_ms

    def _median_spacing(self) -> int:
        half = self._spacings.total() / 2
        seen = 0
        for spacing in sorted(self._spacings):
            seen += self._spacings[spacing]
            if seen >= half:
                return spacing
        return 0


class DayClock(Clock):
    """A `Clock` that tells the time of day and no date: a step back of more than half a day is midnight."""

    def __init__(self, late_ms: int = 0) -> None:
        super().__init__(time_of_day_ms, late_ms)

    def _stepped(self, step_ms: int) -> int:
        if step_ms < -HALF_DAY_MS:
            self._shift += DAY_MS
            return step_ms + DAY_MS
        if step_ms - DAY_MS >= -self._late_ms:  # written late, after midnight
            return step_ms - DAY_MS
        return step_ms


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


def seconds_ms(cell: str) -> int:
    """Milliseconds of a number of seconds."""
    try:
        return round(float(cell.replace(",", ".")) * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f"{cell[:40]!r} is not a number of seconds") from None


def month_name_ms(cell: str) -> int:
    """Milliseconds since 1970, as if it were UTC, of DD-Mon-YYYY HH:MM:SS.fff with an English or numeric month."""
    try:
        day, month, rest = cell.strip().split("-", 2)
        year, at = rest.split()
        number = MONTHS.index(month[:3].lower()) + 1 if month[:1].isalpha() else int(month)
        return local_ms(date(int(year), number, int(day)), time_of_day_ms(at))
    except ValueError:
        raise ValueError(f"{cell[:40]!r} is not a time DD-Mon-YYYY HH:MM:SS") from None


def iso_ms(cell: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time; one without a zone counts as UTC."""
    try:
        told = datetime.fromisoformat(cell.strip())
    except ValueError:
        raise ValueError(f"{cell[:40]!r} is not an ISO 8601 time") from None
    return round((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000)


def local_ms(day: date, day_ms: int) -> int:
    """Milliseconds since 1970, as if it were UTC, of a day and the time in it."""
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS + day_ms


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


def local_start(first_ms: int | None) -> dict[str, str]:
    """Note of a start whose zone is not told: `--zone` makes UTC of it.

    Parameters
    ----------
    first_ms : int or None
        Local time, ms since 1970 as if it were UTC; None where it is not known either.
    """
    if first_ms is None:
        return {}
    return {LOCAL_START: datetime.fromtimestamp(first_ms / 1000, UTC).replace(tzinfo=None).isoformat()}


def local_parts(note: str) -> tuple[date, int]:
    """Day, and ms in it, of what `local_start` noted."""
    told = datetime.fromisoformat(note)
    return told.date(), (told - datetime.combine(told.date(), time())) // timedelta(milliseconds=1)


def utc_offset_min(utc_ms: int, zone: str) -> int:
    """Local time of a zone minus UTC at a time, minutes."""
    offset = datetime.fromtimestamp(utc_ms / 1000, ZoneInfo(zone)).utcoffset() or timedelta()
    return offset // timedelta(minutes=1)
