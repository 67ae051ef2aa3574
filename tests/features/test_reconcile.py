"""Recorded against driven distance: the counters of the car, and names of box, car and stream, over a window."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contract import reconcile as reconcile_module
from features.contract.reconcile import reconcile
from features.contract.window import rating_features
from features.periods import merge, sum_trips
from ingest.contract.tables import TRIPS
from tests.features.lakes import utc_ms

KM = 1_000  # in m
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
EVENTS = pl.DataFrame(schema={"trip_key": pl.UInt64, "kind": pl.Int16, "level": pl.Int16, "onset_ms": pl.Int64})
ASKED = pl.DataFrame({"driver_id": ["ann"], "rating_date": [date(2025, 4, 1)]})


@pytest.fixture(scope="module", autouse=True)
def readings_without_age():
    """These readings are of the very end of their trips; `test_readings_that_age...` is about others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile_module, "LAST_M_PER_S", 0.0)
        yield


def trip(day, odometer=None, since_clear=None, km=None, **columns):
    """A trip on a day of the year 2025, an hour long, with its readings (start, end) in km."""
    ends = odometer or since_clear or (0, km)
    distance_km = ends[1] - ends[0] if km is None else km
    row = {
        "trip_key": day,
        "device_id": "box",
        "stream_id": "aa",
        "vin_hash": "01",
        "start_ms": utc_ms(2025, 1, 1, 8) + (day - 1) * DAY_MS,
        "complete": True,
        "chain_ok": True,
        "represents": 1,
        "utc_offset_min": 60,
        "duration_ms": HOUR_MS,
        "moving_ms": HOUR_MS,
        "samples": 7_200,
        "unobserved_ms": 0,
        "distance_mm": round(distance_km * 1e6),
        "distance_by_speed_mm": [{"key": 4, "value": round(distance_km * 1e6)}],
    }
    for name, reading in (("odometer", odometer), ("distance_since_clear", since_clear)):
        if reading:
            row |= {f"{name}_start_m": round(reading[0] * KM), f"{name}_end_m": round(reading[1] * KM)}
    return row | columns


def periods(rows, driver="ann", policy="P1"):
    trips = pl.DataFrame(rows, schema=TRIPS).with_columns(
        policy_id=pl.lit(policy), driver_id=pl.lit(driver), region=pl.lit(None, pl.String)
    )
    return sum_trips(trips, EVENTS)


def found(rows):
    own = periods(rows).with_columns(window=pl.lit(0, pl.Int64))
    return {name: int(values[0]) for name, values in reconcile(1, own).items()}


def features_of(rows):
    return rating_features(periods(rows), ASKED).row(0, named=True)


def test_all_recorded_is_all_driven():
    row = features_of([trip(1, (100, 140)), trip(2, (140, 200))])
    assert (row["recorded_km_share"], row["unplugged_km_share"], row["unplugged_km_per_day"]) == (1.0, 0.0, 0.0)
    assert row["recorded_km_share_least"] > 0.95
    assert row["recorded_km_share_most"] == 1.0


def test_what_the_counter_rose_between_trips_is_unplugged():
    row = features_of([trip(1, (100, 140)), trip(40, (200, 240))])  # also from month to month
    assert row["unplugged_km_share"] == pytest.approx(60 / 140)
    assert row["recorded_km_share"] == pytest.approx(80 / 140)
    assert row["recorded_km_share_least"] < 80 / 140 < row["recorded_km_share_most"]


