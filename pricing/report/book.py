"""Tables of a rated book: who moves by how much, off-balance, tiers, reasons, experience.

Groups of fewer than twenty are hidden: nobody is to be found in a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing.arrays import Bools, Floats
from pricing.contract.factors import MICRO, REASONS
from pricing.diagnostics.intervals import actual_over_expected
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.factor import factors as steps_of
from pricing.factor import kept
from pricing.model import RiskModel
from pricing.plan import FactorPlan
from pricing.score import to_factor

HISTOGRAM_BINS: Final = 40
CHANGE_EDGES: Final = (-0.30, -0.20, -0.10, -0.05, -0.001, 0.001, 0.05, 0.10, 0.20, 0.30)
CHANGE_NAMES: Final = (
    "below -30 %", "-30 to -20 %", "-20 to -10 %", "-10 to -5 %", "-5 to 0 %", "unchanged",
    "0 to +5 %", "+5 to +10 %", "+10 to +20 %", "+20 to +30 %", "above +30 %",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rated:
    """A rated book as arrays of shape (n_rows,), step by step.

    Attributes
    ----------
    before : numpy.ndarray
        Previous factor; 1 where there is none.
    indicated : numpy.ndarray
        What the factor is made of: R of the driving, or its tier's; times own claims where the plan counts them.
    uncapped : numpy.ndarray
        What the factor would be without band and renewal limit, balanced by a base factor of its own.
    weight : numpy.ndarray
        What is balanced.
    """

    before: Floats
    indicated: Floats
    based: Floats
    banded: Floats
    factor: Floats
    uncapped: Floats
    weight: Floats
    rateable: Bools

    @classmethod
    def of(cls, table: pl.DataFrame, receipts: pl.DataFrame, book: dict[str, Any], model: RiskModel) -> Rated:
        """Take the steps out of a factor table and its receipts (same rows, same order)."""
        plan = model.plan.factor
        rows = receipts.with_columns(table["rateable"], table["indicated_relativity"].alias("relativity"))
        one, _ = to_factor(rows, model)
        steps = steps_of(one, float(book["constants"]["base_factor"]), plan)
        left = kept(one.previous, plan)
        fixed = math.fsum(one.weight[~one.rateable] * left[~one.rateable])
        asked = math.fsum(one.weight[one.rateable] * one.relativity[one.rateable])
        free = 1.0 if plan.balance == "none" or asked == 0 else (math.fsum(one.weight) - fixed) / asked
        return cls(
            before=np.where(np.isnan(one.previous), 1.0, one.previous),
            indicated=np.where(one.rateable, one.relativity, left),
            based=np.where(one.rateable, steps.based, left),
            banded=steps.banded,
            factor=table["factor"].to_numpy(),
            uncapped=np.where(one.rateable, free * one.relativity, left),
            weight=one.weight,
            rateable=one.rateable,
        )


def histogram(rated: Rated, plan: FactorPlan) -> pl.DataFrame:
    """Policies by factor: low, high, policies; bins of fewer than twenty are joined to a neighbour's side (null)."""
    low, high = min(plan.lower, float(rated.factor.min())), max(plan.upper, float(rated.factor.max()))
    width = (high - low) / HISTOGRAM_BINS or 1.0 / HISTOGRAM_BINS
    counts, edges = np.histogram(rated.factor, bins=HISTOGRAM_BINS + 1, range=(low - width / 2, high + width / 2))
    return pl.DataFrame({"low": edges[:-1], "high": edges[1:], "policies": counts}).with_columns(_hidden("policies"))


def off_balance(rated: Rated, plan: FactorPlan) -> pl.DataFrame:
    """What the book collects after each step: step, collected (share of what the tariff collects), mean_factor."""
    steps = {
        "tariff": np.ones_like(rated.factor),
        "previous factors": rated.before,
        "indicated relativity": rated.indicated,
        "times base factor B": rated.based,
        f"within the band [{plan.lower:g}, {plan.upper:g}]": rated.banded,
        "within the renewal limit: the factor": rated.factor,
    }
    total = math.fsum(rated.weight)
    return pl.DataFrame(
        {
            "step": list(steps),
            "collected": [math.fsum(rated.weight * factor) / total for factor in steps.values()],
            "mean_factor": [float(factor.mean()) for factor in steps.values()],
            "lowest": [_outermost(factor, 0.01) for factor in steps.values()],
            "highest": [_outermost(factor, 0.99) for factor in steps.values()],
        }
    )


