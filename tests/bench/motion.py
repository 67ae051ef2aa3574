"""How true motion is: acceleration from whole km/h, the mounting of an IMU, and what both make together.

References: the accelerometer on the CAN of a BMW (342 s) and the IMU of one minute of comma2k19, as 1 s means on a
10 Hz grid; errors are root mean squares in g. An accelerometer feels the road's slope, which speed does not see: on the
BMW drive that alone is 0.03 g, and even a second accelerometer in the same car is 0.033 g away from the first.
"""

from __future__ import annotations

import math
import random
import sys
from statistics import median

import numpy as np

from device.contract.motion import IMU_PERIOD_MS, MotionSample
from device.contract.signals import Reading
from device.imu_track import AXES, STANDARD_GRAVITY_MPS2
from device.motion import MotionBuilder
from device.mounting import Mounting
from device.pipeline import Pipeline
from replay_data.generate import FOLDER, truth
from replay_data.plan import TRIPS
from replay_data.player import read_recording
from replay_data.vehicle import hard_brakings
from tests.bench.imu_drives import (
    Drive,
    Floats,
    bmw,
    bmw_road_slope,
    comma2k19,
    imu_readings,
    merged,
    speed_readings,
)
from tests.bench.measure import spread, used
from tests.bench.row import Row

PHASES_S = (0.0, 0.05, 0.1, 0.15)
GOAL_G, BEAT_G = 0.038, 0.036
MOUNTING_GOAL_DEG = 4.3
MOUNTINGS = 20  # unknown mountings tried
COST_S = 600


def run() -> list[Row]:
    """Measure what is there."""
    rows: list[Row] = []
    for name, drive in (("BMW", bmw()), ("comma2k19", comma2k19())):
        if drive is None:
            sys.stderr.write(f"motion: the {name} drive is not there; see UBI_SHARED_DATA\n")
            continue
        rows += _from_speed(name, drive)
        if drive.lat is not None:
            rows += _mounting(name, drive) + _fused(name, drive) + _road(name, drive)
    return [*rows, *_simulated(), *_cost()]


def _from_speed(name: str, drive: Drive) -> list[Row]:
    rows = []
    for rate_hz in (10.0, 5.0, 2.0, 1.0):
        tried = [speed_readings(drive, rate_hz, phase_s) for phase_s in PHASES_S]
        found = [_rms_g(_column(samples(readings), "accel_lon_cmps2", drive.t_s) - drive.lon) for readings in tried]
        naive = [_rms_g(_difference(readings, drive.t_s, 1 / rate_hz) - drive.lon) for readings in tried]
        judged = rate_hz == 5.0 and name == "BMW"
        goal, met = (f"under {GOAL_G} g", median(found) < GOAL_G) if judged else (None, None)
        about = f"{name}: acceleration from speed at {rate_hz:.0f} Hz, against naive differences"
        rows.append(Row(about, median(found), "g", spread(found), median(naive), goal, met))
        if judged:
            centred = [_rms_g(_difference(readings, drive.t_s, 2.0) - drive.lon) for readings in tried]
            about = "... against differences over 2 s"
            met = median(found) < BEAT_G
            rows.append(Row(about, median(found), "g", spread(found), median(centred), f"beat {BEAT_G} g", met))
    bus = [Reading(round(t * 1_000), "", float(v)) for t, v in zip(drive.speed_t_s, drive.speed_kmh, strict=True)]
    for over_s in (1.0, 2.0):
        error = _rms_g(_difference(bus, drive.t_s, over_s) - drive.lon)
        rows.append(Row(f"{name}: the bus's own speed, all digits, differences over {over_s:.0f} s", error, "g"))
    return rows


def _mounting(name: str, drive: Drive) -> list[Row]:
    true, errors, told = reference_forward(drive), [], []
    speed = speed_readings(drive, 5.0)
    for turn in _rotations(MOUNTINGS):
        found = learnt(merged(speed, imu_readings(drive, turn))).fit
        if found is not None:
            errors.append(_angle_deg(turn.T @ np.array(found.forward), true))
            told.append(found.error_deg)
    goal = f"under {MOUNTING_GOAL_DEG} degrees"
    about = f"{name}: forward axis, {len(errors)} of {MOUNTINGS} random mountings calibrated"
    worst = max(errors)
    return [
        Row(about, median(errors), "degrees", spread(errors), MOUNTING_GOAL_DEG, goal, worst < MOUNTING_GOAL_DEG),
        Row("... the standard error that it tells itself", median(told), "degrees"),
    ]


