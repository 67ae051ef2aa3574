"""Runs of samples over a rule's threshold, from arrays: the first half of the definition of `device/contract/rules`.

    slice -> stretches of neighbours at or over the lowest exit threshold of a signal
          -> runs of the rules that leave there, and samples for the rules that leave earlier -> their runs

A run starts at the first sample of such a stretch that is at or over the entry threshold. Few samples are part of one:
all but the first step works on what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from device.contract.motion import ENGINE_ON
from device.contract.rules import Rule, Rules
from device.contract.trip import STANDING_DKMH
from features.slices import NULL, Integers, Slice

# A peak and its time are kept as one integer, whose maximum is the highest peak and of equal ones the earliest.
TIME: Final = 2**31
Table = dict[str, Integers]  # columns of one length


class Side(NamedTuple):
    """What is looked for in one signal with one sign."""

    signal: str
    sign: int
    leave: int  # the lowest exit threshold
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


def sides(rules: Rules) -> list[Side]:
    """Bring rules in order."""
    by_side: dict[tuple[str, int], list[Rule]] = {}
    for rule in rules.rules + rules.excursions:
        by_side.setdefault((rule.signal, rule.sign), []).append(rule)
    out = []
    for (signal, sign), of in sorted(by_side.items()):
        leave = min(rule.exit for rule in of)
        whole = tuple(rule for rule in of if rule.exit == leave)
        out.append(Side(signal, sign, leave, whole, tuple(rule for rule in of if rule.exit > leave)))
    return out


def find(motion: Slice, wanted: Sequence[Side], default_limit_dkmh: int) -> Found:
    """Find what a slice holds."""
    found = Found({}, {})
    for name in sorted({side.signal for side in wanted}):
        signal = _signal(motion, name, default_limit_dkmh)
        if signal is not None:
            of = [side for side in wanted if side.signal == name]
            first, last, sign = _stretches(motion, *signal, of)
            for side in of:
                mine = sign == side.sign
                _add(found, motion, signal[0], side, first[mine], last[mine])
    return found


def joined(parts: Sequence[tuple[int, Found]]) -> dict[Rule, Table]:
    """Runs by rule of several slices, each given with the number of its first trip."""
    whole = {
        rule: _concatenated([found.runs[rule] | {"trip": found.runs[rule]["trip"] + trip} for trip, found in parts if rule in found.runs])
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
    if name == "idling":
        idling = (engine == np.int8(ENGINE_ON)) & (speed < np.int16(STANDING_DKMH))
        return idling.view(np.int8), [unseen, motion.missing("engine")]
    if limit_kmh is None:
        return speed - np.int16(default_limit_dkmh), [unseen]
    # A limit holds for many rows: its tenths are made once for each stretch.
    first = np.flatnonzero(np.concatenate([[True], limit_kmh[1:] != limit_kmh[:-1]]))
    limit_dkmh = np.where(limit_kmh[first] == NULL, default_limit_dkmh, limit_kmh[first] * 10).astype(np.int16)
    return speed - np.repeat(limit_dkmh, np.diff(first, append=speed.size)), [unseen]


def _stretches(
    motion: Slice, values: Integers, unknown: Iterable[Integers], of: Sequence[Side]
) -> tuple[Integers, Integers, Integers]:
    """Neighbours that are on one side of the exit thresholds, or between them: first rows, ends, signs or 0."""
    at = np.zeros(values.size, np.int8)
    for side in of:
        if side.sign > 0:
            at += (values >= values.dtype.type(side.leave)).view(np.int8)
        else:
            at -= (values <= values.dtype.type(-side.leave)).view(np.int8)
    for rows in unknown:
        at[rows] = 0
    changed = np.ones(values.size, np.bool_)
    np.not_equal(at[1:], at[:-1], out=changed[1:])
    changed[1:] |= motion.apart[:-1]
    first = np.flatnonzero(changed)
    return first, np.append(first[1:], values.size), at[first]


def _add(found: Found, motion: Slice, values: Integers, side: Side, first: Integers, end: Integers) -> None:
    """Add the runs of the side's rules in stretches that begin and end there."""
    for rule in side.whole:
        found.runs[rule] = _whole_runs(motion, values, rule, first, end)
    if side.inner:
        _, reached = _onsets(values, side.sign, min(rule.entry for rule in side.inner), first, end)
        near = _samples(motion, values, side.sign, first[reached], end[reached])
        found.near.update(dict.fromkeys(side.inner, near))


