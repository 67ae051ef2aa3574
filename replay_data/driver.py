"""A driver: habits, what is seen of the road ahead, and the car in front."""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Final, NamedTuple

from replay_data.scenes import Curve, Route, Stop, Traffic

STEP_MS: Final = 50
STEP_S: Final = STEP_MS / 1_000
LOOK_AHEAD_M: Final = 450.0
STANDSTILL_GAP_M: Final = 2.5


class Driver(NamedTuple):
    """Habits. `brake_mps2` is where braking begins; `amber_mps2` is the hardest braking made for a light."""

    name: str
    speed_factor: float  # desired speed over the limit
    accel_mps2: float
    brake_mps2: float
    amber_mps2: float
    lateral_mps2: float  # in bends
    headway_s: float
    reaction_s: float
    shift_up_rpm: float


class Ahead:
    """What the road still holds, and from where the driver minds it."""

    def __init__(self, route: Route, driver: Driver) -> None:
        self._route = route
        self._driver = driver
        self._stops = deque(route.stops)
        self._minded: Stop | None = None
        self._slow = sorted(
            [(limit.at_m, limit.kmh / 3.6 * driver.speed_factor) for limit in route.limits]
            + [(c.at_m, math.sqrt(driver.lateral_mps2 * abs(c.radius_m))) for c in route.curves]
        )
        self._braking_for: tuple[float, float] | None = None

    def here(self, distance_m: float) -> tuple[int, Curve | None]:
        """Return limit and bend at a position."""
        limit = next((x.kmh for x in reversed(self._route.limits) if x.at_m <= distance_m), 30)
        curve = next((c for c in self._route.curves if c.at_m <= distance_m < c.at_m + c.length_m), None)
        return limit, curve

    def traffic(self, distance_m: float) -> Traffic | None:
        """Return the stretch of traffic at a position."""
        return next((t for t in self._route.traffic if t.at_m <= distance_m < t.at_m + t.length_m), None)

    def stop(self, distance_m: float, speed: float) -> Stop | None:
        """Return the stop the driver has decided to make."""
        while self._minded is None and self._stops and self._stops[0].at_m - distance_m < self._stops[0].sight_m:
            seen = self._stops.popleft()
            left_m = max(seen.at_m - 1.0 - distance_m - speed * self._driver.reaction_s, 0.1)
            if seen.must or speed**2 / (2 * left_m) <= self._driver.amber_mps2:
                self._minded = seen
        if self._minded is None:
            return None
        # Braking begins after the reaction, or later, when the usual strength is needed.
        left_m = max(self._minded.at_m - 1.0 - distance_m, 0.1)
        seen_m = self._minded.sight_m - (self._minded.at_m - distance_m)
        reacted = seen_m >= speed * self._driver.reaction_s
        needed = speed**2 / (2 * left_m)
        return self._minded if reacted and (needed >= self._driver.brake_mps2 or left_m < 12) else None

    def passed(self, stop: Stop) -> None:
        """The stop has been made."""
        if self._minded is stop:
            self._minded = None

    def slow_down(self, distance_m: float, speed: float) -> float:
        """Return the acceleration for the bends and lower limits ahead; +inf if they ask for none."""
        while self._slow and self._slow[0][0] <= distance_m:
            self._slow.pop(0)
        wanted = math.inf
        for at_m, target in self._slow:
            if at_m - distance_m > LOOK_AHEAD_M:
                break
            if speed <= target:
                continue
            needed = (speed**2 - target**2) / (2 * max(at_m - distance_m, 1.0))
            begun = self._braking_for == (at_m, target)
            if needed >= self._driver.brake_mps2 or (begun and needed > self._driver.brake_mps2 / 2):
                self._braking_for = (at_m, target)
                wanted = min(wanted, -needed)
        return wanted


class Leader:
    """The car in front, seen with the driver's reaction time."""

    def __init__(self, rng: random.Random, driver: Driver) -> None:
        self._rng = rng
        self._driver = driver
        self._zone: Traffic | None = None
        self._at_m = self._speed = self._target = self._strength = 0.0
        self._hold_s = 0.0
        self._seen: deque[tuple[float, float]] = deque(maxlen=max(1, round(driver.reaction_s / STEP_S)))

    def step(
        self, zone: Traffic | None, distance_m: float, speed: float, limit_mps: float, *, stop_ahead: bool
    ) -> None:
        """Move the car in front by one step; it turns off before a stop of our own."""
        if zone is None or stop_ahead:
            self._zone = None
            self._seen.clear()
            return
        if self._zone is not zone:
            self._zone = zone
            self._at_m = distance_m + STANDSTILL_GAP_M + 10 + speed * 1.8
            self._speed = self._target = min(speed, limit_mps)
            self._hold_s = 0.0
        self._hold_s -= STEP_S
        if self._hold_s <= 0:
            self._decide(zone, limit_mps)
        change = max(-self._strength, min(1.4, (self._target - self._speed) / 0.8))
        self._speed = max(0.0, self._speed + change * STEP_S)
        self._at_m = max(self._at_m + self._speed * STEP_S, distance_m + 0.8)
        self._seen.append((self._at_m - distance_m, self._speed))

    def follow(self, speed: float, desired: float) -> float:
        """Return the acceleration of the intelligent driver model; +inf without a car in front."""
        if not self._seen:
            return math.inf
        gap_m, leader_mps = self._seen[0]
        driver = self._driver
        closing = speed * (speed - leader_mps) / (2 * math.sqrt(driver.accel_mps2 * driver.brake_mps2))
        wish_m = STANDSTILL_GAP_M + max(0.0, speed * driver.headway_s + closing)
        return driver.accel_mps2 * (1 - (speed / desired) ** 4 - (wish_m / max(gap_m, 0.5)) ** 2)

    def _decide(self, zone: Traffic, limit_mps: float) -> None:
        rng = self._rng
        self._strength = rng.uniform(1.0, 2.0)
        if zone.jam:
            self._target = rng.choice((0.0, 0.0, rng.uniform(1, 3), rng.uniform(3, 9)))
            self._hold_s = rng.uniform(4, 18)
            return
        self._hold_s = rng.uniform(3, 9)
        self._target = limit_mps * rng.uniform(0.8, 1.02)
        if rng.random() < zone.brakings_per_min * self._hold_s / 60:
            self._target = self._speed * rng.uniform(0.1, 0.6)
            self._strength = rng.uniform(2.5, 7.0)
            self._hold_s = rng.uniform(2, 5)
