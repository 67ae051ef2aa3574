"""Events and excursions from runs of samples: the second half of the definition of `device/contract/rules`.

runs of a rule -> merged -> long and fast enough -> events
"""

from __future__ import annotations

from typing import Final

import numpy as np

from device.contract.rules import Rule, Rules
from device.contract.trip import (
    DURATION_CLASSES,
    DURATION_EDGES_MS,
    ONSET_BANDS,
    PEAK_BINS,
    PEAK_STEP_CMPS2,
    SPEED_BANDS,
)
from features.runs import TIME, Table
from features.slices import NULL, Integers

EXCURSION_KEYS: Final = 8 * PEAK_BINS * DURATION_CLASSES * ONSET_BANDS


def events(runs: dict[Rule, Table], rules: Rules, period_ms: Integers) -> Table:
    """Tell the events.

    Parameters
    ----------
    runs : dict
        Runs of each rule that has any, as `features.runs.joined`.
    rules : Rules
    period_ms : ndarray, shape (n_trips,)
        Grid period of each trip.

    Returns
    -------
    dict of str to ndarray
        trip and the columns of `ingest.contract.tables.EVENTS` from kind to delta_v_dkmh; NULL where not known.
    """
    return _together(
        [_events(_merged(runs[rule], rule.merge_gap_ms), rule, period_ms) for rule in rules.rules if rule in runs]
    )


def excursions(runs: dict[Rule, Table], rules: Rules, period_ms: Integers) -> Table:
    """Tell the excursions: trip and key (`device.contract.trip.excursion_key`), one row each."""
    return _together([_excursions(runs[rule], rule, period_ms) for rule in rules.excursions if rule in runs])


def _together(tables: list[Table]) -> Table:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]} if tables else {}


def _merged(runs: Table, merge_gap_ms: int) -> Table:
    """Runs of a trip that are at most `merge_gap_ms` apart become one."""
    trip, onset_ms, end_ms = runs["trip"], runs["onset_ms"], runs["end_ms"]
    if trip.size == 0:
        return runs
    new = np.ones(trip.size, np.bool_)
    new[1:] = (trip[1:] != trip[:-1]) | (onset_ms[1:] - end_ms[:-1] > merge_gap_ms)
    first = np.flatnonzero(new)
    last = np.append(first[1:], trip.size) - 1
    ends = ("end_ms", "end_speed_dkmh")
    merged = {name: column[last if name in ends else first] for name, column in runs.items()}
    return merged | {"peak_and_time": np.maximum.reduceat(runs["peak_and_time"], first)}


def _events(runs: Table, rule: Rule, period_ms: Integers) -> Table:
    duration_ms, speed = _duration_ms(runs, period_ms), runs["onset_speed_dkmh"]
    counts = duration_ms >= rule.min_duration_ms
    if rule.min_speed_dkmh > 0:
        counts &= speed >= rule.min_speed_dkmh  # NULL is below all
    peak = runs["peak_and_time"] // TIME
    known = (speed != NULL) & (runs["end_speed_dkmh"] != NULL)
    table: Table = {
        "trip": runs["trip"],
        "kind": np.full(peak.size, rule.number),
        "level": np.searchsorted(rule.levels, peak, side="right"),
        "onset_ms": runs["onset_ms"],
        "peak_ms": TIME - 1 - (runs["peak_and_time"] - peak * TIME),
        "end_ms": runs["end_ms"],
        "duration_ms": duration_ms,
        "peak": peak,
        "onset_speed_dkmh": speed,
        "delta_v_dkmh": np.where(known, runs["end_speed_dkmh"] - speed, NULL),
    }
    return {name: column[counts] for name, column in table.items()}


def _duration_ms(runs: Table, period_ms: Integers) -> Integers:
    return np.asarray(runs["end_ms"] - runs["onset_ms"] + period_ms[runs["trip"]])


def _excursions(runs: Table, rule: Rule, period_ms: Integers) -> Table:
    peak_bin = np.minimum(runs["peak_and_time"] // TIME // PEAK_STEP_CMPS2, PEAK_BINS - 1)
    duration_class = np.searchsorted(DURATION_EDGES_MS, _duration_ms(runs, period_ms), side="right")
    speed = runs["onset_speed_dkmh"]
    band = np.where(speed == NULL, SPEED_BANDS, np.minimum(speed // 100, SPEED_BANDS - 1))
    key = ((rule.number * PEAK_BINS + peak_bin) * DURATION_CLASSES + duration_class) * ONSET_BANDS + band
    return {"trip": runs["trip"], "key": key}
