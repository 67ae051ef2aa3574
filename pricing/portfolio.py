"""Read policies, claims and earlier factors, from Parquet or CSV, and check every value that a price rests on.

What is decided about ordinary but doubtful rows is numbered in `judgements.py`. Conventions:

- `start` is covered, `end` is the first day that is not; an empty `end` means still running. Which days a row covers is
  decided by `features.contract.cover`, as for the trips.
- `tariff_frequency` is for a policy year of 365 days; `tariff_premium` is for the row's days as they were sold, earned
  evenly, so such a row needs an end. Both become yearly on reading, and every later step multiplies by days.
- A policy may stand in several rows, one after the other. Rows of two drivers that overlap are refused: a claim names a
  policy and a day, so nobody could tell the drivers apart.
- A claim is a claim_id, where there is one, else a row. Its amount is what is left after recoveries, and never below 0;
  a claim whose amount was all recovered stays a claim, because the tariff counts it.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from features.contract import cover as days_covered
from features.contract.cover import ROW
from pricing.contract.factors import FACTORS
from pricing.errors import PortfolioError
from pricing.exposure import DAYS_PER_YEAR
from pricing.judgements import Judged
from pricing.typed import read_table, read_typed, refuse

POLICY_COLUMNS: Final = {"policy_id": pl.String(), "driver_id": pl.String(), "start": pl.Date(), "end": pl.Date()}
TARIFF_COLUMNS: Final = {"tariff_premium": pl.Float64(), "tariff_frequency": pl.Float64()}  # optional
CLAIM_COLUMNS: Final = {"policy_id": pl.String(), "occurred_on": pl.Date()}
_CLAIM_OPTIONAL: Final = {"amount": pl.Float64(), "claim_id": pl.String()}
PREVIOUS_COLUMNS: Final = {"policy_id": pl.String(), "driver_id": pl.String(), "factor": pl.Float64()}
LARGEST_FACTOR: Final = 10.0  # one absurd factor that a driver keeps would be paid by all others through the balance
_FOREVER: Final = pl.date(9999, 12, 31)
_FOREVER_DAYS: Final = 2**22  # more than there are until then


def read_policies(path: Path, judged: Judged | None = None) -> pl.DataFrame:
    """Read policies, sorted by (policy_id, start).

    Parameters
    ----------
    path : pathlib.Path
    judged : Judged, optional
        Where judgements are counted and rows set aside are listed.

    Returns
    -------
    pl.DataFrame
        policy_id, driver_id String; start, end Date (end null: running); tariff_frequency and premium_per_year
        Float64 where the file has tariff_frequency and tariff_premium; every other column as it came.

    Raises
    ------
    PortfolioError
        With file, row and column of the first value that cannot be used.
    """
    judged = judged or Judged()
    optional = {**TARIFF_COLUMNS, "cancelled_on": pl.Date()}
    frame = read_typed(path, POLICY_COLUMNS, optional, nullable=("end", "cancelled_on"))
    for column in TARIFF_COLUMNS:
        if column in frame.columns:
            refuse(frame, path, column, ~((pl.col(column) > 0) & pl.col(column).is_finite()), "has to be above 0")
    if "tariff_premium" in frame.columns:  # for the days as they were sold, so before any is cut
        refuse(frame, path, "end", pl.col("end").is_null(), "is empty; a tariff_premium is for the days of its row")
        days = (pl.col("end") - pl.col("start")).dt.total_days()
        frame = frame.with_columns((pl.col("tariff_premium") * DAYS_PER_YEAR / days).alias("premium_per_year"))
    covered = days_covered.cover(frame, lambda rows, column, wrong, reason: refuse(rows, path, column, wrong, reason))
    judged.set_aside(2, path, covered.repeated)
    judged.set_aside(1, path, covered.without_days)
    judged.set_aside(3, path, covered.never_begun)
    judged.count(4, covered.cancelled)
    judged.count(5, covered.replaced)
    frame = covered.rows
    if frame.is_empty():
        raise PortfolioError(path, "no policies")
    _count_changes(frame, judged)
    return frame.drop(ROW)


def read_claims(
    path: Path,
    covers: tuple[str, ...] = (),
    *,
    policies: pl.DataFrame | None = None,
    cap: float = 0.0,
    judged: Judged | None = None,
) -> pl.DataFrame:
    """Read claims of the given covers (empty: all), sorted by (policy_id, occurred_on, amount).

    Parameters
    ----------
    path : pathlib.Path
    covers : tuple of str
        Empty: all.
    policies : pl.DataFrame, optional
        As from `read_policies`: claims that none of them covers are set aside.
    cap : float
        A claim counts with at most this amount; 0: no cap.
    judged : Judged, optional
        Where judgements are counted and rows set aside are listed.

    Returns
    -------
    pl.DataFrame
        policy_id String, occurred_on Date, amount Float64 (null where the file has none).

    Raises
    ------
    PortfolioError
        With file, row and column of the first value that cannot be used.
    """
    judged = judged or Judged()
    frame = read_typed(path, CLAIM_COLUMNS, _CLAIM_OPTIONAL, nullable=tuple(_CLAIM_OPTIONAL))
    told = "amount" in frame.columns
    if told:
        refuse(frame, path, "amount", ~pl.col("amount").is_finite(), "has to be a finite number")
    frame = _of_covers(frame, path, covers, judged)
    for name, kind in _CLAIM_OPTIONAL.items():
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, kind).alias(name))
    if policies is not None:
        frame = _apart(frame, judged, path, 9, ~pl.col("policy_id").is_in(policies["policy_id"].unique().implode()))
        frame = _apart(frame, judged, path, 10, ~pl.col(ROW).is_in(_covered(frame, policies).implode()))
    frame = _apart(frame, judged, path, 11, pl.col("claim_id").is_null() & (pl.col("amount") < 0))
    claims = _net(frame, path, judged)
    if told:
        judged.count(13, claims.filter(pl.col("amount") <= 0, pl.col("gross") > 0).height)
        judged.count(14, claims["amount"].null_count())
    claims = claims.with_columns(pl.col("amount").clip(lower_bound=0.0))
    if cap:
        large = claims.filter(pl.col("amount") > cap)
        judged.count(15, large.height, float((large["amount"] - cap).sum()))
        claims = claims.with_columns(pl.col("amount").clip(upper_bound=cap))
    return claims.select(*CLAIM_COLUMNS, "amount").sort(*CLAIM_COLUMNS, "amount")


def read_previous(path: Path) -> pl.DataFrame:
    """Read the factor table of the last rating: policy_id, driver_id, factor."""
    frame = read_typed(path, PREVIOUS_COLUMNS, {})
    refuse(frame, path, "factor", ~((pl.col("factor") > 0) & pl.col("factor").is_finite()), "has to be above 0")
    absurd = ~pl.col("factor").is_between(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    refuse(frame, path, "factor", absurd, "is no premium factor, 1 being the tariff; is it in per cent?")
    refuse(frame, path, "policy_id", pl.struct("policy_id", "driver_id").is_duplicated(), "stands there twice")
    return frame.select(*PREVIOUS_COLUMNS).sort("policy_id", "driver_id")


def read_book(folder: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read a rated book: the factor table and book.json in the output folder of `ubi pricing score`."""
    table_file, book_file = folder / "factors.parquet", folder / "book.json"
    for file in (table_file, book_file):
        if not file.is_file():
            raise PortfolioError(file, "no such file; --factors has to name the output folder of ubi pricing score")
    table = read_table(table_file)
    if table.schema != FACTORS:
        raise PortfolioError(table_file, "is no factor table of this version; run ubi pricing score again")
    try:
        book = json.loads(book_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PortfolioError(book_file, f"not JSON: {error}; run ubi pricing score again") from error
    if not _is_book(book):
        raise PortfolioError(book_file, "is no book of ubi pricing score; run it again")
    return table, book


def _is_book(content: Any) -> bool:
    try:
        date.fromisoformat(content["rating_date"])
        return bool(content["constants"]["base_factor"] > 0 and isinstance(content["totals"], dict))
    except (KeyError, TypeError, ValueError):
        return False


def _apart(frame: pl.DataFrame, judged: Judged, path: Path, number: int, aside: pl.Expr) -> pl.DataFrame:
    """Set rows aside, and give the others."""
    marked = frame.with_columns(aside.fill_null(value=False).alias("__aside"))
    judged.set_aside(number, path, marked.filter("__aside")[ROW].sort())
    return marked.filter(~pl.col("__aside")).drop("__aside")


def _count_changes(frame: pl.DataFrame, judged: Judged) -> None:
    who = [name for name in ("driver_id", "device_id") if name in frame.columns]
    same = pl.col("policy_id") == pl.col("policy_id").shift(1)
    changed = same & pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in who)
    judged.count(7, int(frame.select(changed.fill_null(value=False).sum()).item()))
    by_driver = frame.select("driver_id", "policy_id", "start", "end").sort("driver_id", "start")
    several = (pl.col("driver_id") == pl.col("driver_id").shift(1)) & (
        pl.col("policy_id") != pl.col("policy_id").shift(1)
    )
    of_several = by_driver.filter(several)["driver_id"].unique()
    by_driver = by_driver.filter(pl.col("driver_id").is_in(of_several.implode()))
    # Days of one driver after those of the driver before: so the running maximum needs no window by driver.
    driver = pl.col("driver_id").rle_id().cast(pl.Int64) * _FOREVER_DAYS
    start, end = (driver + day.cast(pl.Int32) for day in (pl.col("start"), pl.col("end").fill_null(_FOREVER)))
    judged.count(6, by_driver.filter(start < end.cum_max().shift(1)).height)


