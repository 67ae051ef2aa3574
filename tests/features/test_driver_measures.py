"""Driver measures: against a slow twin that walks over every bin, and the features of the model made of them."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import ContractError
from device.contract.trip import ACCEL_BINS
from features.contract import driver_measures as table
from features.contract.catalogue import load_catalogue
from features.contract.driver_measures import ACCEL_MS, DRIVER_MEASURES, columns_of, driver_measures, fold, measures_of
from features.contract.measures import MEASURES
from features.contract.periods import BINS, DRIVER_PERIODS
from features.contract.window import priced_columns, priced_features, rating_features
from features.periods import sum_trips
from features.policies import assign
from ingest.contract.publish import conform
from ingest.contract.tables import HISTOGRAM
from tests.features.lakes import RATING, sealed, year_of_trips

CATALOGUE = load_catalogue()
HISTOGRAMS = sorted(BINS)
TABLES = sealed(year_of_trips())
PERIODS = sum_trips(assign(conform("trips", TABLES["trips"]), None), conform("events", TABLES["events"]))
DRIVERS = [*PERIODS["driver_id"].unique().sort(), "who never drove"]
RATING_ROWS = pl.DataFrame({"driver_id": DRIVERS, "rating_date": [RATING] * len(DRIVERS)})
DAYS = [RATING, date(2025, 3, 1), date(2025, 3, 20), date(2020, 1, 1)]


def drawn(chance, histogram: str, rows: int) -> pl.Series:
    keys = [
        sorted(chance.choice(BINS[histogram], size=chance.integers(0, 9), replace=False).tolist()) for _ in range(rows)
    ]
    cells = [[{"key": k, "value": int(chance.integers(1, 10**9))} for k in own] for own in keys]
    return pl.Series(histogram, cells, HISTOGRAM)


@given(st.integers(0, 10**6), st.integers(1, 7))
def test_measures_are_the_sums_of_weights_times_values(seed, rows_at_once):
    chance = np.random.default_rng(seed)
    lists = {histogram: drawn(chance, histogram, 12) for histogram in HISTOGRAMS}
    periods = PERIODS.head(12).with_columns(lists.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "ROWS_AT_ONCE", rows_at_once)
        found = driver_measures(periods)
    for name, measure in MEASURES.items():
        slow = [sum(int(measure.weights[e["key"]]) * e["value"] for e in row) for row in lists[measure.histogram]]
        assert found[name].to_list() == slow, name
    for bin_, name in enumerate(ACCEL_MS):
        slow = [
            sum(e["value"] for e in row if e["key"] >= ACCEL_BINS and e["key"] % ACCEL_BINS == bin_)
            for row in lists["va_ms"]
        ]
        assert found[name].to_list() == slow, name


def test_a_row_has_its_measures_and_its_sums_in_any_company():
    whole = driver_measures(PERIODS)
    assert whole.schema == DRIVER_MEASURES
    shared = [name for name in DRIVER_MEASURES if name in DRIVER_PERIODS]
    assert whole.select(shared).equals(PERIODS.select(shared))
    assert driver_measures(PERIODS[3:5]).equals(whole[3:5])
    assert driver_measures(PERIODS.clear()).equals(whole.clear())


def test_sums_beyond_what_floating_point_holds_stay_exact():
    entry = [{"key": 8 + 1, "value": 2**60 + 1}]
    folded = fold(pl.Series("event_counts", [entry], HISTOGRAM))
    assert measures_of(folded, "event_counts")["harsh_brakings"].tolist() == [2**60 + 1]


@pytest.mark.parametrize("key", [-1, 16])
def test_a_bin_that_there_is_not_is_refused(key):
    lists = pl.Series("distance_by_speed_mm", [[{"key": key, "value": 1}]], HISTOGRAM)
    with pytest.raises(ContractError, match="distance_by_speed_mm of the driver periods has bin"):
        fold(lists)


@given(
    st.lists(st.tuples(st.sampled_from(DRIVERS), st.sampled_from(DAYS)), max_size=6),
    st.permutations(range(PERIODS.height)),
    st.integers(1, 14),
)
def test_features_of_the_model_are_the_same_of_measures_as_of_driver_periods(asked, order, months):
    rating = pl.DataFrame(asked, schema={"driver_id": pl.String, "rating_date": pl.Date}, orient="row")
    whole = rating_features(PERIODS, rating, months, CATALOGUE)
    measures = driver_measures(PERIODS[list(order)]).select(priced_columns(CATALOGUE))
    priced = priced_features(measures, rating, months, CATALOGUE)
    assert priced.equals(whole.select(priced.columns))
    assert {feature.name for feature in CATALOGUE.features if feature.model} <= {*priced.columns}


def test_the_contents_of_a_window_are_those_of_its_months():
    found = rating_features(PERIODS, RATING_ROWS)
    sums = dict(PERIODS.group_by("driver_id").agg(pl.col("contents").sum()).iter_rows())
    assert dict(found.select("driver_id", "contents").iter_rows()) == sums | {"who never drove": 0}


def test_measures_of_another_release_are_refused():
    with pytest.raises(ContractError, match="the driver measures have no column"):
        priced_features(driver_measures(PERIODS).drop("night_mm"), RATING_ROWS, 12, CATALOGUE)


@pytest.mark.parametrize(("damage", "told"), [(None, "is null"), (-1, "is below 0")])
@pytest.mark.parametrize("name", ["night_mm", "accel_30_ms", "distance_mm"])
def test_measures_that_no_build_can_have_made_are_refused(name, damage, told):
    measures = driver_measures(PERIODS).select(priced_columns(CATALOGUE))
    hurt = measures.with_columns(pl.when(pl.int_range(pl.len()) == 3).then(damage).otherwise(name).alias(name))
    with pytest.raises(ContractError, match=f"{name} {told} for driver {measures['driver_id'][3]}"):
        priced_features(hurt, RATING_ROWS, 12, CATALOGUE)


def test_quantiles_are_made_of_the_times_by_acceleration():
    with_quantile = [feature for feature in CATALOGUE.features if feature.quantile is not None]
    assert {*ACCEL_MS} <= {*columns_of(with_quantile)}
    assert not {*ACCEL_MS} & {*columns_of(set(CATALOGUE.features) - set(with_quantile))}
