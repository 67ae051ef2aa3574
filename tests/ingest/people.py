"""A lake with a person in it, and others whose names are like theirs."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from device.contract import topics, wire
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from ingest.gate import Gate
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive

NOW_MS = START_MS + 5_000_000
DAY_MS = 86_400_000
PERSON, OTHERS = "person-1", ("person-10", "person", "on-1")
POLICIES = "policy_id,driver_id,device_id,start,end\nP-1,D-1,person-1,2025-01-01,\nP-2,D-2,person-10,2025-01-01,\n"


def fill(root: Path, *, trips: int = 2) -> Lake:
    """A lake with a person, and others whose names are like theirs: messages, rejects, sealed tables, a ledger."""
    lake = Lake(root)
    worker = Worker(lake, "w", lambda _topic, _payload: None, gate=Gate(lake.root))
    drives = {name: Drive(name, START_MS) for name in (PERSON, *OTHERS)}
    for round_ in range(trips):
        for drive in drives.values():
            for message in drive.trip():
                worker.take(message.topic, message.payload, NOW_MS + round_)
        worker.flush(NOW_MS + round_)
    mine = drives[PERSON].start()  # an open trip, and messages that were refused
    worker.take(mine.topic, mine.payload, NOW_MS + 9)
    worker.take(topics.up(PERSON), b"garbage", NOW_MS + 9)
    worker.take(topics.up(PERSON), bytes(wire.MAX_PAYLOAD_BYTES + 1), NOW_MS + 9)
    worker.take(topics.up("on-1"), mine.payload, NOW_MS + 9)
    worker.take(topics.up("on-1"), b"half of a message of " + PERSON.encode(), NOW_MS + 9)
    worker.take(topics.up("on-1"), b"other garbage", NOW_MS + 9)
    worker.flush(NOW_MS + 9)
    seal(lake, NOW_MS + 10)
    return lake


def simulated(lake: Lake) -> None:
    """Groups of another source, as the demo publishes them."""
    tables = {name: lake.scan(name).collect() for name in ("trips", "events", "motion")}
    moved = {name: pl.col("trip_key") + 1 for name in tables}
    publish(lake, "simulated", [{name: frame.with_columns(moved[name]) for name, frame in tables.items()}])


def tables(lake: Lake) -> dict[str, pl.DataFrame]:
    """All that the lake tells of others than the person."""
    told = {name: lake.scan(name).collect() for name in ("trips", "events", "motion", "health", "impacts", "track")}
    told |= {"messages": lake.scan_messages().drop("file").collect(), "rejects": lake.scan_rejects().collect()}
    return {name: frame.sort(frame.columns[:3]) for name, frame in told.items()}
