"""Months of driver periods added up to windows: sums, and histograms by classes of bins that weigh the same.

The histograms of a large book are the cost of scoring it, so they are added where they lie, without being gathered,
sorted or copied: a layer is a selection of months in which each month belongs to one window. A book that is scored has
one layer; training at several rating dates has one for each window that a month is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.errors import ContractError
from device.contract.trip import ACCEL_BINS
from features.contract.measures import MEASURES
from features.contract.periods import BINS

ROWS_AT_ONCE: Final = 4_096  # their entries stay in the cache
EXACT_IN_FLOAT: Final = 2**53
Integers = npt.NDArray[np.int64]


class Layer(NamedTuple):
    """Months of which each belongs to one window.

    Attributes
    ----------
    months : numpy.ndarray of bool, shape (periods,), or None
        Which of the driver periods they are; None: all of them.
    window : numpy.ndarray, shape (months,)
        Window of each, from 0.
    """

    months: npt.NDArray[np.bool_] | None
    window: Integers

    def of(self, frame: Any) -> Any:
        """Its months of a frame or series of all driver periods."""
        return frame if self.months is None else frame.filter(pl.Series(self.months))


class Folding(NamedTuple):
    """Bins of a histogram that weigh the same in all its measures, as one class.

    Attributes
    ----------
    class_of : numpy.ndarray, shape (BINS[histogram],)
    weights : numpy.ndarray, shape (classes, measures)
    names : tuple of str
        The measures.
    """

    class_of: Integers
    weights: Integers
    names: tuple[str, ...]


def layers(rows: pl.DataFrame, periods: int) -> list[Layer]:
    """Split pairs of `window` and `period` into layers; `periods` is the number of driver periods."""
    pairs = rows.sort("period", "window")
    window, period = (pairs[name].cast(pl.Int64).to_numpy() for name in ("window", "period"))
    first = np.flatnonzero(np.diff(period, prepend=-1))
    nth = np.arange(len(period)) - np.repeat(first, np.diff(first, append=len(period)))
    found = []
    for n in range(int(nth.max(initial=-1)) + 1):
        own = nth == n
        months = np.zeros(periods, np.bool_)
        months[period[own]] = True
        found.append(Layer(None if own.sum() == periods else months, window[own]))
    return found


def fold(windows: int, chosen: list[Layer], lists: pl.Series) -> Integers:
    """Add up a histogram of driver periods by window and class of bins: shape (windows, classes).

    Raises
    ------
    ContractError
        If a histogram has a bin that there is not.
    """
    folding = FOLDINGS[lists.name]
    sums = np.zeros((windows, len(folding.weights)), np.int64)
    for layer in chosen:
        for window, part in _parts(layer, lists):
            entries = part.explode(empty_as_null=False, keep_nulls=False).struct
            key = entries.field("key").to_numpy()
            if key.size and not 0 <= key.min() <= key.max() < len(folding.class_of):
                raise ContractError(f"{lists.name} of the driver periods has bin {key.min()} or {key.max()}: none such")
            at = np.repeat(window * len(folding.weights), part.list.len().fill_null(0).to_numpy())
            at += folding.class_of[key]
            np.add.at(sums.reshape(-1), at, entries.field("value").to_numpy())
    return sums


def measures_of(folded: Integers, folding: Folding) -> dict[str, Integers]:
    """Measures of a folded histogram, one matrix product: in floating-point numbers where those are exact."""
    largest = int(folded.sum(axis=1).max(initial=0)) * int(folding.weights.max(initial=0))
    if largest < EXACT_IN_FLOAT:
        product = (folded.astype(np.float64) @ folding.weights.astype(np.float64)).astype(np.int64)
    else:
        product = folded @ folding.weights
    return dict(zip(folding.names, np.ascontiguousarray(product.T), strict=True))


def by_acceleration(folded: Integers) -> Integers:
    """Time at 10 km/h and more by acceleration bin, of the folded v-a heatmap: shape (n, ACCEL_BINS)."""
    moving: Integers = np.add.reduceat(folded[:, _CLASSES_STANDING:], _FIRST_OF_ACCELERATION, axis=1)
    return moving


def _parts(layer: Layer, lists: pl.Series) -> Iterator[tuple[Integers, pl.Series]]:
    """Some months' windows and histograms at a time, where they lie."""
    done = 0
    for chunk in layer.of(lists).get_chunks():
        for first in range(0, len(chunk), ROWS_AT_ONCE):
            part = chunk.slice(first, ROWS_AT_ONCE)
            yield layer.window[done : done + len(part)], part
            done += len(part)


def _folding(histogram: str) -> Folding:
    """Classes of a histogram; of the v-a heatmap they keep apart moving and not, then accelerations, in this order."""
    names = tuple(name for name, measure in MEASURES.items() if measure.histogram == histogram)
    weights = np.column_stack([MEASURES[name].weights for name in names])
    key = np.arange(len(weights))
    apart = [key >= ACCEL_BINS, key % ACCEL_BINS] if histogram == "va_ms" else []
    different, class_of = np.unique(np.column_stack([*apart, weights]), axis=0, return_inverse=True)
    return Folding(class_of.astype(np.int64), different[:, len(apart) :], names)


FOLDINGS: Final[dict[str, Folding]] = {histogram: _folding(histogram) for histogram in BINS}
_CLASSES_STANDING: Final = int(FOLDINGS["va_ms"].class_of[:ACCEL_BINS].max()) + 1
_FIRST_OF_ACCELERATION: Final = [
    int(FOLDINGS["va_ms"].class_of[accel_bin + ACCEL_BINS :: ACCEL_BINS].min()) - _CLASSES_STANDING
    for accel_bin in range(ACCEL_BINS)
]
