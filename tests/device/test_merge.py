"""Readings of several sensors in one order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import Reading
from device.merge import WINDOW_MS, Merge


def at(t_ms: int, signal: str = "rpm") -> Reading:
    return Reading(t_ms, signal, 1.0)


def test_a_reading_waits_for_one_of_another_sensor_from_before_it():
    merge = Merge()
    merge.add([at(1_000, "speed_kmh")])
    assert merge.due(1_000 + WINDOW_MS - 1) == []
    merge.add([at(900, "gnss_speed_kmh")])
    assert merge.due(1_000 + WINDOW_MS) == [at(900, "gnss_speed_kmh"), at(1_000, "speed_kmh")]
    assert merge.due(10_000) == []


def test_readings_of_one_time_stay_as_they_came():
    merge = Merge()
    merge.add([at(5, "speed_kmh"), at(5, "rpm")])
    merge.add([at(5, "accel_x_mps2")])
    assert [reading.signal for reading in merge.flush()] == ["speed_kmh", "rpm", "accel_x_mps2"]


@given(st.lists(st.tuples(st.integers(1, 300), st.lists(st.integers(0, WINDOW_MS - 1), max_size=5)), max_size=30))
def test_whatever_is_late_by_less_than_the_window_comes_out_in_order_and_whole(steps):
    merge, now_ms, taken, given_ = Merge(), 1_000, [], []
    for wait_ms, delays in steps:
        now_ms += wait_ms
        fresh = [at(now_ms - delay_ms) for delay_ms in sorted(delays, reverse=True)]
        given_ += fresh
        merge.add(fresh)
        taken += merge.due(now_ms)
    taken += merge.flush()
    assert sorted(taken) == sorted(given_)
    assert [reading.t_ms for reading in taken] == sorted(reading.t_ms for reading in taken)
