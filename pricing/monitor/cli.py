"""`ubi pricing monitor`: verdicts on one month of a priced book."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from pricing.monitor.watch import Watched

log = logging.getLogger(__name__)

SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; --model, --features, --policies and --json are the caller's."""
    parser.add_argument("--factors", required=True, type=Path, metavar="DIR", help="output of ubi pricing score")
    parser.add_argument(
        "--claims", required=True, type=Path, metavar="FILE", help="claims known by now, Parquet or CSV"
    )
    parser.add_argument("--month", required=True, type=_month, metavar="YYYY-MM", help="the month to watch")


def run(options: argparse.Namespace, periods_of: Callable[[Path], pl.DataFrame]) -> int:
    """Watch the month and print the verdicts. `periods_of` reads the features' folder."""
    from features.contract.catalogue import load_catalogue
    from pricing.built import as_one
    from pricing.model import load_model
    from pricing.monitor.experience import still_covered
    from pricing.monitor.watch import monitor
    from pricing.portfolio import read_book, read_claims, read_policies

    model = load_model(options.model)
    with as_one(options.features, options.factors):
        factors, _ = read_book(options.factors)
        periods = periods_of(options.features)
    policies = read_policies(options.policies)
    claims = read_claims(options.claims, model.plan.tariff.covers, policies=policies)
    covered = still_covered(factors, policies)
    if covered.height < factors.height:
        log.warning(
            "%d factors are of policies that the file does not hold; not watched", factors.height - covered.height
        )
    last = claims["occurred_on"].max()
    if last is None or last < options.month:
        log.warning("no claim of %s or later is known: the month looks better than it is", f"{options.month:%Y-%m}")
    found = monitor(model, covered, periods, claims, load_catalogue(), options.month)
    print(json.dumps(found.to_dict(), default=str) if options.json else told(found))
    return 0


def told(found: Watched) -> str:
    """Tell the verdicts, then the tables behind them."""
    lines = [f"{found.month:%Y-%m}: {found.verdict}", ""]
    width = max(len(check.check) for check in found.checks)
    lines += [f"  {check.verdict:<8}{check.check:<{width}}  {check.found}" for check in found.checks]
    lines += [
        "",
        "  span          tier  policies  years  claims  actual/expected   interval        with factors  verdict",
    ]
    for row in found.tiers.iter_rows(named=True):
        tier = "all" if row["tier"] is None else str(row["tier"])
        ratio = "-" if row["ae"] is None else f"{row['ae']:.2f}"
        ends = "" if row["ae"] is None else f"{row['ae_low']:.2f} - {row['ae_high']:.2f}"
        priced = "-" if row["ae_priced"] is None else f"{row['ae_priced']:.2f}"
        lines.append(
            f"  {row['span']:<14}{tier:>4}{row['policies']:>10,}{row['years']:>7,.0f}{row['claims']:>8,}{ratio:>17}   "
            f"{ends:<16}{priced:>12}  {row['verdict']}"
        )
    moved = found.drift.sort("psi", descending=True).head(SHOWN)
    lines += ["", f"  {'moved furthest':<34}  PSI  noise        then         now  verdict"]
    lines += [
        f"  {row['name']:<34}{row['psi']:>5.2f}{row['noise']:>7.2f}{_value(row['mean_then'])}{_value(row['mean_now'])} "
        f" {row['verdict']}"
        for row in moved.iter_rows(named=True)
    ]
    off = found.quality.filter(found.quality["verdict"].is_in(["watch", "act"]))
    lines += [
        f"  {row['name']:<34}{100 * row['moved']:>+6.1f} points{_value(row['mean_then'])}{_value(row['mean_now'])} "
        f" {row['verdict']}"
        for row in off.iter_rows(named=True)
    ]
    return "\n".join(lines)


def _value(value: float | None) -> str:
    return f"{'-':>12}" if value is None else f"{value:>12,.4g}"


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a month (YYYY-MM)") from error
