"""Trips that are final: their messages have lost their bodies, so they stay as they were sealed.

They lie in groups of sources of their own, which sealing never rewrites.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import polars as pl

from ingest.contract.lake import Group, Lake, scan_files
from ingest.contract.tables import SEALED

EXPIRED: Final = "expired-"  # how such a source is called, and a number
TRIP: Final = ("device_id", "stream_id", "trip_seq")
KEY: Final = ("device_id", "stream_id", "seq")
LOOSE: Final = ("health", "impacts")


class Names(NamedTuple):
    """Trips (`TRIP`), and messages with rows of their own (`KEY`)."""

    trips: pl.DataFrame
    loose: pl.DataFrame


def is_final(group: Group) -> bool:
    """Whether what a group holds is not sealed again."""
    return group.source.startswith(EXPIRED)


def names_of(lake: Lake, groups: Iterable[Group]) -> Names:
    """What some groups hold, by name."""
    files = [file for group in groups for file in group.files]

    def keys(table: str) -> pl.DataFrame:
        paths = [lake.sealed / file.path for file in files if file.table == table]
        return scan_files(paths, SEALED[table]).select(KEY).unique().collect()

    return Names(keys("trips").rename({"seq": "trip_seq"}), pl.concat([keys(table) for table in LOOSE]).unique())
