"""The difference between two snapshots in physical units: trips, events, features and factors, and in total."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, NamedTuple

NEAR_MS: Final = 3_000  # events of one kind this close are the same event, shifted
FEATURES_SHOWN: Final = 6
EVENTS_SHOWN: Final = 8
SPEED_KINDS: Final = {"speeding": (10, "km/h")}  # peak in 0.1 km/h; of all others in 0.01 m/s2
MOVING: Final = ("onset_ms", "peak_ms", "end_ms", "peak", "level", "onset_speed_dkmh", "delta_v_dkmh")

Row = Mapping[str, Any]


class Shift(NamedTuple):
    """An event before and after."""

    before: Row
    after: Row


@dataclass(slots=True)
class Difference:
    """What changed for one recording. `lines` are facts that have no number: a trip gained, another reason."""

    name: str
    lines: list[str] = field(default_factory=list)
    gained: list[Row] = field(default_factory=list)
    lost: list[Row] = field(default_factory=list)
    shifted: list[Shift] = field(default_factory=list)
    features: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    factor: tuple[float | None, float | None] | None = None
    relativity: tuple[float | None, float | None] | None = None
    retrained: tuple[float | None, float | None] | None = None

    @property
    def is_told(self) -> bool:
        """Whether there is more than another model, which moves everything a little."""
        return bool(self.lines or self.gained or self.lost or self.shifted or self.features or self.relativity)

    def __bool__(self) -> bool:
        return self.is_told or self.retrained is not None


def compare(before: Mapping[str, Row], after: Mapping[str, Row]) -> list[Difference]:
    """Compare the `recordings` of two snapshots; those without a difference are left out."""
    found = [_recording(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    return [difference for difference in found if difference]


def _recording(name: str, before: Row | None, after: Row | None) -> Difference:
    found = Difference(name)
    if before is None or after is None:
        found.lines.append("is new, there is nothing to compare with" if before is None else "is gone")
        return found
    told = before.get("refused"), after.get("refused")
    if told[0] != told[1]:
        found.lines += [
            f"was refused{told[0]}" if told[0] else "was read",
            f"is refused{told[1]}" if told[1] else "is read",
        ]
    if any(told):
        return found
    found.lines += _trips(before["trips"], after["trips"])
    found.gained, found.lost, found.shifted = match(before["events"], after["events"])
    if "features" in before and "features" in after:
        names = {**before["features"], **after["features"]}
        pairs = {name: (before["features"].get(name), after["features"].get(name)) for name in names}
        found.features = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if "relativity" in before and "relativity" in after:
        if before["relativity"] != after["relativity"]:
            found.relativity = before["relativity"], after["relativity"]
            found.factor = before["factor"], after["factor"]
        if before["retrained"] != after["retrained"]:
            found.retrained = before["retrained"], after["retrained"]
    return found


def _reading(refused: str | None) -> str:
    return f"refused{refused}" if refused else "read"


def match(before: list[Row], after: list[Row]) -> tuple[list[Row], list[Row], list[Shift]]:
    """Return events gained, lost, and shifted: pairs of a kind, the nearest first, at most `NEAR_MS` apart at onset."""
    pairs = sorted(
        (abs(one["onset_ms"] - other["onset_ms"]), i, j)
        for i, one in enumerate(before)
        for j, other in enumerate(after)
        if one["kind"] == other["kind"] and abs(one["onset_ms"] - other["onset_ms"]) <= NEAR_MS
    )
    left, right = dict(enumerate(before)), dict(enumerate(after))
    shifted = []
    for _, i, j in pairs:
        if i in left and j in right:
            shift = Shift(left.pop(i), right.pop(j))
            if any(shift.before[name] != shift.after[name] for name in MOVING):
                shifted.append(shift)
    return list(right.values()), list(left.values()), sorted(shifted, key=lambda shift: shift.after["onset_ms"])


def _trips(before: list[Row], after: list[Row]) -> Iterator[str]:
    if len(before) != len(after):
        yield f"trips: {len(before)} -> {len(after)}"
        return
    for number, (one, other) in enumerate(zip(before, after, strict=True), start=1):
        changed = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        told = [f"{name} {_amount(name, one.get(name), other.get(name))}" for name in changed if name != "event_counts"]
        if told:
            yield f"trip {number}: {', '.join(told)}"


def _amount(name: str, one: Any, other: Any) -> str:
    if name == "distance_mm" and one and other:
        return f"{one / 1e6:.3f} -> {other / 1e6:.3f} km ({percent(one, other)})"
    if isinstance(one, str) and isinstance(other, str):
        return "changed"  # a histogram: only its digest is kept
    return f"{one} -> {other}"


def render(differences: list[Difference], *, everything: bool = False) -> str:
    """Tell the differences recording by recording, and in total; nothing where there is none."""
    lines: list[str] = []
    for difference in (found for found in differences if found.is_told):
        lines += [difference.name, *(f"  {line}" for line in _told(difference, everything=everything))]
    return "\n".join([*lines, *_total(differences)])


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
    ranked = sorted(found.features.items(), key=lambda item: -_move(*item[1]))
    limit = None if everything else FEATURES_SHOWN
    for name, (one, other) in ranked[:limit]:
        yield f"feature {name}: {_number(one)} -> {_number(other)} ({percent(one, other)})"
    if limit is not None and len(ranked) > limit:
        yield f"  and {len(ranked) - limit} more features"
    if found.factor is not None and found.relativity is not None:
        capped = ", before the caps " + percent(*found.relativity)
        yield f"factor {_number(found.factor[0])} -> {_number(found.factor[1])} ({percent(*found.factor)}{capped})"


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


def _total(differences: list[Difference]) -> Iterator[str]:
    yield f"In total: {sum(found.is_told for found in differences)} recordings changed"
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
        yield f"    {name}: in {count} recordings{spread}"
    factors = [found.relativity for found in differences if found.relativity is not None]
    yield f"  factors moved, by one model: {len(factors)}{_spread(factors)}"
    factors = [found.retrained for found in differences if found.retrained is not None]
    if factors:
        yield f"  the reference model, trained anew, is another; by it {len(factors)} move{_spread(factors)}"


def _spread(factors: list[tuple[float | None, float | None]]) -> str:
    known = [100 * (b / a - 1) for a, b in factors if a and b is not None]
    if not known:
        return ""
    return f", before the caps {median(known):+.2f} % in the median, {min(known):+.2f} to {max(known):+.2f} %"


def percent(one: float | None, other: float | None) -> str:
    """Relative change as text."""
    if one is None or other is None:
        return "now known" if one is None else "no longer known"
    if one == 0:
        return "from 0"
    return f"{100 * (other / one - 1):+.2f} %"


def _move(one: float | None, other: float | None) -> float:
    return float("inf") if not one or other is None else abs(other / one - 1)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _clock(t_ms: int) -> str:
    minutes, ms = divmod(t_ms, 60_000)
    return f"{minutes}:{ms / 1_000:04.1f}"
