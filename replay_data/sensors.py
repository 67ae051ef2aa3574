"""What the sensors of a simulated car deliver: control unit values for the ELM327 responder, GNSS, IMU, map limits."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from device.contract.signals import Reading
from replay_data.driver import STEP_MS
from replay_data.vehicle import Car, Sample

WARM_C: Final = 90.0
WARM_UP_S: Final = 240.0
METRES_PER_DEGREE: Final = 111_320.0
GNSS_NOISE_M: Final = 2.5
G_MPS2: Final = 9.80665
# Noise of a cheap IMU: its own, and what road and engine shake the box with.
ACCEL_NOISE_MPS2: Final = 0.03
SHAKE_MPS2: Final = 0.25
GYRO_NOISE_DPS: Final = 0.1
GYRO_BIAS_DPS: Final = 0.4  # at most, of each axis


Vector = tuple[float, float, float]


class Mounting(NamedTuple):
    """Axes of the car in those of the box, each of length 1: right-handed, up = forward x left."""

    forward: Vector
    left: Vector
    up: Vector


def mounted(heading_deg: float, pitch_deg: float) -> Mounting:
    """Mounting of a box turned about the vertical, then tilted nose-up."""
    heading, pitch = math.radians(heading_deg), math.radians(pitch_deg)
    ahead = (math.cos(heading), -math.sin(heading))
    return Mounting(
        forward=(ahead[0] * math.cos(pitch), ahead[1] * math.cos(pitch), math.sin(pitch)),
        left=(math.sin(heading), math.cos(heading), 0.0),
        up=(-ahead[0] * math.sin(pitch), -ahead[1] * math.sin(pitch), math.cos(pitch)),
    )


class Before(NamedTuple):
    """What the car's counters said at the start of the trip."""

    odometer_km: float
    since_clear_km: float
    coolant_c: float
    ambient_c: float
    fuel_pct: float


def ecu_readings(samples: list[Sample], car: Car, before: Before) -> Iterator[Reading]:
    """Yield what the control unit knows, as it renews it: speed and RPM every 50 ms, the rest every 200 ms or 1 s."""
    for sample in samples:
        on = sample.rpm is None or sample.rpm > 0
        t_ms = sample.t_ms
        yield Reading(t_ms, "speed_kmh", sample.speed_mps * 3.6)
        if sample.rpm is not None:
            yield Reading(t_ms, "rpm", sample.rpm)
        if t_ms % (4 * STEP_MS) == 0:
            pull = max(0.0, sample.accel_mps2 + 0.004 * sample.speed_mps + 0.1)
            pedal = min(100.0, pull * sample.speed_mps / car.power_wpkg * 100 + pull * 12)
            if car.fuel == "electric":
                yield Reading(t_ms, "pedal_d_pct", pedal)
            else:
                yield Reading(t_ms, "throttle_pct", min(100.0, 12 + pedal))
                yield Reading(t_ms, "engine_load_pct", min(100.0, 20 + pedal) if on else 0.0)
        if t_ms % 1_000 == 0:
            yield from _slow(sample, car, before, on=on)


def _slow(sample: Sample, car: Car, before: Before, *, on: bool) -> Iterator[Reading]:
    t_ms, driven_km = sample.t_ms, sample.distance_m / 1_000
    yield Reading(t_ms, "ambient_c", before.ambient_c)
    yield Reading(t_ms, "module_voltage_v", 14.2 if on else 12.4)
    yield Reading(t_ms, "distance_since_clear_km", math.floor(before.since_clear_km + driven_km))
    if car.odometer:
        yield Reading(t_ms, "odometer_km", before.odometer_km + driven_km)
    if car.fuel != "electric":
        heat = 1 - math.exp(-t_ms / 1_000 / WARM_UP_S)
        yield Reading(t_ms, "coolant_c", before.coolant_c + (WARM_C - before.coolant_c) * heat)
        yield Reading(t_ms, "run_time_s", t_ms // 1_000)
        yield Reading(t_ms, "fuel_pct", max(0.0, before.fuel_pct - driven_km * 0.13))


def limit_readings(samples: list[Sample]) -> Iterator[Reading]:
    """Yield the limit a map would tell, once a second."""
    for sample in samples:
        if sample.t_ms % 1_000 == 0:
            yield Reading(sample.t_ms, "limit_kmh", sample.limit_kmh)


def gnss_readings(samples: list[Sample], origin: tuple[float, float], rng: random.Random) -> Iterator[Reading]:
    """Yield position, speed and course once a second, with slow position noise; no course while standing.

    Parameters
    ----------
    samples : list of Sample
    origin : tuple of float
        Latitude and longitude of the start, degrees.
    rng : random.Random
    """
    north_m = east_m = error_north_m = error_east_m = 0.0
    for sample in samples:
        step_m = sample.speed_mps * STEP_MS / 1_000
        north_m += step_m * math.cos(sample.heading_rad)
        east_m -= step_m * math.sin(sample.heading_rad)  # a left turn raises the heading and lowers the course
        if sample.t_ms % 1_000:
            continue
        error_north_m = 0.95 * error_north_m + rng.gauss(0, 0.3 * GNSS_NOISE_M)
        error_east_m = 0.95 * error_east_m + rng.gauss(0, 0.3 * GNSS_NOISE_M)
        latitude = origin[0] + (north_m + error_north_m) / METRES_PER_DEGREE
        longitude = origin[1] + (east_m + error_east_m) / METRES_PER_DEGREE / math.cos(math.radians(origin[0]))
        yield Reading(sample.t_ms, "latitude_deg", latitude)
        yield Reading(sample.t_ms, "longitude_deg", longitude)
        yield Reading(sample.t_ms, "gnss_speed_kmh", max(0.0, sample.speed_mps * 3.6 + rng.gauss(0, 0.3)))
        if sample.speed_mps > 1.5:
            course = math.degrees(-sample.heading_rad) + rng.gauss(0, 15 / sample.speed_mps)
            yield Reading(sample.t_ms, "gnss_course_deg", course % 360)


def imu_readings(
    samples: list[Sample], mounting: Mounting, rng: random.Random, period_ms: int = 10
) -> Iterator[Reading]:
    """Yield acceleration and angular velocity in the axes of the box, between the samples by straight lines.

    Parameters
    ----------
    samples : list of Sample
    mounting : Mounting
    rng : random.Random
    period_ms : int
        Divides the step of the samples.
    """
    bias_dps = [rng.uniform(-GYRO_BIAS_DPS, GYRO_BIAS_DPS) for _ in range(3)]
    for before, after in pairwise(samples):
        yaw_dps = math.degrees(after.heading_rad - before.heading_rad) * 1_000 / STEP_MS
        for t_ms in range(before.t_ms, after.t_ms, period_ms):
            part = (t_ms - before.t_ms) / STEP_MS
            lon, lat = (
                a + (b - a) * part
                for a, b in ((before.accel_mps2, after.accel_mps2), (before.lateral_mps2, after.lateral_mps2))
            )
            noise = ACCEL_NOISE_MPS2 + (SHAKE_MPS2 if before.speed_mps else 0.0)
            for axis, letter in enumerate("xyz"):
                value = lon * mounting.forward[axis] + lat * mounting.left[axis] + G_MPS2 * mounting.up[axis]
                yield Reading(t_ms, f"accel_{letter}_mps2", value + rng.gauss(0, noise))
            for axis, letter in enumerate("xyz"):
                value = yaw_dps * mounting.up[axis] + bias_dps[axis]
                yield Reading(t_ms, f"gyro_{letter}_dps", value + rng.gauss(0, GYRO_NOISE_DPS))
