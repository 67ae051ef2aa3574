"""Raw IMU readings to block means and magnitudes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.imu_track import AXES, KEPT_BLOCKS, ImuTrack

SHORT = [(offset, 0.2) for offset in range(-2, 3)]
BLOW = 2_450


def fed(samples, track: ImuTrack | None = None) -> ImuTrack:
    """Track of (t_ms, six values)."""
    track = track or ImuTrack(BLOW)
    for t_ms, values in samples:
        for axis, value in enumerate(values):
            track.add(t_ms, axis, value)
    return track


def living(until_ms: int, step_ms: int = 10, start_ms: int = 0, values=(1.0, -0.5, 9.8, 0.0, 0.0, 3.0)):
    """Samples whose last bit never rests."""
    return [
        (t_ms, (values[0] + 0.001 * (t_ms // step_ms % 2), *values[1:])) for t_ms in range(start_ms, until_ms, step_ms)
    ]


def test_means_are_those_of_the_samples_in_the_window():
    means = fed(living(2_000)).means(1_000, SHORT)
    assert means.accel == pytest.approx((1.0005, -0.5, 9.8))
    assert means.gyro == pytest.approx((0, 0, 3))


def test_a_reading_whose_axes_do_not_share_a_time_is_no_sample():
    track = ImuTrack(BLOW)
    for t_ms in range(0, 2_000, 10):
        track.add(t_ms, AXES["accel_x_mps2"], 1.0)
        track.add(t_ms + 1, AXES["accel_y_mps2"], 1.0)
        track.add(t_ms + 1, AXES["accel_z_mps2"], 9.8)
    assert track.means(1_000, SHORT) is None
    assert track.peak_cmps2(1_000, 100) is None


def test_a_sample_that_lost_an_axis_does_not_borrow_it_from_the_one_before():
    track = fed(living(2_000))
    track.add(2_000, AXES["accel_x_mps2"], 90.0)
    track.add(2_000, AXES["accel_z_mps2"], 90.0)
    assert track.blows == []
    assert track.peak_cmps2(2_000, 100) < 200


def test_a_window_of_which_a_fifth_is_missing_has_no_mean():
    track = fed([sample for sample in living(3_000) if not 950 <= sample[0] < 1_150])
    assert track.means(1_000, SHORT) is None
    assert track.means(2_000, SHORT) is not None


def test_a_sensor_that_repeats_itself_for_a_second_is_dead_all_that_time():
    stuck = [(t_ms, (1.0, 2.0, 9.0, 1.0, 1.0, 1.0)) for t_ms in range(3_000, 5_000, 10)]
    track = fed(living(3_000) + stuck)
    assert track.means(2_700, SHORT) is not None
    assert all(track.means(t_ms, SHORT) is None for t_ms in range(3_100, 4_900, 100))
    assert track.peak_cmps2(4_000, 100) is None
    assert not track.delivers(3_100)


def test_a_gyroscope_that_rests_at_zero_in_a_standing_car_is_alive():
    assert fed(living(3_000, values=(0.0, 0.0, 9.8, 0.0, 0.0, 0.0))).means(1_500, SHORT).gyro == (0, 0, 0)


def test_magnitude_without_gravity_known_is_never_more_than_the_true_one():
    track = fed([*living(1_000), (1_000, (20.0, 0.0, 9.8, 0.0, 0.0, 0.0))])
    assert 1_200 < track.peak_cmps2(1_000, 100) < 2_000
    track.gravity = (0.0, 0.0, 9.8)
    fed([(1_100, (20.0, 0.0, 9.8, 0.0, 0.0, 0.0))], track)
    assert track.peak_cmps2(1_100, 100) == 2_000


def test_a_blow_of_one_sample_is_told_with_its_time_and_size():
    track = ImuTrack(BLOW)
    track.gravity = (0.0, 0.0, 9.8)
    fed([*living(1_000), (1_003, (-40.0, 5.0, 12.0, 0.0, 0.0, 0.0)), *living(1_500, start_ms=1_010)], track)
    ((t_ms, peak),) = track.blows
    assert (t_ms, peak) == (1_003, 4_037)
    assert track.peak_cmps2(1_000, 100) == 4_037
    assert track.peak_cmps2(1_000, 500) == 4_037
    assert track.peak_cmps2(1_100, 100) < BLOW


def test_memory_does_not_grow():
    track = fed(living(60_000))
    assert len(track.to_state()[0]) <= KEPT_BLOCKS + 1


READINGS = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(sorted(AXES.values())), st.floats(-160, 160)), max_size=200
)


@given(READINGS, st.integers(0, 199))
def test_any_order_of_readings_is_taken_and_a_saved_track_goes_on_the_same(steps, cut):
    whole, saved, t_ms = ImuTrack(BLOW), ImuTrack(BLOW), 0
    for index, (step_ms, axis, value) in enumerate(steps):
        t_ms += step_ms
        whole.add(t_ms, axis, value)
        saved.add(t_ms, axis, value)
        if index == cut:
            state, saved = saved.to_state(), ImuTrack(BLOW)
            saved.restore(json.loads(json.dumps(state)))
    assert saved.to_state() == whole.to_state()
    for at_ms in range(0, t_ms + 200, 100):
        assert saved.means(at_ms, SHORT) == whole.means(at_ms, SHORT)
        assert saved.peak_cmps2(at_ms, 500) == whole.peak_cmps2(at_ms, 500)
