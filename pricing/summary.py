"""What a training and a rating look like in a terminal."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from pricing.contract.factors import REASONS
from pricing.model import RiskModel

PLACES: Final = ("best", "middle", "worst")
# Columns of the factor table that `table` shows.
SHOWN: Final = (
    "policy_id",
    "factor",
    "score",
    "tier",
    "indicated_relativity",
    "exposure_km",
    "rateable",
    *(f"{name}_{k}" for k in range(1, REASONS + 1) for name in ("reason", "effect")),
)


def trained(model: RiskModel) -> str:
    """Tell what was learned, all of it out of fold, and the lift by tier."""
    d, c = model.diagnostics, model.calibration
    outside = "" if d["slope_accepted"] else " OUTSIDE the band, accepted by the plan"
    head = f"""\
model {model.model_id}, plan {model.plan.plan_version}
  {d["rows"]:,} rating rows, {d["claims"]:,} claims, {d["rounds"]} trees
  out of fold: Gini {d["gini_tariff"]:.3f} by the tariff, {d["gini_telematics"]:.3f} with telematics
  deviance x 100: {d["deviance_tariff"]:.3f} by the tariff, {d["deviance_telematics"]:.3f} with telematics
  slope b {c.b:.3f}, 90 % interval [{c.b_low:.3f}, {c.b_high:.3f}]{outside}; kappa {c.kappa_km:g} km
{"".join(f"  {line}{chr(10)}" for line in [*_severity(model), *_forward(model), *_forms(model)])}
 tier     rows  claims  observed/expected   90 % interval  foretold"""
    rows = [
        f"{row['group']:>5}{row['rows']:>9,}{row['claims']:>8,}{row['ratio']:>19.3f}"
        f"   {row['ratio_low']:>5.3f} - {row['ratio_high']:>5.3f}{row['predicted']:>10.3f}"
        for row in d["lift"]
    ]
    return "\n".join([head, *rows])


def _severity(model: RiskModel) -> list[str]:
    if model.severity is None:
        return []
    d, c = model.diagnostics["severity"], model.severity.calibration
    if not d["rounds"]:
        return [f"severity: {d['paid_claims']:,} paid claims tell nothing of drivers; amounts are taken as equal"]
    slope = f"slope b {c.b:.3f} [{c.b_low:.3f}, {c.b_high:.3f}], kappa {c.kappa_km:g} km"
    return [f"severity: {d['paid_claims']:,} paid claims, {d['rounds']} trees, {slope}"]


def _forward(model: RiskModel) -> list[str]:
    return [
        f"forward in time: {row['claims_foretold']:,} later claims, deviance {row['deviance_tariff']:.3f} by the "
        f"tariff, {row['deviance_telematics']:.3f} with telematics; slope {row['slope']:.3f} "
        f"[{row['slope_low']:.3f}, {row['slope_high']:.3f}]"
        for row in _diagnosis(model, "forward")
    ]


def _forms(model: RiskModel) -> list[str]:
    return [
        f"{row['form']}: deviance {row['deviance']:.3f}, {row['share_of_free_form']:.0%} of the free form's gain"
        for row in _diagnosis(model, "forms")
        if row["share_of_free_form"] is not None
    ]


def _diagnosis(model: RiskModel, name: str) -> list[dict[str, Any]]:
    """Rows of a table of the filing pack; none where it was not made."""
    return model.diagnosis[name].to_dicts() if name in model.diagnosis else []


def table(factors: pl.DataFrame, book: dict[str, Any], rows: int = 3) -> str:
    """Tell the best, middle and worst drivers with their reasons, and the totals that show the off-balance."""
    chosen = ends_and_middle(factors, rows)
    if chosen.is_empty():
        return f"no driver has enough driving for a factor of their own\n\n{totals(book)}"
    width = max(10, *(len(name) for name in chosen["policy_id"]))
    head = f"{'':<8}{'policy':<{width}}{'factor':>9}{'score':>7}{'tier':>6}{'km':>9}  strongest reasons"
    return "\n".join([head, *(_row(row, width) for row in chosen.iter_rows(named=True)), "", totals(book)])


def totals(book: dict[str, Any]) -> str:
    """Tell what the book collects with factors against without."""
    t = book["totals"]
    lines = [
        f"{t['policies']:,} policies: {t['rateable']:,} with enough driving",
        f"{t['capped']:,} at the band, {t['limited']:,} at the renewal limit",
        f"base factor B {book['constants']['base_factor']:.6f}",
        f"expected claims with factors over without: {t['claims_ratio']:.7f}",
    ]
    if t["premium_ratio"] is not None:
        lines.append(f"premium with factors over without:         {t['premium_ratio']:.7f}")
    aside = sum(row["count"] for row in book.get("portfolio", ()) if row["action"] == "set aside")
    if aside:
        lines.append(f"{aside:,} rows of the inputs set aside: see set_aside.csv")
    if not t["balanced"]:
        lines.append(f"not balanced by the plan: load the base rate by {t['base_rate_load']:.6f}")
    return "\n".join(lines)


def ends_and_middle(factors: pl.DataFrame, rows: int = 3) -> pl.DataFrame:
    """Best, middle and worst rateable drivers by indicated relativity, with the column `place`."""
    ranked = factors.filter("rateable").sort("indicated_relativity", "policy_id")
    count = min(rows, max(ranked.height // len(PLACES), min(1, ranked.height)))
    starts = (0, (ranked.height - count) // 2, ranked.height - count)
    parts = [ranked.slice(start, count).with_columns(place=pl.lit(p)) for p, start in zip(PLACES, starts, strict=True)]
    return pl.concat(parts).unique("policy_id", keep="first", maintain_order=True)


def _row(row: dict[str, Any], width: int) -> str:
    reasons = [
        f"x {row[f'effect_{k}']:.3f}  {row[f'reason_{k}']}"
        for k in range(1, REASONS + 1)
        if row[f"reason_{k}"] is not None
    ] or ["-"]
    tier = "-" if row["tier"] is None else row["tier"]
    start = f"{row['place']:<8}{row['policy_id']:<{width}}{row['factor']:>9.3f}{row['score']:>7.1f}{tier:>6}"
    start = f"{start}{row['exposure_km']:>9,.0f}  "
    return "\n".join([start + reasons[0], *(" " * len(start) + reason for reason in reasons[1:])])
