"""One step of the ledger: what it knew, and new headers, to what it knows now. Reads no body, writes nothing.

new headers -> those known already are looked up: pure duplicates end here
what waited + the rest (+ what was settled and is touched) -> judged -> trips to seal, loose rows to seal
-> what is settled now, what goes on waiting
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from device.contract import wire_pb2 as pb
from ingest import doubts, spans
from ingest.archive import LOOSE, NO_CUTS, Archive
from ingest.ledger import KEY, SET_CLOCKS, TRIP, judge, keep_first
from ingest.spans import STREAM
from ingest.state import STREAMS, State

_COUNTS: Final = ("duplicates", "conflicts")


class Step(NamedTuple):
    """What one step found.

    `rows` are the messages judged, `trips` those to seal now (`ledger.Ledger.trips`), `loose` the rows to seal on their
    own. `reopened` (archive.KNOWN_TRIPS) and `stale` (rows) were sealed before and make room.
    """

    state: State
    rows: pl.DataFrame
    trips: pl.DataFrame
    loose: pl.DataFrame
    reopened: pl.DataFrame
    stale: pl.DataFrame
    open_trips: int


def advance(state: State, new: pl.DataFrame, archive: Archive, now_ms: int, *, give_up: bool) -> Step:
    """Take new headers into the ledger.

    Parameters
    ----------
    state : State
    new : DataFrame
        Headers with their `file`, as `archive.read_headers` gives them.
    archive : Archive
        What was read before.
    now_ms : int
        UTC; decides which trips are given up.
    give_up : bool
        Whether any are: not while more that has come waits to be read.
    """
    fresh = _not_pure_duplicates(state, new, archive)
    coming = pl.concat([state.waiting, fresh.with_columns(conflict=False, typed=False).select(state.waiting.columns)])
    told = doubts.of_rows(new)
    doubted = state.doubts if told.is_empty() else doubts.merge(pl.concat([state.doubts, told]))
    cuts, reopened = _reopen(state, fresh, coming, doubted, archive)
    back = _settled_rows(state, cuts, archive).select(coming.columns)
    settled = spans.without(state.settled, cuts)
    ledger = judge(pl.concat([coming, back]), now_ms, doubted, give_up=give_up)
    stays = _stays(ledger.kept, ledger.trips)
    loose = ledger.kept.filter(pl.col("body_kind").is_in(LOOSE) & ~pl.col("tombstone") & ~pl.col("typed"))
    typed = ledger.kept["typed"] | (ledger.kept["body_kind"].is_in(LOOSE) & ~ledger.kept["tombstone"])
    waiting = ledger.kept.with_columns(typed.alias("typed")).filter(stays)
    settled = spans.merge(pl.concat([settled, spans.of_rows(ledger.kept.filter(~stays))]))
    known = keep_first(back).select(coming.columns)
    streams = _streams(state, new, pl.concat([state.waiting, known]), ledger.kept)
    was_typed = pl.concat([coming, back]).filter("typed")
    return Step(
        State(state.segments, settled, waiting.select(coming.columns), streams, doubted),
        ledger.kept,
        ledger.trips.filter(~pl.col("open")),
        loose,
        reopened,
        was_typed.join(ledger.kept, on=[*KEY, "hash"], how="anti"),
        int(ledger.trips["open"].sum()),
    )


def _not_pure_duplicates(state: State, new: pl.DataFrame, archive: Archive) -> pl.DataFrame:
    """Leave out what changes nothing: content that is settled, came no earlier, and is not what was a tombstone."""
    known = spans.holds(state.settled, new)
    late = new.filter(known)
    if late.is_empty():
        return new
    copies = archive.copies(late).group_by(*KEY, "hash").agg(pl.col("received_at_ms").min(), pl.col("tombstone").all())
    stored = late.join(copies, on=[*KEY, "hash"], how="left", suffix="_before", maintain_order="left")
    pure = (stored["received_at_ms_before"] <= stored["received_at_ms"]) & (
        stored["tombstone"] | ~stored["tombstone_before"]
    )
    return pl.concat([new.filter(~known), late.filter(~pure.fill_null(value=False))])


def _reopen(
    state: State, fresh: pl.DataFrame, coming: pl.DataFrame, doubted: pl.DataFrame, archive: Archive
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Spans of settled seqs that what comes touches, and the sealed trips in them.

    Touched are: a seq that is settled; what lies within a trip that has messages coming; a trip around a message that
    fills a hole; and the trips of a boot whose clock is newly doubted.
    """
    settled = state.settled
    news = doubted.clear() if doubted is state.doubts else doubted.join(state.doubts, on=doubted.columns, how="anti")
    extents = (
        coming.filter(pl.col("seq") >= pl.col("trip_seq"))
        .group_by(TRIP)
        .agg(pl.col("seq").max().alias("last"))
        .rename({"trip_seq": "first"})
    )
    tops = settled.group_by(STREAM).agg(pl.col("last").max().alias("top"))
    late = fresh.join(tops, on=STREAM, how="inner").filter(pl.col("seq") <= pl.col("top"))
    points = late.select(*STREAM, pl.col("seq").alias("first"), pl.col("seq").alias("last"))
    needed = pl.concat([spans.meet(settled, extents).select(NO_CUTS.columns), points])
    sealed = archive.trips_of(pl.concat([needed["device_id"], news["device_id"]]).unique())
    lying = sealed.rename({"seq": "first", "last_seq": "last"})
    if not news.is_empty():
        needed = pl.concat([needed, doubts.touched(doubted, state.doubts, lying).select(NO_CUTS.columns)])
    cuts = spans.merge(needed)
    if cuts.is_empty():
        return NO_CUTS, sealed.clear()
    while True:
        touched = spans.meet(cuts, lying)
        wider = spans.merge(pl.concat([cuts, touched.select(NO_CUTS.columns)]))
        if wider.equals(cuts):
            return cuts, sealed.filter(pl.col("trip_key").is_in(touched["trip_key"].implode()))
        cuts = wider


