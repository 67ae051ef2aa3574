"""Units of a build: the sealed trips of a month, or of a bucket of a large month, and what is made of them alone.

    sealed trips + events -> assigned to policies -> trips and events for people
                                                  -> summed to driver periods

A unit's tables depend on its sealed files, on the policies of its devices and on this code; its key is the hash of
these. So a unit is made once, on this machine or on another, and made again only when one of them changes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

import device.contract
import features
import ingest.contract
from features.contents import content_hashes
from features.contract.periods import DRIVER_PERIODS
from features.contract.tables import EVENTS, TRIPS
from features.periods import merge, sum_trips
from features.policies import assign
from features.published import published_events, published_trips
from ingest.contract import tables
from ingest.contract.lake import MAX_UTC_MS, Group, Lake, bucket_of, collect, read_files, scan_files
from ingest.contract.publish import to_parquet

UNIT_TRIPS: Final = 100_000  # a month with more is cut into its buckets
SLICE_TRIPS: Final = 25_000  # worked on at once: a trip with its histograms takes some KB
TABLES: Final[dict[str, pl.Schema]] = {"trips": TRIPS, "events": EVENTS, "periods": DRIVER_PERIODS}


class Unit(NamedTuple):
    """What a worker is told: paths and policies, no rows of trips."""

    place: str  # month, or month and bucket
    trips: tuple[str, ...]  # sealed files
    events: tuple[str, ...]
    rows: int  # trips
    policies: bytes | None  # those that can cover one of the trips, as Parquet; None: each device is its own driver
    key: str

    @property
    def month(self) -> str:
        """YYYY-MM."""
        return self.place[:7]


def units_of(lake: Lake, policies: pl.DataFrame | None) -> list[Unit]:
    """Units of a lake, by month and bucket.

    Parameters
    ----------
    lake : Lake
    policies : pl.DataFrame or None
        As from `policies.read_policies`.
    """
    units = []
    groups = sorted(lake.manifest().groups, key=lambda group: (group.month, group.bucket, group.source))
    for month, of_month in groupby(groups, key=lambda group: group.month):
        cover = None if policies is None else _covering(policies, month)
        whole = list(of_month)
        if sum(_trips(whole)) <= UNIT_TRIPS:
            units.append(_unit(lake, month, whole, cover))
            continue
        for bucket, of_bucket in groupby(whole, key=lambda group: group.bucket):
            own = None if cover is None else cover.filter(_buckets(cover) == bucket)
            units.append(_unit(lake, f"{month}-{bucket:02d}", list(of_bucket), own))
    return [unit for unit in units if unit.rows]


def make(unit: Unit) -> dict[str, bytes]:
    """Make the tables of a unit, as Parquet, by the names of TABLES.

    Trips are sorted by device_id, start and trip_id, events by their trip, onset and kind, driver periods as ever.
    """
    policies = None if unit.policies is None else pl.read_parquet(io.BytesIO(unit.policies))
    trips, events, periods = [TRIPS.to_frame()], [EVENTS.to_frame()], [DRIVER_PERIODS.to_frame()]
    for own, their in _slices(unit):
        assigned = assign(own, policies).with_columns(content_hashes(own, their))
        trips.append(published_trips(assigned))
        events.append(published_events(their, assigned))
        periods.append(sum_trips(assigned, their))
    starts = pl.concat(trips).sort("device_id", "start", "trip_id")
    order = starts.select("trip_id", trip_start="start")
    found = pl.concat(events).join(order, on="trip_id").sort("device_id", "trip_start", "trip_id", "onset", "kind")
    frames = {"trips": starts, "events": found.select(EVENTS.names()), "periods": merge(periods)}
    return {name: to_parquet(frame.rechunk()) for name, frame in frames.items()}


@cache
def code_id() -> str:
    """Hash of the code and definitions that tables are made with, and of the libraries that do the work."""
    digest = hashlib.sha256()
    for library in ("holidays", "numpy", "polars"):
        digest.update(f"{library} {version(library)}\n".encode())
    for package in (features, device.contract, ingest.contract):
        folder = Path(next(iter(package.__path__)))
        for file in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml")):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _unit(lake: Lake, place: str, groups: Sequence[Group], policies: pl.DataFrame | None) -> Unit:
    folder = lake.sealed.resolve()  # the same path on every machine
    trips, events = (
        tuple(str(folder / file.path) for group in groups for file in group.files if file.table == table)
        for table in ("trips", "events")
    )
    names = sorted(Path(path).name for path in (*trips, *events))  # a sealed file is named after its content
    cover = None if policies is None else hashlib.sha256(policies.write_csv().encode()).hexdigest()
    key = hashlib.sha256(json.dumps([code_id(), place, names, cover]).encode()).hexdigest()[:32]
    return Unit(place, trips, events, sum(_trips(groups)), None if policies is None else to_parquet(policies), key)


def _trips(groups: Sequence[Group]) -> Iterator[int]:
    """Trips in each file."""
    return (file.rows for group in groups for file in group.files if file.table == "trips")


def _buckets(policies: pl.DataFrame) -> pl.Series:
    return pl.Series([bucket_of(device) for device in policies["device_id"]], dtype=pl.Int64)


def _covering(policies: pl.DataFrame, month: str) -> pl.DataFrame:
    """Policies that can cover a trip of a month; trips of times out of range lie in the first and in the last month."""
    days = pl.Series([f"{month}-01"]).str.to_datetime("%Y-%m-%d", time_unit="ms")
    low_ms, high_ms = (int(series.dt.epoch("ms")[0]) for series in (days, days.dt.offset_by("1mo")))
    ends_late = pl.lit(value=True) if low_ms == 0 else pl.col("end_ms") > low_ms
    starts_early = pl.lit(value=True) if high_ms > MAX_UTC_MS else pl.col("start_ms") < high_ms
    return policies.filter(ends_late, starts_early)


def _slices(unit: Unit) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Trips of a unit, some at a time, each time with the events of these and of others."""
    files = [Path(path) for path in unit.trips]
    events = read_files([Path(path) for path in unit.events], tables.EVENTS)
    for start in range(0, unit.rows, SLICE_TRIPS):
        yield collect(scan_files(files, tables.TRIPS).slice(start, SLICE_TRIPS), files, tables.TRIPS), events
