"""Readings to motion cells: interpolation, the 2 s slope, and what is withheld."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.motion import BRIDGE_MS, LAG_MS, PERIOD_MS, QUALITY_COARSE, QUALITY_JUMP, MotionSample
from device.contract.signals import Reading
from device.motion import Cell, MotionBuilder
from device.speed_track import AGE_MS, SpeedTrack


def due(builder: MotionBuilder, now_ms: int) -> list[Cell]:
    found = []
    while builder.is_due(now_ms):
        cell = builder.next_cell(now_ms)
        found += [cell] if cell else []
    return found


def left(builder: MotionBuilder) -> list[Cell]:
    return list(iter(builder.last_cell, None))


def push(builder: MotionBuilder, reading: Reading) -> list[Cell]:
    found = due(builder, reading.t_ms)
    builder.add(reading)
    return found


def cells(readings: list[Reading]) -> list[MotionSample]:
    builder = MotionBuilder()
    found = [cell for reading in readings for cell in push(builder, reading)] + left(builder)
    return [cell.sample for cell in found]


def speeds(*points: tuple[int, float | None]) -> list[Reading]:
    """Readings of what the speed was at those times."""
    return [Reading(t_ms + AGE_MS, "speed_kmh", value) for t_ms, value in points]


def at(samples: list[MotionSample], t_ms: int) -> MotionSample:
    return next(sample for sample in samples if sample.t_ms == t_ms)


def test_constant_deceleration_comes_out_as_its_slope():
    braking = cells(speeds(*[(t, 100 - 3.6 * t / 1000 * 4) for t in range(0, 5_000, 200)]))
    middle = at(braking, 2_500)
    assert middle.accel_lon_cmps2 == -400
    assert middle.speed_dkmh == 640
    assert middle.quality == 0


def test_slope_is_the_mean_over_two_seconds_of_an_uneven_recording():
    samples = cells(speeds((0, 50), (900, 50), (1_800, 50), (2_700, 36.5), (3_600, 23), (4_500, 10), (5_400, 10)))
    expected = (23 - 50) / 3.6 / 1.8 * 1.8 / 2 * 100  # between 1.8 s and 3.6 s the slope is linear
    assert at(samples, 2_500).accel_lon_cmps2 is not None
    assert abs((at(samples, 2_500).accel_lon_cmps2 or 0) - expected) < 60


def test_short_speed_reply_decoded_as_zero_makes_no_braking():
    spike = speeds(*[(t, 0 if t == 4_000 else 90) for t in range(0, 8_001, 500)])
    samples = cells(spike)
    near = [s for s in samples if 3_000 <= s.t_ms <= 5_000]
    assert all(s.accel_lon_cmps2 is None and s.quality & QUALITY_JUMP for s in near)
    assert at(samples, 1_500).accel_lon_cmps2 == 0


@pytest.mark.parametrize("spike_kmh", [0, 28, 52, 75, 120, 255])
def test_a_reading_that_stands_out_is_as_if_it_had_never_come_but_for_its_mark(spike_kmh):
    times = range(0, 12_001, 1_000)
    clean = cells(speeds(*[(t, 40) for t in times]))
    spiked = cells(speeds(*[(t, spike_kmh if t == 6_000 else 40) for t in times]))
    assert [s.speed_dkmh for s in spiked] == [s.speed_dkmh for s in clean]
    if spike_kmh >= 120:  # at 1 Hz a lesser one may be a braking until the next reading says that it was not
        assert all(s.accel_lon_cmps2 in (0, None) for s in spiked)
    assert any(s.quality & QUALITY_JUMP for s in spiked)
    assert not any(s.quality & QUALITY_JUMP for s in spiked if abs(s.t_ms - 6_000) > 2_500)


def test_a_braking_and_a_start_behind_it_are_no_spike():
    profile = [60, 60, 60, 40, 20, 1, 1, 12, 24, 35, 44, 50, 50]
    samples = cells(speeds(*[(1_000 * second, kmh) for second, kmh in enumerate(profile)]))
    assert not any(s.quality & QUALITY_JUMP for s in samples)
    assert min(s.speed_dkmh for s in samples if s.speed_dkmh is not None) == 10


def test_a_value_that_was_frozen_makes_no_braking_when_it_is_told_again():
    """Braking at 1.5 m/s2 from 50 km/h, polled at 3 Hz, the speed frozen for 4 s of it."""
    true = [(t, max(0.0, 50 - 5.4 * max(0, t - 6_000) / 1_000)) for t in range(0, 20_000, 330)]
    told = [(t, float(round(50 if 6_000 < t < 10_000 else v))) for t, v in true]
    samples = cells(speeds(*told))
    assert min(s.accel_lon_cmps2 for s in samples if s.accel_lon_cmps2 is not None) > -250
    assert any(s.quality & QUALITY_JUMP for s in samples)
    slow = cells(
        speeds((0, 42), (800, 42), (1_500, 42), (2_200, 22), (2_900, 22), (3_500, 22), (4_200, 22), (5_000, 23))
    )
    assert any(s.quality & QUALITY_JUMP for s in slow)
    assert all(s.accel_lon_cmps2 is None or s.accel_lon_cmps2 > -250 for s in slow)
    rounded = cells(speeds(*[(t, float(round(v))) for t, v in true]))
    assert not any(s.quality & QUALITY_JUMP for s in rounded)


def test_a_value_told_again_in_the_midst_of_a_braking_is_no_harder_braking():
    """At 1 Hz the next interval has the change of two: 1.9 m/s2 became 2.8, over 2 s, and a step of 3.9."""
    true = [60.0, 60.0, 60.0, 53.0, 46.0, 39.0, 32.0, 25.0, 25.0, 25.0, 25.0, 25.0]
    told = [*true[:5], 46.0, *true[6:]]
    clean, frozen = (cells(speeds(*[(1_000 * n, kmh) for n, kmh in enumerate(v)])) for v in (true, told))
    hardest = min(s.accel_lon_cmps2 for s in clean if s.accel_lon_cmps2 is not None)
    assert not any(s.quality & QUALITY_JUMP for s in clean)
    assert any(s.quality & QUALITY_JUMP for s in frozen)
    assert min(s.accel_lon_cmps2 for s in frozen if s.accel_lon_cmps2 is not None) >= hardest
    assert [s.accel_lon_cmps2 for s in frozen].count(None) <= [s.accel_lon_cmps2 for s in clean].count(None) + 7


@pytest.mark.parametrize(
    "profile",
    [
        [0, 7, 14, 21, 21, 28, 35, 40, 44, 44, 48],  # gears
        [60, 55, 50, 50, 50, 49, 49, 50],  # off the brake
        [60, 59, 58, 57, 57, 56, 55, 54, 54, 53],  # coasting, whole km/h
        [60, 56, 52, 52, 46, 40, 40, 34],  # pumping
    ],
)
def test_what_a_driver_does_with_the_pedals_is_no_frozen_value(profile):
    samples = cells(speeds(*[(1_000 * second, float(kmh)) for second, kmh in enumerate(profile)]))
    assert not any(s.quality & QUALITY_JUMP for s in samples)


@pytest.mark.parametrize("period_ms", [50, 100, 200])
def test_a_hard_braking_out_of_coasting_is_no_frozen_value_though_the_car_renews_its_speed_rarely(period_ms):
    """Off the brake for a second the speed repeats itself; the pedal then takes 0.4 s to 7 m/s2."""
    for phase_ms in range(0, 200, 20):
        told, truth_kmh = [], 60.0
        for t in range(0, 9_000, 10):
            since_ms = t - 6_000
            mps2 = 1.0 if t < 5_000 else 0.3 if since_ms < 0 else min(0.02 * since_ms, 7.0) if since_ms < 1_600 else 0.0
            truth_kmh -= mps2 * 0.036
            if (t + phase_ms) % 200 == 0:
                renewed = float(round(truth_kmh))
                told += [(t + after_ms, renewed) for after_ms in range(0, 200, period_ms)]
        track = SpeedTrack()
        for t_ms, kmh in told:
            track.add(t_ms, kmh)
        assert track.watch.frozen == 0
        assert not any(s.quality & QUALITY_JUMP for s in cells(speeds(*told)))


def test_speeds_in_large_steps_tell_no_acceleration_and_say_so():
    def told(step_kmh):
        truth = [50 - 30 * math.cos(t / 8_000) for t in range(0, 240_000, 200)]
        return cells(speeds(*[(200 * i, float(step_kmh * round(v / step_kmh))) for i, v in enumerate(truth)]))

    assert not any(s.quality for s in told(1) if 2_000 < s.t_ms < 230_000)
    coarse = [s for s in told(5) if 60_000 < s.t_ms < 230_000]
    assert all(s.accel_lon_cmps2 is None and s.quality & QUALITY_COARSE and s.speed_dkmh for s in coarse)


def test_emergency_stop_polled_faster_than_the_car_renews_its_speed_keeps_its_peak():
    renewed = [90 - 8 * 3.6 * (max(0, t - 2_000) // 200 * 0.2) for t in range(0, 4_001, 100)]
    samples = cells(speeds(*[(100 * i, float(round(max(v, 0)))) for i, v in enumerate(renewed)]))
    assert all(not s.quality & QUALITY_JUMP for s in samples)
    assert min(s.accel_lon_cmps2 for s in samples if s.accel_lon_cmps2 is not None) < -750


def test_speed_is_null_across_a_gap_longer_than_the_bridge():
    samples = cells(speeds((0, 52), (1_000, 52), (1_000 + BRIDGE_MS + 500, 3), (8_000, 3)))
    assert at(samples, 3_000).speed_dkmh is None
    assert all(s.accel_lon_cmps2 is None for s in samples if 500 <= s.t_ms <= 7_000)


def test_a_gap_as_long_as_the_bridge_is_bridged():
    assert at(cells(speeds((0, 50), (BRIDGE_MS, 60))), BRIDGE_MS - 1_000).speed_dkmh == 580


def test_speed_is_null_while_the_next_reading_is_later_than_the_lag():
    """The lag is fixed: a cell does not wait for a reading that comes after it."""
    samples = cells(speeds((0, 50), (4_000, 50), (4_500, 50)))
    assert at(samples, 2_000).speed_dkmh is None
    assert at(samples, 2_500).speed_dkmh == 500


def test_coarse_readings_keep_speed_and_withhold_acceleration():
    samples = cells(speeds(*[(t, 50 + t / 1_000) for t in range(0, 20_000, 3_000)]))
    known = [s for s in samples if s.speed_dkmh is not None]
    assert known
    assert all(s.accel_lon_cmps2 is None and s.quality == QUALITY_COARSE for s in known)


def test_null_reading_is_not_a_zero():
    with_null = cells(speeds((0, 50), (500, None), (1_000, 50), (1_500, 50), (4_000, 50)))
    assert [s.speed_dkmh for s in with_null if s.t_ms <= 1_500] == [500] * 3


def test_engine_state_holds_three_seconds_and_no_longer():
    readings = sorted([*speeds(*[(t, 0) for t in range(0, 10_000, 500)]), Reading(0, "rpm", 800.0)])
    samples = cells(readings)
    assert at(samples, 3_000).engine == 1
    assert at(samples, 3_500).engine is None


def test_engine_stopped_is_off_and_not_null():
    readings = sorted([*speeds(*[(t, 0) for t in range(0, 5_000, 500)]), Reading(0, "rpm", 0.0)])
    assert at(cells(readings), 1_000).engine == 0


def test_readings_out_of_order_are_dropped_and_counted():
    builder = MotionBuilder()
    for reading in speeds((0, 10), (1_000, 10), (500, 90), (1_500, 10)):
        push(builder, reading)
    assert builder.late_readings == 1


def test_a_long_silence_makes_no_endless_empty_cells():
    samples = cells(speeds((0, 10), (1_000, 10), (86_400_000, 10), (86_401_000, 10)))
    assert len(samples) < 400
    assert samples[-1].t_ms == 86_401_000


def test_a_fast_source_gives_the_same_cells_wherever_its_time_begins():
    def first_minute(start_ms: int) -> list[MotionSample]:
        return cells(speeds(*[(start_ms + t, 50 + t / 1_000) for t in range(0, 60_000, 10)]))

    assert first_minute(0) == [s._replace(t_ms=s.t_ms - PERIOD_MS) for s in first_minute(PERIOD_MS)]


def test_advance_without_readings_gives_the_same_cells_as_readings_do():
    readings = speeds(*[(t, 50) for t in range(0, 10_000, 700)])
    ticked = MotionBuilder()
    got = []
    for reading in readings:
        got += push(ticked, reading)
        got += due(ticked, reading.t_ms + 300)
    got += left(ticked)
    assert [cell.sample for cell in got] == cells(readings)


@given(st.lists(st.tuples(st.integers(1, 4_000), st.integers(0, 200)), min_size=2, max_size=60), st.integers(0, 59))
def test_saved_and_restored_anywhere_gives_the_same_cells(steps, cut):
    t_ms, readings = 0, []
    for step, value in steps:
        t_ms += step
        readings.append(Reading(t_ms, "speed_kmh", float(value)))
    builder, got = MotionBuilder(), []
    for index, reading in enumerate(readings):
        got += push(builder, reading)
        if index == cut:
            builder = MotionBuilder.from_state(json.loads(json.dumps(builder.to_state())))
    got += left(builder)
    assert [cell.sample for cell in got] == cells(readings)


@given(st.lists(st.tuples(st.integers(1, 3_000), st.integers(0, 250)), min_size=2, max_size=60))
def test_cells_are_on_the_grid_without_holes_and_final_within_the_lag(steps):
    t_ms, builder, emitted = 0, MotionBuilder(), []
    for step, value in steps:
        t_ms += step
        new = push(builder, Reading(t_ms, "speed_kmh", float(value)))
        assert all(cell.mono_ms + LAG_MS < t_ms for cell in new)
        emitted += new
    times = [cell.mono_ms for cell in emitted + left(builder)]
    assert all(b - a == PERIOD_MS for a, b in pairwise(times))
