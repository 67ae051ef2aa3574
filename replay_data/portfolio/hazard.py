"""True claim frequency: what a year of these habits on these roads costs in expected claims.

    frequency = reported x (braking + cornering + night + struck + parked)

`braking` and `cornering` are conflicts whose demand exceeds the grip of the tyres, times the share that nobody averts.
`night` is fatigue per night kilometre. `struck` is being hit: it grows with town traffic and not with how one drives.
`parked` needs no kilometre. Nothing here reads motion, events or features.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from replay_data.portfolio.conflict import (
    CONFLICTS_PER_KM,
    GRIP_MPS2,
    LATE_SPREAD,
    TURN_SPREAD,
    TURNS_PER_CONFLICT,
    log_late_demand,
    log_turn_demand,
    road_shares,
)
from replay_data.portfolio.drivers import TERRITORY_DENSITY, Drivers
from replay_data.portfolio.habits import Habits
from replay_data.portfolio.streams import Floats, normal_sf

# Levels, set so that a term has the published 0.0449 claims and distance its published effect (docs/simulation.md).
UNAVERTED: Final = 0.0158  # share of demands over the grip that end in a claim
UNAVERTED_TURN: Final = 0.0013  # most that leave the lane come to no harm
NIGHT_PER_KM: Final = 8.0e-6  # claims from fatigue
STRUCK_PER_KM: Final = np.array([0.7e-6, 0.4e-6, 0.15e-6])  # urban, rural, motorway
PARKED_PER_YEAR: Final = 0.0092  # in a territory of middle density
REPORTED_PER_CAR_YEAR: Final = -0.060  # log: older cars carry fewer covers and smaller losses go unreported
_MEAN_CAR_AGE: Final = 5.6  # years


class Hazard(NamedTuple):
    """Expected claims per policy year by cause, arrays of shape (n_drivers,)."""

    braking: Floats
    cornering: Floats
    night: Floats
    struck: Floats
    parked: Floats

    @property
    def frequency(self) -> Floats:
        """Expected claims per policy year."""
        return self.braking + self.cornering + self.night + self.struck + self.parked


def hazard(habits: Habits, drivers: Drivers) -> Hazard:
    """True expected claims per policy year. Of `drivers` only the car's age and the territory act on their own."""
    km = habits.annual_km[:, None] * road_shares(habits)
    conflicts = km * CONFLICTS_PER_KM
    late = conflicts * habits.inattention[:, None] * _exceeds(log_late_demand(habits), LATE_SPREAD)
    turns = conflicts * TURNS_PER_CONFLICT * _exceeds(log_turn_demand(habits), TURN_SPREAD)
    reported = np.exp(REPORTED_PER_CAR_YEAR * (drivers.car_age - _MEAN_CAR_AGE))
    density = TERRITORY_DENSITY[drivers.territory]
    return Hazard(
        braking=reported * UNAVERTED * late.sum(axis=1),
        cornering=reported * UNAVERTED_TURN * turns.sum(axis=1),
        night=reported * NIGHT_PER_KM * habits.annual_km * habits.night_share,
        struck=reported * (km * STRUCK_PER_KM).sum(axis=1),
        parked=reported * PARKED_PER_YEAR * (0.5 + density),
    )


def _exceeds(log_median: Floats, spread: float) -> Floats:
    """Probability that a lognormal demand exceeds the grip."""
    return normal_sf((np.log(GRIP_MPS2) - log_median) / spread)
