"""Rating rows as arrays, and what is learned from them: how many claims, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing.arrays import Bools, Floats
from pricing.boosting import GAMMA, POISSON, Objective
from pricing.canonical import canonical
from pricing.errors import ModelError
from pricing.evaluate import gamma_deviance, poisson_deviance, tweedie_deviance
from pricing.matrix import Inputs, read_inputs


@dataclass(frozen=True, slots=True)
class Goal:
    """What one part of the model is to foretell; arrays of shape (n_rows,).

    Attributes
    ----------
    observed : numpy.ndarray
        Claims, or the mean amount of a row's paid claims.
    base : numpy.ndarray
        What the tariff expects of it.
    weight : numpy.ndarray
        1, or the number of paid claims: rows of weight 0 say nothing.
    """

    objective: Objective
    observed: Floats
    base: Floats
    weight: Floats

    @property
    def told(self) -> Bools:
        """Rows that say something."""
        return self.weight > 0

    @property
    def level(self) -> float:
        """Log of observed over expected by the tariff."""
        return canonical(float(np.log((self.weight * self.observed).sum() / (self.weight * self.base).sum())))

    def rows(self, chosen: Bools) -> Goal:
        """Part of the rows."""
        return Goal(self.objective, self.observed[chosen], self.base[chosen], self.weight[chosen])

    def deviance(self, expected: Floats) -> float:
        """Mean deviance x 100: Poisson and Tweedie a row, gamma a paid claim."""
        told = self.told
        if self.objective.name == "gamma":
            return gamma_deviance(self.observed[told], expected[told], self.weight[told])
        if self.objective.name == "tweedie":
            return tweedie_deviance(self.observed, expected, dict(self.objective.parameters)["tweedie_variance_power"])
        return poisson_deviance(self.observed, expected)


@dataclass(frozen=True, slots=True)
class Sample:
    """Arrays of rating rows, each of shape (n_rows,).

    Attributes
    ----------
    paid, amount : numpy.ndarray or None
        Claims with an amount above 0, and the sum of their capped amounts; None where amounts were not given.
    tariff_severity : numpy.ndarray
        Amount of a claim by the tariff, up to a constant; 1 where it tells none.
    """

    inputs: Inputs
    claims: Floats
    mu0: Floats
    years: Floats
    paid: Floats | None
    amount: Floats | None
    tariff_severity: Floats

    @classmethod
    def of(cls, rows: pl.DataFrame, catalogue: Catalogue) -> Sample:
        """Take the arrays out of rating rows (`pricing.train.rating_rows`)."""

        def column(name: str) -> Floats | None:
            if name not in rows.columns or rows[name].null_count():
                return None
            return rows[name].cast(pl.Float64).to_numpy()

        claims, mu0, years = (rows[n].cast(pl.Float64).to_numpy() for n in ("claims", "expected_claims", "years"))
        severity = column("tariff_severity")
        return cls(
            read_inputs(rows, catalogue),
            claims,
            mu0,
            years,
            column("paid_claims"),
            column("claim_amount"),
            np.ones(len(claims)) if severity is None else severity,
        )

    def frequency(self) -> Goal:
        """Claims, beside the tariff's."""
        return Goal(POISSON, self.claims, self.mu0, np.ones(len(self.claims)))

    def severity(self) -> Goal:
        """Amount of a paid claim.

        Raises
        ------
        ModelError
            If the claims came without amounts.
        """
        if self.paid is None or self.amount is None or not self.paid.any():
            raise ModelError(
                "model.severity of the plan needs the amounts of claims: give the column amount in the claims, "
                "or say severity = false"
            )
        mean = self.amount / np.where(self.paid > 0, self.paid, 1.0)
        return Goal(GAMMA, np.where(self.paid > 0, mean, 0.0), self.tariff_severity, self.paid)
