"""Write sealed tables: chunk by chunk, each file whole before the manifest names it.

add -> buffers by month and bucket -> Parquet bytes -> files named after their content -> manifest, by one rename
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from types import TracebackType
from typing import Final, Self

import polars as pl

from device.contract.errors import ContractError, TryAgainError
from ingest.contract import durable
from ingest.contract.lake import MAX_UTC_MS, Group, Lake, Manifest, SealedFile, bucket_of, read_manifest
from ingest.contract.tables import SEALED

ROW_GROUP_ROWS: Final = 250_000
ZSTD_LEVEL: Final = 1
BUFFER_BYTES: Final = 512 * 2**20  # rows held in memory before the fullest buffers are written
KEEP_SUPERSEDED_MS: Final = 24 * 3_600_000  # a reader may still use the manifest that was newest when it began

_SORT: Final[dict[str, tuple[str, ...]]] = {
    "trips": ("trip_key",),
    "events": ("trip_key", "onset_ms", "kind", "peak_ms", "end_ms", "level"),
    "motion": ("trip_key", "t_ms"),
    "track": ("trip_key", "t_ms"),
    "impacts": ("device_id", "stream_id", "seq"),
    "health": ("device_id", "stream_id", "seq", "counter"),
}
# Tables whose rows have their own place, by this time; those of the others lie with their trip.
TIME: Final = {"trips": "start_ms", "impacts": "queued_at_ms", "health": "queued_at_ms"}
Place = tuple[str, int]  # month, bucket


class SealWriter:
    """Replaces the sealed files of one source; those of other sources stay.

    Only as a context: leaving it commits (a manifest only if something changed), an exception leaves the lake as it
    was. One writer at a time.

    Parameters
    ----------
    lake : Lake
    source : str
        Who owns these files: "messages" is what sealing made, a demo publishes "simulated".
    buffer_bytes : int
        Memory for rows that wait for their file to fill. A file is cut only at the border of two `add` calls.

    Attributes
    ----------
    ledger : dict of str to str, or None
        What the next manifest names as the ledger; None: what this one does.

    Raises
    ------
    TryAgainError
        On entering, if another writer is at work.
    """

    def __init__(self, lake: Lake, source: str, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._lake = lake
        self._source = source
        self._buffer_bytes = buffer_bytes
        self._lock = ExitStack()
        self._before = Manifest(0, ())
        self._kept: list[Group] = []
        self._waiting: dict[tuple[str, Place], list[pl.DataFrame]] = {}
        self._waiting_bytes = 0.0
        self._written: dict[Place, list[SealedFile]] = {}
        self._inputs: dict[Place, str] = {}
        self.ledger: dict[str, str] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as lock:
            try:
                lock.enter_context(durable.locked(self._lake.sealed / ".lock"))
            except BlockingIOError:
                raise TryAgainError(
                    f"{self._lake.sealed}: another process is sealing; run again when it is done"
                ) from None
            self._before = self._lake.manifest()
            self._lock = lock.pop_all()
        return self

    @property
    def before(self) -> Manifest:
        """The manifest that is in force until this one commits."""
        return self._before

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._lock.close()

    def groups(self) -> dict[Place, Group]:
        """Groups of this source in the manifest that is now in force."""
        return {(g.month, g.bucket): g for g in self._before.groups if g.source == self._source}

    def keep(self, group: Group) -> None:
        """Take over a group as it is."""
        self._kept.append(group)

    def add(self, tables: Mapping[str, pl.DataFrame], inputs: Mapping[Place, str] | None = None) -> None:
        """Take rows; a column that is left out is null.

        Parameters
        ----------
        tables : mapping of table name to DataFrame
            `motion`, `track` and `events` belong to trips in `trips` of the same call, so a trip is never split.
        inputs : mapping of (month, bucket) to str, optional
            Fingerprints of what groups were made from.

        Raises
        ------
        ContractError
            If a column is not in the schema, or a row's trip is not in `trips`.
        """
        self._inputs.update(inputs or {})
        frames = {name: conform(name, frame) for name, frame in tables.items()}
        trips = frames.get("trips", pl.DataFrame(schema=SEALED["trips"]))
        places = trips.select("trip_key", *place(trips, "start_ms"))
        if places["trip_key"].n_unique() != places.height:
            raise ContractError("a trip_key comes twice in one chunk of trips; publish each trip once")
        for name, frame in frames.items():
            if name in TIME:
                placed = frame.with_columns(place(frame, TIME[name]))
            else:
                placed = frame.join(places, on="trip_key", how="left", maintain_order="left")
                if placed["month"].null_count():
                    raise ContractError(f"{name} has rows of a trip that is not in trips of the same chunk")
            for (month, bucket), part in placed.partition_by("month", "bucket", as_dict=True).items():
                self._take(name, (str(month), int(bucket)), part.drop("month", "bucket"))

    def sweep(self, now_ms: int) -> int:
        """Delete what no reader can be using: files of manifests superseded a day ago, leftovers of a killed writer.

        Returns
        -------
        int
            Files deleted.
        """
        gone = [
            path
            for (_, path), (_, successor) in pairwise(self._lake.manifest_files())
            if durable.modified_ms(successor) < now_ms - KEEP_SUPERSEDED_MS
        ]
        for path in gone:
            durable.delete(path)
        manifests = [read_manifest(*row) for row in self._lake.manifest_files()]
        named = {self._lake.sealed / file.path for m in manifests for group in m.groups for file in group.files}
        named |= {self._lake.ledger / path for m in manifests for path in m.ledger.values()}
        every = {path for table in SEALED for path in durable.listed(self._lake.sealed / table, "**/*.parquet*")}
        every |= set(durable.listed(self._lake.ledger, "*.parquet*"))
        for path in every - named:
            durable.delete(path)
        return len(gone) + len(every - named)

    def _commit(self) -> None:
        for table, place in sorted(self._waiting):
            self._write(table, place)
        groups = [g for g in self._before.groups if g.source != self._source] + self._kept
        for place, files in self._written.items():
            ordered = tuple(sorted(files, key=lambda f: (f.table, f.path)))
            groups.append(Group(self._source, *place, self._inputs.get(place, ""), ordered))
        ledger = self._before.ledger if self.ledger is None else self.ledger
        manifest = Manifest(self._before.number + 1, tuple(groups), ledger)
        if manifest.to_bytes() != self._before.to_bytes():
            durable.commit({self._lake.manifest_path(manifest.number): manifest.to_bytes()})

    def _take(self, table: str, place: Place, part: pl.DataFrame) -> None:
        self._waiting.setdefault((table, place), []).append(part)
        self._waiting_bytes += part.estimated_size()
        if self._waiting_bytes > self._buffer_bytes:
            sizes = {key: sum(p.estimated_size() for p in parts) for key, parts in self._waiting.items()}
            for key in sorted(sizes, key=lambda k: (-sizes[k], k)):
                self._write(*key)
                if self._waiting_bytes <= self._buffer_bytes // 2:
                    break

    def _write(self, table: str, place: Place) -> None:
        parts = self._waiting.pop((table, place))
        self._waiting_bytes -= sum(part.estimated_size() for part in parts)
        file = self.write(table, place, pl.concat(parts))
        self._written.setdefault(place, []).append(file)

    def write(self, table: str, place: Place, frame: pl.DataFrame, day: int = 0) -> SealedFile:
        """Write one file, sorted; it counts once a group that names it is kept."""
        content = to_parquet(frame.sort(_SORT[table], maintain_order=True))
        month, bucket = place
        head = f"{day:02d}-" if day else ""
        name = f"{table}/month={month}/bucket={bucket:02d}/{head}{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        durable.commit({self._lake.sealed / name: content})
        return SealedFile(table, name, frame.height, day)


def publish(lake: Lake, source: str, chunks: Iterable[Mapping[str, pl.DataFrame]]) -> Manifest:
    """Write sealed tables of a source, replacing what it published before; see `SealWriter.add`."""
    with SealWriter(lake, source) as writer:
        for tables in chunks:
            writer.add(tables)
    return lake.manifest()


def conform(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Cast to the table's schema; columns that are left out become null.

    Raises
    ------
    ContractError
        If a column is not in the schema.
    """
    schema = SEALED[table]
    unknown = sorted(set(frame.columns) - set(schema))
    if unknown:
        raise ContractError(f"{table} has no column {', '.join(unknown)}; see ingest.contract.tables")
    present = [
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind).alias(name)
        for name, kind in schema.items()
    ]
    return frame.select(present)


def to_parquet(frame: pl.DataFrame) -> bytes:
    """Parquet bytes, the same for the same frame."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=ROW_GROUP_ROWS)
    return buffer.getvalue()


def place(frame: pl.DataFrame, time: str) -> list[pl.Series]:
    """Columns `month` and `bucket` of each row; a time out of range takes the nearest month.

    Parameters
    ----------
    frame : DataFrame
        With `device_id`.
    time : str
        Its column of UTC ms.
    """
    utc = pl.from_epoch(frame[time].fill_null(0).clip(0, MAX_UTC_MS), time_unit="ms")
    buckets = {device: bucket_of(device) for device in frame["device_id"].unique()}
    bucket = pl.Series("bucket", [buckets[device] for device in frame["device_id"]], dtype=pl.Int64)
    return [utc.dt.strftime("%Y-%m").alias("month"), bucket]
