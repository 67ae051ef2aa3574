"""Score a book: its drivers' features to the factor table, balanced over the whole book, with reasons and receipts.

    book rows -> parts: features, relativity, reasons   (`rate`: any cut of the book, one after the other)
              -> B over all parts                       (`Totals`: weight, relativity, previous factor of every row)
              -> factor table and receipts              (`finish`: any cut again)

`score_book` does it in memory, `batch.score_to` in parts on disk, with the same result to the byte.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from features.contract.driver_measures import driver_measures
from features.contract.validate import Tell, warn
from features.contract.window import priced_features
from pricing import exposure, reasons
from pricing.arrays import Bools, Floats
from pricing.book import KEYS, book_rows
from pricing.contract.factors import FACTORS, MICRO, NANO, RECEIPTS
from pricing.errors import ModelError
from pricing.factor import Book, Steps, balanced_base, combined, factors
from pricing.matrix import Inputs, rateable, read_inputs
from pricing.model import RiskModel
from pricing.receipt import CODE_VERSION, receipts_and_csv, row_hashes

log = logging.getLogger(__name__)

EXPOSURE = ("exposure_km", "accel_km", "exposure_days", "trips")
_LATER: Final = ("factor", "capped", "limited", "own_claims", "plan_version", "model_id", "features_id", "receipt")
# What is known of a row before B: FACTORS without `_LATER`, and what the factor and the receipt are made of.
PART: Final = pl.Schema(
    {name: kind for name, kind in FACTORS.items() if name not in _LATER}
    | {name: kind for name, kind in RECEIPTS.items() if name not in (*KEYS, "receipt")}
    | {"relativity": pl.Float64, "premium": pl.Float64}  # relativity: exact, of the driving
)


@dataclass(frozen=True, slots=True)
class ScoredBook:
    """A rated book.

    Attributes
    ----------
    factors : polars.DataFrame
        `FACTORS`.
    receipts : polars.DataFrame
        Per row of `factors`: hash of its features, previous factor, own claims, weight and receipt, for `verify`.
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
    claims: pl.DataFrame | None = None,
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
    claims : polars.DataFrame or None
        Needed where the model counts a driver's own claims.
    """
    day = rating_date or default_rating_date(periods["month"].max())
    check(model, catalogue, day)
    book = book_rows(policies, model, day, previous, claims)
    log.info("rating date %s: %d policies in force", day, book.height)
    part = rate(book, driver_measures(periods), catalogue, model, language)
    totals = Totals.of(part, model)
    table, made_of, _ = finish(part, totals, model)
    return ScoredBook(table, made_of, totals.book(day, model))


def check(model: RiskModel, catalogue: Catalogue, day: date) -> None:
    """Refuse a model that may not rate, and tell one that knows the future."""
    model.check_catalogue(catalogue)
    model.check_certificate(catalogue)
    label_end = model.diagnostics.get("label_end")
    if label_end is not None and day < date.fromisoformat(label_end):
        log.warning(
            "the model was trained on claims to %s, after this rating date: a diagnostic, not a price", label_end
        )


def default_rating_date(last_month: object) -> date:
    """First day after the last month with trips."""
    if not isinstance(last_month, date):
        raise ModelError("driver_periods.parquet holds no trips; run ubi features build, or give --rating-date")
    return exposure.add_months(last_month, 1)


def rate(
    book: pl.DataFrame,
    measures: pl.DataFrame,
    catalogue: Catalogue,
    model: RiskModel,
    language: str,
    tell: Tell = warn,
) -> pl.DataFrame:
    """Rate rows of a book by the driving of their drivers: all that does not depend on the rest of the book.

    `tell` is given the doubts about implausible values.

    Returns
    -------
    polars.DataFrame
        Schema PART, in the order of `book`.
    """
    rows = priced_features(measures, book, model.plan.window.feature_months, catalogue, tell)
    inputs = read_inputs(rows, catalogue)
    rated = model.rate(inputs)
    enough = rateable(rows, model.plan.rateable)
    told = reasons.effects(model, rated).only(enough)  # a kept factor has no reasons of its own
    tier = pl.Series(model.tiers.label(rated.relativity), dtype=pl.Int32)
    weight = rows["premium" if model.plan.factor.balance == "premium" else "expected_claims"]
    premium = rows["premium"] if "premium" in rows.columns else pl.lit(None, pl.Float64)
    part = rows.select(*KEYS, "past_claims", "past_expected", period_start="start", period_end="end").with_columns(
        pl.Series("score", np.round(model.percentile_score(rated.relativity), NANO)),
        _if(enough, tier).alias("tier"),
        pl.Series("indicated_relativity", np.round(rated.relativity, MICRO)),
        _if(enough, pl.Series(np.round(rated.credibility, MICRO))).alias("credibility"),
        rows["exposure_km"].fill_null(0.0).round(MICRO),
        rows["exposure_days"].fill_null(0.0).cast(pl.Float64).round(MICRO),
        rows["trips"].fill_null(0).cast(pl.Int64),
        pl.Series("rateable", enough),
        rows["expected_claims"].alias("tariff_expected_claims"),
        *reasons.top_reasons(told, inputs, catalogue, language),
        rows["contents"],
        pl.Series("features_sha256", row_hashes(model_features(rows, inputs))),
        rows["previous"].alias("previous_factor"),
        weight.alias("weight"),
        pl.Series("relativity", rated.relativity),
        premium.alias("premium"),
    )
    return part.select(*PART).cast(PART)


def _if(chosen: Bools, values: pl.Series) -> pl.Series:
    """Values where chosen, else null."""
    return pl.select(pl.when(pl.Series(chosen)).then(values)).to_series()


def model_features(rows: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """What the factor of each row was made of: the part of the features that the receipt hashes."""
    return rows.select(
        *inputs.names, *(f"{name}__{part}" for name in inputs.counted for part in ("n", "km")), *EXPOSURE
    )


def to_factor(part: pl.DataFrame, model: RiskModel) -> tuple[Book, Floats]:
    """What the factors of some rows are made of, and theta of own claims; see `factor.combined`."""
    past = (part["past_claims"].cast(pl.Float64).to_numpy(), part["past_expected"].to_numpy())
    relativity, theta = combined(part["relativity"].to_numpy(), model, past)
    previous = part["previous_factor"].fill_null(np.nan).to_numpy()
    return Book(relativity, previous, part["rateable"].to_numpy(), part["weight"].to_numpy()), theta


@dataclass(frozen=True, slots=True)
class Totals:
    """What the rows of a book depend on of each other."""

    base: float
    features_id: str
    constants: dict[str, Any]
    totals: dict[str, Any]

    @classmethod
    def of(cls, parts: pl.DataFrame, model: RiskModel) -> Totals:
        """Balance a book; `parts` has at least the columns of `NEEDED` of every row, sorted by policy and driver."""
        book, _ = to_factor(parts, model)
        base = balanced_base(book, model.plan.factor)
        steps = factors(book, base, model.plan.factor)
        pairs = parts.select("driver_id", "features_sha256").sort("driver_id", "features_sha256")
        again = (pl.all() == pl.all().shift()).fill_null(value=False)
        pairs = pairs.filter(~pl.all_horizontal(again))
        constants = {
            "model_id": model.model_id,
            "plan_version": model.plan.plan_version,
            "plan_sha256": model.plan.content_hash(),
            "code_version": CODE_VERSION,
            "base_factor": base,
        } | model.constants()
        features_id = hashlib.sha256(pairs.write_csv().encode()).hexdigest()[:16]
        return cls(base, features_id, constants, _sums(parts, book, steps, model))

    def book(self, day: date, model: RiskModel) -> dict[str, Any]:
        """Content of book.json."""
        return {
            "rating_date": str(day),
            "catalogue_version": model.catalogue_version,
            "constants": self.constants,
            "totals": self.totals,
        }


NEEDED: Final = (
    *KEYS,
    "relativity",
    "past_claims",
    "past_expected",
    "previous_factor",
    "rateable",
    "weight",
    "premium",
    "tariff_expected_claims",
    "features_sha256",
)


class Finished(NamedTuple):
    """Factor table and receipts of some rows, and the rows of factors.csv."""

    factors: pl.DataFrame
    receipts: pl.DataFrame
    csv: list[bytes]  # in pieces


def finish(part: pl.DataFrame, totals: Totals, model: RiskModel) -> Finished:
    """Make the output of some rows, B given."""
    book, theta = to_factor(part, model)
    steps = factors(book, totals.base, model.plan.factor)
    table = part.with_columns(
        pl.Series("factor", steps.published),
        pl.Series("capped", steps.capped),
        pl.Series("limited", steps.limited),
        pl.Series("own_claims", np.round(theta, MICRO)),
        *(pl.lit(totals.constants[name]).alias(name) for name in ("plan_version", "model_id")),
        pl.lit(totals.features_id).alias("features_id"),
        pl.lit("").alias("receipt"),
    )
    table, made_of = table.select(*FACTORS).cast(FACTORS), table.select(*RECEIPTS).cast(RECEIPTS)
    receipts, csv = receipts_and_csv(totals.constants, table, made_of)
    told = pl.Series("receipt", receipts, dtype=pl.String)
    return Finished(table.with_columns(told), made_of.with_columns(told), csv)


def _sums(parts: pl.DataFrame, book: Book, steps: Steps, model: RiskModel) -> dict[str, Any]:
    """What the book collects against the tariff, before rounding and as written."""

    def ratio(amount: Floats, factor: Floats) -> float:
        return math.fsum(amount * factor) / math.fsum(amount)

    claims, published = parts["tariff_expected_claims"].to_numpy(), steps.published
    premium = None if parts["premium"].null_count() else parts["premium"].to_numpy()
    as_written = ratio(book.weight, published)
    return {
        "policies": parts.height,
        "rateable": int(book.rateable.sum()),
        "tariff_expected_claims": math.fsum(claims),
        "balanced": model.plan.factor.balance != "none",
        "balance_before_rounding": ratio(book.weight, steps.factor),
        "balance_as_written": as_written,
        "claims_ratio": ratio(claims, published),
        "premium_ratio": None if premium is None else ratio(premium, published),
        "base_rate_load": 1.0 / as_written,
        "capped": int(steps.capped.sum()),
        "limited": int(steps.limited.sum()),
    }
