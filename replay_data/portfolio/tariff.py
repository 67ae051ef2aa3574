"""The insurer's tariff: a Poisson GLM on what the application form says, fitted to claims of another simulated book.

It is as imperfect as a real one: bands, no interactions, a finite experience, and no telematics.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from replay_data.portfolio.drivers import TERRITORIES, Drivers, Ints
from replay_data.portfolio.streams import Floats

AGE_EDGES: Final = (20, 25, 30, 40, 50, 60, 70, 80)
CAR_AGE_EDGES: Final = (2, 4, 6, 9, 13)
KM_EDGES: Final = (7_000, 9_000, 11_000, 14_000, 18_000, 23_000, 28_000)
LEVELS: Final = (len(AGE_EDGES) + 1, len(CAR_AGE_EDGES) + 1, len(TERRITORIES), len(KM_EDGES) + 1)

_FIRST_LEVELS: Final = np.cumsum((0, *LEVELS[:-1]))
_PRIOR_CLAIMS: Final = 3.0  # ridge: thin bands lean to the mean, as an actuary smooths them
_STEPS: Final = 30


class Tariff(NamedTuple):
    """Log relativities of the bands of age, car age, territory and declared distance, one after the other."""

    log_base: float
    log_relativities: Floats  # shape (sum(LEVELS),)

    def frequency(self, drivers: Drivers) -> Floats:
        """Expected claims per policy year, shape (n_drivers,), to 1e-8 so that no BLAS shows in it."""
        score = self.log_base + self.log_relativities[bands(drivers) + _FIRST_LEVELS].sum(axis=1)
        frequency: Floats = np.round(np.exp(score), 8)
        return frequency


def fit_tariff(drivers: Drivers, years: Floats, claims: Ints) -> Tariff:
    """Fit the tariff by iteratively reweighted least squares.

    Parameters
    ----------
    drivers : Drivers
    years : ndarray, shape (n_drivers,)
        Earned exposure.
    claims : ndarray, shape (n_drivers,)
        Claims in it.
    """
    # Totals by cell of the tariff are all that a Poisson GLM needs.
    cell_of = np.ravel_multi_index(tuple(bands(drivers).T), LEVELS)
    cells, cell = np.unique(cell_of, return_inverse=True)
    exposure, count = np.bincount(cell, weights=years), np.bincount(cell, weights=claims)
    levels = np.stack(np.unravel_index(cells, LEVELS), axis=1) + _FIRST_LEVELS
    design = np.zeros((len(cells), 1 + sum(LEVELS)))
    design[:, 0] = 1.0
    np.put_along_axis(design, 1 + levels, 1.0, axis=1)
    ridge = np.full(design.shape[1], _PRIOR_CLAIMS)
    ridge[0] = 0.0
    beta = np.zeros(design.shape[1])
    beta[0] = np.log(claims.sum() / years.sum())
    for _ in range(_STEPS):
        mu = exposure * np.exp(design @ beta)
        gradient = design.T @ (count - mu) - ridge * beta
        step = np.linalg.solve((design.T * mu) @ design + np.diag(ridge), gradient)
        beta += step
        if np.abs(step).max() < 1e-10:
            break
    return Tariff(float(beta[0]), beta[1:])


def bands(drivers: Drivers) -> Ints:
    """Levels of the four factors, shape (n_drivers, 4)."""
    return np.stack(
        (
            np.digitize(drivers.age, AGE_EDGES),
            np.digitize(drivers.car_age, CAR_AGE_EDGES),
            drivers.territory,
            np.digitize(drivers.annual_km_declared, KM_EDGES),
        ),
        axis=1,
    )
