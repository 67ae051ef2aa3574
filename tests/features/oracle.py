"""The definitions of events and summaries written out once more, sample by sample and as plainly as possible.

The third opinion beside `device` and `features`: nothing is shared with them but the rules' numbers and the bin sizes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from device.contract.motion import MotionSample
from device.contract.rules import Rule, Rules

SEGMENT_FIELDS = (
    "distance_mm",
    "observed_ms",
    "unobserved_ms",
    "moving_ms",
    "standing_ms",
    "idle_ms",
    "limit_known_ms",
    "speeding_ms",
    "over_130_ms",
)
Row = tuple[Any, ...]  # kind, level, onset, peak time, end, duration, peak, onset speed, delta v


@dataclass
class Run:
    rows: list[tuple[int, int, int | None]]  # t_ms, signal, speed

    def onset(self) -> int:
        return self.rows[0][0]

    def end(self) -> int:
        return self.rows[-1][0]


def signal(rule: Rule, sample: MotionSample, default_limit_dkmh: int) -> int | None:
    if rule.signal == "over_limit_dkmh":
        if sample.speed_dkmh is None:
            return None
        if sample.limit_kmh is None:
            return sample.speed_dkmh - default_limit_dkmh
        return sample.speed_dkmh - 10 * sample.limit_kmh
    if rule.signal == "idling":
        if sample.speed_dkmh is None or sample.engine is None:
            return None
        return 1 if sample.engine == 1 and sample.speed_dkmh < 10 else 0
    value = {
        "accel_lon_cmps2": sample.accel_lon_cmps2,
        "accel_lat_cmps2": sample.accel_lat_cmps2,
        "accel_peak_cmps2": sample.accel_peak_cmps2,
    }[rule.signal]
    return None if value is None else rule.sign * value


def runs(samples: list[MotionSample], rule: Rule, default_limit_dkmh: int, period_ms: int) -> list[Run]:
    """Blocks at or over exit, unknown for at most `bridge_ms` at once, each cut to start at its first over entry."""
    blocks: list[list[tuple[int, int, int | None]]] = []
    before_ms = -1
    held_ms: int | None = None  # the last sample at or over exit, if all since then are unknown
    for sample in samples:
        value = signal(rule, sample, default_limit_dkmh)
        if sample.t_ms - before_ms != period_ms:
            held_ms = None
        before_ms = sample.t_ms
        if value is None:
            continue
        if value < rule.exit:
            held_ms = None
            continue
        row = (sample.t_ms, value, sample.speed_dkmh)
        unknown_ms = None if held_ms is None else sample.t_ms - held_ms - period_ms
        if unknown_ms is not None and unknown_ms <= rule.bridge_ms:
            blocks[-1].append(row)
        else:
            blocks.append([row])
        held_ms = sample.t_ms
    found = []
    for block in blocks:
        entered = [i for i, (_, value, _) in enumerate(block) if value >= rule.entry]
        if entered:
            found.append(Run(block[entered[0] :]))
    return found


def merge(found: list[Run], gap_ms: int) -> list[Run]:
    merged: list[Run] = []
    for run in found:
        if merged and run.onset() - merged[-1].end() <= gap_ms:
            merged[-1] = Run(merged[-1].rows + run.rows)
        else:
            merged.append(run)
    return merged


def events(samples: list[MotionSample], rules: Rules, period_ms: int) -> list[Row]:
    """Events sorted by onset and kind."""
    rows: list[Row] = []
    for rule in rules.rules:
        for run in merge(runs(samples, rule, rules.default_limit_dkmh, period_ms), rule.merge_gap_ms):
            duration_ms = run.end() - run.onset() + period_ms
            onset_speed, end_speed = run.rows[0][2], run.rows[-1][2]
            if duration_ms < rule.min_duration_ms:
                continue
            if rule.min_speed_dkmh > 0 and (onset_speed is None or onset_speed < rule.min_speed_dkmh):
                continue
            peak = max(value for _, value, _ in run.rows)
            peak_ms = min(t for t, value, _ in run.rows if value == peak)
            delta_v = None if onset_speed is None or end_speed is None else end_speed - onset_speed
            level = len([threshold for threshold in rule.levels if threshold <= peak])
            rows.append((rule.number, level, run.onset(), peak_ms, run.end(), duration_ms, peak, onset_speed, delta_v))
    return sorted(rows, key=lambda row: (row[2], row[0]))


def segments(samples: list[MotionSample], start_ms: int, utc_offset_min: int | None) -> dict[str, Any]:
    """Sum over successive samples with known speed."""
    n: Counter[str] = Counter()
    by_speed: Counter[int] = Counter()
    by_hour: Counter[int] = Counter()
    known = [(sample, sample.speed_dkmh) for sample in samples if sample.speed_dkmh is not None]
    for (a, speed_a), (b, speed_b) in pairwise(known):
        dt = b.t_ms - a.t_ms
        if dt > 5_000:
            n["unobserved_ms"] += dt
            continue
        mean_dkmh = (speed_a + speed_b) / 2
        mm = ((speed_a + speed_b) * dt + 36) // 72
        n["distance_mm"] += mm
        n["observed_ms"] += dt
        n["moving_ms"] += dt * (mean_dkmh >= 10)
        n["standing_ms"] += dt * (mean_dkmh < 10)
        n["idle_ms"] += dt * (mean_dkmh < 10 and a.engine == 1)
        n["over_130_ms"] += dt * (mean_dkmh > 1_300)
        if a.limit_kmh is not None:
            n["limit_known_ms"] += dt
            n["speeding_ms"] += dt * (mean_dkmh > 10 * a.limit_kmh)
        by_speed[min(int(mean_dkmh // 100), 15)] += mm
        if utc_offset_min is not None:
            minutes = (start_ms + a.t_ms) // 60_000 + utc_offset_min
            by_hour[(minutes // 60 + 3 * 24) % (7 * 24)] += mm
    sums = {name: n[name] for name in SEGMENT_FIELDS}
    return {**sums, "distance_by_speed_mm": +by_speed, "distance_by_hour_mm": +by_hour}


def heatmap(samples: list[MotionSample], period_ms: int) -> Counter[int]:
    va: Counter[int] = Counter()
    for s in samples:
        if s.speed_dkmh is not None and s.accel_lon_cmps2 is not None:
            step = (max(-600, min(600, s.accel_lon_cmps2)) + 10) // 20  # bin 0 is [-0.1, 0.1) m/s2
            va[min(s.speed_dkmh // 100, 15) * 61 + 30 + step] += period_ms
    return va


def excursions(samples: list[MotionSample], rules: Rules, period_ms: int) -> Counter[int]:
    counts: Counter[int] = Counter()
    for rule in rules.excursions:
        for run in runs(samples, rule, rules.default_limit_dkmh, period_ms):
            duration_ms = run.end() - run.onset() + period_ms
            duration_class = (duration_ms >= 1_000) + (duration_ms >= 2_000) + (duration_ms >= 4_000)
            peak_bin = min(max(value for _, value, _ in run.rows) // 25, 63)
            onset_speed = run.rows[0][2]
            band = 16 if onset_speed is None else min(onset_speed // 100, 15)
            counts[((rule.number * 64 + peak_bin) * 4 + duration_class) * 17 + band] += 1
    return counts


def summary(
    samples: list[MotionSample], rules: Rules, period_ms: int, start_ms: int, utc_offset_min: int | None
) -> dict[str, Any]:
    """Every field of a trip summary."""
    return {
        "duration_ms": samples[-1].t_ms + period_ms,
        "samples": len(samples),
        "max_speed_dkmh": max((s.speed_dkmh for s in samples if s.speed_dkmh is not None), default=0),
        "speed_null_samples": sum(s.speed_dkmh is None for s in samples),
        "accel_null_samples": sum(s.accel_lon_cmps2 is None for s in samples),
        "lateral_samples": sum(s.accel_lat_cmps2 is not None for s in samples),
        "jump_samples": sum(s.quality & 1 for s in samples),
        "coarse_samples": sum((s.quality & 2) // 2 for s in samples),
        **segments(samples, start_ms, utc_offset_min),
        "va_ms": heatmap(samples, period_ms),
        "excursions": excursions(samples, rules, period_ms),
        "event_counts": Counter(kind * 8 + level for kind, level, *_ in events(samples, rules, period_ms)),
    }
