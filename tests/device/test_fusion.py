"""Motion from several sensors: what feeds a cell, what is null, and which grade a trip gets."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.bodies import BOUNDS
from device.contract.motion import (
    GRADE_GNSS,
    GRADE_IMU,
    GRADE_OBD_SPEED,
    IMU_PERIOD_MS,
    LAG_MS,
    PERIOD_MS,
    QUALITY_GNSS_LATERAL,
    QUALITY_GNSS_SPEED,
    QUALITY_IMU,
    QUALITY_JUMP,
    MotionSample,
)
from device.contract.signals import BY_NAME, Reading
from device.imu_track import AXES
from device.mounting import Mounting
from device.pipeline import Output, Pipeline, TripEnded, TripStarted
from tests.device.imu_drive import Instant, mounted, readings, weaving

AXIS = mounted(120, 10, -5)


def wall(mono_ms: int) -> tuple[int, None]:
    return mono_ms, None


@pytest.fixture(scope="module")
def learnt() -> dict[str, Any]:
    """State of a mounting that was calibrated on an earlier trip."""
    pipeline = Pipeline(wall)
    for reading in readings(80, AXIS, imu_hz=50):
        pipeline.push(reading)
    return pipeline.mounting.to_state()


def run(found: list[Reading], mounting: dict[str, Any] | None = None) -> list[Output]:
    pipeline = Pipeline(wall, mounting=Mounting.from_state(mounting) if mounting else None)
    return [output for reading in found for output in pipeline.push(reading)] + pipeline.finish()


def samples(outputs: list[Output]) -> list[MotionSample]:
    """Samples of the first trip, in the recording's time."""
    start = next(output for output in outputs if isinstance(output, TripStarted))
    found = [output for output in outputs if isinstance(output, MotionSample)]
    return [sample._replace(t_ms=sample.t_ms + start.start_mono_ms) for sample in found]


def start_and_end(outputs: list[Output]) -> tuple[TripStarted, TripEnded]:
    (start,) = [output for output in outputs if isinstance(output, TripStarted)]
    (end,) = [output for output in outputs if isinstance(output, TripEnded)]
    return start, end


def is_imu(reading: Reading) -> bool:
    return reading.signal in AXES


def test_with_a_calibrated_imu_the_grid_is_10_hz_and_accelerations_are_true(learnt):
    outputs = run(readings(60, AXIS, imu_hz=50), learnt)
    start, end = start_and_end(outputs)
    assert (start.period_ms, start.sensor_grade, end.sensor_grade) == (IMU_PERIOD_MS, GRADE_IMU, GRADE_IMU)
    assert end.speed_rate_dhz == 50
    inner = [sample for sample in samples(outputs) if 5_000 <= sample.t_ms <= 55_000]
    assert [b.t_ms - a.t_ms for a, b in pairwise(inner)] == [IMU_PERIOD_MS] * (len(inner) - 1)
    for sample in inner:
        true = weaving(sample.t_ms / 1_000)
        assert sample.quality == QUALITY_IMU
        assert sample.accel_lon_cmps2 / 100 == pytest.approx(true.lon_mps2, abs=0.25)
        assert sample.accel_lat_cmps2 / 100 == pytest.approx(true.lat_mps2, abs=0.2)
        assert sample.yaw_rate_ddps / 10 == pytest.approx(true.yaw_dps, abs=0.3)


def test_a_braking_of_half_a_second_that_speed_alone_flattens_keeps_its_peak(learnt):
    def jab(t_s: float) -> Instant:
        if t_s < 30:
            return weaving(t_s)
        lon = -6.0 if 40 <= t_s < 40.5 else 0.0
        return Instant(weaving(30).speed_mps - 6 * min(max(t_s - 40, 0), 0.5), lon, 0.0)

    def hardest(outputs: list[Output]) -> int:
        return min(s.accel_lon_cmps2 or 0 for s in samples(outputs) if s.t_ms > 35_000)

    fused = hardest(run(readings(50, AXIS, jab, imu_hz=50), learnt))
    by_speed = hardest(run([reading for reading in readings(50, AXIS, jab) if not is_imu(reading)]))
    assert fused < -500
    assert by_speed > -350


def test_an_uncalibrated_imu_gives_peaks_and_no_axis(learnt):
    outputs = run(readings(30, AXIS))
    start, end = start_and_end(outputs)
    assert (start.period_ms, start.sensor_grade, end.sensor_grade) == (PERIOD_MS, GRADE_OBD_SPEED, GRADE_OBD_SPEED)
    assert all(s.accel_lat_cmps2 is None and s.yaw_rate_ddps is None for s in samples(outputs))
    assert all(s.accel_peak_cmps2 is not None for s in samples(outputs) if 1_000 < s.t_ms < 28_000)


