"""Score a book: its drivers' features to the factor table, balanced over the whole book, with reasons and receipts."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from features.contract.window import rating_features
from pricing import exposure, reasons
from pricing.arrays import Bools, Floats
from pricing.contract.factors import FACTORS, MICRO, NANO, REASONS
from pricing.errors import ModelError
from pricing.factor import Book, Steps, balanced_base, factors
from pricing.matrix import Inputs, rateable, read_inputs
from pricing.model import Rated, RiskModel
from pricing.plan import FactorPlan
from pricing.receipt import CODE_VERSION, frame_hash, receipt, row_hashes

log = logging.getLogger(__name__)

KEYS = ("policy_id", "driver_id")
EXPOSURE = ("exposure_km", "exposure_days", "trips")


@dataclass(frozen=True, slots=True)
class ScoredBook:
    """A rated book.

    Attributes
    ----------
    factors : polars.DataFrame
        `FACTORS`.
    receipts : polars.DataFrame
        Per row of `factors`: receipt, hash of its features, previous factor and weight: what `verify` needs.
    book : dict
        rating_date, constants, totals; nothing personal.
    """

    factors: pl.DataFrame
    receipts: pl.DataFrame
    book: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write factors.parquet, factors.csv, receipts.parquet and book.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.factors.write_parquet(folder / "factors.parquet", row_group_size=100_000)
        self.factors.write_csv(folder / "factors.csv")
        self.receipts.write_parquet(folder / "receipts.parquet", row_group_size=100_000)
        (folder / "book.json").write_text(json.dumps(self.book, indent=1) + "\n", encoding="utf-8")


def score_book(
    policies: pl.DataFrame,
    periods: pl.DataFrame,
    catalogue: Catalogue,
    model: RiskModel,
    rating_date: date | None = None,
    previous: pl.DataFrame | None = None,
    language: str = "en",
) -> ScoredBook:
    """Rate every policy in force on the rating date.

    Parameters
    ----------
    policies : polars.DataFrame
        As `portfolio.read_policies` gives them.
    periods : polars.DataFrame
        driver_periods.
    rating_date : date or None
        None: the first day after the last month with trips.
    previous : polars.DataFrame or None
        `portfolio.read_previous`: factors of the last rating, taken by policy and driver, else by driver (the highest:
        a new policy does not launder a bad factor).
    """
    day = rating_date or default_rating_date(periods)
    model.check_catalogue(catalogue)
    model.check_certificate(catalogue)
    rows = _book_rows(policies, periods, catalogue, model, day, previous)
    log.info("rating date %s: %d policies in force", day, rows.height)
    label_end = model.diagnostics.get("label_end")
    if label_end is not None and day < date.fromisoformat(label_end):
        log.warning(
            "the model was trained on claims to %s, after this rating date: a diagnostic, not a price", label_end
        )
    inputs = read_inputs(rows, catalogue)
    rated = model.rate(inputs)
    weight = rows["premium" if model.plan.factor.balance == "premium" else "expected_claims"].to_numpy()
    enough = rateable(rows, model.plan.rateable)
    previous_factor = rows["previous"].fill_null(np.nan).to_numpy()
    book = Book(rated.relativity, previous_factor, enough, weight)
    base = balanced_base(book, model.plan.factor)
    steps = factors(book, base, model.plan.factor)
    told = reasons.effects(model, rated).only(enough)  # a kept factor has no reasons of its own
    texts, strongest = reasons.top_reasons(told, inputs, catalogue, language)
    features = model_features(rows, inputs)
    table = _table(rows, model, rated, enough, steps).with_columns(
        *(pl.Series(f"reason_{k + 1}", texts[k], dtype=pl.String) for k in range(REASONS)),
        *(pl.Series(f"effect_{k + 1}", np.round(strongest[:, k], MICRO)).fill_nan(None) for k in range(REASONS)),
        pl.lit(frame_hash(features.with_columns(rows["driver_id"]))).alias("features_id"),
    )
    constants = {
        "model_id": model.model_id,
        "plan_version": model.plan.plan_version,
        "plan_sha256": model.plan.content_hash(),
        "code_version": CODE_VERSION,
        "base_factor": base,
        "s_bar": model.s_bar,
        "kappa_km": model.calibration.kappa_km,
        "a": model.calibration.a,
        "b": model.calibration.b,
    }
    made_of = pl.DataFrame({"features_sha256": row_hashes(features), "previous_factor": rows["previous"]})
    table, receipts = _with_receipts(table, made_of.with_columns(pl.Series("weight", weight)), constants)
    content = {
        "rating_date": str(day),
        "constants": constants,
        "totals": _totals(rows, enough, steps, weight, model.plan.factor),
    }
    return ScoredBook(table, receipts, content)


def model_features(rows: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """What the factor of each row was made of: the part of the features that the receipt hashes."""
    return rows.select(
        *inputs.names, *(f"{name}__{part}" for name in inputs.counted for part in ("n", "km")), *EXPOSURE
    )


def default_rating_date(periods: pl.DataFrame) -> date:
    """First day after the last month with trips."""
    last = periods["month"].max()
    if not isinstance(last, date):
        raise ModelError("driver_periods.parquet holds no trips; run ubi features build, or give --rating-date")
    return exposure.add_months(last, 1)


def _book_rows(
    policies: pl.DataFrame,
    periods: pl.DataFrame,
    catalogue: Catalogue,
    model: RiskModel,
    day: date,
    previous: pl.DataFrame | None,
) -> pl.DataFrame:
    """One row a policy and driver in force, sorted by both, with features, expected claims and previous factor."""
    months = model.plan.window.label_months
    pieces = exposure.earned(policies, day, months)
    in_force = pieces.filter(pl.col("start") == day).select(*KEYS)
    if in_force.is_empty():
        raise ModelError(f"no policy covers the rating date {day}; give another --rating-date or newer policies")
    pieces = pieces.join(in_force, on=list(KEYS), how="semi")
    yearly = {"claims_per_year": "expected_claims"}
    if "premium_per_year" in pieces.columns:
        yearly["premium_per_year"] = "premium"
    elif model.plan.factor.balance == "premium":
        raise ModelError("factor.balance of the plan is premium, and the policies have no tariff_premium; add it")
    priced = pieces.with_columns(pl.Series("claims_per_year", model.tariff.claims_per_year(pieces)))
    book = exposure.total(priced, KEYS, yearly).with_columns(pl.lit(day).alias("rating_date"))
    # Balanced as published: short terms are so few claims that rounding afterwards would show in the written balance.
    book = book.with_columns(pl.col("expected_claims").round(NANO))
    rows = rating_features(periods, book, model.plan.window.feature_months, catalogue).sort(*KEYS)
    if previous is None:
        return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias("previous"))
    by_driver = previous.group_by("driver_id").agg(pl.col("factor").max().alias("of_driver"))
    return (
        rows.join(previous.rename({"factor": "of_policy"}), on=list(KEYS), how="left", maintain_order="left")
        .join(by_driver, on="driver_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("of_policy", "of_driver").alias("previous"))
    )


def _table(rows: pl.DataFrame, model: RiskModel, rated: Rated, enough: Bools, steps: Steps) -> pl.DataFrame:
    """`FACTORS` without reasons, features_id and receipt."""
    relativity = np.round(rated.relativity, MICRO)
    tier = pl.Series(model.tiers.label(rated.relativity), dtype=pl.Int32)
    return rows.select(*KEYS, period_start="start", period_end="end").with_columns(
        pl.Series("factor", steps.published),
        pl.Series("score", np.round(model.percentile_score(rated.relativity), NANO)),
        pl.select(pl.when(pl.Series(enough)).then(tier)).to_series().alias("tier"),
        pl.Series("indicated_relativity", relativity),
        pl.Series("credibility", np.round(rated.credibility, MICRO)),
        rows["exposure_km"].fill_null(0.0).round(MICRO),
        rows["exposure_days"].fill_null(0.0).cast(pl.Float64).round(MICRO),
        rows["trips"].fill_null(0).cast(pl.Int64),
        pl.Series("capped", enough & (steps.banded != steps.based)),
        pl.Series("limited", enough & (steps.factor != steps.banded)),
        pl.Series("rateable", enough),
        rows["expected_claims"].alias("tariff_expected_claims"),
        pl.lit(model.plan.plan_version).alias("plan_version"),
        pl.lit(model.model_id).alias("model_id"),
    )


def _with_receipts(
    table: pl.DataFrame, made_of: pl.DataFrame, constants: dict[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    written = table.with_columns(pl.lit("").alias("receipt")).select(*FACTORS).cast(FACTORS)
    rows = zip(written.drop("receipt").iter_rows(named=True), made_of.iter_rows(named=True), strict=True)
    receipts = pl.Series("receipt", [receipt(constants, row | made) for row, made in rows], dtype=pl.String)
    return written.with_columns(receipts), written.select(KEYS).hstack(made_of).with_columns(receipts)


def _totals(rows: pl.DataFrame, enough: Bools, steps: Steps, weight: Floats, plan: FactorPlan) -> dict[str, Any]:
    """What the book collects against the tariff, before rounding and as written."""

    def ratio(amount: Floats, factor: Floats) -> float:
        return math.fsum(amount * factor) / math.fsum(amount)

    claims = rows["expected_claims"].to_numpy()
    premium = rows["premium"].to_numpy() if "premium" in rows.columns else None
    return {
        "policies": rows.height,
        "rateable": int(enough.sum()),
        "tariff_expected_claims": math.fsum(claims),
        "balanced": plan.balance != "none",
        "balance_before_rounding": ratio(weight, steps.factor),
        "balance_as_written": ratio(weight, steps.published),
        "claims_ratio": ratio(claims, steps.published),
        "premium_ratio": None if premium is None else ratio(premium, steps.published),
        "base_rate_load": 1.0 / ratio(weight, steps.published),
        "capped": int((enough & (steps.banded != steps.based)).sum()),
        "limited": int((enough & (steps.factor != steps.banded)).sum()),
    }
