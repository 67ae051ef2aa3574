"""Rejects taken in after all, or given to somebody who can tell what is wrong with them.

A message is refused by what the insurer's side knew then. After an update, or a change in the registry, what is sound
now is judged again and stored as if it had just been taken; its device was told long ago, so no ack is sent.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from device.contract import topics
from ingest.contract import durable
from ingest.contract.lake import Lake, read_files
from ingest.contract.publish import SealWriter, to_parquet
from ingest.contract.tables import REJECTS
from ingest.judge import Admit, Sound, judge
from ingest.segments import MESSAGES, Segment, message_row


class Which(NamedTuple):
    """Which rejects are meant; None: any."""

    device_id: str | None = None
    reason: str | None = None

    def rows(self) -> pl.Expr:
        """As a filter."""
        named = [(pl.col("device_id"), self.device_id), (pl.col("reason"), self.reason)]
        return pl.all_horizontal(
            pl.lit(value=True), *(column == value for column, value in named if value is not None)
        ).fill_null(value=False)


def readmit(lake: Lake, which: Which, now_ms: int, admit: Admit | None = None) -> Counter[str]:
    """Judge rejects again; what is sound now becomes messages.

    Commit order, file by file: 1 messages on disk, 2 the file of rejects without them. Killed between the two, the
    messages come twice, and sealing counts them once.

    Parameters
    ----------
    lake : Lake
    which : Which
    now_ms : int
        UTC; names the segment.
    admit : callable or None
        What else decides, see `judge.Admit`.

    Returns
    -------
    Counter
        `readmitted`, and `refused` again; `without_payload`: kept without their bytes, or cut, so nothing to judge.

    Raises
    ------
    TryAgainError
        If somebody else is sealing.
    """
    counts = Counter(readmitted=0, refused=0, without_payload=0)
    name = f"{now_ms:013d}-{os.urandom(4).hex()}"
    with SealWriter(lake, "messages") as writer:
        for group in writer.groups().values():
            writer.keep(group)
        for number, file in enumerate(lake.reject_files()):
            rows = read_files([file], REJECTS)
            taken, segment = _judged(rows, which, admit, counts)
            if not segment.rows:
                continue
            durable.commit(dict(segment.files(lake.root, f"{name}-{number:06d}.parquet")))  # 1
            left = rows.filter(~pl.Series(taken))
            durable.commit({file: to_parquet(left)})  # 2
    return counts


def export(lake: Lake, which: Which, target: Path) -> int:
    """Write rejects, payloads included, as one Parquet file; how many."""
    rows = read_files(lake.reject_files(), REJECTS).filter(which.rows()).sort("received_at_ms", "payload_sha256")
    durable.commit({target: to_parquet(rows)})
    return rows.height


def _judged(rows: pl.DataFrame, which: Which, admit: Admit | None, counts: Counter[str]) -> tuple[list[bool], Segment]:
    """Which rows are sound now, and the segment they make."""
    segment, taken = Segment(*MESSAGES), [False] * rows.height
    meant = rows.with_columns(which.rows().alias("meant"))["meant"].to_list()
    told: list[dict[str, Any]] = rows.rows(named=True)
    whole = [i for i, row in enumerate(told) if meant[i] and _is_whole(row)]
    counts["without_payload"] += sum(meant) - len(whole)
    verdicts = judge([(topics.device_of(told[i]["topic"]), told[i]["payload"]) for i in whole], admit)
    for i, verdict in zip(whole, verdicts, strict=True):
        if isinstance(verdict, Sound):
            payload = told[i]["payload"]
            segment.add(message_row(verdict, payload, told[i]["received_at_ms"]), len(payload))
            taken[i] = True
    counts["readmitted"] += sum(taken)
    counts["refused"] += len(whole) - sum(taken)
    return taken, segment


def _is_whole(row: dict[str, Any]) -> bool:
    payload = row["payload"]
    return payload is not None and hashlib.sha256(payload).digest() == row["payload_sha256"]
