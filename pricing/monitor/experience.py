"""What a priced book has earned and claimed, against its factors and against the model."""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from pricing.diagnostics.intervals import poisson_interval
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.exposure import DAYS_PER_YEAR
from pricing.monitor.verdicts import ACT, NO_DATA, OK, WATCH
from pricing.plan import MonitorPlan


def still_covered(factors: pl.DataFrame, policies: pl.DataFrame) -> pl.DataFrame:
    """Factors whose policies are in the file with their driver, each until the day that cover now ends.

    A claim after the policy went to another driver is no experience of the first one's factor.
    """
    ends = policies.group_by("policy_id", "driver_id").agg(
        pl.when(pl.col("end").is_null().any()).then(None).otherwise(pl.col("end").max()).alias("covered_until")
    )
    return (
        factors.join(ends, on=["policy_id", "driver_id"], how="inner", maintain_order="left")
        .with_columns(pl.min_horizontal("period_end", "covered_until").alias("period_end"))
        .drop("covered_until")
    )


def earned(factors: pl.DataFrame, claims: pl.DataFrame, end: date, start: date | None = None) -> pl.DataFrame:
    """What each row of the factors earned and claimed: tier, relativity, expected_tariff, expected, n, years."""
    first = pl.col("period_start") if start is None else pl.max_horizontal("period_start", pl.lit(start))
    rows = factors.with_columns(first=first, last=pl.min_horizontal("period_end", pl.lit(end))).filter(
        pl.col("first") < pl.col("last")
    )
    days = (pl.col("last") - pl.col("first")).dt.total_days()
    whole = (pl.col("period_end") - pl.col("period_start")).dt.total_days()
    rows = rows.with_columns(
        years=days / DAYS_PER_YEAR, expected_tariff=pl.col("tariff_expected_claims") * days / whole
    )
    during = pl.col("occurred_on").is_between("first", "last", closed="left")
    counts = (
        rows.join(claims, on="policy_id").filter(during).group_by("policy_id", "driver_id").agg(pl.len().alias("n"))
    )
    return rows.join(counts, on=["policy_id", "driver_id"], how="left", maintain_order="left").select(
        "tier",
        "years",
        "expected_tariff",
        pl.col("indicated_relativity").alias("relativity"),
        (pl.col("expected_tariff") * pl.col("factor")).alias("priced"),
        (pl.col("expected_tariff") * pl.col("indicated_relativity")).alias("foretold"),
        pl.col("n").fill_null(0).cast(pl.Float64),
    )


def by_tier(rows: pl.DataFrame, span: str, limits: MonitorPlan) -> pl.DataFrame:
    """Judge the whole book against its factors, and each tier against the model, at the level of all tiers' claims.

    Parameters
    ----------
    rows : polars.DataFrame
        Of `earned`.
    span : str
        month or since rating.

    Returns
    -------
    pl.DataFrame
        span, tier (null: the whole book), policies, years, claims, expected, ae, ae_low, ae_high, verdict, ae_priced. A
        tier is held against what the model foretells, so that a band or a renewal limit is no fault of the model;
        `ae_priced` is actual over tariff x factor.
    """
    found = [_judged(rows, span, None, "priced", 1.0, limits)]
    rated = rows.drop_nulls("tier")
    claims, foretold = float(rated["n"].sum()), float(rated["foretold"].sum())
    level = claims / foretold if claims and foretold else 1.0
    for (tier,), part in rated.sort("tier").group_by("tier", maintain_order=True):
        if part.height >= LEAST_DRIVERS:
            found.append(_judged(part, span, tier, "foretold", level, limits))
    return pl.DataFrame(found, schema=_TIERS)


_TIERS: Final = pl.Schema(
    {
        "span": pl.String,
        "tier": pl.Int32,
        "policies": pl.Int64,
        "years": pl.Float64,
        "claims": pl.Int64,
        "expected": pl.Float64,
        "ae": pl.Float64,
        "ae_low": pl.Float64,
        "ae_high": pl.Float64,
        "verdict": pl.String,
        "ae_priced": pl.Float64,
    }
)


def _judged(
    part: pl.DataFrame, span: str, tier: object, by: str, level: float, limits: MonitorPlan
) -> dict[str, object]:
    claims, expected, priced = float(part["n"].sum()), float(part[by].sum()) * level, float(part["priced"].sum())
    row: dict[str, object] = {"span": span, "tier": tier, "policies": part.height, "years": float(part["years"].sum())}
    row |= {"claims": int(claims), "expected": expected, "ae_priced": claims / priced if priced > 0 else None}
    if expected <= 0:
        return row | {"ae": None, "ae_low": None, "ae_high": None, "verdict": NO_DATA}
    ends = {
        c: [float(end) / expected for end in poisson_interval(claims, c)]
        for c in (limits.confidence, limits.confidence_act)
    }
    (low, high), (low_act, high_act) = ends.values()
    verdict = OK if low <= 1 <= high else WATCH if low_act <= 1 <= high_act else ACT
    return row | {"ae": claims / expected, "ae_low": low, "ae_high": high, "verdict": verdict}
