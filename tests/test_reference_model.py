from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from replay_data.portfolio.book import simulate_book
from simulated_lake import simulated_trips
from tests.features.lakes import drive, lake_of, utc_ms
from tests.reference_model import YEAR_KM, factor_of, reference_model, year_of

DRIVERS = 400


@pytest.fixture(scope="module")
def strangers():
    """Drivers of another book, and what a year of their trips costs."""
    book = simulate_book(99, DRIVERS, date(2025, 1, 1), name="strangers")
    return book, simulated_trips(book, 0, DRIVERS)


def test_dangerous_strangers_are_charged_more(reference, strangers):
    book, (trips, events) = strangers
    rated = factor_of(reference, year_of(trips, events))
    truth = book.truth.with_columns(driver_id=pl.col("driver_id").str.replace("strangers-", "strangers-box-"))
    by_risk = rated.join(truth, on="driver_id").sort("true_frequency")["factor"]
    assert rated.height == DRIVERS
    assert by_risk.tail(DRIVERS // 4).mean() > 1.1 * by_risk.head(DRIVERS // 4).mean()
    assert by_risk.is_between(0.7, 1.3).all()


def test_hiding_ones_accelerations_makes_nobody_cheaper_than_the_typical_driver(reference, strangers):
    """An adapter in coarse steps leaves acceleration known in a twentieth of the samples, and no event."""
    _, (trips, events) = strangers
    unseen = pl.col("samples") * 95 // 100 + 1
    coarse = trips.with_columns(
        unseen.alias("accel_null_samples"), pl.lit(0, trips.schema["lateral_samples"]).alias("lateral_samples")
    )
    seen = factor_of(reference, year_of(trips, events))
    hidden = factor_of(reference, year_of(coarse, events.clear()))
    assert hidden["moderate_braking_in_context"].null_count() == DRIVERS
    assert seen["moderate_braking_in_context"].null_count() == 0
    assert hidden["relativity"].median() > seen["relativity"].median()
    calm = seen["relativity"] < seen["relativity"].quantile(0.25)
    assert (hidden["relativity"].filter(calm) > seen["relativity"].filter(calm)).mean() > 0.9


def test_a_trip_is_driven_again_and_again_until_it_is_a_year(tmp_path):
    trips = [drive(7 + n, f"car-{n}", utc_ms(2025, 6, 2 + n, 12), minutes=4 + 10 * n) for n in range(3)]
    lake = lake_of(tmp_path, trips)
    periods = year_of(lake.scan("trips").collect(), lake.scan("events").collect())
    assert all(YEAR_KM <= mm / 1e6 < 1.01 * YEAR_KM for mm in periods["distance_mm"])
    assert periods["trips"].to_list() == sorted(periods["trips"], reverse=True)


def test_the_model_stays_where_it_was_trained(reference, monkeypatch, tmp_path):
    monkeypatch.setattr("tests.reference_model.code_sha256", lambda: "0" * 64)
    folder = tmp_path / f"reference-{'0' * 16}"
    reference.model.save(folder)
    (folder / "base.json").write_text("1.25")
    assert reference_model(tmp_path).base == 1.25
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
