"""The one mechanism behind harsh braking and crashes: something happens ahead and demands a deceleration.

On a kilometre of a given road a driver meets `conflicts_per_km` situations that he brakes for. Each demands a
deceleration D, lognormal; habits move its median. What tyres can do is brought about and can be seen in the motion;
what they cannot do is a crash, if nobody else averts it (`hazard`). Curves work alike with lateral acceleration.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from replay_data.portfolio.habits import Habits
from replay_data.portfolio.streams import Floats

GRIP_MPS2: Final = 7.5  # dry asphalt, ordinary tyres: a full stop reads 7 to 8 m/s2

# Roads: urban, rural, motorway.
ROADS: Final = ("urban", "rural", "motorway")
LIMIT_KMH: Final = np.array([50, 80, 110])
CONFLICTS_PER_KM: Final = np.array([4.0, 1.6, 1.0])

# Braking noticed in time: comfortable stops and slowing for others, m/s2.
CALM_DEMAND_MPS2: Final = np.array([1.25, 1.18, 1.05])
CALM_SPREAD: Final = 0.34  # standard deviation of log D
# Braking noticed late. The published counts over 11 mph/s need such a second, wider class: one lognormal dies out.
LATE_DEMAND_MPS2: Final = np.array([2.9, 3.0, 3.1])
LATE_SPREAD: Final = 0.43

TURN_DEMAND_MPS2: Final = np.array([2.6, 2.3, 1.6])
TURN_SPREAD: Final = 0.30
STOPS_PER_CONFLICT: Final = np.array([0.40, 0.15, 0.0])
TURNS_PER_CONFLICT: Final = np.array([0.35, 0.20, 0.0])  # the rest slow down and go on

_SPEED_POWER: Final = 2.0  # energy
_MARGIN_POWER: Final = -0.30  # below 1: not every conflict comes from the car in front
_MARGIN_MEDIAN_S: Final = 1.1
_CALM_HARSHNESS_POWER: Final = 0.15


def demand_shift(habits: Habits) -> Floats:
    """Log factor by which habits move every braking demand, 0 for a median driver at the limit."""
    log_margin = np.log(habits.margin_s / _MARGIN_MEDIAN_S)
    return _SPEED_POWER * np.log1p(habits.speeding) + _MARGIN_POWER * log_margin


def log_calm_demand(habits: Habits) -> Floats:
    """Log median of D for conflicts noticed in time, shape (n_drivers, 3). A harsh foot shows here only."""
    return _per_road(CALM_DEMAND_MPS2, demand_shift(habits) + _CALM_HARSHNESS_POWER * habits.harshness)


def log_late_demand(habits: Habits) -> Floats:
    """Log median of D for conflicts noticed late, shape (n_drivers, 3)."""
    return _per_road(LATE_DEMAND_MPS2, demand_shift(habits))


def log_turn_demand(habits: Habits) -> Floats:
    """Log median of the lateral acceleration of a turn, shape (n_drivers, 3)."""
    return _per_road(TURN_DEMAND_MPS2, habits.cornering)


def road_shares(habits: Habits) -> Floats:
    """Shares of kilometres on urban, rural and motorway roads, shape (n_drivers, 3)."""
    return np.stack((habits.urban_share, habits.rural_share, habits.motorway_share), axis=1)


def _per_road(median_mps2: Floats, shift: Floats) -> Floats:
    log_demand: Floats = np.log(median_mps2) + shift[:, None]
    return log_demand
