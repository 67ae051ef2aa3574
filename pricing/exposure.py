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
from typing import Any, Final

import numpy as np
import polars as pl

from pricing.arrays import Floats

DAYS_PER_YEAR: Final = 365
COUNTED: Final = ("claims", "paid_claims", "claim_cents")  # of a piece, see `with_claims`


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


def before(policies: pl.DataFrame, rating_date: date, months: int) -> pl.DataFrame:
    """Part of each policy row in the `months` before the rating date, as `earned` gives those after it."""
    since = add_months(rating_date, -months)
    running = pl.col("end").fill_null(rating_date)
    return (
        policies.filter((pl.col("start") < rating_date) & (running > since))
        .with_columns(
            pl.lit(rating_date).alias("rating_date"),
            pl.max_horizontal("start", pl.lit(since)).alias("start"),
            pl.min_horizontal(running, pl.lit(rating_date)).alias("end"),
        )
        .with_columns((pl.col("end") - pl.col("start")).dt.total_days().alias("days"))
        .sort("policy_id", "start")
    )


def with_claims(pieces: pl.DataFrame, claims: pl.DataFrame) -> pl.DataFrame:
    """Add the claims in each piece's days.

    Returns
    -------
    pl.DataFrame
        The pieces in their order, with claims Int64; and where `claims` have amounts, paid_claims Int64 (those of an
        amount above 0) and claim_cents Int64: integers, so that splitting a row changes no bit of a sum.
    """
    numbered = pieces.with_row_index("piece")
    counts = [pl.len().cast(pl.Int64).alias("claims")]
    if "amount" in claims.columns and claims["amount"].null_count() < claims.height:
        counts.append((pl.col("amount") > 0).sum().cast(pl.Int64).alias("paid_claims"))
        counts.append((pl.col("amount") * 100).round().cast(pl.Int64).sum().alias("claim_cents"))
    found = (
        claims.join(numbered.select("piece", "policy_id", "start", "end"), on="policy_id")
        .filter((pl.col("occurred_on") >= pl.col("start")) & (pl.col("occurred_on") < pl.col("end")))
        .group_by("piece")
        .agg(counts)
    )
    return (
        numbered.join(found, on="piece", how="left", maintain_order="left")
        .with_columns(pl.col(name).fill_null(0) for name in found.columns[1:])
        .drop("piece")
    )


def by_month(policies: pl.DataFrame, claims: pl.DataFrame, first: date, months: int) -> pl.DataFrame:
    """Earned exposure and claims of every calendar month, whatever the rating dates.

    Returns
    -------
    pl.DataFrame
        month Date, policies, drivers Int64 (with at least a day in it), years Float64, claims Int64, claim_amount
        Float64 (null where claims have no amounts).
    """
    rows = []
    for k in range(months):
        start, end = add_months(first, k), add_months(first, k + 1)
        running = pl.col("end").fill_null(end)
        pieces = policies.filter((pl.col("start") < end) & (running > start)).with_columns(
            pl.max_horizontal("start", pl.lit(start)).alias("start"),
            pl.min_horizontal(running, pl.lit(end)).alias("end"),
        )
        found = with_claims(pieces, claims)
        cents = int(found["claim_cents"].sum()) if "claim_cents" in found.columns else None
        days = int((pieces["end"] - pieces["start"]).dt.total_days().sum() or 0)
        rows.append(
            {
                "month": start,
                "policies": pieces["policy_id"].n_unique(),
                "drivers": pieces["driver_id"].n_unique(),
                "years": days / DAYS_PER_YEAR,
                "claims": int(found["claims"].sum()),
                "claim_amount": None if cents is None else cents / 100,
            }
        )
    return pl.DataFrame(rows, schema_overrides={"claim_amount": pl.Float64})


def months_before(policies: pl.DataFrame, claims: pl.DataFrame, day: date, months: int) -> list[dict[str, Any]]:
    """`by_month` of the months before a day that saw any exposure, as JSON rows."""
    told = by_month(policies, claims, add_months(day.replace(day=1), -months), months).filter(pl.col("policies") > 0)
    return told.with_columns(pl.col("month").cast(pl.String)).to_dicts()


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
        Sorted by `keys`: keys, start and end (of the first and the last piece), days Int64, claims, paid_claims and
        claim_cents Int64 if the pieces have them, years Float64, and what was earned of each amount.
    """
    counted = ["days", *(name for name in COUNTED if name in pieces.columns)]
    sums = [pl.col(*counted).sum(), pl.col("start").min(), pl.col("end").max()]
    whole = pieces.group_by(*keys).agg(sums).sort(*keys)
    years: Floats = whole["days"].to_numpy() / DAYS_PER_YEAR  # by NumPy: decision 0009
    whole = whole.with_columns(pl.Series("years", years))
    numbered = pieces.join(whole.select(*keys).with_row_index("row"), on=list(keys), how="left")
    for amount, name in yearly.items():
        parts = numbered.group_by("row", amount).agg(pl.col("days").sum()).sort("row", amount)
        earned_parts: Floats = parts[amount].to_numpy() * parts["days"].to_numpy() / DAYS_PER_YEAR
        # bincount adds in row order: the same bits each time, which group_by does not promise for floats.
        sums_of_rows = np.bincount(parts["row"].to_numpy(), earned_parts, minlength=whole.height)
        whole = whole.with_columns(pl.Series(name, sums_of_rows))
    return whole
