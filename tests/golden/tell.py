"""A difference in words and physical units, recording by recording and in total."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Final

from tests.golden.compare import Difference, Row, Shift, percent

FEATURES_SHOWN: Final = 6
EVENTS_SHOWN: Final = 8
SPEED_KINDS: Final = {"speeding": (10, "km/h")}  # peak in 0.1 km/h; of all others in 0.01 m/s2
LEAST_EFFECT: Final = 1e-8  # of a relativity, whose snapshot has 9 digits


def render(differences: list[Difference], *, everything: bool = False, one_model: bool = True) -> str:
    """Tell the differences recording by recording, and in total; `one_model`: that rated both sides."""
    lines: list[str] = []
    for difference in (found for found in differences if found.is_told):
        lines += [difference.name, *(f"  {line}" for line in _told(difference, everything=everything))]
    return "\n".join([*lines, *_total(differences, one_model=one_model)])


def _told(found: Difference, *, everything: bool) -> Iterator[str]:
    yield from found.lines
    events = [
        *((row["onset_ms"], f"+ {_event(row)}") for row in found.gained),
        *((row["onset_ms"], f"- {_event(row)}") for row in found.lost),
        *((shift.after["onset_ms"], f"~ {_shift(shift)}") for shift in found.shifted),
    ]
    limit = None if everything else EVENTS_SHOWN
    yield from (line for _, line in sorted(events)[:limit])
    if limit is not None and len(events) > limit:
        yield f"  and {len(events) - limit} more events (--all shows them)"
    ranked = sorted(found.features.items(), key=lambda item: (-abs(_effect(found, item[0]) or 0), -_move(*item[1])))
    limit = None if everything else FEATURES_SHOWN
    for name, (one, other) in ranked[:limit]:
        yield f"feature {name}: {_number(one)} -> {_number(other)} ({percent(one, other)}){_read(found, name)}"
    if limit is not None and len(ranked) > limit:
        yield f"  and {len(ranked) - limit} more features"
    if found.factor is not None:
        yield f"factor {_number(found.factor[0])} -> {_number(found.factor[1])} ({_moved(found)})"


def _moved(found: Difference) -> str:
    """How far a factor moved, or why it did not."""
    if found.relativity is None or found.factor is None:
        return f"stays: {why_it_stays(found)}"
    capped = "stays at a cap of the plan" if found.factor[0] == found.factor[1] else percent(*found.factor)
    return f"{capped}, before the caps {percent(*found.relativity)}"


def why_it_stays(found: Difference) -> str:
    """Why the relativity of a recording is the same, to the digits that are compared."""
    if not found.features:
        return "no feature moved"
    if found.effects is None:
        return "base's snapshot does not tell what the model reads"
    read = [name for name in found.features if _effect(found, name) is not None]
    if not read:
        return "the model reads none of what moved"
    effects = [_effect(found, name) or 0.0 for name in read]
    if not any(effects):
        return "the model's tables say the same of before and after"
    return "less than is printed" if sum(map(abs, effects)) < LEAST_EFFECT else "what moved cancels out"


def _effect(found: Difference, name: str) -> float | None:
    """Log of a feature's part in the move of the relativity; None where the model does not read it.

    A pair of features is shared by both, so that one that stayed may have a part, too.
    """
    if found.effects is None or not any(name in effects for effects in found.effects):
        return None
    before, after = (effects.get(name, 0.0) for effects in found.effects)
    return after - before


def _read(found: Difference, name: str) -> str:
    if found.effects is None:
        return ""
    effect = _effect(found, name)
    if effect is None:
        return ", not in the model"
    return f", its part {percent(1.0, math.exp(effect))}" if effect else ", the same to the model"


def _event(row: Row) -> str:
    steps, unit = SPEED_KINDS.get(row["kind"], (100, "m/s2"))
    speed = row["onset_speed_dkmh"]
    at = "at unknown speed" if speed is None else f"from {speed / 10:.0f} km/h"
    return f"{_clock(row['onset_ms'])} {row['kind']} level {row['level']}, {row['peak'] / steps:.2f} {unit} {at}"


def _shift(shift: Shift) -> str:
    one, other = shift
    steps, unit = SPEED_KINDS.get(one["kind"], (100, "m/s2"))
    told = [
        f"{name.removesuffix('_ms')} {other[name] - one[name]:+d} ms"
        for name in ("onset_ms", "peak_ms", "end_ms")
        if other[name] != one[name]
    ]
    if one["peak"] != other["peak"]:
        told.append(f"{(other['peak'] - one['peak']) / steps:+.2f} {unit}")
    if one["level"] != other["level"]:
        told.append(f"level {one['level']} -> {other['level']}")
    for name, word in (("onset_speed_dkmh", "speed at onset"), ("delta_v_dkmh", "change of speed")):
        if one[name] != other[name]:
            told.append(f"{word} {_kmh(one[name])} -> {_kmh(other[name])} km/h")
    return f"{_event(one)}: {', '.join(told)}"


def _kmh(speed_dkmh: int | None) -> str:
    return "?" if speed_dkmh is None else f"{speed_dkmh / 10:.1f}"


def _total(differences: list[Difference], *, one_model: bool) -> Iterator[str]:
    changed = sum(found.is_told for found in differences)
    yield f"In total: {changed} recording{'s' * (changed != 1)} changed"
    for word, kinds in (
        ("gained", Counter(row["kind"] for found in differences for row in found.gained)),
        ("lost", Counter(row["kind"] for found in differences for row in found.lost)),
        ("shifted", Counter(shift.before["kind"] for found in differences for shift in found.shifted)),
    ):
        by_kind = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        yield f"  events {word}: {kinds.total()}" + (f" ({by_kind})" if kinds else "")
    shifts = [shift for found in differences for shift in found.shifted]
    if shifts:
        onsets = [abs(shift.after["onset_ms"] - shift.before["onset_ms"]) for shift in shifts]
        yield f"    onset by {median(onsets):.0f} ms in the median, {max(onsets)} ms at most"
        peaks = [abs(s.after["peak"] - s.before["peak"]) / 100 for s in shifts if s.before["kind"] not in SPEED_KINDS]
        if peaks:
            yield f"    peak by {median(peaks):.2f} m/s2 in the median, {max(peaks):.2f} at most"
    moved = Counter(name for found in differences for name in found.features)
    yield f"  features moved: {len(moved)}"
    for name, count in sorted(moved.items(), key=lambda item: (-item[1], item[0])):
        pairs = [found.features[name] for found in differences if name in found.features]
        known = [100 * (b / a - 1) for a, b in pairs if a and b is not None]
        spread = f", {median(known):+.1f} % in the median, {min(known):+.1f} to {max(known):+.1f} %" if known else ""
        yield f"    {name}: in {count} recording{'s' * (count != 1)}{spread}"
    factors = [found.relativity for found in differences if found.relativity is not None]
    if not any(found.factor for found in differences):
        yield "  factors: not known of both sides"
        return
    by = "by one model" if one_model else "each side by its own model, since head cannot rate by that of base"
    yield f"  factors moved, {by}: {len(factors)}{_spread(factors)}"
    held = [found for found in differences if found.is_told and found.factor is not None and found.relativity is None]
    for why, count in sorted(Counter(map(why_it_stays, held)).items()):
        yield f"    {count} stay: {why}"
    capped = sum(found.relativity is not None and len({*found.factor}) == 1 for found in differences if found.factor)
    if capped:
        yield f"    {capped} of those that moved stay at a cap of the plan"
    factors = [found.retrained for found in differences if found.retrained is not None]
    if factors and one_model:
        yield f"  the reference model, trained anew, is another; by it {len(factors)} move{_spread(factors)}"


def _spread(factors: list[tuple[float | None, float | None]]) -> str:
    known = [100 * (b / a - 1) for a, b in factors if a and b is not None]
    if not known:
        return ""
    return f", before the caps {median(known):+.2f} % in the median, {min(known):+.2f} to {max(known):+.2f} %"


def _move(one: float | None, other: float | None) -> float:
    return float("inf") if not one or other is None else abs(other / one - 1)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _clock(t_ms: int) -> str:
    minutes, ms = divmod(t_ms, 60_000)
    return f"{minutes}:{ms / 1_000:04.1f}"
