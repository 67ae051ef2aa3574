"""Trip summaries from arrays: the definitions of `device.contract.trip`, without a loop over samples."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from device.contract.motion import BRIDGE_MS, ENGINE_ON, QUALITY_COARSE, QUALITY_JUMP
from device.contract.trip import (
    ACCEL_BINS,
    ACCEL_STEP_CMPS2,
    ACCEL_ZERO_BIN,
    HOURS_OF_WEEK,
    OVER_130_DKMH,
    SPEED_BANDS,
    STANDING_DKMH,
)
from features.contract.histograms import Bins, tally
from features.slices import NULL, Flags, Integers, Slice, rows_where

HOUR_MS: Final = 3_600_000
_EPOCH_HOUR_OF_WEEK: Final = 72  # the epoch was a Thursday, Monday 00:00 = 0
_VA_BINS: Final = SPEED_BANDS * ACCEL_BINS
_HALF, _PER_MM = np.int32(36), np.int32(72)
# The longest segment, at 400 km/h for BRIDGE_MS, has 555,556 mm: so many rows never make 2**32.
_ROWS_IN_32_BITS: Final = 4_096


class Summed(NamedTuple):
    """What motion decides of a summary: all but excursions and event counts.

    `sums`: field -> array of shape (n_trips,). `histograms`: field -> bins, grouped by trip of the slice.
    """

    sums: dict[str, Integers]
    histograms: dict[str, Bins]


def summarise(motion: Slice, local_ms: Integers, placed: Flags) -> Summed:
    """Sum up the trips of a slice.

    Parameters
    ----------
    motion : Slice
    local_ms : ndarray, shape (n_trips,)
        Local time of each trip's start, in ms since the epoch; ignored where it is not known.
    placed : ndarray, shape (n_trips,)
        Whether it is.
    """
    step_ms, speed_sum, unobserved_ms = _segments(motion)
    distances, histograms = _distances(motion, step_ms, speed_sum, local_ms, placed)
    times = _times(motion, step_ms, speed_sum)
    sums = _of_samples(motion) | distances | times | {"unobserved_ms": unobserved_ms}
    return Summed(sums, histograms | {"va_ms": _heatmap(motion)})


def _of_samples(motion: Slice) -> dict[str, Integers]:
    rows = motion.rows
    speed, quality = motion.column("speed_dkmh"), motion.column("quality")
    fastest = np.zeros_like(rows) if speed is None else np.maximum.reduceat(speed, motion.starts).astype(np.int64)
    flagged = [motion.count(_rows_with(quality, bit)) for bit in (QUALITY_JUMP, QUALITY_COARSE)]
    return {
        "duration_ms": motion.t_ms[motion.ends - 1] + motion.period_ms,
        "samples": rows,
        "max_speed_dkmh": np.maximum(fastest, 0),
        "speed_null_samples": motion.count(motion.missing("speed_dkmh")),
        "accel_null_samples": motion.count(motion.missing("accel_lon_cmps2")),
        "lateral_samples": rows - motion.count(motion.missing("accel_lat_cmps2")),
        "jump_samples": flagged[0],
        "coarse_samples": flagged[1],
    }


def _rows_with(quality: Integers | None, bit: int) -> Integers:
    return np.empty(0, np.int64) if quality is None else np.flatnonzero((quality & np.uint8(bit)) != 0)


def _segments(motion: Slice) -> tuple[Integers, Integers, Integers]:
    """Segment that starts at each row: its time (0 where none does) and the sum of its speeds; unobserved time."""
    unobserved_ms = np.zeros(motion.starts.size, np.int64)
    speed = motion.column("speed_dkmh")
    step_ms = motion.step_ms.copy()
    speed_sum = np.zeros(step_ms.size, np.int16)
    if speed is None:
        return np.zeros_like(step_ms), speed_sum, unobserved_ms
    np.add(speed[1:], speed[:-1], out=speed_sum[:-1])
    unseen = motion.missing("speed_dkmh")
    step_ms[unseen] = 0
    step_ms[unseen[unseen > 0] - 1] = 0
    before, after = _around(motion, unseen)
    step_ms[before] = motion.t_ms[after] - motion.t_ms[before]
    speed_sum[before] = speed[before] + speed[after]
    far = np.flatnonzero(step_ms > BRIDGE_MS)
    np.add.at(unobserved_ms, motion.trip[far], step_ms[far])
    step_ms[far] = 0
    return step_ms, speed_sum, unobserved_ms


def _around(motion: Slice, unseen: Integers) -> tuple[Integers, Integers]:
    """Last row with a speed before each run of rows without, and the first after it, where both are of one trip."""
    edges = np.flatnonzero(np.diff(unseen, prepend=-2) != 1)
    before = unseen[edges] - 1
    after = unseen[np.append(edges[1:], unseen.size) - 1] + 1 if unseen.size else before
    inside = (before >= 0) & (after < motion.trip.size)
    before, after = before[inside], after[inside]
    same = motion.trip[before] == motion.trip[after]
    return before[same], after[same]


def _distances(
    motion: Slice, step_ms: Integers, speed_sum: Integers, local_ms: Integers, placed: Flags
) -> tuple[dict[str, Integers], dict[str, Bins]]:
    """Distance, also by speed band and by local hour of week; rows in a row of one band or hour are added up first."""
    distance_mm = np.multiply(speed_sum, step_ms)
    distance_mm += _HALF
    distance_mm //= _PER_MM
    travelled_mm = np.cumsum(distance_mm.view(np.uint32), dtype=np.uint32)  # differences hold, though it runs over
    band = np.clip(speed_sum // np.int16(200), 0, SPEED_BANDS - 1).astype(np.int8)
    first = _changes(motion, band)
    of_run = _sums(travelled_mm, first)
    of_trip = np.searchsorted(first, motion.starts)
    by_speed = tally(np.diff(of_trip, append=first.size), band[first], of_run, SPEED_BANDS)
    distance = np.add.reduceat(of_run, of_trip)
    into_hour_ms = np.repeat((local_ms % HOUR_MS).astype(np.int32), motion.rows)
    hour = (into_hour_ms + motion.t_ms) // np.int32(HOUR_MS)  # begun since the one in which the trip began
    first = _changes(motion, hour)
    of_run = _sums(travelled_mm, first)
    trip, hour = motion.trip[first], hour[first]
    of_week = (local_ms[trip] // HOUR_MS + hour + _EPOCH_HOUR_OF_WEEK) % HOURS_OF_WEEK
    here = placed[trip]
    rows = np.bincount(trip[here], minlength=motion.rows.size)
    by_hour = tally(rows, of_week[here], of_run[here], HOURS_OF_WEEK)
    return {"distance_mm": distance}, {"distance_by_speed_mm": by_speed, "distance_by_hour_mm": by_hour}


def _sums(travelled_mm: Integers, first: Integers) -> Integers:
    """Distance of runs of rows, from the distance up to and with each row."""
    up_to = travelled_mm[np.append(first[1:], travelled_mm.size) - 1]
    return np.asarray(np.diff(up_to, prepend=np.uint32(0)).astype(np.int64))


def _changes(motion: Slice, value: Integers) -> Integers:
    """Rows where a trip starts, a value is another than in the row before, or the distance since may run over."""
    changed = np.empty(value.size, np.bool_)
    np.not_equal(value[1:], value[:-1], out=changed[1:])
    changed[motion.starts] = True
    changed[::_ROWS_IN_32_BITS] = True
    return rows_where(changed)


def _times(motion: Slice, step_ms: Integers, speed_sum: Integers) -> dict[str, Integers]:
    """Time of segments by what they are. Each state lasts for many rows, so runs of equal states are added up first."""
    standing = speed_sum < np.int16(2 * STANDING_DKMH)
    states = {"standing_ms": standing, "over_130_ms": speed_sum > np.int16(2 * OVER_130_DKMH)}
    engine, limit_kmh = motion.column("engine"), motion.column("limit_kmh")
    if engine is not None:
        states["idle_ms"] = standing & (engine == np.int8(ENGINE_ON))
    if limit_kmh is not None:
        known = states["limit_known_ms"] = limit_kmh != np.int16(NULL)
        states["speeding_ms"] = known & (speed_sum > limit_kmh * np.int16(20))
    packed = np.zeros(step_ms.size, np.uint8)
    for state in states.values():
        packed += packed
        packed += state.view(np.uint8)
    first = _changes(motion, packed)
    of_run, packed = np.add.reduceat(step_ms, first, dtype=np.int64), packed[first]
    of_trip = np.searchsorted(first, motion.starts)
    none = np.zeros_like(motion.starts)
    sums = dict.fromkeys(("idle_ms", "limit_known_ms", "speeding_ms"), none)
    for bit, name in enumerate(reversed(states)):
        sums[name] = np.add.reduceat(of_run * (packed >> np.uint8(bit) & np.uint8(1)), of_trip)
    observed_ms = np.add.reduceat(of_run, of_trip)
    return sums | {"observed_ms": observed_ms, "moving_ms": observed_ms - sums["standing_ms"]}


def _heatmap(motion: Slice) -> Bins:
    """Samples with speed and acceleration by bin; the others go to a bin of their own, which is left out."""
    speed, accel = motion.column("speed_dkmh"), motion.column("accel_lon_cmps2")
    if speed is None or accel is None:
        empty = np.empty(0, np.int64)
        return Bins(empty, empty, empty)
    bound = ACCEL_STEP_CMPS2 * ACCEL_ZERO_BIN
    key = np.clip(speed // np.int16(100), 0, SPEED_BANDS - 1) * np.int16(ACCEL_BINS)
    key += (np.clip(accel, -bound, bound) + np.int16(bound + ACCEL_STEP_CMPS2 // 2)) // np.int16(ACCEL_STEP_CMPS2)
    for name in ("speed_dkmh", "accel_lon_cmps2"):
        key[motion.missing(name)] = _VA_BINS
    bins = tally(motion.rows, key, 1, _VA_BINS + 1)
    known = bins.key != _VA_BINS
    trip = bins.group[known]
    return Bins(trip, bins.key[known], bins.value[known] * motion.period_ms[trip])