def _fused(name: str, drive: Drive) -> list[Row]:
    readings = merged(speed_readings(drive, 5.0), imu_readings(drive))
    mounting = learnt(readings)
    if mounting.fit is None or drive.lat is None:
        return []
    fused = samples(readings, mounting)
    lon, lat = (_smooth(_column(fused, column, drive.t_s)) for column in ("accel_lon_cmps2", "accel_lat_cmps2"))
    force = (drive.imu[:, :3] - np.array(mounting.fit.gravity)) @ np.array(mounting.fit.forward)
    alone = _smooth(np.interp(drive.t_s, drive.imu_t_s, force))
    correlation = float(np.corrcoef(lat, drive.lat)[0, 1])
    return [
        Row(f"{name}: acceleration from speed and IMU, 1 s mean", _rms_g(lon - drive.lon), "g"),
        Row(f"{name}: the second accelerometer alone, 1 s mean", _rms_g(alone - drive.lon), "g"),
        Row(f"{name}: lateral acceleration from the IMU, 1 s mean", _rms_g(lat - drive.lat), "g"),
        Row("... its correlation", correlation, "1", None, 0.886),
    ]


def _road(name: str, drive: Drive) -> list[Row]:
    """What the accelerometer feels beside the change of speed: is it the slope of the road?"""
    bus = [Reading(round(t * 1_000), "", float(v)) for t, v in zip(drive.speed_t_s, drive.speed_kmh, strict=True)]
    beside = (drive.lon - _difference(bus, drive.t_s, 2.0)) / STANDARD_GRAVITY_MPS2
    slope = bmw_road_slope(drive.t_s, drive)
    known = np.isfinite(slope)
    known[:60] = known[-60:] = False
    smooth = np.convolve(beside, np.ones(31) / 31, mode="same")
    correlation = float(np.corrcoef(slope[known], smooth[known])[0, 1])
    factor = float(np.polyfit(slope[known], beside[known], 1)[0])
    about = f"{name}: reference less change of speed, against the slope of the road"
    return [Row(f"{about}: correlation", correlation, "1"), Row("... factor, 1 is gravity", factor, "1", None, 1.0)]


def _simulated() -> list[Row]:
    """Own trips with an adapter: acceleration as 1 s mean and peaks of hard brakings, against differences over 2 s."""
    errors: dict[str, list[float]] = {"ours": [], "over 2 s": []}
    kept: dict[str, list[float]] = {"ours": [], "over 2 s": []}
    for trip in (trip for trip in TRIPS if not trip.rate):
        true = truth(trip)
        times, speeds = np.array([(sample.t_ms / 1_000, sample.speed_mps) for sample in true]).T
        grid = np.arange(5.0, times[-1] - 5.0, 0.5)
        means = np.interp(grid + 0.5, times, speeds) - np.interp(grid - 0.5, times, speeds)
        read = [r for r in read_recording(FOLDER / f"{trip.name}.ubirec").readings if r.signal == "speed_kmh"]
        read = [reading for reading in read if reading.value is not None]
        if not read:
            continue
        found = {"ours": _column(samples(read), "accel_lon_cmps2", grid), "over 2 s": _difference(read, grid, 2.0)}
        for name, values in found.items():
            errors[name].append(float(np.mean((values - means) ** 2)))
            for braking_ms in hard_brakings(true):
                around = np.abs(grid - braking_ms / 1_000) <= 4.0
                kept[name].append(float(values[around].min() / means[around].min()))
    rms = {name: math.sqrt(sum(values) / len(values)) / STANDARD_GRAVITY_MPS2 for name, values in errors.items()}
    least = {name: float(np.percentile(values, 10)) for name, values in kept.items()}
    return [
        Row(
            "simulated: acceleration from speed, against differences over 2 s", rms["ours"], "g", None, rms["over 2 s"]
        ),
        Row("simulated: part of its peak that nine in ten brakings keep", least["ours"], "1", None, least["over 2 s"]),
    ]


def _cost() -> list[Row]:
    """CPU of motion, trips and events for an hour of an IMU at 100 Hz, a calibrated one from the second pass on."""
    readings = _drive_at_100_hz(COST_S)
    rows, mounting = [], None
    for about in ("calibrating, 2 Hz", "calibrated, 10 Hz"):
        pipeline = Pipeline(lambda mono_ms: (mono_ms, None), mounting=mounting)

        def play(pipeline: Pipeline = pipeline) -> None:
            for reading in readings:
                pipeline.push(reading)

        _, took = used(play)
        mounting = pipeline.mounting
        rows.append(
            Row(f"CPU of an hour, IMU at 100 Hz, {about}", took.cpu_s * 3_600 / COST_S, "s", None, None, "15 s")
        )
    return [row._replace(met=row.value < 15) for row in rows]


