"""Where one boot lies on the time axis of the one before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import Reading
from device.resume import RUN_TIME_FULL_S, Moment, axis_by_run_time, axis_by_utc

UTC_MS = 1_800_000_000_000


def run_time(t_ms: int, seconds: float | None) -> Reading:
    return Reading(t_ms, "run_time_s", seconds)


@given(st.integers(0, 10**9), st.integers(0, 10**8), st.integers(0, 10**8))
def test_utc_tells_the_time_away_to_the_millisecond(saved_ms, down_ms, up_ms):
    saved = Moment(saved_ms, UTC_MS)
    assert axis_by_utc(saved, up_ms, UTC_MS + down_ms + up_ms) == saved_ms + down_ms


def test_a_clock_not_known_then_or_running_backwards_since_tells_nothing():
    assert axis_by_utc(Moment(1_000), 5_000, UTC_MS) is None
    assert axis_by_utc(Moment(1_000, UTC_MS), 60_000, UTC_MS + 30_000) is None
    assert axis_by_utc(Moment(1_000, UTC_MS), 60_000, UTC_MS - 86_400_000) is None


@given(st.integers(0, 10**9), st.integers(20, 50_000), st.integers(0, 180), st.integers(0, 600))
def test_run_time_tells_it_to_two_seconds(saved_ms, run_s, down_s, up_s):
    """The engine ran on while the computer was down, and is asked `up_s` after the restart."""
    saved = Moment(saved_ms, None, run_s, saved_ms)
    offset_ms = axis_by_run_time(saved, run_time(up_s * 1_000, run_s + down_s + up_s))
    assert offset_ms is not None
    assert abs(offset_ms - (saved_ms + down_s * 1_000)) <= 2_000
    assert offset_ms >= saved_ms


@given(st.integers(5, 3_600), st.integers(0, 600))
def test_an_engine_that_was_started_after_the_restart_is_another_run(run_s, up_s):
    saved = Moment(7_000_000, None, run_s, 7_000_000)
    assert axis_by_run_time(saved, run_time(up_s * 1_000, up_s)) is None


def test_run_times_that_stand_at_their_end_or_are_missing_tell_nothing():
    saved = Moment(0, None, 600, 0)
    assert axis_by_run_time(saved, run_time(1_000, RUN_TIME_FULL_S)) is None
    assert axis_by_run_time(saved, run_time(1_000, None)) is None
    assert axis_by_run_time(Moment(0), run_time(1_000, 700.0)) is None
