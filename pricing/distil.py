"""Trees to rating tables, exactly: an ensemble of trees of at most two features is a sum of tables.

    leaves in integers -> a grid for each pair of features that share a tree -> means moved to main effects -> points

A leaf is rounded to 1e-12 once; from there on nothing is lost, since what is taken from a pair is given to a main
effect in integers. Rounding keeps the order of leaves, so what the trees promise (monotone) the tables hold.

As steps the tables equal the trees, which is checked. With points, a bin's effect holds at the mean of the training
rows in it and runs in straight lines between (`between.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pricing.arrays import Floats, Ints
from pricing.between import LINE, STEP, bins, place, points_of, shares_of
from pricing.boosting import Boosted
from pricing.errors import ModelError
from pricing.tables import UNIT, Main, Pair, RatingTables

EXACT: Final = 1e-9  # the score of the tables and of the trees may differ by so much

# Bits of LightGBM's decision_type.
_CATEGORICAL: Final = 1
_DEFAULT_LEFT: Final = 2
_MISSING_SHIFT: Final = 2
_MISSING_NAN: Final = 2


class Node(NamedTuple):
    """A split: `x[feature] <= threshold` goes left. Children: a node's number, or ~leaf."""

    feature: int
    threshold: float
    left: int
    right: int
    unknown_left: bool | None  # None: what is not known counts as 0


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree with its leaves in units of 1e-12."""

    nodes: tuple[Node, ...]
    leaves: tuple[int, ...]

    @property
    def features(self) -> tuple[int, ...]:
        """Features it reads, rising."""
        return tuple(sorted({node.feature for node in self.nodes}))

    def ends(self, feature: int) -> set[float]:
        """Thresholds at which it splits a feature; a split of all that is known from "not known" has none."""
        return {node.threshold for node in self.nodes if node.feature == feature and node.threshold < math.inf}

    def values(self, grid: dict[int, Floats]) -> Ints:
        """Leaf of each point; `grid` has one array a feature, all of one shape, NaN for not known."""
        shape = next(iter(grid.values())).shape if grid else ()
        return self._values(0 if self.nodes else -1, grid, shape)

    def _values(self, number: int, grid: dict[int, Floats], shape: tuple[int, ...]) -> Ints:
        if number < 0:
            return np.full(shape, self.leaves[~number], dtype=np.int64)
        node = self.nodes[number]
        x = grid[node.feature]
        unknown = np.isnan(x)
        left = np.where(unknown, 0.0, x) <= node.threshold
        if node.unknown_left is not None:
            left = np.where(unknown, node.unknown_left, left)
        return np.where(left, self._values(node.left, grid, shape), self._values(node.right, grid, shape))


def distil(boosted: Boosted, x: Floats, mu0: Floats, between: str = STEP, *, rounds: int | None = None) -> RatingTables:
    """Write an ensemble as tables.

    Parameters
    ----------
    boosted : Boosted
    x : numpy.ndarray, shape (n_rows, n_features)
        Training rows: where points lie, and the means are taken that main effects are told against.
    mu0 : numpy.ndarray, shape (n_rows,)
        Their weights, expected claims.
    between : str
        STEP: a bin's effect holds in all of it. LINE: at its point, in straight lines between points.
    rounds : int, optional
        Of the first trees alone.

    Raises
    ------
    ModelError
        If a tree reads more than two features, or the tables, as steps, miss the trees' score on these rows by more
        than 1e-9.
    """
    trees = parse(boosted.text)[:rounds]
    if any(len(tree.features) > 2 for tree in trees):
        raise ModelError("a tree reads more than two features: it is no sum of tables; set model.leaves to 2 or 3")
    names, typical = boosted.features, boosted.typical
    ends = [_sorted(end for tree in trees for end in tree.ends(f)) for f in range(len(names))]
    known = [_filled(x[:, f], typical[f]) for f in range(len(names))]
    points = [
        points_of(e, column, mu0) if between == LINE else np.empty(0) for e, column in zip(ends, known, strict=True)
    ]
    shares = [shares_of(len(e) + 1, place(e, p, column), mu0) for e, p, column in zip(ends, points, known, strict=True)]
    effects = [np.zeros(len(axis) + 2, dtype=np.int64) for axis in ends]
    intercept = sum(tree.leaves[0] for tree in trees if not tree.nodes)
    pairs = []
    for features, group in sorted(_by_features(trees).items()):
        axes, table = _table(features, group, typical)
        fine = [bins(axis, np.array([*ends[f], np.inf, np.nan])) for f, axis in zip(features, axes, strict=True)]
        if len(features) == 1:
            effects[features[0]] += table[fine[0]]
            continue
        weights = [np.bincount(to, shares[f], len(a) + 2) for f, a, to in zip(features, axes, fine, strict=True)]
        of_first, of_second = _means(table, weights[1]), _means(table.T, weights[0])
        middle = int(_means(of_first[None, :], weights[0])[0])
        effects[features[0]] += of_first[fine[0]]
        effects[features[1]] += of_second[fine[1]]
        intercept -= middle
        beyond = table - of_first[:, None] - of_second[None, :] + middle
        pairs.append(Pair(names[features[0]], names[features[1]], axes[0], axes[1], beyond))
    means = [int(_means(effect[None, :], share)[0]) for effect, share in zip(effects, shares, strict=True)]
    mains = (Main(names[f], ends[f], effects[f] - means[f], shares[f], points[f]) for f in range(len(names)))
    tables = RatingTables(int(intercept) + sum(means), tuple(mains), tuple(pairs))
    of_trees = boosted.staged_scores(x, (len(trees),))[:, 0]
    error = np.abs(tables.steps().score(x) - of_trees).max(initial=0.0)
    if error > EXACT:
        raise ModelError(
            f"the rating tables miss the trees by {error:g}: another LightGBM? check the installed version"
        )
    return tables


def _by_features(trees: list[Tree]) -> dict[tuple[int, ...], list[Tree]]:
    groups: dict[tuple[int, ...], list[Tree]] = {}
    for tree in trees:
        if tree.nodes:
            groups.setdefault(tree.features, []).append(tree)
    return groups


def _table(
    features: tuple[int, ...], trees: list[Tree], typical: tuple[float | None, ...]
) -> tuple[list[Floats], Ints]:
    """Sum of trees that read the same features: the ends of its bins along each, and the value in each cell."""
    axes = [_sorted(end for tree in trees for end in tree.ends(f)) for f in features]
    points = np.meshgrid(*(_points(a, typical[f]) for f, a in zip(features, axes, strict=True)), indexing="ij")
    grid = dict(zip(features, points, strict=True))
    total = np.zeros(points[0].shape, dtype=np.int64)
    for tree in trees:
        total += tree.values(grid)
    return axes, total


def parse(text: str) -> list[Tree]:
    """Read the trees of LightGBM's text.

    Raises
    ------
    ModelError
        If the text is no ensemble of numeric trees.
    """
    trees = []
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        try:
            trees.append(_tree(fields))
        except (KeyError, ValueError) as error:
            raise ModelError(f"the model's text cannot be read: tree {len(trees)}: {error}") from error
    return trees


def _tree(fields: dict[str, str]) -> Tree:
    def numbers(name: str) -> list[str]:
        return fields.get(name, "").split()

    leaves = tuple(round(float(value) / UNIT) for value in fields["leaf_value"].split())
    nodes = []
    rows = zip(*map(numbers, ("split_feature", "threshold", "left_child", "right_child", "decision_type")), strict=True)
    for feature, threshold, left, right, decision in rows:
        kind = int(decision)
        if kind & _CATEGORICAL:
            raise ValueError("a split by category")
        by_default = bool(kind & _DEFAULT_LEFT) if kind >> _MISSING_SHIFT == _MISSING_NAN else None
        nodes.append(Node(int(feature), float(threshold), int(left), int(right), by_default))
    if len(nodes) + 1 != len(leaves):
        raise ValueError(f"{len(nodes)} splits and {len(leaves)} leaves")
    return Tree(tuple(nodes), leaves)


def _sorted(ends: Iterable[float]) -> Floats:
    return np.array(sorted(set(ends)), dtype=np.float64)


def _points(ends: Floats, typical: float | None) -> Floats:
    """A value in each bin; what is not known counts as the typical value where there is one."""
    return np.array([*ends, np.inf, np.nan if typical is None else typical])


def _filled(x: Floats, typical: float | None) -> Floats:
    return x if typical is None else np.where(np.isnan(x), typical, x)


def _means(rows: Ints, weight: Any) -> Ints:
    """Weighted mean of each row, in whole units; exact sums, so that it is the same on every machine."""
    return np.array([round(math.fsum(row)) for row in rows * weight], dtype=np.int64)
