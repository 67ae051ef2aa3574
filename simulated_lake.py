"""Simulated drivers' trips in a lake, as if their cars had sent them: motion -> events and trips -> sealed tables.

The demo and the benchmarks use it. It composes two stages, so it belongs to neither: `replay_data` drives,
`features` derives. The motion is not kept; it can be made again from the seed.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

import polars as pl
from tqdm import tqdm

from features.derive import derive
from ingest.contract.lake import Lake
from ingest.contract.publish import SealWriter
from replay_data.portfolio.book import Book, simulate_book
from replay_data.portfolio.motion import motion_chunk

SOURCE: Final = "simulated"  # of these trips in the lake's manifest
CHUNK_DRIVERS: Final = 500
TRIPS_PER_DRIVER: Final = 6


class BookKey(NamedTuple):
    """What a simulated book is made from."""

    seed: int
    drivers: int
    rating_date: date
    name: str

    def book(self, claims_until: date | None = None) -> Book:
        """Simulate the book."""
        return simulate_book(self.seed, self.drivers, self.rating_date, name=self.name, claims_until=claims_until)


class _Chunk(NamedTuple):
    key: BookKey
    first: int
    drivers: int


def simulated_trips(
    book: Book, first: int, count: int, trips_per_driver: int = TRIPS_PER_DRIVER
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Drive `count` drivers of a book; their trips and events as `ingest.contract.tables` TRIPS and EVENTS."""
    heads, motion = motion_chunk(book, first, count, trips_per_driver)
    derived = derive(motion, heads)
    parts = pl.col("trip_id").str.split(":")
    trips = heads.join(derived.summaries, on="trip_key", how="inner", maintain_order="left").with_columns(
        stream_id=parts.list.get(1),
        seq=parts.list.get(2).cast(pl.Int64),
        vehicle=pl.lit(SOURCE),
        adapter=pl.lit(SOURCE),
        device_start_ms=pl.col("start_ms"),
        complete=pl.lit(value=True),
        chain_ok=pl.lit(value=True),
        conflicts=pl.lit(0),
        clock_suspect=pl.lit(value=False),
        has_motion=pl.lit(value=False),
    )
    return trips, derived.events


def publish_books(lake: Lake, keys: Sequence[BookKey], workers: int) -> None:
    """Publish the trips of some books, chunk by chunk; they replace simulated trips that were there before."""
    chunks = [
        _Chunk(key, first, min(CHUNK_DRIVERS, key.drivers - first))
        for key in keys
        for first in range(0, key.drivers, CHUNK_DRIVERS)
    ]
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"  # of each worker; they are new processes, a forked Polars may hang
    try:
        with (
            ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool,
            SealWriter(lake, SOURCE) as writer,
            tqdm(
                total=sum(key.drivers for key in keys), desc="simulate", unit=" drivers", unit_scale=True, disable=None
            ) as bar,
        ):
            for chunk, (trips, events) in zip(chunks, pool.map(_simulate, chunks), strict=True):
                writer.add({"trips": trips, "events": events})
                bar.update(chunk.drivers)
    finally:
        if before is None:
            del os.environ["POLARS_MAX_THREADS"]
        else:
            os.environ["POLARS_MAX_THREADS"] = before


_book = lru_cache(maxsize=1)(BookKey.book)


def _simulate(chunk: _Chunk) -> tuple[pl.DataFrame, pl.DataFrame]:
    return simulated_trips(_book(chunk.key), chunk.first, chunk.drivers)
