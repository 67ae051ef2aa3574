from __future__ import annotations

import numpy as np
import pytest

from pricing.credibility import Calibration, credibility, fit
from pricing.errors import ModelError
from pricing.plan import load_plan

KAPPAS = load_plan().credibility.kappa_km


def book(n=60_000, seed=4, kappa=0.0):
    """A score that says as much as it knows: its noise shrinks with distance as Z says."""
    rng = np.random.default_rng(seed)
    km = rng.gamma(1.2, 3_000.0, n)
    risk = rng.normal(0, 0.5, n)
    z = credibility(km, kappa)
    score = risk + rng.normal(size=n) * 0.5 * np.sqrt((1 - z) / np.maximum(z, 1e-9)) if kappa else risk
    expected = rng.uniform(0.05, 0.2, n)
    return rng.poisson(expected * np.exp(risk)).astype(float), expected, km, score


def test_z_grows_with_distance():
    assert credibility(np.array([0.0, np.nan, 500.0, 1500.0]), 500.0).tolist() == [0.0, 0.0, 0.5, 0.75]
    assert credibility(np.array([0.0, 1.0]), 0.0).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("bold", [0.5, 1.0, 2.0])
def test_a_score_too_bold_has_a_slope_below_one(bold):
    claims, expected, km, score = book()
    found = fit(claims, expected, km, bold * score, (0.0,))
    assert found.b == pytest.approx(1 / bold, rel=0.06)
    assert found.b_low < 1 / bold < found.b_high


def test_the_calibrated_book_has_the_claims_it_had():
    claims, expected, km, score = book(5000)
    found = fit(claims, expected, km, score, (0.0,))
    calibrated = expected * np.exp(found.a + found.b * score)
    assert calibrated.sum() == pytest.approx(claims.sum(), rel=1e-9)
    assert (calibrated * score).sum() == pytest.approx((claims * score).sum(), rel=1e-9)


def test_the_interval_covers_nine_times_of_ten():
    inside = 0
    for seed in range(60):
        claims, expected, km, score = book(2000, seed)
        found = fit(claims, expected, km, score, (0.0,))
        inside += found.b_low <= 1.0 <= found.b_high
    assert 47 <= inside <= 60


def test_kappa_is_zero_where_the_score_is_shrunk_already():
    assert fit(*book(), KAPPAS).kappa_km == 0.0


def test_a_kappa_that_is_better_by_luck_alone_is_seldom_taken():
    found = [fit(*book(3_000, seed), KAPPAS) for seed in range(60)]
    lucky = sum(min(one.deviance_by_kappa.values()) < one.deviance_by_kappa[0.0] for one in found)
    taken = sum(one.kappa_km > 0 for one in found)
    assert lucky >= 10
    assert taken <= 9


def test_kappa_is_found_where_short_distances_are_noise():
    found = fit(*book(kappa=1000.0), KAPPAS)
    assert found.kappa_km in {500.0, 1000.0, 2000.0}
    assert found.b == pytest.approx(1.0, abs=0.1)
    assert found.deviance < found.deviance_by_kappa[0.0]


def test_no_score_no_slope():
    claims, expected, km, _ = book(500)
    found = fit(claims, expected, km, np.zeros(500), KAPPAS)
    assert (found.b, found.b_low, found.b_high, found.kappa_km) == (1.0, 1.0, 1.0, 0.0)
    assert expected.sum() * np.exp(found.a) == pytest.approx(claims.sum())


def test_no_claims_nothing_to_calibrate():
    with pytest.raises(ModelError, match="no claim"):
        fit(np.zeros(5), np.ones(5), np.ones(5), np.arange(5.0), KAPPAS)


@pytest.mark.parametrize(
    ("low", "high", "accepted"),
    [(0.7, 0.89, False), (0.7, 0.9, True), (0.2, 3.0, True), (1.1, 1.4, True), (1.11, 1.4, False)],
)
def test_only_an_interval_that_misses_the_band_fails(low, high, accepted):
    assert Calibration(0.0, 1.0, low, high, 0.0, 0.0, {}).accepted((0.9, 1.1)) is accepted
