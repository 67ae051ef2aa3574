"""Course of GNSS: what a yaw rate needs is kept, and no more."""

from __future__ import annotations

import pytest

from device.course_track import KEPT_MS, CourseTrack


@pytest.mark.parametrize("period_ms", [100, 1_000])
def test_no_more_of_the_way_is_kept_than_is_asked_for(period_ms):
    track = CourseTrack()
    for t_ms in range(0, 600_000, period_ms):
        track.add(t_ms, t_ms / 1_000 % 360)
        if t_ms >= 6_000:
            assert track.yaw_rate_at(t_ms - 5_000) == pytest.approx(-1.0)
    times_ms, _ = track.to_state()
    assert times_ms[-1] - times_ms[0] <= 2 * KEPT_MS + 2 * period_ms


def test_after_a_gap_what_was_before_it_is_still_told():
    track = CourseTrack()
    for t_ms in (*range(0, 60_000, 1_000), 150_000):
        track.add(t_ms, t_ms / 1_000)
    assert track.yaw_rate_at(57_000) == pytest.approx(-1.0)
