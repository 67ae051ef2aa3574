"""Hours of the week that the shares count, written out by hand: Monday 00:00 is hour 0."""

from __future__ import annotations

import pytest

from features.contract.measures import MEASURES

MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


def hours(name: str) -> set[tuple[int, int]]:
    """(day, hour) that a measure counts."""
    weights = MEASURES[name].weights
    assert set(weights.tolist()) == {0, 1}
    return {divmod(key, 24) for key, weight in enumerate(weights.tolist()) if weight}


def span(days: range, *clock: int) -> set[tuple[int, int]]:
    return {(day, hour) for day in days for hour in clock}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("night_mm", span(range(7), 22, 23, 0, 1, 2, 3, 4)),
        ("rush_hour_mm", span(range(MONDAY, SATURDAY), 7, 8, 16, 17, 18)),
        ("weekend_mm", span(range(SATURDAY, SUNDAY + 1), *range(24))),
        (
            "weekend_night_mm",
            span(range(FRIDAY, SATURDAY + 1), 22, 23) | span(range(SATURDAY, SUNDAY + 1), 0, 1, 2, 3, 4),
        ),
    ],
)
def test_a_share_of_hours_counts_these_and_no_others(name, expected):
    assert hours(name) == expected
