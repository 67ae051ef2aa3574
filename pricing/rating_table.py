"""Tables of tariff factors: which level a value belongs to, and what each level multiplies the tariff by.

Judgements:

1. Text is a level each. Levels below `tariff.min_level_claims` expected claims are joined to one, `SPARSE`, which is
   also where a level goes that training has not seen.
2. A numeric factor is cut into fifths of its distinct values (rows may be split at will).
3. A missing value is a level of its own, `MISSING`, where enough expected claims have it. What belongs to no level has
   relativity 1, the average.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from pricing.arrays import Floats, Ints

log = logging.getLogger(__name__)

BANDS: Final = 5
SPARSE: Final = "(sparse)"
MISSING: Final = "(missing)"
NO_LEVEL: Final = -1


@dataclass(frozen=True, slots=True)
class RatingTable:
    """Relativities of one tariff factor: by text level, or by band between numeric edges (a band is [low, high)).

    `SPARSE` and `MISSING` stand among the levels, last, where they have relativities of their own.
    """

    factor: str
    levels: tuple[str, ...]
    edges: tuple[float, ...] | None
    log_relativity: tuple[float, ...]

    def codes(self, column: pl.Series) -> Ints:
        """Index of each value's level; -1 where it has none."""
        missing = self.levels.index(MISSING) if MISSING in self.levels else NO_LEVEL
        if self.edges is None:
            index = {level: code for code, level in enumerate(self.levels) if level not in (SPARSE, MISSING)}
            unseen = self.levels.index(SPARSE) if SPARSE in self.levels else NO_LEVEL
            found = column.cast(pl.String).replace_strict(index, default=unseen, return_dtype=pl.Int64)
            codes: Ints = pl.select(pl.when(column.is_null()).then(missing).otherwise(found)).to_series().to_numpy()
            return codes
        values = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        bands = np.searchsorted(np.asarray(self.edges), values, side="right")
        return np.where(np.isnan(values), missing, bands).astype(np.int64)

    def log_of(self, column: pl.Series) -> Floats:
        """Log relativity of each value; 0 where it has no level."""
        self._tell(column)
        values: Floats = np.append(self.log_relativity, 0.0)[self.codes(column)]
        return values

    def _tell(self, column: pl.Series) -> None:
        missing = column.null_count()
        if missing and MISSING not in self.levels:
            log.info("tariff factor %s: %d rows have no value; relativity 1", self.factor, missing)
        if self.edges is None:
            unseen = int((~column.cast(pl.String).is_in(list(self.levels))).fill_null(value=False).sum())
            if unseen:
                told = f"relativity of {SPARSE}" if SPARSE in self.levels else "relativity 1"
                log.info("tariff factor %s: %d rows have a level of few or no claims; %s", self.factor, unseen, told)


def levels_of(factor: str, column: pl.Series, expected: Floats, min_claims: float) -> RatingTable:
    """Levels or bands of a factor, relativities still 1. A CSV's numbers arrive as text.

    Parameters
    ----------
    factor : str
    column : polars.Series
    expected : numpy.ndarray, shape (n_rows,)
        Claims of the average, to tell which levels are sparse.
    min_claims : float
        `tariff.min_level_claims`.
    """
    null = column.is_null().to_numpy()
    last = [MISSING] if null.any() and expected[null].sum() >= max(min_claims, np.finfo(float).tiny) else []
    numbers = column.cast(pl.Float64, strict=False)
    if numbers.null_count() == column.null_count() and column.dtype != pl.Boolean:
        known = np.unique(numbers.drop_nulls().to_numpy())
        inner = np.arange(1, BANDS) / BANDS
        edges = tuple(float(e) for e in np.unique(np.quantile(known, inner))) if known.size else ()
        bounds = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
        levels = (*(f"[{low}, {high})" for low, high in pairwise(bounds)), *last)
        return RatingTable(factor, levels, edges, (0.0,) * len(levels))
    text = column.cast(pl.String)
    by_level = {
        level: float(expected[(text == level).fill_null(value=False).to_numpy()].sum()) for level in _sorted(text)
    }
    kept = [level for level, claims in by_level.items() if claims >= min_claims]
    sparse = len(by_level) - len(kept)
    if sparse:
        last = [SPARSE, *last]
        log.warning("tariff factor %s: %d levels below %g expected claims are one", factor, sparse, min_claims)
    return RatingTable(factor, (*kept, *last), None, (0.0,) * (len(kept) + len(last)))


def from_dict(content: dict[str, Any]) -> RatingTable:
    """Read the JSON form."""
    edges = None if content["edges"] is None else tuple(content["edges"])
    return RatingTable(content["factor"], tuple(content["levels"]), edges, tuple(content["log_relativity"]))


def _sorted(text: pl.Series) -> list[str]:
    return sorted(text.drop_nulls().unique().to_list())
