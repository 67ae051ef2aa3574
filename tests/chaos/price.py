"""What the cars' trips would cost: the reference model's relativity of three drivers for each trip.

alone    drives nothing but this trip, all year
year     drives all trips equally far, and the fault strikes this one each time
(struck) drives all trips, and the fault strikes each
(quiet)  the same without what the fault did to trips that it also flagged: what nobody is told of
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from features.periods import merge, sum_trips
from features.policies import assign
from features.published import published_trips
from ingest.contract.lake import Lake
from ingest.contract.tables import SEALED
from tests.reference_model import YEAR_KM, Reference, factor_of

TABLES: Final = ("trips", "events", "motion")
STRUCK: Final = "all struck"
QUIET: Final = "all struck, none flagged"
ALONE: Final = "alone "
MM_PER_KM: Final = 1_000_000


@dataclass(frozen=True)
class Sealed:
    """Trips and events of a lake; `digest` is the hex SHA-256 of each table's rows."""

    trips: pl.DataFrame
    events: pl.DataFrame
    digest: dict[str, str]

    @property
    def km(self) -> dict[str, float]:
        """By device."""
        sums = self.trips.group_by("device_id").agg(pl.col("distance_mm").sum() / MM_PER_KM)
        return {str(device): float(km or 0) for device, km in sums.iter_rows()}

    @property
    def flags(self) -> dict[str, frozenset[str]]:
        """Flags of each device's trips."""
        told = published_trips(assign(self.trips, None)).group_by("device_id").agg(pl.col("quality_flags"))
        return {str(device): frozenset(flag for trip in trips for flag in trip) for device, trips in told.iter_rows()}


def sealed(lake: Lake) -> Sealed:
    """Take what a lake has sealed."""
    tables = {name: lake.scan(name).collect() for name in TABLES}
    return Sealed(tables["trips"], tables["events"], {name: _digest(name, table) for name, table in tables.items()})


def relativities(clean: Sealed, now: Sealed, devices: Sequence[str], reference: Reference) -> dict[str, float]:
    """Relativity of the driver of each device's `year`, of ALONE + device, of STRUCK and of QUIET.

    Trips stand for so many that each device's clean kilometres make an equal share of the year; what a fault takes away
    from a trip is missing in it each time.
    """
    times = {device: YEAR_KM / km for device, km in clean.km.items()}
    spared, struck = [], []
    for device in devices:
        others = [other for other in devices if other != device]
        spared.append(_driven(clean, times, others, device, len(devices)))
        struck.append(_driven(now, times, [device], device, len(devices)))
        struck.append(_driven(now, times, [device], ALONE + device, 1))
    struck.append(_driven(now, times, devices, STRUCK, len(devices)))
    before, after = clean.flags, now.flags
    flagged = [device for device in devices if after.get(device, frozenset()) - before[device]]
    spared.append(_driven(clean, times, flagged, QUIET, len(devices)))
    struck.append(_driven(now, times, [device for device in devices if device not in flagged], QUIET, len(devices)))
    parts = [sum_trips(pl.concat(spared), clean.events), sum_trips(pl.concat(struck), now.events)]
    return dict(factor_of(reference, merge(parts)).select("driver_id", "relativity").iter_rows())


def _driven(source: Sealed, times: dict[str, float], devices: Sequence[str], driver: str, shares: int) -> pl.DataFrame:
    """Trips of some devices as those of a driver's year."""
    mine = source.trips.filter(pl.col("device_id").is_in(list(devices)))
    stands_for = {device: round(number / shares) for device, number in times.items()}
    represents = pl.col("device_id").replace_strict(stands_for, return_dtype=mine.schema["represents"])
    return assign(mine.with_columns(represents=represents), None).with_columns(driver_id=pl.lit(driver))


def _digest(name: str, table: pl.DataFrame) -> str:
    """Of all rows and columns, in a stated order."""
    assert table.schema == SEALED[name]
    keys = [column for column in ("trip_key", "t_ms", "onset_ms", "kind", "peak_ms") if column in table.columns]
    return hashlib.sha256(table.sort(*keys).write_ndjson().encode()).hexdigest()