def dislocation(rated: Rated) -> pl.DataFrame:
    """Policies by change of the premium, without and with caps.

    Returns
    -------
    pl.DataFrame
        change (band), policies_uncapped, policies_capped, and shares of the balanced weight. Counts under twenty are
        null, and so are their shares.
    """
    columns: dict[str, Any] = {"change": CHANGE_NAMES}
    for name, factor in (("uncapped", rated.uncapped), ("capped", rated.factor)):
        change = np.round(factor / rated.before - 1.0, MICRO)
        band = np.searchsorted(
            CHANGE_EDGES, change - np.sign(change) * 1e-9, side="right"
        )  # an edge is the inner band's
        columns[f"policies_{name}"] = np.bincount(band, minlength=len(CHANGE_NAMES))
        columns[f"share_{name}"] = np.bincount(band, rated.weight, len(CHANGE_NAMES)) / rated.weight.sum()
    table = pl.DataFrame(columns)
    for name in ("uncapped", "capped"):
        few = pl.col(f"policies_{name}").is_between(1, LEAST_DRIVERS - 1)
        table = table.with_columns(pl.when(~few).then(pl.col(f"share_{name}")), few=few).with_columns(
            pl.when(~pl.col("few")).then(pl.col(f"policies_{name}"))
        )
    return table.drop("few")


def tiers(factors: pl.DataFrame) -> pl.DataFrame:
    """Tier, policies, tariff_claims, mean_factor, mean_relativity, at_band, at_limit: rateable drivers."""
    return (
        factors.filter("rateable")
        .group_by("tier")
        .agg(
            pl.len().alias("policies"),
            pl.col("tariff_expected_claims").sum().alias("tariff_claims"),
            pl.col("factor").mean().alias("mean_factor"),
            pl.col("indicated_relativity").mean().alias("mean_relativity"),
            pl.col("capped").sum().cast(pl.Int64).alias("at_band"),
            pl.col("limited").sum().cast(pl.Int64).alias("at_limit"),
        )
        .filter(pl.col("policies") >= LEAST_DRIVERS)
        .with_columns(_hidden("at_band"), _hidden("at_limit"))
        .sort("tier")
    )


