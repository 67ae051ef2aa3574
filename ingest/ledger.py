"""The ledger: what the headers of all messages say, before any body is read. Pure functions on columns.

    messages as received -> kept (one row a seq, duplicates and conflicts judged) -> trips (runs of seqs, verdicts)

A *run* is the seqs from a trip's trip_start to its trip_end. Every verdict is a flag on a row; nothing is dropped.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from device.contract import wire_pb2 as pb
from device.contract.wire import CLOCK_TOLERANCE_MS
from ingest.contract.lake import MAX_UTC_MS
from ingest.doubts import BOOT, reaches
from ingest.spans import STREAM

# A trip whose messages stopped coming this long ago is sealed as it is: an outbox that holds out longer is not known.
GIVE_UP_MS: Final = 30 * 86_400_000
# Judgements on a device's clock. No message comes before it was queued: two of a trip that did, by more than the
# tolerance, are a wrong clock. One alone may be a worker's clock, up to a day. A message that comes later than it was
# queued proves nothing, up to a year, which no dead zone explains.
CLOCK_AHEAD_MS: Final = 86_400_000
CLOCK_BEHIND_MS: Final = 366 * 86_400_000

SET_CLOCKS: Final = (pb.CLOCK_NTP, pb.CLOCK_GNSS)
CLAIMED: Final = (*SET_CLOCKS, pb.CLOCK_CONTRADICTED)  # said to be right, by us or by the computer
KEY: Final = (*STREAM, "seq")
TRIP: Final = (*STREAM, "trip_seq")
_START: Final = int(pb.BODY_TRIP_START)
_END: Final = int(pb.BODY_TRIP_END)


class Ledger(NamedTuple):
    """Verdicts over messages.

    `kept` is sorted by device, stream and seq. `trips` has one row a trip: `trip_seq`, `start_ms`, `run_first`,
    `run_last`, `end_seq`, `last_seq`, `has_start`, `has_end`, `complete`, `chain_ok`, `conflicts`, `tombstones`,
    `clock_quality`, `clock_wrong`, `open` (not to be sealed yet).
    """

    kept: pl.DataFrame
    trips: pl.DataFrame


def judge(rows: pl.DataFrame, now_ms: int, doubted: pl.DataFrame, *, give_up: bool = True) -> Ledger:
    """Judge messages. Of each trip in them all messages that have come must be there.

    Parameters
    ----------
    rows : DataFrame
        Columns of `state.WAITING`, one row for each time a message was stored, in any order.
    now_ms : int
        UTC; decides which incomplete trips are given up.
    doubted : DataFrame
        `doubts.DOUBTS`: clocks of which it is known that they are wrong.
    give_up : bool
        Whether any are: not while more that has come waits to be read.
    """
    kept = keep_first(rows)
    return Ledger(kept, find_trips(kept, now_ms, doubted, give_up=give_up))


def keep_first(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each seq: of different contents the first received, of equal ones a whole message before its
    tombstone. `received_at_ms` becomes the first time that content came.

    Judging what is left together with more gives what judging all at once would.
    """
    first = rows.sort(*KEY, "received_at_ms", "hash").with_columns(pl.col("hash").first().over(KEY).alias("first"))
    return (
        first.with_columns((pl.col("conflict") | (pl.col("hash") != pl.col("first"))).any().over(KEY).alias("conflict"))
        .filter(pl.col("hash") == pl.col("first"))
        .with_columns(pl.col("received_at_ms").min().over(KEY), pl.col("typed").any().over(KEY))
        .sort(*KEY, "tombstone", "file")
        .unique(KEY, keep="first", maintain_order=True)
        .drop("first")
    )


