"""The simulated book of an insurer: drivers, their policies around a rating date, their claims, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Final

import numpy as np
import polars as pl

from replay_data.portfolio.drivers import TERRITORIES, Drivers, Ints, draw_drivers
from replay_data.portfolio.habits import Habits, draw_habits
from replay_data.portfolio.hazard import Hazard, hazard
from replay_data.portfolio.streams import Streams
from replay_data.portfolio.tariff import Tariff, fit_tariff
from replay_data.portfolio.terms import COVERS, DAYS_PER_YEAR, Claims, draw_claims, term_days

EXPERIENCE_DRIVERS: Final = 60_000  # whose claims the tariff was fitted to: about 2,700
PREMIUM_PER_CLAIM: Final = 3_062.0 * 1.25  # published mean claim 137.6 / 0.0449, loaded by a quarter


@dataclass(frozen=True)
class Book:
    """A simulated book. Frames are in driver order.

    Attributes
    ----------
    drivers : DataFrame
        driver_id, device_id and what the application form says.
    policies : DataFrame
        One row a term: the one that ends and the one that starts at the rating date. `end` is the first day not
        covered. `tariff_frequency` is per policy year, `tariff_premium` for the term.
    claims : DataFrame
        claim_id, policy_id, occurred_on, cover, amount.
    truth : DataFrame
        driver_id, true_frequency (expected claims per policy year), its causes, and the habits. Never an input of
        a model: for tests and reports only.
    """

    streams: Streams
    rating_date: date
    habits: Habits
    days_before: Ints  # days of the term before the rating date: the motion window
    drivers: pl.DataFrame
    policies: pl.DataFrame
    claims: pl.DataFrame
    truth: pl.DataFrame


def simulate_book(
    seed: int, n_drivers: int, rating_date: date, *, name: str = "sim", claims_until: date | None = None
) -> Book:
    """Simulate a book of `n_drivers`.

    Parameters
    ----------
    seed : int
        Books of one seed share the insurer's tariff; books of one seed and name share their first drivers.
    n_drivers : int
    rating_date : date
        One term of each driver ends and its renewal starts here.
    name : str
        Prefix of every identifier.
    claims_until : date, optional
        First day whose claims are not known yet; a year after the rating date if None.
    """
    streams = Streams(seed, name)
    drivers, habits, risk = _people(streams, n_drivers)
    days = term_days(streams, 0, n_drivers)
    claims = draw_claims(streams, 0, risk, habits.speeding, days)
    tariff = insurer_tariff(seed)
    driver_ids = [f"{name}-{i:06d}" for i in range(n_drivers)]
    frame = _drivers_frame(driver_ids, [f"{name}-box-{i:06d}" for i in range(n_drivers)], drivers)
    until = claims_until or rating_date + timedelta(days=DAYS_PER_YEAR)
    policies = _policies_frame(frame, rating_date, days, tariff, drivers)
    return Book(
        streams=streams,
        rating_date=rating_date,
        habits=habits,
        days_before=days[:, 0],
        drivers=frame,
        policies=policies,
        claims=_claims_frame(claims, policies).filter(pl.col("occurred_on") < until),
        truth=_truth_frame(driver_ids, risk, habits),
    )


@cache
def insurer_tariff(seed: int) -> Tariff:
    """Tariff of the insurer, fitted to the claims of a book that nobody rates."""
    streams = Streams(seed, "experience")
    drivers, habits, risk = _people(streams, EXPERIENCE_DRIVERS)
    days = term_days(streams, 0, EXPERIENCE_DRIVERS)
    claims = draw_claims(streams, 0, risk, habits.speeding, days)
    counts = np.bincount(claims.driver[claims.term == 1], minlength=EXPERIENCE_DRIVERS)
    return fit_tariff(drivers, days[:, 1] / DAYS_PER_YEAR, counts)


def _people(streams: Streams, count: int) -> tuple[Drivers, Habits, Hazard]:
    drivers = draw_drivers(streams, 0, count)
    habits = draw_habits(streams, 0, drivers)
    return drivers, habits, hazard(habits, drivers)


def _drivers_frame(driver_ids: list[str], device_ids: list[str], drivers: Drivers) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "driver_id": driver_ids,
            "device_id": device_ids,
            "driver_age": drivers.age.astype(np.int32),
            "sex": np.where(drivers.male, "M", "F"),
            "car_age": drivers.car_age.astype(np.int32),
            "territory": np.array(TERRITORIES)[drivers.territory],
            "annual_km_declared": drivers.annual_km_declared.astype(np.int32),
        }
    )


def _policies_frame(
    frame: pl.DataFrame, rating_date: date, days: Ints, tariff: Tariff, drivers: Drivers
) -> pl.DataFrame:
    """Both terms of every driver, two rows in a row. A year earlier driver and car were a year younger."""
    younger = drivers._replace(age=drivers.age - 1, car_age=np.maximum(drivers.car_age - 1, 0))
    terms = []
    for term, people in enumerate((younger, drivers)):
        start = -days[:, 0] if term == 0 else np.zeros_like(days[:, 0])
        terms.append(
            frame.with_columns(
                pl.format("{}-{}", "driver_id", pl.lit(rating_date.year - 1 + term)).alias("policy_id"),
                _days_after(pl.lit(rating_date), start).alias("start"),
                _days_after(pl.lit(rating_date), start + days[:, term]).alias("end"),
                pl.Series("tariff_frequency", tariff.frequency(people)),
                pl.Series("driver_age", people.age.astype(np.int32)),
                pl.Series("car_age", people.car_age.astype(np.int32)),
            )
        )
    years = (pl.col("end") - pl.col("start")).dt.total_days() / DAYS_PER_YEAR
    premium = (pl.col("tariff_frequency") * years * PREMIUM_PER_CLAIM).round(2).alias("tariff_premium")
    return (
        pl.concat(terms)
        .with_columns(premium)
        .sort("driver_id", "start")
        .select(
            "policy_id", "driver_id", "device_id", "start", "end", "tariff_premium", "tariff_frequency",
            "driver_age", "car_age", "territory", "annual_km_declared", "sex",
        )
    )  # fmt: skip


def _days_after(day: pl.Expr, days: Ints) -> pl.Expr:
    return day + pl.duration(days=pl.lit(pl.Series(days)))


def _claims_frame(claims: Claims, policies: pl.DataFrame) -> pl.DataFrame:
    rows = policies[2 * claims.driver + claims.term]
    return rows.select(
        pl.format("{}-{}", "policy_id", pl.Series(claims.number + 1)).alias("claim_id"),
        "policy_id",
        _days_after(pl.col("start"), claims.day).alias("occurred_on"),
        pl.Series("cover", np.array(COVERS)[claims.cover], dtype=pl.String),
        pl.Series("amount", claims.amount),
    )


def _truth_frame(driver_ids: list[str], risk: Hazard, habits: Habits) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "driver_id": driver_ids,
            "true_frequency": risk.frequency,
            **{f"frequency_{cause}": values for cause, values in risk._asdict().items()},
            **habits._asdict(),
        }
    )
