"""Real drives with an IMU, as readings of the device and as the reference they are judged by."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.signals import BY_NAME, Reading
from device.imu_track import AXES, STANDARD_GRAVITY_MPS2
from tests.bench.drives import SHARED

Floats = npt.NDArray[np.float64]
STEP_S = 0.1
MPH = 1.609344


class Drive(NamedTuple):
    """A drive with reference accelerations.

    `t_s` is the reference's grid of 10 Hz; `lon`, `lat` (positive to the left) are 1 s means in m/s2, shape (n,).
    `speed_t_s`, `speed_kmh`: speed as the car's bus had it, unrounded. `imu_t_s`, `imu`: raw IMU, m/s2 and deg/s,
    shape (m, 6), specific force, so that a sensor at rest reads 1 g upwards.
    """

    t_s: Floats
    lon: Floats
    lat: Floats | None
    speed_t_s: Floats
    speed_kmh: Floats
    imu_t_s: Floats
    imu: Floats


def bmw() -> Drive | None:
    """BMW M235i, 342 s: CAN at 12 Hz, an iPhone in an unknown mounting at 10 Hz. None where the data are not there."""
    folder = SHARED / "bmw-can-phone"
    if not folder.is_dir():
        return None
    car = pl.read_csv(folder / "dataset1_car.csv")
    phone = pl.read_csv(folder / "dataset1_phone.csv", infer_schema_length=None)
    t_s = (car["Seconds"] - car["Seconds"][0]).to_numpy()
    began = datetime.fromisoformat(car["Time"][0])
    imu_t_s = np.array([(datetime.fromisoformat(at) - began).total_seconds() for at in phone["loggingTime(txt)"]])
    # iOS tells gravity where an accelerometer reads the force against it.
    accel = [-STANDARD_GRAVITY_MPS2 * phone[f"accelerometerAcceleration{axis}(G)"].to_numpy() for axis in "XYZ"]
    gyro = [np.degrees(phone[f"gyroRotation{axis}(rad/s)"].to_numpy()) for axis in "XYZ"]
    grid = np.arange(1.0, t_s[-1] - 1.0, STEP_S)
    return Drive(
        grid,
        _mean_1s(grid, t_s, car["Acceleration Gs"].to_numpy() * STANDARD_GRAVITY_MPS2),
        _mean_1s(grid, t_s, car["Lateral Gs"].to_numpy() * -STANDARD_GRAVITY_MPS2),  # its right is positive
        t_s,
        car["Speed (MPH)"].to_numpy() * MPH,
        imu_t_s,
        np.column_stack(accel + gyro),
    )


def bmw_road_slope(grid: Floats, drive: Drive) -> Floats:
    """Slope of the road by the phone's altitude, smoothed over 15 s; NaN below 5 m/s. Shape (len(grid),)."""
    folder = SHARED / "bmw-can-phone"
    altitude = pl.read_csv(folder / "dataset1_phone.csv", infer_schema_length=None)["locationAltitude(m)"].to_numpy()
    renewed = np.concatenate([[True], np.diff(altitude) != 0])
    height = np.interp(grid, drive.imu_t_s[renewed], altitude[renewed])
    ones = np.ones(151)
    smooth = np.convolve(height, ones, mode="same") / np.convolve(np.ones_like(height), ones, mode="same")
    speed_mps = np.interp(grid, drive.speed_t_s, drive.speed_kmh) / 3.6
    slope = np.gradient(smooth, grid) / np.maximum(speed_mps, 1.0)
    return np.where(speed_mps > 5.0, np.clip(slope, -0.15, 0.15), np.nan)


def comma2k19() -> Drive | None:
    """One minute of motorway: CAN speed at 83 Hz; the IMU at 104 Hz is the reference, less its mean (road, bias)."""
    folder = SHARED / "comma2k19" / "processed_log"
    if not folder.is_dir():
        return None
    speed_t, speed = np.load(folder / "CAN/speed/t"), np.load(folder / "CAN/speed/value")[:, 0] * 3.6
    imu_t, accel = np.load(folder / "IMU/accelerometer/t"), np.load(folder / "IMU/accelerometer/value")
    gyro_t, gyro = np.load(folder / "IMU/gyro/t"), np.load(folder / "IMU/gyro/value")
    grid = np.arange(1.0, 58.0, STEP_S)
    lon = _mean_1s(grid, imu_t - speed_t[0], accel[:, 0])
    true_mean = (np.interp(58.0, speed_t - speed_t[0], speed) - np.interp(1.0, speed_t - speed_t[0], speed)) / 3.6 / 57
    turned = [np.degrees(np.interp(imu_t, gyro_t, gyro[:, axis])) for axis in range(3)]
    imu = np.column_stack([accel, *turned])
    return Drive(grid, lon - lon.mean() + true_mean, None, speed_t - speed_t[0], speed, imu_t - speed_t[0], imu)


def speed_readings(drive: Drive, rate_hz: float, phase_s: float = 0.0) -> list[Reading]:
    """What an adapter would read: the last speed on the bus, in whole km/h."""
    at_s = np.arange(phase_s, drive.speed_t_s[-1], 1 / rate_hz)
    held = np.maximum(np.searchsorted(drive.speed_t_s, at_s, side="right") - 1, 0)
    return [
        Reading(round(t * 1_000), "speed_kmh", float(round(drive.speed_kmh[index])))
        for t, index in zip(at_s, held, strict=True)
    ]


def imu_readings(drive: Drive, turn: Floats | None = None) -> list[Reading]:
    """Readings of the IMU, its axes turned by a rotation matrix."""
    rotation = np.eye(3) if turn is None else turn
    values = np.hstack([drive.imu[:, :3] @ rotation.T, drive.imu[:, 3:] @ rotation.T])
    return [
        Reading(round(t * 1_000), name, round(float(value) / BY_NAME[name].quantum) * BY_NAME[name].quantum)
        for t, row in zip(drive.imu_t_s, values, strict=True)
        for name, value in zip(AXES, row, strict=True)
    ]


def merged(*sources: list[Reading]) -> list[Reading]:
    """Readings of several sources in time order, those of each in their own."""
    return sorted((reading for source in sources for reading in source), key=lambda reading: reading.t_ms)


def _mean_1s(grid: Floats, t_s: Floats, values: npt.NDArray[Any]) -> Floats:
    """Mean over 1 s around each time of the grid, of values that hold until the next."""
    fine = np.arange(grid[0] - 0.5, grid[-1] + 0.5, 0.01)
    held = values[np.maximum(np.searchsorted(t_s, fine, side="right") - 1, 0)]
    total = np.concatenate([[0.0], np.cumsum(held)])
    first = np.searchsorted(fine, grid - 0.5 - 1e-9)
    last = np.minimum(first + 100, len(fine))
    return np.asarray((total[last] - total[first]) / (last - first))
