from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from pricing import boosting, severity
from pricing.boosting import GAMMA
from pricing.certificate import certify
from pricing.distil import distil
from pricing.errors import ModelError
from pricing.fit import fit_validated
from pricing.matrix import read_inputs
from pricing.model import load_model
from pricing.plan import load_plan
from pricing.reasons import effects
from pricing.sample import Goal, Sample
from pricing.tables import RatingTables
from pricing.tariff import Tariff
from pricing.validation import VALIDATION
from tests.pricing.drivers import CATALOGUE, rating_rows, with_amounts
from tests.pricing.test_tables import Filed

TARIFF = Tariff("frequency", 1.0)
DEFAULT = load_plan()
FAST = dataclasses.replace(DEFAULT.model, severity=True, learning_rate=0.1, rounds=(0, 25, 50, 75, 100, 150), folds=3)
PLAN = dataclasses.replace(DEFAULT, model=FAST)


@pytest.fixture(scope="module")
def rows():
    return with_amounts(rating_rows(16_000))


@pytest.fixture(scope="module")
def fitted(rows):
    return fit_validated(rows, CATALOGUE, PLAN, TARIFF)


@pytest.fixture(scope="module")
def model(fitted):
    return fitted.model


def test_amounts_that_rise_with_night_are_learned(model):
    unseen = with_amounts(rating_rows(5_000, seed=2), seed=5)
    inputs = read_inputs(unseen, CATALOGUE)
    foretold = model.severity.log_relativity(inputs.matrix(model.priors), inputs.exposure_km)
    assert np.corrcoef(foretold, np.log(unseen["true_amount"].to_numpy()))[0, 1] > 0.7
    assert model.severity.calibration.b_low > 0


def test_the_relativity_is_frequency_times_severity(model):
    inputs = read_inputs(rating_rows(200, seed=3), CATALOGUE)
    rated = model.rate(inputs)
    parts = [part.log_relativity(rated.matrix, rated.exposure_km) for part in model.components]
    assert len(parts) == 2
    assert rated.relativity == pytest.approx(np.exp(parts[0] + parts[1]), rel=1e-12)


def test_a_driver_is_looked_up_once_for_score_and_effects_and_both_are_those_of_the_tables(model, monkeypatch):
    inputs, looked_up, whole = read_inputs(rating_rows(200, seed=3), CATALOGUE), [], RatingTables.exact_contributions

    def counting(tables, x):
        looked_up.append(len(x))
        return whole(tables, x)

    monkeypatch.setattr(RatingTables, "exact_contributions", counting)
    monkeypatch.setattr(RatingTables, "exact_score", None)
    rated = model.rate(inputs)
    split = effects(model, rated)
    assert looked_up == [200] * 2
    monkeypatch.undo()
    assert rated.score.tolist() == (model.tables.score(rated.matrix) - model.s_bar).tolist()
    parts = [
        part.strength(rated.exposure_km)[:, None] * part.tables.contributions(rated.matrix)[:, :-1]
        for part in model.components
    ]
    assert split.logs.tolist() == (parts[0] + parts[1]).tolist()


def test_effects_multiply_to_the_product(model):
    rated = model.rate(read_inputs(rating_rows(300, seed=3), CATALOGUE))
    split = effects(model, rated)
    assert split.base * split.effects.prod(axis=1) == pytest.approx(rated.relativity, rel=1e-9)


def test_the_certificate_covers_both_parts(model):
    certificate = model.certificate(CATALOGUE)
    assert certificate.holds
    assert {proof.part for proof in certificate.proofs} == {"frequency", "severity"}
    against = dataclasses.replace(model.severity.calibration, b=-0.1)
    broken = dataclasses.replace(model, severity=dataclasses.replace(model.severity, calibration=against))
    with pytest.raises(ModelError, match="slope b of severity"):
        broken.check_certificate(CATALOGUE)


def test_one_braking_more_never_lowers_the_product(model):
    book = rating_rows(500, seed=8)
    more = book.with_columns(
        pl.col("brake_rate__n") + 1, brake_rate=(pl.col("brake_rate__n") + 1) / pl.col("exposure_km")
    )
    before, after = (model.rate(read_inputs(frame, CATALOGUE)).relativity for frame in (book, more))
    assert (after >= before).all()


