"""Receipts: hashes that say what a factor was made of, so that it can be rebuilt and checked."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from typing import Any

import polars as pl

CODE_VERSION = f"ubi {importlib.metadata.version('ubi')}"


def row_hashes(frame: pl.DataFrame) -> list[str]:
    """Hex SHA-256 of each row's content: column names, and values in their shortest exact text.

    Columns are taken by name, so their order does not matter; text columns must hold no line breaks.
    """
    columns = sorted(frame.columns)
    head, *lines = frame.select(columns).write_csv(null_value="null").splitlines()
    return [hashlib.sha256(f"{head}\n{line}".encode()).hexdigest() for line in lines]


def frame_hash(frame: pl.DataFrame) -> str:
    """First 16 hex digits of the SHA-256 over all rows, whatever their order."""
    return hashlib.sha256("".join(sorted(row_hashes(frame))).encode()).hexdigest()[:16]


def receipt(constants: dict[str, Any], row: dict[str, Any]) -> str:
    """Hash of one factor with all it rests on.

    Parameters
    ----------
    constants : dict
        Of the book: model, plan and code version, B, s_bar, kappa, a, b.
    row : dict
        Of the driver: the row of the factor table, hash of the features, previous factor, weight in the balance.
    """
    return hashlib.sha256(json.dumps([constants, row], sort_keys=True, default=str).encode()).hexdigest()[:32]
