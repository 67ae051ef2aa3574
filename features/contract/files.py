"""The insurer's tables as files: Parquet, or CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from device.contract.errors import UbiError


def read_table(path: Path, error: Callable[[Path, str], UbiError]) -> pl.DataFrame:
    """Read a Parquet or CSV file, by its name's ending; a CSV's values stay text, empty ones are null.

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
        if path.suffix == ".parquet":
            table = pl.read_parquet(path, glob=False)
        else:
            table = pl.read_csv(path, infer_schema=False, glob=False)
    except (pl.exceptions.PolarsError, OSError) as reason:
        raise error(path, f"cannot be read: {str(reason).splitlines()[0]}") from reason
    if path.suffix == ".csv" and table.width == 1 and ";" in table.columns[0]:
        raise error(path, "its columns are separated by ';'; write them with ','")
    return table
