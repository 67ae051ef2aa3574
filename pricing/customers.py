"""The value of a customer: premiums less claims of five years, times what years with the insurer are worth, and stars.

    value = (premiums - claims, open ones included) x retention coefficient of the year with the insurer

Judgements, numbered:

1. A term counts in premiums and claims if it starts in the `customers.years` years before the rating date; what it cost
   counts whole, whenever its claims were paid.
2. Years with the insurer run from the first term after the last gap of more than `customers.gap_months` months; a gap
   of exactly that does not start them again. Cover from several policies is one history.
3. Whoever has such a gap up to the rating date is no customer: no row.
4. The first year has year 1; the coefficient of the last year given is that of all later ones.
5. A value below the least star is 0 stars.

What is decided about doubtful rows of the file is numbered in `judgements.py`. A premium is what the term cost after
all refunds, so one below 0 is refused; claims may be below 0 by recoveries, and count as 0 then.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from features.contract.cover import ROW
from pricing.contract.factors import CUSTOMERS
from pricing.errors import PortfolioError
from pricing.judgements import Judged
from pricing.plan import CustomersPlan
from pricing.typed import read_typed, refuse

COLUMNS: Final = {
    "driver_id": pl.String(),
    "start": pl.Date(),
    "end": pl.Date(),
    "premium": pl.Float64(),
    "claims_paid": pl.Float64(),
}
OPTIONAL: Final = {"claims_open": pl.Float64()}
CENTS: Final = 2


def read_histories(path: Path, judged: Judged | None = None) -> pl.DataFrame:
    """Read premiums and claims of past terms, one row a term.

    Parameters
    ----------
    path : pathlib.Path
    judged : Judged, optional
        Where judgements are counted and rows set aside are listed.

    Returns
    -------
    pl.DataFrame
        driver_id String, start, end Date, premium, claims Float64 (paid and open), sorted by driver and start.

    Raises
    ------
    PortfolioError
        With file, row and column of the first value that cannot be used.
    """
    judged = judged or Judged()
    frame = read_typed(path, COLUMNS, OPTIONAL)
    if frame.is_empty():
        raise PortfolioError(path, "no histories")
    for column in ("premium", "claims_paid", *OPTIONAL):
        if column in frame.columns:
            refuse(frame, path, column, ~pl.col(column).is_finite(), "has to be a finite number")
    refuse(frame, path, "premium", pl.col("premium") < 0, "is below 0; give what the term cost after its refunds")
    refuse(frame, path, "end", pl.col("end") < pl.col("start"), "is before the start")
    for number, aside in (
        (18, ~pl.struct(pl.exclude(ROW)).is_first_distinct()),
        (19, pl.col("end") == pl.col("start")),
    ):
        judged.set_aside(number, path, frame.filter(aside)[ROW])
        frame = frame.filter(~aside)
    unpaid = pl.col("claims_open") if "claims_open" in frame.columns else pl.lit(0.0)
    terms = frame.select(*COLUMNS, claims=pl.col("claims_paid") + unpaid).drop("claims_paid")
    terms = terms.sort("driver_id", "start", "end")
    covered_until = pl.col("end").cum_max().shift(1).over("driver_id")
    judged.count(20, terms.filter(pl.col("start") < covered_until).height)
    recovered = terms.filter(pl.col("claims") < 0)
    judged.count(21, recovered.height, -float(recovered["claims"].sum()))
    return terms.with_columns(pl.col("claims").clip(lower_bound=0.0))


def judge_histories(histories: pl.DataFrame, policies: pl.DataFrame, rating_date: date, judged: Judged) -> None:
    """Count terms that start too late to count, and those of drivers without a policy."""
    judged.count(22, histories.filter(pl.col("start") >= rating_date).height)
    judged.count(23, histories.join(policies, on="driver_id", how="anti").height)


def customers(histories: pl.DataFrame, rating_date: date, plan: CustomersPlan) -> pl.DataFrame:
    """Value and stars of every customer on a rating date.

    Parameters
    ----------
    histories : polars.DataFrame
        As `read_histories` gives them.

    Returns
    -------
    polars.DataFrame
        Schema CUSTOMERS, sorted by driver.
    """
    day = pl.lit(rating_date)
    past = histories.filter(pl.col("start") < day).sort("driver_id", "start", "end")
    covered_until = pl.col("end").cum_max().shift(1).over("driver_id")
    again = (pl.col("start") > covered_until.dt.offset_by(f"{plan.gap_months}mo")).fill_null(value=False)
    spell = past.with_columns(again.cum_sum().over("driver_id").alias("spell"))
    current = spell.filter(pl.col("spell") == pl.col("spell").max().over("driver_id"))
    counted = pl.col("start") >= day.dt.offset_by(f"-{plan.years}y")
    amounts = [
        (pl.when(counted).then(pl.col(name)).otherwise(0.0) * 100).round().cast(pl.Int64).sum().alias(name)
        for name in ("premium", "claims")
    ]
    whole = spell.group_by("driver_id").agg(counted.sum().cast(pl.Int64).alias("terms"), *amounts)
    since = current.group_by("driver_id").agg(pl.col("start").min().alias("since"), pl.col("end").max().alias("until"))
    # A year is over on its anniversary: 29 February counts on the 28th.
    years = (
        (day.dt.year() - pl.col("since").dt.year())
        - (day.dt.strftime("%m-%d") < pl.col("since").dt.strftime("%m-%d")).cast(pl.Int32)
    ).cast(pl.Int64)
    limits = sorted(plan.stars)
    return (
        whole.join(since, on="driver_id")
        .filter(pl.col("until").dt.offset_by(f"{plan.gap_months}mo") >= day)
        .with_columns(
            rating_date=day,
            year=years + 1,
            retention=pl.lit(pl.Series([plan.retention], dtype=pl.List(pl.Float64)))
            .list.get(pl.min_horizontal(years, pl.lit(len(plan.retention) - 1)))
            .cast(pl.Float64),
            premiums=pl.col("premium") / 100,
            claims=pl.col("claims") / 100,
        )
        .with_columns(value=((pl.col("premiums") - pl.col("claims")) * pl.col("retention")).round(CENTS))
        .with_columns(stars=pl.sum_horizontal((pl.col("value") >= limit).cast(pl.Int32) for limit in limits))
        .select(*CUSTOMERS)
        .cast(CUSTOMERS)
        .sort("driver_id")
    )
