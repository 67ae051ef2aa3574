"""Segments: the rows a worker holds until it writes them as one file, and their columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from device.contract import bodies, wire
from ingest.contract import tables
from ingest.contract.publish import to_parquet

TRIP_BODIES: Final = (bodies.Event, bodies.Motion, bodies.Track, bodies.Impact, bodies.TripEnd)


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

    def add(self, row: dict[str, Any]) -> None:
        """Take one row; a column that is left out is null."""
        self.rows.append(tuple(row.get(name) for name in self.schema))
        self.payload_bytes += len(row["payload"])

    def clear(self) -> None:
        """Forget the rows."""
        self.rows.clear()
        self.payload_bytes = 0

    def files(self, root: Path, name: str) -> Iterator[tuple[Path, bytes]]:
        """Files to write, one for each received date: path below the lake, and Parquet bytes."""
        if not self.rows:
            return
        frame = pl.DataFrame(self.rows, schema=self.schema, orient="row")
        days = frame["received_at_ms"] // 86_400_000
        for (day,), part in frame.group_by(days.alias("day"), maintain_order=True):
            date = datetime.fromtimestamp(int(str(day)) * 86_400, UTC).date()
            yield root / self.table / f"date={date}" / name, to_parquet(part)


def message_row(message: wire.Message, payload: bytes, received_ms: int) -> dict[str, Any]:
    """Columns of `tables.MESSAGES` for a message that was taken."""
    header, body = message.header, message.body
    start = body if isinstance(body, bodies.TripStart) else None
    return {
        "device_id": header.device_id,
        "stream_id": header.stream_id.hex(),
        "seq": header.seq,
        "hash": message.hash,
        "prev_hash": header.prev_hash,
        "body_kind": header.body_kind,
        "trip_seq": (body.trip_seq or None) if isinstance(body, TRIP_BODIES) else header.seq if start else None,
        "started_at_ms": start.started_at_ms if start else None,
        "tombstone": body is None,
        "queued_at_ms": header.queued_at_ms,
        "mono_ms": header.mono_ms,
        "boot_id": header.boot_id.hex(),
        "clock_quality": header.clock_quality,
        "received_at_ms": received_ms,
        "payload": payload,
    }


def reject_row(
    reject: wire.Reject, topic: str, device_id: str | None, payload: bytes, received_ms: int
) -> dict[str, Any]:
    """Columns of `tables.REJECTS`. Of an oversized payload the first `MAX_PAYLOAD_BYTES` are kept."""
    header = reject.header
    return {
        "topic": topic,
        "device_id": device_id,
        "stream_id": header.stream_id.hex() if header else None,
        "seq": header.seq if header else None,
        "reason": str(reject.reason),
        "detail": reject.detail,
        "received_at_ms": received_ms,
        "payload_sha256": hashlib.sha256(payload).digest(),
        "payload": payload[: wire.MAX_PAYLOAD_BYTES],
    }


MESSAGES: Final = ("messages", tables.MESSAGES)
REJECTS: Final = ("rejects", tables.REJECTS)
