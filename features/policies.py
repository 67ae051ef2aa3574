"""Who drove under which policy: policies from a file, and trips assigned to them one by one by start time.

Judgements, numbered:

1. `start` is covered from 00:00 UTC, `end` is the first day that is not; an empty `end` means still running. Which day
   a time states, and repeated, cancelled and replaced rows: as `features.contract` says (`dates`, `cover`), for pricing
   too.
2. A device belongs to one policy at a time: rows of two policies that overlap for it are refused, not guessed about.
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
from features.contract.cover import ROW, Cover, cover
from features.contract.dates import local_days
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
    if frame.is_empty():
        raise PoliciesError(path, "has no rows; leave the file out, and each device is its own driver")
    for name in (*TEXT, "region"):
        if name in frame.columns and not _is_plain(frame.schema[name]):
            raise PoliciesError(path, f"is {frame.schema[name]}, not text", name)
    rows = frame.select(
        pl.int_range(1, pl.len() + 1).alias(ROW),
        *map(_text, TEXT),
        _text("region") if "region" in frame.columns else pl.lit(None, pl.String).alias("region"),
        *(_date(frame[name], path) for name in (*DATES, "cancelled_on") if name in frame.columns),
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
    covered = cover(rows, lambda found, column, wrong, reason: _refuse(found, path, column, wrong, reason))
    _tell(path, covered)
    policies = covered.rows.select(
        ROW,
        *TEXT,
        "region",
        start_ms=pl.col("start").cast(pl.Datetime("ms")).dt.epoch("ms"),
        end_ms=pl.col("end").cast(pl.Datetime("ms")).dt.epoch("ms").fill_null(_FOREVER_MS),
    )
    policies = policies.sort("device_id", "start_ms", ROW)
    _refuse_shared(policies, path)
    return policies.drop(ROW)


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


def _is_plain(kind: pl.DataType) -> bool:
    return not (kind.is_nested() or kind in (pl.Binary, pl.Object))


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.strip_chars().replace("", None)


def _date(column: pl.Series, path: Path) -> pl.Series:
    if column.dtype not in (pl.Date, pl.Datetime) and (column.dtype.is_temporal() or not _is_plain(column.dtype)):
        raise PoliciesError(path, f"is {column.dtype}, not a date", column.name)
    found = local_days(column)
    wrong = found.first_wrong()
    if wrong is not None:
        row, reason = wrong
        raise PoliciesError(path, f"'{column[row]}' {reason}", column.name, row + 1)
    return found.days


def _tell(path: Path, covered: Cover) -> None:
    told = {
        "stand there already: left out": len(covered.repeated),
        "end on the day they start: left out": len(covered.without_days),
        "were cancelled from their first day: left out": len(covered.never_begun),
        "were cancelled before their end: cover until that day": covered.cancelled,
        "are replaced by the next row of their policy: cover until that day": covered.replaced,
    }
    for what, count in told.items():
        if count:
            log.info("%s: %d rows %s", path, count, what)


def _refuse_shared(policies: pl.DataFrame, path: Path) -> None:
    """Refuse two policies of one device at a time. Sorted by device and start."""
    before = pl.col("device_id", "policy_id", "end_ms").shift().name.suffix("_before")
    taken = (pl.col("device_id") == pl.col("device_id_before")) & (pl.col("start_ms") < pl.col("end_ms_before"))
    shared = policies.with_columns(before).filter(taken).sort(ROW)
    if shared.height:
        first = shared.row(0, named=True)
        reason = f"device {first['device_id']} still belongs to policy {first['policy_id_before']}; end that row first"
        raise PoliciesError(path, reason, "start", first[ROW])


def _refuse(rows: pl.DataFrame, path: Path, column: str, wrong: pl.Expr, reason: str) -> None:
    first = rows.filter(wrong)[ROW].min()
    if first is not None:
        raise PoliciesError(path, reason, column, int(str(first)))
