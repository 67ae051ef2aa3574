"""Read policies, claims and earlier factors, from Parquet or CSV, and check every value that a price rests on.

Judgements, numbered; what is dropped is counted and logged.

1. `start` is covered, `end` is the first day that is not; an empty `end` means still running.
2. `tariff_frequency` is for a policy year of 365 days; `tariff_premium` is for the row's days, earned evenly, so
   such a row needs an end. Both become yearly on reading, and every later step multiplies by days.
3. A policy may stand in several rows (changes, splits) that must not overlap: claims name a policy and a day,
   so an overlap would count exposure and claims twice, and two drivers at once could not be told apart.
4. A row that ends on the day it starts never was a risk: dropped.
5. Each row of claims is one claim, nil claims too; the plan's `tariff.covers` chooses among covers. Where there is a
   claim_id, it has to stand there once.
6. A claim of a policy that is not in the file, or outside its days, is dropped.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from features.contract import files
from pricing.contract.factors import FACTORS
from pricing.errors import PortfolioError
from pricing.exposure import DAYS_PER_YEAR

log = logging.getLogger(__name__)

POLICY_COLUMNS: Final = {"policy_id": pl.String(), "driver_id": pl.String(), "start": pl.Date(), "end": pl.Date()}
TARIFF_COLUMNS: Final = {"tariff_premium": pl.Float64(), "tariff_frequency": pl.Float64()}  # optional
CLAIM_COLUMNS: Final = {"policy_id": pl.String(), "occurred_on": pl.Date()}
PREVIOUS_COLUMNS: Final = {"policy_id": pl.String(), "driver_id": pl.String(), "factor": pl.Float64()}
LARGEST_FACTOR: Final = 10.0  # one absurd factor that a driver keeps would be paid by all others through the balance
_TYPE_NAMES: Final = {
    pl.Date(): "a date (YYYY-MM-DD)",
    pl.Float64(): "a number",
    pl.String(): "text",
}
_ROW: Final = "row"  # 1-based row of the file, carried until the checks are done


def read_policies(path: Path) -> pl.DataFrame:
    """Read policies, sorted by (policy_id, start).

    Returns
    -------
    pl.DataFrame
        policy_id, driver_id String; start, end Date (end null: running); tariff_frequency and premium_per_year
        Float64 where the file has tariff_frequency and tariff_premium; every other column as it came.

    Raises
    ------
    PortfolioError
        With file, row and column of the first value that cannot be used.
    """
    frame = _typed(read_table(path), path, POLICY_COLUMNS, TARIFF_COLUMNS, nullable=("end",))
    for column in TARIFF_COLUMNS:
        if column in frame.columns:
            _refuse(frame, path, column, ~((pl.col(column) > 0) & pl.col(column).is_finite()), "has to be above 0")
    _refuse(frame, path, "end", pl.col("end") < pl.col("start"), "is before the start")
    empty = frame.filter(pl.col("start") == pl.col("end")).height
    if empty:
        log.warning("%s: %d rows end on the day they start; not used", path, empty)
    frame = frame.filter(pl.col("end").is_null() | (pl.col("start") < pl.col("end"))).sort("policy_id", "start")
    covered_until = pl.col("end").fill_null(pl.date(9999, 12, 31)).shift(1).over("policy_id")
    _refuse(frame, path, "start", pl.col("start") < covered_until, "overlaps another row of the same policy")
    if frame.is_empty():
        raise PortfolioError(path, "no policies")
    if "tariff_premium" in frame.columns:
        _refuse(frame, path, "end", pl.col("end").is_null(), "is empty; a tariff_premium is for the days of its row")
        days = (pl.col("end") - pl.col("start")).dt.total_days()
        frame = frame.with_columns((pl.col("tariff_premium") * DAYS_PER_YEAR / days).alias("premium_per_year"))
    return frame.drop(_ROW)


def read_claims(path: Path, covers: tuple[str, ...] = ()) -> pl.DataFrame:
    """Read claims of the given covers (empty: all), sorted by (policy_id, occurred_on).

    Returns
    -------
    pl.DataFrame
        policy_id String, occurred_on Date.

    Raises
    ------
    PortfolioError
        With file, row and column of the first value that cannot be used.
    """
    frame = _typed(read_table(path), path, CLAIM_COLUMNS, {"amount": pl.Float64()})
    if "amount" in frame.columns:
        _refuse(frame, path, "amount", pl.col("amount") < 0, "is negative")
    if covers:
        if "cover" not in frame.columns:
            raise PortfolioError(
                path, "the plan names covers (tariff.covers) and there is no such column", column="cover"
            )
        known = frame["cover"].cast(pl.String).unique().to_list()
        for cover in covers:
            if cover not in known:
                raise PortfolioError(path, f"no claim has the cover '{cover}' of the plan", column="cover")
        frame = frame.filter(pl.col("cover").cast(pl.String).is_in(covers))
    if "claim_id" in frame.columns:
        twice = pl.col("claim_id").is_not_null() & pl.col("claim_id").is_duplicated()
        _refuse(frame, path, "claim_id", twice, "stands there twice; one row a claim, or choose covers in the plan")
    return frame.select(*CLAIM_COLUMNS).sort(*CLAIM_COLUMNS)


def read_previous(path: Path) -> pl.DataFrame:
    """Read the factor table of the last rating: policy_id, driver_id, factor."""
    frame = _typed(read_table(path), path, PREVIOUS_COLUMNS, {})
    _refuse(frame, path, "factor", ~((pl.col("factor") > 0) & pl.col("factor").is_finite()), "has to be above 0")
    absurd = ~pl.col("factor").is_between(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    _refuse(frame, path, "factor", absurd, "is no premium factor, 1 being the tariff; is it in per cent?")
    _refuse(frame, path, "policy_id", pl.struct("policy_id", "driver_id").is_duplicated(), "stands there twice")
    return frame.select(*PREVIOUS_COLUMNS).sort("policy_id", "driver_id")


def read_book(folder: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read a rated book: the factor table and book.json in the output folder of `ubi pricing score`."""
    table_file, book_file = folder / "factors.parquet", folder / "book.json"
    for file in (table_file, book_file):
        if not file.is_file():
            raise PortfolioError(file, "no such file; --factors has to name the output folder of ubi pricing score")
    table = read_table(table_file)
    if table.schema != FACTORS:
        raise PortfolioError(table_file, "is no factor table of this version; run ubi pricing score again")
    try:
        book = json.loads(book_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PortfolioError(book_file, f"not JSON: {error}; run ubi pricing score again") from error
    if not isinstance(book, dict) or not {"rating_date", "constants", "totals"} <= book.keys():
        raise PortfolioError(book_file, "is no book of ubi pricing score; run it again")
    return table, book


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV file, see `features.contract.files`."""
    return files.read_table(path, PortfolioError)


def _typed(
    frame: pl.DataFrame,
    path: Path,
    required: Mapping[str, pl.DataType],
    optional: Mapping[str, pl.DataType],
    nullable: tuple[str, ...] = (),
) -> pl.DataFrame:
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise PortfolioError(path, f"is missing; the columns are {', '.join(frame.columns)}", column=missing[0])
    wanted = dict(required) | {name: kind for name, kind in optional.items() if name in frame.columns}
    frame = frame.with_row_index(_ROW, offset=1)
    for name, kind in wanted.items():
        raw = frame[name].str.strip_chars().replace("", None) if frame[name].dtype == pl.String else frame[name]
        typed = _cast(raw, kind)
        wrong = typed.is_null() & raw.is_not_null()
        if wrong.any():
            row = wrong.arg_max() or 0
            raise PortfolioError(path, f"'{raw[row]}' is not {_TYPE_NAMES[kind]}", row + 1, name)
        if name not in nullable and typed.null_count():
            raise PortfolioError(path, "is empty", (typed.is_null().arg_max() or 0) + 1, name)
        frame = frame.with_columns(typed.alias(name))
    return frame


def _cast(raw: pl.Series, kind: pl.DataType) -> pl.Series:
    """Values as `kind`, null where they cannot be."""
    if kind != pl.Date():
        return raw.cast(kind, strict=False)
    if raw.dtype == pl.String:
        return raw.str.to_date("%Y-%m-%d", strict=False)
    # A number would be taken for days since 1970, 20250101 for the year 57,000.
    return raw.cast(kind) if raw.dtype.is_temporal() else raw.clear(len(raw)).cast(kind)


def _refuse(frame: pl.DataFrame, path: Path, column: str, wrong: pl.Expr, reason: str) -> None:
    rows = frame.filter(wrong.fill_null(value=False)).sort(_ROW)
    if rows.height:
        value = rows[column][0]
        raise PortfolioError(path, reason if value is None else f"'{value}' {reason}", rows[_ROW][0], column)
