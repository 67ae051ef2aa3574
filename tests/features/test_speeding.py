"""The rate of speeding tells of the driver, and not of how much of the road the source knows limits for."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

import replay_data.portfolio.manoeuvres
from features.contract.window import rating_features
from features.periods import sum_trips
from replay_data.portfolio import simulate_book
from simulated_lake import simulated_trips
from tests.features.test_window import HOUR_MS, KM, SPEEDING, one, period

DRIVERS = 150
RATING = date(2026, 1, 1)
BOOK = simulate_book(seed=1, n_drivers=DRIVERS, rating_date=RATING, name="book")


def rate(limit_known, monkeypatch):
    """Events per 100 km of all drivers as one; None where that is not known."""
    monkeypatch.setattr(replay_data.portfolio.manoeuvres, "LIMIT_KNOWN", limit_known)
    trips, events = simulated_trips(BOOK, 0, DRIVERS)
    periods = sum_trips(trips.with_columns(policy_id=pl.lit("P"), driver_id=pl.lit("all"), represents=1), events)
    asked = pl.DataFrame({"driver_id": ["all"], "rating_date": [RATING]})
    return rating_features(periods, asked)["speeding_per_100km"][0]


def test_a_map_with_gaps_tells_the_same_rate_as_a_whole_one_and_no_map_none(monkeypatch):
    whole, gaps, none = (rate(limit_known, monkeypatch) for limit_known in (1.0, 0.6, 0.0))
    assert gaps == pytest.approx(whole, rel=0.05)
    assert none is None


def test_a_source_without_limits_leaves_speeding_unknown_and_not_calm():
    """Its events begin at 130 km/h, so the same driver would have fewer of them."""
    drive = {"distance_mm": 400 * KM, "observed_ms": 10 * HOUR_MS, "over_130_ms": HOUR_MS, "moving_ms": 9 * HOUR_MS}
    told = {"limit_mm": 400 * KM, "limit_known_ms": 10 * HOUR_MS, "limit_speedings": 12, "limit_severe_speedings": 4}
    seeing, blind = (one([period(**drive, **more)]) for more in (told, {"event_counts": {SPEEDING * 8 + 2: 1}}))
    assert (seeing["speeding_per_100km"], seeing["severe_speeding_per_100km"]) == (3.0, 1.0)
    for name in ("speeding_per_100km", "severe_speeding_per_100km", "severe_speeding_per_100km__n"):
        assert blind[name] is None, name
    assert seeing["over_130_time_share"] == blind["over_130_time_share"] == 1 / 9
    mixed = one([period(**drive, **told), period(month=date(2025, 2, 1), **drive)])
    assert mixed["severe_speeding_per_100km"] == 1.0
    little = one([period(**drive, **told), period(month=date(2025, 2, 1), **(drive | {"observed_ms": 11 * HOUR_MS}))])
    assert little["severe_speeding_per_100km"] is None


def test_speeding_share_is_of_the_time_with_known_limit():
    row = one([period(distance_mm=100 * KM, limit_known_ms=HOUR_MS, speeding_ms=HOUR_MS // 4, observed_ms=2 * HOUR_MS)])
    assert (row["speeding_time_share"], row["limit_known_time_share"]) == (0.25, 0.5)
    assert one([period(distance_mm=100 * KM)])["speeding_time_share"] is None
