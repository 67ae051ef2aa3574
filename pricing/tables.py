"""Rating tables: the filed form of the score, one table a feature and one a pair of features.

    score = intercept + sum of main effects + sum of pairs

An effect is an integer in units of 1e-12 of a logarithm, and what stands between two effects a mixture of them in whole
parts (`between.py`), so a score is one exact sum: it does not depend on the order of the terms, the machine or any
library, and the certificate (`certificate.py`) is a proof in integers.

A bin holds its upper end: bin k of ends e_0 < e_1 < .. is e_(k-1) < x <= e_k, the one after the last is open, and a
last one stands for "not known". A pair's bins are joined bins of its features, so its points are theirs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np

from pricing.arrays import Floats, Ints
from pricing.between import PARTS, Place, across, along, bins, place
from pricing.errors import ModelError

UNIT: Final = 1e-12
EXACT_UNIT: Final = UNIT / PARTS**2  # of a score's integer
MAIN_FILE: Final = "main_effects.csv"
PAIR_FILE: Final = "pair_effects.csv"
_SHARE: Final = "share_of_expected_claims"
MAIN_COLUMNS: Final = ("feature", "bin", "above", "up_to", "point", "effect_1e12", "relativity", _SHARE)
PAIR_COLUMNS: Final = (
    "feature_1",
    "above_1",
    "up_to_1",
    "feature_2",
    "above_2",
    "up_to_2",
    "effect_1e12",
    "relativity",
)
UNKNOWN: Final = "not known"
_INTERCEPT: Final = "(intercept)"
_BLOCK: Final = 4_096  # rows looked up at a time: places and terms stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Main:
    """Main effect of one feature.

    Attributes
    ----------
    ends : numpy.ndarray, shape (n_ends,)
        Upper ends of all bins but the last two.
    effect : numpy.ndarray of int, shape (n_ends + 2,)
    share : numpy.ndarray, shape (n_ends + 2,)
        Share of the training rows' expected claims in each bin; a row between two points counts to both.
    points : numpy.ndarray, shape (n_ends + 1,) or (0,)
        Where in each bin but "not known" its effect holds, in a straight line between; none: in the whole bin.
    """

    feature: str
    ends: Floats
    effect: Ints
    share: Floats
    points: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def middle(self) -> float | None:
        """Value that half of the known expected claims lie below, by straight lines between points; None of steps."""
        known = self.share[: len(self.points)]
        if not known.sum() > 0:
            return None
        return float(np.interp(known.sum() / 2, np.cumsum(known) - known / 2, self.points))


@dataclass(frozen=True, slots=True)
class Pair:
    """Interaction of two features beyond their main effects; its ends are some of theirs.

    Attributes
    ----------
    effect : numpy.ndarray of int, shape (n_first_ends + 2, n_second_ends + 2)
    """

    first: str
    second: str
    first_ends: Floats
    second_ends: Floats
    effect: Ints


@dataclass(frozen=True, slots=True, eq=False)
class RatingTables:
    """The score of a model, as tables; `mains` in the order of the matrix's columns."""

    intercept: int
    mains: tuple[Main, ...]
    pairs: tuple[Pair, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RatingTables) and self.files() == other.files()

    def __hash__(self) -> int:
        return hash(tuple(self.files().values()))

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the columns."""
        return tuple(main.feature for main in self.mains)

    def __post_init__(self) -> None:
        """Refuse tables that do not fit together, or whose sums no int64 could hold."""
        ends = {main.feature: main.ends for main in self.mains}
        for main in self.mains:
            if len(main.points) and not _rise(main.points, len(main.ends) + 1):
                raise ModelError(f"{main.feature}: the points do not rise from bin to bin; train again")
        for pair in self.pairs:
            for name, own in ((pair.first, pair.first_ends), (pair.second, pair.second_ends)):
                if name not in ends or not np.isin(own, ends[name]).all():
                    raise ModelError(f"{pair.first}, {pair.second}: the borders of {name} are not its own; train again")
        effects = [*(main.effect for main in self.mains), *(pair.effect for pair in self.pairs)]
        largest = abs(self.intercept) + sum(max(int(effect.max()), -int(effect.min())) for effect in effects)
        if largest * PARTS**2 > np.iinfo(np.int64).max:
            raise ModelError("the effects are too large to be those of driving; raise model.l2 and train again")

    def steps(self) -> RatingTables:
        """The same tables without points: an effect holds in its whole bin."""
        return replace(self, mains=tuple(replace(main, points=np.empty(0)) for main in self.mains))

    def score(self, x: Floats) -> Floats:
        """Raw score, the log of claims over the offset. Shape (n_rows, n_features) to (n_rows,)."""
        return in_logs(self.exact_score(x))

    def exact_score(self, x: Floats) -> Ints:
        """Raw score as a whole number of EXACT_UNIT, shape (n_rows,)."""
        total = np.full(len(x), self.intercept * PARTS**2, dtype=np.int64)
        for rows, _, value in self._terms(x):
            total[rows] += value
        return total

    def contributions(self, x: Floats) -> Floats:
        """What each feature adds to the raw score: its main effect and half of each of its pairs.

        These are the exact Shapley values against drivers whose features are independent, each distributed as in
        training, because main effects and pairs have mean 0 there.

        Returns
        -------
        numpy.ndarray, shape (n_rows, n_features + 1)
            The last column is the intercept; a row sums to the score.
        """
        return in_logs(self.exact_contributions(x))

    def exact_contributions(self, x: Floats) -> Ints:
        """`contributions` as whole numbers of EXACT_UNIT; a row sums to `exact_score`."""
        parts = np.zeros((len(self.mains) + 1, len(x)), dtype=np.int64)
        parts[-1] = self.intercept * PARTS**2
        for rows, columns, value in self._terms(x):
            half = value // len(columns)
            parts[columns[0], rows] += half
            if len(columns) > 1:
                parts[columns[1], rows] += value - half
        return parts.T

    def _terms(self, x: Floats) -> Iterator[tuple[slice, tuple[int, ...], Ints]]:
        """Block of rows, columns, and what the table of that feature or pair gives there; a block at a time."""
        at = {name: column for column, name in enumerate(self.features)}
        every = {main.feature: np.append(main.ends, (np.inf, np.nan)) for main in self.mains}  # a value in each bin
        pairs = [(at[pair.first], at[pair.second], _on_bins_of(every, pair)) for pair in self.pairs]
        for start in range(0, len(x), _BLOCK):
            rows = slice(start, start + _BLOCK)
            places: list[Place] = []
            for column, main in enumerate(self.mains):
                places.append(place(main.ends, main.points, x[rows, column]))
                yield rows, (column,), along(main.effect, places[-1]) * PARTS
            for first, second, effect in pairs:
                yield rows, (first, second), across(effect, places[first], places[second])

    def main_rows(self) -> list[dict[str, object]]:
        """Main effects as rows of `MAIN_FILE`, the intercept first."""
        rows: list[dict[str, object]] = [
            dict.fromkeys(MAIN_COLUMNS, "") | {"feature": _INTERCEPT, "effect_1e12": self.intercept}
        ]
        for main in self.mains:
            points = [*main.points.tolist(), *[""] * (len(main.effect) - len(main.points))]
            for k, (above, up_to) in enumerate(_borders(main.ends)):
                effect = int(main.effect[k])
                told = (main.feature, k, above, up_to, points[k], effect, _relativity(effect), float(main.share[k]))
                rows.append(dict(zip(MAIN_COLUMNS, told, strict=True)))
        return rows

    def pair_rows(self) -> list[dict[str, object]]:
        """Pairs as rows of `PAIR_FILE`."""
        rows = []
        for pair in self.pairs:
            for i, first in enumerate(_borders(pair.first_ends)):
                for j, second in enumerate(_borders(pair.second_ends)):
                    effect = int(pair.effect[i, j])
                    told = (pair.first, *first, pair.second, *second, effect, _relativity(effect))
                    rows.append(dict(zip(PAIR_COLUMNS, told, strict=True)))
        return rows

    def files(self) -> dict[str, str]:
        """Text of `MAIN_FILE` and `PAIR_FILE`, the same for the same tables."""
        return {
            MAIN_FILE: _csv(MAIN_COLUMNS, self.main_rows()),
            PAIR_FILE: _csv(PAIR_COLUMNS, self.pair_rows()),
        }


def _rise(points: Floats, count: int) -> bool:
    return len(points) == count and bool(np.isfinite(points).all() and (np.diff(points) > 0).all())


def in_logs(exact: Ints) -> Floats:
    """Scores or contributions in whole EXACT_UNIT, as logarithms."""
    logs: Floats = np.multiply(exact, EXACT_UNIT, dtype=np.float64)
    return logs


def _on_bins_of(every: Mapping[str, Floats], pair: Pair) -> Ints:
    """A pair's effects on the bins of its two features."""
    first, second = bins(pair.first_ends, every[pair.first]), bins(pair.second_ends, every[pair.second])
    return pair.effect[first[:, None], second]


