"""Monotonicity certificate: a proof, in integers, that worse driving never lowers a factor.

A step of the catalogue's order (one event more, one raised a level, time moved outwards in the v-a heatmap, time at the
limit turned into time over it) raises features, never lowers one, and every feature it raises is monotone in the
catalogue. So it is enough that the score never falls along each monotone feature, whatever the other features are.

For feature i and a step from one bin to the next, the change of the score is

    main effect's change + sum over its pairs (i, j) of the pair's change at j's bin

and each j stands in one such pair alone, so the least change is the main effect's plus the sum of each pair's least:
an exact minimum over all drivers there can be, not a sample of them. Where the plan includes severity, the relativity
is a product; it never falls if neither part does, and each is proven by itself.

Tables with lines between points are proven by the same minimum. As x_i rises, its place rises (`between.py`): part by
part from bin k to bin k + 1, PARTS of them. With each, the score, counted in units of 1 / PARTS², changes by

    PARTS (change of the main effect from k to k + 1)
    + sum over pairs (i, j) of sum over j's bins l of w_jl (change of the pair from k to k + 1 at bin l)

where w_jl >= 0 are the parts of j in its bins and sum to PARTS, also where j is not known. A mean is no less than the
least, so this is at least PARTS times the number above, of the step from k to k + 1. All of it is integers. Where no
step falls, no x_i that rises lowers the score.

What the scores do, the later steps keep, if the conditions of `later_steps` hold: R = exp(sum of b Z (s - s_bar)) with
b >= 0 and Z >= 0 of the distance alone, which the order holds fixed; tiers whose relativities rise; own claims, where
R theta(R) = R (1 + v n) / (1 + v m R) rises with R for every v >= 0. Clips and rounding never fall, B held fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from pricing.arrays import Floats, Ints
from pricing.between import bins
from pricing.tables import UNIT, UNKNOWN, Main, Pair, RatingTables


@dataclass(frozen=True, slots=True)
class Proof:
    """What holds of one monotone feature.

    Attributes
    ----------
    part : str
        frequency, or severity.
    steps : int
        Borders between bins that were looked at, each against all bins of all other features.
    least_change_1e12 : int
        Least change of the score, in its direction, over all of them; 0 where there is none.
    at, others : str or None, dict
        Where the least change is: the border passed, and the bins of other features. None and empty when it is 0.
    """

    feature: str
    part: str
    direction: int
    steps: int
    least_change_1e12: int
    at: float | None
    others: dict[str, str]

    @property
    def holds(self) -> bool:
        """Whether the score never moves against the direction."""
        return self.least_change_1e12 >= 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """Proofs of all monotone features, and the conditions under which the later steps keep what the score promises."""

    order: str
    proofs: tuple[Proof, ...]
    later_steps: dict[str, bool]

    @property
    def holds(self) -> bool:
        """Whether worse driving never lowers a factor."""
        return all(proof.holds for proof in self.proofs) and all(self.later_steps.values())

    def faults(self) -> list[str]:
        """What does not hold, a line each, with its counter-example."""
        lines = [f"{name}: does not hold" for name, holds in self.later_steps.items() if not holds]
        for proof in self.proofs:
            if not proof.holds:
                where = ", ".join(f"{name} {bin_}" for name, bin_ in proof.others.items())
                lines.append(
                    f"{proof.feature}: the score of {proof.part} moves by {proof.least_change_1e12 * UNIT:.3g} "
                    f"against its direction where it passes {proof.at:g}" + (f", at {where}" if where else "")
                )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "holds": self.holds,
            "order": self.order,
            "proofs": [asdict(proof) | {"holds": proof.holds} for proof in self.proofs],
            "later_steps": dict(self.later_steps),
        }


def certify(
    parts: Mapping[str, tuple[RatingTables, float]],
    directions: tuple[int, ...],
    order: str,
    later: Mapping[str, bool] = MappingProxyType({}),
) -> Certificate:
    """Prove, or find where it fails.

    Parameters
    ----------
    parts : mapping
        Tables and calibration slope b of each part of the relativity, by name.
    directions : tuple of int
        Of each feature of the tables: +1, -1, or 0 where nothing is promised.
    order : str
        The catalogue's: which steps are worse driving.
    later : mapping
        What else has to hold of the steps after the scores, and whether it does.
    """
    proofs = tuple(
        _prove(name, main, [pair for pair in tables.pairs if main.feature in (pair.first, pair.second)], direction)
        for name, (tables, _) in parts.items()
        for main, direction in zip(tables.mains, directions, strict=True)
        if direction
    )
    slopes = {f"the calibration slope b of {name} is not below 0": b >= 0 for name, (_, b) in parts.items()}
    return Certificate(order, proofs, slopes | dict(later))


def _prove(part: str, main: Main, pairs: list[Pair], direction: int) -> Proof:
    if not len(main.ends):
        return Proof(main.feature, part, direction, 0, 0, None, {})
    change = direction * np.diff(main.effect[: len(main.ends) + 1])
    worst: list[tuple[str, Pair, Ints]] = []
    for pair in pairs:
        own_first = pair.first == main.feature
        table, ends = (pair.effect, pair.first_ends) if own_first else (pair.effect.T, pair.second_ends)
        of_bin = bins(ends, np.array([*main.ends, np.inf]))
        by_other = direction * np.diff(table[of_bin], axis=0)
        change = change + by_other.min(axis=1)
        worst.append((pair.second if own_first else pair.first, pair, by_other.argmin(axis=1)))
    step = int(change.argmin())
    least = int(change[step])
    if least == 0:
        return Proof(main.feature, part, direction, len(change), 0, None, {})
    others = {
        name: _told(pair.second_ends if pair.first == main.feature else pair.first_ends, int(at[step]))
        for name, pair, at in worst
    }
    return Proof(main.feature, part, direction, len(change), least, float(main.ends[step]), others)


def _told(ends: Floats, k: int) -> str:
    """A bin in words."""
    if k > len(ends):
        return UNKNOWN
    if k == len(ends):
        return f"above {ends[-1]:g}" if len(ends) else "any"
    return f"up to {ends[k]:g}" if k == 0 else f"{ends[k - 1]:g} to {ends[k]:g}"
