"""Sets of seqs, stream by stream, as spans: one row for each run of numbers without a hole. Pure functions on frames.

A stream that lost nothing is one row, however long it has been driving.
"""

from __future__ import annotations

from typing import Final

import polars as pl

STREAM: Final = ("device_id", "stream_id")
SPANS: Final = pl.Schema({"device_id": pl.String, "stream_id": pl.String, "first": pl.Int64, "last": pl.Int64})


def of_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Spans of the seqs of some rows."""
    return merge(rows.select(*STREAM, pl.col("seq").alias("first"), pl.col("seq").alias("last")))


def merge(spans: pl.DataFrame) -> pl.DataFrame:
    """Join spans that touch or overlap."""
    before = pl.col("last").cum_max().shift().over(STREAM)
    apart = before.is_null() | (pl.col("first") - before > 1)
    return (
        spans.select(SPANS.names())
        .sort(SPANS.names())
        .with_columns(apart.cum_sum().alias("run"))
        .group_by(*STREAM, "run", maintain_order=True)
        .agg(pl.col("first").min(), pl.col("last").max())
        .drop("run")
    )


def holds(spans: pl.DataFrame, rows: pl.DataFrame, seq: str = "seq") -> pl.Series:
    """Whether the seq of each row is in the spans (merged); Boolean, in the rows' order. A null is not."""
    found = (
        rows.select(*STREAM, pl.col(seq).alias("at"))
        .with_row_index()
        .drop_nulls("at")
        .sort("at")
        .join_asof(
            spans.sort("first"), left_on="at", right_on="first", by=STREAM, strategy="backward", check_sortedness=False
        )
        .filter(pl.col("at") <= pl.col("last"))
    )
    return rows.select(pl.int_range(pl.len(), dtype=pl.UInt32).is_in(found["index"].implode())).to_series()


def meet(spans: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """The others (spans, in any order, with other columns kept) that share a seq with the spans (merged)."""
    latest = (
        others.with_row_index()
        .sort("last")
        .join_asof(
            spans.sort("first").rename({"first": "span_first", "last": "span_last"}),
            left_on="last",
            right_on="span_first",
            by=STREAM,
            strategy="backward",
            check_sortedness=False,
        )
        .filter(pl.col("span_last") >= pl.col("first"))
    )
    return latest.sort("index").drop("index", "span_first", "span_last")


def without(spans: pl.DataFrame, cuts: pl.DataFrame) -> pl.DataFrame:
    """Take seqs away: spans (merged) minus cuts (spans). Streams without a cut cost nothing."""
    if cuts.is_empty():
        return spans
    touched = spans.join(cuts, on=STREAM, how="semi")
    kept = spans.join(cuts, on=STREAM, how="anti")
    by_stream: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for device, stream, first, last in merge(cuts).iter_rows():
        by_stream.setdefault((device, stream), []).append((first, last))
    left: list[tuple[str, str, int, int]] = []
    for device, stream, first, last in touched.iter_rows():
        at = first
        for cut_first, cut_last in by_stream[device, stream]:
            if cut_last < at or cut_first > last:
                continue
            if cut_first > at:
                left.append((device, stream, at, cut_first - 1))
            at = cut_last + 1
        if at <= last:
            left.append((device, stream, at, last))
    return merge(pl.concat([kept, pl.DataFrame(left, schema=SPANS, orient="row")]))


def gaps(spans: pl.DataFrame) -> pl.DataFrame:
    """Spans of what is missing between 1 and the last seq of each stream."""
    before = pl.col("last").shift(fill_value=0).over(STREAM)
    return (
        merge(spans)
        .with_columns((before + 1).alias("from"), (pl.col("first") - 1).alias("to"))
        .filter(pl.col("from") <= pl.col("to"))
        .select(*STREAM, pl.col("from").alias("first"), pl.col("to").alias("last"))
    )
