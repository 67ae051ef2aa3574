"""From habits to what the car really did: each trip is a row of manoeuvres, each manoeuvre a few knots in time.

A manoeuvre speeds up, cruises, meets a conflict and brakes for it with the deceleration it demands (`conflict`), and
ends in a stop, a turn or at a lower speed. Between knots speed and lateral acceleration are straight lines.
Arrays have shape (n_drivers, n_trips, n_manoeuvres) unless said otherwise.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from replay_data.portfolio.conflict import (
    CALM_SPREAD,
    CONFLICTS_PER_KM,
    GRIP_MPS2,
    LATE_SPREAD,
    LIMIT_KMH,
    STOPS_PER_CONFLICT,
    TURN_SPREAD,
    TURNS_PER_CONFLICT,
    log_calm_demand,
    log_late_demand,
    log_turn_demand,
    road_shares,
)
from replay_data.portfolio.drivers import Ints
from replay_data.portfolio.habits import Habits
from replay_data.portfolio.streams import Floats, Streams, normal_pair
from replay_data.portfolio.trips import RUSH

KNOTS: Final = 6  # of a manoeuvre: up to speed, mid cruise, end of cruise, braked, mid of the hold, end of it
# Knot times are whole multiples of this: sums of them are exact, so where a trip stands in a chunk changes nothing.
TICK_S: Final = 2.0**-10

LIMIT_KNOWN: Final = 0.6  # share of road with a speed limit on the map
_CONGESTED: Final = np.array([[0.35, 0.15, 0.10], [0.55, 0.30, 0.40]])  # share of manoeuvres; second row: rush hours
_SLOWEST_MPS: Final = 3.0
_ACCEL_MPS2: Final = np.array([1.41, 1.05, 0.80])  # median of speeding up
_ACCEL_SPREAD: Final = 0.29
_HARSHNESS_POWER: Final = 0.8
_TURN_RADIUS_M: Final = np.array([[9.0, 22.0, 60.0], [22.0, 60.0, 120.0]])  # from, to
_BEND_MPS2: Final = np.array([0.2, 0.8, 0.5])  # at most, in bends taken at cruising speed
_LONGEST_STOP_S: Final = 60.0


class Manoeuvres(NamedTuple):
    """Knots of trips; K = n_manoeuvres * KNOTS + 1, the first knot is the car at rest at time 0."""

    t_s: Floats  # shape (n_drivers, n_trips, K)
    speed_mps: Floats  # shape (n_drivers, n_trips, K)
    lateral_mps2: Floats  # shape (n_drivers, n_trips, K), positive to the left
    limit_kmh: npt.NDArray[np.int16]  # 0 = not known
    distance_m: Floats  # shape (n_drivers, n_trips)


class _Luck(NamedTuple):
    """Uniform draws of a manoeuvre."""

    brake: Floats  # with `accel` and `turn` with `cruise`: two pairs that become normals
    accel: Floats
    turn: Floats
    cruise: Floats
    traffic: Floats
    flow: Floats
    late: Floats
    ending: Floats
    extent: Floats  # radius of a turn, duration of slowing down
    hold: Floats
    length: Floats
    side: Floats
    bend: Floats
    drift: Floats
    limit: Floats


def draw_manoeuvres(streams: Streams, first: int, habits: Habits, kind: Ints, manoeuvres_per_trip: int) -> Manoeuvres:
    """Drive the trips of drivers `first` and following.

    Parameters
    ----------
    habits : Habits
        Of these drivers.
    kind : ndarray, shape (n_drivers, n_trips)
        Kind of hours of each trip, as in `TripPlan`.
    manoeuvres_per_trip : int
    """
    count, trips = kind.shape
    shape = (count, trips, manoeuvres_per_trip)
    u = streams.uniforms("manoeuvres", first, count, trips * (1 + manoeuvres_per_trip * len(_Luck._fields)))
    u = u.reshape(count, trips, -1)
    luck = _Luck(*np.moveaxis(u[:, :, 1:].reshape(*shape, len(_Luck._fields)), -1, 0))
    road = _roads(u[:, :, 0], habits, manoeuvres_per_trip)

    cruise, accel, brake, lateral = _style(luck, road, habits, np.isin(kind, RUSH)[:, :, None])
    end, hold_s, curve = _endings(luck, road, cruise, brake, lateral)
    start = np.concatenate((np.zeros((count, trips, 1)), end[:, :, :-1]), axis=2)
    rise_s = np.abs(cruise - start) / accel
    brake_s = (cruise - end) / brake
    length_m = 1000.0 / CONFLICTS_PER_KM[road] * (0.4 + 1.2 * luck.length)
    busy_m = (start + cruise) / 2 * rise_s + (cruise + end) / 2 * brake_s + end * hold_s
    cruise_s = np.maximum((length_m - busy_m) / cruise, 1.5)

    zero = np.zeros(shape)
    side = np.where(luck.side < 0.5, -1.0, 1.0)
    bend = _BEND_MPS2[road] * np.exp(habits.cornering)[:, None, None] * luck.bend
    rest = zero[:, :, :1]
    durations = (rise_s, cruise_s / 2, cruise_s / 2, brake_s, hold_s / 2, hold_s / 2)
    t_s = np.cumsum(_knots(rest, *(np.rint(duration / TICK_S) * TICK_S for duration in durations)), axis=2)
    speed = _knots(rest, cruise, cruise * (1.02 - 0.04 * luck.drift), cruise, end, end, end)
    return Manoeuvres(
        t_s=t_s,
        speed_mps=speed,
        lateral_mps2=_knots(rest, zero, side * bend, zero, zero, side * curve, zero),
        limit_kmh=np.where(luck.limit < LIMIT_KNOWN, LIMIT_KMH[road], 0).astype(np.int16),
        distance_m=(np.diff(t_s, axis=2) * (speed[:, :, 1:] + speed[:, :, :-1]) / 2).sum(axis=2),
    )


def _roads(phase: Floats, habits: Habits, manoeuvres_per_trip: int) -> Ints:
    """Road of each manoeuvre: towns at both ends of a trip, the motorway in the middle, in the driver's mix.

    The mix is one of kilometres and is drawn by manoeuvres, of which a town kilometre has the most. One random phase
    for the whole trip (shape (n_drivers, n_trips)) keeps the mix of few trips near the driver's.
    """
    weight = road_shares(habits) * CONFLICTS_PER_KM
    share = weight / weight.sum(axis=1, keepdims=True)
    from_middle = np.abs(2 * (np.arange(manoeuvres_per_trip) + phase[:, :, None]) / manoeuvres_per_trip - 1)
    motorway, rural = share[:, 2, None, None], share[:, 1, None, None]
    return np.where(from_middle < motorway, 2, np.where(from_middle < motorway + rural, 1, 0))


def _style(
    luck: _Luck, road: Ints, habits: Habits, rush: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Cruising speed (m/s) and the demands of speeding up, braking and turning (m/s2): habits meet the road."""
    z_brake, z_accel = normal_pair(luck.brake, luck.accel)
    z_turn, z_cruise = normal_pair(luck.turn, luck.cruise)

    def of_road(log_median: Floats) -> Floats:
        return np.take_along_axis(log_median[:, None, :], road, axis=2)

    congested = luck.traffic < np.where(rush, _CONGESTED[1][road], _CONGESTED[0][road])
    flow = np.where(congested, 0.40 + 0.45 * luck.flow, 0.95 + 0.10 * luck.flow)
    wish = 1 + habits.speeding[:, None, None] + 0.05 * z_cruise
    cruise = np.maximum(LIMIT_KMH[road] / 3.6 * flow * wish, _SLOWEST_MPS)
    harsh = _HARSHNESS_POWER * habits.harshness[:, None, None]
    accel = _ACCEL_MPS2[road] * np.exp(harsh + _ACCEL_SPREAD * z_accel)
    calm = of_road(log_calm_demand(habits)) + CALM_SPREAD * z_brake
    late = of_road(log_late_demand(habits)) + LATE_SPREAD * z_brake
    demand = np.exp(np.where(luck.late < habits.inattention[:, None, None], late, calm))
    lateral = np.exp(of_road(log_turn_demand(habits)) + TURN_SPREAD * z_turn)
    # Beyond the grip only the grip is seen. That some of these were crashes is the matter of `hazard`.
    return cruise, accel, np.clip(demand, 0.3, GRIP_MPS2), np.minimum(lateral, GRIP_MPS2)


