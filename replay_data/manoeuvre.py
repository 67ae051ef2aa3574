"""Manoeuvres of a scene as true motion: each adds samples of 50 ms to a drive that stands, runs and turns as told.

Speeds change by a constant strength with the pedal's rise and fall (`PEDAL_MPS3`); bends begin and end over a second,
as a steering wheel does. The motion is the one asked for: no driver and no traffic is simulated.
"""

from __future__ import annotations

import math
import random
from typing import Final

from replay_data.driver import STEP_MS, STEP_S
from replay_data.vehicle import GRIP_MPS2, Car, Engine, Sample

PEDAL_MPS3: Final = {"accelerate": 4.0, "brake": 6.0, "emergency_stop": 14.0}
STEER_S: Final = 1.0
ASLEEP_AFTER_S: Final = 4.0  # engine off: the control unit no longer answers
SHIFT_UP_RPM: Final = 2_600


class ImpossibleError(Exception):
    """A manoeuvre that no car can make from where it is; the text says why and what to change."""


class Motion:
    """The true motion so far.

    Attributes
    ----------
    samples : list of Sample
    asleep : list of (int, int)
        From, to, ms: the control unit does not answer.
    driven_m : float
        Without what it was towed.
    """

    def __init__(self, car: Car, rng: random.Random) -> None:
        self.samples: list[Sample] = []
        self.asleep: list[tuple[int, int]] = []
        self.driven_m = 0.0
        self._engine = Engine(car, SHIFT_UP_RPM, rng)
        self._on = True
        self._towed = False
        self._limit_kmh = 0
        self._speed = self._heading = 0.0

    @property
    def speed_mps(self) -> float:
        """Speed now."""
        return self._speed

    @property
    def now_ms(self) -> int:
        """Time of the next sample."""
        return len(self.samples) * STEP_MS

    def limit(self, kmh: int) -> None:
        """From here on a limit of a map; 0 = none is known."""
        self._limit_kmh = kmh

    def change(self, to_mps: float, strength_mps2: float, pedal_mps3: float) -> None:
        """Change speed with a strength."""
        change = abs(to_mps - self._speed)
        if not change:
            return
        start, sign = self._speed, math.copysign(1.0, to_mps - self._speed)
        peak = min(strength_mps2, math.sqrt(change * pedal_mps3))
        rise_s = peak / pedal_mps3
        total_s = change / peak + rise_s
        steps = math.ceil(total_s / STEP_S)
        for step in range(1, steps):
            t_s = step * STEP_S
            if t_s < rise_s:
                done = pedal_mps3 * t_s**2 / 2
            elif t_s < total_s - rise_s:
                done = peak * (t_s - rise_s / 2)
            else:
                done = change - pedal_mps3 * (total_s - t_s) ** 2 / 2
            self._step(start + sign * done)
        self._step(to_mps)

    def hold(self, seconds: float) -> None:
        """Keep the speed."""
        for _ in range(round(seconds / STEP_S)):
            self._step(self._speed)

    def bend(self, radius_m: float, angle_deg: float, side: int) -> None:
        """Turn by an angle on a radius at the speed of now; `side` is 1 to the left, -1 to the right.

        Raises
        ------
        ImpossibleError
            The car stands, or no tyre holds it.
        """
        speed = self._speed
        if speed < 1.0:
            raise ImpossibleError("the car stands: put an accelerate step before it")
        if speed**2 / radius_m > GRIP_MPS2:
            most_kmh = math.floor(math.sqrt(GRIP_MPS2 * radius_m) * 3.6)
            raise ImpossibleError(
                f"{speed * 3.6:.0f} km/h on a radius of {radius_m:g} m needs {speed**2 / radius_m:.1f} m/s2 and tyres "
                f"hold {GRIP_MPS2}: brake to {most_kmh} km/h before it, or widen radius_m"
            )
        angle = math.radians(angle_deg)
        total_s = max(angle * radius_m / speed + STEER_S, 2 * STEER_S)
        curvature = angle / speed / (total_s - STEER_S)
        for step in range(1, round(total_s / STEP_S) + 1):
            t_s = step * STEP_S
            part = min(1.0, t_s / STEER_S, max(0.0, total_s - t_s) / STEER_S)
            self._step(speed, side * curvature * part)

    def stand(self, seconds: float, *, engine: bool) -> None:
        """Stand with the engine on or off; with it off the control unit falls asleep."""
        begun_ms = self.now_ms
        self._on = engine
        self.hold(seconds)
        if not engine and seconds > ASLEEP_AFTER_S:
            self.asleep.append((begun_ms + round(ASLEEP_AFTER_S * 1_000), self.now_ms))
        self._on = True

    def tow(self, seconds: float, speed_mps: float) -> None:
        """Be loaded with the ignition off, moved, and set down."""
        self.stand(2 * ASLEEP_AFTER_S, engine=False)
        begun_ms = self.now_ms
        self._on, self._towed = False, True
        self.change(speed_mps, 0.8, 1.0)
        self.hold(seconds)
        self.change(0.0, 0.8, 1.0)
        self._towed = False
        self.asleep.append((begun_ms, self.now_ms))
        self.stand(2 * ASLEEP_AFTER_S, engine=False)

    def _step(self, speed: float, curvature: float = 0.0) -> None:
        accel = (speed - self._speed) / STEP_S
        moved_m = (self._speed + speed) / 2 * STEP_S
        self.driven_m += 0.0 if self._towed else moved_m  # on the truck no wheel turns, and no limit is this car's
        self._heading += moved_m * curvature
        self._speed = speed
        rpm = self._engine.step(0.0 if self._towed else speed, on=self._on)
        limit_kmh = 0 if self._towed else self._limit_kmh
        self.samples.append(
            Sample(self.now_ms, self.driven_m, speed, accel, speed**2 * curvature, self._heading, rpm, limit_kmh)
        )
