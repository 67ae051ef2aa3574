"""Exposure as a table for people: what each driver drove, what was recorded of it, and what does not look right.

The numbers are features of the catalogue over a window; nothing here is priced. A flag asks a person to look, it judges
nobody: a dead zone, a workshop and a pulled plug look alike from here.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from device.contract.errors import UbiError
from features.contract.files import read_table
from features.contract.periods import DRIVER_PERIODS
from features.contract.whole import check_whole
from features.contract.window import rating_features

# Flag -> when a driver carries it: feature, and the value from which on.
FLAGS: Final[dict[str, tuple[str, float]]] = {
    "unplugged": ("unplugged_km_share", 0.10),
    "gaps": ("unobserved_time_share", 0.05),
    "no_summary": ("unsummed_trip_share", 0.05),
    "odometer_fell": ("odometer_falls_per_year", 0.001),
    "codes_cleared": ("codes_cleared_per_year", 0.001),
    "other_car": ("vin_changes_per_year", 0.001),
    "other_box": ("device_changes_per_year", 0.001),
    "new_stream": ("stream_changes_per_year", 0.001),
    "clock": ("clock_suspect_trip_share", 0.001),
    "chain": ("chain_broken_trip_share", 0.001),
    "signature": ("bad_signature_trip_share", 0.001),
    "conflict": ("conflict_trip_share", 0.001),
}
HEADINGS: Final = ("driver", "trips", "km", "recorded", "at least", "at most", "unplugged", "look at")
_SHARES: Final = ("recorded_km_share", "recorded_km_share_least", "recorded_km_share_most", "unplugged_km_share")


def read_periods(folder: Path) -> pl.DataFrame:
    """Read driver_periods.parquet of the output of `ubi features build`.

    Raises
    ------
    UbiError
        If it is not there, or is none.
    TryAgainError
        If a build is putting its tables in place, or died there.
    """
    check_whole(folder)
    path = folder / "driver_periods.parquet"
    periods = read_table(path, lambda file, reason: UbiError(f"{file}: {reason}; run 'ubi features build'"))
    missing = [name for name in DRIVER_PERIODS if name not in periods.columns]
    if missing:
        raise UbiError(f"{path}: has no column {missing[0]}; run 'ubi features build' with this release")
    if periods.is_empty():
        raise UbiError(f"{path}: holds no driver period")
    return periods


def next_month(periods: pl.DataFrame) -> date:
    """First day after the last month of the driver periods."""
    after: date = periods.select(pl.col("month").max().dt.offset_by("1mo")).item()
    return after


def exposure_of(periods: pl.DataFrame, rating_date: date, months: int = 12) -> pl.DataFrame:
    """State the exposure of every driver with a trip in the window, those with flags first.

    Returns
    -------
    pl.DataFrame
        driver_id, trips Int64, recorded_km, the shares of `_SHARES` Float64 (null where the car tells no counter),
        flags List(String) in the order of FLAGS; sorted by number of flags, unplugged share and driver.
    """
    drivers = periods.select("driver_id").unique().with_columns(rating_date=pl.lit(rating_date))
    rows = rating_features(periods, drivers, months).filter(pl.col("trips") > 0)
    flags = [pl.when(pl.col(name) >= least).then(pl.lit(flag)) for flag, (name, least) in FLAGS.items()]
    return rows.select(
        "driver_id",
        "trips",
        pl.col("exposure_km").alias("recorded_km"),
        *_SHARES,
        flags=pl.concat_list(flags).list.drop_nulls(),
    ).sort(
        -pl.col("flags").list.len().cast(pl.Int64),
        -pl.col("unplugged_km_share").fill_null(0),
        "driver_id",
    )


def told(row: tuple[Any, ...]) -> list[str | None]:
    """One row of `exposure_of` as text, under HEADINGS; what is not known is None."""
    driver, trips, km, *shares, flags = row
    per_cent = [None if share is None else f"{share:.1%}" for share in shares]
    return [driver, f"{trips:,}", f"{km:,.0f}", *per_cent, ", ".join(flags) or None]