def test_severity_is_filed_as_tables_of_its_own_and_read_back(model, tmp_path):
    model.save(tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert {"severity_main_effects.csv", "severity_pair_effects.csv", "severity_model.txt"} <= names
    again = load_model(tmp_path)
    assert again == model
    (tmp_path / "severity_pair_effects.csv").write_text("changed")
    with pytest.raises(ModelError, match=r"severity_pair_effects\.csv was changed"):
        load_model(tmp_path)


def test_the_filed_tables_alone_make_the_relativity_of_both_parts(model, tmp_path):
    model.save(tmp_path)
    filed, rows = Filed(tmp_path), rating_rows(300, seed=9)
    assert filed.tables.keys() == {"frequency", "severity"}
    found = [filed.relativity(row) for row in rows.iter_rows(named=True)]
    assert found == pytest.approx(model.rate(read_inputs(rows, CATALOGUE)).relativity.tolist(), rel=1e-9)
    without = filed.constants["components"].pop("severity")
    assert without["calibration"]["b"] > 0
    assert found != pytest.approx([filed.relativity(row) for row in rows.iter_rows(named=True)], rel=1e-3)


def test_the_constants_of_both_parts_are_told_apart(model):
    constants = model.constants()
    assert constants["b"] == model.frequency.calibration.b
    assert constants["severity_b"] == model.severity.calibration.b


def test_neither_order_nor_threads_change_the_model(rows, model):
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=5)
    assert fit_validated(shuffled, CATALOGUE, PLAN, TARIFF, threads=2).model.model_id == model.model_id


def test_amounts_that_follow_nothing_leave_the_relativity_to_frequency(rows):
    luck = with_amounts(rows, night_effect=0.0, seed=11)
    found = fit_validated(luck, CATALOGUE, PLAN, TARIFF).model
    rated = found.rate(read_inputs(rows, CATALOGUE))
    alone = found.frequency.log_relativity(rated.matrix, rated.exposure_km)
    assert np.abs(np.log(rated.relativity) - alone).max() < 0.15


def test_claims_without_amounts_are_refused_where_the_plan_wants_severity(rows):
    with pytest.raises(ModelError, match="needs the amounts of claims"):
        fit_validated(rows.drop("claim_amount"), CATALOGUE, PLAN, TARIFF)


def test_the_frame_of_out_of_fold_rows_tells_both_parts(rows, fitted):
    frame = fitted.validation
    assert frame.schema == VALIDATION
    assert frame.null_count().sum_horizontal().item() == 0
    assert frame["driver_id"].to_list() == fitted.rows["driver_id"].to_list()
    share = frame["pure_premium"] / (frame["mu"] * frame["severity"])
    assert share.to_numpy() == pytest.approx(share[0], rel=1e-9)
    assert frame["pure_premium"].sum() == pytest.approx(rows["claim_amount"].sum(), rel=0.05)
    assert (frame["mu0"] * frame["relativity"]).to_numpy() == pytest.approx(frame["mu"].to_numpy())


def goal_of(n, seed=3, slope=0.8):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 0.3, n)
    paid = rng.integers(0, 3, n).astype(float)
    amount = rng.gamma(np.maximum(paid, 1) * 2.0, 500.0 * np.exp(slope * score)) / np.maximum(paid, 1)
    return Goal(GAMMA, np.where(paid > 0, amount, 0.0), np.ones(n), paid), score


def test_the_slope_of_amounts_is_found_with_its_interval():
    goal, score = goal_of(40_000)
    found = severity.calibrate(goal, np.full(40_000, 1_000.0), np.full(40_000, 8_000.0), score, (0.0,))
    assert found.b_low < 0.8 < found.b_high
    assert found.b_high - found.b_low < 0.1
    assert found.a == pytest.approx(0.0, abs=0.02)
    assert severity.dispersion(goal_of(40_000, slope=0.0)[0]) == pytest.approx(0.5, abs=0.05)


def test_amounts_in_another_currency_give_the_same_relativities():
    goal, score = goal_of(4_000)
    x = np.column_stack([score, np.abs(score)])[goal.told]
    scores = []
    for unit in (1.0, 150.0):
        told = goal.rows(goal.told)
        amounts = told.observed * unit
        level = float(np.log((told.weight * amounts).sum() / told.weight.sum()))
        boosted = boosting.fit(
            x, amounts, told.base, level, features=("a", "b"), directions=(1, 0), rounds=20, plan=PLAN.model,
            objective=GAMMA, weight=told.weight,
        )  # fmt: skip
        scores.append(boosted.score(x))
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert np.ptp(scores[0]) > 0.3


def test_directions_hold_for_amounts(rows):
    sample = Sample.of(rows, CATALOGUE)
    goal = sample.severity()
    x = sample.inputs.matrix(sample.inputs.fit_priors())
    noisy = np.random.default_rng(1).permutation(goal.observed[goal.told])
    boosted = boosting.fit(
        x[goal.told], noisy, goal.base[goal.told], goal.level, features=sample.inputs.names,
        directions=sample.inputs.directions, rounds=40, plan=PLAN.model, objective=GAMMA, weight=goal.weight[goal.told],
    )  # fmt: skip
    tables = distil(boosted, x, sample.mu0)
    assert certify({"severity": (tables, 1.0)}, sample.inputs.directions, "").holds
