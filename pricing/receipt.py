"""Receipts: hashes that say what a factor was made of, so that it can be rebuilt and checked."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from typing import Any

import numpy as np
import polars as pl

from pricing.errors import ModelError

CODE_VERSION = f"ubi {importlib.metadata.version('ubi')}"


def row_hashes(frame: pl.DataFrame) -> list[str]:
    """Hex SHA-256 of each row of numbers: the columns' names, and the values as 64-bit floats, little-endian.

    Columns are taken by name, so their order does not matter. Null and NaN are one value, and so are 0 and -0.
    """
    columns = sorted(frame.columns)
    floats = frame.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    known = np.where(np.isnan(floats), np.nan, floats) + 0.0
    start = hashlib.sha256("\n".join(columns).encode())
    hashes = []
    for row in np.ascontiguousarray(known, dtype="<f8"):
        own = start.copy()
        own.update(row)
        hashes.append(own.hexdigest())
    return hashes


def receipts(constants: dict[str, Any], table: pl.DataFrame, made_of: pl.DataFrame) -> list[str]:
    """Hash of each factor with all it rests on.

    A receipt is over the constants, the row of factors.csv and the row of receipts.csv, without their last column,
    which is the receipt: what a person sees is what is hashed.

    Parameters
    ----------
    constants : dict
        Of the book: model, plan and code version, B, s_bar, kappa, a, b.
    table, made_of : polars.DataFrame
        FACTORS and RECEIPTS, row by row; their column `receipt` is left out.
    """
    parts = [frame.drop("receipt") for frame in (table, made_of)]
    head = json.dumps([constants, *(part.columns for part in parts)], sort_keys=True)
    start = hashlib.sha256(head.encode())
    told = []
    for lines in zip(*(csv_lines(part) for part in parts), strict=True):
        own = start.copy()
        own.update("\n".join(lines).encode())
        told.append(own.hexdigest()[:32])
    return told


def csv_lines(frame: pl.DataFrame) -> list[str]:
    """Rows as a CSV has them.

    Raises
    ------
    ModelError
        If a text holds a line break: no row of it could be told from two.
    """
    lines = frame.write_csv(include_header=False).split("\n")[:-1]
    if len(lines) != frame.height:
        raise ModelError("a policy_id or driver_id holds a line break; remove it from the policies")
    return lines
