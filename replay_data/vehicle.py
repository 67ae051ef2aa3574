"""A driver with habits in a car on a route: the true motion, and what the car's control unit says about it.

    drive(route, driver, car, rng) -> samples at 20 Hz -> ecu_readings(samples, car)

Longitudinal: the intelligent driver model (Treiber, Hennecke, Helbing 2000) for free road and the car in front, seen
after the reaction time; constant deceleration towards stops, bends and lower limits, begun when it needs the driver's
usual strength (`replay_data.driver`); pedals as a first-order lag. Lateral: speed squared over the radius of the bend.
Everything here is simulated.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from replay_data.driver import STEP_MS, STEP_S, Ahead, Driver, Leader
from replay_data.scenes import Route, Stop

GRIP_MPS2: Final = 8.5  # a dry road
BRAKE_LAG_S: Final = 0.2
DRIVE_LAG_S: Final = 0.4
COAST_MPS2: Final = -1.2  # gas off: the most that easing off to one's desired speed takes
# Two slow noises, a share of the desired speed (3 %) and an unsteady foot (0.08 m/s2): time constant, step of 50 ms.
MOOD_S: Final = 20.0
MOOD_STEP: Final = 0.002
PEDAL_S: Final = 1.5
PEDAL_STEP_MPS2: Final = 0.02
PARKED_S: Final = 8.0  # standing at the end, the engine off for the last PARKED_OFF_S of it
PARKED_OFF_S: Final = 2.0


class Car(NamedTuple):
    """A car. `fuel` is petrol, diesel or electric; the overall gear ratios turn wheel speed into engine speed."""

    name: str
    fuel: str
    power_wpkg: float
    ratios: tuple[float, ...] = ()
    idle_rpm: float = 0.0
    start_stop: bool = False
    odometer: bool = False  # PID A6, cars from about 2019 on


class Sample(NamedTuple):
    """The truth at one instant."""

    t_ms: int
    distance_m: float
    speed_mps: float
    accel_mps2: float
    lateral_mps2: float
    heading_rad: float
    rpm: float | None  # None: no engine
    limit_kmh: int


def drive(route: Route, driver: Driver, car: Car, rng: random.Random) -> list[Sample]:
    """Drive the route from standstill to standstill, the engine on a while before and off at the end."""
    ahead = Ahead(route, driver)
    leader = Leader(rng, driver)
    engine = Engine(car, driver.shift_up_rpm, rng)
    samples: list[Sample] = []
    distance_m = speed = accel = heading = mood = pedal = 0.0
    rest_s = rng.uniform(5, 15)  # standing before the start
    parked_s = 0.0
    while parked_s < PARKED_S:
        mood += -mood * STEP_S / MOOD_S + rng.gauss(0, MOOD_STEP)
        pedal += -pedal * STEP_S / PEDAL_S + rng.gauss(0, PEDAL_STEP_MPS2)
        limit_kmh, curve = ahead.here(distance_m)
        desired = limit_kmh / 3.6 * driver.speed_factor * (1 + mood)
        if curve is not None:
            desired = min(desired, math.sqrt(driver.lateral_mps2 * abs(curve.radius_m)))
        stop = ahead.stop(distance_m, speed)
        leader.step(ahead.traffic(distance_m), distance_m, speed, limit_kmh / 3.6, stop_ahead=stop is not None)

        wanted = max(driver.accel_mps2 * (1 - (speed / desired) ** 4), COAST_MPS2)
        wanted = min(wanted + pedal, car.power_wpkg / max(speed, 3.0))
        wanted = min(wanted, ahead.slow_down(distance_m, speed), leader.follow(speed, desired))
        if stop is not None:
            wanted = min(wanted, _stopping(stop, distance_m, speed))
        if rest_s > 0:
            rest_s, wanted = rest_s - STEP_S, min(wanted, -1.0)
        wanted = max(wanted, -GRIP_MPS2)

        accel += (wanted - accel) * STEP_S / (BRAKE_LAG_S if wanted < accel else DRIVE_LAG_S)
        moved = max(0.0, speed + accel * STEP_S)
        accel = (moved - speed) / STEP_S if moved == 0.0 else accel
        distance_m += (speed + moved) / 2 * STEP_S
        speed = moved
        if stop is not None and speed == 0.0 and rest_s <= 0 and stop.at_m - distance_m < 6.0:
            ahead.passed(stop)
            rest_s = stop.wait_s
        curvature = 1 / curve.radius_m if curve else 0.0
        heading += speed * curvature * STEP_S
        parked = distance_m > route.length_m - 8.0 and speed == 0.0
        parked_s = parked_s + STEP_S if parked else 0.0
        rpm = engine.step(speed, on=parked_s < PARKED_S - PARKED_OFF_S)
        samples.append(
            Sample(len(samples) * STEP_MS, distance_m, speed, accel, speed**2 * curvature, heading, rpm, limit_kmh)
        )
    return samples


def _stopping(stop: Stop, distance_m: float, speed: float) -> float:
    left_m = stop.at_m - 1.0 - distance_m
    if left_m < 0.3:
        return -GRIP_MPS2 if speed > 2 else -1.5
    return -(speed**2) / (2 * left_m) if speed > 0.5 else -0.4


class Engine:
    """Gear and engine speed, step by step."""

    WHEEL_M: Final = 1.95  # circumference
    STOP_AFTER_S: Final = 1.5  # start-stop

    def __init__(self, car: Car, shift_up_rpm: float, rng: random.Random) -> None:
        self._car = car
        self._rng = rng
        self._shift_up_rpm = shift_up_rpm * (0.72 if car.fuel == "diesel" else 1.0)
        self._gear = 0
        self._standing_s = 0.0
        self._moved = False

    def step(self, speed: float, *, on: bool) -> float | None:
        """RPM at a speed, 0 while it is off or rests at a light; None where there is no engine."""
        if not self._car.ratios:
            return None
        self._standing_s = 0.0 if speed > 0 else self._standing_s + STEP_S
        self._moved = self._moved or speed > 0
        stopped = self._car.start_stop and self._moved and self._standing_s > self.STOP_AFTER_S
        if not on or stopped:
            return 0.0
        ratios = self._car.ratios
        wheel_rpm = speed / self.WHEEL_M * 60
        while self._gear + 1 < len(ratios) and wheel_rpm * ratios[self._gear] > self._shift_up_rpm:
            self._gear += 1
        while self._gear and wheel_rpm * ratios[self._gear] < 0.45 * self._shift_up_rpm:
            self._gear -= 1
        rpm = max(self._car.idle_rpm, wheel_rpm * ratios[self._gear])
        return rpm + self._rng.gauss(0, 6)


def hard_brakings(samples: list[Sample], threshold_mps2: float = 3.0) -> list[int]:
    """Times of the true hard brakings, in ms.

    A hard braking begins where the speed lost over one second passes `threshold_mps2` from at least 10 km/h, and is
    over once it is below two thirds of it for a second. This is the simulator's truth; no event rule is involved.
    """
    return [samples[index].t_ms for index in _onsets(samples, threshold_mps2)]


def _onsets(samples: list[Sample], threshold_mps2: float) -> Iterator[int]:
    window = round(1 / STEP_S)
    quiet = window
    for index in range(window, len(samples)):
        lost = samples[index - window].speed_mps - samples[index].speed_mps
        if lost < threshold_mps2 * 2 / 3:
            quiet += 1
        elif lost >= threshold_mps2 and quiet >= window:
            if samples[index - window].speed_mps >= 10 / 3.6:
                yield index - window
            quiet = 0
        elif quiet < window:
            quiet = 0
