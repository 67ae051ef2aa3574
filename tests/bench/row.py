"""What a benchmark reports: one row per number, with the anchor measured beside it and the goal."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One measured number.

    `spread` is half the range of the repeats in `unit`; `anchor` is the same number of the thing it is
    compared with, measured in the same run; `goal` says in words what `met` judges. None where there is none.
    """

    name: str
    value: float
    unit: str
    spread: float | None = None
    anchor: float | None = None
    goal: str | None = None
    met: bool | None = None
