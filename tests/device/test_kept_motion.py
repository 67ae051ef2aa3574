"""Motion that waits is the same after a restart, and small until then."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from device.contract.motion import IMU_PERIOD_MS, QUALITY_IMU, MotionSample
from device.kept_motion import packed, unpacked

numbers = st.integers(-(2**31), 2**31)
samples = st.builds(MotionSample, numbers, *[st.none() | numbers] * 7, st.integers(0, 31))


@given(st.lists(samples))
def test_what_is_packed_comes_back(kept):
    assert unpacked(json.loads(json.dumps(packed(kept)))) == kept


@given(st.lists(samples))
def test_the_rows_of_an_earlier_release_are_understood(kept):
    assert unpacked(json.loads(json.dumps(kept))) == kept


def test_three_minutes_at_10_hz_are_a_few_pages_of_the_disk():
    """A car that waits with its engine off, on an IMU that is never still."""
    draw = random.Random(1)
    kept = [
        MotionSample(
            500_000 + index * IMU_PERIOD_MS,
            speed_dkmh=0,
            accel_lon_cmps2=draw.randrange(-8, 9),
            accel_lat_cmps2=draw.randrange(-8, 9),
            yaw_rate_ddps=draw.randrange(-5, 6),
            accel_peak_cmps2=draw.randrange(970, 990),
            engine=0,
            quality=QUALITY_IMU,
        )
        for index in range(1_800)
    ]
    assert len(packed(kept)) < 10_000 < len(json.dumps(kept)) // 5
