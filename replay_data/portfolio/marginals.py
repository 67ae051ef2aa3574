"""Does the simulated book look like the published one? A table of marginals side by side, from book and motion.

Counts are taken from the motion with plain NumPy, by a definition of their own: nothing of the feature core is used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from replay_data.portfolio.book import Book
from replay_data.portfolio.drivers import KM_PER_MILE, Ints
from replay_data.portfolio.streams import Floats
from replay_data.portfolio.terms import DAYS_PER_YEAR
from replay_data.portfolio.trips import DAY_MS, UTC_OFFSET_MIN

MPS2_PER_MPH_S: Final = KM_PER_MILE / 3.6
THRESHOLDS_MPH_S: Final = (6, 8, 9, 11, 12, 14)
TURN_THRESHOLDS_MPH_S: Final = (8, 10)
_SWING_CMPS2: Final = 150  # a swing is a run of rows beyond this; its peak is what is counted

_STATISTICS: Final[dict[str, Callable[[Floats], float]]] = {
    "mean": lambda x: float(np.mean(x)),
    "median": lambda x: float(np.median(x)),
    "lower quartile": lambda x: float(np.quantile(x, 0.25)),
    "upper quartile": lambda x: float(np.quantile(x, 0.75)),
    "ratio": lambda x: float(x[0]),
}


def compare(book: Book, chunks: Iterable[tuple[pl.DataFrame, pl.DataFrame]]) -> pl.DataFrame:
    """Compare a book and motion of it with the published statistics.

    Parameters
    ----------
    book : Book
    chunks : iterable of (heads, motion)
        From `motion_chunks`. Counts per 1,000 miles need about that distance of each driver.

    Returns
    -------
    DataFrame
        name, statistic, published, simulated, tolerance (absolute, null where not judged), within, source.
    """
    values = book_values(book) | motion_values(chunks)
    rows = []
    for target in load_targets():
        simulated = _STATISTICS[target.statistic](values[target.name])
        within = None if target.tolerance is None else abs(simulated - target.published) <= target.tolerance
        rows.append({**target._asdict(), "simulated": simulated, "within": within})
    columns = ("name", "statistic", "published", "simulated", "tolerance", "within", "source")
    return pl.DataFrame(rows, schema_overrides={"tolerance": pl.Float64, "within": pl.Boolean}).select(columns)


class Target(NamedTuple):
    """A published statistic; `tolerance` is absolute, None where the figure is shown and not judged."""

    name: str
    statistic: str
    published: float
    tolerance: float | None
    source: str


def load_targets() -> tuple[Target, ...]:
    """Read the published statistics that ship with this package."""
    text = (resources.files("replay_data.portfolio") / "sbv_marginals.toml").read_text(encoding="utf-8")
    return tuple(_target(row) for row in tomllib.loads(text)["target"])


def _target(row: dict[str, Any]) -> Target:
    tolerance = row.get("tolerance")
    if tolerance is not None and not row.get("absolute", False):
        tolerance *= abs(row["published"])
    return Target(row["name"], row["statistic"], row["published"], tolerance, row["source"])


def book_values(book: Book) -> dict[str, Floats]:
    """Values by statistic that policies, claims and truth give."""
    per_policy = book.claims.group_by("policy_id").agg(pl.len().alias("claims"), pl.col("amount").sum())
    policies = book.policies.join(per_policy, on="policy_id", how="left").with_columns(
        pl.col("claims", "amount").fill_null(0)
    )
    days = (policies["end"] - policies["start"]).dt.total_days().to_numpy()
    frequency, km = book.truth["true_frequency"].to_numpy(), book.habits.annual_km
    car_age = book.drivers["car_age"].to_numpy()
    newest, oldest = np.quantile(car_age, (0.2, 0.8))
    return {
        "claims_per_policy": policies["claims"].to_numpy(),
        "claim_amount_per_policy": policies["amount"].to_numpy(),
        "term_years": days / DAYS_PER_YEAR,
        "driver_age": book.drivers["driver_age"].to_numpy(),
        "car_age": car_age,
        "declared_miles": book.drivers["annual_km_declared"].to_numpy() / KM_PER_MILE,
        "frequency_at_2.5_times_the_distance": np.array([2.5 ** distance_elasticity(frequency, km)]),
        "frequency_oldest_to_newest_fifth_of_cars": np.array(
            [frequency[car_age > oldest].mean() / frequency[car_age <= newest].mean()]
        ),
    }


def distance_elasticity(frequency: Floats, km: Floats) -> float:
    """Slope of log frequency on log kilometres in a Poisson regression without other factors."""
    x = np.log(km) - np.log(km).mean()
    design = np.stack((np.ones_like(x), x), axis=1)
    beta = np.array([np.log(frequency.mean()), 0.0])
    for _ in range(25):
        mu = np.exp(design @ beta)
        beta += np.linalg.solve((design.T * mu) @ design, design.T @ (frequency - mu))
    return float(beta[1])


def motion_values(chunks: Iterable[tuple[pl.DataFrame, pl.DataFrame]]) -> dict[str, Floats]:
    """Values by statistic that the motion gives, one per driver: shares of kilometres, counts per 1,000 miles."""
    parts = [_chunk_values(heads, motion) for heads, motion in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunk_values(heads: pl.DataFrame, motion: pl.DataFrame) -> dict[str, Floats]:
    n_drivers = heads["device_id"].n_unique()
    driver = heads["device_id"].rank("dense").to_numpy().astype(np.int64) - 1
    starts = np.flatnonzero(np.diff(motion["t_ms"].to_numpy(), prepend=1) < 0)
    weight = heads["represents"].to_numpy().astype(np.float64)
    speed = motion["speed_dkmh"].fill_null(0).to_numpy().astype(np.float64)
    km = weight * np.add.reduceat(speed, starts) * 0.5 / 36_000

    def per_driver(values: Floats) -> Floats:
        return np.bincount(driver, weights=values, minlength=n_drivers).astype(np.float64)

    local_min = heads["start_ms"].to_numpy() // 60_000 + UTC_OFFSET_MIN
    weekday = (local_min // (DAY_MS // 60_000) + 3) % 7
    hour = local_min // 60 % 24
    kinds = {
        "monday_share": weekday == 0,
        "friday_share": weekday == 4,
        "sunday_share": weekday == 6,
        "weekend_share": weekday >= 5,
        "rush_am_share": (weekday < 5) & (hour >= 7) & (hour < 9),
        "rush_pm_share": (weekday < 5) & (hour >= 16) & (hour < 18),
    }
    values = {name: per_driver(km * chosen) / per_driver(km) for name, chosen in kinds.items()}
    per_1000_miles = 1000 * KM_PER_MILE / per_driver(km)
    trip_of_row = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, motion.height)))
    swings = (
        ("brake", "accel_lon_cmps2", -1, THRESHOLDS_MPH_S),
        ("accel", "accel_lon_cmps2", 1, THRESHOLDS_MPH_S),
        ("left_turn", "accel_lat_cmps2", 1, TURN_THRESHOLDS_MPH_S),
        ("right_turn", "accel_lat_cmps2", -1, TURN_THRESHOLDS_MPH_S),
    )
    for name, column, sign, thresholds in swings:
        trip, peak = _peaks(sign * motion[column].fill_null(0).to_numpy().astype(np.int64), trip_of_row)
        for threshold in thresholds:
            over = trip[peak >= 100 * MPS2_PER_MPH_S * threshold]
            count = np.bincount(over, minlength=len(starts)) * weight
            values[f"{name}_over_{threshold:02d}_mph_per_s"] = per_driver(count) * per_1000_miles
    return values


def _peaks(signal: Ints, trip_of_row: Ints) -> tuple[Ints, Ints]:
    """Trip and peak of every swing."""
    row = np.flatnonzero(signal >= _SWING_CMPS2)
    if not row.size:
        return row, row
    begins = np.flatnonzero((np.diff(row, prepend=-2) > 1) | (np.diff(trip_of_row[row], prepend=-1) != 0))
    return trip_of_row[row[begins]], np.maximum.reduceat(signal[row], begins)
