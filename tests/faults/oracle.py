"""The oracle: every message ever written to an outbox against every row of the lake.

`lost`      written and not in the lake, though nothing waits any more
`early`     released by the outbox and not in the lake: an ack came before the segment was durable
`altered`   in the lake under its seq with bytes that the outbox never held
`strangers` in the lake and never written
`sacrificed` came as a tombstone only, which the outbox wrote when its disk was full: delivered, without its body
After sealing, rows of each table against what the written messages hold: `missing` and `doubled`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from device.contract import bodies, wire
from ingest.contract.lake import Lake
from tests.faults.journal import Journal

MUST_BE_ZERO: Final = (
    "lost",
    "early",
    "altered",
    "strangers",
    "waiting",
    "rejects",
    "missing",
    "doubled",
    "flagged",
)


@dataclass
class Verdict:
    """Counts of messages; `written` and `copies` (rows in the lake) tell how much was tried, `rows` sealed rows."""

    written: int = 0
    copies: int = 0
    rejects: int = 0
    rows: int = 0
    sacrificed: int = 0
    lost: int = 0
    early: int = 0
    altered: int = 0
    strangers: int = 0
    waiting: int = 0
    missing: int = 0
    doubled: int = 0
    flagged: int = 0

    @property
    def faults(self) -> dict[str, int]:
        """What must be zero and is not."""
        return {name: getattr(self, name) for name in MUST_BE_ZERO if getattr(self, name)}


def judge(lake: Lake, journals: Iterable[Journal]) -> Verdict:
    """Compare a sealed lake with the journals of all outboxes that fed it."""
    verdict = Verdict()
    came: dict[tuple[str, int], set[bytes]] = {}
    messages = lake.scan_messages().select("stream_id", "seq", "payload").collect()
    for stream_id, seq, payload in messages.iter_rows():
        came.setdefault((stream_id, seq), set()).add(payload)
    verdict.copies = messages.height
    verdict.rejects = lake.scan_rejects().collect().height
    expected: Counter[tuple[str, str]] = Counter()
    for journal in journals:
        verdict.written += len(journal.written)
        verdict.waiting += len(journal.waiting)
        for seq, versions in journal.written.items():
            found = came.pop((journal.stream_id, seq), set())
            verdict.lost += not found
            verdict.early += not found and seq in journal.released
            verdict.altered += bool(found - set(versions))
            whole = [payload for payload in found if not is_tombstone(payload)]
            verdict.sacrificed += bool(found) and not whole
            for payload in whole[:1]:
                expected.update(sealed_rows(journal.stream_id, payload))
    verdict.strangers = len(came)
    compare(verdict, expected, lake)
    return verdict


def is_tombstone(payload: bytes) -> bool:
    """Whether a message came without its body."""
    message = wire.decode(payload)
    return isinstance(message, wire.Message) and message.body is None


def sealed_rows(stream_id: str, payload: bytes) -> dict[tuple[str, str], int]:
    """How many rows of which table one message is sealed to."""
    message = wire.decode(payload)
    assert isinstance(message, wire.Message), message
    body = message.body
    if isinstance(body, bodies.TripStart):
        return {(stream_id, "trips"): 1}
    if isinstance(body, bodies.Event):
        return {(stream_id, "events"): 1}
    if isinstance(body, bodies.Motion):
        return {(stream_id, "motion"): body.count}
    if isinstance(body, bodies.Health):
        return {(stream_id, "health"): len(body.counters)}
    return {}


def compare(verdict: Verdict, expected: Counter[tuple[str, str]], lake: Lake) -> None:
    """Count sealed rows by stream and table; a row that equals another in its key is doubled."""
    trips = lake.scan("trips").collect()
    stream_of = trips.select("trip_key", "stream_id").unique()
    keys = {
        "trips": ["stream_id", "seq"],
        "events": ["stream_id", "trip_key", "kind", "onset_ms"],
        "motion": ["stream_id", "trip_key", "t_ms"],
        "health": ["stream_id", "seq", "counter"],
    }
    found: Counter[tuple[str, str]] = Counter()
    for table, key in keys.items():
        frame = lake.scan(table).collect()
        if "stream_id" not in frame.columns:
            frame = frame.join(stream_of, on="trip_key", how="left")
        verdict.rows += frame.height
        verdict.doubled += frame.height - frame.select(key).n_unique()
        found.update({(stream, table): rows for stream, rows in frame.group_by("stream_id").len().iter_rows()})
    verdict.missing += (expected - found).total()
    verdict.doubled += (found - expected).total()
    verdict.flagged += trips.filter(~pl.col("chain_ok") | (pl.col("conflicts") > 0)).height
