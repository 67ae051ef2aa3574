from __future__ import annotations

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from pricing.errors import ModelError
from pricing.plan import load_plan
from pricing.rating_table import MISSING, SPARSE
from pricing.tariff import Tariff, fit

AUTO = load_plan().tariff
GLM = dataclasses.replace(AUTO, source="glm", factors=("territory", "age"))


def pieces(n=20_000, seed=3):
    rng = np.random.default_rng(seed)
    territory = rng.choice(["city", "country", "town"], n)
    age = rng.integers(18, 80, n)
    days = rng.integers(30, 366, n)
    true = 0.2 * np.where(territory == "city", 1.5, np.where(territory == "town", 1.0, 0.7)) * np.where(age < 30, 2, 1)
    return pl.DataFrame(
        {"territory": territory, "age": age, "days": days, "claims": rng.poisson(true * days / 365), "true": true}
    )


def test_the_insurers_frequency_is_taken_as_it_is():
    frame = pieces(50).with_columns(tariff_frequency=pl.lit(0.05), premium_per_year=pl.lit(400.0))
    tariff = fit(frame, AUTO)
    assert tariff.source == "frequency"
    assert tariff.claims_per_year(frame).tolist() == [0.05] * 50


def test_a_premium_is_scaled_to_the_claims_of_the_training_year():
    frame = pieces().with_columns(premium_per_year=pl.col("true") * 700)
    tariff = fit(frame, AUTO)
    expected = tariff.claims_per_year(frame) * frame["days"].to_numpy() / 365
    assert tariff.source == "premium"
    assert expected.sum() == pytest.approx(frame["claims"].sum(), rel=1e-12)


def test_the_glm_finds_the_relativities_and_the_total():
    frame = pieces()
    tariff = fit(frame, GLM)
    yearly = tariff.claims_per_year(frame)
    years = frame["days"].to_numpy() / 365
    assert (yearly * years).sum() == pytest.approx(frame["claims"].sum(), rel=0.002)  # the ridge is worth 5 claims
    level = {table.factor: dict(zip(table.levels, table.log_relativity, strict=True)) for table in tariff.tables}
    assert np.exp(level["territory"]["city"] - level["territory"]["country"]) == pytest.approx(1.5 / 0.7, rel=0.12)
    assert np.corrcoef(np.log(yearly), np.log(frame["true"].to_numpy()))[0, 1] > 0.95


