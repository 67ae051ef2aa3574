"""Features of a rating date know nothing that happened after it: the future is poisoned, and no byte of them moves.

From the sealed lake through the build to the window. A window has whole months, so the month of the rating date itself
is future, too. A trip belongs to the month in which it starts.
"""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS
from features.build import build
from features.contract.window import rating_features
from features.policies import read_policies
from ingest.contract.lake import Lake
from ingest.contract.publish import publish, to_parquet
from tests.features.lakes import drive, sealed, utc_ms, year_of_trips
from tests.features.whole import read_built

CARS = 4
PAST = year_of_trips(CARS, months=2)  # January and February 2025
RATING_DATES = (date(2025, 3, 1), date(2025, 3, 20), date(2025, 3, 31))
MARCH_MS = utc_ms(2025, 3, 1)
FUTURE_MS = {
    "first millisecond": MARCH_MS,
    "before the rating date": utc_ms(2025, 3, 10),
    "on the rating date": utc_ms(2025, 3, 20),
    "later in its month": utc_ms(2025, 3, 31, 23, 59),
    "next month": utc_ms(2025, 4, 2),
    "years later": utc_ms(2031, 1, 1),
}
POLICIES = "policy_id,driver_id,device_id,start,end\n" + "".join(
    f"P{car},driver-{car},car-{car},2025-01-01,{{end}}\n" for car in range(CARS)
)


def absurd(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The same trips with numbers that nobody drives, and hundreds of severe events each."""
    entry = pl.element().struct
    loud = pl.struct(entry.field("key"), (entry.field("value") * 10**6 + 10**9).alias("value"))
    trips = tables["trips"].with_columns(
        *(pl.col(name).fill_null(1) * 1_000 + 10**8 for name in SCALAR_FIELDS),
        *(pl.col(name).list.eval(loud) for name in HISTOGRAM_FIELDS),
        represents=pl.lit(1_000),
        complete=pl.lit(value=False),
        utc_offset_min=pl.lit(None, pl.Int32),
    )
    events = pl.concat([tables["events"].with_columns(level=pl.lit(2), peak=pl.lit(3_000))] * 50)
    return {"trips": trips, "events": events}


def plain(start_ms: int) -> dict[str, pl.DataFrame]:
    return sealed([drive(900 + car, f"car-{car}", start_ms + car) for car in range(CARS)], with_motion=False)


def poisoned(start_ms: int) -> dict[str, pl.DataFrame]:
    return absurd(plain(start_ms))


def known(folder, tables: list[dict[str, pl.DataFrame]], policies: str, *, months: int = 12) -> bytes:
    """Features on the rating dates, as bytes."""
    lake = Lake(folder / "lake")
    for number, part in enumerate(tables):
        publish(lake, f"source-{number}", [part])
    (folder / "policies.csv").write_text(policies)
    build(lake, folder / "out", read_policies(folder / "policies.csv"))
    rows = pl.DataFrame(
        [(f"driver-{car}", day) for day in RATING_DATES for car in range(CARS)],
        schema={"driver_id": pl.String, "rating_date": pl.Date},
        orient="row",
    )
    return to_parquet(rating_features(read_built(folder / "out").driver_periods, rows, months=months))


@pytest.fixture(scope="module")
def past():
    return sealed(PAST, with_motion=False)


@pytest.fixture(scope="module")
def expected(past, tmp_path_factory):
    return known(tmp_path_factory.mktemp("past"), [past], POLICIES.format(end=""))


@pytest.mark.parametrize("when", FUTURE_MS)
def test_what_happens_in_the_month_of_the_rating_date_or_later_moves_no_feature(past, expected, tmp_path, when):
    told = known(tmp_path, [past, poisoned(FUTURE_MS[when])], POLICIES.format(end=""))
    assert told == expected


def test_the_future_that_comes_to_tables_already_built_moves_no_feature(past, expected, tmp_path):
    assert known(tmp_path, [past], POLICIES.format(end="")) == expected
    assert known(tmp_path, [past, poisoned(utc_ms(2025, 3, 20))], POLICIES.format(end="")) == expected


def test_a_policy_that_ends_after_the_window_moves_no_feature(past, expected, tmp_path):
    assert known(tmp_path, [past, poisoned(utc_ms(2025, 3, 20))], POLICIES.format(end="2025-03-01")) == expected


def test_even_plain_trips_move_them_a_millisecond_before_the_month_began(past, expected, tmp_path):
    assert known(tmp_path, [past, plain(MARCH_MS - CARS)], POLICIES.format(end="")) != expected


def test_nothing_before_the_window_is_read_either(past, tmp_path_factory):
    february = sealed([trip for trip in PAST if trip[0].start_ms >= utc_ms(2025, 2, 1)], with_motion=False)
    policies = POLICIES.format(end="")
    only = known(tmp_path_factory.mktemp("february"), [february], policies, months=1)
    old = poisoned(utc_ms(2025, 1, 31, 23, 59))
    assert known(tmp_path_factory.mktemp("old"), [february, old], policies, months=1) == only
