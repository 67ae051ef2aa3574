"""Cut policies to the months a rating date looks at, and count their claims: the label of a rating row.

A rating row is (driver, rating date). Its label is what the driver's policies earned and claimed in the `months`
after the rating date, or until cancellation. Judgements:

1. A driver is rated where one of the policies covers the rating date; then all policies of the driver count.
2. A policy year has 365 days. Days are summed as integers before they meet a float, so that splitting a policy's rows
   changes no bit of the result.
3. A claim counts on the day it occurred, if its policy covered that day.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from pricing.arrays import Floats

DAYS_PER_YEAR: Final = 365


def add_months(day: date, months: int) -> date:
    """Same day of another month, the last one where that month is shorter."""
    years, month0 = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month0 + 1, min(day.day, calendar.monthrange(year, month0 + 1)[1]))


def earned(policies: pl.DataFrame, rating_date: date, months: int) -> pl.DataFrame:
    """Part of each policy row in the `months` after the rating date, of drivers insured on that day.

    Returns
    -------
    pl.DataFrame
        The rows' columns with `start` and `end` cut to the window, plus rating_date Date, days Int64.
    """
    until = add_months(rating_date, months)
    running = pl.col("end").fill_null(until)
    insured = policies.filter((pl.col("start") <= rating_date) & (running > rating_date))
    return (
        policies.join(insured.select("driver_id").unique(), on="driver_id", how="semi")
        .filter((pl.col("start") < until) & (running > rating_date))
        .with_columns(
            pl.lit(rating_date).alias("rating_date"),
            pl.max_horizontal("start", pl.lit(rating_date)).alias("start"),
            pl.min_horizontal(running, pl.lit(until)).alias("end"),
        )
        .with_columns((pl.col("end") - pl.col("start")).dt.total_days().alias("days"))
        .sort("policy_id", "start")
    )


def with_claims(pieces: pl.DataFrame, claims: pl.DataFrame) -> pl.DataFrame:
    """Add `claims` Int64, the number of claims in each piece's days."""
    numbered = pieces.with_row_index("piece")
    counts = (
        claims.join(numbered.select("piece", "policy_id", "start", "end"), on="policy_id")
        .filter((pl.col("occurred_on") >= pl.col("start")) & (pl.col("occurred_on") < pl.col("end")))
        .group_by("piece")
        .agg(pl.len().cast(pl.Int64).alias("claims"))
    )
    return (
        numbered.join(counts, on="piece", how="left", maintain_order="left")
        .with_columns(pl.col("claims").fill_null(0))
        .drop("piece")
    )


def total(pieces: pl.DataFrame, keys: Sequence[str], yearly: Mapping[str, str]) -> pl.DataFrame:
    """One row a key, with what its pieces earned.

    Parameters
    ----------
    keys : sequence of str
        Columns that name a row.
    yearly : mapping of str to str
        Column with an amount a year (expected claims, premium) to the name of what is earned of it.

    Returns
    -------
    pl.DataFrame
        Sorted by `keys`: keys, start and end (of the first and the last piece), days Int64, claims Int64 if the
        pieces have them, years Float64, and what was earned of each amount.
    """
    counted = ["days", *(["claims"] if "claims" in pieces.columns else [])]
    sums = [pl.col(*counted).sum(), pl.col("start").min(), pl.col("end").max()]
    whole = pieces.group_by(*keys).agg(sums).sort(*keys)
    years: Floats = whole["days"].to_numpy() / DAYS_PER_YEAR  # by NumPy: decision 0009
    whole = whole.with_columns(pl.Series("years", years))
    row = whole.select(*keys).with_row_index("row")
    for amount, name in yearly.items():
        parts = pieces.group_by(*keys, amount).agg(pl.col("days").sum()).sort(*keys, amount)
        rows = parts.join(row, on=list(keys), how="left", maintain_order="left")["row"].to_numpy()
        earned_parts: Floats = parts[amount].to_numpy() * parts["days"].to_numpy() / DAYS_PER_YEAR
        # bincount adds in row order: the same bits each time, which group_by does not promise for floats.
        whole = whole.with_columns(pl.Series(name, np.bincount(rows, earned_parts, minlength=whole.height)))
    return whole
