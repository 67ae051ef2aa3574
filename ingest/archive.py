"""What was read before, looked up again: only for messages that come late, twice, or into what was settled.

Compacted segments are sorted by device, so of a file only the parts are read that have the devices asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from device.contract import wire_pb2 as pb
from ingest.contract.lake import Group, Lake, bucket_of, collect, scan_files
from ingest.contract.tables import MESSAGES, TRIPS
from ingest.spans import SPANS, STREAM
from ingest.state import HEADERS, State

KEY: Final = (*STREAM, "seq")
LOOSE: Final = (pb.BODY_HEALTH, pb.BODY_IMPACT)  # sealed as they come: an accident does not wait for its trip's end
FILES_AT_ONCE: Final = 64
KNOWN_TRIPS: Final = ("trip_key", *KEY, "last_seq", "start_ms")


class Archive:
    """The messages and trips of a lake that sealing has read and sealed.

    Parameters
    ----------
    lake : Lake
    state : State
    groups : list of Group
        What is sealed of messages.
    """

    def __init__(self, lake: Lake, state: State, groups: list[Group]) -> None:
        self._lake = lake
        self._files = state.counting[::-1]
        self._groups = groups

    def copies(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Stored copies of messages that are known to have come: of each seq at least one.

        Parameters
        ----------
        keys : DataFrame
            `device_id, stream_id, seq`.
        """
        wanted = keys.select(KEY).unique()
        found: list[pl.DataFrame] = []
        for rows in self._rows_of(wanted["device_id"].unique()):
            here = rows.join(wanted, on=KEY, how="semi")
            found.append(here)
            wanted = wanted.join(here, on=KEY, how="anti")
            if wanted.is_empty():
                break
        return pl.concat(found) if found else _NO_ROWS

    def within(self, cuts: pl.DataFrame) -> pl.DataFrame:
        """All stored rows whose seq lies in some spans, every copy, with the columns of `state.WAITING`."""
        found = [_NO_ROWS]
        if cuts.is_empty():
            return _NO_ROWS.with_columns(_FALSE.alias("conflict"), _FALSE.alias("typed"))
        for rows in self._rows_of(cuts["device_id"].unique()):
            near = rows.join(cuts, on=STREAM, how="inner")
            found.append(near.filter(pl.col("seq").is_between("first", "last")).select(_NO_ROWS.columns))
        return pl.concat(found).with_columns(_FALSE.alias("conflict"), _FALSE.alias("typed"))

    def trips_of(self, devices: pl.Series) -> pl.DataFrame:
        """Sealed trips of some devices: `KNOWN_TRIPS`."""
        buckets = {bucket_of(device) for device in devices}
        files = [
            self._lake.sealed / file.path
            for group in self._groups
            if group.bucket in buckets
            for file in group.files
            if file.table == "trips"
        ]
        trips = scan_files(files, TRIPS).filter(pl.col("device_id").is_in(devices.implode())).select(KNOWN_TRIPS)
        return collect(trips, files, TRIPS)

    def payloads(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Payloads of rows that name their `file`: `KEY`, hash, payload."""
        names = rows["file"].unique().sort().to_list()
        parts = [_NO_PAYLOADS]
        for start in range(0, len(names), FILES_AT_ONCE):
            files = [self._lake.root / name for name in names[start : start + FILES_AT_ONCE]]
            told = scan_files(files, MESSAGES).filter(~pl.col("tombstone")).select(_NO_PAYLOADS.columns)
            parts.append(collect(told.join(rows.lazy(), on=[*KEY, "hash"], how="semi"), files, MESSAGES))
        return pl.concat(parts).unique([*KEY, "hash"], keep="any")

    def _rows_of(self, devices: pl.Series) -> Iterator[pl.DataFrame]:
        """Headers of some devices, newest files first, some files at a time."""
        for start in range(0, len(self._files), FILES_AT_ONCE):
            files = [self._lake.root / name for name in self._files[start : start + FILES_AT_ONCE]]
            yield read_headers(self._lake, files, pl.col("device_id").is_in(devices.implode()))


_FALSE: Final = pl.lit(value=False)
_NO_ROWS: Final = pl.DataFrame(schema={**{name: MESSAGES[name] for name in HEADERS}, "file": pl.String})
_NO_PAYLOADS: Final = pl.DataFrame(schema={name: MESSAGES[name] for name in (*KEY, "hash", "payload")})
NO_CUTS: Final = SPANS.to_frame()


def read_headers(lake: Lake, files: list[Path], which: pl.Expr | None = None) -> pl.DataFrame:
    """Headers of segments, with `file` below the lake."""
    rows = lake.scan_messages(files).select(*HEADERS, "file")
    found = collect(rows if which is None else rows.filter(which), files, MESSAGES)
    return found.with_columns(pl.col("file").str.strip_prefix(f"{lake.root}/"))
