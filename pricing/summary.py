"""What a training and a rating look like in a terminal."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from pricing.contract.factors import REASONS
from pricing.model import RiskModel

PLACES: Final = ("best", "middle", "worst")


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

 tier     rows  claims  observed/expected   90 % interval  foretold"""
    rows = [
        f"{row['group']:>5}{row['rows']:>9,}{row['claims']:>8,}{row['ratio']:>19.3f}"
        f"   {row['ratio_low']:>5.3f} - {row['ratio_high']:>5.3f}{row['predicted']:>10.3f}"
        for row in d["lift"]
    ]
    return "\n".join([head, *rows])


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
