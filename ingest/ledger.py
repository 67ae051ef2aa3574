"""The ledger: what the headers of all messages say, before any body is read. Pure functions on columns.

    messages as received -> kept (one row a seq, duplicates and conflicts judged) -> trips (runs of seqs, verdicts)

A *run* is the seqs from a trip's trip_start to its trip_end. Every verdict is a flag on a row; nothing is dropped.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from device.contract import wire_pb2 as pb
from ingest.contract.lake import MAX_UTC_MS

# A trip whose messages stopped coming this long ago is sealed as it is: an outbox that holds out longer is not known.
GIVE_UP_MS: Final = 30 * 86_400_000
# Judgement: a device clock ahead of ours by a day is wrong; behind by a year is not explained by any dead zone.
CLOCK_AHEAD_MS: Final = 86_400_000
CLOCK_BEHIND_MS: Final = 366 * 86_400_000

STREAM: Final = ("device_id", "stream_id")
KEY: Final = (*STREAM, "seq")
TRIP: Final = (*STREAM, "trip_seq")
HEADERS: Final = (
    *KEY,
    "hash",
    "prev_hash",
    "body_kind",
    "trip_seq",
    "started_at_ms",
    "tombstone",
    "queued_at_ms",
    "clock_quality",
    "received_at_ms",
)
_START: Final = int(pb.BODY_TRIP_START)
_END: Final = int(pb.BODY_TRIP_END)


class Ledger(NamedTuple):
    """Verdicts over all messages.

    `kept` is sorted by device, stream and seq, and has `conflict` (that seq also came with other content).
    `trips` has one row a trip: `trip_seq`, `start_ms`, `run_first`, `run_last`, `has_start`, `has_end`, `complete`,
    `chain_ok`, `conflicts`, `tombstones`, `clock_quality`, `clock_far`, `open` (not to be sealed yet).
    """

    kept: pl.DataFrame
    trips: pl.DataFrame
    duplicates: int


def judge(headers: pl.DataFrame, now_ms: int) -> Ledger:
    """Judge all messages.

    Parameters
    ----------
    headers : DataFrame
        Columns `HEADERS`, one row for each time a message was stored, in any order.
    now_ms : int
        UTC; decides which incomplete trips are given up.
    """
    kept = keep_first(headers)
    return Ledger(kept, find_trips(kept, now_ms), headers.height - kept.height)


def keep_first(headers: pl.DataFrame) -> pl.DataFrame:
    """One row for each seq: of different contents the first received, of equal ones a whole message before its
    tombstone. `received_at_ms` becomes the first time that content came.
    """
    first = headers.sort(*KEY, "received_at_ms", "hash").with_columns(pl.col("hash").first().over(KEY).alias("first"))
    return (
        first.with_columns((pl.col("hash") != pl.col("first")).any().over(KEY).alias("conflict"))
        .filter(pl.col("hash") == pl.col("first"))
        .with_columns(pl.col("received_at_ms").min().over(KEY))
        .sort(*KEY, "tombstone")
        .unique(KEY, keep="first", maintain_order=True)
        .drop("first")
    )


def find_trips(kept: pl.DataFrame, now_ms: int) -> pl.DataFrame:
    """One row for each trip that any message names, see `Ledger`."""
    rows = _with_running_counts(kept)
    of_trips = rows.filter(pl.col("seq") >= pl.col("trip_seq"))
    starts = of_trips.filter(pl.col("body_kind") == _START)
    trips = (
        of_trips.group_by(TRIP)
        .agg(
            pl.col("seq").min().alias("run_first"),
            pl.col("seq").filter(pl.col("body_kind") == _END).min().alias("end_seq"),
            pl.col("seq").max().alias("last_seq"),
            pl.col("queued_at_ms").min().alias("first_queued_at_ms"),
            pl.col("received_at_ms").max().alias("last_received_at_ms"),
        )
        .with_columns(pl.coalesce("end_seq", "last_seq").alias("run_last"))
        .join(starts.select(*TRIP, "started_at_ms", "clock_quality", "received_at_ms"), on=TRIP, how="left")
        .join(rows.select(*STREAM, pl.col("seq").alias("run_first"), *_at("first")), on=[*STREAM, "run_first"])
        .join(rows.select(*STREAM, pl.col("seq").alias("run_last"), *_at("last")), on=[*STREAM, "run_last"])
        .sort(TRIP)
    )
    known_start = pl.col("started_at_ms").is_not_null()
    known_end = pl.col("end_seq").is_not_null()
    whole = pl.col("row_last") - pl.col("row_first") == pl.col("run_last") - pl.col("run_first")
    start = pl.coalesce("started_at_ms", "first_queued_at_ms").clip(0, MAX_UTC_MS)
    behind = pl.col("received_at_ms") - pl.col("started_at_ms")
    far = ~behind.is_between(-CLOCK_AHEAD_MS, CLOCK_BEHIND_MS)
    return trips.with_columns(
        known_start.alias("has_start"),
        known_end.alias("has_end"),
        (known_start & known_end & whole).alias("complete"),
        start.alias("start_ms"),
        far.fill_null(value=True).alias("clock_far"),
        (pl.col("breaks_last") == pl.col("breaks_first")).alias("chain_ok"),
        _inclusive("conflicts"),
        _inclusive("tombstones"),
    ).with_columns(
        (~pl.col("complete") & (pl.col("last_received_at_ms") > now_ms - GIVE_UP_MS)).alias("open"),
    )


def _with_running_counts(kept: pl.DataFrame) -> pl.DataFrame:
    """Add the row number, and how many chain breaks, conflicts and tombstones there were up to each row."""
    same_stream = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in STREAM)
    follows = same_stream & (pl.col("seq") == pl.col("seq").shift() + 1)
    breaks = (follows & (pl.col("prev_hash") != pl.col("hash").shift())).fill_null(value=False)
    return kept.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        breaks.cum_sum().cast(pl.Int64).alias("breaks"),
        pl.col("conflict").cum_sum().cast(pl.Int64).alias("conflicts"),
        pl.col("tombstone").cum_sum().cast(pl.Int64).alias("tombstones"),
        pl.col("conflict").cast(pl.Int64).alias("own_conflicts"),
        pl.col("tombstone").cast(pl.Int64).alias("own_tombstones"),
    )


def _at(end: str) -> list[pl.Expr]:
    names = ("row", "breaks", "conflicts", "tombstones", "own_conflicts", "own_tombstones")
    return [pl.col(name).alias(f"{name}_{end}") for name in names]


def _inclusive(name: str) -> pl.Expr:
    """Count over a run, its first row included."""
    return (pl.col(f"{name}_last") - pl.col(f"{name}_first") + pl.col(f"own_{name}_first")).cast(pl.Int32).alias(name)