def test_an_imu_that_dies_in_mid_trip_leaves_speed_and_nulls_and_keeps_the_grid(learnt):
    found = [r for r in readings(60, AXIS, imu_hz=50) if not is_imu(r) or r.t_ms < 20_000]
    outputs = run(found, learnt)
    start, end = start_and_end(outputs)
    assert start.period_ms == IMU_PERIOD_MS
    assert end.sensor_grade == GRADE_OBD_SPEED
    dead = [sample for sample in samples(outputs) if 20_500 < sample.t_ms < 55_000]
    assert len(dead) > 300
    assert all(s.accel_lat_cmps2 is None and s.accel_peak_cmps2 is None and s.quality == 0 for s in dead)
    for sample in dead:
        assert sample.accel_lon_cmps2 / 100 == pytest.approx(weaving(sample.t_ms / 1_000).lon_mps2, abs=0.4)


def test_an_imu_that_freezes_is_an_imu_that_died(learnt):
    frozen: list[Reading] = []
    last: dict[str, float | None] = {}
    for reading in readings(60, AXIS, imu_hz=50):
        if is_imu(reading) and reading.t_ms >= 20_000:
            frozen.append(reading._replace(value=last[reading.signal]))
        else:
            last[reading.signal] = reading.value
            frozen.append(reading)
    dead = [sample for sample in samples(run(frozen, learnt)) if 20_500 < sample.t_ms < 55_000]
    assert all(s.accel_lat_cmps2 is None and s.yaw_rate_ddps is None and s.accel_peak_cmps2 is None for s in dead)


def test_without_the_port_speed_comes_from_gnss_and_says_so():
    outputs = run([r for r in readings(60, speed_hz=1, speed_signal="gnss_speed_kmh") if not is_imu(r)])
    start, end = start_and_end(outputs)
    assert (start.sensor_grade, end.sensor_grade, end.speed_rate_dhz) == (GRADE_GNSS, GRADE_GNSS, 10)
    known = [sample for sample in samples(outputs) if sample.speed_dkmh is not None]
    assert len(known) > 100
    assert all(sample.quality & QUALITY_GNSS_SPEED for sample in known)


def test_gnss_bridges_a_port_that_went_silent():
    port = [r for r in readings(60) if r.signal == "speed_kmh" and not 20_000 <= r.t_ms < 40_000]
    gnss = [r for r in readings(60, speed_hz=1, speed_signal="gnss_speed_kmh") if not is_imu(r)]
    outputs = run(sorted(port + gnss, key=lambda r: r.t_ms))
    by_gnss = [sample.t_ms for sample in samples(outputs) if sample.quality & QUALITY_GNSS_SPEED]
    assert by_gnss[0] in range(19_000, 21_501)
    assert by_gnss[-1] in range(38_500, 40_501)
    assert start_and_end(outputs)[1].sensor_grade == GRADE_OBD_SPEED


def test_gnss_noise_of_a_standing_car_is_no_motion():
    noise = [Reading(t_ms, "gnss_speed_kmh", 0.3 + t_ms / 1_000 % 1.6) for t_ms in range(0, 60_000, 1_000)]
    assert [output for output in run(noise) if isinstance(output, TripStarted)] == []


@pytest.mark.parametrize(("turn_dps", "sign"), [(-10.0, 1), (10.0, -1)])  # a compass course falls to the left
def test_lateral_acceleration_of_gnss_is_course_rate_times_speed_also_across_north(turn_dps, sign):
    found = [Reading(t_ms, "gnss_speed_kmh", 72.0) for t_ms in range(0, 30_000, 1_000)]
    found += [Reading(t, "gnss_course_deg", (5 + turn_dps * t / 1_000) % 360) for t in range(0, 30_000, 1_000)]
    turning = [s for s in samples(run(sorted(found, key=lambda r: r.t_ms))) if 3_000 < s.t_ms < 25_000]
    assert all(s.quality & QUALITY_GNSS_LATERAL for s in turning)
    assert {s.accel_lat_cmps2 for s in turning} == {sign * round(2_000 * math.radians(10))}
    assert {s.yaw_rate_ddps for s in turning} == {sign * 100}