def _of_covers(frame: pl.DataFrame, path: Path, covers: tuple[str, ...], judged: Judged) -> pl.DataFrame:
    if not covers:
        return frame
    if "cover" not in frame.columns:
        raise PortfolioError(path, "the plan names covers (tariff.covers) and there is no such column", column="cover")
    known = frame["cover"].cast(pl.String).unique().to_list()
    for cover in covers:
        if cover not in known:
            raise PortfolioError(path, f"no claim has the cover '{cover}' of the plan", column="cover")
    chosen = frame.filter(pl.col("cover").cast(pl.String).is_in(covers))
    judged.count(8, frame.height - chosen.height)
    return chosen


def _covered(claims: pl.DataFrame, policies: pl.DataFrame) -> pl.Series:
    """Row numbers of claims on a day that their policy covers."""
    rows = policies.select("policy_id", "start", pl.col("end").fill_null(_FOREVER))
    found = claims.select(ROW, *CLAIM_COLUMNS).join(rows, on="policy_id")
    return found.filter(pl.col("occurred_on").is_between("start", "end", closed="left"))[ROW].unique()


def _net(frame: pl.DataFrame, path: Path, judged: Judged) -> pl.DataFrame:
    """One row a claim, its amounts added up in whole cents; `gross` is what was paid before recoveries."""
    frame = frame.sort(ROW).with_columns(cents=(pl.col("amount") * 100).round().cast(pl.Int64))
    known = pl.col("claim_id").is_not_null()
    elsewhere = pl.any_horizontal(pl.col(n) != pl.col(n).first().over("claim_id") for n in CLAIM_COLUMNS)
    refuse(frame, path, "claim_id", known & elsewhere, "stands there already, with another policy or day")
    claims = (
        frame.with_columns(claim=pl.when(known).then("claim_id"), own=pl.when(~known).then(ROW))
        .group_by("claim", "own")
        .agg(
            *(pl.col(name).first() for name in CLAIM_COLUMNS),
            pl.when(pl.col("cents").is_not_null().any()).then(pl.col("cents").sum()).alias("net"),
            pl.col("cents").clip(lower_bound=0).sum().alias("gross"),
        )
    )
    judged.count(12, frame.height - claims.height)
    return claims.with_columns(amount=pl.col("net") / 100)
