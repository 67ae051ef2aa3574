"""Laws of the measures behind the tables, on plain arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import poisson

from pricing.diagnostics import fairness
from pricing.diagnostics.bands import band_name, band_of, edges_of, strength
from pricing.diagnostics.curves import Ordered, curves, gini_and_abc
from pricing.diagnostics.intervals import bootstrap, poisson_interval
from pricing.diagnostics.murphy import isotonic, murphy
from pricing.diagnostics.slope import calibration_slope
from pricing.diagnostics.stability import stability
from pricing.diagnostics.validated import Validated
from pricing.evaluate import gini
from pricing.evaluate import poisson_interval as scalar_interval


def sample(n=4_000, seed=1, slope=1.0):
    rng = np.random.default_rng(seed)
    mu0, log_relativity = rng.gamma(4, 0.05, n), rng.normal(0, 0.4, n)
    frame = pl.DataFrame(
        {
            "driver_id": [f"d{k // 2}" for k in range(n)],  # two rows a driver
            "rating_date": ["2024-01-01" if k % 2 else "2025-01-01" for k in range(n)],
            "fold": rng.integers(0, 5, n // 2).repeat(2),
            "claims": rng.poisson(mu0 * np.exp(slope * log_relativity)),
            "years": rng.uniform(0.2, 1, n),
            "mu0": mu0,
            "relativity": np.exp(log_relativity),
            "exposure_km": rng.gamma(4, 3_000, n),
        }
    )
    return Validated.of(frame)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_poisson_intervals_are_those_one_by_one_and_cover_what_they_say(confidence):
    low, high = poisson_interval(range(40), confidence)
    assert np.allclose([low, high], np.transpose([scalar_interval(n, confidence) for n in range(40)]))
    for mean in (0.3, 2.0, 11.0, 25.0):
        n = np.arange(400)
        low, high = poisson_interval(n, confidence)
        covered = poisson.pmf(n, mean)[(low <= mean) & (mean <= high)].sum()
        assert covered >= confidence - 1e-9


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says_and_the_same_each_time():
    values = np.random.default_rng(1).normal(size=900)
    driver = np.arange(900)
    low, high = bootstrap(driver, lambda w: (w * values).sum() / w.sum(), resamples=400)
    assert (high - low) / 2 == pytest.approx(1.645 * values.std() / 30, rel=0.15)
    assert (low, high) == bootstrap(driver, lambda w: (w * values).sum() / w.sum(), resamples=400)


def test_gini_and_its_interval():
    judged = sample(seed=2)
    told = gini_and_abc(judged, judged.mu)
    assert told["gini"] == pytest.approx(gini(judged.claims, judged.years, judged.mu / judged.years))
    assert told["gini_low"] < told["gini"] < told["gini_high"]
    assert told["abc_low"] < 0 < told["abc_high"]  # the relativity is right: no area but by chance
    bold = gini_and_abc(judged, judged.mu0 * judged.relativity**3)
    assert bold["abc_low"] > 0


def test_an_order_with_ties_is_one_point_of_the_curve():
    ordered = Ordered.by(np.array([1.0, 1.0, 2.0]))
    assert ordered.cumulated(np.array([1.0, 0.0, 1.0])).tolist() == [0.0, 0.5, 1.0]
    judged = sample(400)
    table = curves(judged, {"one rate for all": judged.years})
    assert np.allclose(table["share_of_claims"], table["share_of_years"])


def test_murphy_parts_add_up_and_know_right_from_wrong():
    judged = sample()
    right, bold = (murphy(judged.claims, judged.years, judged.mu0 * judged.relativity**k) for k in (1, 3))
    years = judged.years * np.random.default_rng(1).uniform(0.1, 1, len(judged.years))
    flat = murphy(judged.claims, years, years * (judged.claims.sum() / years.sum()))
    for parts in (right, bold, flat):
        assert parts.score == pytest.approx(parts.uncertainty - parts.discrimination + parts.miscalibration)
        assert parts.miscalibration >= -1e-9
        assert parts.discrimination >= -1e-9
    assert bold.miscalibration > right.miscalibration + 1
    assert flat.discrimination == pytest.approx(0, abs=1e-9)
    fitted = isotonic(judged.claims, judged.years, judged.mu)
    assert fitted.sum() == pytest.approx(judged.claims.sum())
    order = np.argsort(judged.mu / judged.years)
    assert (np.diff((fitted / judged.years)[order]) >= -1e-12).all()


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.6])
def test_the_slope_is_found_again(slope):
    found = []
    for seed in range(20):
        judged = sample(seed=seed, slope=slope)
        told = calibration_slope(judged.claims, judged.mu0, judged.relativity)
        assert told is not None
        found.append(told)
    assert sum(told.low < slope < told.high for told in found) >= 15  # 18 of 20 expected
    assert np.mean([told.slope for told in found]) == pytest.approx(slope, abs=0.05)


def test_there_is_no_slope_without_claims_or_without_a_difference():
    judged = sample()
    assert calibration_slope(judged.claims, judged.mu0, np.ones(len(judged.claims))) is None
    assert calibration_slope(np.zeros(10), np.ones(10), np.arange(1.0, 11)) is None


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=60), st.integers(1, 9))
def test_every_value_has_one_band_with_a_name(values, bands):
    x = np.array(values)
    edges = edges_of(x, np.ones(len(x)), bands)
    assert len(edges) < max(2, bands + 1)
    band = band_of(x, edges)
    assert ((band == len(edges) + 1) == np.isnan(x)).all()
    for value, k in zip(x, band, strict=True):
        assert np.isnan(value) or ((k == 0 or value > edges[k - 1]) and (k == len(edges) or value <= edges[k]))
        assert band_name(edges, int(k))


def test_the_strongest_variable_comes_first_and_shares_add_up():
    effects = np.exp(np.random.default_rng(1).normal(0, [0.1, 0.3, 0.0], (500, 3)))
    table = strength(("a", "b", "c"), effects, np.ones(500))
    assert table["variable"].to_list() == ["b", "a", "c"]
    assert table["share"].sum() == pytest.approx(1)


def test_parts_of_the_book_are_judged_by_date_fold_and_distance():
    judged = sample()
    table = stability(judged, np.ones(len(judged.claims), dtype=np.int64), judged.mu0)
    dates = table.filter(pl.col("part") == "rating date")
    assert dates["value"].to_list() == ["2024-01-01", "2025-01-01"]
    assert dates["claims"].sum() == judged.claims.sum()
    assert table.filter(pl.col("part") == "all")["slope"][0] == pytest.approx(1, abs=0.2)


def test_parts_are_told_at_one_level_whatever_level_each_fold_learned():
    judged, one_tier = sample(), np.ones(4_000, dtype=np.int64)
    learned = dataclasses.replace(
        judged, mu0=judged.mu0 * (1 + 0.2 * judged.fold), mu=judged.mu * (2 - judged.fold / 9)
    )
    tables = [stability(rows, one_tier, tariff) for rows, tariff in ((judged, judged.mu0), (learned, 7 * judged.mu0))]
    told = ["part", "value", "claims", "ae_tariff", "ae_tariff_low", "ae_model", "ae_model_high"]
    assert_frame_equal(*(table.select(told) for table in tables))
    folds = tables[0].filter(pl.col("part") == "fold")
    for by in ("ae_tariff", "ae_model"):
        assert (folds["claims"] / folds[by]).sum() == pytest.approx(judged.claims.sum())
        assert tables[0][by][0] == pytest.approx(1)


def test_groups_are_levels_bands_of_numbers_and_small_ones_together():
    driver = np.arange(300)
    text = pl.Series("x", ["a"] * 150 + ["b"] * 130 + ["c"] * 12 + ["d"] * 8)
    assert set(fairness.groups_of(text, driver)) == {"a", "b", fairness.SMALL}
    ages = fairness.groups_of(pl.Series("age", np.arange(300)), driver)
    assert ages.n_unique() == fairness.FIFTHS
    assert fairness.UNKNOWN in set(fairness.groups_of(pl.Series("x", [None] * 30 + ["a"] * 270), driver))


def test_a_proxy_is_found_and_its_price_is_told_from_the_discrimination_free_one():
    """The attribute alone drives claims and one variable gives it away: the unaware price charges for the group."""
    judged = sample(6_000, seed=5)
    rng = np.random.default_rng(2)
    man = rng.random(6_000) < 0.5
    x = np.column_stack([man + rng.normal(0, 0.3, 6_000), rng.normal(size=6_000)])
    unaware = Validated(
        judged.driver, judged.rating_date, judged.fold, judged.claims, judged.years, judged.mu0,
        np.exp(0.5 * x[:, 0]), judged.mu0 * np.exp(0.5 * x[:, 0]), judged.exposure_km,
    )  # fmt: skip
    group = pl.Series(np.where(man, "M", "F"))
    told = fairness.proxy(x, ("height", "noise"), unaware.relativity, group, judged.fold)
    assert told["strongest"] == "height"
    assert told["r2_features"] > 0.6
    # The aware model finds the group itself, and nothing left for its stand-in.
    free = fairness.discrimination_free(unaware, x, group, lambda _x, variants: [0.5 * v[:, 2] for v in variants])
    ratio = dict(free.select("group", "ratio").iter_rows())
    assert ratio["M"] > 1.2
    assert ratio["F"] < 0.85
    assert np.allclose(free["discrimination_free"], 1)


def test_protected_attributes_are_those_of_the_policy_that_covers_the_rating_date():
    policies = pl.DataFrame(
        {"driver_id": ["a", "a", "b"], "start": ["2024-01-01", "2025-01-01", "2024-06-01"],
         "end": ["2025-01-01", None, None], "sex": ["x", "y", "F"]}
    ).with_columns(pl.col("start", "end").str.to_date())  # fmt: skip
    rows = pl.DataFrame({"driver_id": ["b", "a", "c"], "rating_date": ["2025-01-01"] * 3}).with_columns(
        pl.col("rating_date").str.to_date()
    )
    assert fairness.protected_of(policies, rows, ("sex", "gender")).to_dict(as_series=False) == {
        "sex": ["F", "y", None]
    }
    assert fairness.protected_of(policies, rows, ("gender",)).width == 0