def _settled_rows(state: State, cuts: pl.DataFrame, archive: Archive) -> pl.DataFrame:
    """Settled messages within some spans, every copy; `typed` are those of which a row of their own was sealed."""
    rows = archive.within(cuts)
    rows = rows.filter(spans.holds(state.settled, rows))  # what waits is there already
    typed = rows.filter(pl.col("body_kind").is_in(LOOSE) & ~pl.col("tombstone")).select(*KEY, "hash")
    first = keep_first(rows).select(*KEY, "hash").join(typed, on=[*KEY, "hash"], how="semi").with_columns(typed=True)
    return (
        rows.drop("typed")
        .join(first, on=[*KEY, "hash"], how="left", maintain_order="left")
        .with_columns(pl.col("typed").fill_null(value=False))
    )


def _stays(kept: pl.DataFrame, trips: pl.DataFrame) -> pl.Series:
    """Which messages go on waiting: those of an open trip, and what lies in its run or may come to lie there."""
    latest = (
        kept.select(KEY)
        .with_row_index()
        .sort("seq")
        .join_asof(
            trips.select(*TRIP, "end_seq", "open").sort("trip_seq"),
            left_on="seq",
            right_on="trip_seq",
            by=STREAM,
            strategy="backward",
            check_sortedness=False,
        )
        .sort("index")
    )
    in_run = (latest["open"] & (latest["seq"] <= latest["end_seq"]).fill_null(value=True)).fill_null(value=False)
    open_trips = trips.filter("open").select(TRIP).with_columns(own=True)
    own = kept.select(TRIP).join(open_trips, on=TRIP, how="left", maintain_order="left")["own"].fill_null(value=False)
    waits = in_run | own
    split = kept.filter(waits).select(TRIP).drop_nulls().unique().with_columns(whole=True)
    return waits | kept.select(TRIP).join(split, on=TRIP, how="left", maintain_order="left")["whole"].fill_null(
        value=False
    )


def _streams(state: State, new: pl.DataFrame, before: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Counts and times of each stream, brought up to date."""
    conflicts = pl.col("conflict").sum().cast(pl.Int64).alias("conflicts")
    came = new.group_by(STREAM).agg(pl.len().cast(pl.Int64).alias("duplicates"))
    was = before.group_by(STREAM).agg(pl.len().cast(pl.Int64).alias("duplicates"), conflicts)
    now = kept.group_by(STREAM).agg(-pl.len().cast(pl.Int64).alias("duplicates"), conflicts)
    parts = [
        state.streams.select(*STREAM, *_COUNTS),
        came.with_columns(pl.lit(0, pl.Int64).alias("conflicts")),
        was.with_columns(-pl.col("conflicts")),
        now,
    ]
    counts = pl.concat([part.select(*STREAM, *_COUNTS) for part in parts]).group_by(STREAM).agg(pl.col(_COUNTS).sum())
    clocks = pl.concat([state.streams.drop(_COUNTS), _clocks(new)])
    times = clocks.group_by(STREAM, maintain_order=True).agg(
        pl.col("last_received_at_ms").max(),
        pl.col("clock_offset_ms").drop_nulls().last(),
        pl.col("late_max_ms").max(),
    )
    return counts.join(times, on=STREAM).select(STREAMS.names()).sort(STREAM)


def _clocks(new: pl.DataFrame) -> pl.DataFrame:
    """Clock and lateness of each stream, by what is new of it."""
    epoch = (pl.col("received_at_ms") - pl.col("mono_ms")).min().over(*STREAM, "boot_id")
    offset = pl.when(pl.col("clock_quality") != pb.CLOCK_RECORDED).then(
        pl.col("queued_at_ms") - pl.col("mono_ms") - epoch
    )
    late = pl.when(pl.col("clock_quality").is_in(SET_CLOCKS)).then(pl.col("received_at_ms") - pl.col("queued_at_ms"))
    return (
        new.with_columns(offset.alias("clock_offset_ms"), late.alias("late_ms"))
        .sort(KEY)
        .group_by(STREAM)
        .agg(
            pl.col("received_at_ms").max().alias("last_received_at_ms"),
            pl.col("clock_offset_ms").drop_nulls().last(),
            pl.col("late_ms").max().alias("late_max_ms"),
        )
    )
