"""Driver measures: driver periods whose histograms are added up to measures, once for each month. What scoring reads.

A measure of a window is the sum of those of its months, so the bins need not be read again when a book is scored: they
are most of what driver periods hold. A build writes this table beside driver_periods.parquet, row by row of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.errors import ContractError
from device.contract.trip import ACCEL_BINS
from features.contract.catalogue import Feature, terms
from features.contract.measures import MEASURES
from features.contract.periods import BINS, DRIVER_PERIODS, KEY, SUMS

ROWS_AT_ONCE: Final = 512  # their bins stay in the cache
ACCEL_MS: Final = tuple(f"accel_{bin_:02d}_ms" for bin_ in range(ACCEL_BINS))  # time at 10 km/h and more
FIRST_START: Final = "first_start_ms"
# Read for whatever feature.
ALWAYS: Final = ("driver_id", "month", FIRST_START, "trips", "contents", "distance_mm", "accel_mm")
Integers = npt.NDArray[np.int64]

# A row a row of DRIVER_PERIODS, in the same order.
DRIVER_MEASURES: Final = pl.Schema(
    {name: DRIVER_PERIODS[name] for name in (*KEY, FIRST_START, *SUMS)}
    | dict.fromkeys((*MEASURES, *ACCEL_MS), pl.Int64())
)


class Folding(NamedTuple):
    """Bins of a histogram that weigh the same in all its measures, as one class.

    Attributes
    ----------
    class_of : numpy.ndarray, shape (BINS[histogram],)
    weights : dict of str to numpy.ndarray, shape (classes,)
        By measure.
    """

    class_of: Integers
    weights: dict[str, Integers]

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.class_of.max()) + 1


def driver_measures(periods: pl.DataFrame) -> pl.DataFrame:
    """Add up the histograms of driver periods.

    Parameters
    ----------
    periods : pl.DataFrame
        Schema DRIVER_PERIODS.

    Returns
    -------
    pl.DataFrame
        Schema DRIVER_MEASURES, row by row.

    Raises
    ------
    ContractError
        If a histogram has a bin that there is not.
    """
    found = {name: np.empty(periods.height, np.int64) for name in (*MEASURES, *ACCEL_MS)}
    for histogram in BINS:
        lists = periods[histogram]
        for first in range(0, periods.height, ROWS_AT_ONCE):
            for name, values in measures_of(fold(lists.slice(first, ROWS_AT_ONCE)), histogram).items():
                found[name][first : first + ROWS_AT_ONCE] = values
    return periods.select(*KEY, FIRST_START, *SUMS).hstack([pl.Series(name, found[name]) for name in found])


def columns_of(features: Iterable[Feature]) -> tuple[str, ...]:
    """Columns of DRIVER_MEASURES that some features are made of."""
    features = tuple(features)
    wanted = {*ALWAYS}
    for feature in features:
        wanted |= {*terms(feature.numerator), *terms(feature.denominator), *terms(feature.known)}
        wanted |= {name for part in feature.parts for name in (part.known, part.whole)}
    if any(feature.quantile is not None for feature in features):
        wanted |= {*ACCEL_MS}
    return tuple(name for name in DRIVER_MEASURES if name in wanted)


def fold(lists: pl.Series) -> Integers:
    """Add up each row's histogram by class of bins: shape (classes, rows).

    Raises
    ------
    ContractError
        If a histogram has a bin that there is not.
    """
    folding = FOLDINGS[lists.name]
    entries = lists.explode(empty_as_null=False, keep_nulls=False).struct
    key = entries.field("key").to_numpy()
    if key.size and not 0 <= key.min() <= key.max() < len(folding.class_of):
        raise ContractError(f"{lists.name} of the driver periods has bin {key.min()} or {key.max()}: none such")
    at = np.repeat(np.arange(len(lists)) * folding.classes, lists.list.len().fill_null(0).to_numpy())
    at += folding.class_of[key]
    sums = np.zeros(len(lists) * folding.classes, np.int64)
    np.add.at(sums, at, entries.field("value").to_numpy())
    return np.ascontiguousarray(sums.reshape(len(lists), folding.classes).T)


def measures_of(folded: Integers, histogram: str) -> dict[str, Integers]:
    """Measures of folded histograms, each of shape (rows,); of the v-a heatmap the times by acceleration, too."""
    found = {}
    for name, weights in FOLDINGS[histogram].weights.items():
        counted = np.flatnonzero(weights)
        found[name] = (folded[counted] * weights[counted, None]).sum(axis=0)
    if histogram == "va_ms":
        moving = np.add.reduceat(folded[_CLASSES_STANDING:], _FIRST_OF_ACCELERATION, axis=0)
        found |= dict(zip(ACCEL_MS, moving, strict=True))
    return found


def _folding(histogram: str) -> Folding:
    """Classes of a histogram; of the v-a heatmap they keep apart moving and not, then accelerations, in this order."""
    names = [name for name, measure in MEASURES.items() if measure.histogram == histogram]
    weights = np.column_stack([MEASURES[name].weights for name in names])
    key = np.arange(len(weights))
    apart = [key >= ACCEL_BINS, key % ACCEL_BINS] if histogram == "va_ms" else []
    different, class_of = np.unique(np.column_stack([*apart, weights]), axis=0, return_inverse=True)
    return Folding(class_of.astype(np.int64), dict(zip(names, different[:, len(apart) :].T, strict=True)))


FOLDINGS: Final[dict[str, Folding]] = {histogram: _folding(histogram) for histogram in BINS}
_CLASSES_STANDING: Final = int(FOLDINGS["va_ms"].class_of[:ACCEL_BINS].max()) + 1
_FIRST_OF_ACCELERATION: Final = [
    int(FOLDINGS["va_ms"].class_of[accel_bin + ACCEL_BINS :: ACCEL_BINS].min()) - _CLASSES_STANDING
    for accel_bin in range(ACCEL_BINS)
]
