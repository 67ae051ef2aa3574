"""Clocks that a device says the insurer's acks contradict, by boot; with them its trips of before it knew are judged.

    CLOCK_CONTRADICTED in a header -> where UTC stood against monotonic time -> trips of that boot by the same clock

A trip that was driven without a network tells nothing of that itself: the first ack comes when it is over. A trip that
begins after the last such header needs nobody to speak for it: the device has taken its word back, since an ack agreed.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from device.contract import wire_pb2 as pb
from device.contract.wire import CLOCK_TOLERANCE_MS
from ingest.spans import STREAM

BOOT: Final = (*STREAM, "boot_id")
# The contradicted clock minus monotonic time, from and until, in whole minutes, so that its jitter is no news; and the
# last message that says so.
DOUBTS: Final = pl.Schema(dict.fromkeys(BOOT, pl.String) | dict.fromkeys(("from_ms", "until_ms", "told_seq"), pl.Int64))
_GRAIN_MS: Final = 60_000


def of_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Doubts that some messages tell."""
    minute = (pl.col("queued_at_ms") - pl.col("mono_ms")) // _GRAIN_MS
    return merge(
        rows.filter(pl.col("clock_quality") == pb.CLOCK_CONTRADICTED).select(
            *BOOT,
            (minute * _GRAIN_MS).alias("from_ms"),
            ((minute + 1) * _GRAIN_MS).alias("until_ms"),
            pl.col("seq").cast(pl.Int64).alias("told_seq"),
        )
    )


def merge(doubts: pl.DataFrame) -> pl.DataFrame:
    """One row a boot. What lies between two wrong clocks of a boot is doubted as well."""
    told = doubts.group_by(BOOT).agg(pl.col("from_ms").min(), pl.col("until_ms", "told_seq").max())
    return told.select(DOUBTS.names()).sort(BOOT)


def reaches(trip_seq: pl.Expr, least_ms: pl.Expr, most_ms: pl.Expr) -> pl.Expr:
    """Whether a trip's clock, which stood between these against monotonic time, is doubted; null without a doubt."""
    same = (most_ms >= pl.col("from_ms") - CLOCK_TOLERANCE_MS) & (least_ms <= pl.col("until_ms") + CLOCK_TOLERANCE_MS)
    return same & (trip_seq <= pl.col("told_seq"))


def touched(doubted: pl.DataFrame, known: pl.DataFrame, trips: pl.DataFrame) -> pl.DataFrame:
    """Sealed trips that may be of a boot which is doubted now and was not, or not so far.

    Those that began, as they believed, when the boot had, and before the last message that tells the doubt.

    Parameters
    ----------
    doubted, known : DataFrame
        `DOUBTS`: now, and when these trips were sealed.
    trips : DataFrame
        At least `STREAM`, first (seq) and start_ms.
    """
    news = doubted.join(known, on=doubted.columns, how="anti").join(known, on=BOOT, how="left", suffix="_known")
    as_far = (pl.col("from_ms") == pl.col("from_ms_known")) & (pl.col("until_ms") == pl.col("until_ms_known"))
    reach = news.with_columns(pl.when(as_far).then("told_seq_known").otherwise(0).alias("since_seq"))
    near = trips.join(
        reach.group_by(STREAM).agg(pl.col("from_ms", "since_seq").min(), pl.col("told_seq").max()), on=STREAM
    )
    began = pl.col("start_ms") >= pl.col("from_ms") - CLOCK_TOLERANCE_MS
    return near.filter(began & pl.col("first").is_between("since_seq", "told_seq")).select(trips.columns)
