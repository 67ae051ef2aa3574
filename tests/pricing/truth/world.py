"""Simulated drivers whose true claim frequency is known, as rating rows: what the model's findings are held against.

Habits make both motion and claims (docs/simulation.md); no feature of ours is in the truth. Claims are drawn afresh
from the true frequency, several years of them in one row, so that a few thousand drivers say as much as a large book:
the luck is that of as many claims, of fewer drivers.
"""

from __future__ import annotations

import dataclasses
from datetime import date
from functools import cache

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue, load_catalogue
from features.contract.window import rating_features
from features.periods import merge, sum_trips
from pricing.fit import Fitted, fit_validated
from pricing.plan import Plan, load_plan
from pricing.tariff import Tariff
from replay_data.portfolio.book import Book, simulate_book
from simulated_lake import simulated_trips

RATING_DATE = date(2025, 1, 1)
PLAN = dataclasses.replace(
    load_plan(), credibility=dataclasses.replace(load_plan().credibility, accept_miscalibrated=True)
)
CHUNK_TRIPS = 3_000


@cache
def book_of(seed: int, drivers: int, name: str = "truth") -> Book:
    """Simulate a book."""
    return simulate_book(seed, drivers, RATING_DATE, name=name)


@cache
def periods_of(seed: int, drivers: int, name: str = "truth", trips_per_driver: int = 6, *, stand_for_many: bool = True):
    """Driver periods of a book. Not `stand_for_many`: each trip counts once, counts are as uncertain as they look."""
    book = book_of(seed, drivers, name)
    trips, events = trips_of(book, trips_per_driver, stand_for_many=stand_for_many)
    return merge([sum_trips(trips, events)])


def trips_of(book: Book, trips_per_driver: int, *, stand_for_many: bool = True) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trips and events of a book, each trip with its driver and policy."""
    term = book.policies.filter(pl.col("end") == book.rating_date).select("policy_id", "driver_id", "device_id")
    parts = []
    step = max(1, CHUNK_TRIPS // trips_per_driver)
    for first in range(0, book.drivers.height, step):
        count = min(step, book.drivers.height - first)
        trips, events = simulated_trips(book, first, count, trips_per_driver)
        parts.append((trips.join(term, on="device_id"), events))
    trips = pl.concat([part[0] for part in parts])
    if not stand_for_many:
        trips = trips.with_columns(represents=pl.lit(1, dtype=trips.schema["represents"]))
    return trips, pl.concat([part[1] for part in parts])


def rows_of(
    book: Book, periods: pl.DataFrame, claims_seed: int = 1, years: float = 10.0, catalogue: Catalogue | None = None
) -> pl.DataFrame:
    """Rating rows: features, expected_claims (the tariff's), true_claims, and claims drawn from the truth."""
    tariff = book.policies.filter(pl.col("start") == RATING_DATE).select(
        "driver_id", "sex", expected_claims=pl.col("tariff_frequency") * years
    )
    known = (
        book.truth.select("driver_id", "annual_km", true_claims=pl.col("true_frequency") * years)
        .join(tariff, on="driver_id", maintain_order="left")
        .with_columns(rating_date=pl.lit(RATING_DATE), years=pl.lit(years))
    )
    drawn = np.random.default_rng(claims_seed).poisson(known["true_claims"].to_numpy())
    return rating_features(periods, known.with_columns(claims=pl.Series(drawn)), 12, catalogue or load_catalogue())


def fitted(rows: pl.DataFrame, catalogue: Catalogue | None = None, plan: Plan = PLAN) -> Fitted:
    """Fit the model as it is filed."""
    return fit_validated(rows, catalogue or load_catalogue(), plan, Tariff("frequency", 1.0))
