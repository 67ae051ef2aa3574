"""Slow twin of a build: all trips at once, in memory, in one pass; and what a build wrote, read back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl

from features.build import build
from features.contents import content_hashes
from features.periods import sum_trips
from features.policies import assign
from features.published import published_events, published_trips
from ingest.contract.lake import Lake

NAMES = ("trips", "events", "driver_periods")
FILES = (*NAMES, "driver_measures")


class Built(NamedTuple):
    trips: pl.DataFrame
    events: pl.DataFrame
    driver_periods: pl.DataFrame


def at_once(lake: Lake, policies: pl.DataFrame | None = None) -> Built:
    """The tables in the order that small months have: by month, device and start."""
    sealed, their = lake.scan("trips").collect(), lake.scan("events").collect()
    assigned = assign(sealed, policies).with_columns(content_hashes(sealed, their))
    trips = published_trips(assigned).sort(pl.col("start").dt.truncate("1mo"), "device_id", "start", "trip_id")
    place = trips.select("trip_id").with_row_index("place")
    events = published_events(their, assigned).join(place, on="trip_id").sort("place", "onset", "kind").drop("place")
    return Built(trips, events, sum_trips(assigned, their))


def read_built(out: Path) -> Built:
    return Built(*(pl.read_parquet(out / f"{name}.parquet") for name in NAMES))


def tables_of(lake: Lake, policies: pl.DataFrame | None = None) -> Built:
    """What a build writes."""
    with tempfile.TemporaryDirectory() as folder:
        build(lake, Path(folder), policies)
        return read_built(Path(folder))


def contents(out: Path) -> dict[str, bytes]:
    """Bytes of the tables; a build leaves nothing else beside its parts."""
    assert sorted(path.name for path in out.iterdir()) == sorted((*(f"{name}.parquet" for name in FILES), "parts"))
    return {name: (out / f"{name}.parquet").read_bytes() for name in FILES}
