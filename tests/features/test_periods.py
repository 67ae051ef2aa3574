"""Driver periods: sums by policy, driver and month that merge in any order."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS
from features.contract.periods import DRIVER_PERIODS, NULLABLE
from features.periods import merge, sum_trips
from features.policies import assign
from ingest.contract.publish import conform
from tests.features.lakes import drive, sealed, utc_ms, year_of_trips

TRIPS = year_of_trips()
TABLES = sealed(TRIPS)
ASSIGNED = assign(conform("trips", TABLES["trips"]), None)
EVENTS = conform("events", TABLES["events"])


def histogram(cell) -> dict[int, int]:
    return {entry["key"]: entry["value"] for entry in cell}


def test_a_period_is_the_sum_of_its_trips():
    periods = sum_trips(ASSIGNED, EVENTS)
    assert periods.schema == DRIVER_PERIODS
    assert periods.height == 5 * 3
    rows = ASSIGNED.filter(pl.col("device_id") == "car-2", pl.col("start_ms") >= utc_ms(2025, 2, 1)).filter(
        pl.col("start_ms") < utc_ms(2025, 3, 1)
    )
    assert rows.height == 3
    (period,) = periods.filter(driver_id="car-2", month=date(2025, 2, 1)).to_dicts()
    for name in SCALAR_FIELDS:
        expected = rows[name].max() if name == "max_speed_dkmh" else rows[name].sum()
        assert period[name] == expected, name
    for name in HISTOGRAM_FIELDS:
        total = Counter()
        for cell in rows[name]:
            total.update(histogram(cell))
        assert histogram(period[name]) == dict(total), name
        assert [entry["key"] for entry in period[name]] == sorted(total)
    assert period["trips"] == 3
    assert period["incomplete_trips"] == 0
    assert period["first_start_ms"] == rows["start_ms"].min()
    assert period["last_end_ms"] == (rows["start_ms"] + rows["duration_ms"]).max()


@given(st.permutations(range(len(TRIPS))), st.lists(st.integers(0, len(TRIPS)), max_size=4))
def test_parts_merge_to_the_whole_in_any_order(order, cuts):
    shuffled = ASSIGNED[list(order)]
    bounds = [0, *sorted(cuts), shuffled.height]
    parts = [sum_trips(shuffled.slice(low, high - low), EVENTS) for low, high in pairwise(bounds)]
    assert merge(parts).equals(merge([sum_trips(ASSIGNED, EVENTS)]))


def test_a_trip_that_stands_for_seven_counts_seven_times():
    once = sum_trips(ASSIGNED, EVENTS)
    seven = sum_trips(ASSIGNED.with_columns(represents=pl.lit(7, pl.Int32)), EVENTS)
    for name in ("trips", "distance_mm", "samples", "short_trips", "accel_mm", "lateral_mm"):
        assert (seven[name] == 7 * once[name]).all(), name
    for name in ("first_start_ms", "last_end_ms", "max_speed_dkmh"):
        assert (seven[name] == once[name]).all(), name
    for name in HISTOGRAM_FIELDS:
        for a, b in zip(once[name], seven[name], strict=True):
            assert histogram(b) == {key: 7 * value for key, value in histogram(a).items()}


def test_event_counts_come_from_the_events_and_agree_with_the_summaries():
    periods = sum_trips(ASSIGNED, EVENTS)
    in_summaries = sum(sum(histogram(cell).values()) for cell in ASSIGNED["event_counts"])
    assert sum(sum(histogram(cell).values()) for cell in periods["event_counts"]) == in_summaries > 0


def test_a_trip_without_summary_counts_as_a_trip_with_its_events_and_no_distance():
    """Its trip_end never came: null sums add nothing, they do not spoil the period."""
    gone = {name: pl.lit(None, ASSIGNED.schema[name]) for name in (*SCALAR_FIELDS, *HISTOGRAM_FIELDS)}
    first = ASSIGNED.filter(pl.col("device_id") == "car-0").sort("start_ms").head(1)
    periods = sum_trips(first.with_columns(**gone, complete=pl.lit(value=False)), EVENTS)
    (period,) = periods.to_dicts()
    assert (period["trips"], period["incomplete_trips"], period["distance_mm"]) == (1, 1, 0)
    assert period["max_speed_dkmh"] == 0
    assert period["va_ms"] == []
    assert period["first_start_ms"] == period["last_end_ms"]
    assert periods.null_count().drop("policy_id", *NULLABLE).sum_horizontal()[0] == 0


def test_the_month_is_that_of_the_utc_start():
    trips = [
        drive(1, "car", utc_ms(2025, 1, 31, 23, 59), utc_offset_min=60),
        drive(2, "car", utc_ms(2025, 2, 1), utc_offset_min=-600),
    ]
    tables = sealed(trips)
    periods = sum_trips(assign(conform("trips", tables["trips"]), None), EVENTS)
    assert periods["month"].to_list() == [date(2025, 1, 1), date(2025, 2, 1)]


def test_unknown_local_time_is_distance_set_aside_never_utc():
    trips = conform("trips", sealed([drive(1, "car", utc_ms(2025, 1, 5), utc_offset_min=None)])["trips"])
    (period,) = sum_trips(assign(trips, None), EVENTS).to_dicts()
    assert period["local_unknown_mm"] == period["distance_mm"] > 0
    assert period["distance_by_hour_mm"] == []


def test_hours_told_by_a_suspect_clock_count_as_not_known_and_nothing_else_does():
    doubted = ASSIGNED.with_columns(clock_suspect=pl.col("start_ms") < utc_ms(2025, 2, 1))
    without = doubted.with_columns(
        pl.when(~pl.col("clock_suspect")).then("utc_offset_min"),
        pl.when(~pl.col("clock_suspect")).then("distance_by_hour_mm"),
    )
    period, same, sure = (sum_trips(trips, EVENTS) for trips in (doubted, without, ASSIGNED))
    assert period.equals(same)
    january = pl.col("month") == date(2025, 1, 1)
    assert period.filter(~january).equals(sure.filter(~january))
    told = period.filter(january)
    assert told["local_unknown_mm"].equals(told["distance_mm"], check_names=False)
    assert told["distance_by_hour_mm"].list.len().sum() == told["night_accel_mm"].sum() == 0
    hours = ["local_unknown_mm", "distance_by_hour_mm", "night_accel_mm", "night_harsh_events", "clock_suspect_trips"]
    assert told.drop(hours).equals(sure.filter(january).drop(hours))


def test_no_trips_give_an_empty_table_of_the_schema():
    assert sum_trips(ASSIGNED.clear(), EVENTS).schema == DRIVER_PERIODS
    assert merge([]).schema == DRIVER_PERIODS
