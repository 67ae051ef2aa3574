"""Segments joined: those of a day that is over, and many small ones before. Only what sealing has read.

Sorted by device, stream and seq, equal copies dropped; what they were made of stays a day, for readers that have its
name. Which segments count is told by the ledger, so a compaction that was killed has not happened.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from ingest.contract import durable
from ingest.contract.lake import COMPACT, Lake, read_files
from ingest.contract.publish import KEEP_SUPERSEDED_MS, ZSTD_LEVEL
from ingest.contract.tables import LEDGER_SEGMENTS, MESSAGES
from ingest.state import State

FULL_BYTES: Final = 128 * 2**20  # a segment of this size is left alone; also what is held in memory
SMALL_FILES: Final = 64  # so many of a day that is not over are joined
CLOSED_AFTER: Final = timedelta(hours=1)  # a day is over when no worker writes to it any more
ROW_GROUP_ROWS: Final = 20_000  # what is read to find one device
_KEY: Final = ("device_id", "stream_id", "seq")


def compact(lake: Lake, state: State, now_ms: int) -> State:
    """Join what is to be joined; the state that names what came of it."""
    segments, waiting = state.segments, state.waiting
    for slice_ in _slices(lake, segments, now_ms):
        path, content = _join(lake, slice_)
        durable.commit({path: content})
        name = path.relative_to(lake.root).as_posix()
        gone = pl.col("path").is_in([part for part in slice_ if part != name])
        segments = pl.concat(
            [
                segments.filter(pl.col("path") != name).with_columns(
                    pl.when(gone).then(now_ms).otherwise("superseded_at_ms").alias("superseded_at_ms")
                ),
                pl.DataFrame([(name, True, None)], schema=LEDGER_SEGMENTS, orient="row"),
            ]
        )
        moved = pl.when(pl.col("file").is_in(slice_)).then(pl.lit(name)).otherwise("file")
        waiting = waiting.with_columns(moved.alias("file"))
    return replace(state, segments=segments.sort("path"), waiting=waiting)


def sweep(lake: Lake, segments: pl.DataFrame, now_ms: int) -> pl.DataFrame:
    """Delete what nothing can be using: segments compacted a day ago, leftovers of killed workers and compactions.

    Returns
    -------
    DataFrame
        The segments that are left, and named.
    """
    past = pl.col("superseded_at_ms") < now_ms - KEEP_SUPERSEDED_MS
    for name in segments.filter(past)["path"]:
        durable.delete(lake.root / name)
    named = set(segments["path"])
    for folder in ("messages", "rejects"):
        for path in durable.listed(lake.root / folder, "**/*"):
            half = path.name.startswith(".")
            unnamed = path.name.startswith(COMPACT) and path.relative_to(lake.root).as_posix() not in named
            if (half or unnamed) and durable.modified_ms(path) < now_ms - KEEP_SUPERSEDED_MS:
                durable.delete(path)
    return segments.filter(~past.fill_null(value=False))


def _slices(lake: Lake, segments: pl.DataFrame, now_ms: int) -> Iterator[list[str]]:
    """Segments to join, at most `FULL_BYTES` together, of one day each."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    counting = segments.filter(pl.col("superseded_at_ms").is_null()).sort("path")
    days: dict[str, list[tuple[str, bool]]] = {}
    for name, compacted in counting.select("path", "compacted").iter_rows():
        days.setdefault(Path(name).parent.name, []).append((name, compacted))
    for folder, files in days.items():
        day = date.fromisoformat(folder.removeprefix("date="))
        over = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) + CLOSED_AFTER <= now
        small = [name for name, compacted in files if over or not compacted]
        sizes = {name: durable.size_bytes(lake.root / name) for name in small}
        small = [name for name in small if sizes[name] < FULL_BYTES // 2]
        if len(small) < (2 if over else SMALL_FILES):
            continue
        part: list[str] = []
        held = 0
        for name in small:
            if part and held + sizes[name] > FULL_BYTES:
                yield part
                part, held = [], 0
            part.append(name)
            held += sizes[name]
        if len(part) > 1:
            yield part


def _join(lake: Lake, names: list[str]) -> tuple[Path, bytes]:
    """Path and bytes of the segment that some become."""
    rows = read_files([lake.root / name for name in names], MESSAGES)
    joined = rows.sort(*_KEY, "received_at_ms", "hash", "tombstone").unique(
        [*_KEY, "hash", "tombstone"], keep="first", maintain_order=True
    )
    buffer = io.BytesIO()
    joined.write_parquet(
        buffer, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=ROW_GROUP_ROWS, statistics=True
    )
    content = buffer.getvalue()
    name = f"{COMPACT}{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    return lake.root / Path(names[0]).parent / name, content
