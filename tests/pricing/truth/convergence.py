"""How fast a driver's relativity settles with distance, and whether its interval says how far it still is.

Every trip counts once here (`stand_for_many = False`), so counts are as uncertain as they look, and every kind of hours
is driven equally often. The distance a day is taken as known, from the truth: a few hundred simulated kilometres are a
sample of how somebody drives, not of how much.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from features.periods import merge, sum_trips
from pricing.diagnostics.uncertainty import Interval, relativity_interval
from pricing.model import RiskModel
from tests.pricing.truth.world import PLAN, RATING_DATE, book_of, fitted, rows_of, trips_of

# A few hundred kilometres are enough to learn from here.
SHORT = dataclasses.replace(PLAN, rateable=dataclasses.replace(PLAN.rateable, min_km=50.0, min_trips=6, min_days=0.01))
DAYS = 365
DAY_MS = 86_400_000
BLOCK = 6  # trips, one for each kind of hours


class Settled(NamedTuple):
    """Relativities after some distance against those of many other trips of the same drivers.

    Attributes
    ----------
    spread : float
        Standard deviation over drivers of the settled log relativity: what there is to find.
    error : float
        Root mean square of the log relativity's distance from it.
    covered : float
        Share of drivers whose 90 % interval holds it.
    covered_by_both : float
        Share whose 90 % interval of the difference of the two holds 0: the settled one has an interval, too.
    half_width : float
        Median half width of the interval, log.
    """

    km: float
    spread: float
    error: float
    covered: float
    covered_by_both: float
    half_width: float


def short_trip_model(seed: int, drivers: int, trips_per_driver: int) -> RiskModel:
    """Model of drivers whose every trip counts once."""
    book = book_of(seed, drivers, "learned")
    trips, events = trips_of(book, trips_per_driver, stand_for_many=False)
    periods = _driven_as_far(merge([sum_trips(trips, events)]), book.truth)
    return fitted(rows_of(book, periods, years=20.0), plan=SHORT).model


def settle(model: RiskModel, seed: int, drivers: int, blocks: int, some: tuple[int, ...]) -> list[Settled]:
    """Rate drivers on some of their trips, and on other trips of the same drivers, as many as there are.

    Parameters
    ----------
    blocks : int
        Of six trips each, one for each kind of hours, spread over the year. The even ones are rated, the odd ones are
        what the factor settles to.
    some : tuple of int
        Numbers of even blocks, evenly spread over the year; at most half of `blocks`.
    """
    book = book_of(seed, drivers, "settling")
    trips, events = trips_of(book, BLOCK * blocks, stand_for_many=False)
    number = trips.select(pl.col("seq").rank("ordinal").over("driver_id")).to_series().cast(pl.Int64)
    block = (number - 1) // BLOCK
    asked = book.truth.select("driver_id").with_columns(rating_date=pl.lit(RATING_DATE))

    def interval(chosen: list[int]) -> tuple[Interval, float]:
        periods = merge([sum_trips(trips.filter(block.is_in(chosen)), events)])
        periods = _driven_as_far(periods, book.truth)
        km = rating_features(periods, asked, 12, load_catalogue())["exposure_km"].median()
        return relativity_interval(model, periods, asked, load_catalogue()), float(str(km))

    target = interval(list(range(1, blocks, 2)))[0]
    settled = np.log(target.relativity)
    found = []
    for count in some:
        own, km = interval([2 * round(k * (blocks // 2) / count) for k in range(count)])
        away = settled - np.log(own.relativity)
        found.append(
            Settled(
                km,
                float(settled.std()),
                float(np.sqrt((away**2).mean())),
                float((np.abs(away) <= own.half_width).mean()),
                float((np.abs(away) <= np.hypot(own.half_width, target.half_width)).mean()),
                float(np.median(own.half_width)),
            )
        )
    return found


def _driven_as_far(periods: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Periods whose first trip is as long ago as the driver, at his true pace, takes for so many kilometres."""
    km = periods.group_by("driver_id").agg(pl.col("distance_mm").sum() / 1e6)
    days = km.join(truth.select("driver_id", "annual_km"), on="driver_id").select(
        "driver_id", ms=(pl.col("distance_mm") / pl.col("annual_km") * DAYS * DAY_MS).cast(pl.Int64)
    )
    end = int(datetime(RATING_DATE.year, RATING_DATE.month, 1, tzinfo=UTC).timestamp()) * 1000
    began = periods.select("driver_id").join(days, on="driver_id", how="left", maintain_order="left")["ms"]
    return periods.with_columns(first_start_ms=end - began)
