"""Clocks that a device says the insurer's acks contradict, by boot; with them its trips of before it knew are judged.

    CLOCK_CONTRADICTED in a header -> where UTC stood against monotonic time -> trips of that boot by the same clock

A trip that was driven without a network tells nothing of that itself: the first ack comes when it is over.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from device.contract import wire_pb2 as pb
from device.contract.wire import CLOCK_TOLERANCE_MS
from ingest.spans import STREAM

BOOT: Final = (*STREAM, "boot_id")
# The contradicted clock minus monotonic time, from and until: whole minutes, so that its jitter is no news.
DOUBTS: Final = pl.Schema(dict.fromkeys(BOOT, pl.String) | {"from_ms": pl.Int64, "until_ms": pl.Int64})
_GRAIN_MS: Final = 60_000


def of_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Doubts that some messages tell."""
    minute = (pl.col("queued_at_ms") - pl.col("mono_ms")) // _GRAIN_MS
    return merge(
        rows.filter(pl.col("clock_quality") == pb.CLOCK_CONTRADICTED).select(
            *BOOT, (minute * _GRAIN_MS).alias("from_ms"), ((minute + 1) * _GRAIN_MS).alias("until_ms")
        )
    )


def merge(doubts: pl.DataFrame) -> pl.DataFrame:
    """One row a boot. What lies between two wrong clocks of a boot is doubted as well."""
    told = doubts.group_by(BOOT).agg(pl.col("from_ms").min(), pl.col("until_ms").max())
    return told.select(DOUBTS.names()).sort(BOOT)


def reaches(least_ms: pl.Expr, most_ms: pl.Expr) -> pl.Expr:
    """Whether a clock that stood between these against monotonic time is the doubted one; null without a doubt."""
    return (most_ms >= pl.col("from_ms") - CLOCK_TOLERANCE_MS) & (least_ms <= pl.col("until_ms") + CLOCK_TOLERANCE_MS)


def touched(news: pl.DataFrame, trips: pl.DataFrame) -> pl.DataFrame:
    """Sealed trips that may be of these boots: those that began, as they believed, when the boot had.

    Parameters
    ----------
    news : DataFrame
        `DOUBTS` that were not known before.
    trips : DataFrame
        At least `STREAM` and start_ms.
    """
    near = trips.join(news.group_by(STREAM).agg(pl.col("from_ms").min()), on=STREAM, how="inner")
    return near.filter(pl.col("start_ms") >= pl.col("from_ms") - CLOCK_TOLERANCE_MS).select(trips.columns)
