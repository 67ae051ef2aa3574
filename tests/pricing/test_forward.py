from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import polars as pl
import pytest

from pricing.fit import fit_validated
from pricing.forward import by_dates, by_halves, forward_test
from pricing.plan import load_plan
from pricing.tariff import Tariff
from tests.pricing.drivers import CATALOGUE, RATING_DATE, rating_rows

DEFAULT = load_plan()
MODEL = dataclasses.replace(DEFAULT.model, learning_rate=0.1, rounds=(0, 40, 80, 120), folds=3)
PLAN = dataclasses.replace(DEFAULT, model=MODEL)


@pytest.fixture(scope="module")
def rows():
    return rating_rows(9_000)


@pytest.fixture(scope="module")
def fitted(rows):
    return fit_validated(rows, CATALOGUE, PLAN, Tariff("frequency", 1.0))


def halved(rows, seed=3):
    """Labels of the first half of the window, as claims would fall."""
    first = np.random.default_rng(seed).binomial(rows["claims"].to_numpy(), 0.5)
    return rows.select(
        "driver_id", "rating_date", pl.Series("claims", first), pl.col("years") / 2, pl.col("expected_claims") / 2
    )


def test_the_halves_are_disjoint_and_whole(rows):
    early, late, told = by_halves(rows, halved(rows))
    assert (early["claims"] + late["claims"]).to_list() == rows["claims"].to_list()
    assert (early["expected_claims"] + late["expected_claims"]).to_numpy() == pytest.approx(
        rows["expected_claims"].to_numpy()
    )
    assert "first half" in told


def test_who_left_in_the_first_half_is_foretold_nothing(rows):
    whole = halved(rows).with_columns(years=rows["years"], expected_claims=rows["expected_claims"])
    _, late, _ = by_halves(rows, whole)
    assert late.is_empty()


def test_later_claims_are_foretold_better_than_by_the_tariff(rows, fitted):
    early, late, told = by_halves(rows, halved(rows))
    table = forward_test(early, late, told, CATALOGUE, fitted.model, fitted.chosen)
    row = table.row(0, named=True)
    assert row["claims_learned"] + row["claims_foretold"] == fitted.sample.claims.sum()
    assert row["deviance_telematics"] < row["deviance_tariff"]
    assert row["gini_telematics"] > row["gini_tariff"]
    assert row["slope_low"] < 1 < row["slope_high"]
    assert row["observed_over_foretold"] == pytest.approx(1, abs=0.1)


def test_later_claims_that_follow_nothing_are_not_foretold(rows, fitted):
    early, late, told = by_halves(rows, halved(rows))
    luck = late.with_columns(claims=np.random.default_rng(9).poisson(late["expected_claims"].to_numpy()))
    row = forward_test(early, luck, told, CATALOGUE, fitted.model, fitted.chosen).row(0, named=True)
    assert row["slope_high"] < 0.6
    assert row["deviance_telematics"] > row["deviance_tariff"]


def test_only_dates_whose_claims_were_known_by_then_are_learned_from(rows):
    dates = [date(2023, 1, 1), date(2024, 1, 1), date(2024, 7, 1), RATING_DATE]
    several = pl.concat([rows.head(10).with_columns(rating_date=pl.lit(day)) for day in dates])
    early, late, told = by_dates(several, 12)
    assert early["rating_date"].unique().sort().to_list() == dates[:2]
    assert late["rating_date"].unique().to_list() == [RATING_DATE]
    assert "2023-01-01, 2024-01-01, foretold 2025-01-01" in told
    assert by_dates(rows, 12) is None
    assert by_dates(several.filter(pl.col("rating_date") >= dates[2]), 12) is None


def test_too_few_claims_on_a_side_tell_nothing(rows, fitted):
    assert forward_test(rows, rows.head(20), "few", CATALOGUE, fitted.model, fitted.chosen).is_empty()
