"""A driver's own claims, by Poisson-gamma: what years without or with claims say beyond the driving.

    theta = (k + claims) / (k + expected),  k = 1 / Var(Theta)

Both are of the months before the rating date alone, so no claim is reason and label at once; `expected` is the tariff's
times the driver's relativity, so what the driving foretold already is no news. A plan switches it on
(`credibility.own_claims`) only where the tariff has no bonus-malus, which would count the same claims.

Judgements:

1. Var(Theta) is the covariance of what two periods' claims differ from their expectation, the sum of (n1 - m1)(n2 - m2)
   over that of m1 m2: chance does not carry over from one to the next, temper does. Negative is 0: own claims then move
   nobody.
2. The driving of the window stands for that of the years before it.
3. The driver carries the claims, not the policy: all policies of a driver count.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from pricing import exposure
from pricing.arrays import Floats
from pricing.errors import ModelError
from pricing.tariff import Tariff

log = logging.getLogger(__name__)

KEYS = ("driver_id", "rating_date")


@dataclass(frozen=True, slots=True)
class OwnClaims:
    """Frozen constants.

    Attributes
    ----------
    variance : float
        Var(Theta) = 1 / k; 0: own claims say nothing.
    error : float
        Standard error of it where claims are Poisson and nothing else.
    level : float
        Log of claims over expected claims in the months before.
    """

    variance: float
    error: float
    level: float

    def theta(self, claims: Floats, expected: Floats) -> Floats:
        """Posterior mean of a driver's own level; 1 without history. Shape (n_rows,)."""
        theta: Floats = (1.0 + self.variance * claims) / (1.0 + self.variance * expected * np.exp(self.level))
        return theta


def fit(past_claims: Floats, past_expected: Floats, claims: Floats, expected: Floats) -> OwnClaims:
    """Estimate Var(Theta) of two periods of the same drivers, the later one after the rating date.

    Parameters
    ----------
    past_claims, past_expected, claims, expected : numpy.ndarray, shape (n_drivers,)

    Raises
    ------
    ModelError
        If there are no claims in either period.
    """
    _check(past_claims, past_expected, claims, expected)
    level = float(np.log(past_claims.sum() / past_expected.sum()))
    m1, m2 = past_expected * np.exp(level), expected * (claims.sum() / expected.sum())
    together = float((m1 * m2).sum())
    variance = float(((past_claims - m1) * (claims - m2)).sum()) / together
    return OwnClaims(max(variance, 0.0), together**-0.5, level)


def check(rows: pl.DataFrame, past: pl.DataFrame) -> None:
    """Refuse rating rows of which nothing can be learned, before the model is fitted; errors as of `fit`.

    Parameters
    ----------
    rows : polars.DataFrame
        `train.rating_rows`: claims, expected_claims.
    past : polars.DataFrame
        `history` of the same rating dates.
    """
    both = rows.join(past, on=list(KEYS), how="inner")
    _check(*(both[name].to_numpy() for name in ("past_claims", "past_expected", "claims", "expected_claims")))


def _check(past_claims: Floats, past_expected: Floats, claims: Floats, expected: Floats) -> None:
    if float((past_expected * expected).sum()) == 0:
        raise ModelError(
            "credibility.own_claims of the plan: no driver was insured both before and after the rating date; give the "
            "policies of earlier terms too, or switch it off"
        )
    if past_claims.sum() == 0 or claims.sum() == 0:
        raise ModelError(
            "credibility.own_claims of the plan needs claims before the rating date as well as after it; give a longer "
            "claims file, or switch it off"
        )


def learn(judged: pl.DataFrame, past: pl.DataFrame) -> OwnClaims:
    """Estimate it on rows judged out of fold.

    Parameters
    ----------
    judged : polars.DataFrame
        `pricing.validation.VALIDATION`.
    past : polars.DataFrame
        `history` of the same rating dates.
    """
    both = judged.join(past, on=list(KEYS), how="inner", maintain_order="left")
    past_claims, past_mu0, relativity, claims, mu = (
        both[name].cast(pl.Float64).to_numpy()
        for name in ("past_claims", "past_expected", "relativity", "claims", "mu")
    )
    found = fit(past_claims, past_mu0 * relativity, claims, mu)
    log.info("own claims: Var(Theta) %.3f, standard error %.3f", found.variance, found.error)
    return found


def history(
    policies: pl.DataFrame, claims: pl.DataFrame, tariff: Tariff, rating_dates: tuple[date, ...], months: int
) -> pl.DataFrame:
    """Claims of the months before each rating date, and what the tariff expected.

    Returns
    -------
    pl.DataFrame
        Sorted by driver_id, rating_date: those, past_claims Int64, past_expected Float64 (the tariff's).
    """
    pieces = pl.concat([exposure.before(policies, day, months) for day in sorted(set(rating_dates))])
    counted = exposure.with_claims(pieces, claims.select("policy_id", "occurred_on"))
    priced = counted.with_columns(pl.Series("claims_per_year", tariff.claims_per_year(pieces), dtype=pl.Float64))
    earned = exposure.total(priced, KEYS, {"claims_per_year": "past_expected"})
    return earned.select(*KEYS, pl.col("claims").alias("past_claims"), "past_expected")
