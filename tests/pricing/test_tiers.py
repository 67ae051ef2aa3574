from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import xlogy

from pricing.plan import TierPlan
from pricing.tiers import Tiers, _likeliest_cuts, fit

PLAN = TierPlan(max_tiers=12, min_claims=271)


def book(n=60_000, seed=6, frequency=0.1, spread=0.5):
    rng = np.random.default_rng(seed)
    relativity = np.exp(rng.normal(0, spread, n))
    expected = np.full(n, frequency)
    return rng.poisson(expected * relativity).astype(float), expected, relativity


@pytest.mark.parametrize("frequency", [0.1, 0.5])
def test_tiers_are_few_each_has_its_claims_and_risk_rises(frequency):
    claims, expected, relativity = book(frequency=frequency)
    tiers = fit(claims, expected, relativity, PLAN)
    label = tiers.label(relativity)
    counts = np.bincount(label, claims)[1:]
    ratios = counts / np.bincount(label, expected)[1:]
    assert 6 <= len(tiers) <= 12
    assert set(label) == set(range(1, len(tiers) + 1))
    assert counts.min() >= 271
    assert np.diff(ratios).min() > 0


def test_a_relativity_at_the_end_of_a_tier_belongs_to_it():
    assert Tiers((0.9, 1.1)).label(np.array([0.5, 0.9, 0.9 + 1e-15, 1.1, 1.2])).tolist() == [1, 1, 2, 2, 3]


def test_a_small_book_has_one_tier():
    claims, expected, relativity = book(2_000, frequency=0.05)
    tiers = fit(claims, expected, relativity, PLAN)
    assert len(tiers) == 1
    assert set(tiers.label(relativity)) == {1}


def test_a_score_that_says_nothing_makes_one_tier():
    claims, expected, _ = book()
    assert len(fit(claims, expected, np.ones(len(claims)), PLAN)) == 1


def test_order_of_rows_does_not_matter():
    claims, expected, relativity = book(5_000)
    order = np.random.default_rng(0).permutation(5_000)
    assert fit(claims[order], expected[order], relativity[order], PLAN) == fit(claims, expected, relativity, PLAN)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0.5, 5)), min_size=1, max_size=7),
    st.integers(1, 4),
    st.integers(1, 12),
)
def test_cuts_are_the_best_of_all(blocks, max_tiers, min_claims):
    """The slow twin tries every way to cut."""
    n, mu = (np.array(column, dtype=float) for column in zip(*blocks, strict=True))

    def likelihood(cuts):
        edges = [0, *cuts, len(n)]
        parts = [(n[a:b].sum(), mu[a:b].sum()) for a, b in pairwise(edges)]
        if min(p[0] for p in parts) < min_claims:
            return -np.inf
        return sum(xlogy(p[0], p[0] / p[1]) for p in parts)

    ways = [cuts for k in range(max_tiers) for cuts in combinations(range(1, len(n)), k)]
    best = max(likelihood(cuts) for cuts in ways)
    found = _likeliest_cuts(n, mu, TierPlan(max_tiers, min_claims))
    if best == -np.inf:
        assert found == []
    else:
        assert likelihood(found) == pytest.approx(best)
        assert len(found) < max_tiers


def test_the_step_of_a_tier_is_the_mean_of_its_rows_and_rises_with_risk():
    claims, expected, relativity = book(20_000)
    cut = fit(claims, expected, relativity, PLAN)
    step, tier = cut.step(relativity), cut.label(relativity)
    assert len(cut) > 1
    assert (np.diff(cut.relativities) > 0).all()
    for label in range(1, len(cut) + 1):
        own = tier == label
        assert step[own][0] == pytest.approx(np.average(relativity[own], weights=expected[own]), abs=1e-8)
    assert (expected * step).sum() == pytest.approx((expected * relativity).sum(), rel=1e-8)
