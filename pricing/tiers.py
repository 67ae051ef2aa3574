"""Tiers: labels 1 (best) to at most 12, cut where out-of-fold claims say that risk rises.

Isotonic regression of claims over expected claims on the out-of-fold relativity gives blocks of rising risk. Of all
ways to join neighbouring blocks into few enough tiers with enough claims each, the likeliest is taken.

A tier's relativity is the mean of its rows, by expected claims: where the plan says `factor_from = "tier"`, everyone in
it has that one. It rises from tier to tier because a tier is an interval of relativities, so the certificate holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import xlogy

from pricing.arrays import Floats, Ints
from pricing.contract.factors import NANO
from pricing.plan import TierPlan


@dataclass(frozen=True, slots=True)
class Tiers:
    """Where tiers end, and what they stand for.

    Attributes
    ----------
    upper_ends : tuple of float
        Of all tiers but the last: a relativity equal to an end belongs below it.
    relativities : tuple of float
        Mean of each tier, rising.
    """

    upper_ends: tuple[float, ...]
    relativities: tuple[float, ...] = ()

    def label(self, relativity: Floats) -> Ints:
        """Tier of each relativity, from 1."""
        return np.searchsorted(np.asarray(self.upper_ends), relativity, side="left").astype(np.int64) + 1

    def step(self, relativity: Floats) -> Floats:
        """Relativity of each one's tier."""
        means: Floats = np.asarray(self.relativities)[self.label(relativity) - 1]
        return means

    def __len__(self) -> int:
        return len(self.upper_ends) + 1


def fit(claims: Floats, expected: Floats, relativity: Floats, plan: TierPlan) -> Tiers:
    """Cut tiers on out-of-fold relativities; one tier where the claims are too few for two.

    Parameters
    ----------
    claims, expected, relativity : numpy.ndarray, shape (n_rows,)
        Claims, claims expected by the tariff, out-of-fold relativity to it.
    """
    values, index = np.unique(relativity, return_inverse=True)  # equal relativities share a tier
    n, mu = np.bincount(index, claims), np.bincount(index, expected)
    starts = isotonic_regression(n / mu, weights=mu).blocks[:-1]
    cuts = _likeliest_cuts(np.add.reduceat(n, starts), np.add.reduceat(mu, starts), plan)
    # Halfway between neighbours, so that a relativity between them falls to the nearer.
    cut = Tiers(tuple(float(values[starts[k] - 1] + values[starts[k]]) / 2 for k in cuts))
    tier = cut.label(values) - 1
    means = np.bincount(tier, mu * values) / np.bincount(tier, mu)
    return Tiers(cut.upper_ends, tuple(np.round(means, NANO).tolist()))


def _likeliest_cuts(claims: Floats, expected: Floats, plan: TierPlan) -> list[int]:
    """Blocks at which a new tier starts: the best joining of neighbours, by dynamic programming.

    best[j] is the log-likelihood of the best way to join the first j blocks into the tiers so far.
    """
    n, mu = np.concatenate([[0.0], np.cumsum(claims)]), np.concatenate([[0.0], np.cumsum(expected)])
    joined_n, joined_mu = n[None, :] - n[:, None], mu[None, :] - mu[:, None]  # of the blocks i..j-1, at [i, j]
    allowed = np.triu(joined_n >= plan.min_claims, k=1)
    gain = np.where(allowed, xlogy(joined_n, joined_n / np.where(allowed, joined_mu, 1.0)), -np.inf)
    best = np.append(0.0, np.full(len(claims), -np.inf))
    steps: list[Ints] = []
    ends = []
    for _ in range(plan.max_tiers):
        ways = best[:, None] + gain
        steps.append(ways.argmax(axis=0))
        best = ways.max(axis=0)
        ends.append(best[-1])
    tiers = int(np.argmax(ends))
    cuts: list[int] = []
    block = len(claims)
    for step in steps[tiers::-1]:
        block = int(step[block])
        cuts.append(block)
    return cuts[-2::-1] if np.isfinite(ends[tiers]) else []
