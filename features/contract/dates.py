"""Days of a policies or claims file: one rule for every reader of such a file.

1. A day is a date, a time without a zone, or a time with one: the day that the time states at its own place, whatever
   day it is in UTC then.
2. A time in UTC tells no place. At midnight it is taken for its day, at any other time it is refused: many programs
   write local times so, and 2025-01-01 in Shanghai would become 2024-12-31T16:00Z, a day early.
3. Numbers are no days: 20250101 would be taken for the year 57,000.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

NO_DAY: Final = "is not a date (YYYY-MM-DD)"
NO_PLACE: Final = "is a time in UTC, which tells no local day; write the day, or the local time with its offset"
_UTC_NAMES: Final = ("UTC", "UCT", "Zulu", "Universal", "Greenwich", "GMT", "GMT0", "GMT+0", "GMT-0")  # of IANA
UTC: Final = (*_UTC_NAMES, *(f"Etc/{name}" for name in _UTC_NAMES), "+00:00")
_HOUR, _SIXTY = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_OFFSET: Final = rf"(?:Z|[+-]{_HOUR}(?::?{_SIXTY})?)"
_TIME: Final = rf"{_HOUR}:{_SIXTY}(?::{_SIXTY}(?:\.[0-9]+)?)?"
_TEXT: Final = rf"^[1-9][0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{_TIME} ?{_OFFSET}?)?$"
_TEXT_UTC: Final = r"(?:Z|[+-]00(?::?00)?)$"
_TEXT_MIDNIGHT: Final = r"[T ]00:00(?::00(?:\.0+)?)? ?(?:Z|[+-])"
_DAY_CHARACTERS: Final = 10


class Days(NamedTuple):
    """Days of a column, and what is wrong with a value, null where nothing is."""

    days: pl.Series  # Date, null where the value is empty or wrong
    wrong: pl.Series  # String

    def first_wrong(self) -> tuple[int, str] | None:
        """Index of the first value that is wrong, and what is wrong with it."""
        faults = self.wrong.is_not_null()
        row = faults.arg_max()
        return (row, self.wrong[row]) if row is not None and faults[row] else None


def local_days(raw: pl.Series) -> Days:
    """Read days out of a column of any type; blanks around a text do not matter, an empty one is null."""
    if raw.dtype == pl.Date:
        return Days(raw, pl.Series(raw.name, [None] * len(raw), pl.String))
    if isinstance(raw.dtype, pl.Datetime):
        return _of_times(raw, raw.dtype.time_zone)
    if raw.dtype in (pl.Categorical, pl.Enum):
        raw = raw.cast(pl.String)
    text = raw.str.strip_chars().replace("", None) if raw.dtype == pl.String else raw.clear(len(raw)).cast(pl.String)
    given = raw.is_not_null() if raw.dtype != pl.String else text.is_not_null()
    days = text.str.slice(0, _DAY_CHARACTERS).str.to_date("%Y-%m-%d", strict=False)
    no_day = given & ~(days.is_not_null() & text.str.contains(_TEXT)).fill_null(value=False)
    timed = (text.str.len_chars() > _DAY_CHARACTERS).fill_null(value=False)
    no_place = timed & text.str.contains(_TEXT_UTC) & ~text.str.contains(_TEXT_MIDNIGHT)
    return _told(days, no_day, no_place.fill_null(value=False))


def _of_times(raw: pl.Series, zone: str | None) -> Days:
    local = raw if zone is None else raw.dt.replace_time_zone(None)
    days = local.dt.date()
    nothing = pl.repeat(value=False, n=len(raw), dtype=pl.Boolean, eager=True)
    no_place = local != days.cast(local.dtype)
    return _told(days, nothing, no_place.fill_null(value=False) if zone in UTC else nothing)


def _told(days: pl.Series, no_day: pl.Series, no_place: pl.Series) -> Days:
    frame = pl.DataFrame({"days": days, "no_day": no_day, "no_place": no_place})
    wrong = frame.select(
        days=pl.when(~pl.col("no_day") & ~pl.col("no_place")).then("days"),
        wrong=pl.when("no_day").then(pl.lit(NO_DAY)).when("no_place").then(pl.lit(NO_PLACE)),
    )
    return Days(wrong["days"].alias(days.name), wrong["wrong"].alias(days.name))
