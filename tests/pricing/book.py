"""A small hand-made book as files would bring it: driver periods, policies and claims, with known risk."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import ACCEL_BINS, ACCEL_ZERO_BIN, HISTOGRAM_FIELDS, LEVELS
from features.contract.catalogue import load_catalogue
from features.contract.periods import DRIVER_PERIODS
from pricing.arrays import Ints
from pricing.exposure import DAYS_PER_YEAR
from pricing.model import RiskModel
from pricing.plan import load_plan
from pricing.train import train

YEAR = 2024  # of the driving; claims are of the year after
RATING_DATE = date(YEAR + 1, 1, 1)
MONTHS = (date(YEAR, 3, 1), date(YEAR, 9, 1))
NIGHT_HOUR, DAY_HOUR = 2, 12


class SmallBook:
    """`n` drivers of one policy each; braking and night driving raise the risk.

    Attributes
    ----------
    periods, policies, claims : polars.DataFrame
    true_frequency : numpy.ndarray, shape (n,)
    """

    def __init__(self, n: int, seed: int = 1, frequency: float = 0.3) -> None:
        rng = np.random.default_rng(seed)
        self.drivers = [f"d{i:05d}" for i in range(n)]
        self.km = rng.gamma(4.0, 2_500.0, n)
        self.braking = rng.normal(size=n)
        self.night = 1 / (1 + np.exp(-rng.normal(-2.5, 0.8, n)))
        tariff = frequency * np.exp(rng.normal(0, 0.2, n))
        self.true_frequency = tariff * np.exp(0.4 * self.braking + 3.0 * (self.night - 0.09))
        brakes = rng.poisson(2.0 * np.exp(0.6 * self.braking) * self.km / 100 / len(MONTHS), (len(MONTHS), n))
        self.periods = pl.concat([self._month(month, brakes[k]) for k, month in enumerate(MONTHS)]).sort(
            "driver_id", "month"
        )
        self.policies = pl.DataFrame(
            {
                "policy_id": [f"p{i:05d}" for i in range(n)],
                "driver_id": self.drivers,
                "start": [RATING_DATE - timedelta(days=int(d)) for d in rng.integers(0, 365, n)],
                "end": [RATING_DATE + timedelta(days=int(d)) for d in rng.integers(200, 800, n)],
                "tariff_frequency": tariff,
            }
        ).with_columns(
            tariff_premium=pl.col("tariff_frequency") * 3_000 * (pl.col("end") - pl.col("start")).dt.total_days() / 365
        )
        count = rng.poisson(self.true_frequency)
        driver = np.repeat(np.arange(n), count)
        day = rng.integers(0, DAYS_PER_YEAR, len(driver))
        self.claims = pl.DataFrame(
            {
                "policy_id": [f"p{i:05d}" for i in driver],
                "occurred_on": [RATING_DATE + timedelta(days=int(d)) for d in day],
                "cover": ["liability"] * len(driver),
                "amount": np.round(rng.gamma(1.0, 3_000.0, len(driver)), 2),
            }
        )

    def _month(self, month: date, brakes: Ints) -> pl.DataFrame:
        n = len(self.drivers)
        mm = np.rint(self.km * 1e6 / len(MONTHS)).astype(np.int64)
        night = np.rint(mm * self.night).astype(np.int64)
        hours = mm / 40e6  # at 40 km/h
        moving = np.rint(hours * 3_600_000).astype(np.int64)
        start = int(datetime(month.year, month.month, 2, tzinfo=UTC).timestamp() * 1000)
        severe = brakes // 5
        kind = KIND_NUMBERS["harsh_braking"] * LEVELS
        zero = 4 * ACCEL_BINS + ACCEL_ZERO_BIN
        columns: dict[str, Any] = dict.fromkeys(DRIVER_PERIODS, [0] * n) | dict.fromkeys(HISTOGRAM_FIELDS, [[]] * n)
        columns |= {
            "policy_id": [None] * n,
            "driver_id": self.drivers,
            "month": [month] * n,
            "first_start_ms": [start] * n,
            "last_end_ms": [start + 20 * 86_400_000] * n,
            "trips": np.maximum(mm // 12_000_000, 1),
            "distance_mm": mm,
            "accel_mm": mm,
            "lateral_mm": mm,
            "moving_ms": moving,
            "observed_ms": moving,
            "duration_ms": moving,
            "samples": moving // 500,
            "max_speed_dkmh": [1_200] * n,
            "distance_by_speed_mm": [entries({4: v}) for v in mm.tolist()],
            "distance_by_hour_mm": [
                entries({NIGHT_HOUR: a, DAY_HOUR: b - a}) for a, b in zip(night.tolist(), mm.tolist(), strict=True)
            ],
            "va_ms": [entries({zero: v}) for v in moving.tolist()],
            "event_counts": [
                entries({kind + 1: a - b, kind + 2: b}) for a, b in zip(brakes.tolist(), severe.tolist(), strict=True)
            ],
        }
        return pl.DataFrame(columns, schema=DRIVER_PERIODS)


class Trained(NamedTuple):
    """A small book, and the model trained on it."""

    book: SmallBook
    model: RiskModel


@cache
def trained(n: int = 3_000) -> Trained:
    """Train once for all tests of a run; nobody may change what it gives."""
    book = SmallBook(n)
    policies = book.policies.sort("policy_id")
    return Trained(book, train(policies, book.claims, book.periods, load_catalogue(), load_plan(), (RATING_DATE,)))


def entries(histogram: dict[int, int]) -> list[dict[str, int]]:
    """Histogram as the tables hold it: keys rise, no zeros."""
    return [{"key": key, "value": value} for key, value in sorted(histogram.items()) if value]