def reasons(factors: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """How often each variable is among the reasons a driver is told.

    Returns
    -------
    pl.DataFrame
        variable ("(other)": of none), drivers, told_to, first_to and raises (shares), effect_p05, effect_p95.
    """
    rated = factors.filter("rateable")
    variable: pl.Expr = pl.lit("(other)")
    for feature in catalogue.features:
        for sentence in (feature.reason_en, feature.reason_zh):
            before, _, after = sentence.partition("{value}")
            fits = pl.col("reason").str.starts_with(before) & pl.col("reason").str.contains(
                after.strip() or " ", literal=True
            )
            variable = pl.when(fits).then(pl.lit(feature.name)).otherwise(variable)
    told = pl.concat(
        [
            rated.select(
                pl.col(f"reason_{k}").alias("reason"),
                pl.col(f"effect_{k}").alias("effect"),
                pl.lit(k == 1).alias("first"),
            )
            for k in range(1, REASONS + 1)
        ]
    )
    return (
        told.drop_nulls("reason")
        .with_columns(variable=variable)
        .group_by("variable")
        .agg(
            pl.len().alias("drivers"),
            (pl.len() / max(1, rated.height)).alias("told_to"),
            (pl.col("first").sum() / max(1, rated.height)).alias("first_to"),
            (pl.col("effect") > 1).mean().alias("raises"),
            pl.col("effect").quantile(0.05).alias("effect_p05"),
            pl.col("effect").quantile(0.95).alias("effect_p95"),
        )
        .filter(pl.col("drivers") >= LEAST_DRIVERS)
        .sort("told_to", "variable", descending=[True, False])
    )


def by_group(factors: pl.DataFrame, rated: Rated, group: pl.Series) -> pl.DataFrame:
    """Mean factor by protected group: group, policies, mean_factor (by weight), mean_uncapped, raised (share)."""
    table = pl.DataFrame(
        {"group": group, "w": rated.weight, "f": rated.factor, "u": rated.uncapped, "up": rated.factor > rated.before}
    )
    weighted = ((pl.col(name) * pl.col("w")).sum() / pl.col("w").sum() for name in ("f", "u"))
    mean_factor, mean_uncapped = weighted
    return (
        table.filter(pl.Series(factors["rateable"]))
        .group_by("group")
        .agg(
            pl.len().alias("policies"),
            mean_factor.alias("mean_factor"),
            mean_uncapped.alias("mean_uncapped"),
            pl.col("up").mean().alias("raised"),
        )
        .filter(pl.col("policies") >= LEAST_DRIVERS)
        .sort("group")
    )


def experience(
    factors: pl.DataFrame, claims: pl.DataFrame, until: date | None = None, start: date | None = None
) -> pl.DataFrame:
    """Claims in the rated periods against the tariff and against the factors, by tier and by what kept factors are.

    Parameters
    ----------
    claims : polars.DataFrame
        policy_id, occurred_on.
    start, until : date, optional
        Only these days of the rated periods; `until` is the first day not looked at.

    Returns
    -------
    pl.DataFrame
        tier (null: not rateable), kept (of who is not rateable: discount, surcharge or neither), policies, years,
        claims, expected_tariff, expected_priced (tariff x factor), and actual over each with the exact interval
        (`ae_tariff`, `ae_priced`).
    """
    first = pl.col("period_start") if start is None else pl.max_horizontal("period_start", pl.lit(start))
    last = pl.col("period_end") if until is None else pl.min_horizontal("period_end", pl.lit(until))
    rows = factors.with_columns(first=first, last=last).filter(pl.col("first") < pl.col("last"))
    days = (pl.col("last") - pl.col("first")).dt.total_days()
    earned = pl.col("tariff_expected_claims") * days / (pl.col("period_end") - pl.col("period_start")).dt.total_days()
    rows = rows.with_columns(earned=earned, years=days / 365, priced=earned * pl.col("factor"))
    kept = {"discount": pl.col("factor") < 1, "neither": pl.col("factor") == 1, "surcharge": pl.col("factor") > 1}
    told = [pl.when(~pl.col("rateable"), at).then(pl.lit(name)) for name, at in kept.items()]
    rows = rows.with_columns(kept=pl.coalesce(told))
    during = pl.col("occurred_on").is_between("first", "last", closed="left")
    counts = (
        rows.join(claims, on="policy_id").filter(during).group_by("policy_id", "driver_id").agg(pl.len().alias("n"))
    )
    summed = (
        rows.join(counts, on=["policy_id", "driver_id"], how="left", maintain_order="left")
        .group_by("tier", "kept")
        .agg(
            pl.len().alias("policies"),
            pl.col("years").sum(),
            pl.col("n").fill_null(0).sum().cast(pl.Int64).alias("claims"),
            pl.col("earned").sum().alias("expected_tariff"),
            pl.col("priced").sum().alias("expected_priced"),
        )
        .filter((pl.col("policies") >= LEAST_DRIVERS) & (pl.col("expected_priced") > 0))
        .sort("tier", "kept", nulls_last=True)
    )
    n = summed["claims"].cast(pl.Float64).to_numpy()
    found = {
        name: values
        for kind in ("tariff", "priced")
        for name, values in actual_over_expected(n, summed[f"expected_{kind}"].to_numpy(), f"ae_{kind}").items()
    }
    return summed.with_columns(pl.Series(name, values) for name, values in found.items())


def _outermost(factor: Floats, quantile: float) -> float:
    """A quantile near an end: the end itself is one driver's."""
    return float(np.quantile(factor, quantile))


def _hidden(column: str) -> pl.Expr:
    """Counts of 1 to 19 as null."""
    return pl.when(~pl.col(column).is_between(1, LEAST_DRIVERS - 1)).then(pl.col(column)).alias(column)
