from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.evaluate import (
    concentration,
    gini,
    lift,
    poisson_deviance,
    poisson_interval,
    quantile_groups,
)


def test_deviance_of_known_values():
    assert poisson_deviance(np.array([1.0, 0.0]), np.array([1.0, 0.5])) == pytest.approx(50.0)
    assert poisson_deviance(np.array([2.0]), np.array([1.0])) == pytest.approx(200 * (2 * np.log(2) - 1))
    assert poisson_deviance(np.array([3.0, 1.0]), np.array([3.0, 1.0])) == 0


def test_gini_of_known_values():
    claims, exposure = np.array([0.0, 1.0, 3.0]), np.ones(3)
    # Areas of three trapezoids under (1/3, 0), (2/3, 1/4), (1, 1).
    assert gini(claims, exposure, np.array([1.0, 2.0, 3.0])) == pytest.approx(1 - 2 * (0 + 0.25 / 2 + 1.25 / 2) / 3)
    assert gini(claims, exposure, np.array([3.0, 2.0, 1.0])) == pytest.approx(-0.5)
    assert gini(np.array([0.0, 1.0]), np.array([3.0, 1.0]), np.array([1.0, 2.0])) == pytest.approx(0.75)


def test_a_constant_rate_ranks_nothing():
    assert gini(np.array([4.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0]), np.full(3, 0.1)) == pytest.approx(0.0)


@given(st.integers(0, 2**32 - 1))
def test_ties_make_the_order_of_rows_irrelevant(seed):
    rng = np.random.default_rng(seed)
    claims, exposure, rate = rng.poisson(0.5, 50) + 0.1, rng.uniform(0.1, 1, 50), rng.integers(0, 5, 50)
    order = rng.permutation(50)
    shuffled = gini(claims[order], exposure[order], rate[order])
    assert shuffled == pytest.approx(gini(claims, exposure, rate), abs=1e-12)
    x, y = concentration(claims, exposure, rate)
    assert x[[0, -1]] == pytest.approx([0, 1])
    assert y[[0, -1]] == pytest.approx([0, 1])


def test_poisson_intervals_of_the_tables():
    assert poisson_interval(0) == (0.0, pytest.approx(2.995732, abs=1e-6))
    assert poisson_interval(10, 0.95) == (pytest.approx(4.795389, abs=1e-6), pytest.approx(18.390356, abs=1e-6))


def test_lift_compares_observed_with_the_tariff_and_the_model():
    claims, expected = np.array([1.0, 3.0, 8.0]), np.array([2.0, 2.0, 2.0])
    low, high = lift(np.array([1, 1, 2]), claims, expected, np.array([0.5, 0.5, 2.0]))
    assert (low.claims, low.rows, low.expected, low.ratio) == (4, 2, 8.0, 0.5)
    assert (high.claims, high.ratio) == (8, 2.0)
    assert (low.predicted, high.predicted) == (pytest.approx(0.5), pytest.approx(2.0))
    assert low.ratio_low < 0.5 < low.ratio_high


def test_groups_have_equal_exposure_and_keep_ties_together():
    rng = np.random.default_rng(0)
    rate, exposure = rng.random(10_000), rng.uniform(0.1, 1.0, 10_000)
    groups = quantile_groups(rate, exposure, 10)
    shares = np.bincount(groups, exposure)[1:] / exposure.sum()
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.001)
    assert rate[groups == 3].max() < rate[groups == 4].min()
    assert len(set(quantile_groups(np.array([1.0, 2.0, 2.0, 2.0, 3.0]), np.ones(5), 5)[1:4])) == 1
