"""Public holidays by region, and the local date and hour that a trip's zone offset gives, summer time included."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from device.contract.trip import hour_of_week
from features.calendar import has_calendar, holidays_of, on_holiday
from features.periods import sum_trips
from features.policies import assign
from ingest.contract.publish import conform
from tests.features.lakes import drive, sealed, utc_ms

GOOD_FRIDAY, EPIPHANY, NATIONAL_DAY = date(2025, 4, 18), date(2025, 1, 6), date(2025, 10, 1)


def told(*rows):
    frame = pl.DataFrame(rows, schema={"region": pl.String, "day": pl.Date}, orient="row")
    return on_holiday(frame["region"], frame["day"]).to_list()


def test_a_holiday_is_one_of_its_region():
    assert told(("DE", GOOD_FRIDAY), ("DE-BY", EPIPHANY), ("DE-BE", EPIPHANY), ("CN", NATIONAL_DAY)) == [
        True,
        True,
        False,
        True,
    ]


def test_a_part_without_a_calendar_of_its_own_has_that_of_its_country():
    assert holidays_of("CN-BJ", 2025) == holidays_of("CN", 2025)
    assert told(("CN-BJ", NATIONAL_DAY), ("FR-75", date(2025, 7, 14))) == [True, True]


def test_what_is_not_known_is_null_never_a_working_day():
    assert told((None, GOOD_FRIDAY), ("DE", None), (None, None), ("XX", GOOD_FRIDAY)) == [None] * 4
    assert told() == []


def test_which_regions_have_a_calendar():
    assert has_calendar("DE")
    assert has_calendar("US-CA")
    assert not has_calendar("XX")


def period_of(start_ms, utc_offset_min, region):
    trips = conform("trips", sealed([drive(1, "car", start_ms, utc_offset_min=utc_offset_min)])["trips"])
    assigned = assign(trips, None).with_columns(region=pl.lit(region, pl.String))
    (period,) = sum_trips(assigned, conform("events", sealed([])["events"])).to_dicts()
    return period


@pytest.mark.parametrize(
    ("start_ms", "offset", "region", "holiday"),
    [
        (utc_ms(2025, 4, 17, 22, 30), 120, "DE", True),  # 00:30 on Good Friday
        (utc_ms(2025, 4, 17, 22, 30), 0, "DE", False),
        (utc_ms(2025, 4, 18, 21, 59), 120, "DE", True),  # 23:59
        (utc_ms(2025, 4, 18, 22, 1), 120, "DE", False),  # 00:01 on Saturday
        (utc_ms(2025, 9, 30, 16), 480, "CN", True),  # 00:00 on 1 October
        (utc_ms(2025, 4, 18, 12), None, "DE", None),
        (utc_ms(2025, 4, 18, 12), 120, None, None),
    ],
)
def test_a_trip_is_a_holidays_by_the_local_date_of_its_start(start_ms, offset, region, holiday):
    period = period_of(start_ms, offset, region)
    assert period["distance_mm"] > 0
    known = holiday is not None
    assert period["holiday_known_mm"] == known * period["distance_mm"]
    assert period["holiday_mm"] == bool(holiday) * period["distance_mm"]


@pytest.mark.parametrize(
    ("utc", "offset", "day", "hour"),
    [
        (datetime(2025, 10, 26, 0, 59, tzinfo=UTC), 120, 6, 2),  # Berlin, the last hour of summer time
        (datetime(2025, 10, 26, 1, 0, tzinfo=UTC), 60, 6, 2),  # one minute later it is 02:00 once more
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), 60, 6, 1),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), 120, 6, 3),  # there is no 02:00 on this day
        (datetime(2025, 11, 2, 23, 59, tzinfo=UTC), 0, 6, 23),
        (datetime(2025, 11, 3, 0, 0, tzinfo=UTC), 0, 0, 0),  # midnight to Monday
        (datetime(2025, 11, 2, 18, 15, tzinfo=UTC), 345, 0, 0),  # Kathmandu
    ],
)
def test_the_local_hour_follows_the_offset_that_travels_with_the_trip(utc, offset, day, hour):
    assert hour_of_week(int(utc.timestamp() * 1000), offset) == 24 * day + hour


def test_night_distance_and_night_events_are_those_of_the_local_night():
    """The same drive at 21:58 UTC: night at UTC+1 from its third minute, at UTC+2 all along, at UTC not yet."""
    for offset, share in ((0, "some"), (60, "all"), (-120, "none")):
        tables = sealed([drive(7, "car", utc_ms(2025, 1, 15, 21, 58), utc_offset_min=offset)])
        (period,) = sum_trips(
            assign(conform("trips", tables["trips"]), None), conform("events", tables["events"])
        ).to_dicts()
        by_hour = {entry["key"] % 24: entry["value"] for entry in period["distance_by_hour_mm"]}
        night_mm = sum(value for hour, value in by_hour.items() if hour >= 22 or hour < 5)
        harsh = sum(entry["value"] for entry in period["event_counts"] if 8 <= entry["key"] < 24)
        assert harsh > 0
        assert abs(period["night_accel_mm"] * period["distance_mm"] - night_mm * period["accel_mm"]) <= (
            2 * period["distance_mm"]  # rounded down twice
        )
        if share == "none":
            assert (night_mm, period["night_harsh_events"]) == (0, 0)
        elif share == "all":
            assert (night_mm, period["night_harsh_events"]) == (period["distance_mm"], harsh)
        else:
            assert 0 < night_mm < period["distance_mm"]
            assert 0 < period["night_harsh_events"] < harsh