def test_splitting_rows_leaves_the_tariff_as_it_is():
    frame = pieces(2000)
    first = frame.with_columns(days=pl.col("days") // 3)
    second = frame.with_columns(days=pl.col("days") - pl.col("days") // 3, claims=pl.lit(0, dtype=pl.Int64))
    assert fit(pl.concat([first, second]), GLM) == fit(frame, GLM)
    by_premium = [f.with_columns(premium_per_year=pl.col("true")) for f in (pl.concat([second, first]), frame)]
    assert fit(by_premium[0], AUTO) == fit(by_premium[1], AUTO)


def test_text_numbers_of_a_csv_are_numbers():
    frame = pieces(2000)
    as_text = frame.with_columns(pl.col("age").cast(pl.String))
    assert fit(as_text, GLM) == fit(frame, GLM)
    assert fit(frame, GLM).claims_per_year(as_text).tolist() == fit(frame, GLM).claims_per_year(frame).tolist()


def test_an_unknown_level_is_the_average():
    tariff = fit(pieces(2000), GLM)
    frame = pl.DataFrame({"territory": ["moon", None], "age": [None, None]}, schema={"territory": str, "age": int})
    assert tariff.claims_per_year(frame).tolist() == [tariff.scale] * 2


def test_levels_of_few_claims_are_one_and_so_are_levels_that_training_has_not_seen(caplog):
    frame = pieces(4000).with_columns(
        territory=pl.when(pl.int_range(pl.len()) < 12)
        .then(pl.format("hamlet {}", pl.int_range(pl.len()) % 3))
        .otherwise("territory")
    )
    tariff = fit(frame, GLM)
    (territory, _) = tariff.tables
    assert territory.levels == ("city", "country", "town", SPARSE)
    assert "tariff factor territory: 3 levels below 5 expected claims are one" in caplog.text
    seen = pl.DataFrame({"territory": ["hamlet 1", "hamlet 2", "moon"], "age": [40, 40, 40]})
    assert len(set(tariff.claims_per_year(seen))) == 1
    alone = fit(frame, dataclasses.replace(GLM, min_level_claims=0.0)).tables[0]
    assert len(alone.levels) == 6


def test_a_value_that_is_often_missing_is_a_level_of_its_own(caplog):
    caplog.set_level("INFO")
    gone = pl.when(pl.int_range(pl.len()) % 4 > 0)
    frame = pieces().with_columns(gone.then("territory").alias("territory"), gone.then("age").alias("age"))
    tariff = fit(frame, GLM)
    assert [table.levels[-1] for table in tariff.tables] == [MISSING, MISSING]
    rare = fit(pieces(2000), GLM)
    nobody = pl.DataFrame({"territory": ["moon", None], "age": [40, 40]}, schema={"territory": str, "age": int})
    rare.claims_per_year(nobody)
    assert "tariff factor territory: 1 rows have a level of few or no claims; relativity 1" in caplog.text
    assert "tariff factor territory: 1 rows have no value; relativity 1" in caplog.text


def test_a_gamma_glm_tells_what_a_claim_costs():
    rng = np.random.default_rng(5)
    frame = pieces(40_000)
    mean = 2_000 * np.where(frame["territory"].to_numpy() == "city", 0.5, 1.0)
    paid = frame["claims"].to_numpy()
    amount = rng.gamma(np.maximum(paid, 1) * 2.0, mean / 2.0) * (paid > 0)
    priced = frame.with_columns(paid_claims=pl.col("claims"), claim_cents=pl.Series(np.rint(amount * 100).astype(int)))
    tariff = fit(priced, GLM)
    told = tariff.amount_per_claim(pl.DataFrame({"territory": ["city", "town"], "age": [40, 40]}))
    assert told is not None
    assert told[0] / told[1] == pytest.approx(0.5, rel=0.1)
    assert told[1] == pytest.approx(2_000, rel=0.1)
    first = priced.with_columns(days=pl.col("days") // 3)
    none = [pl.lit(0, dtype=pl.Int64).alias(name) for name in ("claims", "paid_claims", "claim_cents")]
    second = priced.with_columns(pl.col("days") - pl.col("days") // 3, *none)
    assert fit(pl.concat([first, second]), GLM) == tariff
    assert Tariff.from_dict(json.loads(json.dumps(tariff.to_dict()))) == tariff


def test_premium_over_frequency_is_the_amount_of_a_given_tariff():
    frame = pieces(3).with_columns(tariff_frequency=pl.lit(0.05), premium_per_year=pl.lit(400.0))
    told = fit(frame, AUTO).amount_per_claim(frame)
    assert told is not None
    assert told.tolist() == [8_000.0] * 3
    assert fit(frame, AUTO).amount_per_claim(frame.drop("premium_per_year")) is None


def test_a_tariff_survives_its_json_form():
    tariff = fit(pieces(2000), GLM)
    assert Tariff.from_dict(json.loads(json.dumps(tariff.to_dict()))) == tariff


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (AUTO, "neither tariff_frequency nor tariff_premium"),
        (dataclasses.replace(AUTO, source="glm"), "tariff.factors of the plan is empty"),
        (dataclasses.replace(GLM, factors=("colour",)), "needs the column colour"),
        (dataclasses.replace(AUTO, source="premium"), "needs the column tariff_premium"),
    ],
)
def test_a_tariff_that_cannot_be_made_says_what_is_missing(plan, message):
    with pytest.raises(ModelError, match=message):
        fit(pieces(100), plan)


def test_a_book_without_the_models_column_says_so():
    with pytest.raises(ModelError, match="needs the column tariff_frequency"):
        Tariff("frequency", 1.0).claims_per_year(pieces(10))
