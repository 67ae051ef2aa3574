"""Runs of samples over a rule's threshold, from arrays: the first half of the definition of `device/contract/rules`.

    slice -> stretches of neighbours at or over the lowest exit threshold of a signal, bridged where it is not known
          -> runs of the rules that leave there, and samples for the rules that leave earlier -> their runs

A run starts at the first sample of such a stretch that is at or over the entry threshold. Few samples are part of one:
all but the first step works on what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from device.contract.motion import ENGINE_ON
from device.contract.rules import Rule, Rules
from device.contract.trip import STANDING_DKMH
from features.slices import NULL, Integers, Slice, rows_where

# A peak and its time are kept as one integer, whose maximum is the highest peak and of equal ones the earliest.
TIME: Final = 2**31
Table = dict[str, Integers]  # columns of one length


class Search(NamedTuple):
    """What is looked for in one signal, on one side of it or on two that do not overlap."""

    signal: str
    bridge_ms: int
    leave: dict[int, int]  # sign -> the lowest exit threshold
    whole: tuple[Rule, ...]  # rules that leave there: each of their stretches holds at most one run
    inner: tuple[Rule, ...]  # rules that leave earlier


class Near(NamedTuple):
    """Samples of the stretches in which an inner rule may find runs, each array of shape (n,); the sign is applied."""

    trip: Integers
    stretch: Integers
    t_ms: Integers
    value: Integers
    speed_dkmh: Integers


class Found(NamedTuple):
    """What slices hold, in the order of their rows.

    Attributes
    ----------
    runs : dict
        Whole rule -> trip, onset_ms, end_ms, onset_speed_dkmh, end_speed_dkmh, peak_and_time; NULL where not known.
    near : dict
        Inner rule -> samples to look at.
    """

    runs: dict[Rule, Table]
    near: dict[Rule, Near]


def searches(rules: Rules) -> list[Search]:
    """Bring rules in order."""
    alike: dict[tuple[str, int], list[Rule]] = {}
    for rule in rules.rules + rules.excursions:
        alike.setdefault((rule.signal, rule.bridge_ms), []).append(rule)
    out = []
    for (signal, bridge_ms), of in sorted(alike.items()):
        signs = sorted({rule.sign for rule in of})
        leave = {sign: min(rule.exit for rule in of if rule.sign == sign) for sign in signs}
        apart = [leave] if min(leave.values()) > 0 else [{sign: exit_} for sign, exit_ in leave.items()]
        for sides in apart:
            here = [rule for rule in of if rule.sign in sides]
            whole = tuple(rule for rule in here if rule.exit == sides[rule.sign])
            out.append(Search(signal, bridge_ms, sides, whole, tuple(rule for rule in here if rule not in whole)))
    return out


def find(motion: Slice, wanted: Sequence[Search], default_limit_dkmh: int) -> Found:
    """Find what a slice holds."""
    found = Found({}, {})
    for search in wanted:
        signal = _signal(motion, search.signal, default_limit_dkmh)
        if signal is not None:
            _search(found, motion, search, *signal)
    return found


def joined(parts: Sequence[tuple[int, Found]]) -> dict[Rule, Table]:
    """Runs by rule of several slices, each given with the number of its first trip."""
    whole = {
        rule: _concatenated(
            [
                found.runs[rule] | {"trip": found.runs[rule]["trip"] + trip}
                for trip, found in parts
                if rule in found.runs
            ]
        )
        for rule in {rule for _, found in parts for rule in found.runs}
    }
    inner = {
        rule: _inner_runs(_near([(trip, found.near[rule]) for trip, found in parts if rule in found.near]), rule)
        for rule in {rule for _, found in parts for rule in found.near}
    }
    return whole | inner


def _concatenated(tables: Sequence[Table]) -> Table:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _near(parts: Sequence[tuple[int, Near]]) -> Near:
    columns, stretch = [], 0
    for trip, part in parts:
        columns.append(part._replace(trip=part.trip + trip, stretch=part.stretch + stretch))
        stretch += int(part.stretch[-1]) + 1 if part.stretch.size else 0
    return Near(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _signal(motion: Slice, name: str, default_limit_dkmh: int) -> tuple[Integers, list[Integers]] | None:
    """A signal, and the rows where it is not known, whatever it holds there; None if it is known nowhere."""
    if name not in ("over_limit_dkmh", "idling"):
        values = motion.column(name)
        return None if values is None else (values, [motion.missing(name)])
    speed, engine, limit_kmh = (motion.column(column) for column in ("speed_dkmh", "engine", "limit_kmh"))
    if speed is None or (name == "idling" and engine is None):
        return None
    unseen = motion.missing("speed_dkmh")
    default = np.int16(min(default_limit_dkmh, 2**14))  # beyond any speed
    if name == "idling":
        idling = (engine == np.int8(ENGINE_ON)) & (speed < np.int16(STANDING_DKMH))
        return idling.view(np.int8), [unseen, motion.missing("engine")]
    if limit_kmh is None:
        return speed - default, [unseen]
    limit_dkmh = limit_kmh * np.int16(10)  # 0 where it is NULL: ten times -2**15 has no bits left in 16
    limit_dkmh += np.multiply((limit_kmh == np.int16(NULL)).view(np.int8), default, dtype=np.int16)
    return np.subtract(speed, limit_dkmh, out=limit_dkmh), [unseen]


def _search(found: Found, motion: Slice, search: Search, values: Integers, unknown: Sequence[Integers]) -> None:
    first, end, sign = _stretches(motion, values, unknown, search.leave)
    if search.bridge_ms:
        first, end, sign = _bridged(motion, values, first, end, sign, search.bridge_ms)
    size = values if list(search.leave) == [1] else np.abs(values) if len(search.leave) == 2 else -values
    for entry in sorted({rule.entry for rule in search.whole}):
        rules = [rule for rule in search.whole if rule.entry == entry]
        at_once = all(entry <= search.leave[rule.sign] for rule in rules)
        onset, reached = (first, np.arange(first.size)) if at_once else _onsets(size, entry, first, end)
        for rule in rules:
            mine = sign[reached] == rule.sign
            found.runs[rule] = _whole_runs(motion, size, rule, onset[mine], end[reached[mine]])
    if search.inner:
        _, reached = _onsets(size, min(rule.entry for rule in search.inner), first, end)
        for sign_ in search.leave:
            mine = reached[sign[reached] == sign_]
            near = _samples(motion, size, first[mine], end[mine])
            found.near.update((rule, near) for rule in search.inner if rule.sign == sign_)


def _stretches(
    motion: Slice, values: Integers, unknown: Sequence[Integers], leave: dict[int, int]
) -> tuple[Integers, Integers, Integers]:
    """Neighbours on the same side at or over its exit threshold: their first rows, the rows after them, their signs."""
    side = np.zeros(values.size, np.int8)
    for sign, exit_ in leave.items():
        if sign > 0:
            side += (values >= exit_).view(np.int8)
        else:
            side -= (values <= -exit_).view(np.int8)
    for rows in unknown:
        side[rows] = 0
    changed = np.ones(values.size, np.bool_)
    np.not_equal(side[1:], side[:-1], out=changed[1:])
    changed[1:] |= motion.apart[:-1]
    edges = rows_where(changed)
    held = np.flatnonzero(side[edges] != 0)
    first = edges[held]
    return first, np.append(edges, values.size)[held + 1], side[first]


def _bridged(
    motion: Slice, values: Integers, first: Integers, end: Integers, sign: Integers, bridge_ms: int
) -> tuple[Integers, Integers, Integers]:
    """Stretches that go on behind rows where the signal is not known, NULL, for at most `bridge_ms`, become one.

    What is NULL within them is neither a highest value nor at any threshold.
    """
    last, again, t_ms = end[:-1] - 1, first[1:], motion.t_ms
    period_ms = motion.period_ms[motion.trip[last]]
    over_ms = (again - last) * period_ms  # from the last sample of one to the first of the next, if all are neighbours
    alike = (sign[1:] == sign[:-1]) & (motion.trip[again] == motion.trip[last])
    gaps = np.flatnonzero(alike & (t_ms[again] - t_ms[last] == over_ms) & (over_ms - period_ms <= bridge_ms))
    gaps = gaps[again[gaps] > end[gaps]]
    if gaps.size:
        row, starts = _expanded(end[gaps], again[gaps])
        gaps = gaps[np.logical_and.reduceat(values[row] == NULL, starts)]
    return np.delete(first, gaps + 1), np.delete(end, gaps), np.delete(sign, gaps)


def _onsets(size: Integers, entry: int, first: Integers, end: Integers) -> tuple[Integers, Integers]:
    """First row at or over the entry threshold in each stretch that has one, and the numbers of these stretches."""
    over = rows_where(size >= entry)
    next_over = np.append(over, size.size)[np.searchsorted(over, first)]
    reached = np.flatnonzero(next_over < end)
    return next_over[reached], reached


def _whole_runs(motion: Slice, size: Integers, rule: Rule, onset: Integers, end: Integers) -> Table:
    if rule.merge_gap_ms < motion.period_ms.min():  # none can merge, so that a short one is none
        duration_ms = motion.t_ms[end - 1] - motion.t_ms[onset] + motion.period_ms[motion.trip[onset]]
        long = duration_ms >= rule.min_duration_ms
        onset, end = onset[long], end[long]
    timed = rule.merge_gap_ms >= 0  # an excursion tells no times
    return _table(motion.trip, motion.t_ms, motion.column("speed_dkmh"), size, onset, end, timed=timed)


def _inner_runs(near: Near, rule: Rule) -> Table:
    at = np.flatnonzero(near.value >= rule.exit)
    trip, stretch, t_ms, value, speed = (column[at] for column in near)
    first = np.flatnonzero((np.diff(stretch, prepend=-1) != 0) | (np.diff(at, prepend=-1) != 1))
    end = np.append(first[1:], at.size)[: first.size]
    onset, reached = _onsets(value, rule.entry, first, end)
    return _table(trip, t_ms, speed, value, onset, end[reached])


def _table(
    trip: Integers,
    t_ms: Integers,
    speed_dkmh: Integers | None,
    size: Integers,
    onset: Integers,
    end: Integers,
    *,
    timed: bool = True,
) -> Table:
    """Runs from rows of arrays: from onset up to end. Where nobody asks when the peak was, it is cheaper."""
    last = end - 1
    unknown = np.full(onset.size, NULL)
    return {
        "trip": trip[onset].astype(np.int64),
        "onset_ms": t_ms[onset].astype(np.int64),
        "end_ms": t_ms[last].astype(np.int64),
        "onset_speed_dkmh": unknown if speed_dkmh is None else speed_dkmh[onset].astype(np.int64),
        "end_speed_dkmh": unknown if speed_dkmh is None else speed_dkmh[last].astype(np.int64),
        "peak_and_time": _peaks(t_ms, size, onset, end) if timed else _highest(size, onset, end) * TIME,
    }


def _peaks(t_ms: Integers, size: Integers, onset: Integers, end: Integers) -> Integers:
    row, starts = _expanded(onset, end)
    peak_and_time = size[row].astype(np.int64) * TIME + (TIME - 1 - t_ms[row])
    return np.maximum.reduceat(peak_and_time, starts) if starts.size else peak_and_time


def _highest(size: Integers, onset: Integers, end: Integers) -> Integers:
    bounds = np.column_stack([onset, end]).ravel()  # every second stretch lies between two runs
    inside = bounds[:-1] if bounds.size and bounds[-1] == size.size else bounds
    return np.maximum.reduceat(size, inside)[::2].astype(np.int64) if bounds.size else bounds


def _expanded(first: Integers, end: Integers) -> tuple[Integers, Integers]:
    """All rows from each first up to its end, and where in them each begins."""
    lengths = end - first
    starts = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(first - starts, lengths), starts


def _samples(motion: Slice, size: Integers, first: Integers, end: Integers) -> Near:
    row, _ = _expanded(first, end)
    stretch = np.repeat(np.arange(first.size), end - first)
    known = size[row] != NULL  # others are bridged
    row, stretch = row[known], stretch[known]
    speed = motion.column("speed_dkmh")
    return Near(
        trip=motion.trip[row].astype(np.int64),
        stretch=stretch,
        t_ms=motion.t_ms[row].astype(np.int64),
        value=size[row].astype(np.int64),
        speed_dkmh=np.full(row.size, NULL) if speed is None else speed[row].astype(np.int64),
    )
