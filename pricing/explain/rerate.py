"""Rate one driver of a rated book on changed driving: same model, previous factor and own claims, B held fixed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue, Feature
from features.contract.validate import Tell, warn
from features.contract.window import rating_features
from pricing import reasons
from pricing.arrays import Floats
from pricing.contract.factors import RECEIPTS
from pricing.exposure import add_months
from pricing.factor import factors
from pricing.matrix import Inputs, rateable, read_inputs
from pricing.model import RiskModel
from pricing.reasons import Effects
from pricing.rebuild import Rebuilt
from pricing.score import to_factor


@dataclass(frozen=True, slots=True)
class Rerated:
    """The factor of one driver on some driving.

    Attributes
    ----------
    factor : float
        As it would be published.
    based : float
        B x R, before band and renewal limit; with the tier's step and own claims where the plan has them.
    relativity : float
        Indicated by the driving.
    inputs, matrix, split
        Features, what the model sees of them, and effects, of one row.
    """

    factor: float
    based: float
    relativity: float
    rateable: bool
    capped: bool
    limited: bool
    inputs: Inputs
    matrix: Floats
    split: Effects

    def value(self, feature: str) -> float:
        """Value of a feature of the model as observed, NaN where it is not known."""
        return float(self.inputs.values[0, self.inputs.names.index(feature)])

    def told(self, feature: Feature, language: str) -> str:
        """Tell a feature's value."""
        return reasons.tell_all(feature, np.array([self.value(feature.name)]), language)[0]

    def effect(self, feature: str) -> float:
        """What a feature of the model multiplies the factor by."""
        return float(self.split.effects[0, self.split.names.index(feature)])


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a rated book, and what it was rated with."""

    published: dict[str, Any]
    receipt_row: dict[str, Any]
    base: float
    rating_date: date
    catalogue: Catalogue
    model: RiskModel

    @classmethod
    def of(cls, rebuilt: Rebuilt, catalogue: Catalogue, model: RiskModel) -> Case:
        """The case of a row that was rebuilt."""
        book = rebuilt.book
        day = date.fromisoformat(book["rating_date"])
        base = book["constants"]["base_factor"]
        return cls(rebuilt.published, rebuilt.receipt_row, base, day, catalogue, model)

    @property
    def driver(self) -> str:
        """Whose driving it is."""
        return str(self.published["driver_id"])

    @property
    def months(self) -> tuple[date, ...]:
        """First days of the months of the window, rising."""
        first = self.rating_date.replace(day=1)
        count = self.model.plan.window.feature_months
        return tuple(add_months(first, k - count) for k in range(count))

    def partners(self, feature: str) -> set[str]:
        """Features whose value the effect of this one depends on: its pairs of the rating tables."""
        pairs = [{pair.first, pair.second} for part in self.model.components for pair in part.tables.pairs]
        return {name for pair in pairs if feature in pair for name in pair - {feature}}

    def own(self, periods: pl.DataFrame) -> pl.DataFrame:
        """Driver periods of the driver in the window."""
        months = self.months
        return periods.filter(
            (pl.col("driver_id") == self.driver) & pl.col("month").is_between(pl.lit(months[0]), pl.lit(months[-1]))
        )

    def rate(self, periods: pl.DataFrame, tell: Tell = warn) -> Rerated:
        """Rate the driver on these driver periods; `tell` is given the doubts about implausible values."""
        asked = pl.DataFrame({"driver_id": [self.driver], "rating_date": [self.rating_date]})
        rows = rating_features(periods, asked, self.model.plan.window.feature_months, self.catalogue, tell)
        inputs = read_inputs(rows, self.catalogue)
        rated = self.model.rate(inputs)
        enough = rateable(rows, self.model.plan.rateable)
        part = pl.DataFrame([self.receipt_row], schema_overrides=RECEIPTS).with_columns(
            pl.Series("relativity", rated.relativity), pl.Series("rateable", enough)
        )
        book, _ = to_factor(part, self.model)
        steps = factors(book, self.base, self.model.plan.factor)
        return Rerated(
            factor=float(steps.published[0]),
            based=float(steps.based[0]),
            relativity=float(rated.relativity[0]),
            rateable=bool(enough[0]),
            capped=bool(steps.capped[0]),
            limited=bool(steps.limited[0]),
            inputs=inputs,
            matrix=rated.matrix,
            split=reasons.effects(self.model, rated),
        )
