"""Public holidays by region, of the local date on which a trip starts.

Judgements, numbered:

1. The date is local, by the zone offset that travels with the trip; without offset or region it is not known, and
   never taken as a working day.
2. A part of a country that the calendar does not tell apart has the holidays of its country.
3. Only public holidays count: days on which shops and offices are shut by law, not school holidays or bank days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache

import holidays
import polars as pl


def has_calendar(region: str) -> bool:
    """Tell whether the holidays of a region are known: ISO 3166-1, or 3166-2 for a part of a country."""
    return region.partition("-")[0] in _countries()


def on_holiday(region: pl.Series, day: pl.Series) -> pl.Series:
    """Tell which days are public holidays of their region.

    Parameters
    ----------
    region : pl.Series
        ISO 3166 codes, or null.
    day : pl.Series
        Local dates, or null.

    Returns
    -------
    pl.Series
        Boolean; null where the region has no calendar or either is not known.
    """
    rows = pl.DataFrame({"region": region.cast(pl.String), "day": day.cast(pl.Date)})
    asked = rows.drop_nulls().select("region", year=pl.col("day").dt.year()).unique().sort("region", "year")
    known = [(code, year) for code, year in asked.iter_rows() if has_calendar(code)]
    days = [(code, day) for code, year in known for day in holidays_of(code, year)]
    found = pl.DataFrame(days, schema={"region": pl.String, "day": pl.Date}, orient="row").unique()
    told = pl.Series("region", sorted({code for code, _ in known}), pl.String)
    with_calendar = pl.col("region").is_in(told.implode()) & pl.col("day").is_not_null()
    marked = rows.join(
        found.with_columns(holiday=pl.lit(value=True)), on=["region", "day"], how="left", maintain_order="left"
    )
    return marked.select(holiday=pl.when(with_calendar).then(pl.col("holiday").fill_null(value=False))).to_series()


@lru_cache(maxsize=4_096)
def holidays_of(region: str, year: int) -> tuple[date, ...]:
    """Public holidays of a region in a year, in order."""
    country, _, part = region.partition("-")
    within = part if part in _countries()[country] else None
    return tuple(sorted(holidays.country_holidays(country, subdiv=within, years=year, expand=False)))


@lru_cache(maxsize=1)
def _countries() -> dict[str, frozenset[str]]:
    """Country codes of two letters -> the parts that have holidays of their own."""
    supported: Mapping[str, Iterable[str]] = holidays.list_supported_countries()
    return {code: frozenset(parts) for code, parts in supported.items() if len(code) == 2}
