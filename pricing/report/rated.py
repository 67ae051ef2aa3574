"""Sections on the rated book: its factors, whom they move, off-balance, fairness, drift."""

from __future__ import annotations

from typing import Any, Final

from device.contract.trip import ACCEL_STEP_CMPS2, ACCEL_ZERO_BIN, SPEED_BANDS
from pricing.report import charts
from pricing.report.charts import MODEL, PALE, Series
from pricing.report.pack import Heatmap, Pack, Section
from pricing.report.parts import (
    Column,
    Raw,
    chip,
    figure,
    folded,
    grid,
    interval,
    of_frame,
    paragraph,
    source_line,
    table,
)

WORST: Final = 15  # columns of drift that stand open
KEPT: Final = {"discount": "kept discount", "surcharge": "kept surcharge", "neither": "kept, at 1"}


def factors(pack: Pack) -> Section:
    """Distribution of factors, tiers, reasons, driving of the best and the worst tenth."""
    plan = pack.model.plan
    f, totals = plan.factor, pack.book["totals"]
    profile = (
        f"{plan.profile.title or plan.plan_version}: {plan.profile.note}" if plan.profile.note else plan.plan_version
    )
    rules = paragraph(
        f"Profile {profile} Band [{f.lower:g}, {f.upper:g}]; renewal limit {f.renewal_lower:g} to {f.renewal_upper:g}"
        " times the previous factor, which wins where the two do not meet. "
        + (
            f"One base factor B = {pack.book['constants']['base_factor']:.6f} over the whole book, drivers without"
            " enough driving included."
            if totals["balanced"]
            else "Not balanced: discounts only."
        )
    )
    histogram = pack.tables["factors"]
    edges = [*histogram["low"].to_list(), histogram["high"][-1]]
    pictures = [
        figure(
            "Policies by factor",
            charts.histogram(
                [v or 0 for v in histogram["policies"]], edges, "factor", "Policies by factor", [1.0, f.lower, f.upper]
            ),
            "Dashed: the tariff premium unchanged, and the ends of the band. Bars of fewer than twenty policies are not"
            " shown.",
            "factors",
        )
    ]
    reasons = pack.table("reasons")
    if reasons is not None:
        top = reasons.head(10)
        pictures.append(
            figure(
                "What drivers are told",
                charts.bars(top["variable"].to_list(), [100 * v for v in top["told_to"]], "Reasons", ".0f"),
                "Per cent of rated drivers who have this among their three reasons.",
                "reasons",
            )
        )
    maps = [_heatmap(item) for item in pack.heatmaps]
    driving = grid(maps) if maps else ""
    return Section(
        "factors", "Factors of this book", rules + grid(pictures) + _tiers(pack) + _experience(pack) + driving
    )


def dislocation(pack: Pack) -> Section:
    """Whom the factors move, uncapped and capped; off-balance step by step."""
    moved, balance = pack.tables["dislocation"], pack.tables["off_balance"]
    series = [
        Series("without caps", [_percent(v) for v in moved["share_uncapped"]], PALE),
        Series("as published", [_percent(v) for v in moved["share_capped"]], MODEL),
    ]
    picture = charts.pairs(moved["change"].to_list(), series, "change of the premium", "Dislocation")
    chart = figure(
        "Dislocation",
        picture,
        "Per cent of the book (by expected claims) by change against the previous factor, 1 where there is none;"
        " without caps is balanced by a base factor of its own.",
        "dislocation",
    )
    columns = {
        "change": Column("change"),
        "policies_uncapped": Column("policies without caps", ",d"),
        "policies_capped": Column("as published", ",d"),
    }
    steps = {
        "step": Column("step"),
        "collected": Column("collected / tariff", ".6f"),
        "mean_factor": Column("mean factor", ".4f"),
        "lowest": Column("1 % below", ".3f"),
        "highest": Column("99 % below", ".3f"),
    }
    hidden = source_line("A dash: one to nineteen policies, not shown so that nobody is found.", "dislocation")
    told = source_line(
        "Weights are expected claims, or premiums if the plan balances those. B is found last, with band and renewal"
        " limit in place: the last line collects 1, the lines above do not.",
        "off_balance",
    )
    totals = pack.book["totals"]
    premium = (
        f" Premium with factors over without: {totals['premium_ratio']:.6f}."
        if totals["premium_ratio"] is not None
        else ""
    )
    limits = paragraph(
        f"{totals['capped']:,} policies stand at the band, {totals['limited']:,} at the renewal limit,"
        f" {totals['policies'] - totals['rateable']:,} of {totals['policies']:,} had too little driving, or too little"
        f" of it seen, and keep their factor.{premium}"
    )
    return Section(
        "dislocation",
        "Whom it moves, and off-balance",
        limits
        + grid([chart, f"<div>{of_frame(moved, columns)}{hidden}</div>"])
        + '<h3 class="sub">Off-balance, step by step</h3>'
        + of_frame(balance, steps)
        + told,
    )


