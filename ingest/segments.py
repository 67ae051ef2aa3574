"""Segments: the rows a worker holds until it writes them as one file, and their columns."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from device.contract import wire
from ingest.contract import tables
from ingest.contract.publish import to_parquet
from ingest.judge import Sound

_NAMES: Final = re.compile(r"[A-Za-z0-9_-]+")  # of devices, among other words
# Rejects of which no payload is kept: it may say more than anyone has agreed to.
WITHHELD: Final = frozenset(
    (
        wire.Reason.UNKNOWN_DEVICE,
        wire.Reason.REVOKED_DEVICE,
        wire.Reason.BEYOND_CONSENT,
        wire.Reason.FORGOTTEN,
    )
)


class Segment:
    """Rows of one table that will be written together.

    Parameters
    ----------
    table : str
        Folder below the lake: "messages" or "rejects".
    schema : polars.Schema
    """

    def __init__(self, table: str, schema: pl.Schema) -> None:
        self.table = table
        self.schema = schema
        self.rows: list[tuple[Any, ...]] = []
        self.payload_bytes = 0

    def add(self, row: tuple[Any, ...], payload_bytes: int) -> None:
        """Take one row, in the order of the schema."""
        self.rows.append(row)
        self.payload_bytes += payload_bytes

    def drop(self, is_forgotten: Callable[[str], object]) -> None:
        """Let go of rows that name a device forgotten meanwhile, in whatever text."""
        texts = [index for index, kind in enumerate(self.schema.dtypes()) if kind == pl.String]
        named = [{name for index in texts for name in _NAMES.findall(row[index] or "")} for row in self.rows]
        self.rows = [row for row, names in zip(self.rows, named, strict=True) if not any(map(is_forgotten, names))]

    def clear(self) -> None:
        """Forget the rows."""
        self.rows.clear()
        self.payload_bytes = 0

    def files(self, root: Path, name: str) -> Iterator[tuple[Path, bytes]]:
        """Files to write, one for each received date: path below the lake, and Parquet bytes."""
        if not self.rows:
            return
        columns = zip(*self.rows, strict=True)  # a column at a time is four times faster than row by row
        frame = pl.DataFrame(dict(zip(self.schema, columns, strict=True)), schema=self.schema)
        days = frame["received_at_ms"] // 86_400_000
        for (day,), part in frame.group_by(days.alias("day"), maintain_order=True):
            date = datetime.fromtimestamp(int(str(day)) * 86_400, UTC).date()
            yield root / self.table / f"date={date}" / name, to_parquet(part)


def message_row(sound: Sound, payload: bytes, received_ms: int) -> tuple[Any, ...]:
    """Columns of `tables.MESSAGES` for a message that was taken."""
    header = sound.header
    return (
        header.device_id,
        header.stream_id.hex(),
        header.seq,
        sound.hash,
        header.prev_hash,
        header.body_kind,
        sound.trip_seq,
        sound.started_at_ms,
        sound.is_tombstone,
        header.queued_at_ms,
        header.mono_ms,
        header.boot_id.hex(),
        header.clock_quality,
        received_ms,
        payload,
    )


def reject_row(
    reject: wire.Reject, topic: str | None, device_id: str | None, payload: bytes, received_ms: int
) -> tuple[Any, ...]:
    """Columns of `tables.REJECTS`. Of an oversized payload the first `MAX_PAYLOAD_BYTES` are kept, of one of the
    `WITHHELD` reasons nothing but its hash; of a forgotten device not even who it was.
    """
    header = reject.header
    if reject.reason == wire.Reason.FORGOTTEN:
        topic, device_id, header = None, None, None
    return (
        topic,
        device_id,
        header.stream_id.hex() if header else None,
        header.seq if header else None,
        str(reject.reason),
        reject.detail,
        received_ms,
        hashlib.sha256(payload).digest(),
        None if reject.reason in WITHHELD else payload[: wire.MAX_PAYLOAD_BYTES],
    )


MESSAGES: Final = ("messages", tables.MESSAGES)
REJECTS: Final = ("rejects", tables.REJECTS)
