"""The difference between two snapshots: trips, events, features and factors; `tell` puts it in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

NEAR_MS: Final = 3_000  # events of one kind this close are the same event, shifted
MOVING: Final = ("onset_ms", "peak_ms", "end_ms", "peak", "level", "onset_speed_dkmh", "delta_v_dkmh")

Row = Mapping[str, Any]


class Shift(NamedTuple):
    """An event before and after."""

    before: Row
    after: Row


@dataclass(slots=True)
class Difference:
    """What changed for one recording.

    Attributes
    ----------
    lines : list of str
        Facts that have no number: a trip gained, another reason.
    factor : tuple of float, or None
        Before and after, also where it stays; None where it is not known of both.
    relativity : tuple of float, or None
        The factor before the plan's limits; None where it stays.
    effects : tuple of dict of str to float, or None
        Log of what each feature that the model reads does to the relativity, before and after; None where a snapshot
        does not tell.
    """

    name: str
    lines: list[str] = field(default_factory=list)
    gained: list[Row] = field(default_factory=list)
    lost: list[Row] = field(default_factory=list)
    shifted: list[Shift] = field(default_factory=list)
    features: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    factor: tuple[float | None, float | None] | None = None
    relativity: tuple[float | None, float | None] | None = None
    effects: tuple[Mapping[str, float], Mapping[str, float]] | None = None
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
        found.factor = before["factor"], after["factor"]
        if before["relativity"] != after["relativity"]:
            found.relativity = before["relativity"], after["relativity"]
        if "effects" in before and "effects" in after:
            found.effects = before["effects"], after["effects"]
        if before["retrained"] != after["retrained"]:
            found.retrained = before["retrained"], after["retrained"]
    return found


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


def percent(one: float | None, other: float | None) -> str:
    """Relative change as text."""
    if one is None or other is None:
        return "now known" if one is None else "no longer known"
    if one == 0:
        return "from 0"
    told = f"{100 * (other / one - 1):+.2f} %"
    return "below 0.01 %" if one != other and told in {"+0.00 %", "-0.00 %"} else told
