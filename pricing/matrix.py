"""From rating features to the model's matrix: columns in the catalogue's order, event rates shrunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing import shrink
from pricing.arrays import Bools, Floats
from pricing.errors import ModelError
from pricing.plan import Rateable


@dataclass(frozen=True, slots=True)
class Counted:
    """Events of some rating rows, each of shape (n_rows,); events are NaN where they could not be counted."""

    events: Floats
    over_100km: Floats


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the model reads of some rating rows, before shrinking.

    Attributes
    ----------
    names : tuple of str
        The catalogue's features that enter the model.
    directions : tuple of int
        Monotone constraint of each: +1, -1 or 0.
    values : numpy.ndarray, shape (n_rows, n_features)
        As observed; NaN where not known.
    counted : dict of str to Counted
        Events of each rate feature, and the distance they were counted in.
    exposure_km : numpy.ndarray, shape (n_rows,)
    """

    names: tuple[str, ...]
    directions: tuple[int, ...]
    values: Floats
    counted: dict[str, Counted]
    exposure_km: Floats

    def rows(self, chosen: Bools) -> Inputs:
        """Part of the rows."""
        counted = {name: Counted(c.events[chosen], c.over_100km[chosen]) for name, c in self.counted.items()}
        return Inputs(self.names, self.directions, self.values[chosen], counted, self.exposure_km[chosen])

    def fit_priors(self) -> dict[str, shrink.GammaPrior]:
        """Fit the prior of each event rate on these rows."""
        return {name: shrink.fit(c.events, c.over_100km) for name, c in self.counted.items()}

    def matrix(self, priors: dict[str, shrink.GammaPrior]) -> Floats:
        """Values with every event rate replaced by its shrunk estimate. Shape (n_rows, n_features)."""
        x = self.values.copy()
        for name, c in self.counted.items():
            x[:, self.names.index(name)] = priors[name].rate(c.events, c.over_100km)
        return x


def read_inputs(rows: pl.DataFrame, catalogue: Catalogue) -> Inputs:
    """Take the model's inputs out of rating features (`features.contract.window.rating_features`)."""
    chosen = [feature for feature in catalogue.features if feature.model]
    missing = [f.name for f in chosen if f.name not in rows.columns]
    if missing:
        raise ModelError(f"the features lack the column {missing[0]} of the catalogue; run ubi features build again")
    rates = [f.name for f in chosen if f.kind == "rate"]
    return Inputs(
        tuple(f.name for f in chosen),
        tuple(f.direction if f.monotone else 0 for f in chosen),
        np.column_stack([_floats(rows[f.name]) for f in chosen]),
        {name: Counted(_floats(rows[f"{name}__n"]), _floats(rows[f"{name}__km"]) / 100) for name in rates},
        _floats(rows["exposure_km"]),
    )


def rateable(rows: pl.DataFrame, limits: Rateable) -> Bools:
    """Tell which rows hold enough driving, and see enough of it, for a factor to rest on. Shape (n_rows,)."""
    known = rows.select(
        (
            (pl.col("exposure_km") >= limits.min_km)
            & (pl.col("trips") >= limits.min_trips)
            & (pl.col("exposure_days") >= limits.min_days)
            & (pl.col("accel_km") >= limits.min_seen_share * pl.col("exposure_km"))
        ).fill_null(value=False)
    )
    return known.to_series().to_numpy()


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
