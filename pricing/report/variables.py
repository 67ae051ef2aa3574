"""Sections on the variables: why each is there, and what it does to the premium."""

from __future__ import annotations

from typing import Final

import polars as pl

from features.contract.catalogue import Feature
from pricing.report import charts
from pricing.report.charts import INK, MODEL, Series
from pricing.report.filed import filed_effects
from pricing.report.pack import NOT_MADE, Pack, Section
from pricing.report.parts import Column, Raw, esc, figure, folded, grid, paragraph, source_line, table

SHOWN: Final = 12  # variables whose charts stand open
_RISK: Final = {1: "larger is riskier", -1: "smaller is riskier", 0: "open"}


def variables(pack: Pack) -> Section:
    """The catalogue: what is in the model and why; what is not."""
    catalogue = pack.catalogue
    inside = [f for f in catalogue.features if f.model]
    outside = [f for f in catalogue.features if not f.model]
    intro = paragraph(
        f"Catalogue version {catalogue.version}: {len(catalogue.features)} features, {len(inside)} of them offered to"
        " the model. A variable that is held to its direction can never act against it; the certificate below proves"
        " it. Rates enter shrunk by their count."
    )
    strength = pack.table("strength")
    strongest = "" if strength is None else _strength(strength)
    return Section(
        "variables",
        "Variables and why",
        intro
        + strongest
        + _features(inside)
        + folded(f"{len(outside)} features of the catalogue that are not in the model", _features(outside))
        + source_line("Formulas and reasons in two languages are in the catalogue.", "variables"),
    )


def variables_table(pack: Pack) -> pl.DataFrame:
    """List the catalogue's features: name, unit, definition, formula, source, direction, monotone, model."""
    names = ("name", "unit", "definition", "formula", "source", "kind", "direction", "monotone", "model")
    return pl.DataFrame([{name: getattr(f, name) for name in names} for f in pack.catalogue.features])


def _features(features: list[Feature]) -> str:
    rows = [
        (
            Raw(f"<code>{esc(f.name)}</code>"),
            "share" if f.kind == "share" else f.unit,
            Raw(f'{esc(f.definition)}<span class="why">{esc(f.source)}</span>'),
            _RISK[f.direction] + (", held" if f.monotone else ""),
        )
        for f in features
    ]
    return table(
        [Column("variable"), Column("unit"), Column("what it is, and why"), Column("direction")], rows, "stack"
    )


def _strength(strength: pl.DataFrame, most: int = 14) -> str:
    top = strength.filter(pl.col("spread") > 0).head(most)
    if top.is_empty():
        return paragraph("No variable moves the relativity: out of fold, telematics found no effect in these claims.")
    picture = charts.bars(top["variable"].to_list(), top["spread"].to_list(), "Spread of each variable's effect", ".3f")
    reading = (
        "Standard deviation of the log effect over the training rows: 0.10 means that the variable moves a typical"
        " driver by 10 %. What the tables do, not what causes claims."
    )
    return grid([figure("Strongest variables", picture, reading, "strength")])


def relativities(pack: Pack) -> Section:
    """Actual over expected by band of each variable, and what the filed tables do there."""
    bands, strength = pack.table("relativities"), pack.table("strength")
    if bands is None or strength is None:
        return Section("relativities", "What each variable does", paragraph(NOT_MADE))
    order = strength["variable"].to_list()
    units = {f.name: "share" if f.kind == "share" else f.unit for f in pack.catalogue.features}
    told = {f.name: f"{f.definition}." for f in pack.catalogue.features}
    figures = [
        _band_chart(bands.filter(pl.col("variable") == name), name, units.get(name, ""), told.get(name, ""))
        for name in order
    ]
    intro = paragraph(
        "By band of each variable, strongest first. Ink: claims over what the tariff expects, out of fold, with exact"
        " 90 % Poisson intervals. Green: what the model foretells for these drivers, all variables together. Dashed:"
        " the filed effect of this variable alone, the mean of its main effect and its share of the pairs. Where green"
        " follows ink the model is right there; dashed and green differ where other variables go along with this one."
    )
    rest = folded(f"The other {len(figures) - SHOWN} variables", grid(figures[SHOWN:])) if len(figures) > SHOWN else ""
    source = source_line(
        "The exact tables that price are main_effects.csv and pair_effects.csv in the model's folder.", "relativities"
    )
    filed = filed_effects(pack, order, units)
    return Section("relativities", "What each variable does", intro + grid(figures[:SHOWN]) + rest + filed + source)


def _band_chart(rows: pl.DataFrame, name: str, unit: str, told: str) -> str:
    observed = Series(
        "claims / tariff",
        rows["ae_tariff"].to_list(),
        INK,
        rows["ae_tariff_low"].to_list(),
        rows["ae_tariff_high"].to_list(),
    )
    model = Series("model", rows["relativity"].to_list(), MODEL, line=True)
    alone = Series("this variable alone", rows["effect"].to_list(), charts.FOURTH, line=True, dash="5 3", dots=False)
    picture = charts.by_name(_short(rows), [observed, model, alone], unit, f"A/E by {name}")
    return figure(name, picture, told)


def _short(rows: pl.DataFrame) -> list[str]:
    """Bands by their upper ends: ≤ 5, ≤ 10, > 10."""
    names = []
    for above, up_to, band in rows.select("above", "up_to", "band").iter_rows():
        open_end = f"> {above:g}" if above is not None else band
        names.append(f"≤ {up_to:g}" if up_to is not None else open_end)
    return names