def find_trips(kept: pl.DataFrame, now_ms: int, doubted: pl.DataFrame, *, give_up: bool = True) -> pl.DataFrame:
    """One row for each trip that any message names, see `Ledger`."""
    rows = _with_running_counts(kept)
    of_trips = rows.filter(pl.col("seq") >= pl.col("trip_seq"))
    trips = (
        of_trips.group_by(TRIP)
        .agg(
            pl.col("seq").min().alias("run_first"),
            pl.col("seq").filter(pl.col("body_kind") == _END).min().alias("end_seq"),
            pl.col("seq").max().alias("last_seq"),
            pl.col("received_at_ms").max().alias("last_received_at_ms"),
        )
        .with_columns(pl.coalesce("end_seq", "last_seq").alias("run_last"))
        .join(_beginnings(of_trips, doubted), on=TRIP)
        .join(rows.select(*STREAM, pl.col("seq").alias("run_first"), *_at("first")), on=[*STREAM, "run_first"])
        .join(rows.select(*STREAM, pl.col("seq").alias("run_last"), *_at("last")), on=[*STREAM, "run_last"])
        .sort(TRIP)
    )
    known_end = pl.col("end_seq").is_not_null()
    whole = pl.col("row_last") - pl.col("row_first") == pl.col("run_last") - pl.col("run_first")
    quiet = pl.col("last_received_at_ms") <= now_ms - GIVE_UP_MS
    return trips.with_columns(
        known_end.alias("has_end"),
        (pl.col("has_start") & known_end & whole).alias("complete"),
        (pl.col("breaks_last") == pl.col("breaks_first")).alias("chain_ok"),
        _inclusive("conflicts"),
        _inclusive("tombstones"),
    ).with_columns((~pl.col("complete") & (~quiet if give_up else pl.lit(value=True))).alias("open"))


def _beginnings(of_trips: pl.DataFrame, doubted: pl.DataFrame) -> pl.DataFrame:
    """When each trip began, by its first message that came: as the device believed, and corrected.

    Its clock is judged by the messages of the boot in which it began. It is wrong where it is too far from ours, where
    messages came before they were queued, where the device says in the trip that the insurer's acks contradict it, and
    where it was set in mid-trip though it had claimed to be right. Also where the device says so later in that boot,
    unless one of the trip's messages came as soon as it was queued: then it agreed with our clock.

    A clock that cannot have been where it says is corrected by the monotonic one: no message came before it was queued,
    so the promptest of a boot tells best when that boot's clock stood at zero. The other wrong ones are flagged alone:
    how long their messages waited in the car is not known.
    """
    believed = pl.coalesce("started_at_ms", "queued_at_ms")
    lag = pl.col("received_at_ms") - believed
    firsts = (
        of_trips.sort(*TRIP, "seq")
        .unique(TRIP, keep="first", maintain_order=True)
        .with_columns(
            (~lag.is_between(-CLOCK_AHEAD_MS, CLOCK_BEHIND_MS)).alias("far"),
            (pl.col("body_kind") == _START).alias("has_start"),
        )
    )
    clocks = of_trips.join(firsts.select(*TRIP, "boot_id"), on=[*TRIP, "boot_id"]).group_by(TRIP).agg(*_clock())
    corrected = pl.col("epoch") + pl.col("mono_ms") + believed - pl.col("queued_at_ms")
    impossible = (pl.col("far") | pl.col("early")) & (pl.col("clock_quality") != pb.CLOCK_RECORDED)
    told = firsts.join(clocks, on=TRIP).join(doubted, on=BOOT, how="left")
    return told.select(
        *TRIP,
        "has_start",
        pl.when(impossible).then(corrected).otherwise(believed).clip(0, MAX_UTC_MS).alias("start_ms"),
        "clock_quality",
        pl.any_horizontal(
            "far",
            "early",
            pl.col("most_ms") - pl.col("least_ms") > CLOCK_TOLERANCE_MS,  # it was set
            "contradicted",
            reaches(pl.col("trip_seq"), pl.col("least_ms"), pl.col("most_ms"))
            & (pl.col("promptest_ms") > CLOCK_TOLERANCE_MS),
        )
        .fill_null(value=False)
        .alias("clock_wrong"),
    )


def _clock() -> list[pl.Expr]:
    """What the messages of one boot say together of its clock."""
    lag = pl.col("received_at_ms") - pl.col("queued_at_ms")
    told = pl.col("clock_quality") != pb.CLOCK_RECORDED
    ahead = pl.col("queued_at_ms") - pl.col("mono_ms")
    claimed = ahead.filter(pl.col("clock_quality").is_in(CLAIMED))
    return [
        (pl.col("received_at_ms") - pl.col("mono_ms")).min().alias("epoch"),
        ((told & (lag < -CLOCK_TOLERANCE_MS)).sum() >= pl.min_horizontal(pl.len(), 2)).alias("early"),
        lag.min().alias("promptest_ms"),
        (pl.col("clock_quality") == pb.CLOCK_CONTRADICTED).any().alias("contradicted"),
        claimed.min().alias("least_ms"),
        claimed.max().alias("most_ms"),
    ]


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
