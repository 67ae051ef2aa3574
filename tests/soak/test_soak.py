from __future__ import annotations

import pytest

from tests.soak import virtual, wall


def test_hours_on_a_virtual_clock_are_accounted_for(tmp_path):
    account, struck = virtual.play(tmp_path, "short", 2.0, 4.0)
    assert account.faults == {}
    assert sum(times for times, _ in struck.values()) > 20
    assert "lost" not in account.outcomes


@pytest.mark.long
def test_a_day_of_driving_on_a_virtual_clock_is_accounted_for():
    assert virtual.main([]) == 0


@pytest.mark.long
@pytest.mark.broker
@pytest.mark.timeout(5_400)
def test_an_hour_of_the_wall_clock_is_accounted_for():
    assert wall.main([]) == 0
