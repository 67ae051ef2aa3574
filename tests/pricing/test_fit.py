from __future__ import annotations

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from pricing import evaluate
from pricing.errors import ModelError
from pricing.fit import fit, fold_of
from pricing.matrix import rateable, read_inputs
from pricing.model import load_model
from pricing.plan import load_plan
from pricing.ranking import held_out_ranking
from pricing.tariff import Tariff
from tests.pricing.drivers import CATALOGUE, rating_rows

PLAN = load_plan()
TARIFF = Tariff("frequency", 1.0)


@pytest.fixture(scope="module")
def rows():
    return rating_rows(12_000)


@pytest.fixture(scope="module")
def model(rows):
    return fit(rows, CATALOGUE, PLAN, TARIFF)


def test_telematics_ranks_unseen_drivers_better_than_the_tariff(model):
    unseen = rating_rows(20_000, seed=2)
    relativity = model.rate(read_inputs(unseen, CATALOGUE)).relativity
    true, years, mu0 = (unseen[name].to_numpy() for name in ("true_claims", "years", "expected_claims"))
    tariff, telematics, truth = (evaluate.gini(true, years, r / years) for r in (mu0, mu0 * relativity, true))
    assert tariff + 0.7 * (truth - tariff) < telematics < truth


def test_the_model_says_what_the_tariff_left_over(model, rows):
    enough = rows.filter(rateable(rows, PLAN.rateable))
    relativity = model.rate(read_inputs(enough, CATALOGUE)).relativity
    mu0 = enough["expected_claims"].to_numpy()
    assert abs(np.average(np.log(relativity), weights=mu0)) < 1e-9 * len(mu0)
    assert (mu0 * np.exp(model.level + model.calibration.a) * relativity).sum() == pytest.approx(
        enough["claims"].sum(), rel=0.02
    )


def test_a_tariff_twice_as_high_gives_the_same_relativities(rows, model):
    twice = fit(rows.with_columns(pl.col("expected_claims") * 2), CATALOGUE, PLAN, TARIFF)
    inputs = read_inputs(rows.head(500), CATALOGUE)
    assert twice.rate(inputs).relativity == pytest.approx(model.rate(inputs).relativity, rel=1e-6)
    assert twice.level == pytest.approx(model.level - np.log(2))


def test_neither_order_nor_threads_nor_truth_change_the_model(rows, model):
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=5).drop("true_claims")
    again = fit(shuffled, CATALOGUE, PLAN, TARIFF, threads=2)
    assert again.model_id == model.model_id
    assert again == model


def test_a_driver_is_in_one_fold_whoever_else_is_there():
    drivers = tuple(f"d{i}" for i in range(2000))
    folds = fold_of(drivers, 5, 1)
    assert fold_of(drivers[::-1], 5, 1)[::-1].tolist() == folds.tolist()
    assert fold_of(drivers[7:8], 5, 1)[0] == folds[7]
    assert np.bincount(folds).min() > 330


def test_two_rating_dates_of_a_driver_share_a_fold(rows, model):
    other_year = rows.with_columns(rating_date=pl.col("rating_date").dt.offset_by("-1y"))
    twice = pl.concat([rows, other_year]).sort("driver_id", "rating_date")
    honest = fit(twice, CATALOGUE, PLAN, TARIFF).diagnostics["gini_telematics"]
    assert honest == pytest.approx(model.diagnostics["gini_telematics"], abs=0.02)


def test_scores_of_drivers_do_not_depend_on_company(model):
    book = rating_rows(50, seed=8)
    together = model.rate(read_inputs(book, CATALOGUE))
    for k in (0, 17, 49):
        alone = model.rate(read_inputs(book[k], CATALOGUE))
        assert alone.relativity[0] == together.relativity[k]


def test_one_harsh_braking_more_never_lowers_the_relativity(model):
    book = rating_rows(500, seed=8)
    more = book.with_columns(
        pl.col("brake_rate__n") + 1, brake_rate=(pl.col("brake_rate__n") + 1) / pl.col("exposure_km")
    )
    before, after = (model.rate(read_inputs(frame, CATALOGUE)).relativity for frame in (book, more))
    assert (after >= before).all()
    assert (after > before).any()


def test_a_saved_model_is_the_model(model, tmp_path):
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    book = read_inputs(rating_rows(200, seed=3), CATALOGUE)
    assert again == model
    assert again.rate(book).relativity.tolist() == model.rate(book).relativity.tolist()
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "main_effects.csv",
        "manifest.json",
        "model.txt",
        "pair_effects.csv",
    ]


