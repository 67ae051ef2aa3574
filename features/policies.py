"""Who drove under which policy: policies from a file, and trips assigned to them one by one by start time.

Judgements, numbered:

1. `start` is covered from 00:00 UTC, `end` is the first day that is not; an empty `end` means still running.
2. A device belongs to one policy and driver at a time: rows that overlap for a device are refused, not guessed about.
3. A trip that no policy covers is in no driver period; it is counted and logged.
4. Without policies each device is its own driver, and the policy is null.
5. `region` says whose public holidays count, as ISO 3166-1 or -2 (DE, DE-BY); an empty one means not known.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import polars as pl

from features.calendar import has_calendar
from features.contract.files import read_table
from features.errors import PoliciesError

log = logging.getLogger(__name__)

TEXT: Final = ("policy_id", "driver_id", "device_id")
DATES: Final = ("start", "end")
REGION: Final = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"
_FOREVER_MS: Final = 2**62


def read_policies(path: Path) -> pl.DataFrame:
    """Read the columns of a policies file (Parquet or CSV) that say who drove what when.

    Returns
    -------
    pl.DataFrame
        policy_id, driver_id, device_id, region String, start_ms, end_ms Int64 (UTC, the end not included); sorted by
        device_id and start_ms. region is null where the file has none.

    Raises
    ------
    PoliciesError
        With file, row and column of the first value that cannot be used.
    """
    frame = read_table(path, PoliciesError)
    for name in (*TEXT, *DATES):
        if name not in frame.columns:
            raise PoliciesError(path, f"is missing; the file has {', '.join(frame.columns)}", name)
    rows = frame.select(
        pl.int_range(1, pl.len() + 1).alias("row"),
        *map(_text, TEXT),
        _text("region") if "region" in frame.columns else pl.lit(None, pl.String).alias("region"),
        *(_date(frame[name], path) for name in DATES),
    )
    for name in (*TEXT, "start"):
        _refuse(rows, path, name, pl.col(name).is_null(), "is empty")
    no_region = ~pl.col("region").str.contains(REGION)
    _refuse(rows, path, "region", no_region, "is no ISO 3166 code; write a country or a part of one, as DE or DE-BY")
    no_calendar = [region for region in rows["region"].drop_nulls().unique() if not has_calendar(region)]
    _refuse(
        rows,
        path,
        "region",
        pl.col("region").is_in(no_calendar),
        "is of no country with a calendar of holidays; correct the code, or leave it empty",
    )
    _refuse(rows, path, "end", pl.col("end") < pl.col("start"), "is before start")
    policies = rows.filter(pl.col("end").is_null() | (pl.col("start") < pl.col("end"))).select(
        "row",
        *TEXT,
        "region",
        start_ms=pl.col("start").cast(pl.Datetime("ms")).dt.epoch("ms"),
        end_ms=pl.col("end").cast(pl.Datetime("ms")).dt.epoch("ms").fill_null(_FOREVER_MS),
    )
    policies = policies.sort("device_id", "start_ms", "row")
    same = pl.col("device_id") == pl.col("device_id").shift()
    taken = same & (pl.col("start_ms") < pl.col("end_ms").shift())
    _refuse(policies, path, "start", taken, "lies in another row of the same device; end that one first")
    return policies.drop("row")


def assign(trips: pl.DataFrame, policies: pl.DataFrame | None) -> pl.DataFrame:
    """Add `policy_id`, `driver_id` and `region` to trips.

    Parameters
    ----------
    trips : pl.DataFrame
        At least device_id and start_ms.
    policies : pl.DataFrame or None
        As from `read_policies`.

    Returns
    -------
    pl.DataFrame
        The trips in their order; all three null where no policy covers the start.
    """
    if policies is None:
        nothing = pl.lit(None, pl.String)
        return trips.with_columns(policy_id=nothing, driver_id=pl.col("device_id"), region=nothing)
    latest = (
        trips.select("device_id", "start_ms")
        .with_row_index("trip")
        .sort("start_ms")
        .join_asof(policies.sort("start_ms"), on="start_ms", by="device_id", check_sortedness=False)
        .sort("trip")
    )
    covered = pl.col("start_ms") < pl.col("end_ms")
    told = latest.select(pl.when(covered).then(pl.col("policy_id", "driver_id", "region")))
    return trips.with_columns(told.get_columns())


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.strip_chars().replace("", None)


def _date(column: pl.Series, path: Path) -> pl.Series:
    if column.dtype.is_temporal():
        return column.cast(pl.Date)
    text = column.cast(pl.String).str.strip_chars().replace("", None)
    dates = text.str.to_date("%Y-%m-%d", strict=False)
    wrong = dates.is_null() & text.is_not_null()
    if wrong.any():
        row = wrong.arg_max() or 0
        raise PoliciesError(path, f"'{text[row]}' is not a date (YYYY-MM-DD)", column.name, row + 1)
    return dates


def _refuse(rows: pl.DataFrame, path: Path, column: str, wrong: pl.Expr, reason: str) -> None:
    first = rows.filter(wrong)["row"].min()
    if first is not None:
        raise PoliciesError(path, reason, column, int(str(first)))
