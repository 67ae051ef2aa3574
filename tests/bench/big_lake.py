"""A sealed lake with as many motion rows as wanted: `python -m tests.bench.big_lake FOLDER ROWS`.

Simulated trips, derived and published as sealing would, by month and bucket. Some 6 bytes a row on disk; the memory of
the writer's buffer, so that a group has one file, as sealed by the month.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import polars as pl
from tqdm import tqdm

from features.derive import derive
from ingest.contract.lake import Lake
from ingest.contract.publish import SealWriter
from replay_data.portfolio.book import simulate_book
from replay_data.portfolio.motion import motion_chunk
from simulated_lake import CHUNK_DRIVERS, SOURCE

ROWS_PER_DRIVER = 4_000  # about: six trips of eleven minutes at 2 Hz
BUFFER_BYTES = 4 * 2**30


def write(folder: Path, rows: int, seed: int = 1) -> Lake:
    """Write a lake of at least so many motion rows."""
    lake = Lake(folder)
    chunks = -(-rows // (CHUNK_DRIVERS * ROWS_PER_DRIVER))
    book = simulate_book(seed, chunks * CHUNK_DRIVERS, date(2026, 1, 1))
    with SealWriter(lake, SOURCE, BUFFER_BYTES) as writer:
        for number in tqdm(range(chunks), desc="lake", unit="chunk", disable=None):
            heads, motion = motion_chunk(book, number * CHUNK_DRIVERS, CHUNK_DRIVERS)
            derived = derive(motion, heads)
            trips = heads.join(derived.summaries, on="trip_key").with_columns(
                complete=pl.lit(value=True), chain_ok=pl.lit(value=True), has_motion=pl.lit(value=True)
            )
            writer.add({"trips": trips, "events": derived.events, "motion": motion})
    return lake


def motion_rows(lake: Lake) -> int:
    """Motion rows of a lake."""
    return sum(file.rows for group in lake.manifest().groups for file in group.files if file.table == "motion")


if __name__ == "__main__":
    sys.stdout.write(f"{motion_rows(write(Path(sys.argv[1]), int(sys.argv[2]))):,} rows of motion\n")
