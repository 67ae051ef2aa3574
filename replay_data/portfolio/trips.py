"""When the simulated trips of a driver happen, and what each of them stands for.

A driver gets a few trips, one after the other through the months before the rating date and through the six kinds of
hours of a week. A trip stands for `represents` trips of its kind, so that the kilometres of the term and their shares
by hour come out as the driver's habits say, however few trips there are.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from device.contract.errors import UsageError
from replay_data.portfolio.drivers import Ints
from replay_data.portfolio.habits import Habits
from replay_data.portfolio.streams import Floats, Streams

UTC_OFFSET_MIN: Final = -300  # one zone for all, without summer time
NO_LATERAL: Final = 0.15  # share of devices without an IMU: lateral acceleration unknown
NO_ZONE: Final = 0.01  # share of devices that do not know their local time

DAY_MS: Final = 86_400_000
_EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday, Monday is 0

# Published mean shares of distance, Monday to Sunday.
_WEEKDAY: Final = np.array([0.1394, 0.1513, 0.1483, 0.1530, 0.1576, 0.1379, 0.1125])
_WORKING: Final = _WEEKDAY * (np.arange(7) < 5)
_WEEKEND: Final = _WEEKDAY * (np.arange(7) >= 5)


class Hours(NamedTuple):
    """A kind of hours: its days, and the local minutes in which trips start."""

    name: str
    weekdays: Floats
    from_min: int
    to_min: int


HOURS: Final = (
    Hours("rush_am", _WORKING, 7 * 60, 8 * 60 + 45),
    Hours("day", _WORKING, 9 * 60 + 30, 15 * 60 + 30),
    Hours("rush_pm", _WORKING, 16 * 60, 17 * 60 + 45),
    Hours("evening", _WORKING, 18 * 60 + 30, 21 * 60 + 30),
    Hours("weekend", _WEEKEND, 8 * 60, 21 * 60 + 30),
    Hours("night", _WEEKDAY, 22 * 60, 27 * 60 + 30),
)
RUSH: Final = np.array([0, 2])
MIN_TRIPS: Final = len(HOURS)


class TripPlan(NamedTuple):
    """Trips of a chunk of drivers, arrays of shape (n_drivers, n_trips); the last two of shape (n_drivers,)."""

    kind: Ints  # index into HOURS
    km_share: Floats  # of the driver's kilometres in the term
    start_ms: Ints  # UTC
    has_lateral: npt.NDArray[np.bool_]
    knows_zone: npt.NDArray[np.bool_]


def plan_trips(
    streams: Streams, first: int, habits: Habits, days: Ints, rating_date: date, trips_per_driver: int
) -> TripPlan:
    """Spread the trips of drivers over `days` days before the rating date.

    Raises
    ------
    UsageError
        If there are fewer trips than kinds of hours.
    """
    if trips_per_driver < MIN_TRIPS:
        raise UsageError(f"{trips_per_driver} trips a driver cannot cover a week; use at least {MIN_TRIPS}")
    count = len(days)
    u = streams.uniforms("trips", first, count, 3 + 3 * trips_per_driver)
    u_driver, u_trip = u[:, :3], u[:, 3:].reshape(count, trips_per_driver, 3)
    trip = np.arange(trips_per_driver)
    turn = np.minimum(u_driver[:, :1] * len(HOURS), len(HOURS) - 1).astype(np.int64)
    kind = (trip + turn) % len(HOURS)
    first_of_kind = (np.arange(len(HOURS)) - turn) % len(HOURS)
    trips_of_kind = (trips_per_driver - first_of_kind + len(HOURS) - 1) // len(HOURS)
    km_share = np.take_along_axis(_km_shares(habits) / trips_of_kind, kind, axis=1)

    # The first trip falls in the first week, so the days since it tell the exposure; the last one before the end.
    place = (trip + u_trip[:, :, 0] * (trip > 0)) / trips_per_driver
    earliest = (place * (days[:, None] - 8)).astype(np.int64)
    first_day = (rating_date - date(1970, 1, 1)).days - days[:, None]
    weekday = _draw_weekday(u_trip[:, :, 1], kind)
    day = first_day + earliest + (weekday - (first_day + earliest + _EPOCH_WEEKDAY)) % 7
    rounds = -(-trips_per_driver // len(HOURS))
    from_min = np.array([hours.from_min for hours in HOURS])[kind]
    to_min = np.array([hours.to_min for hours in HOURS])[kind]
    minute = from_min + (to_min - from_min) * (trip // len(HOURS) + u_trip[:, :, 2]) / rounds
    start_ms = day * DAY_MS + ((minute - UTC_OFFSET_MIN) * 60_000).astype(np.int64)
    return TripPlan(kind, km_share, start_ms, u_driver[:, 1] >= NO_LATERAL, u_driver[:, 2] >= NO_ZONE)


def _km_shares(habits: Habits) -> Floats:
    """Shares of kilometres by kind of hours, shape (n_drivers, 6), summing to 1."""
    rest = 1 - habits.rush_am_share - habits.rush_pm_share - habits.weekend_share - habits.night_share
    by_kind = {
        "rush_am": habits.rush_am_share,
        "day": 0.65 * rest,
        "rush_pm": habits.rush_pm_share,
        "evening": 0.35 * rest,
        "weekend": habits.weekend_share,
        "night": habits.night_share,
    }
    return np.stack([by_kind[hours.name] for hours in HOURS], axis=1)


def _draw_weekday(u: Floats, kind: Ints) -> Ints:
    weights = np.stack([hours.weekdays for hours in HOURS])
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)[:, :6]
    weekday: Ints = (u[:, :, None] > edges[kind]).sum(axis=2)
    return weekday
