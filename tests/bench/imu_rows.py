"""Motion rows with every column, 10 a second, straight from recorded cars: what an IMU costs on the wire.

A cell is the mean of the sensor's samples in its 100 ms, axes as the sensor lay: rougher than what the agent's fusion
sends, so the sizes are an upper bound. Nothing is smoothed, and what no data set tells (engine, limit) is on and null.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from device.contract.motion import COLUMNS
from tests.bench.drives import SHARED

PERIOD_MS = 100
G = 9.80665
DEG = 180 / np.pi

Samples = npt.NDArray[np.float64]
Columns = dict[str, list[int | None]]


class Sensors(NamedTuple):
    """Times in s, speed in km/h, acceleration without gravity in m/s2, shape (n, 3), yaw rate in deg/s."""

    speed_t: Samples
    speed_kmh: Samples
    imu_t: Samples
    accel_mps2: Samples
    yaw_dps: Samples


def full_rows() -> Iterator[tuple[str, Columns]]:
    """Name and motion columns of each data set that is there."""
    for name, path, read in (
        ("comma2k19", SHARED / "comma2k19" / "processed_log", _comma2k19),
        ("BMW CAN and phone", SHARED / "bmw-can-phone", _bmw),
        ("IKHYD phone", SHARED / "ikhyd" / "trip2_with_obd.csv", _ikhyd),
    ):
        if path.exists():
            yield name, on_grid(read(path))


def on_grid(sensors: Sensors) -> Columns:
    """Cells of 100 ms for the time in which both speed and IMU are there."""
    first = max(sensors.speed_t[0], sensors.imu_t[0])
    count = int((min(sensors.speed_t[-1], sensors.imu_t[-1]) - first) * 1_000 / PERIOD_MS)
    middles = first + (np.arange(count) + 0.5) * PERIOD_MS / 1_000
    cell = ((sensors.imu_t - first) * 1_000 // PERIOD_MS).astype(np.int64)
    inside = (cell >= 0) & (cell < count)
    number = np.bincount(cell[inside], minlength=count)

    def mean(values: Samples) -> list[int | None]:
        sums = np.bincount(cell[inside], values[inside], minlength=count)
        return [round(total / n) if n else None for total, n in zip(sums, number, strict=True)]

    peaks = np.zeros(count)
    np.maximum.at(peaks, cell[inside], np.linalg.norm(sensors.accel_mps2, axis=1)[inside])
    speed = np.interp(middles, sensors.speed_t, sensors.speed_kmh)
    columns: Columns = {
        "speed_dkmh": [round(value) for value in 10 * speed],
        "accel_lon_cmps2": mean(100 * sensors.accel_mps2[:, 0]),
        "accel_lat_cmps2": mean(100 * sensors.accel_mps2[:, 1]),
        "yaw_rate_ddps": mean(10 * sensors.yaw_dps),
        "accel_peak_cmps2": [round(100 * peak) if n else None for peak, n in zip(peaks, number, strict=True)],
        "engine": [1] * count,
        "limit_kmh": [None] * count,
        "quality": [0] * count,
    }
    return {name: columns[name] for name in COLUMNS}


def _comma2k19(folder: Path) -> Sensors:
    def load(name: str) -> tuple[Samples, Samples]:
        return np.load(folder / name / "t"), np.load(folder / name / "value")

    speed_t, speed_mps = load("CAN/speed")
    imu_t, accel = load("IMU/accelerometer")
    gyro_t, gyro = load("IMU/gyro")
    yaw = np.interp(imu_t, gyro_t, np.linalg.norm(gyro, axis=1) * np.sign(gyro[:, 0]))
    return Sensors(speed_t, 3.6 * speed_mps.ravel(), imu_t, _level(accel), DEG * yaw)


def _bmw(folder: Path) -> Sensors:
    car = _table(folder / "dataset1_car.csv")
    phone = _table(folder / "dataset1_phone.csv")
    accel = G * np.array([[float(row[f"motionUserAcceleration{axis}(G)"]) for axis in "YXZ"] for row in phone])
    return Sensors(
        np.array([_clock(row["Time"]) for row in car]),
        1.609344 * np.array([float(row["Speed (MPH)"]) for row in car]),
        np.array([_clock(row["loggingTime(txt)"]) for row in phone]),
        accel,
        DEG * np.array([float(row["motionRotationRateX(rad/s)"]) for row in phone]),
    )


def _ikhyd(file: Path) -> Sensors:
    rows = _table(file)
    t = np.array([datetime.strptime(f"{row['Timestamp']}+0000", "%d-%b-%Y %H:%M:%S.%f%z").timestamp() for row in rows])
    accel = G * np.array([[float(row[f"accelUser{axis}(g)"]) for axis in "XYZ"] for row in rows])
    speed = 3.6 * np.array([max(0.0, float(row["Speed(m/s)"])) for row in rows])
    return Sensors(t, speed, t, accel, DEG * np.array([float(row["gyroZ(rad/s)"]) for row in rows]))


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _clock(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _level(accel: Samples) -> Samples:
    """Horizontal axes first, gravity (the largest median) last and taken off."""
    median = np.median(accel, axis=0)
    order = np.argsort(np.abs(median))
    return (accel - median)[:, order]
