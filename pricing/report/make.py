"""The filing pack of a rated book: read what is there, make every table, write the page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from device.contract.trip import ACCEL_BINS, SPEED_BANDS
from features.contract.catalogue import Catalogue
from features.contract.window import rating_features
from pricing import exposure
from pricing.arrays import Floats, Ints
from pricing.contract.factors import RECEIPTS
from pricing.diagnostics.diagnose import MODEL, TARIFF, monitored
from pricing.diagnostics.fairness import groups_of
from pricing.diagnostics.reference import shift
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.errors import PortfolioError
from pricing.model import RiskModel
from pricing.monitor.verdicts import judge_psi
from pricing.portfolio import read_book
from pricing.ranking import Ranking
from pricing.report import book, closing, data, rated, stability, validation, variables
from pricing.report.pack import Heatmap, Pack, Section, write
from pricing.typed import read_table

TENTH: Final = 10


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the pack comes from; what is None is not shown, and the page says how to get it.

    Attributes
    ----------
    model, factors : Path
        Outputs of `ubi pricing train` and `ubi pricing score`.
    periods : polars.DataFrame or None
        driver_periods: drift and heatmaps.
    policies : polars.DataFrame or None
        With the protected attributes: mean factor by group.
    claims : polars.DataFrame or None
        policy_id, occurred_on: claims since the rating date.
    """

    model: Path
    factors: Path
    periods: pl.DataFrame | None = None
    policies: pl.DataFrame | None = None
    claims: pl.DataFrame | None = None


def make_pack(
    sources: Sources,
    model: RiskModel,
    catalogue: Catalogue,
    *,
    title: str = "Premium factors from driving: filing pack",
    banner: str = "",
    ranking: Ranking | None = None,
    commands: Sequence[str] = (),
) -> Pack:
    """Gather everything that the page shows.

    Raises
    ------
    PortfolioError
        If the factors are no rated book, or of another model.
    """
    factors, content = read_book(sources.factors)
    if content["constants"]["model_id"] != model.model_id:
        raise PortfolioError(
            sources.factors / "book.json", f"was made by model {content['constants']['model_id']}; score it again"
        )
    receipts = read_table(sources.factors / "receipts.parquet")
    if receipts.height != factors.height or not set(RECEIPTS) <= set(receipts.columns):
        raise PortfolioError(sources.factors / "receipts.parquet", "belongs to another factors.parquet: score again")
    plan = model.plan.factor
    steps = book.Rated.of(factors, receipts, content, model)
    tables = dict(model.diagnosis) | {
        "factors": book.histogram(steps, plan),
        "off_balance": book.off_balance(steps, plan),
        "dislocation": book.dislocation(steps),
        "tiers": book.tiers(factors),
        "reasons": book.reasons(factors, catalogue),
    }
    tables |= _told_of_files(model, content)
    maps: list[Heatmap] = []
    if sources.periods is not None:
        tables |= _drift(factors, content, sources.periods, model, catalogue)
        maps = heatmaps(
            factors, sources.periods, date.fromisoformat(content["rating_date"]), model.plan.window.feature_months
        )
    if sources.policies is not None:
        tables |= _fairness(factors, steps, sources.policies, model)
    if sources.claims is not None:
        tables["experience"] = book.experience(factors, sources.claims, _known_until(sources.claims))
    pack = Pack(
        title,
        banner,
        model,
        catalogue,
        content,
        tables,
        ranking,
        maps,
        _versions(sources, model, catalogue, content, factors),
        commands,
    )
    tables["variables"] = variables.variables_table(pack)
    tables["versions"] = pl.DataFrame({"what": list(pack.versions), "version": list(pack.versions.values())})
    return pack


def _known_until(claims: pl.DataFrame) -> date:
    """Day after the last claim of the file: what is earned later has no claims yet, and would flatter the factors."""
    last = claims["occurred_on"].max()
    return last + timedelta(days=1) if isinstance(last, date) else date.min


def write_report(pack: Pack, folder: Path) -> Path:
    """Write `report.html` and `tables/NAME.csv`; return the page's path."""
    constants = pack.book["constants"]
    subtitle = (
        f"Rating date {pack.book['rating_date']} · plan {constants['plan_version']} · model {constants['model_id']} · "
        f"{constants['code_version']}"
    )
    return write(pack, sections(pack), _cards(pack), subtitle, folder)


def sections(pack: Pack) -> list[Section]:
    """All sections, in order."""
    makers = (
        data.summary, data.data, data.excluded, variables.variables, variables.relativities, validation.validation,
        stability.stability, stability.challengers, validation.uncertainty, rated.factors, rated.dislocation,
        rated.fairness, rated.drift, closing.certificate, closing.reproduce, closing.limits,
    )  # fmt: skip
    return [make(pack) for make in makers]


def heatmaps(factors: pl.DataFrame, periods: pl.DataFrame, rating_date: date, months: int) -> list[Heatmap]:
    """Driving time of the best and of the worst tenth by indicated relativity; none where a tenth is under twenty."""
    ranked = factors.filter("rateable").sort("indicated_relativity", "policy_id")
    size = ranked.height // TENTH
    if size < LEAST_DRIVERS:
        return []
    within = pl.col("month").is_between(exposure.add_months(rating_date, -months), rating_date, closed="left")
    recent = periods.filter(within).select("driver_id", "va_ms")
    found = []
    for name, part in (("Best tenth", ranked.head(size)), ("Worst tenth", ranked.tail(size))):
        own = recent.filter(pl.col("driver_id").is_in(part["driver_id"].implode()))
        mean = float(part["factor"].to_numpy().mean())
        found.append(Heatmap(f"{name}: {size:,} drivers, mean factor {mean:.3f}", va_matrix(own["va_ms"])))
    return found


