"""Motion of whole trips as plain arrays, a slice at a time that stays in the cache of a core.

Columns keep the small integers of `ingest.contract.tables.MOTION`; where a value is not known they hold NULL, the
smallest integer of their kind, which nothing measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.bodies import BOUNDS
from device.contract.errors import ContractError
from ingest.contract.tables import MOTION

Integers = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]

SLICE_ROWS: Final = 250_000  # read at once: a row group of the sealed files
NULL: Final = -(2**15)
READS: Final = tuple(name for name in MOTION if name != "yaw_rate_ddps")
_NULLS: Final = {"engine": -(2**7), "quality": 0}
# Two speeds are added up, and a limit is multiplied by 20, in 16 bits: these must keep within their bounds.
_CHECKED: Final = ("speed_dkmh", "limit_kmh")


def slices(motion: pl.LazyFrame) -> Iterator[tuple[Integers, Integers, pl.DataFrame]]:
    """Read motion slice by slice: keys of some whole trips, the number of rows of each, and columns for `Slice`.

    Memory is that of a slice, of at least SLICE_ROWS rows and at least one trip. A trip whose rows do not stand
    together comes more than once.

    Raises
    ------
    ContractError
        If a speed or a limit is out of bounds.
    """
    columns = [pl.col(name).cast(MOTION[name]) for name in READS]
    filled = [column.fill_null(_NULLS.get(name, NULL)) for name, column in zip(READS[2:], columns[2:], strict=True)]
    rest: pl.DataFrame | None = None
    read = motion.select(*columns[:2], *filled)
    for batch in read.collect_batches(chunk_size=SLICE_ROWS, maintain_order=True):
        rows = batch.rechunk() if rest is None else pl.concat([rest, batch], rechunk=True)
        key = rows["trip_key"].to_numpy()
        ends = np.flatnonzero(key[1:] != key[:-1]) + 1  # the last trip may go on
        if ends.size:
            yield key[ends - 1], np.diff(ends, prepend=0), _checked(rows[: int(ends[-1])])
        rest = rows[int(ends[-1]) if ends.size else 0 :]
    if rest is not None and rest.height:
        yield rest["trip_key"][:1].to_numpy(), np.array([rest.height]), _checked(rest)


def _checked(rows: pl.DataFrame) -> pl.DataFrame:
    for name in _CHECKED:
        values, (low, high) = rows[name].to_numpy(), BOUNDS[name]
        if values.max() > high or values.view(np.uint16).max() > NULL + 2**16:  # as unsigned, negatives are above NULL
            wrong = values[(values != NULL) & ((values < low) | (values > high))][0]
            raise ContractError(f"motion has a {name} of {wrong}; it can be {low} to {high}")
    return rows


class Slice:
    """Rows of some whole trips, in order.

    Parameters
    ----------
    motion : pl.DataFrame
        As `slices` reads them.
    rows : ndarray, shape (n_trips,)
        Samples of each trip, at least one.
    period_ms : ndarray, shape (n_trips,)
        Grid period of each trip.

    Attributes
    ----------
    rows, period_ms : ndarray, shape (n_trips,)
        As given.
    starts, ends : ndarray, shape (n_trips,)
        Rows of each trip: from, and up to.
    trip : ndarray, shape (n_rows,)
        Number of each row's trip within the slice.
    t_ms : ndarray, shape (n_rows,)
        Since the trip's start.
    step_ms : ndarray, shape (n_rows,)
        To the next sample of the trip; 0 at its last.
    """

    def __init__(self, motion: pl.DataFrame, rows: Integers, period_ms: Integers) -> None:
        self._motion = motion
        self._columns: dict[str, Integers | None] = {}
        self._missing: dict[str, Integers] = {}
        self.rows = rows
        self.period_ms = period_ms
        self.ends = np.cumsum(rows)
        self.starts = self.ends - rows
        self.trip = np.repeat(np.arange(rows.size, dtype=np.int32), rows)
        self.t_ms: Integers = motion["t_ms"].to_numpy()
        self.step_ms = np.zeros_like(self.t_ms)
        np.subtract(self.t_ms[1:], self.t_ms[:-1], out=self.step_ms[:-1])
        self.step_ms[self.ends - 1] = 0

    @cached_property
    def apart(self) -> Flags:
        """Whether the next row is no neighbour on the grid: after a gap, or of another trip."""
        same = self.period_ms.min() == self.period_ms.max()
        return np.asarray(self.step_ms != (self.period_ms[0] if same else self.period_ms[self.trip]))

    def column(self, name: str) -> Integers | None:
        """Values with NULL where they are not known; None if none is."""
        if name not in self._columns:
            values: Integers = self._motion[name].to_numpy()
            self._columns[name] = None if values.max() == np.iinfo(values.dtype).min < 0 else values
        return self._columns[name]

    def missing(self, name: str) -> Integers:
        """Rows where the value is not known, rising."""
        if name not in self._missing:
            values, null = self.column(name), _NULLS.get(name, NULL)
            if values is None:
                self._missing[name] = np.arange(self.t_ms.size)
            else:
                some = values.min() <= null
                self._missing[name] = np.flatnonzero(values == null) if some else np.empty(0, np.int64)
        return self._missing[name]

    def count(self, rows: Integers) -> Integers:
        """How many of some rows, which rise, each trip has."""
        return np.searchsorted(rows, self.ends) - np.searchsorted(rows, self.starts)


def rows_where(flags: Flags) -> Integers:
    """Rows where a flag is set: `np.flatnonzero`, made to take its other way where that is twice as fast.

    NumPy 2.4 looks for the next set flag where at most a tenth is set, which costs 0.6 to 1.2 ns a row from a thirtieth
    on; its way for more costs 0.35. So flags are added that make them more.
    """
    rows, count = flags.size, int(np.count_nonzero(flags))
    if not rows // 30 < count <= rows // 10:
        return np.flatnonzero(flags)
    padded = np.ones(rows + rows // 8 + 1, np.bool_)
    padded[:rows] = flags
    return np.flatnonzero(padded)[:count]
