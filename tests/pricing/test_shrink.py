from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.shrink import GammaPrior, fit


def drivers(n=50_000, a=2.0, b=1.5, seed=5):
    rng = np.random.default_rng(seed)
    exposure = rng.gamma(2.0, 30.0, n)
    rate = rng.gamma(a, 1 / b, n)
    return rng.poisson(rate * exposure).astype(float), exposure, rate


@pytest.mark.parametrize("b", [1.5, 20.0])  # often and seldom: of seldom events most of the variance is chance
def test_the_prior_of_the_book_is_found(b):
    count, exposure, _ = drivers(b=b)
    prior = fit(count, exposure)
    assert prior.a == pytest.approx(2.0, rel=0.06)
    assert prior.b == pytest.approx(b, rel=0.06)


def test_shrunk_rates_are_nearer_to_the_truth_than_raw_ones():
    count, exposure, rate = drivers(a=2.0, b=20.0)
    shrunk = fit(count, exposure).rate(count, exposure)
    assert np.mean((shrunk - rate) ** 2) < 0.8 * np.mean((count / exposure - rate) ** 2)


def test_counts_that_vary_less_than_chance_give_everyone_the_books_rate():
    exposure = np.random.default_rng(1).gamma(2.0, 30.0, 400)
    count = np.round(0.5 * exposure)
    shrunk = fit(count, exposure).rate(count, exposure)
    assert shrunk == pytest.approx(count.sum() / exposure.sum(), rel=0.01)


def test_unknown_counts_and_no_distance_have_no_rate():
    rate = GammaPrior(2.0, 4.0).rate(np.array([np.nan, 3.0, 3.0]), np.array([10.0, 0.0, 10.0]))
    assert np.isnan(rate).tolist() == [True, True, False]
    assert rate[2] == 5.0 / 14.0


def test_unknown_rows_teach_nothing():
    count, exposure, _ = drivers(1000)
    more = np.append(count, [np.nan, 7.0]), np.append(exposure, [50.0, 0.0])
    assert fit(*more) == fit(count, exposure)


@pytest.mark.parametrize("count", [[], [np.nan, np.nan], [0.0, 0.0, 0.0]])
def test_a_book_without_events_has_rate_zero(count):
    n = np.array(count, dtype=float)
    prior = fit(n, np.full(len(n), 10.0))
    assert prior.rate(np.array([0.0]), np.array([5.0])).tolist() == [0.0]


@given(n=st.integers(0, 1000), t=st.floats(0.1, 1000), a=st.floats(0.01, 100), b=st.floats(0.01, 100))
def test_one_event_more_never_lowers_the_rate(n, t, a, b):
    one, more = GammaPrior(a, b).rate(np.array([n, n + 1.0]), np.array([t, t]))
    assert one < more
    assert min(n / t, a / b) * (1 - 1e-12) <= one <= max(n / t, a / b) * (1 + 1e-12)
