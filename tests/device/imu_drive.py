"""Made-up drives of a box with an IMU: the truth, and the readings a sensor in some mounting makes of it."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from device.axes import Vector, combined, cross, dot, unit
from device.contract.signals import Reading
from device.imu_track import AXES, STANDARD_GRAVITY_MPS2
from device.speed_track import AGE_MS


class Axes(NamedTuple):
    """Axes of the car in those of the sensor."""

    forward: Vector
    left: Vector
    up: Vector


LEVEL = Axes((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def mounted(heading_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> Axes:
    """Box turned about the vertical, then tilted nose-up, then rolled."""
    axes = [LEVEL.forward, LEVEL.left, LEVEL.up]
    for first, second, degrees in ((0, 1, heading_deg), (0, 2, pitch_deg), (1, 2, roll_deg)):
        turn = math.radians(degrees)
        a, b = axes[first], axes[second]
        axes[first] = combined(a, math.cos(turn), b, -math.sin(turn))
        axes[second] = combined(a, math.sin(turn), b, math.cos(turn))
    return Axes(unit(axes[0]), unit(cross(axes[2], axes[0])), unit(axes[2]))


class Instant(NamedTuple):
    """What the car does."""

    speed_mps: float
    lon_mps2: float
    yaw_dps: float

    @property
    def lat_mps2(self) -> float:
        return self.speed_mps * math.radians(self.yaw_dps)


def weaving(t_s: float) -> Instant:
    """Driving that changes speed and bends all the time, between 6 and 20 m/s."""
    return Instant(13 - 7 * math.cos(t_s / 6), 7 / 6 * math.sin(t_s / 6), 8 * math.sin(t_s / 5))


def standing(t_s: float) -> Instant:
    return Instant(0.0, 0.0, 0.0)


def readings(
    seconds: float,
    axes: Axes = LEVEL,
    drive=weaving,
    *,
    start_ms: int = 0,
    imu_hz: int = 20,
    speed_hz: int = 5,
    noise: float = 0.05,
    seed: int = 1,
    gyro_bias: Vector = (0.0, 0.0, 0.0),
    speed_signal: str = "speed_kmh",
) -> list[Reading]:
    """Readings of IMU and speed in time order; the drive's own time begins at 0."""
    chance, found = random.Random(seed), []
    for step in range(round(seconds * imu_hz)):
        t_ms = step * 1_000 // imu_hz
        now = drive(t_ms / 1_000)
        force = combined(axes.forward, now.lon_mps2, axes.left, now.lat_mps2)
        force = combined(force, 1.0, axes.up, STANDARD_GRAVITY_MPS2)
        turn = combined(axes.up, now.yaw_dps, gyro_bias, 1.0)
        values = [value + chance.gauss(0, noise) for value in (*force, *turn)]
        found += [Reading(start_ms + t_ms, name, value) for name, value in zip(AXES, values, strict=True)]
    for step in range(round(seconds * speed_hz)):
        t_ms = step * 1_000 // speed_hz
        speed_kmh = drive(t_ms / 1_000).speed_mps * 3.6
        found.append(Reading(start_ms + t_ms + AGE_MS, speed_signal, float(round(speed_kmh))))
    return sorted(found, key=lambda reading: reading.t_ms)


def off_deg(axes: Axes, found) -> float:
    """Largest angle between true axes and found ones."""
    pairs = ((axes.forward, found.forward), (axes.left, found.left), (axes.up, found.up))
    return max(math.degrees(math.acos(max(-1.0, min(1.0, dot(a, b))))) for a, b in pairs)
