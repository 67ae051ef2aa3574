"""Features as known on a rating date: the window, each kind of value, what is null, and the order of worse driving."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import features.contract.window
from device.contract.errors import ContractError
from device.contract.rules import KIND_NUMBERS
from device.contract.trip import excursion_key, va_key
from features.contract.catalogue import Quantile, load_catalogue
from features.contract.periods import BINS, DRIVER_PERIODS, MINIMA
from features.contract.window import rating_features, strength_exceeded
from features.periods import sum_trips
from features.policies import assign
from ingest.contract.publish import conform
from tests.features.lakes import RATING, sealed, year_of_trips

KM = 1_000_000  # in mm
BRAKING, LEFT, RIGHT = (KIND_NUMBERS[kind] for kind in ("harsh_braking", "harsh_turn_left", "harsh_turn_right"))
SPEEDING = KIND_NUMBERS["speeding"]
HOUR_MS = 3_600_000
FEATURES = load_catalogue().features
# Of 1,000 km of which everything is known.
SEEN = {
    **dict.fromkeys(("accel_mm", "lateral_mm", "imu_mm", "holiday_known_mm", "limit_mm"), 1_000 * KM),
    **dict.fromkeys(("braking_context_mm", "acceleration_context_mm", "turn_context_mm"), 900 * KM),
    **dict.fromkeys(("observed_ms", "limit_known_ms", "idle_ms", "moving_ms"), 20 * HOUR_MS),
    "night_accel_mm": 100 * KM,
    "distance_by_hour_mm": {2: 100 * KM, 12: 900 * KM},
    "va_ms": {va_key(speed, accel): HOUR_MS for speed in (150, 300, 700, 1_200) for accel in (-200, 0, 200)},
}


def ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def period(driver="ann", month=date(2025, 3, 1), **sums):
    """A row of driver periods; histograms as dicts."""
    row = {name: 0 for name, kind in DRIVER_PERIODS.items() if kind == pl.Int64}
    row |= {name: {} for name in BINS}
    row |= {"policy_id": None, "driver_id": driver, "month": month, "first_start_ms": ms(month)} | sums
    for name in BINS:
        row[name] = [{"key": key, "value": value} for key, value in sorted(row[name].items())]
    return row


def rate(rows, rating=(("ann", date(2025, 4, 1)),), months=12):
    periods = pl.DataFrame(rows, schema=DRIVER_PERIODS)
    asked = pl.DataFrame(rating, schema={"driver_id": pl.String, "rating_date": pl.Date}, orient="row")
    return rating_features(periods, asked, months)


def one(rows, **options):
    (row,) = rate(rows, **options).to_dicts()
    return row


def test_exposure_runs_from_the_first_trip_to_the_end_of_the_window():
    row = one([period(distance_mm=310 * KM, trips=31)])
    assert (row["exposure_km"], row["exposure_days"], row["trips"]) == (310.0, 31.0, 31)
    assert row["km_per_day"] == 10.0
    assert row["trips_per_week"] == pytest.approx(7)
    assert row["mean_trip_km"] == 10.0


def test_a_rating_date_within_a_month_sees_only_whole_months_before():
    rows = [period(distance_mm=310 * KM), period(month=date(2025, 4, 1), distance_mm=999 * KM)]
    row = one(rows, rating=[("ann", date(2025, 4, 20))])
    assert (row["exposure_km"], row["exposure_days"]) == (310.0, 31.0)


def test_the_window_begins_its_months_before():
    rows = [period(month=date(2024, month, 1), distance_mm=KM) for month in range(1, 13)]
    for months, km in ((12, 9), (3, 0), (6, 3), (24, 12)):
        assert one(rows, months=months)["exposure_km"] == km


def test_all_policies_of_a_driver_count_and_no_other_driver():
    rows = [
        period(policy_id="P1", distance_mm=KM),
        period(policy_id="P2", distance_mm=2 * KM),
        period("bob", distance_mm=8 * KM),
    ]
    assert one(rows)["exposure_km"] == 3.0


def test_shares_of_time_of_day():
    friday_22, saturday_4, monday_8, wednesday_12 = 4 * 24 + 22, 5 * 24 + 4, 8, 2 * 24 + 12
    hours = {friday_22: 100 * KM, saturday_4: 200 * KM, monday_8: 300 * KM, wednesday_12: 400 * KM}
    row = one([period(distance_mm=1_000 * KM, distance_by_hour_mm=hours)])
    assert row["night_km_share"] == pytest.approx(0.3)
    assert row["weekend_night_km_share"] == pytest.approx(0.3)
    assert row["weekend_km_share"] == pytest.approx(0.2)
    assert row["rush_hour_km_share"] == pytest.approx(0.3)


def test_unknown_local_time_is_null_not_day():
    row = one([period(distance_mm=1_000 * KM, local_unknown_mm=1_000 * KM)])
    assert row["night_km_share"] is None
    assert row["local_unknown_km_share"] == 1.0


def test_rates_are_counts_per_100_km_with_their_count_and_distance():
    counts = {BRAKING * 8 + 1: 6, BRAKING * 8 + 2: 2}
    peaks = {
        excursion_key(BRAKING, 199, 500, 500): 50,
        excursion_key(BRAKING, 200, 500, 799): 10,
        excursion_key(BRAKING, 700, 5_000, 800): 5,
        excursion_key(BRAKING, 700, 5_000, None): 1,
    }
    row = one([period(distance_mm=500 * KM, accel_mm=400 * KM, event_counts=counts, excursions=peaks)])
    assert (row["harsh_braking_per_100km"], row["severe_braking_per_100km"]) == (2.0, 0.5)
    assert (row["harsh_braking_per_100km__n"], row["harsh_braking_per_100km__km"]) == (8.0, 400.0)
    assert (row["moderate_braking_per_100km__n"], row["fast_braking_per_100km__n"]) == (16.0, 5.0)
    assert row["harsh_acceleration_per_100km"] == 0.0


def test_brakings_without_known_acceleration_are_not_known_and_not_none():
    blind = one([period(distance_mm=400 * KM, lateral_mm=400 * KM)])
    for name in ("harsh_braking_per_100km", "harsh_acceleration_per_100km", "moderate_braking_in_context"):
        assert blind[name] is None
        assert blind[f"{name}__n"] is None
        assert blind[f"{name}__km"] == 0.0


def test_turns_are_counted_per_distance_with_known_lateral_acceleration():
    counts = {LEFT * 8 + 1: 1, RIGHT * 8 + 2: 1}
    row = one([period(distance_mm=400 * KM, lateral_mm=200 * KM, event_counts=counts)])
    assert (row["harsh_turn_per_100km"], row["severe_turn_per_100km"]) == (1.0, 0.5)
    assert (row["harsh_turn_per_100km__n"], row["harsh_turn_per_100km__km"]) == (2.0, 200.0)
    blind = one([period(distance_mm=400 * KM)])
    assert blind["harsh_turn_per_100km"] is None
    assert blind["harsh_turn_per_100km__n"] is None
    assert blind["harsh_turn_per_100km__km"] == 0.0


@pytest.mark.parametrize("part", load_catalogue().parts, ids=lambda part: part.name)
def test_what_rests_on_a_part_is_null_where_that_part_is_too_small(part):
    """All is known of ten months, and nothing of this part in as many more as it takes."""
    own = [feature for feature in FEATURES if part in feature.parts]
    seen = period(distance_mm=1_000 * KM, **SEEN)
    before = one([seen])
    assert all(before[feature.name] is not None for feature in own)
    whole = "observed_ms" if part.whole == "observed_ms" else "distance_mm"
    unseen_most = int(seen[whole] / part.min_known_share) - seen[whole]
    for unseen, told in ((0, True), (unseen_most, True), (unseen_most + 2, False)):
        row = one([seen, period(month=date(2025, 2, 1), **{"distance_mm": 0, whole: unseen})])
        for feature in own:
            assert (row[feature.name] is not None) == told, feature.name
            if feature.kind == "rate":
                assert (row[f"{feature.name}__n"] is not None) == told
                assert row[f"{feature.name}__km"] == before[f"{feature.name}__km"]
            if told:
                assert row[feature.name] == before[feature.name], feature.name


def test_driving_in_coarse_steps_dilutes_a_rate_by_what_it_leaves_known_until_it_is_null():
    """A month of coarse steps keeps the acceleration of 4 % of its distance: that of steady speed, without events."""
    counts = {BRAKING * 8 + 1: 100}
    fine = {"distance_mm": 1_000 * KM, "accel_mm": 1_000 * KM, "event_counts": counts}
    coarse = {"distance_mm": 1_000 * KM, "accel_mm": 40 * KM}
    for months, rate_per_100km in ((0, 10.0), (1, 9.964), (6, 9.615), (7, None), (12, None)):
        rows = [period(month=date(2025, k + 1, 1), **(coarse if k < months else fine)) for k in range(12)]
        row = one(rows, rating=[("ann", date(2026, 1, 1))])
        assert row["harsh_braking_per_100km"] == (rate_per_100km and pytest.approx(rate_per_100km, abs=0.001))
        assert row["accel_km_share"] == pytest.approx(1 - 0.08 * months)


def test_below_the_least_exposure_a_value_is_null_but_the_count_is_told():
    row = one([period(distance_mm=19 * KM, accel_mm=19 * KM, event_counts={BRAKING * 8 + 1: 1})])
    assert row["harsh_braking_per_100km"] is None
    assert row["harsh_braking_per_100km__n"] == 1.0


def test_a_driver_without_trips_has_no_exposure_and_nothing_known():
    row = one([period("bob", distance_mm=KM)])
    assert (row["exposure_km"], row["exposure_days"], row["trips"]) == (0.0, None, 0)
    assert {row[feature.name] for feature in load_catalogue().features} == {None}


def test_idling_is_null_where_the_engine_never_told():
    assert one([period(distance_mm=100 * KM, observed_ms=HOUR_MS)])["idle_time_share"] is None


def test_mean_strength_of_acceleration_by_speed():
    heatmap = {va_key(150, 0): 500, va_key(150, -100): 500, va_key(150, 300): 1_000, va_key(250, 400): 9_999}
    row = one([period(distance_mm=100 * KM, accel_mm=100 * KM, va_ms=heatmap)])
    assert row["creep_accel_mps2"] == pytest.approx((0.5 * 1.0 + 1.0 * 3.0) / 2)
    assert row["town_accel_mps2"] == pytest.approx(4.0)
    assert row["motorway_accel_mps2"] is None


@pytest.mark.parametrize("side", ["braking", "acceleration"])
@pytest.mark.parametrize("exceeded", [0.01, 0.05, 0.3])
def test_quantiles_are_those_of_a_fine_sample(side, exceeded):
    """Slow twin: time spread evenly over its bin, sorted, read off."""
    chance = np.random.default_rng(7)
    heatmap = chance.integers(1, 400, (5, 61)) * (chance.random((5, 61)) < 0.6)
    fine = 2_000
    for row, told in zip(heatmap, strength_exceeded(heatmap, Quantile(side, exceeded)), strict=True):
        edges = (np.arange(61) - 30) * 0.2 - 0.1
        spread = edges[:, None] + (np.arange(fine) + 0.5) / fine * 0.2
        strength = -spread if side == "braking" else spread
        strength[~(strength > 0.1).all(axis=1)] = 0.0
        flat, weight = strength.ravel(), np.repeat(row, fine)
        order = np.argsort(-flat)
        beyond = np.cumsum(weight[order]) / weight.sum()
        assert told == pytest.approx(flat[order][np.searchsorted(beyond, exceeded)], abs=0.001)


def test_quantiles_of_no_time_are_not_known_and_of_no_braking_are_zero():
    heatmap = np.zeros((2, 61), np.int64)
    heatmap[1, 40] = 1_000
    assert np.isnan(strength_exceeded(heatmap, Quantile("braking", 0.01))).tolist() == [True, False]
    assert strength_exceeded(heatmap, Quantile("braking", 0.01))[1] == 0.0


TABLES = sealed(year_of_trips())
PERIODS = sum_trips(assign(conform("trips", TABLES["trips"]), None), conform("events", TABLES["events"]))
ASKED = pl.DataFrame(
    {"driver_id": [f"car-{k}" for k in (3, 1, 4, 1, 9)], "rating_date": [RATING] * 3 + [date(2025, 3, 1), RATING]}
)


def poison(row_month: date) -> pl.DataFrame:
    """Driver periods of a month in which everything is enormous."""
    loud = {name: pl.lit(10**12) for name, kind in DRIVER_PERIODS.items() if kind == pl.Int64 and name not in MINIMA}
    return PERIODS.with_columns(month=pl.lit(row_month), first_start_ms=pl.lit(ms(row_month)), **loud)


@pytest.mark.parametrize("month", [RATING, date(2025, 5, 1), date(2026, 1, 1), date(2024, 2, 1)])
def test_nothing_after_the_rating_date_or_before_the_window_leaks_in(month):
    before = rating_features(PERIODS, ASKED)
    after = rating_features(pl.concat([poison(month), PERIODS]), ASKED)
    assert after.equals(before)


def test_the_poison_is_one():
    before = rating_features(PERIODS, ASKED)
    assert not rating_features(pl.concat([poison(date(2025, 2, 1)), PERIODS]), ASKED).equals(before)


@given(st.permutations(range(PERIODS.height)), st.permutations(range(ASKED.height)), st.integers(1, 5))
def test_order_of_rows_and_size_of_batches_change_nothing(rows, asked, at_once):
    whole = rating_features(PERIODS, ASKED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.contract.window, "WINDOWS_AT_ONCE", at_once)
        shuffled = rating_features(PERIODS[list(rows)], ASKED[list(asked)])
    assert shuffled.equals(whole[list(asked)])


def test_rating_rows_keep_their_order_and_their_other_columns():
    asked = ASKED.with_columns(policy_id=pl.Series(["a", "b", "c", "d", "e"]))
    found = rating_features(PERIODS, asked)
    assert found.select(asked.columns).equals(asked)
    assert found["exposure_km"][3] < found["exposure_km"][1]


def test_columns_that_are_missing_or_of_another_type_are_named():
    with pytest.raises(ContractError, match="the driver periods have no column va_ms"):
        rating_features(PERIODS.drop("va_ms"), ASKED)
    with pytest.raises(ContractError, match="column rating_date of the rating rows is String, not Date"):
        rating_features(PERIODS, ASKED.with_columns(pl.col("rating_date").cast(pl.String)))


def worse(chance, row):
    """One random step in the catalogue's order."""
    kind = chance.choice(list(KIND_NUMBERS.values()))
    step = chance.choice(["event", "raise", "excursion", "outwards", "speeding", "over_130"])
    histograms = {name: {entry["key"]: entry["value"] for entry in row[name]} for name in BINS}
    match step:
        case "event":
            level = int(chance.integers(1, 3))
            key = kind * 8 + level
            histograms["event_counts"][key] = histograms["event_counts"].get(key, 0) + 1
            limited = int(kind == SPEEDING and chance.random() < 0.5)
            row["limit_speedings"] += limited
            row["limit_severe_speedings"] += limited * int(level == 2)
            row["night_harsh_events"] += int(kind <= RIGHT and chance.random() < 0.5)
        case "raise":
            keys = [key for key in histograms["event_counts"] if key % 8 == 1]
            for key in keys[:1]:
                histograms["event_counts"][key] -= 1
                histograms["event_counts"][key + 1] = histograms["event_counts"].get(key + 1, 0) + 1
                calm = row["limit_speedings"] - row["limit_severe_speedings"]
                row["limit_severe_speedings"] += int(key // 8 == SPEEDING and calm > 0)
        case "excursion":
            key = excursion_key(kind, int(chance.integers(150, 900)), 1_000, int(chance.integers(0, 1_600)))
            histograms["excursions"][key] = histograms["excursions"].get(key, 0) + 1
        case "outwards":
            key = int(chance.choice(list(histograms["va_ms"])))
            away = 1 if key % 61 > 30 or (key % 61 == 30 and chance.random() < 0.5) else -1
            if 0 < key % 61 < 60:
                histograms["va_ms"][key] -= 500
                histograms["va_ms"][key + away] = histograms["va_ms"].get(key + away, 0) + 500
        case "speeding":
            row["speeding_ms"] = min(row["speeding_ms"] + 500, row["limit_known_ms"])
        case "over_130":
            row["over_130_ms"] = min(row["over_130_ms"] + 500, row["moving_ms"])
    for name, histogram in histograms.items():
        row[name] = [{"key": key, "value": value} for key, value in sorted(histogram.items()) if value]
    return row


@given(st.integers(0, 10**6), st.integers(0, 3_000 * KM), st.sampled_from(["accel_mm", "lateral_mm"]))
def test_driving_that_was_not_seen_leaves_a_rate_as_it_was_or_makes_it_null(seed, unseen_mm, known):
    """Never lower: not seen is not calm."""
    own = PERIODS[int(np.random.default_rng(seed).integers(0, PERIODS.height))]
    own = own.with_columns(pl.col("distance_mm", "accel_mm", "lateral_mm") * 40)
    blind = period(own["driver_id"][0], own["month"][0], distance_mm=unseen_mm, trips=1)
    asked = pl.DataFrame({"driver_id": [own["driver_id"][0]], "rating_date": [RATING]})
    before = rating_features(own, asked).row(0, named=True)
    after = rating_features(pl.concat([own, pl.DataFrame([blind], schema=DRIVER_PERIODS)]), asked).row(0, named=True)
    share = own[known][0] / (own["distance_mm"][0] + unseen_mm)
    for feature in FEATURES:
        for part in feature.parts:
            if part.known == known and after["exposure_km"] >= feature.min_exposure_km <= before["exposure_km"]:
                expected = before[feature.name] if share >= part.min_known_share else None
                assert after[feature.name] == expected or not own[known][0], feature.name


@given(st.integers(0, 10**6))
def test_no_step_of_worse_driving_moves_a_feature_against_its_direction(seed):
    chance = np.random.default_rng(seed)
    scale = PERIODS.with_columns(pl.col("distance_mm", "accel_mm", "lateral_mm") * 40)
    row = scale.row(int(chance.integers(0, scale.height)), named=True)
    asked = pl.DataFrame({"driver_id": [row["driver_id"]], "rating_date": [RATING]})
    calm = rating_features(pl.DataFrame([row], schema=DRIVER_PERIODS), asked).row(0, named=True)
    for _ in range(int(chance.integers(1, 4))):
        row = worse(chance, row)
    wild = rating_features(pl.DataFrame([row], schema=DRIVER_PERIODS), asked).row(0, named=True)
    for feature in FEATURES:
        if not feature.model and not feature.monotone:
            continue  # told, and free to move
        if calm[feature.name] is None:
            assert wild[feature.name] is None
        elif feature.monotone:
            assert feature.direction * (wild[feature.name] - calm[feature.name]) >= 0, feature.name
        else:
            assert wild[feature.name] == calm[feature.name], feature.name
