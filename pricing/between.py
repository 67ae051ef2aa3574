"""Between the points of a table: where a value stands, and what a table gives there, in whole numbers.

A bin's effect holds at the bin's point, the mean of the training rows in it. From one point to the next it runs in a
straight line, before the first and after the last it stays. How far a value stands on the way from one point to the
next counts in whole five-hundredths, so that what a table gives is an integer: in 1/500 of the table's unit along one
feature, in 1/500² across two. A table of steps has no points: a value is wholly in its bin.

As a value rises, so do its bin and its parts of the way: subtraction, division by what is above 0 and rounding never
turn the order of two floats around. `certificate.py` rests on that.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from pricing.arrays import Floats, Ints
from pricing.canonical import DECIMALS

LINE: Final = "line"
STEP: Final = "step"
PARTS: Final = 500  # of the way between two points; 500² x 1e12 leaves int64 logs up to 36.9


class Place(NamedTuple):
    """Where values stand on a feature's axis, each of shape (n_rows,).

    Attributes
    ----------
    at : numpy.ndarray of int
        Bin, or the lower of the two whose points the value is between; the last is "not known".
    part : numpy.ndarray of int or None
        Parts of the way to the next bin's point, 0 to PARTS; None on an axis without points.
    """

    at: Ints
    part: Ints | None


def bins(ends: Floats, x: Floats) -> Ints:
    """Bin of each value; NaN is in the last."""
    return np.where(np.isnan(x), len(ends) + 1, np.searchsorted(ends, x, side="left"))


def place(ends: Floats, points: Floats, x: Floats) -> Place:
    """Place of each value on the axis of these bins and points."""
    if not len(points):
        return Place(bins(ends, x), None)
    unknown = np.isnan(x)
    inside = np.clip(x, points[0], points[-1])
    at = np.where(unknown, len(points) - 1, np.searchsorted(points, inside, side="right") - 1)
    gap = np.append(np.diff(points), np.inf)  # nothing is beyond the last
    part = np.where(unknown, 0.0, np.rint((inside - points[at]) / gap[at] * PARTS)).astype(np.int64)
    return Place(at + unknown, part)


def along(effect: Ints, where: Place) -> Ints:
    """What a table of one feature gives at these places, in 1 / PARTS of its unit."""
    return _mixed(effect, where.at, where.at + 1, where.part)


def across(effect: Ints, first: Place, second: Place) -> Ints:
    """What a table of two features gives at these places, in 1 / PARTS² of its unit, bilinear between four points.

    Parameters
    ----------
    effect : numpy.ndarray of int
        On the bins that the places count in.
    """
    width = effect.shape[1]
    cell = first.at * width + second.at
    lower = _mixed(effect, cell, cell + 1, second.part)
    if first.part is None:
        return lower * PARTS
    upper = _mixed(effect, cell + width, cell + width + 1, second.part)
    return lower * (PARTS - first.part) + upper * first.part


def _mixed(effect: Ints, at: Ints, following: Ints, part: Ints | None) -> Ints:
    """Mixture of two cells of a table; what lies beyond its end has no part and may be any."""
    here: Ints = effect.take(at, mode="clip")
    if part is None:
        return here * PARTS
    return here * (PARTS - part) + effect.take(following, mode="clip") * part


def points_of(ends: Floats, x: Floats, weight: Floats) -> Floats:
    """Point of each bin but "not known": the weighted mean of the values in it, rounded to 1e-9; none for one bin.

    A bin that holds no value has the middle of its borders, or the border of an open one. A point never leaves its bin,
    so points rise as bins do.
    """
    if not len(ends):
        return np.empty(0)
    seen = np.isfinite(x)
    at, n = bins(ends, x[seen]), len(ends) + 1
    total, held = np.bincount(at, weight[seen] * x[seen], n), np.bincount(at, weight[seen], n)
    above, up_to = np.append(ends[0], ends), np.append(ends, ends[-1])
    mean = np.where(held > 0, total / np.where(held > 0, held, 1.0), above + (up_to - above) / 2)
    least, most = np.nextafter(np.append(-np.inf, ends), np.inf), np.append(ends, np.inf)
    return np.clip(np.round(mean, DECIMALS), least, most)


def shares_of(bins_known: int, where: Place, weight: Floats) -> Floats:
    """Share of the weight in each bin; a value between two points counts to both, by its parts of the way.

    Parameters
    ----------
    bins_known : int
        Number of bins beside "not known".
    """
    n = bins_known + 1
    share = np.bincount(where.at, weight, n)
    if where.part is not None:
        moved = weight * (where.part / PARTS)
        share = share - np.bincount(where.at, moved, n) + np.bincount(where.at + 1, moved, n + 1)[:n]
    total: Floats = share / math.fsum(share)
    return total