@pytest.mark.parametrize(("file", "before", "after"), [
    ("model.txt", "Tree=1\n", "Tree=1 \n"),
    ("manifest.json", '"upper": 1.3', '"upper": 1.4'),
    ("manifest.json", '"plan": {', '"plan": {"no_key": 1,'),
    ("manifest.json", '"plan": {', '"was": {'),
])  # fmt: skip
def test_a_model_that_was_changed_is_refused(model, tmp_path, file, before, after):
    model.save(tmp_path)
    text = (tmp_path / file).read_text()
    assert before in text
    (tmp_path / file).write_text(text.replace(before, after, 1))
    with pytest.raises(ModelError, match="was changed after training"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no model there .manifest.json is missing."),
        ("{", "not a model's manifest"),
        ('{"format": 99}', "format 99 is not 6"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(model, tmp_path, content, message):
    model.save(tmp_path)
    (tmp_path / "manifest.json").unlink() if content is None else (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path)


def test_a_model_of_before_a_key_of_the_plan_came_is_the_same_model(model, tmp_path):
    model.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["plan"]["factor"]["kept_discount_share"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert load_model(tmp_path).model_id == model.model_id == manifest["model_id"]


def test_the_manifest_holds_the_frozen_constants(model, tmp_path):
    model.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["plan_sha256"] == PLAN.content_hash()
    assert {"a", "b", "b_low", "b_high", "kappa_km"} <= manifest["components"]["frequency"]["calibration"].keys()
    assert manifest["rate_priors"].keys() == {"brake_rate", "accel_rate"}
    assert manifest["catalogue_version"] == "test-1"
    assert len(manifest["reference_quantiles"]) == 1001


def test_scores_of_the_reference_book_are_spread_evenly(model, rows):
    scores = model.percentile_score(model.rate(read_inputs(rows, CATALOGUE)).relativity)
    assert np.quantile(scores, [0.1, 0.5, 0.9]) == pytest.approx([10, 50, 90], abs=1.5)
    assert model.percentile_score(np.array([1e-9, 1e9])).tolist() == [100.0, 0.0]


def test_little_driving_is_not_trained_on(rows):
    few = rows.with_columns(exposure_km=pl.lit(400.0), claims=pl.lit(50))
    few = few.with_columns(pl.format("few-{}", "driver_id").alias("driver_id"))
    both = pl.concat([rows, few.select(rows.columns).cast(rows.schema)])
    assert fit(both, CATALOGUE, PLAN, TARIFF).model_id == fit(rows, CATALOGUE, PLAN, TARIFF).model_id


def test_too_few_claims_are_refused():
    with pytest.raises(ModelError, match="too few to learn from"):
        fit(rating_rows(40, frequency=0.01), CATALOGUE, PLAN, TARIFF)


def test_a_slope_outside_the_band_fails_unless_the_plan_accepts_it(rows):
    strict = dataclasses.replace(PLAN.credibility, slope_band=(0.999, 1.0001))
    strict_plan = dataclasses.replace(PLAN, credibility=strict, model=dataclasses.replace(PLAN.model, rounds=(0, 1)))
    with pytest.raises(ModelError, match="accept it with credibility"):
        fit(rows, CATALOGUE, strict_plan, TARIFF)
    lenient = dataclasses.replace(strict_plan, credibility=dataclasses.replace(strict, accept_miscalibrated=True))
    assert fit(rows, CATALOGUE, lenient, TARIFF).diagnostics["slope_accepted"] is False


def test_noise_alone_gives_no_factor():
    rows = rating_rows(6_000)
    luck = rows.with_columns(claims=pl.Series(np.random.default_rng(3).poisson(rows["expected_claims"].to_numpy())))
    plan = dataclasses.replace(PLAN, credibility=dataclasses.replace(PLAN.credibility, accept_miscalibrated=True))
    model = fit(luck, CATALOGUE, plan, TARIFF)
    relativity = model.rate(read_inputs(rows, CATALOGUE)).relativity
    assert np.quantile(relativity, [0.05, 0.95]) == pytest.approx([1, 1], abs=0.12)


def test_a_catalogue_with_other_features_is_refused(model):
    smaller = dataclasses.replace(CATALOGUE, features=CATALOGUE.features[:-1])
    with pytest.raises(ModelError, match="other features than the model was trained on"):
        model.rate(read_inputs(rating_rows(5), smaller))
    with pytest.raises(ModelError, match="lack the column noise"):
        read_inputs(rating_rows(5).drop("noise"), CATALOGUE)


def test_held_out_ranking_lies_between_tariff_and_truth(rows):
    ranking = held_out_ranking(rows, CATALOGUE, PLAN, truth="true_claims")
    assert ranking.sure_tariff < ranking.sure_telematics < ranking.sure_truth
    assert ranking.gini_tariff < ranking.gini_telematics
    assert ranking.deviance_telematics < ranking.deviance_tariff
    assert 3_000 < ranking.drivers < 5_000
    blind = held_out_ranking(rows.drop("true_claims"), CATALOGUE, PLAN)
    assert (blind.gini_truth, blind.sure_truth, blind.gini_telematics) == (None, None, ranking.gini_telematics)


def test_what_was_known_of_all_and_is_not_known_here_is_typical_and_not_the_safest(model):
    """LightGBM takes 0 for a missing value of a feature that was never missing in training."""
    book = rating_rows(2_000, seed=9)
    blank = pl.lit(None, pl.Float64)
    silent = book.with_columns(brake_rate=blank, brake_rate__n=blank, brake_rate__km=pl.lit(0.0))
    known, unknown = (model.rate(read_inputs(frame, CATALOGUE)) for frame in (book, silent))
    withheld = unknown.relativity / known.relativity
    assert 0.3 < (withheld < 1).mean() < 0.7
    gentle = book.with_columns(brake_rate=0.0, brake_rate__n=pl.lit(0.0))
    assert (model.rate(read_inputs(gentle, CATALOGUE)).relativity < unknown.relativity).mean() > 0.9
    contributions = model.tables.contributions(unknown.matrix).sum(axis=1) - model.s_bar
    assert contributions == pytest.approx(unknown.score, abs=1e-9)