def test_a_course_says_nothing_at_walking_pace_and_nothing_absurd():
    found = [Reading(t_ms, "gnss_speed_kmh", 5.0 if t_ms < 15_000 else 100.0) for t_ms in range(0, 30_000, 1_000)]
    found += [Reading(t, "gnss_course_deg", float(t // 1_000 * 90 % 360)) for t in range(0, 30_000, 1_000)]
    turning = [s for s in samples(run(sorted(found, key=lambda r: r.t_ms))) if not 13_000 < s.t_ms < 16_000]
    assert all(s.accel_lat_cmps2 is None for s in turning)


def test_readings_of_one_source_may_come_late_beside_another():
    """The batch of a slow pipe is older than what a fast one has said; within a source order still counts."""
    found = [r for r in readings(30, AXIS) if r.t_ms < 28_000]
    delayed = sorted(found, key=lambda r: r.t_ms + (300 if r.signal == "speed_kmh" else 0))
    pipeline = Pipeline(wall)
    outputs = [output for reading in delayed for output in pipeline.push(reading)] + pipeline.finish()
    assert pipeline.late_readings == 0
    for late, straight in zip(samples(outputs), samples(run(found)), strict=True):
        assert late.speed_dkmh == straight.speed_dkmh
        assert abs((late.accel_lon_cmps2 or 0) - (straight.accel_lon_cmps2 or 0)) < 20


NAMES = ["speed_kmh", "rpm", "limit_kmh", "gnss_speed_kmh", "gnss_course_deg", "coolant_c", *AXES]


@st.composite
def chaos(draw) -> list[Reading]:
    """Readings of everything, with holes, repeats, steps back in time and values at the ends of their range."""
    t_ms, found = 0, []
    for _ in range(draw(st.integers(1, 30))):
        t_ms = max(0, t_ms + draw(st.sampled_from([-700, -1, 0, 1, 10, 100, 499, 1_000, 2_600, 6_000, 30_000])))
        burst = draw(st.sampled_from([["speed_kmh"], list(AXES), NAMES]))
        for name in burst:
            signal = BY_NAME[name]
            value = draw(
                st.one_of(st.none(), st.sampled_from([signal.low, signal.high, (signal.low + signal.high) / 3]))
            )
            found.append(Reading(t_ms, name, value))
    return found


@given(chaos(), st.sets(st.integers(0, 700), max_size=4), st.booleans())
def test_whatever_comes_the_grid_holds_the_lag_holds_and_a_saved_pipeline_goes_on_the_same(found, cuts, ready):
    state = Pipeline(wall).mounting.to_state()
    if ready:
        state["fit"] = [(0.0, 0.0, 9.8), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), 1.0, 1.0, 60]
    whole, saved = (Pipeline(wall, mounting=Mounting.from_state(state)) for _ in range(2))
    outputs: list[Output] = []
    again: list[Output] = []
    latest_ms, period_ms, start_ms = 0, PERIOD_MS, 0
    for index, reading in enumerate(found):
        latest_ms = max(latest_ms, reading.t_ms)
        for output in whole.push(reading):
            outputs.append(output)
            if isinstance(output, TripStarted):
                start_ms, period_ms = output.start_mono_ms, output.period_ms
            elif isinstance(output, MotionSample):
                assert start_ms + output.t_ms + LAG_MS < latest_ms
                assert output.t_ms % period_ms == 0
                for name, (low, high) in BOUNDS.items():
                    assert (value := getattr(output, name)) is None or low <= value <= high
        if index in cuts:
            saved = Pipeline.from_state(json.loads(json.dumps(saved.to_state())), wall)
        again += saved.push(reading)
    assert again + saved.finish() == outputs + whole.finish()


def test_an_imu_calibrated_in_mid_trip_joins_on_the_grid_the_trip_began_with():
    outputs = run(readings(140, AXIS, imu_hz=50))
    start, end = start_and_end(outputs)
    assert (start.period_ms, start.sensor_grade, end.sensor_grade) == (PERIOD_MS, GRADE_OBD_SPEED, GRADE_IMU)
    late = [sample for sample in samples(outputs) if 60_000 < sample.t_ms < 135_000]
    assert [b.t_ms - a.t_ms for a, b in pairwise(late)] == [PERIOD_MS] * (len(late) - 1)
    for sample in late:
        true = weaving(sample.t_ms / 1_000)
        assert sample.quality == QUALITY_IMU
        assert sample.accel_lat_cmps2 / 100 == pytest.approx(true.lat_mps2, abs=0.3)


def test_a_tunnel_without_gnss_is_null_and_what_comes_after_it_is_not_joined_to_what_was_before():
    found = [Reading(t_ms, "gnss_speed_kmh", 80.0) for t_ms in range(0, 60_000, 1_000) if not 20_000 < t_ms < 30_000]
    found += [reading._replace(signal="gnss_course_deg", value=reading.t_ms / 1_000) for reading in found]
    in_tunnel = [s for s in samples(run(sorted(found, key=lambda r: r.t_ms))) if 20_500 <= s.t_ms <= 29_000]
    assert in_tunnel
    assert {(s.speed_dkmh, s.accel_lon_cmps2, s.accel_lat_cmps2, s.yaw_rate_ddps) for s in in_tunnel} == {(None,) * 4}


def test_a_fault_of_the_port_withholds_the_acceleration_with_an_imu_as_without(learnt):
    """A reply decoded as 0 km/h: the IMU cannot tell by how much the speed is wrong."""
    faulty = [r._replace(value=0.0) if (r.signal, r.t_ms) == ("speed_kmh", 30_100) else r for r in readings(60, AXIS)]
    near = [s for s in samples(run(faulty, learnt)) if 29_500 <= s.t_ms <= 30_500]
    assert all(s.accel_lon_cmps2 is None and s.quality == QUALITY_IMU | QUALITY_JUMP for s in near)
    assert all(s.accel_lat_cmps2 is not None for s in near)
