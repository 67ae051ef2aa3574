"""Roads to drive on: limits, curves, stops and traffic, laid out leg by leg.

    RouteBuilder(rng).city(3).rural(6).emergency().city(1).finish() -> Route

What a scene does to a driver depends on the driver: the same amber light is a glide for one and a harsh braking for
another (`replay_data.vehicle`).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple


class Limit(NamedTuple):
    """Speed limit from here on."""

    at_m: float
    kmh: int


class Curve(NamedTuple):
    """A bend of constant radius; a left bend has a positive radius."""

    at_m: float
    length_m: float
    radius_m: float


class Stop(NamedTuple):
    """A place to stop at, seen from `sight_m` before it; who would brake too hard for a light drives through."""

    at_m: float
    sight_m: float
    wait_s: float
    must: bool = False  # a person on the road, not a light: braking as hard as the tyres allow


class Traffic(NamedTuple):
    """A stretch with a car in front: flowing, with a sudden braking now and then, or a jam."""

    at_m: float
    length_m: float
    jam: bool
    brakings_per_min: float


@dataclass
class Route:
    """A road from 0 to `length_m`. All lists rise by position."""

    length_m: float = 0.0
    limits: list[Limit] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)


class RouteBuilder:
    """Lays out a route, leg after leg; each leg's details come from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._route = Route()

    def city(self, km: float) -> RouteBuilder:
        """Streets with lights every 150 to 600 m, right-angled corners, 30 zones."""
        end_m = self._leg(km, 50)
        while (block_m := self._rng.uniform(150, 600)) < end_m - self._at_m - 80:
            self._advance(block_m)
            happening = self._rng.random()
            if happening < 0.45:
                self._stop(self._rng.uniform(25, 140), self._rng.uniform(6, 40))
            elif happening < 0.65:
                self._curve(self._rng.uniform(10, 20), self._rng.uniform(9, 16))
            elif happening < 0.75:
                self._limit(30 if self._route.limits[-1].kmh == 50 else 50)
            elif happening < 0.95:
                self._follow(self._rng.uniform(150, 500), brakings_per_min=0.7)
        self._advance(end_m - self._at_m)
        return self

    def rural(self, km: float) -> RouteBuilder:
        """Open road with bends, villages and slower cars."""
        end_m = self._leg(km, 100)
        while (stretch_m := self._rng.uniform(250, 1_000)) < end_m - self._at_m - 700:
            self._advance(stretch_m)
            happening = self._rng.random()
            if happening < 0.5:
                self._curve(self._rng.uniform(60, 250), self._rng.uniform(45, 280))
            elif happening < 0.65:
                self._limit(50)  # a village
                self._advance(self._rng.uniform(400, 700))
                self._limit(100)
            elif happening < 0.75:
                self._limit(70)
                self._stop(self._rng.uniform(90, 220), self._rng.uniform(2, 20))
                self._limit(100)
            else:
                self._follow(self._rng.uniform(600, 2_000), brakings_per_min=0.35)
        self._advance(end_m - self._at_m)
        return self

    def motorway(self, km: float) -> RouteBuilder:
        """A slip road, 120 and 130 with slow bends, traffic, a 100 zone now and then."""
        self._limit(60)
        self._curve(90, 55)
        self._advance(150)
        end_m = self._leg(km, 130)
        while (stretch_m := self._rng.uniform(800, 3_000)) < end_m - self._at_m - 1_500:
            self._advance(stretch_m)
            happening = self._rng.random()
            if happening < 0.3:
                self._curve(self._rng.uniform(300, 700), self._rng.uniform(700, 1_500))
            elif happening < 0.5:
                self._limit(self._rng.choice((100, 120)))
            elif happening < 0.6:
                self._limit(130)
            else:
                self._follow(self._rng.uniform(1_500, 4_000), brakings_per_min=0.45)
        self._advance(end_m - self._at_m)
        self._limit(60)
        self._curve(80, 50)
        self._advance(200)
        return self

    def jam(self, km: float) -> RouteBuilder:
        """Stop and go."""
        self._route.traffic.append(Traffic(self._at_m, km * 1_000, jam=True, brakings_per_min=0.0))
        self._advance(km * 1_000)
        return self

    def emergency(self) -> RouteBuilder:
        """Someone steps onto the road, as far ahead as one second and 6.5 m/s2 take from the limit to a stop."""
        self._advance(200)
        speed = self._route.limits[-1].kmh / 3.6
        sight_m = speed + speed**2 / (2 * 6.5)
        self._route.stops.append(Stop(self._at_m, sight_m, self._rng.uniform(4, 8), must=True))
        self._advance(200)
        return self

    def finish(self) -> Route:
        """Park at the end."""
        self._limit(30)
        self._advance(120)
        self._route.stops.append(Stop(self._at_m, 110, math.inf))
        self._route.length_m = self._at_m
        return self._route

    @property
    def _at_m(self) -> float:
        return self._route.length_m

    def _advance(self, distance_m: float) -> None:
        self._route.length_m += max(0.0, distance_m)

    def _leg(self, km: float, limit_kmh: int) -> float:
        self._limit(limit_kmh)
        return self._at_m + km * 1_000

    def _limit(self, kmh: int) -> None:
        self._route.limits.append(Limit(self._at_m, kmh))

    def _stop(self, sight_m: float, wait_s: float) -> None:
        self._advance(60)
        self._route.stops.append(Stop(self._at_m, sight_m, wait_s))

    def _curve(self, length_m: float, radius_m: float) -> None:
        side = self._rng.choice((1, -1))
        self._route.curves.append(Curve(self._at_m, length_m, side * radius_m))
        self._advance(length_m)

    def _follow(self, length_m: float, brakings_per_min: float) -> None:
        self._route.traffic.append(Traffic(self._at_m, length_m, jam=False, brakings_per_min=brakings_per_min))
        self._advance(length_m)
