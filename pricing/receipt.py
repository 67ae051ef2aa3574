"""Receipts: hashes that say what a factor was made of, so that it can be rebuilt and checked."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
from collections.abc import Iterable
from itertools import chain, repeat
from typing import Any, Final

import numpy as np
import polars as pl

from pricing.errors import ModelError

ROWS_AT_ONCE: Final = 8_192  # bounds the texts of rows that stand in memory at once
CODE_VERSION = f"ubi {importlib.metadata.version('ubi')}"


def row_hashes(frame: pl.DataFrame) -> list[str]:
    """Hex SHA-256 of each row of numbers: the columns' names, and the values as 64-bit floats, little-endian.

    Columns are taken by name, so their order does not matter. Null and NaN are one value, and so are 0 and -0.
    """
    columns = sorted(frame.columns)
    start = hashlib.sha256("\n".join(columns).encode())
    size = 8 * len(columns)
    hashes: list[str] = []
    for part in frame.select(columns).iter_slices(ROWS_AT_ONCE):
        floats = part.select(pl.all().cast(pl.Float64).fill_null(float("nan"))).to_numpy()
        known = np.where(np.isnan(floats), np.nan, floats) + 0.0
        values = np.ascontiguousarray(known, dtype="<f8")
        hashes += _hashes(start, values.view(f"V{size}")[:, 0].tolist())
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
    return receipts_and_csv(constants, table, made_of)[0]


def receipts_and_csv(
    constants: dict[str, Any], table: pl.DataFrame, made_of: pl.DataFrame
) -> tuple[list[str], list[bytes]]:
    """Receipts, and the rows of factors.csv with them, in pieces: the lines that are hashed are those that are written.

    Raises
    ------
    ModelError
        If a text holds a line break: no row of it could be told from two.
    """
    parts = [frame.drop("receipt") for frame in (table, made_of)]
    head = json.dumps([constants, *(part.columns for part in parts)], sort_keys=True)
    start = hashlib.sha256(head.encode())
    told: list[str] = []
    csv = []
    for slices in zip(*(part.iter_slices(ROWS_AT_ONCE) for part in parts), strict=True):
        factors, sources = (_csv_lines(rows) for rows in slices)
        own = [text[:32] for text in _hashes(start, map(b"\n".join, zip(factors, sources, strict=True)))]
        csv.append(b"".join(chain.from_iterable(zip(factors, repeat(b","), map(str.encode, own), repeat(b"\n")))))
        told += own
    return told, csv


def _csv_lines(frame: pl.DataFrame) -> list[bytes]:
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=False)
    lines = buffer.getvalue().split(b"\n")[:-1]
    if len(lines) != frame.height:
        raise ModelError("a policy_id or driver_id holds a line break; remove it from the policies")
    return lines


def _hashes(start: hashlib._Hash, rows: Iterable[bytes]) -> list[str]:
    """Hex digest of what `start` has taken and each row."""
    told = []
    for row in rows:
        own = start.copy()
        own.update(row)
        told.append(own.hexdigest())
    return told
