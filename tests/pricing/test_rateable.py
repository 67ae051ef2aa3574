"""Who has driven too little, or was seen in too little of it, keeps the previous factor."""

from __future__ import annotations

import polars as pl
import pytest

from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from pricing.explain.tell import product
from pricing.matrix import read_inputs
from pricing.rebuild import rebuild
from pricing.receipt import row_hashes
from pricing.score import model_features, score_book
from tests.pricing.book import RATING_DATE, trained

CATALOGUE = load_catalogue()


@pytest.fixture(scope="module")
def book():
    return trained().book


@pytest.fixture(scope="module")
def model():
    return trained().model


def score(book, model, **changed):
    arguments = {"policies": book.policies.sort("policy_id"), "periods": book.periods} | changed
    return score_book(catalogue=CATALOGUE, model=model, rating_date=RATING_DATE, **arguments)


def test_a_driver_whose_speeds_are_too_coarse_to_see_keeps_the_previous_factor(book, model, tmp_path):
    coarse = pl.col("driver_id").is_in(book.drivers[:2])
    seen = pl.when(coarse).then(pl.col("distance_mm") * 2 // 5).otherwise(pl.col("accel_mm"))
    previous = pl.DataFrame({"policy_id": ["p00000"], "driver_id": ["d00000"], "factor": [1.25]})
    periods = book.periods.with_columns(accel_mm=seen)
    again = score(book, model, periods=periods, previous=previous)
    rows = again.factors
    assert rows["rateable"].head(2).to_list() == [False] * 2
    assert rows["factor"].head(2).to_list() == [1.25, 1.0]
    assert rows["rateable"].to_list()[2:] == score(book, model).factors["rateable"].to_list()[2:]
    again.save(tmp_path)
    rebuilt = rebuild(tmp_path, "p00000", periods, CATALOGUE, model)
    assert (rebuilt.factor, rebuilt.receipt) == (1.25, rebuilt.published["receipt"])
    assert "acceleration known on 40.0% of the distance\ntoo little driving, or too little of it seen" in product(
        rebuilt, CATALOGUE
    )
    assert "加速度已知的里程占 40.0%\n观察期内驾驶数据不足" in product(rebuilt, CATALOGUE, "zh")


def test_the_receipt_hashes_what_decides_whether_a_driver_is_rated(book):
    keys = book.policies.head(3).select("driver_id", rating_date=pl.lit(RATING_DATE))
    rows = rating_features(book.periods, keys, 12, CATALOGUE)
    hashes = row_hashes(model_features(rows, read_inputs(rows, CATALOGUE)))
    for name in ("exposure_km", "accel_km", "exposure_days", "trips"):
        changed = rows.with_columns(pl.col(name) - 1)
        assert not set(hashes) & set(row_hashes(model_features(changed, read_inputs(changed, CATALOGUE)))), name


def test_a_driver_with_little_driving_keeps_the_previous_factor(book, model):
    silent = book.drivers[:3]
    periods = book.periods.filter(~pl.col("driver_id").is_in(silent))
    previous = pl.DataFrame(
        {"policy_id": ["p00000", "old"], "driver_id": ["d00000", "d00001"], "factor": [1.25, 1.111111]}
    )
    rows = score(book, model, periods=periods, previous=previous).factors.head(3)
    assert rows["rateable"].to_list() == [False] * 3
    assert rows["factor"].to_list() == [1.25, 1.111111, 1.0]
    assert rows["tier"].to_list() == [None] * 3
    assert rows["indicated_relativity"].to_list() == [1.0] * 3
    assert rows["trips"].to_list() == [0] * 3
    assert rows.select("^(reason|effect)_.$").null_count().row(0) == (3,) * 6
