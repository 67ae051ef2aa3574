"""Watch a priced book month by month: has it moved, are the factors still right, is driving still seen as well.

    frozen reference of the model ---+
    features to the month's end -----+-> drift (PSI), quality
    factors, claims to the month's end -> actual over expected by tier, calibration slope
                                        -> verdicts: ok, watch, act

Judgements:

1. A month has few claims. Actual over expected is told for the month and since the rating date; verdicts rest on the
   second.
2. A verdict needs more than chance: PSI above what as many rows show by luck (99 %), an interval that misses 1.
3. Claims that are not known yet look like claims that did not happen: the last month looks better than it will be.
4. Quality is looked at in the month alone, where a fault shows, against the mean of the training windows; a share is
   judged by the percentage points it has moved.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import polars as pl
from scipy.stats import norm

from features.contract.catalogue import Catalogue
from features.contract.window import rating_features
from pricing.arrays import Floats
from pricing.diagnostics.diagnose import monitored
from pricing.diagnostics.reference import shift
from pricing.diagnostics.slope import calibration_slope
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.errors import ModelError, PortfolioError
from pricing.exposure import add_months
from pricing.matrix import rateable, read_inputs
from pricing.model import RiskModel
from pricing.monitor.experience import by_tier, earned
from pricing.monitor.verdicts import ACT, NO_DATA, OK, ORDER, WATCH, judge_psi
from pricing.plan import MonitorPlan


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict, and what it rests on."""

    check: str
    verdict: str
    found: str


@dataclass(frozen=True, slots=True)
class Watched:
    """What one month showed.

    Attributes
    ----------
    drift : polars.DataFrame
        name, psi, noise, mean_then, mean_now, unknown_then, unknown_now, rows_now, verdict.
    quality : polars.DataFrame
        name, mean_then, mean_now, moved, verdict.
    tiers : polars.DataFrame
        As `experience.by_tier`, of the month and since the rating date.
    """

    month: date
    checks: tuple[Check, ...]
    drift: pl.DataFrame
    quality: pl.DataFrame
    tiers: pl.DataFrame

    @property
    def verdict(self) -> str:
        """The gravest of all."""
        return max((check.verdict for check in self.checks), key=ORDER.index)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        tables = {name: getattr(self, name).to_dicts() for name in ("drift", "quality", "tiers")}
        return {
            "month": f"{self.month:%Y-%m}",
            "verdict": self.verdict,
            "checks": [asdict(c) for c in self.checks],
        } | tables


def monitor(
    model: RiskModel,
    factors: pl.DataFrame,
    periods: pl.DataFrame,
    claims: pl.DataFrame,
    catalogue: Catalogue,
    month: date,
) -> Watched:
    """Watch one month.

    Parameters
    ----------
    factors : polars.DataFrame
        The factor table in force in that month.
    periods : polars.DataFrame
        driver_periods up to the month's end at least; what comes after is not read.
    claims : polars.DataFrame
        policy_id, occurred_on.
    month : date
        Its first day.

    Raises
    ------
    ModelError
        If the model has no frozen reference.
    PortfolioError
        If no factor is in force in that month.
    """
    frozen = model.diagnosis.get("reference")
    if frozen is None:
        raise ModelError("the model has no diagnostics/reference.csv to compare with; train it again")
    model.check_catalogue(catalogue)
    end, limits = add_months(month, 1), model.plan.monitor
    in_force = factors.filter((pl.col("period_start") < end) & (pl.col("period_end") > month))
    if in_force.is_empty():
        first, last = (str(factors[name].sort()[k]) for name, k in (("period_start", 0), ("period_end", -1)))
        raise PortfolioError("factors", f"none is in force in {month:%Y-%m}; they hold from {first} to {last}")
    drivers = in_force.select("driver_id").unique().sort("driver_id").with_columns(rating_date=pl.lit(end))
    drift, rows = _drift(drivers, periods, model, catalogue, frozen)
    quality = _quality(drivers, periods, catalogue, frozen, limits)
    since = earned(factors, claims, end)
    tiers = pl.concat(
        [by_tier(earned(in_force, claims, end, month), "month", limits), by_tier(since, "since rating", limits)]
    )
    checks = (
        _worst("drift of features and score (PSI)", drift, "psi"),
        _level(tiers),
        _worst(
            "actual over expected by tier",
            tiers.filter((pl.col("span") == "since rating") & pl.col("tier").is_not_null()),
            "ae",
        ),
        _slope(since, limits),
        _worst("data quality", quality, "moved"),
        _silent(periods, month, rows, limits),
    )
    return Watched(month, checks, drift, quality, tiers)


