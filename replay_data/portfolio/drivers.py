"""What an insurer's application form knows of a driver, calibrated to published SBV statistics."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from replay_data.portfolio.streams import Floats, Streams, normal_pair, weibull

Ints = npt.NDArray[np.int64]

KM_PER_MILE: Final = 1.609344

# Territories from open country (density 0) to the inner city (density 1), and their shares of the book.
TERRITORIES: Final = ("T01", "T02", "T03", "T04", "T05", "T06", "T07", "T08", "T09", "T10")
TERRITORY_SHARES: Final = np.array([0.06, 0.08, 0.10, 0.10, 0.12, 0.14, 0.14, 0.11, 0.09, 0.06])
TERRITORY_DENSITY: Final = np.linspace(0.0, 1.0, len(TERRITORIES))

# What people write when asked for their yearly distance: they think a little lower and round up to one of these, km.
DECLARED_KM: Final = np.array(
    [2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 65_000, 90_000]
)


class Drivers(NamedTuple):
    """Observable facts of drivers at the rating date, arrays of shape (n_drivers,).

    `annual_km` is what they really drive in a year: no insurer knows it, `annual_km_declared` is what it is told.
    """

    age: Ints  # years
    male: npt.NDArray[np.bool_]
    car_age: Ints  # years
    territory: Ints  # index into TERRITORIES
    annual_km: Floats
    annual_km_declared: Ints


def draw_drivers(streams: Streams, first: int, count: int) -> Drivers:
    """Draw drivers `first` to `first + count` of a book."""
    u = streams.uniforms("drivers", first, count, 10)
    z_age, z_km = normal_pair(u[:, 0], u[:, 1])
    z_told, _ = normal_pair(u[:, 2], u[:, 3])
    age = np.clip(16 + np.abs(np.rint(51.0 + 17.2 * z_age) - 16), 16, 103).astype(np.int64)
    male = u[:, 4] < 0.54
    car_age = np.clip(np.floor(weibull(u[:, 5], mean=6.15, shape=1.45)), 0, 20).astype(np.int64)
    territory = np.searchsorted(np.cumsum(TERRITORY_SHARES)[:-1], u[:, 6])
    retired = np.clip((age - 62) / 10, 0, 2)
    log_km = np.log(12_900) - 0.16 * retired - 0.20 * (TERRITORY_DENSITY[territory] - 0.5) + 0.06 * (male - 0.54)
    annual_km = np.exp(log_km + 0.50 * z_km)
    told = annual_km * np.exp(-0.10 + 0.22 * z_told)
    declared = DECLARED_KM[np.minimum(np.searchsorted(DECLARED_KM, told), len(DECLARED_KM) - 1)]
    return Drivers(age, male, car_age, territory, annual_km, declared)
