from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pricing.fit import fit_validated
from pricing.plan import load_plan
from pricing.tariff import Tariff
from pricing.twins import twins
from tests.pricing.drivers import CATALOGUE, rating_rows, with_amounts

DEFAULT = load_plan()
MODEL = dataclasses.replace(DEFAULT.model, learning_rate=0.1, rounds=(0, 40, 80, 120), folds=3)
PLAN = dataclasses.replace(DEFAULT, model=MODEL)


@pytest.fixture(scope="module")
def fitted():
    return fit_validated(with_amounts(rating_rows(8_000)), CATALOGUE, PLAN, Tariff("frequency", 1.0))


def told(fit):
    return twins(fit.sample, fit.validation["fold"].to_numpy(), fit.chosen)


@pytest.fixture(scope="module")
def tables(fitted):
    return told(fitted)


def test_each_form_is_told_with_what_it_gains_over_the_tariff(tables, fitted):
    forms = {row["form"]: row for row in tables["forms"].iter_rows(named=True)}
    assert list(forms) == ["tariff", "filed", "free of directions", "free form"]
    assert forms["filed"]["deviance"] == fitted.chosen.deviance
    assert forms["filed"]["gain"] == forms["tariff"]["deviance"] - forms["filed"]["deviance"] > 0
    assert [row["filed"] for row in forms.values()] == [True, True, False, False]
    assert forms["free form"]["share_of_free_form"] == 1


def test_the_cost_of_true_directions_is_small_and_they_are_told_to_agree(tables):
    forms = {row["form"]: row["gain"] for row in tables["forms"].iter_rows(named=True)}
    assert forms["filed"] > 0.9 * forms["free of directions"]
    directions = {row["feature"]: row for row in tables["directions"].iter_rows(named=True)}
    assert directions.keys() == {f.name for f in CATALOGUE.features if f.monotone}
    assert all(row["largest_step_against"] >= 1 for row in directions.values())


def test_a_direction_that_the_claims_go_against_is_named(caplog):
    features = [dataclasses.replace(f, direction=-1) if f.name == "km_per_day" else f for f in CATALOGUE.features]
    wrong = dataclasses.replace(CATALOGUE, features=tuple(features))
    lenient = dataclasses.replace(DEFAULT.credibility, accept_miscalibrated=True)
    plan = dataclasses.replace(PLAN, credibility=lenient)
    fit = fit_validated(rating_rows(8_000), wrong, plan, Tariff("frequency", 1.0))
    tables = told(fit)
    worst = tables["directions"].sort("largest_step_against", descending=True).row(0, named=True)
    assert (worst["feature"], worst["direction"], worst["claims_agree_everywhere"]) == ("km_per_day", -1, False)
    forms = {row["form"]: row["gain"] for row in tables["forms"].iter_rows(named=True)}
    assert forms["filed"] < forms["free of directions"]
    assert "claims go most against that of km_per_day" in caplog.text
    assert "tweedie" not in tables  # no amounts, no pure premium


def test_tweedie_and_the_product_tell_much_the_same(tables):
    row = tables["tweedie"].row(0, named=True)
    assert 1 < row["power"] < 2
    assert row["correlation_of_logs"] > 0.8
    assert row["mean_absolute_log_ratio"] < 0.25
    assert row["ratio_5_percent"] < 1 < row["ratio_95_percent"]
    assert min(row["deviance_frequency_x_severity"], row["deviance_tweedie"]) < row["deviance_tariff"]
    assert np.isfinite([v for v in row.values() if isinstance(v, float)]).all()
