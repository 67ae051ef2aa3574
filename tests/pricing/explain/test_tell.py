from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import LEVELS
from features.contract.tables import EVENTS, TRIPS
from pricing.explain import tell
from pricing.explain.rerate import Case
from tests.pricing.book import RATING_DATE, entries, trained


@pytest.fixture
def case():
    published = {"policy_id": "p1", "driver_id": "d1", "rateable": True}
    return Case(published, {}, 1.0, RATING_DATE, None, trained().model)


def trip(name, start, driver="d1", represents=1):
    row = dict.fromkeys(TRIPS) | {"trip_id": name, "driver_id": driver, "start": start, "represents": represents}
    return row | {"distance_km": 12.34, "max_speed_kmh": 87.6, "quality_flags": []}


def event(name, kind, n=1):
    start = datetime(2024, 6, 1, tzinfo=UTC)
    return [
        dict.fromkeys(EVENTS) | {"trip_id": name, "kind": kind, "onset": start + timedelta(seconds=k)} for k in range(n)
    ]


def test_the_trips_with_the_most_events_of_the_window_are_told(case, tmp_path):
    day = datetime(2024, 6, 1, 7, 30, tzinfo=UTC)
    rows = [
        trip("quiet", day),
        trip("wild", day, represents=40),
        trip("early", datetime(2023, 12, 31, 23, tzinfo=UTC)),
        trip("late", datetime(2025, 1, 1, tzinfo=UTC)),
        trip("other", day, driver="d2"),
    ]
    pl.DataFrame(rows, schema=TRIPS).write_parquet(tmp_path / "trips.parquet")
    found = event("wild", "harsh_braking", 3) + event("wild", "speeding") + event("other", "impact", 9)
    pl.DataFrame(found + event("late", "impact"), schema=EVENTS).write_parquet(tmp_path / "events.parquet")
    lines = tell.trips(case, tmp_path).splitlines()
    assert lines == [
        "2 trips stored in the window, 1 without any event; most events:",
        "  2024-06-01 07:30 UTC    12.3 km, up to 88 km/h: 3 x harsh braking, 1 x speeding, stands for 40  (wild)",
    ]


def test_features_without_trips_say_so(case, tmp_path):
    assert "cannot be shown" in tell.trips(case, tmp_path)


def test_months_are_told_with_the_kinds_that_happened(case):
    braking = KIND_NUMBERS["harsh_braking"] * LEVELS
    own = pl.DataFrame(
        {
            "month": [date(2024, 3, 1), date(2024, 4, 1)],
            "trips": [1_200, 3],
            "distance_mm": [2_000_400_000, 10_000_000],
            "moving_ms": [3_600_000 * 40, 1_800_000],
            "event_counts": [entries({braking + 1: 5, braking + 2: 2}), []],
        }
    )
    head, march, april = tell.months(case, own).splitlines()
    assert head.split() == ["month", "trips", "km", "hours", "braking"]
    assert march.split() == ["2024-03", "1,200", "2,000", "40.0", "7"]
    assert april.split() == ["2024-04", "3", "10", "0.5", "0"]
    assert tell.months(case, own.head(0)) == "no trips in the window from 2024-01-01 to 2025-01-01"


def test_advice_is_told_in_both_languages(case):
    assert tell.advice([], case).startswith("nothing in the table")
    assert tell.advice([], case, "zh").startswith("表中没有")
    case.published["rateable"] = False
    assert tell.advice([], case).startswith("too little driving")
