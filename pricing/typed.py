"""Read a table of the insurer and check the type of every value, or name the first that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from features.contract import files
from features.contract.cover import ROW
from features.contract.dates import local_days
from pricing.errors import PortfolioError

_TYPE_NAMES: Final = {
    pl.Date(): "a date",
    pl.Float64(): "a number",
    pl.String(): "text",
}


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV file, see `features.contract.files`."""
    return files.read_table(path, PortfolioError)


def read_typed(
    path: Path,
    required: Mapping[str, pl.DataType],
    optional: Mapping[str, pl.DataType],
    nullable: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Read a table with the given columns cast to their types, and its row numbers in `ROW`.

    Raises
    ------
    PortfolioError
        With file, row and column of the first value that cannot be used, and how many more there are.
    """
    frame = read_table(path)
    missing = [name for name in required if name not in frame.columns]
    if missing:
        alike = [name for name in frame.columns if name.strip().lower() == missing[0]]
        told = f"'{alike[0]}' is there, rename it" if alike else f"the columns are {', '.join(frame.columns)}"
        raise PortfolioError(path, f"is missing; {told}", column=missing[0])
    wanted = dict(required) | {name: kind for name, kind in optional.items() if name in frame.columns}
    frame = frame.with_row_index(ROW, offset=1)
    for name, kind in wanted.items():
        there = frame.schema[name]
        no_number = kind == pl.Float64() and (there.is_temporal() or there == pl.Boolean)
        if no_number or there.is_nested() or there in (pl.Binary, pl.Object):
            raise PortfolioError(path, f"is {there}, not {_TYPE_NAMES[kind]}", column=name)
        raw = frame[name].str.strip_chars().replace("", None) if frame[name].dtype == pl.String else frame[name]
        typed, reasons = _typed(raw, kind)
        wrong = reasons.is_not_null()
        if wrong.any():
            row = wrong.arg_max() or 0
            raise PortfolioError(path, f"'{raw[row]}' {reasons[row]}{_more(int(wrong.sum()))}", row + 1, name)
        if name not in nullable and typed.null_count():
            row = typed.is_null().arg_max() or 0
            raise PortfolioError(path, f"is empty{_more(typed.null_count())}", row + 1, name)
        frame = frame.with_columns(typed.alias(name))
    return frame


def refuse(frame: pl.DataFrame, path: Path, column: str, wrong: pl.Expr, reason: str) -> None:
    """Refuse the file where `wrong` holds, with the first row and how many more there are."""
    rows = frame.filter(wrong.fill_null(value=False)).sort(ROW)
    if rows.height:
        value = rows[column][0]
        told = (reason if value is None else f"'{value}' {reason}") + _more(rows.height)
        raise PortfolioError(path, told, rows[ROW][0], column)


def _more(rows: int) -> str:
    return "" if rows == 1 else f"; {rows} rows are like this"


def _typed(raw: pl.Series, kind: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Values as `kind`, null where they cannot be; and why they cannot, null where they can."""
    if kind == pl.Date():
        return local_days(raw)
    values = raw.cast(kind, strict=False)
    wrong = values.is_null() & raw.is_not_null()
    told = pl.when(wrong).then(pl.lit(f"is not {_TYPE_NAMES[kind]}"))
    return values, pl.select(told).to_series()