def fairness(pack: Pack) -> Section:
    """Groups of protected attributes."""
    groups = pack.table("fairness_groups")
    if groups is None:
        return Section(
            "fairness",
            "Fairness",
            paragraph(
                "Not looked at: the policies file that the model was trained with brings none of the plan's protected"
                " attributes (fairness.protected). They are read for this section only and never enter the model or the"
                " tariff."
            ),
        )
    intro = paragraph(
        "The attributes below were read for this section alone; no model has seen them. A/E near 1 in each group says"
        " that no group pays for another. The discrimination-free price (Lindholm, Richman, Tsanakas and Wuethrich"
        " 2022) fits the model again with the attribute in it and then averages it out with the shares of the whole"
        " book: where the unaware relativity differs from it, the features give the attribute away and the price makes"
        " use of that."
    )
    free = {(r["attribute"], r["group"]): r for r in pack.tables["fairness_free"].iter_rows(named=True)}
    rated = pack.table("fairness_book")
    means = {} if rated is None else {(r["attribute"], r["group"]): r for r in rated.iter_rows(named=True)}
    columns = [
        Column("attribute"),
        Column("group"),
        Column("drivers", ",d"),
        Column("claims", ",d"),
        Column("A/E tariff", ".2f"),
        Column("A/E model", ".2f"),
        Column("relativity", ".3f"),
        Column("discrimination-free", ".3f"),
        Column("ratio", ".3f"),
        Column("mean factor, this book", ".3f"),
    ]
    rows: list[tuple[Any, ...]] = []
    for r in groups.iter_rows(named=True):
        key = (r["attribute"], r["group"])
        f = free.get(key, {})
        rows.append(
            (
                r["attribute"],
                r["group"],
                r["drivers"],
                r["claims"],
                Raw(interval(r, "ae_tariff")),
                Raw(interval(r, "ae_model")),
                f.get("unaware"),
                f.get("discrimination_free"),
                f.get("ratio"),
                means.get(key, {}).get("mean_factor"),
            )
        )
    forest = charts.forest(
        [
            (f"{r['attribute']} {r['group']}", r["ae_model"], r["ae_model_low"], r["ae_model_high"])
            for r in groups.iter_rows(named=True)
        ],
        "A/E by the model, 90 % interval",
        "A/E by group",
    )
    proxy = {
        "attribute": Column("attribute"),
        "r2_features": Column("R² by all variables", ".4f"),
        "strongest": Column("strongest alone"),
        "r2_strongest": Column("R² by it", ".4f"),
        "r2_relativity": Column("R² by the relativity", ".4f"),
    }
    return Section(
        "fairness",
        "Fairness",
        intro
        + table(columns, rows)
        + source_line(
            "Relativities are means by expected claims, out of fold; ratio: unaware over discrimination-free.",
            "fairness_groups",
        )
        + grid(
            [
                figure(
                    "Actual over expected by group",
                    forest,
                    "On 1: the group's claims are what its members are asked for.",
                    "fairness_groups",
                )
            ]
        )
        + '<h3 class="sub">How well driving tells the group</h3>'
        + of_frame(pack.tables["fairness_proxy"], proxy)
        + source_line(
            "R² out of fold, linear: 0 says that the group cannot be told, 1 that it is given away.", "fairness_proxy"
        ),
    )


