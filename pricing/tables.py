"""Rating tables: the filed form of the score, one table a feature and one a pair of features.

    score = intercept + sum of main effects + sum of pairs

An effect is an integer in units of 1e-12 of a logarithm, so a score is one exact sum: it does not depend on the order
of the terms, the machine or any library, and the certificate (`certificate.py`) is a proof in integers.

A bin holds its upper end: bin k of ends e_0 < e_1 < .. is e_(k-1) < x <= e_k, the one after the last is open, and a
last one stands for "not known".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from pricing.arrays import Floats, Ints
from pricing.errors import ModelError

UNIT: Final = 1e-12
MAIN_FILE: Final = "main_effects.csv"
PAIR_FILE: Final = "pair_effects.csv"
MAIN_COLUMNS: Final = ("feature", "bin", "above", "up_to", "effect_1e12", "relativity", "share_of_expected_claims")
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


@dataclass(frozen=True, slots=True)
class Main:
    """Main effect of one feature.

    Attributes
    ----------
    ends : numpy.ndarray, shape (n_ends,)
        Upper ends of all bins but the last two.
    effect : numpy.ndarray of int, shape (n_ends + 2,)
    share : numpy.ndarray, shape (n_ends + 2,)
        Share of the training rows' expected claims in each bin.
    """

    feature: str
    ends: Floats
    effect: Ints
    share: Floats


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

    def score(self, x: Floats) -> Floats:
        """Raw score, the log of claims over the offset. Shape (n_rows, n_features) to (n_rows,)."""
        total = np.full(len(x), self.intercept, dtype=np.int64)
        for column, main in enumerate(self.mains):
            total += main.effect[bins(main.ends, x[:, column])]
        for _, effect in self._pairs(x):
            total += effect
        return total.astype(np.float64) * UNIT

    def contributions(self, x: Floats) -> Floats:
        """What each feature adds to the raw score: its main effect and half of each of its pairs.

        These are the exact Shapley values against drivers whose features are independent, each distributed as in
        training, because main effects and pairs have mean 0 there.

        Returns
        -------
        numpy.ndarray, shape (n_rows, n_features + 1)
            The last column is the intercept; a row sums to the score.
        """
        halves = np.zeros((len(self.mains) + 1, len(x)), dtype=np.int64)
        halves[-1] = 2 * self.intercept
        for column, main in enumerate(self.mains):
            halves[column] = 2 * main.effect[bins(main.ends, x[:, column])]
        at = {name: column for column, name in enumerate(self.features)}
        for pair, effect in self._pairs(x):
            halves[at[pair.first]] += effect
            halves[at[pair.second]] += effect
        return halves.T.astype(np.float64) * (UNIT / 2)

    def _pairs(self, x: Floats) -> Iterator[tuple[Pair, Ints]]:
        at = {name: column for column, name in enumerate(self.features)}
        for pair in self.pairs:
            first = bins(pair.first_ends, x[:, at[pair.first]])
            second = bins(pair.second_ends, x[:, at[pair.second]])
            yield pair, pair.effect[first, second]

    def main_rows(self) -> list[dict[str, object]]:
        """Main effects as rows of `MAIN_FILE`, the intercept first."""
        rows: list[dict[str, object]] = [
            dict.fromkeys(MAIN_COLUMNS, "") | {"feature": _INTERCEPT, "effect_1e12": self.intercept}
        ]
        for main in self.mains:
            for k, (above, up_to) in enumerate(_borders(main.ends)):
                effect = int(main.effect[k])
                told = (main.feature, k, above, up_to, effect, _relativity(effect), float(main.share[k]))
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


def bins(ends: Floats, x: Floats) -> Ints:
    """Bin of each value; NaN is in the last."""
    return np.where(np.isnan(x), len(ends) + 1, np.searchsorted(ends, x, side="left"))


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
    share = np.array([float(row["share_of_expected_claims"]) for row in rows])
    return Main(name, _ends([row["up_to"] for row in rows]), effect, share)


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
