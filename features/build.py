"""The lake to trips, events and driver periods: one pass over the sealed trips, a month and bucket at a time.

    for each group of sealed files: trips + events -> assigned to policies -> summed to driver periods
    merged and sorted -> three Parquet files, each whole or not there

The same lake and policies give the same bytes. Motion is not read: what a trip is worth does not depend on whether
it was sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
from tqdm import tqdm

from device.contract.errors import UbiError
from features.contract.tables import EVENTS, TRIPS
from features.periods import merge, sum_trips
from features.policies import assign
from features.published import published_events, published_trips
from ingest.contract import durable, tables
from ingest.contract.lake import Group, Lake, read_files
from ingest.contract.publish import to_parquet

log = logging.getLogger(__name__)


class BuildReport(NamedTuple):
    """What one build did, in counts."""

    trips: int
    events: int
    driver_periods: int
    drivers: int
    uncovered_trips: int  # no policy covers their start
    incomplete_trips: int
    distance_km: float


class Built(NamedTuple):
    """The three tables: `contract.tables` TRIPS and EVENTS, and `contract.periods` DRIVER_PERIODS."""

    trips: pl.DataFrame
    events: pl.DataFrame
    driver_periods: pl.DataFrame


def build(lake: Lake, out: Path, policies: pl.DataFrame | None = None, *, progress: bool = False) -> BuildReport:
    """Write trips.parquet, events.parquet and driver_periods.parquet.

    Parameters
    ----------
    lake : Lake
    out : Path
        Folder, made if it is not there; files of the same names are replaced.
    policies : pl.DataFrame, optional
        As from `policies.read_policies`; without, each device is its own driver.
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    UbiError
        If the lake has no sealed trip.
    """
    built = tables_of(lake, policies, progress=progress)
    if built.trips.is_empty():
        raise UbiError(
            f"{lake.root}: no sealed trip; a trip is sealed when all its messages have come, see 'ubi ingest status'"
        )
    durable.commit({out / f"{name}.parquet": to_parquet(frame) for name, frame in built._asdict().items()})
    uncovered = built.trips["driver_id"].null_count()
    if uncovered:
        log.warning("%d of %d trips start on days that no policy of their device covers", uncovered, built.trips.height)
    return BuildReport(
        trips=built.trips.height,
        events=built.events.height,
        driver_periods=built.driver_periods.height,
        drivers=built.driver_periods["driver_id"].n_unique(),
        uncovered_trips=uncovered,
        incomplete_trips=built.trips.filter(~pl.col("complete")).height,
        distance_km=int(built.driver_periods["distance_mm"].sum()) / 1e6,
    )


def tables_of(lake: Lake, policies: pl.DataFrame | None = None, *, progress: bool = False) -> Built:
    """Make the three tables; see `build`."""
    groups = lake.manifest().groups
    trips, events, periods = [TRIPS.to_frame()], [EVENTS.to_frame()], []
    for group in tqdm(groups, desc="features", unit="group", disable=not progress):
        for own, their in _read(lake, group):
            assigned = assign(own, policies)
            trips.append(published_trips(assigned))
            events.append(published_events(their, assigned))
            periods.append(sum_trips(assigned, their))
    starts = pl.concat(trips).sort("device_id", "start", "trip_id")
    order = starts.select("trip_id", trip_start="start")
    found = pl.concat(events).join(order, on="trip_id").sort("device_id", "trip_start", "trip_id", "onset", "kind")
    return Built(starts, found.select(EVENTS.names()), merge(periods))


def _read(lake: Lake, group: Group) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Trips and events of a group."""
    files = {table: [lake.sealed / f.path for f in group.files if f.table == table] for table in ("trips", "events")}
    if files["trips"]:
        yield (
            read_files(files["trips"], tables.TRIPS),
            read_files(files["events"], tables.EVENTS),
        )
