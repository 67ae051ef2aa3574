from __future__ import annotations

from datetime import date

import polars as pl

from pricing.changes import changed_periods


def test_changed_months_are_told_in_their_order():
    months = [date(2025, 11, 1), date(2025, 3, 1), date(2025, 1, 1)]
    written = pl.DataFrame({"month": months, "policy_id": ["p", "p", None], "trips": [1, 2, 3]})
    told = [*changed_periods(written, written.with_columns(pl.col("trips") + 1), ())]
    assert told == ["2025-01: trips 3 -> 4", "2025-03, policy p: trips 2 -> 3", "2025-11, policy p: trips 1 -> 2"]
