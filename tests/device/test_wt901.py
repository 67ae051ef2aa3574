"""Frames of a WT901 to readings: known bytes, known values; in step again after garbage; samples in time order."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import BY_NAME, Reading
from device.sources.wt901 import (
    ACCELERATION,
    ANGULAR_VELOCITY,
    AXES,
    BAUDRATES,
    FRAME,
    G_MPS2,
    MAX_PERIOD_MS,
    RATES_HZ,
    Wt901Parser,
    make_frame,
    set_up,
)
from replay_data.serial_imu import at_rest, to_wt901

AXIS_NAMES = [name for _, names in AXES.values() for name in names]


def sample(x=1.0, y=2.0, z=9.8):
    return make_frame(ACCELERATION, x, y, z) + make_frame(ANGULAR_VELOCITY, 10, 20, 30)


def in_step():
    parser = Wt901Parser()
    assert len(parser.feed(sample(), 0)) == 6
    return parser


def values(readings):
    return {r.signal: r.value for r in readings}


def test_full_scale_and_one_g_of_the_data_sheet():
    # 0x0800 of 0x8000 is 1 of 16 g; 0x7FFF is just below 16 g; 0x8000 is -2000 degrees/s.
    acceleration = bytes.fromhex("55 51 00 08 FF 7F 00 00 B6 0A")
    velocity = bytes.fromhex("55 52 00 80 00 00 00 40 B6 0A")
    frames = b"".join(frame + bytes([sum(frame) & 0xFF]) for frame in (acceleration, velocity))
    assert values(Wt901Parser().feed(frames, 0)) == pytest.approx(
        {
            "accel_x_mps2": G_MPS2,
            "accel_y_mps2": 16 * G_MPS2 * 32_767 / 32_768,
            "accel_z_mps2": 0,
            "gyro_x_dps": -2_000,
            "gyro_y_dps": 0,
            "gyro_z_dps": 1_000,
        }
    )


def test_frames_of_other_kinds_are_known_and_left_out():
    angle = bytes.fromhex("55 53 00 00 00 00 00 00 00 00 A8")
    parser = in_step()
    assert len(parser.feed(make_frame(ACCELERATION, 1, 2, 3) + angle + make_frame(ANGULAR_VELOCITY, 1, 2, 3), 10)) == 6
    assert parser.frames == 5
    assert parser.counters == {}


def test_a_wrong_checksum_costs_its_sample_and_is_counted():
    damaged = bytearray(sample())
    damaged[4] ^= 1
    parser = in_step()
    assert values(parser.feed(bytes(damaged) + sample() + sample(), 10)).keys() == set(AXIS_NAMES)
    assert parser.counters == {"imu_out_of_step": 1}


@given(st.binary(max_size=200))
def test_in_step_again_after_any_garbage(garbage):
    parser = in_step()
    parser.feed(garbage, 10)
    again = [r for n in range(40) for r in parser.feed(sample(), 20 + n)]
    assert values(again[-6:]) == pytest.approx({**values(Wt901Parser().feed(sample(), 0))})
    assert len(parser._rest) < 2 * FRAME.size


@given(st.lists(st.integers(1, 30), max_size=30))
def test_how_the_bytes_are_cut_changes_no_value(cuts):
    data = sample(1) + sample(2) + b"\x55\x51\x00" + sample(3) + sample(4)
    whole = in_step().feed(data, 100)
    pieces, readings = in_step(), []
    for cut in [*cuts, len(data)]:
        readings += pieces.feed(data[:cut], 100)
        data = data[cut:]
    assert [r[1:] for r in readings] == [r[1:] for r in whole]


def test_samples_that_waited_are_spread_over_the_time_since_the_last():
    readings = in_step().feed(sample() * 50, 500)
    times = [r.t_ms for r in readings if r.signal == "accel_x_mps2"]
    assert times == list(range(10, 501, 10))
    assert [r.t_ms for r in readings if r.signal == "gyro_z_dps"] == times


def test_samples_are_never_spread_further_than_a_slow_sensor_sends_them():
    readings = in_step().feed(sample() * 2, 60_000)
    assert [r.t_ms for r in readings if r.signal == "accel_x_mps2"] == [60_000 - MAX_PERIOD_MS, 60_000]


def test_of_samples_from_before_we_listened_only_the_last_counts():
    assert len(Wt901Parser().feed(sample() * 50, 500)) == 6


def test_a_sensor_that_sends_acceleration_alone_is_heard():
    parser = Wt901Parser()
    readings = [r for n in range(5) for r in parser.feed(make_frame(ACCELERATION, n, 0, 0), n * 10)]
    assert [r.value for r in readings if r.signal == "accel_x_mps2"] == pytest.approx([0, 1, 2, 3], abs=0.01)


@given(st.lists(st.binary(max_size=60), max_size=9))
def test_any_bytes_give_plausible_values_in_time_order(chunks):
    parser = in_step()
    readings = [r for n, chunk in enumerate(chunks, start=1) for r in parser.feed(chunk + sample(), n * 10)]
    assert all(BY_NAME[r.signal].low <= r.value <= BY_NAME[r.signal].high for r in readings)
    assert all(a.t_ms <= b.t_ms for a, b in pairwise(readings))


@given(
    st.lists(st.floats(-150, 150), min_size=3, max_size=3), st.lists(st.floats(-1_999, 1_999), min_size=3, max_size=3)
)
def test_what_a_played_sensor_says_is_what_was_recorded(acceleration, velocity):
    recorded = [Reading(70, name, value) for name, value in zip(AXIS_NAMES, acceleration + velocity, strict=True)]
    ((t_ms, frames),) = to_wt901(recorded)
    assert t_ms == 70
    told = Wt901Parser().feed(frames, 70)
    assert [r.signal for r in told] == AXIS_NAMES
    for reading, original in zip(told, recorded, strict=True):
        scale = AXES[ACCELERATION if reading.signal.startswith("accel") else ANGULAR_VELOCITY][0]
        assert math.isclose(reading.value, original.value, abs_tol=scale)


def test_a_sensor_at_rest_feels_gravity_alone():
    told = values(Wt901Parser().feed(at_rest(), 0))
    assert told == pytest.approx(dict(zip(AXIS_NAMES, (0, 0, G_MPS2, 0, 0, 0), strict=True)))


def test_set_up_commands_of_the_data_sheet():
    assert [command.hex(" ") for command in set_up(100, 115_200)] == [
        "ff aa 69 88 b5",
        "ff aa 02 06 00",
        "ff aa 03 09 00",
        "ff aa 04 06 00",
    ]
    assert len(set(BAUDRATES.values())) == len(BAUDRATES)
    assert len(set(RATES_HZ.values())) == len(RATES_HZ)
