"""Places as far as consent goes: numbers about cells, null without consent, and nowhere near a price."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contract.catalogue import load_catalogue, terms
from features.contract.periods import DRIVER_PERIODS
from features.places import MIN_TRIPS, PLACES, places, places_of
from ingest.contract.tables import TRIPS
from tests.features.lakes import lake_of, year_of_trips

HOME, WORK, SHOP = (4_810, 1_150), (4_815, 1_160), (4_812, 1_151)


def trip(start, end, km=10, driver="ann"):
    cells = [*(start or (None, None)), *(end or (None, None))]
    return ("P1", driver, km * 1_000_000, *cells)


def told(rows):
    names = ["policy_id", "driver_id", "distance_mm"]
    cells = [f"{at}_cell_{axis}_cdeg" for at in ("start", "end") for axis in ("lat", "lon")]
    schema = {"policy_id": pl.String, "driver_id": pl.String, **{n: TRIPS[n] for n in ("distance_mm", *cells)}}
    assert list(schema) == names + cells
    return places_of(pl.DataFrame(rows, schema=schema, orient="row"))


COMMUTE = [trip(HOME, WORK), trip(WORK, HOME)] * 10
SHOPPING = [trip(HOME, HOME, 5)] * 4 + [trip(WORK, SHOP, 80)]


def test_home_is_where_most_trips_start_or_end():
    (row,) = told(COMMUTE + SHOPPING).to_dicts()
    assert (row["trips"], row["placed_trips"], row["cells"]) == (25, 25, 3)
    assert row["home_trip_share"] == 24 / 25
    assert row["home_km_share"] == pytest.approx(220 / 300)
    assert row["round_trip_share"] == 4 / 25


def test_without_consent_nothing_is_told_but_the_trips():
    (row,) = told([trip(None, None)] * 30).to_dicts()
    assert (row["trips"], row["placed_trips"]) == (30, 0)
    assert row["cells"] is row["home_trip_share"] is row["home_km_share"] is row["round_trip_share"] is None


def test_a_handful_of_places_is_not_told():
    (row,) = told([*COMMUTE[: MIN_TRIPS - 1], trip(HOME, None)]).to_dicts()
    assert (row["trips"], row["placed_trips"], row["cells"]) == (MIN_TRIPS, MIN_TRIPS - 1, None)


@given(st.permutations(COMMUTE + SHOPPING + [trip(SHOP, WORK, driver="bob")] * 25))
def test_order_changes_nothing(rows):
    assert told(rows).equals(told(sorted(rows)))


def test_a_lake_without_consent_has_no_places(tmp_path):
    table = places(lake_of(tmp_path, year_of_trips(devices=2)))
    assert table.schema == PLACES
    assert table["driver_id"].to_list() == ["car-0", "car-1"]
    assert table["placed_trips"].to_list() == [0, 0]


def test_no_price_can_read_a_place():
    assert not any("cell" in name for name in DRIVER_PERIODS)
    for feature in load_catalogue().features:
        assert not any("cell" in name or "home" in name for name in terms(feature.numerator))
