"""Which days the rows of a policies file cover: one rule for whoever assigns trips and whoever counts days.

1. A row that stands there already, or ends on the day it starts, covers nothing.
2. `cancelled_on` is the first day that a cancellation left uncovered; on `start` or before it, the row covers nothing.
3. A row ends where the next row of its policy and driver starts: a change in mid-term.
4. Other rows of one policy that overlap contradict each other and are refused.

`features/views/40_policies.sql` says the same in SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import polars as pl

ROW: Final = "row"  # 1-based row of the file, the header not counted
COLUMNS: Final = ("policy_id", "driver_id", "start", "end")
_FOREVER: Final = pl.date(9999, 12, 31)

Refuse = Callable[[pl.DataFrame, str, pl.Expr, str], None]


class Cover(NamedTuple):
    """Rows that cover days, and what became of the others."""

    rows: pl.DataFrame  # columns as given, `end` the first day not covered; sorted by policy_id and start
    repeated: pl.Series  # row numbers of those left out, each for one reason
    without_days: pl.Series
    never_begun: pl.Series
    cancelled: int  # rows cut by their cancellation
    replaced: int  # rows cut by the next row of their policy


def cover(frame: pl.DataFrame, refuse: Refuse) -> Cover:
    """Give the rows of a policies file the days that they cover.

    Parameters
    ----------
    frame : pl.DataFrame
        `ROW`; policy_id, driver_id String and start Date, none of them null; end Date, null while the policy runs;
        cancelled_on Date where there are cancellations. Rows are repeated if all their columns are.
    refuse : callable
        Called with rows, the column at fault, an expression and what is wrong with a row where it holds. It has to
        raise if there are such rows.
    """
    refuse(frame, "end", pl.col("end") < pl.col("start"), "is before the start")
    several = frame.filter(pl.col("policy_id").is_duplicated())  # few: comparing all columns of all rows takes longer
    repeated = several.filter(~pl.struct(pl.exclude(ROW)).is_first_distinct())[ROW].sort()
    rows = frame.filter(~pl.col(ROW).is_in(repeated.implode()))
    rows, without_days = _without(rows, pl.col("start") == pl.col("end"))
    never_begun, cancelled = pl.Series(ROW, [], rows.schema[ROW]), 0
    if "cancelled_on" in rows.columns:
        rows, never_begun = _without(rows, pl.col("cancelled_on") <= pl.col("start"))
        early = (pl.col("cancelled_on") < pl.col("end").fill_null(_FOREVER)).fill_null(value=False)
        cancelled = rows.filter(early).height
        rows = rows.with_columns(pl.when(early).then("cancelled_on").otherwise("end").alias("end"))
    rows, replaced = _replaced(rows.sort("policy_id", "start", ROW), refuse)
    return Cover(rows, repeated, without_days, never_begun, cancelled, replaced)


def _without(rows: pl.DataFrame, wrong: pl.Expr) -> tuple[pl.DataFrame, pl.Series]:
    """Rows where `wrong` does not hold, and the numbers of the others."""
    marked = rows.select(wrong.fill_null(value=False).alias("wrong"))["wrong"]
    return rows.filter(~marked), rows.filter(marked)[ROW].sort()


def _replaced(rows: pl.DataFrame, refuse: Refuse) -> tuple[pl.DataFrame, int]:
    """Cut rows that the next row of the same policy and driver replaces; refuse other overlaps. Sorted by policy."""
    end, start, policy = pl.col("end").fill_null(_FOREVER), pl.col("start"), pl.col("policy_id")
    taken = (policy == policy.shift(1)) & (start < end.shift(1))
    overlaps = rows.with_columns(
        __other=taken & (pl.col("driver_id") != pl.col("driver_id").shift(1)),
        __same_day=taken & (start == start.shift(1)),
        __inside=taken & (end < end.shift(1)),
        __cut=taken.shift(-1).fill_null(value=False),
        __next=start.shift(-1),
    )
    plain = "overlaps another row of the same policy"
    refuse(overlaps, "start", pl.col("__other"), f"{plain}, of another driver")
    refuse(overlaps, "start", pl.col("__same_day"), f"{plain} from its first day on")
    refuse(overlaps, "start", pl.col("__inside"), f"{plain} and ends before it does")
    cut = overlaps.with_columns(pl.when("__cut").then("__next").otherwise("end").alias("end"))
    return cut.select(rows.columns), int(overlaps["__cut"].sum())
