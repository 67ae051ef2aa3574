"""The motion of a book, chunk of drivers by chunk: what its devices sent in the months before the rating date."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from device.contract.motion import PERIOD_MS
from device.contract.rules import CURRENT_VERSION
from replay_data.portfolio.book import Book
from replay_data.portfolio.drivers import Ints
from replay_data.portfolio.habits import Habits
from replay_data.portfolio.manoeuvres import Manoeuvres, draw_manoeuvres
from replay_data.portfolio.sensing import NOISE_PERIOD, motion_rows
from replay_data.portfolio.terms import DAYS_PER_YEAR
from replay_data.portfolio.trips import UTC_OFFSET_MIN, plan_trips

SIMULATED_GRADE: Final = 4
_GAP_WORDS: Final = 4  # three are used


def motion_chunks(
    book: Book, drivers_per_chunk: int = 500, trips_per_driver: int = 6, manoeuvres_per_trip: int = 9
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield (heads, motion) of one chunk of drivers after the other; see `motion_chunk`."""
    for first in range(0, book.drivers.height, drivers_per_chunk):
        count = min(drivers_per_chunk, book.drivers.height - first)
        yield motion_chunk(book, first, count, trips_per_driver, manoeuvres_per_trip)


def motion_chunk(
    book: Book, first: int, count: int, trips_per_driver: int = 6, manoeuvres_per_trip: int = 9
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Simulate the trips of drivers `first` to `first + count`; chunks do not depend on each other.

    Returns
    -------
    heads : DataFrame
        One row a trip, ordered by trip_key; `represents` says how many trips of the term it stands for.
    motion : DataFrame
        Rows of the motion grid, ordered by (trip_key, t_ms).
    """
    here = slice(first, first + count)
    habits = Habits(*(values[here] for values in book.habits))
    days = book.days_before[here]
    plan = plan_trips(book.streams, first, habits, days, book.rating_date, trips_per_driver)
    driven = draw_manoeuvres(book.streams, first, habits, plan.kind, manoeuvres_per_trip)
    # One ratio for all trips of a driver: his kilometres are met, and a long trip does not count less than a short.
    km = habits.annual_km * days / DAYS_PER_YEAR
    mean_km = (plan.km_share * driven.distance_m).sum(axis=1) / 1000
    represents = np.maximum(np.rint(km[:, None] * plan.km_share / mean_km[:, None]), 1).astype(np.int32)

    device_ids = book.drivers["device_id"][here].to_list()
    stream = hashlib.sha256(f"simulated {book.streams.seed}".encode()).hexdigest()[:32]
    trip_ids = [f"{device}:{stream}:{trip + 1}" for device in device_ids for trip in range(trips_per_driver)]
    digests = b"".join(hashlib.sha256(trip_id.encode()).digest()[:8] for trip_id in trip_ids)
    keys = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
    order = np.argsort(keys)
    driver = order // trips_per_driver

    heads = pl.DataFrame(
        {
            "trip_key": keys[order],
            "trip_id": [trip_ids[i] for i in order],
            "device_id": [device_ids[i] for i in driver],
            "start_ms": plan.start_ms.ravel()[order],
            "utc_offset_min": np.where(plan.knows_zone[driver], np.int32(UTC_OFFSET_MIN), np.int32(0)),
            "knows_zone": plan.knows_zone[driver],
            "represents": represents.ravel()[order],
        }
    ).select(
        "trip_key",
        "trip_id",
        "device_id",
        "start_ms",
        pl.when("knows_zone").then("utc_offset_min").alias("utc_offset_min"),
        pl.lit(PERIOD_MS, pl.Int32).alias("period_ms"),
        pl.lit(CURRENT_VERSION, pl.Int32).alias("rules_version"),
        pl.lit(SIMULATED_GRADE, pl.Int16).alias("sensor_grade"),
        "represents",
    )
    trips = count * trips_per_driver
    words = book.streams.words("sensors", first, count, trips_per_driver * (NOISE_PERIOD + _GAP_WORDS))
    words = words.reshape(trips, NOISE_PERIOD + _GAP_WORDS)[order]
    motion = motion_rows(
        keys[order],
        _pick(driven, order),
        words[:, :NOISE_PERIOD],
        (words[:, NOISE_PERIOD:].astype(np.float64) + 0.5) / 2**16,
        plan.has_lateral[driver],
    )
    return heads, motion


def _pick(driven: Manoeuvres, order: Ints) -> Manoeuvres:
    """Trips in the given order, the driver axis flattened away."""
    trips = len(order)
    return Manoeuvres(
        t_s=driven.t_s.reshape(trips, -1)[order],
        speed_mps=driven.speed_mps.reshape(trips, -1)[order],
        lateral_mps2=driven.lateral_mps2.reshape(trips, -1)[order],
        limit_kmh=driven.limit_kmh.reshape(trips, -1)[order],
        distance_m=driven.distance_m.ravel()[order],
    )
