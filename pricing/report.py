"""The report: one HTML page that stands alone, with inline SVG and nothing fetched."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any, Final

import numpy as np
import polars as pl

from device.contract.trip import ACCEL_BINS, ACCEL_STEP_CMPS2, ACCEL_ZERO_BIN, SPEED_BANDS
from pricing import svg
from pricing.arrays import Floats
from pricing.contract.factors import REASONS
from pricing.model import RiskModel
from pricing.ranking import Ranking
from pricing.summary import ends_and_middle

_NO_TIME: Final = np.zeros((SPEED_BANDS, ACCEL_BINS))


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Time of one driver by speed band and acceleration bin.

    Attributes
    ----------
    va_ms : numpy.ndarray, shape (SPEED_BANDS, ACCEL_BINS)
        Milliseconds; `va_matrix` makes it of the histogram in driver_periods.
    """

    title: str
    va_ms: Floats


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows.

    Attributes
    ----------
    banner : str
        What is simulated; empty where nothing is.
    factors : polars.DataFrame
        The factor table.
    book : dict
        Content of book.json.
    ranking : Ranking or None
        On held-out drivers; None shows the out-of-fold figures of the training.
    """

    title: str
    banner: str
    factors: pl.DataFrame
    book: dict[str, Any]
    model: RiskModel
    ranking: Ranking | None = None
    heatmaps: Sequence[Heatmap] = ()


def render(report: Report) -> str:
    """Make the page."""
    page = Template((files("pricing") / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=html.escape(report.title),
        banner=f'<p class="banner">{html.escape(report.banner)}</p>' if report.banner else "",
        subtitle=html.escape(_subtitle(report)),
        totals=_totals(report),
        histogram=_histogram(report),
        lift=_lift(report.model),
        ranking=_ranking(report),
        calibration=_calibration(report.model),
        drivers=_drivers(report.factors),
        heatmaps="".join(_heatmap(item) for item in report.heatmaps),
        no_heatmaps="" if report.heatmaps else "hidden",
        notes=html.escape(_notes(report.model)),
    )


def va_matrix(histogram: Sequence[dict[str, int]]) -> Floats:
    """Table of a v-a histogram, list of {key, value}: shape (SPEED_BANDS, ACCEL_BINS), in milliseconds."""
    cells = np.zeros(SPEED_BANDS * ACCEL_BINS)
    for entry in histogram:
        cells[entry["key"]] += entry["value"]
    return cells.reshape(SPEED_BANDS, ACCEL_BINS)


def heatmaps(factors: pl.DataFrame, periods: pl.DataFrame) -> list[Heatmap]:
    """Heatmaps of the best and the worst rateable driver; `periods` are the driver_periods."""
    chosen = ends_and_middle(factors, 1).filter(pl.col("place") != "middle")
    return [
        Heatmap(
            f"{'Best' if row['place'] == 'best' else 'Worst'} driver: {row['driver_id']}, factor {row['factor']:.3f}",
            sum(map(va_matrix, periods.filter(pl.col("driver_id") == row["driver_id"])["va_ms"]), _NO_TIME),
        )
        for row in chosen.iter_rows(named=True)
    ]


def _subtitle(report: Report) -> str:
    constants = report.book["constants"]
    return (
        f"Rating date {report.book['rating_date']} · plan {constants['plan_version']} · model {constants['model_id']} "
        f"· {constants['code_version']}"
    )


def _totals(report: Report) -> str:
    totals, constants = report.book["totals"], report.book["constants"]
    factors = report.factors["factor"].to_numpy()
    cards = [
        (f"{totals['policies']:,}", "policies rated", f"{totals['rateable']:,} with enough driving"),
        (f"{totals['tariff_expected_claims']:,.1f}", "claims expected by the tariff", "in the period rated"),
        (f"{totals['claims_ratio']:.7f}", "off-balance", "claims with factors over claims without, as written"),
        (_or_dash(totals["premium_ratio"], ".4f"), "premium ratio", "premium with factors over premium without"),
        (f"{constants['base_factor']:.4f}", "base factor B", f"mean factor {factors.mean():.4f}"),
        (f"{totals['capped']:,}", "capped by the band", f"{totals['limited']:,} by the renewal limit"),
    ]
    return "".join(
        f'<div class="card"><b>{value}</b><span>{html.escape(name)}</span><small>{html.escape(note)}</small></div>'
        for value, name, note in cards
    )


def _histogram(report: Report) -> str:
    band = report.model.plan.factor
    values = report.factors["factor"].to_numpy()
    low, high = min(band.lower, float(values.min())), max(band.upper, float(values.max()))
    return svg.histogram(values, low - 0.01, high + 0.01, "factor", "Number of policies by factor")


def _lift(model: RiskModel) -> str:
    rows = model.diagnostics["lift"]
    values = [(row["ratio_low"], row["ratio"], row["ratio_high"], row["predicted"]) for row in rows]
    names = [str(row["group"]) for row in rows]
    return svg.intervals(names, values, "tier, 1 is best", "Observed over expected claims by tier")


def _ranking(report: Report) -> str:
    held_out, diagnostics = report.ranking, report.model.diagnostics
    if held_out is None:
        names, values = ["tariff", "tariff + telematics"], [diagnostics["gini_tariff"], diagnostics["gini_telematics"]]
        told = f"Out of fold, {diagnostics['claims']:,} claims."
    elif held_out.sure_truth is None:
        names, values = ["tariff", "tariff + telematics"], [held_out.gini_tariff, held_out.gini_telematics]
        told = f"{held_out.drivers:,} drivers the model has not seen, {held_out.claims:,} claims."
    else:
        names = ["tariff", "tariff + telematics", "the truth"]
        values = [held_out.sure_tariff or 0.0, held_out.sure_telematics or 0.0, held_out.sure_truth]
        told = (
            f"Of true expected claims, on {held_out.drivers:,} simulated drivers the model has not seen. The truth is "
            "what the simulator draws claims from."
        )
        if held_out.claims:
            told += (
                f" By the {held_out.claims:,} claims they then had, luck included: {held_out.gini_tariff:.3f}, "
                f"{held_out.gini_telematics:.3f} and {held_out.gini_truth:.3f}."
            )
    return svg.bars(names, values, "Gini") + f"<p>{html.escape(told)}</p>"


def _calibration(model: RiskModel) -> str:
    found, (low, high) = model.calibration, model.plan.credibility.slope_band
    verdict = "meets" if found.accepted((low, high)) else "misses"
    told = (
        f"b = {found.b:.3f}, interval [{found.b_low:.3f}, {found.b_high:.3f}], {verdict} [{low:g}, {high:g}]. "
        f"Credibility Z = km / (km + {found.kappa_km:g}): kappa = {found.kappa_km:g} km is the smallest of "
        + ", ".join(f"{kappa:g}" for kappa in found.deviance_by_kappa)
        + " that the claims do not reject."
    )
    picture = svg.slope(found.b, found.b_low, found.b_high, (low, high), "Calibration slope")
    return f"{picture}<p>{html.escape(told)}</p>"


def _drivers(factors: pl.DataFrame) -> str:
    rows = []
    for row in ends_and_middle(factors).iter_rows(named=True):
        reasons = "".join(
            f"<li>{html.escape(row[f'reason_{k}'])} <em>&times; {row[f'effect_{k}']:.3f}</em></li>"
            for k in range(1, REASONS + 1)
            if row[f"reason_{k}"] is not None
        )
        marks = [name for name in ("capped", "limited") if row[name]]
        rows.append(
            f"<tr class='{row['place']}'><td>{row['place']}</td><td>{html.escape(row['policy_id'])}</td>"
            f"<td class='n'><b>{row['factor']:.3f}</b><small>{' '.join(marks)}</small></td>"
            f"<td class='n'>{row['score']:.0f}</td><td class='n'>{_or_dash(row['tier'], 'd')}</td>"
            f"<td class='n'>{row['exposure_km']:,.0f}</td><td><ul>{reasons}</ul></td></tr>"
        )
    return "".join(rows)


def _heatmap(item: Heatmap) -> str:
    step, reach = ACCEL_STEP_CMPS2 / 100, ACCEL_ZERO_BIN * ACCEL_STEP_CMPS2 / 100
    y = (-reach - step / 2, reach + step / 2)
    labels = ("speed, km/h (last column: and above)", "acceleration, m/s²")
    picture = svg.heatmap(item.va_ms, (0, 10 * SPEED_BANDS), y, labels, item.title)
    return f"<figure><figcaption>{html.escape(item.title)}</figcaption>{picture}</figure>"


def _notes(model: RiskModel) -> str:
    d = model.diagnostics
    return (
        f"Trained on {d['rows']:,} rating rows, {d['claims']:,} claims, {d['rounds']} trees of at most two features. "
        f"Poisson deviance x 100 out of fold: {d['deviance_tariff']:.3f} by the tariff, "
        f"{d['deviance_telematics']:.3f} with telematics."
    )


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"