def read_tables(files: Mapping[str, str]) -> RatingTables:
    """Read what `RatingTables.files` wrote; floats and integers come back as they were.

    Raises
    ------
    ModelError
        If a text is no such table.
    """
    try:
        mains = _rows(files[MAIN_FILE], MAIN_COLUMNS)
        pairs = _rows(files[PAIR_FILE], PAIR_COLUMNS)
        by_feature = _grouped(mains[1:], ("feature",))
        by_pair = _grouped(pairs, ("feature_1", "feature_2"))
        return RatingTables(
            int(mains[0]["effect_1e12"]),
            tuple(_main(name, rows) for (name,), rows in by_feature.items()),
            tuple(_pair(first, second, rows) for (first, second), rows in by_pair.items()),
        )
    except (ValueError, KeyError, IndexError) as error:
        raise ModelError(f"{MAIN_FILE} or {PAIR_FILE} is no rating table: {error}; train again") from error


def _csv(columns: tuple[str, ...], rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(text: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != columns:
        raise ValueError(f"the columns are not {', '.join(columns)}")
    return list(reader)


def _grouped(rows: Iterable[dict[str, str]], keys: tuple[str, ...]) -> dict[tuple[str, ...], list[dict[str, str]]]:
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _main(name: str, rows: list[dict[str, str]]) -> Main:
    effect = np.array([int(row["effect_1e12"]) for row in rows], dtype=np.int64)
    share = np.array([float(row[_SHARE]) for row in rows])
    points = np.array([float(row["point"]) for row in rows if row["point"] != ""])
    return Main(name, _ends([row["up_to"] for row in rows]), effect, share, points)


def _pair(first: str, second: str, rows: list[dict[str, str]]) -> Pair:
    first_ends = _ends(list(dict.fromkeys(row["up_to_1"] for row in rows)))
    second_ends = _ends(list(dict.fromkeys(row["up_to_2"] for row in rows)))
    effect = np.array([int(row["effect_1e12"]) for row in rows], dtype=np.int64)
    return Pair(first, second, first_ends, second_ends, effect.reshape(len(first_ends) + 2, len(second_ends) + 2))


def _ends(up_to: list[str]) -> Floats:
    return np.array([float(value) for value in up_to if value not in ("", UNKNOWN)], dtype=np.float64)


def _borders(ends: Floats) -> list[tuple[object, object]]:
    """(above, up to) of each bin; "" where it is open."""
    told: list[object] = ["", *(float(end) for end in ends), ""]
    return [*pairwise(told), (UNKNOWN, UNKNOWN)]


def _relativity(effect: int) -> float:
    return float(np.round(np.exp(effect * UNIT), 9))
