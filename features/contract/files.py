"""The insurer's tables as files: Parquet, or CSV."""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import polars as pl

from device.contract.errors import UbiError


def read_table(path: Path, error: Callable[[Path, str], UbiError]) -> pl.DataFrame:
    """Read a Parquet or CSV file, by its name's ending; a CSV's values stay text, empty ones are null.

    Empty rows at a CSV's end are none.

    Parameters
    ----------
    path : pathlib.Path
    error : callable
        Makes what is raised of the path and what is wrong with it.

    Raises
    ------
    UbiError
        As `error` makes it, if the file cannot be read as a table.
    """
    if not path.is_file():
        raise error(path, "is a folder; name a .parquet or .csv file" if path.is_dir() else "no such file")
    if path.suffix not in (".parquet", ".csv"):
        raise error(path, f"the ending '{path.suffix}' is not known; give .parquet or .csv")
    try:
        return pl.read_parquet(path, glob=False) if path.suffix == ".parquet" else _read_csv(path, error)
    except (pl.exceptions.PolarsError, csv.Error, OSError) as reason:
        raise error(path, f"cannot be read: {str(reason).splitlines()[0]}") from reason


def _read_csv(path: Path, error: Callable[[Path, str], UbiError]) -> pl.DataFrame:
    """Read a CSV, or say what a spreadsheet has done to it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
            for separator, told in ((";", "';'"), ("\t", "tabs")):
                if len(names) == 1 and separator in names[0]:
                    raise error(path, f"its columns are separated by {told}; write them with ','")
            twice = [name for k, name in enumerate(names) if name in names[:k]]
            if twice:
                raise error(path, f"two of its columns are called '{twice[0]}'; take one out, or rename it")
            first = {name.casefold(): name for name in reversed(names)}
            alike = next((name for name in names if first[name.casefold()] != name), None)
            if alike is not None:  # one name in SQL, and for whoever reads the file
                told = f"'{first[alike.casefold()]}' and '{alike}' differ only in case"
                raise error(path, f"its columns {told}; take one out, or rename it")
        table = pl.read_csv(path, infer_schema=False, glob=False)
        if _is_cut_off(path, table):
            raise error(path, f"row {table.height} stops before its last value and has no end of line: was it cut off?")
        return _without_blank_end(table)
    except UnicodeDecodeError as reason:
        raise error(path, "is not UTF-8 text; save it as 'CSV UTF-8'") from reason
    except pl.exceptions.ComputeError as reason:
        if "utf-8" in str(reason):
            raise error(path, "is not UTF-8 text; save it as 'CSV UTF-8'") from reason
        row = _first_too_long(path)
        if row is None:
            raise
        told = f"row {row} has more values than there are columns; put values with ',' in quotes"
        raise error(path, told) from reason


def _without_blank_end(table: pl.DataFrame) -> pl.DataFrame:
    """Leave out the empty rows that a spreadsheet writes below the last."""
    last = table.select(pl.any_horizontal(pl.all().is_not_null()).arg_true().max()).item()
    return table.head(0 if last is None else last + 1)


def _is_cut_off(path: Path, table: pl.DataFrame) -> bool:
    """Whether a file ends within its last row. A row may leave its last values out, but not its end as well."""
    if not table.height or table.to_series(-1)[-1] is not None:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() in b"\r\n":
            return False
    with path.open(encoding="utf-8-sig", newline="") as file:
        return len(deque(csv.reader(file), 1).pop()) < table.width


def _first_too_long(path: Path) -> int | None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        columns = len(next(rows, []))
        return next((row for row, values in enumerate(rows, 1) if len(values) > columns), None)