def va_matrix(histograms: pl.Series) -> Floats:
    """Sum of v-a histograms, a list of {key, value} each: shape (SPEED_BANDS, ACCEL_BINS), in milliseconds."""
    entries = (
        histograms.explode(empty_as_null=False).drop_nulls().struct.unnest() if len(histograms) else pl.DataFrame()
    )
    if entries.is_empty():
        return np.zeros((SPEED_BANDS, ACCEL_BINS))
    keys: Ints = entries["key"].cast(pl.Int64).to_numpy()
    cells = np.bincount(keys, entries["value"].cast(pl.Float64).to_numpy(), SPEED_BANDS * ACCEL_BINS)
    return cells.astype(np.float64).reshape(SPEED_BANDS, ACCEL_BINS)


def _told_of_files(model: RiskModel, content: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Judgements with their counts in training and in the book, and exposure by month."""
    tables = {}
    trained, scored = model.diagnostics.get("portfolio"), content.get("portfolio")
    if trained:
        counts = {row["number"]: row["count"] for row in scored or ()}
        tables["judgements"] = pl.DataFrame(
            [
                {name: row[name] for name in ("number", "table", "rows", "action")}
                | {"training": row["count"], "scoring": counts.get(row["number"])}
                for row in trained
            ],
            schema_overrides={"scoring": pl.Int64},
        )
    months = model.diagnostics.get("exposure_by_month")
    if months:
        tables["months"] = pl.DataFrame(months, infer_schema_length=None)
    return tables


def _drift(
    factors: pl.DataFrame, content: dict[str, Any], periods: pl.DataFrame, model: RiskModel, catalogue: Catalogue
) -> dict[str, pl.DataFrame]:
    frozen = model.diagnosis.get("reference")
    if frozen is None:
        return {}
    day = date.fromisoformat(content["rating_date"])
    drivers = (
        factors.filter("rateable")
        .select("driver_id", "indicated_relativity")
        .unique("driver_id", keep="first", maintain_order=True)
    )
    if drivers.is_empty():
        return {}
    rows = rating_features(
        periods, drivers.with_columns(rating_date=pl.lit(day)), model.plan.window.feature_months, catalogue
    )
    moved = shift(frozen, monitored(rows, catalogue, rows["indicated_relativity"].to_numpy()))
    verdicts = [judge_psi(row["psi"], row["noise"], model.plan.monitor) for row in moved.iter_rows(named=True)]
    return {"drift": moved.with_columns(pl.Series("verdict", verdicts, dtype=pl.String))}


def _fairness(
    factors: pl.DataFrame, steps: book.Rated, policies: pl.DataFrame, model: RiskModel
) -> dict[str, pl.DataFrame]:
    names = [name for name in model.plan.fairness.protected if name in policies.columns]
    if not names:
        return {}
    latest = policies.sort("start").unique("policy_id", keep="last", maintain_order=True).select("policy_id", *names)
    known = factors.select("policy_id", "driver_id").join(latest, on="policy_id", how="left", maintain_order="left")
    code = known["driver_id"].rank("dense").cast(pl.Int64).to_numpy()
    parts = [
        book.by_group(factors, steps, groups_of(known[name], code)).select(pl.lit(name).alias("attribute"), pl.all())
        for name in names
    ]
    return {"fairness_book": pl.concat(parts)}


def _versions(
    sources: Sources, model: RiskModel, catalogue: Catalogue, content: dict[str, Any], factors: pl.DataFrame
) -> dict[str, str]:
    constants = content["constants"]
    told = {
        "code": constants["code_version"],
        "plan": f"{constants['plan_version']}, {constants['plan_sha256']}",
        "model": model.model_id,
        "feature catalogue": catalogue.version,
        "features of this book": str(factors["features_id"][0]) if factors.height else "none",
        "base factor B": repr(constants["base_factor"]),
    }
    for file in (sources.factors / "factors.parquet", sources.factors / "book.json", *sorted(sources.model.glob("*"))):
        if file.is_file():
            told[f"{file.parent.name}/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return told


def _cards(pack: Pack) -> str:
    totals, constants = pack.book["totals"], pack.book["constants"]
    d = pack.model.diagnostics
    mean = float(np.average(pack.tables["off_balance"]["mean_factor"][-1:].to_numpy()))
    judged = pack.table("accuracy")
    told = {} if judged is None else dict(judged.select("predictor", "gini").iter_rows())
    ginis = (told.get(TARIFF, d["gini_tariff"]), told.get(MODEL, d["gini_telematics"]))
    cards = [
        (f"{totals['policies']:,}", "policies rated", f"{totals['rateable']:,} with enough driving"),
        (f"{d['claims']:,}", "claims learned from", f"{d['years']:,.0f} policy years"),
        (f"{totals['balance_as_written']:.7f}", "off-balance", "collected over tariff, as written"),
        (f"{constants['base_factor']:.4f}", "base factor B", f"mean factor {mean:.4f}"),
        (f"{totals['capped']:,}", "at the band", f"{totals['limited']:,} at the renewal limit"),
        (f"{ginis[0]:.3f} → {ginis[1]:.3f}", "Gini out of fold", "tariff → with telematics"),
    ]
    return "".join(
        f'<div class="card"><b>{value}</b><span>{name}</span><small>{note}</small></div>' for value, name, note in cards
    )