def samples(readings: list[Reading], mounting: Mounting | None = None) -> list[MotionSample]:
    """Motion at 10 Hz, whatever feeds it."""
    builder, found = MotionBuilder(mounting=mounting), []
    builder.period_ms = IMU_PERIOD_MS
    for reading in readings:
        while builder.is_due(reading.t_ms):
            cell = builder.next_cell(reading.t_ms)
            found += [cell.sample] if cell else []
        builder.add(reading)
    return found + [cell.sample for cell in iter(builder.last_cell, None)]


def learnt(readings: list[Reading]) -> Mounting:
    """Mounting after a drive in which nothing was known of it."""
    pipeline = Pipeline(lambda mono_ms: (mono_ms, None))
    for reading in readings:
        pipeline.push(reading)
    return pipeline.mounting


def reference_forward(drive: Drive) -> Floats:
    """Forward in the IMU's axes: the direction in which its acceleration follows the CAN's longitudinal one."""
    assert drive.lat is not None
    force = np.column_stack([np.interp(drive.t_s, drive.imu_t_s, drive.imu[:, axis]) for axis in range(3)])
    smooth = np.column_stack([_smooth(force[:, axis]) for axis in range(3)])
    known = np.column_stack([drive.lon, drive.lat, np.ones(len(drive.t_s))])
    forward = np.linalg.lstsq(known, smooth, rcond=None)[0][0]
    return np.asarray(forward / np.linalg.norm(forward))


def _column(found: list[MotionSample], name: str, t_s: Floats) -> Floats:
    known = [(sample.t_ms / 1_000, value / 100) for sample in found if (value := getattr(sample, name)) is not None]
    times, values = np.array(known).T
    return np.asarray(np.interp(t_s, times, values))


def _difference(readings: list[Reading], t_s: Floats, over_s: float) -> Floats:
    times = [reading.t_ms / 1_000 for reading in readings]
    speeds = [(reading.value or 0.0) / 3.6 for reading in readings]
    return np.asarray(
        (np.interp(t_s + over_s / 2, times, speeds) - np.interp(t_s - over_s / 2, times, speeds)) / over_s
    )


def _smooth(values: Floats) -> Floats:
    """Mean over 1 s on the 10 Hz grid."""
    padded = np.pad(values, 5, mode="edge")
    return np.convolve(padded, np.array([0.5, *[1.0] * 9, 0.5]) / 10, mode="valid")


def _rms_g(error: Floats) -> float:
    inner = error[20:-20]  # the first and last 2 s have no full window
    return float(np.sqrt(np.mean(inner * inner))) / STANDARD_GRAVITY_MPS2


def _angle_deg(a: Floats, b: Floats) -> float:
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b)))


def _rotations(count: int) -> list[Floats]:
    """Random rotations, the same every time; the first is none."""
    generator = np.random.default_rng(7)
    found = [np.eye(3)]
    while len(found) < count:
        q, r = np.linalg.qr(generator.normal(size=(3, 3)))
        q = q * np.sign(np.diag(r))
        found.append(q if np.linalg.det(q) > 0 else -q)
    return found


def _drive_at_100_hz(seconds: int) -> list[Reading]:
    """Made-up driving with bends, with noise, as six axes at 100 Hz and a speed at 10 Hz."""
    noise, readings = random.Random(1), []
    for step in range(seconds * 100):
        t_ms, t_s = step * 10, step / 100
        accel, yaw_dps = 1.5 * math.sin(t_s / 7), 4 * math.sin(t_s / 11)
        speed_mps = 14 + 10.5 * (1 - math.cos(t_s / 7))
        means = (accel, speed_mps * math.radians(yaw_dps), STANDARD_GRAVITY_MPS2, 0.0, 0.0, yaw_dps)
        values = [mean + noise.gauss(0, 0.3) for mean in means]
        readings += [Reading(t_ms, name, value) for name, value in zip(AXES, values, strict=True)]
        if step % 10 == 0:
            readings.append(Reading(t_ms, "speed_kmh", float(round(speed_mps * 3.6))))
    return readings
