"""Rebuild one row of a factor table from the driver's features and the model: to explain it, and to verify it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from features.contract.window import rating_features
from pricing import reasons
from pricing.contract.factors import MICRO, RECEIPTS
from pricing.errors import PortfolioError
from pricing.factor import Book, factors
from pricing.matrix import Inputs, rateable, read_inputs
from pricing.model import RiskModel
from pricing.portfolio import read_book
from pricing.reasons import Effects
from pricing.receipt import CODE_VERSION, receipt, row_hashes
from pricing.score import model_features
from pricing.typed import read_table

# Layers that are made of the driver's features: they cannot come out again once those were erased.
FROM_FEATURES = ("features", "relativity", "factor", "receipt")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One row, made again.

    Attributes
    ----------
    published, receipt_row, book : dict
        As they were written: row of factors.parquet, row of receipts.parquet, book.json.
    factor, relativity : float
        Made again.
    adjustments : dict of str to float
        Named multipliers between B x relativity and the factor; their product with B, base and effects is the factor.
    features_sha256, receipt : str
        Made again.
    table_receipt : str
        Of the row, the receipts and the book as they stand in the files: it differs if any of them was changed.
    """

    published: dict[str, Any]
    receipt_row: dict[str, Any]
    book: dict[str, Any]
    inputs: Inputs
    split: Effects
    relativity: float
    factor: float
    adjustments: dict[str, float]
    model_id: str
    features_sha256: str
    receipt: str
    table_receipt: str

    def layers(self) -> list[tuple[str, bool, str]]:
        """Name of each layer, whether it came out as it was, and what it is now."""
        written = self.receipt_row
        return [
            ("table", self.table_receipt == self.published["receipt"] == written["receipt"], self.table_receipt),
            ("features", self.features_sha256 == written["features_sha256"], self.features_sha256[:16]),
            ("model", self.model_id == self.book["constants"]["model_id"], self.model_id),
            ("code", self.book["constants"]["code_version"] == CODE_VERSION, CODE_VERSION),
            ("relativity", self.relativity == self.published["indicated_relativity"], f"{self.relativity:.6f}"),
            ("factor", self.factor == self.published["factor"], f"{self.factor:.6f}"),
            ("receipt", self.receipt == self.published["receipt"], self.receipt),
        ]


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
    previous = np.nan if written["previous_factor"] is None else written["previous_factor"]
    enough = rateable(rows, model.plan.rateable)
    one = Book(rated.relativity, np.array([previous]), enough, np.array([written["weight"]]))
    steps = factors(one, book["constants"]["base_factor"], model.plan.factor)
    based, banded, final = (float(step[0]) for step in (steps.based, steps.banded, steps.factor))
    if enough[0]:
        adjustments = {"band of the plan": banded / based, "renewal limit": final / banded}
    else:
        adjustments = {"not rateable, previous factor kept": final / based}
    features_sha256 = row_hashes(model_features(rows, inputs))[0]
    factor, relativity = float(steps.published[0]), round(float(rated.relativity[0]), MICRO)
    row = {name: value for name, value in (published | written).items() if name != "receipt"}
    again = {"features_sha256": features_sha256, "factor": factor, "indicated_relativity": relativity}
    constants = book["constants"] | {"code_version": CODE_VERSION, "model_id": model.model_id}
    return Rebuilt(
        published=published,
        receipt_row=written,
        book=book,
        inputs=inputs,
        split=reasons.effects(model, rated),
        relativity=relativity,
        factor=factor,
        adjustments=adjustments,
        model_id=model.model_id,
        features_sha256=features_sha256,
        receipt=receipt(constants, row | again),
        table_receipt=receipt(book["constants"], row),
    )


def explain(rebuilt: Rebuilt, catalogue: Catalogue, language: str = "en") -> str:
    """Tell one factor in full: the product of all its parts, strongest effects first."""
    row, book = rebuilt.published, rebuilt.book
    by_name = {feature.name: feature for feature in catalogue.features}
    values, effects = rebuilt.inputs.values[0], rebuilt.split.effects[0]
    lines = [
        f"policy {row['policy_id']}, driver {row['driver_id']}, {row['period_start']} to {row['period_end']}",
        f"{row['exposure_km']:,.0f} km, {row['trips']:,} trips, {row['exposure_days']:.0f} days in the window",
        f"credibility {row['credibility']:.3f}, score {row['score']:.1f}, tier {row['tier'] or '-'}",
        "",
        f"{rebuilt.factor:.6f}  factor, the product of:",
        f"{book['constants']['base_factor']:.6f}  base factor of the book (off-balance)",
        f"{rebuilt.split.base[0]:.6f}  mean driver of the reference book",
    ]
    for column in np.argsort(-np.abs(np.log(effects)), kind="stable"):
        feature = by_name[rebuilt.split.names[column]]
        lines.append(f"{effects[column]:.6f}  {feature.tell(float(values[column]), language)}")
    lines.extend(f"{value:.6f}  {name}" for name, value in rebuilt.adjustments.items())
    return "\n".join(lines)


def _read(folder: Path, key: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    table, book = read_book(folder)
    found = table.filter((pl.col("policy_id") == key) | (pl.col("receipt") == key))
    if found.is_empty():
        raise PortfolioError(folder / "factors.parquet", f"holds no policy or receipt '{key}'")
    published = found.row(0, named=True)
    same = (pl.col("policy_id") == published["policy_id"]) & (pl.col("driver_id") == published["driver_id"])
    receipts = read_table(folder / "receipts.parquet")
    written = receipts.filter(same) if receipts.schema == RECEIPTS else receipts.clear()
    if written.is_empty():
        raise PortfolioError(
            folder / "receipts.parquet", "belongs to another factors.parquet: run ubi pricing score again"
        )
    return published, written.row(0, named=True), book
