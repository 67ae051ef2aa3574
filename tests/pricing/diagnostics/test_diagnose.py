from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from pricing.diagnostics import challengers, diagnose
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.fit import fit_validated
from pricing.plan import load_plan
from pricing.tariff import Tariff
from tests.pricing.drivers import CATALOGUE, rating_rows

PLAN = load_plan()


@pytest.fixture(scope="module")
def fitted():
    return fit_validated(rating_rows(4_000), CATALOGUE, PLAN, Tariff("frequency", 1.0))


@pytest.fixture(scope="module")
def tables(fitted):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(challengers, "EBM_ROUNDS", 20)
        patch.setattr(challengers, "EBM_PAIRS", 1)
        yield _tables(fitted)


def _tables(fitted):
    sex = pl.Series("sex", np.random.default_rng(1).choice(["F", "M"], fitted.rows.height))
    return diagnose(
        fitted.validation, fitted.rows, fitted.model, CATALOGUE, PLAN, protected=pl.DataFrame([sex]), challengers=True
    )


def test_every_table_is_there_and_sums_up_at_least_twenty_drivers(tables):
    assert set(tables) == {
        "accuracy", "curves", "lift", "double_lift", "calibration", "relativities", "strength", "stability",
        "reference", "fairness_groups", "fairness_proxy", "fairness_free",
    }  # fmt: skip
    for table in tables.values():
        if "drivers" in table.columns:
            assert table["drivers"].min() >= LEAST_DRIVERS


def test_no_table_names_a_driver(tables, fitted):
    drivers = set(fitted.rows["driver_id"])
    for table in tables.values():
        for column in table.select(pl.col(pl.String)):
            assert not drivers & set(column)


def test_the_same_rows_give_the_same_tables(tables, fitted):
    again = diagnose(fitted.validation, fitted.rows, fitted.model, CATALOGUE, PLAN)
    for name, table in again.items():
        kept = tables[name].filter(pl.col(table.columns[0]).is_in(table[table.columns[0]].implode()))
        assert table.equals(kept), name


def test_parts_by_tier_hold_the_tiers_of_the_relativity_that_the_factor_rests_on(fitted):
    doubled = fitted.validation.with_columns(pl.col("indicated_relativity") * 100)  # as severity's part would move it
    told = diagnose(doubled, fitted.rows, fitted.model, CATALOGUE, PLAN)["stability"]
    tiers = told.filter(pl.col("part") == "tier")["value"].to_list()
    assert tiers == [str(len(fitted.model.tiers))]


def test_an_attribute_that_says_nothing_leaves_the_discrimination_free_price_where_the_price_is(tables, fitted):
    cautious = dataclasses.replace(
        fitted.model.frequency, calibration=dataclasses.replace(fitted.model.calibration, kappa_km=20_000.0)
    )
    held = dataclasses.replace(fitted.model, frequency=cautious)
    strength = cautious.strength(fitted.rows["exposure_km"].to_numpy())
    relativity = np.exp(strength * fitted.validation["score"].to_numpy())
    driving = pl.Series("sex", np.where(fitted.validation["score"].to_numpy() > 0, "worse", "better"))
    told = diagnose(
        fitted.validation.with_columns(pl.Series("relativity", relativity)), fitted.rows, held, CATALOGUE, PLAN,
        protected=pl.DataFrame([driving]),
    )["fairness_free"]  # fmt: skip
    # The attribute is the driving itself: claims do not depend on it beyond the driving that both models know.
    assert told["ratio"].to_list() == pytest.approx([1, 1], abs=0.03)


def test_groups_add_up_to_the_book(tables, fitted):
    total = fitted.validation["claims"].sum()
    for name in ("lift", "double_lift", "calibration", "fairness_groups"):
        assert tables[name]["claims"].sum() == total
        assert tables[name]["expected_model"].sum() == pytest.approx(fitted.validation["mu0"].sum())
    by_variable = tables["relativities"].group_by("variable").agg(pl.col("claims").sum())
    assert set(by_variable["variable"]) == set(fitted.model.tables.features)
    assert (by_variable["claims"] == total).all()


def test_the_command_tells_the_ranking_that_the_pack_tells(tables, fitted):
    told, judged = fitted.model.diagnostics, {row["predictor"]: row for row in tables["accuracy"].to_dicts()}
    for ours, theirs in (("tariff", "tariff"), ("telematics", "tariff + telematics")):
        assert told[f"gini_{ours}"] == pytest.approx(judged[theirs]["gini"], abs=1e-6)
        assert told[f"deviance_{ours}"] == pytest.approx(judged[theirs]["deviance"], rel=1e-3)


def test_every_predictor_is_judged_on_the_same_rows(tables):
    judged = tables["accuracy"]
    assert judged["predictor"].to_list()[:3] == ["one rate for all", "tariff", "tariff + telematics"]
    assert {"GLM on bands", "EBM"} <= set(judged["predictor"])
    assert judged["uncertainty"].n_unique() == 1
    parts = judged["uncertainty"] - judged["discrimination"] + judged["miscalibration"]
    assert np.allclose(parts, judged["deviance"], atol=1e-6)
    gini = dict(zip(judged["predictor"], judged["gini"], strict=True))
    for name in ("tariff + telematics", "GLM on bands", "EBM"):
        assert gini[name] > gini["tariff"]


def test_an_attribute_by_coin_flip_moves_nothing(tables):
    proxy, free = tables["fairness_proxy"], tables["fairness_free"]
    assert proxy["r2_features"][0] < 0.01
    assert np.abs(free["ratio"] - 1).max() < 0.01


def test_amounts_are_judged_where_the_model_includes_severity():
    rng = np.random.default_rng(4)
    rows = rating_rows(3_000)
    paid = rows["claims"].to_numpy()
    amount = np.where(paid > 0, rng.gamma(2.0, 500.0, rows.height) * paid, 0.0)
    rows = rows.with_columns(pl.Series("paid_claims", paid.astype(float)), pl.Series("claim_amount", amount))
    plan = dataclasses.replace(PLAN, model=dataclasses.replace(PLAN.model, severity=True))
    fitted = fit_validated(rows, CATALOGUE, plan, Tariff("frequency", 1.0))
    told = diagnose(fitted.validation, fitted.rows, fitted.model, CATALOGUE, plan)["amounts"]
    assert told["amount"].sum() == pytest.approx(amount.sum())
    assert (told["ratio_model_low"] <= told["ratio_model"]).all()
    assert abs(told["ratio_model"][0] - 1) < abs(told["ratio_tariff"][0] - 1)
