"""Rating features held against the catalogue."""

from __future__ import annotations

import logging

import polars as pl
import pytest

from device.contract.errors import ContractError
from features.contract.catalogue import load_catalogue
from features.contract.validate import Doubt, doubts, together, validated
from features.contract.window import rating_features
from tests.features.test_window import ASKED, PERIODS

CATALOGUE = load_catalogue()
ROWS = rating_features(PERIODS, ASKED)


def test_what_the_release_makes_of_real_trips_passes(caplog):
    with caplog.at_level(logging.WARNING):
        assert validated(ROWS, CATALOGUE).equals(ROWS)


@pytest.mark.parametrize("kind", ["share", "rate", "level"])
def test_an_implausible_value_stays_and_is_told_with_the_worst_driver(kind, caplog):
    feature = next(f for f in CATALOGUE.features if f.kind == kind)
    too_much = feature.plausible[1] * 2
    values = pl.Series(feature.name, [None, 0.5, feature.plausible[1], too_much, 0.0])
    counts = [pl.lit(1.0).alias(f"{feature.name}__n")] if kind == "rate" else []
    rows = ROWS.with_columns(values, *counts, exposure_km=pl.lit(1_000.0))
    (doubt,) = [doubt for doubt in doubts(rows, CATALOGUE) if doubt.feature == feature.name]
    assert (doubt.rows, doubt.driver_id, doubt.value) == (1, ROWS["driver_id"][3], too_much)
    with caplog.at_level(logging.WARNING):
        assert validated(rows, CATALOGUE).equals(rows)
    assert f"{feature.name}: 1 of the rows outside" in caplog.text


WRONG = [
    (pl.lit(float("nan")).alias("km_per_day"), "km_per_day is not finite for driver car-3"),
    (pl.lit(float("inf")).alias("harsh_braking_per_100km__n"), "harsh_braking_per_100km__n is not finite"),
    (pl.lit(-1.0).alias("harsh_braking_per_100km__n"), "is below 0 for driver"),
    (pl.lit(1.0).alias("night_km_share"), "night_km_share is told below 100 km for driver"),
    (pl.lit(None, pl.Float64).alias("harsh_braking_per_100km__n"), "is told without harsh_braking_per_100km__n for"),
    (pl.lit(1).alias("km_per_day"), "feature km_per_day of the rating rows is Int32, not Float64"),
]


@pytest.mark.parametrize(("column", "message"), WRONG)
def test_a_value_that_breaks_its_definition_stops_the_run(column, message):
    with pytest.raises(ContractError, match=message):
        validated(ROWS.with_columns(column), CATALOGUE)


def test_a_feature_that_is_not_there_is_named():
    with pytest.raises(ContractError, match="feature km_per_day of the rating rows is None"):
        validated(ROWS.drop("km_per_day"), CATALOGUE)


def test_driver_periods_that_no_build_can_have_made_are_refused():
    with pytest.raises(ContractError, match=r"distance_mm is below 0 for driver car-.; run 'ubi features build'"):
        rating_features(PERIODS.with_columns(distance_mm=-pl.col("distance_mm")), ASKED)
    with pytest.raises(ContractError, match="trips is null for driver car-"):
        rating_features(PERIODS.with_columns(trips=pl.lit(None, pl.Int64)), ASKED)
    backwards = PERIODS.with_columns(odometer_first_ms=pl.lit(2, pl.Int64), odometer_last_ms=pl.lit(1, pl.Int64))
    with pytest.raises(ContractError, match="odometer_first_ms is after odometer_last_ms"):
        rating_features(backwards, ASKED)


def test_doubts_of_several_parts_are_one_a_feature_with_the_worst_of_all():
    near, far, low = (
        Doubt("a", rows, 0.0, 9.0, name, value) for rows, name, value in ((3, "d", 10), (2, "e", 99), (1, "f", -5))
    )
    other = Doubt("b", 4, 0.0, 1.0, "g", 2.0)
    assert together([near, other, far, low]) == [far._replace(rows=6), other]
    assert together([]) == []
