from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contract.catalogue import load_catalogue
from pricing.errors import ModelError
from pricing.own_claims import OwnClaims, fit, history
from pricing.plan import load_plan
from pricing.tariff import Tariff
from pricing.train import train
from tests.pricing.book import RATING_DATE, SmallBook

R = date(2025, 1, 1)
CLAIMS = st.integers(0, 20).map(float)
EXPECTED = st.floats(0.0, 10.0)


def two_years(variance, n=200_000, seed=1):
    """Drivers whose temper stays the same over two years."""
    rng = np.random.default_rng(seed)
    temper = rng.gamma(1 / variance, variance, n) if variance else np.ones(n)
    mu = rng.gamma(4.0, 0.05, (2, n))
    return (*(rng.poisson(temper * m).astype(float) for m in mu), *mu)


@pytest.mark.parametrize("variance", [0.3, 1.0])
def test_the_variance_of_tempers_is_found(variance):
    n1, n2, m1, m2 = two_years(variance)
    found = fit(n1, m1, n2, m2)
    assert found.variance == pytest.approx(variance, abs=4 * found.error * (1 + 3 * variance))
    assert found.level == pytest.approx(0.0, abs=0.05)


def test_claims_that_are_chance_alone_move_next_to_nobody():
    n1, n2, m1, m2 = two_years(0.0)
    found = fit(n1, m1, n2, m2)
    assert found.variance < 3 * found.error
    assert found.theta(np.array([1.0]), np.array([0.2]))[0] == pytest.approx(1.0, abs=0.05)


def test_the_level_of_the_tariff_does_not_matter():
    n1, n2, m1, m2 = two_years(0.5, n=20_000)
    plain, doubled = fit(n1, m1, n2, m2), fit(n1, 2 * m1, n2, m2)
    assert doubled.theta(n1, 2 * m1) == pytest.approx(plain.theta(n1, m1))


@given(n=CLAIMS, m=EXPECTED, v=st.floats(0.0, 5.0), more=st.integers(1, 5))
def test_theta_rises_with_claims_and_falls_with_what_was_expected(n, m, v, more):
    own = OwnClaims(v, 0.1, 0.0)
    here = own.theta(np.array([n]), np.array([m]))[0]
    assert own.theta(np.array([n + more]), np.array([m]))[0] >= here
    assert own.theta(np.array([n]), np.array([m + more]))[0] <= here
    assert own.theta(np.array([0.0]), np.array([0.0]))[0] == 1.0
    assert here > 0


@given(r=st.floats(0.1, 5.0), step=st.floats(0.0, 1.0), n=CLAIMS, m=EXPECTED, v=st.floats(0.0, 5.0))
def test_relativity_times_theta_never_falls_as_the_driving_gets_riskier(r, step, n, m, v):
    own = OwnClaims(v, 0.1, 0.1)
    product = [x * own.theta(np.array([n]), np.array([m * x]))[0] for x in (r, r + step)]
    assert product[1] >= product[0] * (1 - 1e-15)


def test_claims_on_or_after_the_rating_date_are_not_history():
    policies = pl.DataFrame(
        {
            "policy_id": ["p", "q"],
            "driver_id": ["d", "d"],
            "start": [date(2023, 1, 1), date(2024, 7, 1)],
            "end": [date(2024, 7, 1), None],
            "tariff_frequency": [0.1, 0.2],
        }
    )
    days = [R, R + timedelta(1), R - timedelta(1), date(2024, 6, 30), date(2023, 12, 31)]
    claims = pl.DataFrame({"policy_id": ["q", "q", "q", "p", "p"], "occurred_on": days})
    past = history(policies, claims, Tariff("frequency", 1.0), (R,), 12)
    expected = (182 * 0.1 + 184 * 0.2) / 365
    assert past.rows() == [("d", R, 2, pytest.approx(expected))]
    empty = history(policies, claims, Tariff("frequency", 1.0), (date(2022, 1, 1),), 12)
    assert empty.is_empty()


@pytest.mark.parametrize(
    ("new", "told"),
    [(True, "no driver was insured both before and after"), (False, "needs claims before the rating date")],
)
def test_what_nothing_can_be_learned_from_is_refused_before_the_fit(monkeypatch, new, told):
    book, plan = SmallBook(300), load_plan()
    own = {
        "tariff": dataclasses.replace(plan.tariff, bonus_malus=False),
        "credibility": dataclasses.replace(plan.credibility, own_claims=True),
    }
    policies = book.policies.with_columns(start=pl.lit(RATING_DATE)) if new else book.policies
    monkeypatch.setattr("pricing.train.fit_validated", lambda *_a, **_k: pytest.fail("fitted"))
    with pytest.raises(ModelError, match=told):
        train(policies, book.claims, book.periods, load_catalogue(), dataclasses.replace(plan, **own), (RATING_DATE,))


def test_a_file_without_earlier_claims_is_refused_with_the_key():
    with pytest.raises(ModelError, match=r"credibility.own_claims of the plan needs claims before the rating date"):
        fit(np.zeros(3), np.ones(3), np.ones(3), np.ones(3))
