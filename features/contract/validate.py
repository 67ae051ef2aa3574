"""Rating features held against the catalogue: what breaks a definition stops the run, what is implausible is told.

A value that breaks a definition (of another type, not finite, told below its least exposure or where too little was
known to count) is a fault of this program
or of the table it was given. A value outside the plausible range is a fault of a car or an adapter: it stays, since a
book is not stopped by one car, and whoever runs the batch is told feature, number of rows and the worst driver.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import polars as pl

from device.contract.errors import ContractError
from features.contract.catalogue import Catalogue, Feature
from features.contract.driver_measures import DRIVER_MEASURES, FIRST_START
from features.contract.periods import COUNTERS, KEY

_REBUILD: Final = "run 'ubi features build' with this release"
log = logging.getLogger(__name__)


class Doubt(NamedTuple):
    """Rows of a feature outside its plausible range, and the one that is farthest from it."""

    feature: str
    rows: int
    least: float
    greatest: float
    driver_id: str
    value: float

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.feature}: {self.rows} of the rows outside {self.least:g} to {self.greatest:g}, "
            f"driver {self.driver_id} has {self.value:.6g}"
        )


def warn(found: Iterable[Doubt]) -> None:
    """Warn of doubts, one line each."""
    for doubt in found:
        log.warning("%s", doubt)


def told_before(found: Iterable[Doubt]) -> None:
    """Say nothing: the same driver's doubts were told."""


Tell = Callable[[list[Doubt]], None]


def validated(rows: pl.DataFrame, catalogue: Catalogue, tell: Tell = warn) -> pl.DataFrame:
    """Return the rows as they are, and tell the features that hold implausible values.

    Parameters
    ----------
    rows : pl.DataFrame
        driver_id, exposure_km and the columns of every feature, as `rating_features` makes them.
    tell : callable
        Given the doubts; whoever rates a book in parts tells those of all parts at once, see `together`.

    Raises
    ------
    ContractError
        With the feature whose column breaks its definition, and the first driver.
    """
    _check(rows, catalogue)
    tell(doubts(rows, catalogue))
    return rows


def check_periods(periods: pl.DataFrame) -> None:
    """Hold driver periods or measures of some windows against what a build can have made, as far as columns are there.

    Raises
    ------
    ContractError
        If a sum is below 0 or not there, or a first reading is after the last, with the driver.
    """
    sums = [name for name in DRIVER_MEASURES if name not in (*KEY, FIRST_START) and name in periods.columns]
    least = periods.select(pl.col(sums).min()).row(0, named=True)
    wrong = {f"{name} is below 0": pl.col(name) < 0 for name in sums if (least[name] or 0) < 0}
    wrong |= {f"{name} is null": pl.col(name).is_null() for name in (*sums, FIRST_START) if periods[name].null_count()}
    for first, last in ((f"{name}_first_ms", f"{name}_last_ms") for name in COUNTERS):
        if first in periods.columns:
            wrong[f"{first} is after {last}"] = pl.col(first) > pl.col(last)
    if wrong:
        _refuse(periods, wrong)


def check_table(frame: pl.DataFrame, schema: pl.Schema, what: str) -> None:
    """Raise ContractError if a column is missing or of another type; others may be there."""
    given = frame.schema
    for name, kind in schema.items():
        if name not in given:
            raise ContractError(f"the {what} have no column {name}; {_REBUILD}")
        if given[name] != kind:
            raise ContractError(f"column {name} of the {what} is {given[name]}, not {kind}")


def doubts(rows: pl.DataFrame, catalogue: Catalogue) -> list[Doubt]:
    """Tell which features hold values outside their plausible range."""
    counts = rows.select(
        (~pl.col(f.name).is_between(*f.plausible)).sum().alias(f.name) for f in catalogue.features
    ).row(0, named=True)
    return [_doubt(rows, feature, counts[feature.name]) for feature in catalogue.features if counts[feature.name]]


def together(found: Iterable[Doubt]) -> list[Doubt]:
    """Doubts of several parts of a book, one a feature: rows added up, the worst value of all."""
    by_feature: dict[str, Doubt] = {}
    for doubt in found:
        other = by_feature.get(doubt.feature, doubt._replace(rows=0))
        worst = max(other, doubt, key=lambda one: max(one.least - one.value, one.value - one.greatest))
        by_feature[doubt.feature] = worst._replace(rows=other.rows + doubt.rows)
    return list(by_feature.values())


def _doubt(rows: pl.DataFrame, feature: Feature, count: int) -> Doubt:
    least, greatest = feature.plausible
    value = pl.col(feature.name)
    beyond = pl.max_horizontal(least - value, value - greatest)
    worst = rows.select("driver_id", value=value, beyond=beyond).sort("beyond", descending=True, nulls_last=True)
    return Doubt(feature.name, count, least, greatest, worst["driver_id"][0], worst["value"][0])


def _check(rows: pl.DataFrame, catalogue: Catalogue) -> None:
    wrong: dict[str, pl.Expr] = {}
    given = rows.schema
    for feature in catalogue.features:
        names = [feature.name]
        if feature.kind == "rate":
            names += [f"{feature.name}__n", f"{feature.name}__km"]
            wrong[f"{names[1]} or {names[2]} is below 0"] = (pl.col(names[1]) < 0) | (pl.col(names[2]) < 0)
            wrong[f"{feature.name} is told without {names[1]}"] = (
                pl.col(feature.name).is_not_null() & pl.col(names[1]).is_null()
            )
        for name in names:
            if given.get(name) != pl.Float64:
                raise ContractError(f"feature {name} of the rating rows is {given.get(name)}, not Float64")
            wrong[f"{name} is not finite"] = ~pl.col(name).is_finite()
        if feature.min_exposure_km > 0:
            too_few = pl.col("exposure_km") < feature.min_exposure_km
            wrong[f"{feature.name} is told below {feature.min_exposure_km:g} km"] = (
                pl.col(feature.name).is_not_null() & too_few
            )
    _refuse(rows, wrong)


def _refuse(rows: pl.DataFrame, wrong: dict[str, pl.Expr]) -> None:
    """Raise the first fault that a row has."""
    found = rows.select(test.any().fill_null(value=False).alias(text) for text, test in wrong.items()).row(0)
    for text, fault in zip(wrong, found, strict=True):
        if fault:
            raise ContractError(f"{text} for driver {rows.filter(wrong[text])['driver_id'][0]}; {_REBUILD}")
