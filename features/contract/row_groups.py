"""Joining Parquet files by their row groups, for a later stage as well: see `features.row_groups`."""

from __future__ import annotations

from features.row_groups import joined

__all__ = ["joined"]
