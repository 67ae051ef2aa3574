from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from device.contract.topics import checked_device_id
from replay_data.portfolio import motion_chunk, simulate_book, write_book
from replay_data.portfolio.terms import DAYS_PER_YEAR, MAX_CLAIMS, poisson_quantile

RATING_DATE = date(2026, 1, 1)
FRAMES = ("drivers", "policies", "claims", "truth")


def term_after(book):
    """Frequency by tariff and in truth, years and claims of each driver's term after the rating date."""
    counts = book.claims.group_by("policy_id").agg(pl.len().alias("claims"))
    after = book.policies.filter(pl.col("start") == book.rating_date).join(counts, on="policy_id", how="left")
    years = (after["end"] - after["start"]).dt.total_days().to_numpy() / DAYS_PER_YEAR
    claims = after["claims"].fill_null(0).to_numpy().astype(float)
    return after["tariff_frequency"].to_numpy(), book.truth["true_frequency"].to_numpy(), years, claims


def gini(predicted, frequency, years):
    order = np.argsort(predicted, kind="stable")
    exposure = np.concatenate(([0], np.cumsum(years[order]))) / years.sum()
    claims = np.concatenate(([0], np.cumsum((frequency * years)[order]))) / (frequency * years).sum()
    return 1 - 2 * np.trapezoid(claims, exposure)


def test_the_same_seed_gives_the_same_frames(small_book):
    again = simulate_book(1, 60, RATING_DATE)
    for name in FRAMES:
        assert_frame_equal(getattr(again, name), getattr(small_book, name), check_exact=True)


def test_another_seed_or_name_gives_other_people(small_book):
    others = simulate_book(2, 60, RATING_DATE), simulate_book(1, 60, RATING_DATE, name="history")
    for other in others:
        assert not np.array_equal(other.truth["true_frequency"], small_book.truth["true_frequency"])


def test_a_larger_book_begins_with_the_drivers_of_a_smaller_one(small_book, big_book):
    assert_frame_equal(big_book.truth.head(60), small_book.truth, check_exact=True)
    assert_frame_equal(big_book.policies.head(120), small_book.policies, check_exact=True)
    assert_frame_equal(big_book.claims.head(small_book.claims.height), small_book.claims, check_exact=True)


def test_sampling_motion_does_not_move_the_truth(small_book):
    before = small_book.truth.clone(), small_book.claims.clone()
    motion_chunk(small_book, 0, 5, trips_per_driver=13, manoeuvres_per_trip=3)
    again = simulate_book(1, 60, RATING_DATE)
    assert_frame_equal(again.truth, before[0], check_exact=True)
    assert_frame_equal(again.claims, before[1], check_exact=True)


def test_terms_meet_at_the_rating_date(big_book):
    policies = big_book.policies
    before = policies.filter(pl.col("end") == RATING_DATE)
    after = policies.filter(pl.col("start") == RATING_DATE)
    assert before["driver_id"].to_list() == after["driver_id"].to_list() == big_book.drivers["driver_id"].to_list()
    assert policies["policy_id"].n_unique() == policies.height
    days = (policies["end"] - policies["start"]).dt.total_days()
    assert days.min() >= 27
    assert days.max() == DAYS_PER_YEAR
    assert policies["tariff_premium"].min() > 0


def test_claims_fall_into_their_policies(big_book):
    joined = big_book.claims.join(big_book.policies, on="policy_id", how="left")
    inside = (joined["occurred_on"] >= joined["start"]) & (joined["occurred_on"] < joined["end"])
    assert inside.all()
    assert big_book.claims["claim_id"].n_unique() == big_book.claims.height
    assert big_book.claims["amount"].min() > 0
    assert set(big_book.claims["cover"].unique()) == {"liability", "collision", "comprehensive"}


def test_claims_not_known_yet_are_left_out():
    until = date(2025, 7, 1)
    book = simulate_book(1, 2_000, RATING_DATE, claims_until=until)
    every = simulate_book(1, 2_000, RATING_DATE)
    assert_frame_equal(book.claims, every.claims.filter(pl.col("occurred_on") < until))


def test_claims_are_poisson_around_the_truth(big_book):
    _, truth, years, claims = term_after(big_book)
    mean = truth * years
    assert abs(claims.sum() - mean.sum()) < 4 * np.sqrt(mean.sum())
    pearson = ((claims - mean) ** 2 / mean).mean()
    assert pearson == pytest.approx(1.0, abs=0.06)
    tenths = np.array_split(np.argsort(truth), 10)
    z = [(claims[tenth].sum() - mean[tenth].sum()) / np.sqrt(mean[tenth].sum()) for tenth in tenths]
    assert np.abs(z).max() < 3.5


@given(u=st.floats(1e-9, 1.0), low=st.floats(0.0, 3.0), more=st.floats(0.0, 1.0))
def test_with_the_same_luck_a_higher_frequency_never_has_fewer_claims(u, low, more):
    fewer, others = poisson_quantile(np.array([u, u]), np.array([low, low + more]))
    assert 0 <= fewer <= others <= MAX_CLAIMS


def test_the_tariff_is_balanced_useful_and_far_from_the_truth(big_book):
    tariff, truth, years, claims = term_after(big_book)
    assert claims.sum() / (tariff * years).sum() == pytest.approx(1.0, abs=0.06)
    assert 0.17 < gini(tariff, truth, years) < 0.23
    assert 0.38 < gini(truth, truth, years) < 0.45


def test_within_a_cell_of_the_tariff_the_truth_still_differs(big_book):
    tariff, truth, _, _ = term_after(big_book)
    _, cell, sizes = np.unique(tariff, return_inverse=True, return_counts=True)
    largest = truth[cell == sizes.argmax()]
    assert np.log(largest).std() > 0.3


def test_amounts_agree_with_the_published_mean(big_book):
    assert big_book.claims["amount"].mean() == pytest.approx(137.6 / 0.04494, rel=0.10)


def test_device_ids_may_stand_in_topics(small_book):
    for device_id in small_book.drivers["device_id"]:
        checked_device_id(device_id)


def test_files_keep_the_truth_apart(small_book, tmp_path):
    write_book(small_book, tmp_path)
    assert_frame_equal(pl.read_parquet(tmp_path / "policies.parquet"), small_book.policies)
    assert_frame_equal(pl.read_csv(tmp_path / "claims.csv", try_parse_dates=True), small_book.claims)
    assert_frame_equal(pl.read_parquet(tmp_path / "truth" / "truth.parquet"), small_book.truth)
    secret = set(small_book.truth.columns) - {"driver_id"}
    for frame in (small_book.policies, small_book.claims, small_book.drivers):
        assert not secret & set(frame.columns)


def test_a_term_of_history_ends_where_the_book_begins():
    history = simulate_book(1, 10, date(2025, 1, 1), name="history", claims_until=RATING_DATE)
    assert history.policies["end"].max() <= RATING_DATE
    assert history.policies["start"].min() >= date(2025, 1, 1) - timedelta(days=DAYS_PER_YEAR)