def drift(pack: Pack) -> Section:
    """PSI of the book against the training rows."""
    m = pack.model.plan.monitor
    rule = paragraph(
        "Population stability index of each column of this book against the frozen shares of the training rows: watch"
        f" from {m.psi_watch:g}, act from {m.psi_act:g} (plan keys monitor.psi_watch, monitor.psi_act). A PSI below the"
        " noise that as many rows show by chance (99 % quantile) is no verdict, however large. ubi pricing monitor"
        " does the same for every new month, with claims."
    )
    moved = pack.table("drift")
    if moved is None:
        return Section(
            "drift",
            "Drift and its limits",
            rule + paragraph("Not looked at: give --features to compare this book with the training rows."),
        )
    body = [
        (
            Raw(f"<code>{r['name']}</code>"),
            r["psi"],
            r["noise"],
            r["mean_then"],
            r["mean_now"],
            r["unknown_then"],
            r["unknown_now"],
            chip(r["verdict"]),
        )
        for r in moved.sort("psi", descending=True).iter_rows(named=True)
    ]
    columns = [
        Column("column"),
        Column("PSI", ".3f"),
        Column("noise", ".3f"),
        Column("mean then", ".4g"),
        Column("mean now", ".4g"),
        Column("unknown then", ".1%"),
        Column("unknown now", ".1%"),
        Column("verdict"),
    ]
    rest = folded(f"The other {len(body) - WORST} columns", table(columns, body[WORST:])) if len(body) > WORST else ""
    return Section(
        "drift",
        "Drift and its limits",
        rule + table(columns, body[:WORST]) + rest + source_line("Largest first.", "drift"),
    )


def _tiers(pack: Pack) -> str:
    rows = pack.table("tiers")
    if rows is None:
        return ""
    columns = {
        "tier": Column("tier", "d"),
        "policies": Column("policies", ",d"),
        "tariff_claims": Column("tariff claims", ",.1f"),
        "mean_relativity": Column("mean relativity", ".3f"),
        "mean_factor": Column("mean factor", ".3f"),
        "at_band": Column("at the band", ",d"),
        "at_limit": Column("at the limit", ",d"),
    }
    return (
        '<h3 class="sub">Tiers</h3>'
        + of_frame(rows, columns)
        + source_line("Tier 1 is best; rateable drivers; tiers of fewer than twenty policies are not shown.", "tiers")
    )


def _experience(pack: Pack) -> str:
    heading, rows = '<h3 class="sub">Claims since the rating date</h3>', pack.table("experience")
    if rows is None:
        return heading + paragraph("None is in the claims file yet.") if "experience" in pack.tables else ""
    columns = [
        Column("tier"),
        Column("policies", ",d"),
        Column("policy years", ",.0f"),
        Column("claims", ",d"),
        Column("A/E tariff", ".2f"),
        Column("A/E with factors", ".2f"),
    ]
    body = [
        (
            r["tier"] or KEPT[r["kept"]],
            r["policies"],
            r["years"],
            r["claims"],
            Raw(interval(r, "ae_tariff")),
            Raw(interval(r, "ae_priced")),
        )
        for r in rows.iter_rows(named=True)
    ]
    return (
        heading
        + table(columns, body)
        + source_line(
            "Claims that are known so far, out of time: none of them was learned from. Policy years and expectation"
            " until the day of the last one. Kept: not rateable, so what is left of the previous factor. Groups of"
            " fewer than twenty policies are not shown.",
            "experience",
        )
    )


def _heatmap(item: Heatmap) -> str:
    step, reach = ACCEL_STEP_CMPS2 / 100, ACCEL_ZERO_BIN * ACCEL_STEP_CMPS2 / 100
    y = (-reach - step / 2, reach + step / 2)
    labels = ("speed, km/h (last column: and above)", "acceleration, m/s²")
    picture = charts.heatmap(item.va_ms, (0, 10 * SPEED_BANDS), y, labels, item.title)
    return figure(
        item.title,
        picture,
        "Share of driving time by speed and acceleration, logarithmic shade; below the line is braking.",
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