def _endings(luck: _Luck, road: Ints, cruise: Floats, brake: Floats, lateral: Floats) -> tuple[Floats, Floats, Floats]:
    """Speed at the end of each manoeuvre (m/s), how long it is held (s) and the lateral acceleration there (m/s2)."""
    stops = luck.ending < STOPS_PER_CONFLICT[road]
    stops[:, :, -1] = True
    turns = ~stops & (luck.ending < (STOPS_PER_CONFLICT + TURNS_PER_CONFLICT)[road])
    narrow, wide = _TURN_RADIUS_M[:, road]
    radius = narrow + luck.extent * (wide - narrow)
    turn_speed = np.minimum(np.sqrt(lateral * radius), 0.8 * cruise)
    # Two to four seconds of braking: shorter ones would not show their strength in a slope over 2 s.
    slow_speed = np.maximum(cruise - brake * (2.0 + 2.0 * luck.extent), 0.0)
    slow_speed[:, :, :-1] = np.minimum(slow_speed[:, :, :-1], LIMIT_KMH[road[:, :, 1:]] / 3.6)  # of the next road
    end = np.where(stops, 0.0, np.where(turns, turn_speed, slow_speed))
    wait_s = np.minimum(2.0 - 10.0 * np.log(luck.hold), _LONGEST_STOP_S)
    quarter_s = np.pi / 2 * radius / turn_speed
    hold_s = np.where(stops, wait_s, np.where(turns, quarter_s, 1.0 + 3.0 * luck.hold))
    return end, hold_s, np.where(turns, turn_speed**2 / radius, 0.0)


def _knots(rest: Floats, *values: Floats) -> Floats:
    """Interleave the values of each manoeuvre's knots to shape (n_drivers, n_trips, K), the car at rest first."""
    inner = np.stack(values, axis=3).reshape(*rest.shape[:2], -1)
    return np.concatenate((rest, inner), axis=2)
