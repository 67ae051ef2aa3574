from __future__ import annotations

import pytest

from tests.pricing.truth.convergence import settle, short_trip_model


@pytest.fixture(scope="module")
def settled():
    return settle(short_trip_model(1, 600, 24), 2, 60, 40, (1, 5, 20))


def test_a_factor_comes_closer_to_its_own_with_distance(settled):
    errors = [row.error for row in settled]
    assert errors[-1] < 0.85 * errors[0]
    assert errors[-1] < settled[-1].spread  # nearer than knowing nothing of the driver


def test_intervals_hold_the_settled_factor_about_as_often_as_they_say(settled):
    for row in settled:
        assert 0.7 <= row.covered <= 1.0  # nominal 0.9; the campaign measures it
        assert row.covered_by_both >= 0.8
    assert settled[-1].half_width < 0.8 * settled[0].half_width