def _onsets(values: Integers, sign: int, entry: int, first: Integers, end: Integers) -> tuple[Integers, Integers]:
    """First row at or over the entry threshold in each stretch that has one, and the numbers of these stretches."""
    kind = values.dtype.type
    over = np.flatnonzero(values >= kind(entry) if sign > 0 else values <= kind(-entry))
    next_over = np.append(over, values.size)[np.searchsorted(over, first)]
    reached = np.flatnonzero(next_over < end)
    return next_over[reached], reached


def _whole_runs(motion: Slice, values: Integers, rule: Rule, first: Integers, end: Integers) -> Table:
    onset, reached = _onsets(values, rule.sign, rule.entry, first, end)
    end = end[reached]
    if rule.merge_gap_ms < motion.period_ms.min():  # none can merge, so that a short one is none
        duration_ms = motion.t_ms[end - 1] - motion.t_ms[onset] + motion.period_ms[motion.trip[onset]]
        long = duration_ms >= rule.min_duration_ms
        onset, end = onset[long], end[long]
    return _table(motion.trip, motion.t_ms, motion.column("speed_dkmh"), values, rule, onset, end)


def _inner_runs(near: Near, rule: Rule) -> Table:
    at = np.flatnonzero(near.value >= rule.exit)
    trip, stretch, t_ms, value, speed = (column[at] for column in near)
    first = np.flatnonzero((np.diff(stretch, prepend=-1) != 0) | (np.diff(at, prepend=-1) != 1))
    end = np.append(first[1:], at.size)[: first.size]
    onset, reached = _onsets(value, 1, rule.entry, first, end)
    return _table(trip, t_ms, speed, value, replace(rule, sign=1), onset, end[reached])


def _table(
    trip: Integers,
    t_ms: Integers,
    speed_dkmh: Integers | None,
    values: Integers,
    rule: Rule,
    onset: Integers,
    end: Integers,
) -> Table:
    """Runs from rows of arrays: from onset up to end."""
    last = end - 1
    unknown = np.full(onset.size, NULL)
    return {
        "trip": trip[onset].astype(np.int64),
        "onset_ms": t_ms[onset].astype(np.int64),
        "end_ms": t_ms[last].astype(np.int64),
        "onset_speed_dkmh": unknown if speed_dkmh is None else speed_dkmh[onset].astype(np.int64),
        "end_speed_dkmh": unknown if speed_dkmh is None else speed_dkmh[last].astype(np.int64),
        "peak_and_time": _peaks(t_ms, values, rule, onset, end),
    }


def _peaks(t_ms: Integers, values: Integers, rule: Rule, onset: Integers, end: Integers) -> Integers:
    row, starts = _expanded(onset, end)
    peak_and_time = rule.sign * values[row].astype(np.int64) * TIME + (TIME - 1 - t_ms[row])
    return np.maximum.reduceat(peak_and_time, starts) if starts.size else peak_and_time


def _expanded(first: Integers, end: Integers) -> tuple[Integers, Integers]:
    """All rows from each first up to its end, and where in them each begins."""
    lengths = end - first
    starts = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(first - starts, lengths), starts


def _samples(motion: Slice, values: Integers, sign: int, first: Integers, end: Integers) -> Near:
    row, _ = _expanded(first, end)
    speed = motion.column("speed_dkmh")
    return Near(
        trip=motion.trip[row].astype(np.int64),
        stretch=np.repeat(np.arange(first.size), end - first),
        t_ms=motion.t_ms[row].astype(np.int64),
        value=sign * values[row].astype(np.int64),
        speed_dkmh=np.full(row.size, NULL) if speed is None else speed[row].astype(np.int64),
    )
