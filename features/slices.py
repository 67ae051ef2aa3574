"""Motion of whole trips as plain arrays, a slice at a time that stays in the cache of a core.

Columns keep the small integers of `ingest.contract.tables.MOTION`; where a value is not known they hold NULL, the
smallest integer of their kind, which nothing measures.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.bodies import BOUNDS
from device.contract.errors import ContractError

Integers = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]

_NULLS: Final = {pl.Int8: -(2**7), pl.Int16: -(2**15), pl.UInt8: 0}
NULL: Final = _NULLS[pl.Int16]
# Two speeds are added up, and a limit is multiplied by 20, in 16 bits: these must keep within their bounds.
_CHECKED: Final = ("speed_dkmh", "limit_kmh")


class Slice:
    """Rows of some whole trips, in order.

    Parameters
    ----------
    motion : pl.DataFrame
        Motion columns, as `ingest.contract.tables.MOTION` has them.
    rows : ndarray, shape (n_trips,)
        Samples of each trip, at least one.
    period_ms : ndarray, shape (n_trips,)
        Grid period of each trip.

    Attributes
    ----------
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
        """Values with NULL where they are not known; None if none is.

        Raises
        ------
        ContractError
            If a speed or a limit is out of bounds.
        """
        if name not in self._columns:
            self._columns[name] = _array(self._motion[name])
        return self._columns[name]

    def missing(self, name: str) -> Integers:
        """Rows where the value is not known, rising."""
        if name not in self._missing:
            values = self.column(name)
            if values is None:
                self._missing[name] = np.arange(self.t_ms.size)
            elif self._motion[name].null_count():
                self._missing[name] = np.flatnonzero(values == np.iinfo(values.dtype).min)
            else:
                self._missing[name] = np.empty(0, np.int64)
        return self._missing[name]

    def count(self, rows: Integers) -> Integers:
        """How many of some rows, which rise, each trip has."""
        return np.searchsorted(rows, self.ends) - np.searchsorted(rows, self.starts)


def _array(series: pl.Series) -> Integers | None:
    nulls = series.null_count()
    if nulls == series.len():
        return None
    values: Integers = (series.fill_null(_NULLS[series.dtype.base_type()]) if nulls else series).to_numpy()
    if series.name in _CHECKED:
        low, high = BOUNDS[series.name]
        least, most = int(values.min()), int(values.max())
        if most > high or (least < low and (not nulls or int(series.min()) < low)):  # type: ignore[arg-type]
            raise ContractError(f"motion has {series.name} from {series.min()} to {most}; {low} to {high} can be")
    return values
