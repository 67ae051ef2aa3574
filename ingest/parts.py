"""Groups of sealed files brought up to date: rows out, rows in, and only the files written anew that this touches.

A group is one file a table while it is small. From `PART_ROWS` rows on it has one file a table and day, so that a day's
driving does not rewrite its month. How a group is cut depends on its rows alone, not on the way they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import polars as pl

from ingest.contract.lake import MAX_UTC_MS, Group, Lake, SealedFile, read_files
from ingest.contract.publish import TIME, Place, SealWriter
from ingest.contract.tables import SEALED

PART_ROWS: Final = 500_000  # of all tables: a tenth of a second to rewrite, and some 3 MB on disk
KEY: Final = ("device_id", "stream_id", "seq")
Tables = dict[str, pl.DataFrame]


class Change(NamedTuple):
    """What changes in a group: trips that leave (trip_key), rows of their own that leave (`KEY`), rows that come.

    `days` are those of the month on which what leaves lies.
    """

    trips_out: pl.Series
    loose_out: pl.DataFrame
    rows_in: Mapping[str, pl.DataFrame]
    days: frozenset[int]


def rewrite(lake: Lake, writer: SealWriter, source: str, place: Place, before: Group | None, change: Change) -> Group:
    """Write the files of a group that a change touches; the group as it is then."""
    files = before.files if before is not None else ()
    by_day = any(file.day for file in files)
    came = _with_days(change.rows_in, change.rows_in.get("trips"))
    days = change.days | {int(day) for frame in came.values() for day in frame["day"].unique()}
    touched = [file for file in files if not by_day or file.day in days]
    kept = [file for file in files if by_day and file.day not in days]
    tables = _joined(_read(lake, touched), change, came)
    if by_day and _rows(tables) + sum(file.rows for file in kept) <= PART_ROWS:
        others = _read(lake, kept)
        rest = _with_days(others, others["trips"])
        tables = {name: pl.concat([tables[name], rest[name]]) for name in tables}
        kept = []
    if _rows(tables) + sum(file.rows for file in kept) <= PART_ROWS:
        written = [writer.write(name, place, frame.drop("day")) for name, frame in tables.items() if frame.height]
    else:
        written = [
            writer.write(name, place, part.drop("day"), day)
            for name, frame in tables.items()
            for (day,), part in frame.partition_by("day", as_dict=True).items()
        ]
    return as_group(source, place, [*kept, *written])


def as_group(source: str, place: Place, files: Iterable[SealedFile]) -> Group:
    """Group of some files; as they are named after their content, their names are its fingerprint."""
    ordered = tuple(sorted(files, key=lambda f: (f.table, f.path)))
    inputs = hashlib.sha256("\n".join(file.path for file in ordered).encode()).hexdigest()
    return Group(source, *place, inputs, ordered)


def days_of(utc_ms: pl.Series) -> pl.Series:
    """Day of the month of UTC times, as `publish.place` takes their month."""
    return pl.from_epoch(utc_ms.fill_null(0).clip(0, MAX_UTC_MS), time_unit="ms").dt.day()


def _joined(old: Tables, change: Change, came: Tables) -> Tables:
    """Old rows without those that leave, and those that come, with their days."""
    leaving = pl.concat([change.trips_out, _keys(change.rows_in)]).unique()
    left: Tables = {}
    for name, frame in old.items():
        if name in ("health", "impacts"):
            left[name] = frame.join(change.loose_out, on=KEY, how="anti", maintain_order="left")
        else:
            left[name] = frame.filter(~pl.col("trip_key").is_in(leaving.implode()))
    left = _with_days(left, left["trips"])
    return {name: pl.concat([left[name], came[name]]) if name in came else left[name] for name in SEALED}


def _keys(tables: Mapping[str, pl.DataFrame]) -> pl.Series:
    return tables["trips"]["trip_key"] if "trips" in tables else pl.Series("trip_key", [], dtype=pl.UInt64)


def _with_days(tables: Mapping[str, pl.DataFrame], trips: pl.DataFrame | None) -> Tables:
    """Add `day`: of a trip's rows the day it starts on."""
    found: Tables = {}
    starts = trips.select("trip_key", days_of(trips["start_ms"]).alias("day")) if trips is not None else None
    for name, frame in tables.items():
        if name in TIME:
            found[name] = frame.with_columns(days_of(frame[TIME[name]]).alias("day"))
        elif starts is not None:
            found[name] = frame.join(starts, on="trip_key", how="left", maintain_order="left")
    return found


def _read(lake: Lake, files: list[SealedFile]) -> Tables:
    return {
        name: read_files([lake.sealed / file.path for file in files if file.table == name], schema)
        for name, schema in SEALED.items()
    }


def _rows(tables: Tables) -> int:
    return sum(frame.height for frame in tables.values())
