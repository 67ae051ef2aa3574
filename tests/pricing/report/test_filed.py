from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from pricing.report.filed import SAMPLES, effect_chart
from pricing.tables import Main

LINES = Main(
    "brake", np.array([2.0, 5.0]), np.array([-10, 5, 20, 0]) * 10**10, np.full(4, 0.25), np.array([1.0, 3.0, 8.0])
)


def curve(chart):
    """Points of the drawn curve, and how many dots."""
    drawn = re.search(r'<path d="M([^"]*)"', chart)[1]
    return [tuple(map(float, point.split())) for point in drawn.split("L")], chart.count("<circle")


def test_lines_are_drawn_through_the_points_of_all_bins():
    points, dots = curve(effect_chart(LINES, "per 100 km"))
    assert dots == 3
    assert len(points) == 2 * SAMPLES + 2
    assert len({y for _, y in points}) > SAMPLES  # it rises all along
    assert points[0][1] == points[1][1]
    assert points[-2][1] == points[-1][1]  # and stays outside


def test_steps_are_drawn_up_at_the_borders():
    points, dots = curve(effect_chart(replace(LINES, points=np.empty(0)), "per 100 km"))
    assert dots == 0
    assert [y for _, y in points] == [y for y in sorted({y for _, y in points}, reverse=True) for _ in range(2)]
    assert points[1][0] == points[2][0]
    assert points[3][0] == points[4][0]


def test_a_flat_effect_and_one_border_can_be_drawn():
    flat = Main("night", np.array([0.1]), np.zeros(3, np.int64), np.full(3, 0.3))
    points, _ = curve(effect_chart(flat, "share"))
    assert len(points) == 4
    assert np.isfinite(points).all()


@pytest.mark.parametrize("points", [[40.0, 40.0000001, 40.0000002], [-3e-9, 0.0, 2e-9], [0.2, 0.2, 0.2 + 1e-17]])
def test_no_label_of_an_axis_is_there_twice_however_near_the_points_are(points):
    near = replace(LINES, points=np.array(points), effect=np.array([-1, 0, 1, 0]) * 10**3)
    chart = effect_chart(near, "km")
    across, up = (re.findall(rf'text-anchor="{anchor}"[^>]*>([^<]+)<', chart) for anchor in ("middle", "end"))
    assert across.pop() == "km"
    for labels in (across, up):
        assert len(labels) > 2
        assert len(set(labels)) == len(labels)
        assert labels == sorted(labels, key=float)
    drawn, _ = curve(chart)
    assert np.isfinite(drawn).all()
