"""Tables of `ubi features build` that pricing reads: driver periods, and driver measures by ranges of drivers.

Several files are read one after the other, and a build or a scoring may put new ones in their places meanwhile. Who
reads more than one says so (`as_one`), and is told to try again rather than given halves of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from device.contract.errors import TryAgainError
from features.contract.driver_measures import DRIVER_MEASURES
from features.contract.periods import DRIVER_PERIODS
from features.contract.whole import check_whole
from pricing.errors import PortfolioError

OF_A_BUILD: Final = ("driver_periods.parquet", "trips.parquet", "events.parquet")
OF_A_BOOK: Final = ("factors.parquet", "receipts.parquet", "book.json")
_AGAIN: Final = "{file}: was built again while it was read; run again"


@dataclass(frozen=True, slots=True)
class Measures:
    """driver_measures.parquet, which scoring reads, piece by piece and always of the same build.

    Attributes
    ----------
    file : pathlib.Path
    stamp : tuple of int
        What tells this file from another: size and time of writing.

    Raises
    ------
    TryAgainError
        By every piece that is read, if the file is another by now.
    """

    file: Path
    stamp: tuple[int, int]

    @classmethod
    def of(cls, folder: Path) -> Measures:
        """Check the file's columns; errors as of `periods_file`."""
        file = _table(folder, "driver_measures.parquet", DRIVER_MEASURES)
        return cls(file, _stamp(file))

    def last_month(self) -> object:
        """Last month with trips, None without any."""
        return self._read(pl.scan_parquet(self.file).select(pl.col("month").max())).item()

    def drivers(self) -> pl.DataFrame:
        """Who drove: one column, driver_id."""
        return self._read(pl.scan_parquet(self.file).select(pl.col("driver_id").unique()))

    def of_drivers(self, first: str, last: str, since: date, until: date, columns: Iterable[str]) -> pl.DataFrame:
        """Columns of drivers from `first` to `last`, of months from `since` to before `until`."""
        wanted = pl.col("driver_id").is_between(pl.lit(first), pl.lit(last)) & (pl.col("month") >= since)
        return self._read(pl.scan_parquet(self.file).filter(wanted & (pl.col("month") < until)).select(*columns))

    def _read(self, piece: pl.LazyFrame) -> pl.DataFrame:
        with suppress(FileNotFoundError):
            found = piece.collect()
            if _stamp(self.file) == self.stamp:
                return found
        raise TryAgainError(_AGAIN.format(file=self.file))


@contextmanager
def as_one(features: Path | None, factors: Path) -> Iterator[None]:
    """Hold what is read inside to files of one build and of one scoring.

    Parameters
    ----------
    features, factors : pathlib.Path
        Output folders of `ubi features build`, where any is read, and `ubi pricing score`.

    Raises
    ------
    TryAgainError
        At the end, whatever came of the reading, if a file of theirs is another by now.
    """
    files = [factors / name for name in OF_A_BOOK]
    files += [] if features is None else [features / name for name in OF_A_BUILD]
    before = [_stamp_of(file) for file in files]
    try:
        yield
    finally:
        for file, stamp in zip(files, before, strict=True):
            if _stamp_of(file) != stamp:
                raise TryAgainError(_AGAIN.format(file=file))


def periods_of_driver(folder: Path, driver_id: str) -> pl.DataFrame:
    """Driver periods of one driver, since those of a million fit into no memory; errors as of `periods_file`."""
    return pl.scan_parquet(periods_file(folder)).filter(pl.col("driver_id") == driver_id).collect()


def _stamp_of(file: Path) -> tuple[int, int] | None:
    """Of a file that may be gone at any moment."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return _stamp(file)
    return None


def _stamp(file: Path) -> tuple[int, int]:
    there = file.stat()
    return there.st_size, there.st_mtime_ns


def periods_file(folder: Path) -> Path:
    """Check the columns of driver_periods.parquet, which training, verifying and monitoring read.

    Raises
    ------
    PortfolioError
        If it is not there, or another version wrote it.
    TryAgainError
        If a build is putting its tables in place, or died there.
    """
    return _table(folder, "driver_periods.parquet", DRIVER_PERIODS)


def _table(folder: Path, name: str, columns: pl.Schema) -> Path:
    check_whole(folder)
    file = folder / name
    if not file.is_file():
        other = (
            f"no such file, and other tables of a build are there; run ubi features build of this version to {folder}"
        )
        told = "no such file; --features has to name the output folder of ubi features build"
        raise PortfolioError(file, other if any(folder.glob("*.parquet")) else told)
    try:
        schema = pl.read_parquet_schema(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise PortfolioError(file, f"cannot be read: {str(error).splitlines()[0]}") from error
    for column, kind in columns.items():
        if schema.get(column) != kind:
            told = f"is missing or not {kind}; run ubi features build of this version"
            raise PortfolioError(file, told, column=column)
    return file
