"""Rebuild one row of a factor table from the driver's features and the model: to verify it, and for `explain`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from features.contract.window import rating_features
from pricing import reasons
from pricing.arrays import Floats
from pricing.contract.factors import FACTORS, MICRO, RECEIPTS
from pricing.errors import PortfolioError
from pricing.factor import factors
from pricing.matrix import Inputs, rateable, read_inputs
from pricing.model import RiskModel
from pricing.portfolio import read_book
from pricing.reasons import Effects
from pricing.receipt import CODE_VERSION, receipts, row_hashes
from pricing.score import model_features, to_factor
from pricing.typed import read_table


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One row, made again.

    Attributes
    ----------
    published, receipt_row, book : dict
        As they were written: row of factors.parquet, row of receipts.parquet, book.json.
    matrix : numpy.ndarray, shape (1, n_features)
        What the model sees of the inputs: event rates as shrunk.
    seen_share : float
        Of the distance in the window, with known acceleration; 0 without driving.
    factor, relativity : float
        Made again.
    adjustments : dict of str to float
        Named multipliers between B x relativity and the factor; their product with B, base and effects is the factor.
    kept_discount_share : float
        Of the plan: what one of the adjustments is told with.
    middle : dict of str to float or None
        Value of each feature in the middle of the reference book, None where the tables do not tell it.
    contents : int
        Sum of the contents of all trips in the window, as the features have them now.
    features_sha256, receipt : str
        Made again.
    table_receipt : str
        Of the row, the receipts and the book as they stand in the files: it differs if any of them was changed.
    """

    published: dict[str, Any]
    receipt_row: dict[str, Any]
    book: dict[str, Any]
    inputs: Inputs
    matrix: Floats
    seen_share: float
    split: Effects
    relativity: float
    factor: float
    adjustments: dict[str, float]
    kept_discount_share: float
    middle: dict[str, float | None]
    model_id: str
    contents: int
    features_sha256: str
    receipt: str
    table_receipt: str


def rebuild(folder: Path, key: str, periods: pl.DataFrame, catalogue: Catalogue, model: RiskModel) -> Rebuilt:
    """Make one factor again.

    Parameters
    ----------
    folder : Path
        Output of `ubi pricing score`.
    key : str
        A policy_id or a receipt.

    Raises
    ------
    PortfolioError
        If the folder is no such output, or holds no such policy.
    """
    published, written, book = _read(folder, key)
    driver, rating_date = published["driver_id"], date.fromisoformat(book["rating_date"])
    asked = pl.DataFrame({"driver_id": [driver], "rating_date": [rating_date]})
    model.check_catalogue(catalogue)
    rows = rating_features(periods, asked, model.plan.window.feature_months, catalogue)
    inputs = read_inputs(rows, catalogue)
    rated = model.rate(inputs)
    enough = rateable(rows, model.plan.rateable)
    part = pl.DataFrame([written], schema_overrides=RECEIPTS).with_columns(
        pl.Series("relativity", rated.relativity), pl.Series("rateable", enough)
    )
    one, theta = to_factor(part, model)
    steps = factors(one, book["constants"]["base_factor"], model.plan.factor)
    based, banded, final = (float(step[0]) for step in (steps.based, steps.banded, steps.factor))
    tier_step = float(one.relativity[0] / theta[0] / rated.relativity[0])
    if enough[0]:
        named = {"step of the tier": tier_step, "own claims": float(theta[0])}
        adjustments = {name: value for name, value in named.items() if value != 1.0}
        adjustments |= {"band of the plan": banded / based, "renewal limit": final / banded}
    else:
        before = float(np.where(np.isnan(one.previous), 1.0, one.previous)[0])
        adjustments = {"not rateable, previous factor kept": before / based * (tier_step * float(theta[0]))}
        named = {"fading of a kept discount": banded / before, "renewal limit": final / banded}
        adjustments |= {name: value for name, value in named.items() if value != 1.0}
    features_sha256 = row_hashes(model_features(rows, inputs))[0]
    factor, relativity = float(steps.published[0]), round(float(rated.relativity[0]), MICRO)
    table = pl.DataFrame([published], schema=FACTORS)
    made_of = pl.DataFrame([written], schema=RECEIPTS)
    again = table.with_columns(
        factor=pl.lit(factor), indicated_relativity=pl.lit(relativity), own_claims=pl.lit(round(float(theta[0]), MICRO))
    )
    contents = int(rows["contents"][0])
    remade = made_of.with_columns(contents=pl.lit(contents), features_sha256=pl.lit(features_sha256))
    constants = book["constants"] | {"code_version": CODE_VERSION, "model_id": model.model_id}
    return Rebuilt(
        published=published,
        receipt_row=written,
        book=book,
        inputs=inputs,
        matrix=rated.matrix,
        seen_share=rows["accel_km"][0] / (rows["exposure_km"][0] or 1.0),
        split=reasons.effects(model, rated),
        relativity=relativity,
        factor=factor,
        adjustments=adjustments,
        kept_discount_share=model.plan.factor.kept_discount_share,
        middle={main.feature: main.middle for main in model.tables.mains},
        model_id=model.model_id,
        contents=contents,
        features_sha256=features_sha256,
        receipt=receipts(constants, again, remade)[0],
        table_receipt=receipts(book["constants"], table, made_of)[0],
    )


def driver_of(folder: Path, key: str) -> str:
    """Driver of a policy or receipt of a rated book; "" where there is none, or no such table: `rebuild` tells."""
    asked = (pl.col("policy_id") == key) | (pl.col("receipt") == key)
    with suppress(OSError, pl.exceptions.PolarsError):
        found = pl.scan_parquet(folder / "factors.parquet").filter(asked).select("driver_id").head(1).collect()
        return str(found["driver_id"][0]) if found.height else ""
    return ""


def _read(folder: Path, key: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    table, book = read_book(folder)
    found = table.filter((pl.col("policy_id") == key) | (pl.col("receipt") == key))
    if found.is_empty():
        raise PortfolioError(folder / "factors.parquet", f"holds no policy or receipt '{key}'")
    published = found.row(0, named=True)
    same = (pl.col("policy_id") == published["policy_id"]) & (pl.col("driver_id") == published["driver_id"])
    made_of = read_table(folder / "receipts.parquet")
    written = made_of.filter(same) if made_of.schema == RECEIPTS else made_of.clear()
    if written.is_empty():
        raise PortfolioError(
            folder / "receipts.parquet", "belongs to another factors.parquet: run ubi pricing score again"
        )
    return published, written.row(0, named=True), book
