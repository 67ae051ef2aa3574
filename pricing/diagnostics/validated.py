"""The out-of-fold rows that every table is made of, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from pricing.arrays import Bools, Floats, Ints

LEAST_DRIVERS: Final = 20  # a group of fewer is not shown: nobody is to be found in a table


@dataclass(frozen=True, slots=True)
class Validated:
    """Rows that a model has judged which had not seen their driver. Each array of shape (n_rows,).

    Attributes
    ----------
    driver : numpy.ndarray of int
        Number of the driver; the name is not kept.
    years : numpy.ndarray
        Earned policy years of the label window.
    mu0 : numpy.ndarray
        Claims expected by the tariff, brought to the level of the training part.
    relativity : numpy.ndarray
        Of claims, indicated by the model, to the tariff.
    mu : numpy.ndarray
        Claims expected with telematics: mu0 x relativity, brought to the tariff's total by one constant, as the base
        factor B does in a rated book.
    """

    driver: Ints
    rating_date: tuple[str, ...]
    fold: Ints
    claims: Floats
    years: Floats
    mu0: Floats
    relativity: Floats
    mu: Floats
    exposure_km: Floats

    @classmethod
    def of(cls, validation: pl.DataFrame) -> Validated:
        """Take the arrays out of the frame of `pricing.validation`."""

        def floats(name: str) -> Floats:
            return validation[name].cast(pl.Float64).to_numpy()

        mu0, relativity = floats("mu0"), floats("relativity")
        return cls(
            validation["driver_id"].rank("dense").cast(pl.Int64).to_numpy() - 1,
            tuple(str(day) for day in validation["rating_date"]),
            validation["fold"].cast(pl.Int64).to_numpy(),
            floats("claims"),
            floats("years"),
            mu0,
            relativity,
            mu0 * relativity * (mu0.sum() / (mu0 @ relativity)),
            floats("exposure_km"),
        )

    def rows(self, chosen: Bools) -> Validated:
        """Part of the rows."""
        at = np.flatnonzero(chosen)
        return Validated(
            self.driver[at],
            tuple(self.rating_date[i] for i in at),
            self.fold[at],
            self.claims[at],
            self.years[at],
            self.mu0[at],
            self.relativity[at],
            self.mu[at],
            self.exposure_km[at],
        )

    def drivers(self) -> int:
        """Count the drivers."""
        return len(np.unique(self.driver))
