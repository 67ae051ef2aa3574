"""Sections on how stable the model is, and what other models would do."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from pricing.report import charts
from pricing.report.pack import NOT_MADE, Pack, Section
from pricing.report.parts import Column, Raw, figure, grid, interval, of_frame, paragraph, source_line, table


def stability(pack: Pack) -> Section:
    """The same measures on parts."""
    rows = pack.table("stability")
    if rows is None:
        return Section("stability", "Stability", paragraph(NOT_MADE))
    shown = rows.filter(pl.col("part") != "tier")
    columns = [
        Column("part"),
        Column(""),
        Column("claims", ",d"),
        Column("A/E tariff", ".2f"),
        Column("A/E model", ".2f"),
        Column("Gini tariff", ".3f"),
        Column("Gini model", ".3f"),
        Column("slope", ".2f"),
    ]
    body = [
        (
            row["part"],
            row["value"],
            row["claims"],
            Raw(interval(row, "ae_tariff")),
            Raw(interval(row, "ae_model")),
            row["gini_tariff"],
            row["gini_model"],
            Raw(interval(row, "slope")),
        )
        for row in shown.iter_rows(named=True)
    ]
    sloped = [
        r for r in shown.drop_nulls("slope").iter_rows(named=True) if abs(r["slope_high"] - r["slope_low"]) < WIDEST
    ]
    pictures = [
        figure(
            "Actual over expected by the model",
            charts.forest(
                [(_part(r), r["ae_model"], r["ae_model_low"], r["ae_model_high"]) for r in shown.iter_rows(named=True)],
                "A/E with 90 % interval",
                "A/E by part",
            ),
            "One line a part, all at one level as under one base factor; of ten lines about one may miss 1 by chance.",
            "stability",
        )
    ]
    if sloped:
        pictures.append(
            figure(
                "Calibration slope",
                charts.forest(
                    [(_part(r), r["slope"], r["slope_low"], r["slope_high"]) for r in sloped],
                    "slope with 90 % interval",
                    "Slope by part",
                ),
                "Below 1 the relativity is too bold in this part, above 1 too timid; all rows stand at 1 by"
                " construction.",
                "stability",
            )
        )
    forward = pack.table("forward")
    ahead = ""
    if forward is not None:
        ahead = '<h3 class="sub">Forward in time</h3>'
        ahead += paragraph("; ".join(how[:1].upper() + how[1:] for how in forward["how"]) + ".")
        ahead += table(_FORWARD, [_forward(r) for r in forward.iter_rows(named=True)])
        ahead += source_line(
            "Trees, rates and levels learned anew from the earlier claims alone, later claims foretold; both predictors"
            " at the level of the later claims.",
            "forward",
        )
    dates = rows.filter(pl.col("part") == "rating date").height
    note = (
        ""
        if dates > 1
        else paragraph(
            "One rating date: stability over time is not shown by this training. Train with --rating-date given twice"
            " or more, or watch months as they come with ubi pricing monitor."
        )
    )
    reading = source_line("Parts of fewer than twenty drivers, or without a claim, are left out.", "stability")
    return Section(
        "stability",
        "Stability",
        grid(pictures) + note + ahead + '<h3 class="sub">By part</h3>' + table(columns, body) + reading,
    )


WIDEST: Final = 3.0  # a slope less sure than that tells nothing in a picture


def challengers(pack: Pack) -> Section:
    """Other models in the same folds, and other forms of the filed one."""
    title = "Challengers"
    judged, forms = pack.table("accuracy"), pack.table("forms")
    ran = judged is not None and judged.height > len(OWN)
    if judged is None or not (ran or forms is not None):
        return Section(
            "challengers",
            title,
            paragraph(
                "No challenger was fitted. ubi pricing train --challengers fits a GLM on bands and an EBM (where"
                " interpret-core is installed), the filed model free of directions and free of tables, and Tweedie, all"
                " in the same folds; it takes several times as long."
            ),
        )
    rows = {row["predictor"]: row for row in judged.iter_rows(named=True)}
    filed, tariff = rows[OWN[-1]], rows[OWN[1]]
    names = [name for name in rows if name not in OWN[:2]]
    gains = [tariff["deviance"] - rows[name]["deviance"] for name in names]
    content = paragraph(
        f"The filed model takes {tariff['deviance'] - filed['deviance']:.3f} off the tariff's deviance x 100. Its slope"
        " was calibrated on these very scores, the challengers' were not: read their order and the Gini in the table"
        " of the section Validation rather than the last digit."
    )
    reading = "Tariff's mean Poisson deviance x 100 less the model's, out of fold: longer is better."
    pictures = [
        figure("Gain over the tariff", charts.bars(names, gains, "Gain in deviance", ".3f"), reading, "accuracy")
    ]
    content += grid(pictures)
    if forms is not None:
        content += '<h3 class="sub">What the filed form costs</h3>' + of_frame(forms, _FORMS)
        content += source_line(
            "Uncalibrated scores. Free of directions: no variable is held; free form: deeper trees that are no sum of"
            " tables.",
            "forms",
        )
    directions = pack.table("directions")
    if directions is not None:
        against = directions.filter(~pl.col("claims_agree_everywhere"))
        content += '<h3 class="sub">Directions that the claims go against somewhere</h3>'
        content += of_frame(against, _DIRECTIONS) if against.height else paragraph("None.")
        content += source_line(
            "What the model free of directions does there: its largest step the wrong way, as a factor.", "directions"
        )
    tweedie = pack.table("tweedie")
    if tweedie is not None:
        content += '<h3 class="sub">Tweedie as a check of frequency x severity</h3>' + of_frame(tweedie, _TWEEDIE)
        content += source_line(
            "Deviance of amounts in units of the mean claim; correlation of the logs of both predictions.", "tweedie"
        )
    return Section("challengers", title, content)


OWN: Final = ("one rate for all", "tariff", "tariff + telematics")
_FORMS: Final = {
    "form": Column("form"),
    "trees": Column("trees", ",d"),
    "deviance": Column("deviance x 100", ".3f"),
    "gain": Column("gain over the tariff", ".3f"),
    "share_of_free_form": Column("of the free form's gain", ".0%"),
}
_DIRECTIONS: Final = {
    "feature": Column("variable"),
    "direction": Column("held to", "+d"),
    "largest_step_against": Column("largest step against", ".3f"),
    "at": Column("where it passes", ".4g"),
}
_TWEEDIE: Final = {
    "power": Column("power", ".2f"),
    "deviance_tariff": Column("deviance, tariff", ".3f"),
    "deviance_frequency_x_severity": Column("frequency x severity", ".3f"),
    "deviance_tweedie": Column("Tweedie", ".3f"),
    "gini_frequency_x_severity": Column("Gini, frequency x severity", ".3f"),
    "gini_tweedie": Column("Gini, Tweedie", ".3f"),
    "correlation_of_logs": Column("correlation", ".3f"),
}


def _part(row: dict[str, Any]) -> str:
    return f"{row['part']} {row['value']}" if row["part"] in {"fold", "rating date"} else str(row["value"])


_FORWARD: Final = (
    Column("claims learned", ",d"),
    Column("claims foretold", ",d"),
    Column("A/E", ".3f"),
    Column("deviance tariff", ".3f"),
    Column("telematics", ".3f"),
    Column("Gini tariff", ".3f"),
    Column("telematics", ".3f"),
    Column("slope", ".2f"),
)


def _forward(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("claims_learned", "claims_foretold", "observed_over_foretold", "deviance_tariff")
    more = ("deviance_telematics", "gini_tariff", "gini_telematics")
    return (*(row[name] for name in names + more), Raw(interval(row, "slope")))
