from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.between import PARTS, Place, across, along, bins, place, points_of, shares_of

floats = st.floats(-1e6, 1e6)
axes = st.lists(floats, min_size=1, max_size=6, unique=True).map(lambda ends: np.array(sorted(ends)))
seen = st.lists(st.one_of(floats, st.sampled_from([np.nan, np.inf, -np.inf])), max_size=30).map(np.array)


@given(axes, seen)
def test_a_point_lies_in_its_bin_so_points_rise_as_bins_do(ends, x):
    points = points_of(ends, x.astype(float), np.ones(len(x)))
    assert len(points) == len(ends) + 1
    assert bins(ends, points).tolist() == list(range(len(points)))
    assert all(low < high for low, high in pairwise(points))


def test_a_point_is_the_weighted_mean_of_its_bin():
    x, weight = np.array([0.0, 1.0, 4.0, 9.0, np.nan]), np.array([1.0, 3.0, 2.0, 2.0, 5.0])
    assert points_of(np.array([2.0]), x, weight).tolist() == [0.75, 6.5]


def test_a_bin_without_rows_has_the_middle_of_its_borders_or_the_one_it_has():
    points = points_of(np.array([1.0, 3.0]), np.array([]), np.array([]))
    assert points.tolist() == [1.0, 2.0, np.nextafter(3.0, 4.0)]


def test_points_that_rounding_would_take_out_of_their_bin_stay_in_it():
    ends = np.array([1e-12, 2e-12, 3e-12])
    points = points_of(ends, ends, np.ones(3))
    assert bins(ends, points).tolist() == [0, 1, 2, 3]


def test_one_bin_needs_no_point():
    none = np.empty(0)
    assert points_of(none, np.array([1.0, 2.0]), np.ones(2)).tolist() == []
    where = place(none, none, np.array([5.0, np.nan]))
    assert (where.at.tolist(), where.part) == ([0, 1], None)


def test_a_value_stands_between_two_points_or_at_the_outermost_one():
    x = np.array([-np.inf, 0.0, 1.0, 1.5, 2.0, 2.3, 4.0, 9.0, np.inf, np.nan])
    where = place(np.array([1.7, 3.0]), np.array([1.0, 2.0, 4.0]), x)
    assert where.at.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 3]
    assert where.part.tolist() == [0, 0, 0, PARTS // 2, 0, 75, 0, 0, 0, 0]


@given(axes, seen, floats, floats)
def test_a_place_never_falls_as_its_value_rises(ends, x, one, other):
    points = points_of(ends, x.astype(float), np.ones(len(x)))
    where = place(ends, points, np.array([min(one, other), max(one, other)]))
    low, high = where.at * PARTS + where.part
    assert low <= high
    assert ((where.part >= 0) & (where.part <= PARTS)).all()
    assert (where.at <= len(ends)).all()


def test_a_table_gives_its_effect_at_a_point_and_a_mixture_between():
    effect = np.array([10, 30, 20, -5])
    where = Place(np.array([0, 0, 1, 2, 3]), np.array([0, 100, PARTS // 2, 0, 0]))
    assert (along(effect, where) / PARTS).tolist() == [10.0, 14.0, 25.0, 20.0, -5.0]
    assert (along(effect, Place(where.at, None)) / PARTS).tolist() == [10.0, 10.0, 30.0, 20.0, -5.0]


@given(st.lists(st.integers(-(10**13), 10**13), min_size=12, max_size=12), st.data())
def test_a_pair_is_bilinear_in_whole_numbers(cells, data):
    effect = np.array(cells).reshape(4, 3)
    at, parts = (2, 1), []
    for known in at:
        k = data.draw(st.integers(0, known + 1))
        parts.append((k, data.draw(st.integers(0, PARTS)) if k < known else 0))
    (i, t), (j, u) = parts
    # In Python's integers, each cell by its weight; a weight of 0 may have no cell.
    corners = {(i, j): (PARTS - t) * (PARTS - u), (i + 1, j): t * (PARTS - u), (i, j + 1): (PARTS - t) * u}
    corners[i + 1, j + 1] = t * u
    expected = sum(w * cells[a * 3 + b] for (a, b), w in corners.items() if w)
    places = [Place(np.array([k]), np.array([part])) for k, part in parts]
    assert across(effect, *places).tolist() == [expected]
    if t == u == 0:
        assert across(effect, *(Place(p.at, None) for p in places)).tolist() == [expected]
    if t == 0:
        assert across(effect, Place(places[0].at, None), places[1]).tolist() == [expected]
    if u == 0:
        assert across(effect, places[0], Place(places[1].at, None)).tolist() == [expected]


def test_a_row_counts_to_both_bins_that_it_stands_between():
    where = Place(np.array([0, 0, 1, 2]), np.array([0, PARTS // 4, 0, 0]))
    share = shares_of(2, where, np.array([1.0, 4.0, 2.0, 1.0]))
    assert share == pytest.approx(np.array([4.0, 3.0, 1.0]) / 8)
    assert shares_of(2, Place(where.at, None), np.array([1.0, 4.0, 2.0, 1.0])).tolist() == [5 / 8, 2 / 8, 1 / 8]
