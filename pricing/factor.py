"""From relativity to factor: the profile's band, the renewal limit, and the one base factor B over the book.

R is what the driving indicates; its tier's where the plan says `factor_from = "tier"`; times theta of own claims where
the plan counts them. F(B) = clip(clip(B R, L, U), 0.85 F_prev, 1.15 F_prev); a driver who is not rateable keeps F_prev
(1 if none), of a discount the share that the plan says, whatever B. Where the two bands do not meet, the renewal limit
wins: it is the outer clip. F(B) never falls as B grows, so B is found by bisection.

The limits are moved inward to the published grid of 1e-6 first: so a rounded factor never leaves its band, and since
rounding moves each factor by at most 5e-7, the book balances to 1e-6 as written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pricing.arrays import Bools, Floats
from pricing.contract.factors import MICRO
from pricing.errors import BalanceError
from pricing.model import RiskModel
from pricing.plan import FactorPlan

BALANCE: Final = 1e-9  # relative, before rounding
CLOSE: Final = 1e-12  # where the search for B stops
SURE: Final = 1e-13  # far above what a pairwise sum of a billion rows is off by
GRID: Final = 10**MICRO
_HALVINGS: Final = 200  # more than a float has bits: the loop ends where no float is left between the ends


@dataclass(frozen=True, slots=True)
class Book:
    """What the factors of a book are made of.

    Attributes
    ----------
    relativity : numpy.ndarray, shape (n_rows,)
        R: indicated by the driving, or the tier's; times own claims where the plan counts them.
    previous : numpy.ndarray, shape (n_rows,)
        F_prev, NaN where there is none.
    rateable : numpy.ndarray of bool, shape (n_rows,)
    weight : numpy.ndarray, shape (n_rows,)
        What is balanced: expected claims, or premium.
    """

    relativity: Floats
    previous: Floats
    rateable: Bools
    weight: Floats


@dataclass(frozen=True, slots=True)
class Steps:
    """The factor of each row, step by step; all of shape (n_rows,)."""

    based: Floats  # B R
    banded: Floats  # within the profile's band; of who is not rateable what is left of the previous factor
    factor: Floats  # within the renewal limit; not rounded
    rateable: Bools

    @property
    def published(self) -> Floats:
        """The factor, rounded as it is written."""
        return np.round(self.factor, MICRO)

    @property
    def capped(self) -> Bools:
        """The profile's band changed the factor."""
        changed: Bools = self.rateable & (self.banded != self.based)
        return changed

    @property
    def limited(self) -> Bools:
        """The renewal limit changed the factor."""
        changed: Bools = self.factor != self.banded
        return changed


def combined(relativity: Floats, model: RiskModel, past: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Relativity that the factor is made of, and theta: the tier's step where the plan says so, then own claims.

    Parameters
    ----------
    relativity : numpy.ndarray, shape (n_rows,)
        Indicated by the driving.
    past : tuple of numpy.ndarray
        Claims before the rating date, and what the tariff expected then.

    Notes
    -----
    With own claims it is R (1 + v n) / (1 + v m R), which rises with R: the certificate holds.
    """
    if model.plan.factor.factor_from == "tier":
        relativity = model.tiers.step(relativity)
    if model.own_claims is None:
        return relativity, np.ones_like(relativity)
    theta = model.own_claims.theta(past[0], past[1] * relativity)
    return relativity * theta, theta


def factors(book: Book, base: float, plan: FactorPlan) -> Steps:
    """Apply B, the band and the renewal limit."""
    return _within(_limits(book, plan), book, base)


class _Limits(NamedTuple):
    """What does not depend on B."""

    lower: float
    upper: float
    renewal_lower: Floats
    renewal_upper: Floats
    left: Floats  # of the previous factor, where no driving is rated
    held: Floats  # the same within the renewal limit


def _limits(book: Book, plan: FactorPlan) -> _Limits:
    first = np.isnan(book.previous)
    low = np.where(first, 0.0, np.ceil(_grid(book.previous * plan.renewal_lower)) / GRID)
    high = np.where(first, np.inf, np.floor(_grid(book.previous * plan.renewal_upper)) / GRID)
    left = kept(book.previous, plan)
    held = np.maximum(np.minimum(left, high), np.where(first, 1.0, book.previous))
    lower, upper = math.ceil(_grid(plan.lower)) / GRID, math.floor(_grid(plan.upper)) / GRID
    return _Limits(lower, upper, low, high, left, held)


def _within(limits: _Limits, book: Book, base: float) -> Steps:
    based = base * book.relativity
    banded = np.clip(based, limits.lower, limits.upper)
    limited = np.clip(banded, limits.renewal_lower, limits.renewal_upper)
    return Steps(
        based,
        np.where(book.rateable, banded, limits.left),
        np.where(book.rateable, limited, limits.held),
        book.rateable,
    )


def kept(previous: Floats, plan: FactorPlan) -> Floats:
    """What is left of previous factors (NaN: none) where no driving is rated, before the renewal limit; 1 of none.

    A surcharge stays whole, or unplugging would launder it. A discount that nothing confirms any more keeps the plan's
    share at each rating, or a good driver would best unplug.
    """
    before = np.where(np.isnan(previous), 1.0, previous)
    faded: Floats = before + (1.0 - plan.kept_discount_share) * np.maximum(1.0 - before, 0.0)
    return faded


def balanced_base(book: Book, plan: FactorPlan) -> float:
    """B with sum(w F(B)) = sum(w) to 1e-9; 1 where the plan balances nothing.

    Raises
    ------
    BalanceError
        If the bands leave no such B, with the shortfall at the nearest end.
    """
    if plan.balance == "none":
        return 1.0
    total, limits = math.fsum(book.weight), _limits(book, plan)

    def excess(base: float) -> float:
        collected = book.weight * _within(limits, book, base).factor
        found = (float(collected.sum()) - total) / total
        # The fast sum will do unless it is near a limit; there the exact one, which no order of the rows can move.
        near = min(abs(abs(found) - limit) for limit in (0.0, CLOSE, BALANCE))
        return found if near > SURE else (math.fsum(collected) - total) / total

    # Below and above these every rateable factor stands at an end of its band.
    low = plan.lower / float(book.relativity.max()) / 2
    high = plan.upper / float(book.relativity.min()) * 2
    if abs(excess(1.0)) <= BALANCE:
        return 1.0
    at_low, at_high = excess(low), excess(high)
    if at_low > BALANCE:
        raise BalanceError(_unbalanced("even the lowest", at_low, "too much"), at_low)
    if at_high < -BALANCE:
        raise BalanceError(_unbalanced("even the highest", -at_high, "too little"), at_high)
    middle = 1.0
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        found = excess(middle)
        if not low < middle < high or abs(found) <= CLOSE:
            return middle
        low, high = (middle, high) if found < 0 else (low, middle)
    return middle


def _grid(value: Floats | float) -> Floats:
    """In units of the published grid, cleaned of the float's last bits (0.7 x 1e6 is 699999.9999...)."""
    return np.round(np.asarray(value) * GRID, 3)


def _unbalanced(which: str, shortfall: float, direction: str) -> str:
    return (
        f"no base factor balances the book: {which} factors that band and renewal limit allow collect "
        f"{100 * shortfall:.3f} % {direction}; widen factor.lower/upper or the renewal limit of the plan"
    )
