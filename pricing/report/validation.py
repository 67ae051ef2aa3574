"""Sections on what each variable does, how the model was validated, how stable it is, what other models would do."""

from __future__ import annotations

from typing import Final

import polars as pl

from pricing.report import charts
from pricing.report.charts import INK, MODEL, TARIFF, Series
from pricing.report.pack import NOT_MADE, Pack, Section
from pricing.report.parts import Column, Raw, figure, grid, interval, number, paragraph, source_line, table

_COLOURS: Final = (TARIFF, MODEL, charts.THIRD, charts.FOURTH, charts.MUTED)


def validation(pack: Pack) -> Section:
    """Accuracy, lift, double lift, calibration, curves, Murphy."""
    plan, d = pack.model.plan, pack.model.diagnostics
    intro = paragraph(
        f"Everything here is out of fold: {plan.model.folds} folds by driver, every row judged by a model that has not"
        f" seen its driver, on claims after the rating date and driving before it. The number of trees ({d['rounds']})"
        " and kappa were chosen on the same out-of-fold scores, which flatters them a little."
    )
    if pack.table("accuracy") is None:
        return Section("validation", "Validation", intro + paragraph(NOT_MADE))
    figures = [
        _lift(pack),
        _double_lift(pack),
        _amounts(pack),
        _calibration(pack),
        _curves(pack),
        _murphy(pack),
        _truth(pack),
        _slope(pack),
    ]
    return Section("validation", "Validation", intro + _accuracy(pack) + grid(filter(None, figures)))


def uncertainty(pack: Pack) -> Section:
    """Width of a driver's interval by distance."""
    rows = pack.table("uncertainty")
    c = pack.model.calibration
    z = (
        f"Credibility Z = km / (km + {c.kappa_km:g}): the smallest kappa of "
        + ", ".join(f"{kappa:g}" for kappa in c.deviance_by_kappa)
        + " km that the out-of-fold claims do not reject."
    )
    if rows is None:
        return Section("uncertainty", "How sure one factor is", paragraph(z))
    names = rows["exposure_km"].to_list()
    picture = charts.pairs(
        names,
        [
            Series("half of the drivers below", [100 * v for v in rows["median_half_width"]], MODEL),
            Series("nine of ten below", [100 * v for v in rows["p90_half_width"]], charts.PALE),
        ],
        "distance in the window",
        "Half width of the interval",
    )
    reading = (
        "Half of the 90 % interval of a driver's relativity in per cent: what other months (jackknife) and other luck"
        " in counting (Gamma posterior) would have told, tables and slope held fixed; up to 1,000 drivers looked at."
    )
    return Section(
        "uncertainty",
        "How sure one factor is",
        paragraph(z) + grid([figure("By distance", picture, reading, "uncertainty")]),
    )


def _accuracy(pack: Pack) -> str:
    columns = [
        Column("expected claims by"),
        Column("deviance x 100", ".3f"),
        Column("Gini", ".3f"),
        Column("ABC", ".4f"),
        Column("miscalibration", ".3f"),
        Column("discrimination", ".3f"),
        Column("slope", ".2f"),
    ]
    rows = [
        (
            row["predictor"],
            row["deviance"],
            Raw(interval(row, "gini", ".3f")),
            Raw(interval(row, "abc", ".4f")),
            row["miscalibration"],
            row["discrimination"],
            Raw(interval(row, "slope")),
        )
        for row in pack.tables["accuracy"].iter_rows(named=True)
    ]
    reading = (
        "Mean Poisson deviance a row; deviance = uncertainty - discrimination + miscalibration. Gini and ABC with 90 %"
        " bootstrap intervals, drivers drawn again 200 times; the Gini of all parts is against policy years. Slope: of"
        " claims on the log relativity to the tariff, 1 by construction where it was calibrated on these scores."
    )
    return table(columns, rows) + source_line(reading, "accuracy")


def _lift(pack: Pack) -> str:
    t = pack.tables["lift"]
    series = [
        Series("observed", t["frequency"].to_list(), INK, t["frequency_low"].to_list(), t["frequency_high"].to_list()),
        Series("model", t["frequency_model"].to_list(), MODEL, line=True),
        Series("tariff", t["frequency_tariff"].to_list(), TARIFF, line=True),
    ]
    names = [str(g) for g in t["group"]]
    reading = (
        "Claims a policy year by tenth of the predicted frequency, equal policy years in each, best tenth first: ink"
        " should rise and lie on green."
    )
    return figure(
        "Lift", charts.by_name(names, series, "tenth of predicted frequency", "Lift", at_one=False), reading, "lift"
    )


def _double_lift(pack: Pack) -> str:
    t = pack.tables["double_lift"]
    series = [
        Series(
            "claims / tariff",
            t["ae_tariff"].to_list(),
            TARIFF,
            t["ae_tariff_low"].to_list(),
            t["ae_tariff_high"].to_list(),
        ),
        Series(
            "claims / model", t["ae_model"].to_list(), MODEL, t["ae_model_low"].to_list(), t["ae_model_high"].to_list()
        ),
    ]
    names = [str(g) for g in t["group"]]
    reading = "Tenths of model over tariff, so the two differ most at the ends: who is right there stays at 1."
    return figure(
        "Double lift against the current tariff",
        charts.by_name(names, series, "tenth of model / tariff", "Double lift"),
        reading,
        "double_lift",
    )


