"""What a lake holds of one driver, as the tables of `ubi features build`: the source layer of `ubi pricing verify`.

It composes ingest and features, so it belongs to neither and not to pricing. Only the sealed files of the driver's
devices and of the months asked for are read.
"""

from __future__ import annotations

from datetime import date
from itertools import chain
from pathlib import Path

import polars as pl

from features.contents import content_hashes
from features.contract.tables import EVENTS
from features.periods import merge, sum_trips
from features.policies import assign, read_policies
from features.published import published_events, published_trips
from ingest.contract import tables
from ingest.contract.erasure import Erasures
from ingest.contract.lake import Group, Lake, bucket_of, read_files
from pricing.verify import Driven, FromLake, Window


def from_lake(lake: Path, features: Path, policies: Path | None = None) -> FromLake:
    """Give what `pricing.verify` asks the lake for.

    Parameters
    ----------
    features : Path
        Output of `ubi features build`: who drove which trip, unless `policies` says so.
    policies : Path, optional
        As given to `ubi features build`; needed for trips that the features do not have yet, and for holidays.

    Raises
    ------
    UsageError
        If the folder holds no lake.
    """
    there = Lake.existing(lake)
    cover = None if policies is None else read_policies(policies)
    return lambda window: driven(there, features, window, cover)


def driven(lake: Lake, features: Path, window: Window, policies: pl.DataFrame | None = None) -> Driven:
    """Make the driver's tables again, from the sealed trips of the window."""
    known = (
        pl.scan_parquet(features / "trips.parquet")
        .filter(pl.col("driver_id") == window.driver_id)
        .select("trip_id", "device_id", "policy_id", "driver_id")
        .collect()
    )
    own = policies if policies is None else policies.filter(pl.col("driver_id") == window.driver_id)
    devices = set(known["device_id"]) | (set() if own is None else set(own["device_id"]))
    groups = lake.manifest().groups
    chosen = [group for group in groups if _asked(group, devices, window)]
    trips, events = (_read(lake, chosen, table) for table in ("trips", "events"))
    trips = trips.filter(pl.col("device_id").is_in(devices))
    trips = trips.with_columns(content_hashes(trips, events))
    if own is None:
        names = known.select("trip_id", "policy_id", "driver_id")
        assigned = trips.join(names, on="trip_id", how="inner", maintain_order="left")
    else:
        assigned = assign(trips, own).filter(pl.col("driver_id").is_not_null())
    months = [date.fromisoformat(f"{g.month}-01") for g in groups if any(file.table == "trips" for file in g.files)]
    erasures = Erasures(lake.root)
    return Driven(
        trips=published_trips(assigned),
        events=published_events(events, assigned).select(EVENTS.names()),
        periods=merge([sum_trips(assigned, events)]),
        first_month=min(months, default=None),
        erased=any(erasures.name_of(device) is not None for device in devices),
        regions=own is not None,
    )


def _asked(group: Group, devices: set[str], window: Window) -> bool:
    month = date.fromisoformat(f"{group.month}-01")
    return window.start <= month < window.end and group.bucket in {bucket_of(device) for device in devices}


def _read(lake: Lake, groups: list[Group], table: str) -> pl.DataFrame:
    files = chain.from_iterable(group.files for group in groups)
    return read_files([lake.sealed / file.path for file in files if file.table == table], tables.SEALED[table])
