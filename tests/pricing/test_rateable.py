"""Who has driven too little, or was seen in too little of it, keeps the previous factor."""

from __future__ import annotations

import dataclasses
import math

import polars as pl
import pytest

from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from pricing.explain.tell import product
from pricing.matrix import read_inputs
from pricing.rebuild import rebuild
from pricing.receipt import row_hashes
from pricing.score import model_features, score_book
from tests.pricing.book import RATING_DATE

CATALOGUE = load_catalogue()


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


def test_a_kept_discount_fades_where_the_plan_says_so_and_explain_tells_it(book, model, tmp_path):
    plan = dataclasses.replace(model.plan, factor=dataclasses.replace(model.plan.factor, kept_discount_share=0.75))
    fading = dataclasses.replace(model, plan=plan)
    silent = ["p00000", "p00001", "p00002"]
    periods = book.periods.filter(~pl.col("driver_id").is_in(book.drivers[:3]))
    previous = pl.DataFrame({"policy_id": silent, "driver_id": book.drivers[:3], "factor": [0.8, 1.25, 0.4]})
    scored = score(book, fading, periods=periods, previous=previous)
    assert scored.factors["factor"].head(3).to_list() == [0.85, 1.25, 0.46]
    assert scored.factors["limited"].head(3).to_list() == [False, False, True]
    assert scored.book["totals"]["balance_as_written"] == pytest.approx(1, abs=1e-6)
    scored.save(tmp_path)
    told = {}
    for policy in silent:
        again = rebuild(tmp_path, policy, periods, CATALOGUE, fading)
        assert (again.factor, again.receipt) == (again.published["factor"], again.published["receipt"])
        parts = [scored.book["constants"]["base_factor"], *again.split.base, *again.split.effects[0]]
        assert math.prod([*parts, *again.adjustments.values()]) == pytest.approx(again.factor, rel=1e-9)
        told[policy] = product(again, CATALOGUE)
    assert "1.062500  fading of a kept discount (share kept at each rating: 75%)" in told["p00000"]
    assert "fading" not in told["p00001"]
    assert told["p00002"].splitlines()[2].endswith("limited by the renewal limit")
    assert "沿用的优惠递减（每次定价保留 75%）" in product(again, CATALOGUE, "zh")


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