def _amounts(pack: Pack) -> str:
    t = pack.table("amounts")
    if t is None:
        return ""
    series = [
        Series(told, t[name].to_list(), colour, t[f"{name}_low"].to_list(), t[f"{name}_high"].to_list())
        for told, name, colour in (
            ("amount / tariff", "ratio_tariff", TARIFF),
            ("amount / model", "ratio_model", MODEL),
        )
    ]
    reading = (
        "As the double lift, in amounts: frequency x severity against the tariff, both at the book's total; 90 %"
        " bootstrap intervals, drivers drawn again."
    )
    names = [str(g) for g in t["group"]]
    picture = charts.by_name(names, series, "tenth of model / tariff", "Double lift of amounts")
    return figure("Double lift of amounts", picture, reading, "amounts")


def _calibration(pack: Pack) -> str:
    t = pack.tables["calibration"]
    ends = (pack.floats("calibration", name).max() for name in ("frequency_high", "frequency_model"))
    top = 1.04 * float(max(ends))
    frame = charts.Frame((0, top), (0, top), height=330, top=10)
    parts = [
        *frame.y_axis(charts.ticks(0, top, 5)),
        charts.line(frame.px(0), frame.py(0), frame.px(top), frame.py(top), charts.MUTED),
    ]
    for row in t.iter_rows(named=True):
        x = frame.px(row["frequency_model"])
        parts.append(charts.line(x, frame.py(row["frequency_low"]), x, frame.py(row["frequency_high"]), INK, 1.4))
        parts.append(charts.dot(x, frame.py(row["frequency"]), MODEL))
    picture = frame.picture(
        "Calibration", [*parts, *frame.x_axis(charts.ticks(0, top, 5), "predicted claims a policy year")]
    )
    reading = (
        "Observed against predicted frequency in twentieths of equal predicted claims, exact 90 % intervals: on the"
        " line is right."
    )
    return figure("Calibration", picture, reading, "calibration")


def _curves(pack: Pack) -> str:
    t = pack.tables["curves"]
    lines = []
    for k, (name,) in enumerate(t.select("order_by").unique(maintain_order=True).iter_rows()):
        own = t.filter(pl.col("order_by") == name)
        x = own["share_of_years"].to_list()
        lines.append((name, x, own["share_of_claims"].to_list(), _COLOURS[k % len(_COLOURS)], ""))
        if name == "tariff + telematics":
            lines.append(("", x, own["share_of_expected"].to_list(), _COLOURS[k % len(_COLOURS)], "4 3"))
    picture = charts.curve(lines, ("share of policy years, best first", "share of claims"), "Concentration curves")
    reading = (
        "Share of claims that the best drivers have, ordered by each prediction: the lower, the better the order (Gini"
        " is twice the area to the diagonal). Dashed: what the model itself foretells (Lorenz); the area between it and"
        " its curve is ABC."
    )
    return figure("Concentration and Lorenz curves", picture, reading, "curves")


def _murphy(pack: Pack) -> str:
    t = pack.tables["accuracy"].filter(pl.col("predictor") != "one rate for all")
    names = t["predictor"].to_list()
    series = [
        Series("discrimination", t["discrimination"].to_list(), MODEL),
        Series("miscalibration", t["miscalibration"].to_list(), TARIFF),
    ]
    reading = (
        f"Of an uncertainty of {t['uncertainty'][0]:.2f}, discrimination is what the order explains (more is better),"
        " miscalibration what wrong values cost (less is better). Isotonic regression fits some luck, so both are a"
        " little too large."
    )
    return figure(
        "Murphy decomposition", charts.pairs(names, series, "", "Murphy decomposition", ".2f"), reading, "accuracy"
    )


def _slope(pack: Pack) -> str:
    c, plan = pack.model.calibration, pack.model.plan
    band = (plan.credibility.slope_band[0], plan.credibility.slope_band[1])
    verdict = "meets" if c.accepted(band) else "misses"
    picture = charts.forest(
        [("b", c.b, c.b_low, c.b_high)],
        "slope b, 90 % interval, and the band it has to meet",
        "Calibration slope",
        band=band,
    )
    reading = (
        f"b = {c.b:.3f} [{c.b_low:.3f}, {c.b_high:.3f}] {verdict} [{band[0]:g}, {band[1]:g}]: below 1 the raw score is"
        " too bold, above 1 too timid; the factor carries b. From the Fisher information of a Poisson: over-dispersed"
        " claims make it too narrow."
    )
    return figure("Calibration slope of the raw score", picture, reading)


def _truth(pack: Pack) -> str:
    found = pack.ranking
    if found is None or found.sure_truth is None:
        return ""
    names = ["tariff", "tariff + telematics", "the truth"]
    values = [found.sure_tariff or 0.0, found.sure_telematics or 0.0, found.sure_truth]
    reading = (
        f"Gini of true expected claims on {found.drivers:,} simulated drivers the model has not seen; the truth is what"
        " the simulator draws claims from."
    )
    if found.claims:
        reading += (
            f" By the {found.claims:,} claims they then had, luck included: {found.gini_tariff:.3f},"
            f" {found.gini_telematics:.3f} and {number(found.gini_truth, '.3f')}."
        )
    return figure(
        "Against the simulated truth", charts.bars(names, values, "Gini", colours=(TARIFF, MODEL, INK)), reading
    )