def test_what_was_lost_within_a_trip_is_not_recorded_and_not_unplugged():
    whole, cut = trip(1, (100, 200)), trip(2, (200, 300), km=40, unobserved_ms=HOUR_MS // 2)
    row = features_of([whole, cut])
    assert row["recorded_km_share"] == pytest.approx(0.7)
    assert row["unplugged_km_share"] == 0.0
    assert row["gap_trip_share"] == 0.5


def test_the_scale_of_recorded_distance_is_learnt_from_trips_without_gap():
    """A speedometer that tells 3 % less: nothing is missing."""
    row = features_of([trip(day, (100 * day, 100 * day + 100), km=97) for day in range(1, 9)])
    assert row["odometer_agreement"] == pytest.approx(0.97)
    assert row["recorded_km_share"] == pytest.approx(1.0)


def test_without_a_counter_nothing_is_known():
    row = features_of([trip(1, km=40), trip(2, km=60)])
    assert row["recorded_km_share"] is row["unplugged_km_share"] is row["unplugged_km_per_day"] is None
    assert row["odometer_known_trip_share"] == 0.0
    assert row["odometer_falls_per_year"] is None


def test_trips_without_their_own_readings_fill_the_gap_they_lie_in():
    row = features_of([trip(1, (100, 140)), trip(2, km=60), trip(3, (200, 240))])
    assert row["recorded_km_share"] == pytest.approx(1.0)
    assert row["unplugged_km_share"] == 0.0
    assert row["recorded_km_share_least"] < 80 / 140  # they may as well have been driven before or after


def test_distance_since_codes_were_cleared_stands_in_for_the_odometer():
    row = features_of([trip(1, since_clear=(100, 140)), trip(2, since_clear=(200, 240))])
    assert row["unplugged_km_share"] == pytest.approx(60 / 140)
    assert row["codes_cleared_per_year"] == 0.0


@pytest.mark.parametrize("second", [2, 40])
def test_cleared_codes_are_counted_and_invent_no_distance(second):
    rows = [trip(1, since_clear=(30_000, 30_040)), trip(second, since_clear=(2, 62))]
    got = found(rows)
    assert got["codes_cleared_seen"] == 1
    assert got["unplugged_m"] == 0
    assert got["driven_m"] in (0, 100 * KM)  # within one month the chain is not trusted at all


def test_a_counter_that_falls_within_a_trip_is_counted():
    got = found([trip(1, (100, 140)), trip(2, (140, 90), km=10)])
    assert (got["odometer_falls_seen"], got["driven_m"]) == (1, 0)


def test_a_full_counter_of_two_bytes_is_no_reading():
    assert found([trip(1, since_clear=(65_535, 65_535), km=40)])["driven_m"] == 0


def test_another_car_in_the_box_ends_the_chain_and_is_counted():
    rows = [trip(1, (100, 140)), trip(40, (50_000, 50_060), vin_hash="02"), trip(70, (50_060, 50_100), vin_hash="02")]
    got = found(rows)
    assert (got["vin_changes"], got["driven_m"], got["unplugged_m"]) == (1, 140 * KM, 0)


def test_two_cars_in_a_month_are_counted_and_reconcile_nothing():
    got = found([trip(1, (100, 140)), trip(2, (50_000, 50_060), vin_hash="02")])
    assert (got["vin_changes"], got["driven_m"]) == (1, 0)


def test_a_vin_that_is_read_only_now_and_then_is_no_change():
    rows = [trip(1, (100, 140)), trip(40, (140, 180), vin_hash=None), trip(70, (180, 200))]
    assert found(rows)["vin_changes"] == 0
    assert found(rows)["driven_m"] == 100 * KM


def test_boxes_and_streams_are_counted():
    rows = [trip(1, (100, 140)), trip(40, (140, 180), stream_id="bb"), trip(70, (180, 200), device_id="new")]
    got = found(rows)
    assert (got["stream_changes"], got["device_changes"]) == (1, 1)


def test_recordings_that_are_played_are_no_new_streams():
    rows = [trip(day, (day, day + 1), stream_id=f"{day:02d}", recording="ff") for day in (1, 40, 70)]
    assert found(rows)["stream_changes"] == 0


def test_a_doubtful_clock_places_no_reading_but_its_distance_counts():
    """Its clock says a year ago; the odometer knows better."""
    early = trip(1, (140, 200), clock_suspect=True, trip_key=99)
    got = found([trip(2, (100, 140)), early, trip(3, (200, 240))])
    assert (got["driven_m"], got["unplugged_m"], got["odometer_falls_seen"]) == (140 * KM, 0, 0)


def test_a_trip_that_stands_for_several_has_no_counter():
    assert found([trip(1, (100, 140), represents=3)])["driven_m"] == 0


def test_two_policies_of_one_box_in_a_month_are_one_chain():
    parts = [periods([trip(1, (100, 140))]), periods([trip(20, (160, 200))], policy="P2")]
    row = rating_features(merge(parts), ASKED).row(0, named=True)
    assert row["unplugged_km_share"] == pytest.approx(0.2)


TRIPS_OF_A_YEAR = [
    trip(day, (10 * day, 10 * day + 8), since_clear=(day % 50 * 10, day % 50 * 10 + 8), vin_hash=f"0{day // 45}")
    for day in range(1, 90)
]


@given(st.permutations(range(len(TRIPS_OF_A_YEAR))), st.lists(st.integers(0, len(TRIPS_OF_A_YEAR)), max_size=5))
def test_counters_and_names_merge_to_the_whole_in_any_order(order, cuts):
    rows = [TRIPS_OF_A_YEAR[k] for k in order]
    bounds = [0, *sorted(cuts), len(rows)]
    assert merge([periods(rows[low:high]) for low, high in pairwise(bounds)]).equals(merge([periods(TRIPS_OF_A_YEAR)]))


@given(st.lists(st.booleans(), min_size=3, max_size=40))
def test_no_interval_misses_what_was_left_out_between_the_first_and_the_last_trip(kept):
    """Whole trips left out of a drive with exact readings: the share is exact, and the interval holds it."""
    rows = [row for row, keep in zip(TRIPS_OF_A_YEAR[:40], kept, strict=False) if keep]
    if rows:
        got = found([row | {"vin_hash": "01", "distance_since_clear_start_m": None} for row in rows])
        driven = rows[-1]["odometer_end_m"] - rows[0]["odometer_start_m"]
        recorded = sum(row["odometer_end_m"] - row["odometer_start_m"] for row in rows)
        assert (got["driven_m"], got["unplugged_m"]) == (driven, driven - recorded)
        assert got["recorded_least_m"] <= recorded <= got["recorded_most_m"]


def test_a_counter_that_jumps_within_a_trip_was_misread_and_accuses_nobody():
    rows = [trip(1, (100, 140)), trip(2, (140, 400_000), km=40), trip(3, (180, 220))]
    got = found(rows)
    assert (got["odometer_falls_seen"], got["driven_m"], got["unplugged_m"]) == (0, 120 * KM, 0)


def test_readings_that_age_before_a_trip_ends_are_no_unplugging(monkeypatch):
    """Asked once a minute, the counter misses the last 125 m of each trip on average."""
    rows = [trip(day, (10 * day, 10 * day + 9.875), km=10) for day in range(1, 80)]
    assert found(rows)["unplugged_m"] == 78 * 125
    monkeypatch.setattr(reconcile_module, "LAST_M_PER_S", 125 / 30)
    got = found(rows)
    assert (got["unplugged_m"], got["driven_m"], got["recorded_m"]) == (0, 790 * KM, 790 * KM)
    assert got["recorded_least_m"] < 0.99 * got["driven_m"]
