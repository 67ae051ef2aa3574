"""Sensors of a simulated car."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest

from replay_data.sensors import G_MPS2, Mounting, imu_readings
from replay_data.vehicle import Sample

LEVEL = Mounting((1, 0, 0), (0, 1, 0), (0, 0, 1))
ON_ITS_SIDE = Mounting((0, 1, 0), (0, 0, 1), (1, 0, 0))


def bend(seconds=20, yaw_dps=10.0, lon=1.0, lat=2.0):
    """Gathering speed in a left bend."""
    return [
        Sample(t, 0.0, 10.0, lon, lat, math.radians(yaw_dps) * t / 1_000, 2_000.0, 50)
        for t in range(0, seconds * 1_000 + 1, 50)
    ]


@pytest.mark.parametrize(
    ("mounting", "axes"), [(LEVEL, {"x": 1.0, "y": 2.0, "z": G_MPS2}), (ON_ITS_SIDE, {"y": 1.0, "z": 2.0, "x": G_MPS2})]
)
def test_an_imu_feels_the_car_in_its_own_axes(mounting, axes):
    readings = list(imu_readings(bend(), mounting, random.Random(3)))
    for letter, expected in axes.items():
        values = [r.value for r in readings if r.signal == f"accel_{letter}_mps2"]
        assert len(values) == 2_000
        assert fmean(values) == pytest.approx(expected, abs=0.03)
    up = "xyz"[mounting.up.index(1)]
    assert fmean(r.value for r in readings if r.signal == f"gyro_{up}_dps") == pytest.approx(10, abs=0.5)
    assert [r.t_ms for r in readings] == sorted(r.t_ms for r in readings)
