"""A sealed lake with as many motion rows as wanted: `python -m tests.bench.big_lake FOLDER ROWS`.

Simulated trips, derived and published as sealing would, by month and bucket; after ten million rows the same again
under other keys. Some 3 bytes a row on disk; the memory of the writer's buffer, so that a group has one file, as sealed
by the month.
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
from replay_data.portfolio.book import Book, simulate_book
from replay_data.portfolio.motion import motion_chunk
from simulated_lake import CHUNK_DRIVERS, SOURCE

ROWS_PER_DRIVER = 4_000  # about: six trips of eleven minutes at 2 Hz
BUFFER_BYTES = 6 * 2**30
CHUNKS = 5  # that differ
OTHER_KEYS = 0x9E37_79B9_7F4A_7C15  # odd, so that every multiple is another


def write(folder: Path, rows: int, seed: int = 1) -> Lake:
    """Write a lake of at least so many motion rows."""
    lake = Lake(folder)
    chunks = -(-rows // (CHUNK_DRIVERS * ROWS_PER_DRIVER))
    book = simulate_book(seed, min(chunks, CHUNKS) * CHUNK_DRIVERS, date(2026, 1, 1))
    made: list[dict[str, pl.DataFrame]] = []
    with SealWriter(lake, SOURCE, BUFFER_BYTES) as writer:
        for number in tqdm(range(chunks), desc="lake", unit="chunk", disable=None):
            if number < CHUNKS:
                made.append(_chunk(book, number * CHUNK_DRIVERS))
            writer.add(again(made[number % CHUNKS], number // CHUNKS))
    return lake


def _chunk(book: Book, first: int) -> dict[str, pl.DataFrame]:
    heads, motion = motion_chunk(book, first, CHUNK_DRIVERS)
    derived = derive(motion, heads)
    trips = heads.join(derived.summaries, on="trip_key").with_columns(
        complete=pl.lit(value=True), chain_ok=pl.lit(value=True), has_motion=pl.lit(value=True)
    )
    return {"trips": trips, "events": derived.events, "motion": motion}


def again(tables: dict[str, pl.DataFrame], number: int) -> dict[str, pl.DataFrame]:
    """The same trips under other keys; number 0 as they are."""
    step = pl.lit(number * OTHER_KEYS % 2**64, pl.UInt64)
    return {name: table.with_columns(pl.col("trip_key") + step) for name, table in tables.items()}


def motion_rows(lake: Lake) -> int:
    """Motion rows of a lake."""
    return sum(file.rows for group in lake.manifest().groups for file in group.files if file.table == "motion")


if __name__ == "__main__":
    sys.stdout.write(f"{motion_rows(write(Path(sys.argv[1]), int(sys.argv[2]))):,} rows of motion\n")
