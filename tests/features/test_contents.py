from __future__ import annotations

import polars as pl
import pytest

from device.contract.trip import HISTOGRAM_FIELDS
from features.contents import ADDED, OF_EVENT, SCALARS, content_hashes
from ingest.contract.tables import TRIPS
from tests.features.lakes import lake_of, year_of_trips


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = lake_of(tmp_path_factory.mktemp("lake"), year_of_trips(devices=2, months=1))
    return lake.scan("trips").collect(), lake.scan("events").collect()


def other(column: pl.Series) -> pl.Series:
    """The column with another value in its first row."""
    first = column.head(1)
    if column.dtype == pl.Boolean:
        changed = ~first.fill_null(value=False)
    elif column.dtype == pl.String:
        changed = first.fill_null("") + "x"
    elif isinstance(column.dtype, pl.List):
        changed = pl.Series(column.name, [[{"key": 1, "value": 987_654}]], dtype=column.dtype)
    else:
        changed = (first.fill_null(0).cast(pl.Int64) + 1).cast(column.dtype)
    return pl.concat([changed, column.tail(-1)])


@pytest.mark.parametrize("name", [*SCALARS, *ADDED, *HISTOGRAM_FIELDS])
def test_any_other_number_of_a_trip_is_another_content(lake, name):
    trips, events = lake
    before, after = content_hashes(trips, events), content_hashes(trips.with_columns(other(trips[name])), events)
    assert (before != after).to_list() == [True] + [False] * (trips.height - 1)


@pytest.mark.parametrize("name", OF_EVENT)
def test_any_other_number_of_an_event_is_another_content_of_its_trip(lake, name):
    trips, events = lake
    before, after = content_hashes(trips, events), content_hashes(trips, events.with_columns(other(events[name])))
    assert trips["trip_key"].filter(before != after).to_list() == [events["trip_key"][0]]


def test_neither_order_nor_company_nor_withheld_motion_are_content(lake):
    trips, events = lake
    expected = dict(zip(trips["trip_id"], content_hashes(trips, events), strict=True))
    shuffled = trips.sample(fraction=1.0, shuffle=True, seed=1).with_columns(
        has_motion=pl.lit(value=False), tombstones=trips["tombstones"] + 3
    )
    hashes = content_hashes(shuffled, events.reverse())
    assert dict(zip(shuffled["trip_id"], hashes, strict=True)) == expected
    assert content_hashes(trips.head(1), events)[0] == expected[trips["trip_id"][0]]


def test_only_what_may_be_withheld_and_what_depends_on_it_is_no_content():
    assert {*TRIPS} - {*SCALARS, *ADDED, *HISTOGRAM_FIELDS} == {
        *("trip_id", "trip_key", "seq", "last_seq", "has_motion", "tombstones"),
        *("start_cell_lat_cdeg", "start_cell_lon_cdeg", "end_cell_lat_cdeg", "end_cell_lon_cdeg"),
    }


def test_a_summary_that_never_came_is_no_empty_one(lake):
    trips, events = lake
    lists = trips.schema["va_ms"]
    never, empty = (trips.with_columns(va_ms=pl.Series([value] * trips.height, dtype=lists)) for value in (None, []))
    hashes = [content_hashes(frame, events) for frame in (trips, never, empty)]
    assert len({one[0] for one in hashes}) == 3


def test_a_value_cannot_pass_for_its_neighbour(lake):
    trips, events = lake
    a = trips.with_columns(vehicle=pl.lit("ab"), adapter=pl.lit("c"))
    b = trips.with_columns(vehicle=pl.lit("a"), adapter=pl.lit("bc"))
    assert (content_hashes(a, events) != content_hashes(b, events)).all()
