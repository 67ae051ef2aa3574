"""Sections on what the pack answers, the data, what was left out, and the variables with their reasons."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from pricing.report import charts
from pricing.report.pack import Pack, Section
from pricing.report.parts import (
    Column,
    Raw,
    chip,
    esc,
    figure,
    grid,
    number,
    of_frame,
    paragraph,
    source_line,
    table,
)

QUESTIONS: Final = (
    ("What data?", "data"),
    ("What was left out?", "excluded"),
    ("Which variables, and why?", "variables"),
    ("What does each do to the premium?", "relativities"),
    ("How was it validated?", "validation"),
    ("How stable is it?", "stability"),
    ("Whom does it move, by how much?", "dislocation"),
    ("Is it fair?", "fairness"),
    ("What proves that worse driving never pays?", "certificate"),
    ("How is it reproduced?", "reproduce"),
)


def summary(pack: Pack) -> Section:
    """Verdicts in a table, and where each question is answered."""
    d, c, plan = pack.model.diagnostics, pack.model.calibration, pack.model.plan
    low, high = plan.credibility.slope_band
    totals = pack.book["totals"]
    rows: list[tuple[str, Raw, str]] = [
        (
            "Calibration slope",
            chip("ok" if d.get("slope_accepted") else "act", "ok" if d.get("slope_accepted") else "outside"),
            f"b = {c.b:.3f}, 90 % interval [{c.b_low:.3f}, {c.b_high:.3f}], has to meet [{low:g}, {high:g}]",
        ),
        ("Ranking out of fold", *_ranking(pack)),
        (
            "Off-balance",
            chip("ok" if not totals["balanced"] or abs(totals["balance_as_written"] - 1) < 1e-6 else "act"),
            (
                f"the book collects {totals['balance_as_written']:.7f} of what the tariff collects"
                if totals["balanced"]
                else f"not balanced by the plan: load the base rate by {totals['base_rate_load']:.4f}"
            ),
        ),
        ("Monotonicity certificate", *_certificate(d)),
        ("Drift since training", *_drift(pack)),
        ("Fairness", *_fairness(pack)),
    ]
    told = table([Column("check"), Column("verdict"), Column("what was found")], rows)
    links = "".join(f'<li><a href="#{key}">{esc(question)}</a></li>' for question, key in QUESTIONS)
    return Section(
        "summary",
        "In short",
        told + f'<h3 class="sub">Where each question is answered</h3><ul class="questions">{links}</ul>',
    )


def data(pack: Pack) -> Section:
    """Window, rows, claims, by month."""
    d, plan = pack.model.diagnostics, pack.model.plan
    dates = ", ".join(d.get("rating_dates", ())) or "not recorded"
    facts: list[tuple[str, str]] = [
        ("rating dates", dates),
        ("driving read", f"the {plan.window.feature_months} months before each rating date"),
        ("claims counted", f"the {plan.window.label_months} months after it, to {d.get('label_end', 'not recorded')}"),
        ("covers", ", ".join(plan.tariff.covers) or "all in the claims file"),
        ("rating rows trained on", f"{d['rows']:,} (driver and rating date, with enough driving)"),
        ("policy years", f"{d['years']:,.0f}"),
        ("claims", f"{d['claims']:,}"),
        ("claims over the tariff's expectation", f"{d['claims_over_tariff']:.4f}"),
        ("tariff", _tariff(pack)),
        ("large-claim cap", f"{plan.model.large_claim_cap:,.0f}" if plan.model.large_claim_cap else "none"),
        (
            "relativity is of",
            "pure premium (frequency x severity)" if pack.model.severity is not None else "claim frequency",
        ),
    ]
    content = table([Column("what"), Column("value")], facts) + _months(pack)
    return Section("data", "Data", content)


def excluded(pack: Pack) -> Section:
    """Numbered judgements with their counts."""
    rows = pack.table("judgements")
    told = paragraph(
        "Every row that was not used as it came, by the number of the judgement. Rows set aside are listed with file,"
        " row and reason in set_aside.csv beside the model and beside the factors."
    )
    if rows is None:
        return Section(
            "excluded", "What was left out", told + paragraph("This model was trained without an account of its files.")
        )
    columns = {
        "number": Column("no.", "d"),
        "table": Column("table"),
        "rows": Column("rows that"),
        "action": Column("are"),
        "training": Column("in training", ",d"),
        "scoring": Column("in this book", ",d"),
    }
    limits = pack.model.plan.rateable
    rule = paragraph(
        f"Drivers below {limits.min_km:g} km, {limits.min_trips} trips or {limits.min_days:g} days in the window, or"
        f" with acceleration known on less than {100 * limits.min_seen_share:g} % of their distance, are neither"
        f" trained on nor rated: they keep their previous factor, 1 if there is none. {_fading(pack)}"
    )
    return Section(
        "excluded",
        "What was left out",
        told + of_frame(rows, columns) + source_line("Zero is told too.", "judgements") + rule,
    )


def _fading(pack: Pack) -> str:
    """What becomes of a discount that is kept."""
    share = pack.model.plan.factor.kept_discount_share
    if share == 1:
        return "Nothing of it fades (factor.kept_discount_share = 1)."
    return (
        f"At each rating {100 * share:g} % of a kept discount stays (factor.kept_discount_share), within the renewal"
        " limit; a surcharge stays whole."
    )


def _tariff(pack: Pack) -> str:
    tariff = pack.model.tariff
    if tariff.source == "frequency":
        return "expected claims a year, given by the insurer"
    if tariff.source == "premium":
        return "the insurer's premium, scaled to claims by one constant"
    return "a Poisson GLM fitted here on " + ", ".join(t.factor for t in tariff.tables)


def _months(pack: Pack) -> str:
    months = pack.table("months")
    if months is None or "claims" not in months.columns:
        return ""
    names = [str(month)[2:7] for month in months["month"]]
    years = [float(v) for v in months["years"]]
    claims = [float(v) for v in months["claims"]]
    frequency = [n / t if t else None for n, t in zip(claims, years, strict=True)]
    figures = [
        figure(
            "Earned policy years by month",
            charts.pairs(names, [charts.Series("", years)], "month", "Earned policy years", ",.0f"),
            "All policies of the file, with and without driving.",
            "months",
        ),
        figure(
            "Claim frequency by month",
            charts.by_name(
                names,
                [charts.Series("", frequency, charts.INK, line=True)],
                "month",
                "Claims a policy year",
                at_one=False,
            ),
            "Claims per earned policy year: a fall in the last months is claims not known yet.",
            "months",
        ),
    ]
    return grid(figures)


def _ranking(pack: Pack) -> tuple[Raw, str]:
    judged = pack.table("accuracy")
    if judged is None:
        d = pack.model.diagnostics
        better = d["gini_telematics"] > d["gini_tariff"]
        text = f"Gini {d['gini_tariff']:.3f} by the tariff, {d['gini_telematics']:.3f} with telematics"
        return chip("ok" if better else "watch"), text
    rows = {row["predictor"]: row for row in judged.iter_rows(named=True)}
    tariff, model = rows["tariff"], rows["tariff + telematics"]
    text = (
        f"Gini {tariff['gini']:.3f} by the tariff, {model['gini']:.3f} [{model['gini_low']:.3f},"
        f" {model['gini_high']:.3f}] with telematics; deviance x 100 {tariff['deviance']:.3f} and"
        f" {model['deviance']:.3f} ({100 * (model['deviance'] / tariff['deviance'] - 1):+.1f} %)"
    )
    return chip("ok" if model["deviance"] < tariff["deviance"] else "watch"), text


def _certificate(d: dict[str, Any]) -> tuple[Raw, str]:
    found = d.get("certificate")
    if found is None:
        return chip("none", "not told"), "this model has none"
    proofs = len(found["proofs"])
    return (
        chip("ok" if found["holds"] else "act"),
        f"worse driving never lowers a factor: {proofs} monotone variables proven",
    )


def _drift(pack: Pack) -> tuple[Raw, str]:
    moved = pack.table("drift")
    if moved is None:
        return chip("none", "not looked at"), "give --features to compare this book with the training rows"
    worst = moved.sort("psi", descending=True).row(0, named=True)
    verdicts = moved["verdict"].to_list()
    verdict = "act" if "act" in verdicts else "watch" if "watch" in verdicts else "ok"
    return chip(verdict), f"largest PSI {number(worst['psi'], '.3f')} ({worst['name']}), {moved.height} columns"


def _fairness(pack: Pack) -> tuple[Raw, str]:
    groups, free = pack.table("fairness_groups"), pack.table("fairness_free")
    if groups is None or free is None:
        return chip("none", "not looked at"), "the policies bring no protected attribute (plan key fairness.protected)"
    clear = groups.filter((pl.col("ae_model_low") > 1) | (pl.col("ae_model_high") < 1)).height
    worst = float((free["ratio"] - 1).abs().max())  # type: ignore[arg-type]
    text = (
        f"{clear} of {groups.height} groups with A/E clearly off 1; features stand in for a group by at most"
        f" {100 * worst:.1f} %"
    )
    return chip("watch" if clear or worst > PROXY_WATCH else "ok"), text


PROXY_WATCH: Final = 0.02