def _drift(
    drivers: pl.DataFrame, periods: pl.DataFrame, model: RiskModel, catalogue: Catalogue, frozen: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = rating_features(periods, drivers, model.plan.window.feature_months, catalogue)
    enough = rows.filter(rateable(rows, model.plan.rateable))
    if enough.height < LEAST_DRIVERS:
        return shift(frozen, {}).with_columns(verdict=pl.lit(NO_DATA)), rows
    relativity = model.rate(read_inputs(enough, catalogue)).relativity
    moved = shift(frozen, monitored(enough, catalogue, relativity))
    limits = model.plan.monitor
    verdicts = [judge_psi(row["psi"], row["noise"], limits) for row in moved.iter_rows(named=True)]
    return moved.with_columns(pl.Series("verdict", verdicts, dtype=pl.String)), rows


def _quality(
    drivers: pl.DataFrame, periods: pl.DataFrame, catalogue: Catalogue, frozen: pl.DataFrame, limits: MonitorPlan
) -> pl.DataFrame:
    rows = rating_features(periods, drivers, 1, catalogue).filter(pl.col("trips") > 0)
    names = [f.name for f in catalogue.features if f.quality and f.kind == "share"]
    then = dict(frozen.select("name", "mean").unique("name").iter_rows())
    found = []
    for name in names:
        before, now = then.get(name), rows[name].mean() if rows.height >= LEAST_DRIVERS else None
        moved = now - before if isinstance(now, float) and before is not None else None
        size = 0.0 if moved is None else abs(moved)
        verdict = (
            NO_DATA
            if moved is None
            else ACT
            if size >= limits.quality_act
            else WATCH
            if size >= limits.quality_watch
            else OK
        )
        found.append({"name": name, "mean_then": before, "mean_now": now, "moved": moved, "verdict": verdict})
    return pl.DataFrame(
        found,
        schema={
            "name": pl.String,
            "mean_then": pl.Float64,
            "mean_now": pl.Float64,
            "moved": pl.Float64,
            "verdict": pl.String,
        },
    )


def _level(tiers: pl.DataFrame) -> Check:
    row = tiers.filter((pl.col("span") == "since rating") & pl.col("tier").is_null()).row(0, named=True)
    if row["ae"] is None:
        return Check("level of the book", NO_DATA, "no exposure")
    found = (
        f"{row['claims']:,} claims over {row['expected']:,.1f} expected: {row['ae']:.3f} [{row['ae_low']:.3f},"
        f" {row['ae_high']:.3f}] since the rating date"
    )
    return Check("level of the book", row["verdict"], found)


def _slope(rows: pl.DataFrame, limits: MonitorPlan) -> Check:
    rated = rows.drop_nulls("tier")
    columns: list[Floats] = [rated[name].to_numpy() for name in ("n", "expected_tariff", "relativity")]
    found = calibration_slope(*columns)
    name = "calibration slope"
    if found is None:
        return Check(name, NO_DATA, "too few claims since the rating date")
    error = (found.high - found.slope) / norm.ppf(0.95)
    narrow, wide = (error * norm.ppf((1 + c) / 2) for c in (limits.confidence, limits.confidence_act))
    off = abs(found.slope - 1)
    verdict = OK if off <= narrow else WATCH if off <= wide else ACT
    text = (
        f"{found.slope:.2f} [{found.slope - narrow:.2f}, {found.slope + narrow:.2f}] since the rating date,"
        f" {100 * limits.confidence:g} % interval"
    )
    return Check(name, verdict, text)


def _silent(periods: pl.DataFrame, month: date, rows: pl.DataFrame, limits: MonitorPlan) -> Check:
    """Drivers of whom something came in the window and nothing in the month."""
    known = rows.filter(pl.col("trips") > 0).select("driver_id")
    heard = periods.filter((pl.col("month") == month) & (pl.col("trips") > 0)).select("driver_id").unique()
    silent = known.join(heard, on="driver_id", how="anti").height
    if not known.height:
        return Check("silent drivers", NO_DATA, "no driver of this book has driven in the window")
    share = silent / known.height
    verdict = ACT if share >= 2 * limits.quality_act else WATCH if share >= 2 * limits.quality_watch else OK
    return Check(
        "silent drivers",
        verdict,
        f"{silent:,} of {known.height:,} who drove in the window drove nothing in the month ({100 * share:.1f} %)",
    )


def _worst(name: str, table: pl.DataFrame, by: str) -> Check:
    told = table.filter(pl.col("verdict") != NO_DATA)
    if told.is_empty():
        return Check(name, NO_DATA, "nothing to compare")
    counts = {v: told.filter(pl.col("verdict") == v).height for v in (ACT, WATCH)}
    verdict = next((v for v in (ACT, WATCH) if counts[v]), OK)
    far = (pl.col(by) - 1).abs() if by == "ae" else pl.col(by).abs()
    top = told.filter(pl.col("verdict") == verdict).sort(far, descending=True).row(0, named=True)
    key = f"tier {top['tier']}" if by == "ae" else top["name"]
    value = top[by]
    size = f"{value:.3f}" if math.isfinite(value) else "-"
    return Check(
        name,
        verdict,
        f"{told.height} looked at, {counts[WATCH]} to watch, {counts[ACT]} to act on; furthest: {key} {size}",
    )
