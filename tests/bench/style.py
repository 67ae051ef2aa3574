"""How well trips tell calm from aggressive driving, on drivers that the model has never seen, and on those it has.

    driver-behavior 17, 20   windows of 5 s of a phone's IMU, labelled by a video: an aggressive manoeuvre in it or not
    own trips                windows of 60 s, and whole trips, of simulated drivers: brisk and reckless against the rest
    fretelematic             drivers' scores of an insurer against a claim: the only set with drivers enough to say much

Each set is split as an honest report must (a driver, or where there is but one a trip, is either learnt from or judged)
and beside it as reports often do (random windows: neighbours of a window that is judged were learnt from). The model is
a logistic regression on a few standardised features; beside it one feature alone, which learns nothing. Intervals are
5 to 95 % of 300 resamples of drivers (of trips' minutes where there is no more than one driver).

Which recordings have no style labels, or too few drivers to say anything, is printed too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from tests.bench.row import Row
from tests.bench.style_data import Table, ferreira_windows, own_trips, own_windows, scored_drivers, unfit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FOLDS: Final = 5
MAX_FOLDS: Final = 60  # of one group each; more groups share FOLDS
RESAMPLES: Final = 300
QUANTILES: Final = (5, 95)
REPEATS: Final = 5  # of splits that are drawn


class Judged(NamedTuple):
    """Area under the ROC curve, with its interval."""

    auc: float
    low: float
    high: float

    def row(self, name: str, anchor: float | None = None) -> Row:
        told = f"{name} [{self.low:.2f}, {self.high:.2f}]"
        return Row(told, round(self.auc, 3), "AUC", round((self.high - self.low) / 2, 3), anchor)


def run() -> list[Row]:
    """Every set, split both ways."""
    rows: list[Row] = []
    for table in (ferreira_windows(), own_windows(), own_trips(), scored_drivers()):
        if table is None:
            continue
        count = f"{table.name}: {len(table.label)} {table.what}, {int(table.label.sum())} aggressive"
        rows.append(Row(f"{count}, {len(set(table.group))} {table.groups}", len(set(table.group)), table.groups))
        rows += _rows(table)
    rows += [Row(f"{name}: {why}", 0, "drivers to judge") for name, why in unfit()]
    return rows


def _rows(table: Table) -> Iterator[Row]:
    rng = np.random.default_rng(1)
    honest = _judged(table, _held_out(table, table.group), rng)
    yield honest.row(f"  {table.by} held out")
    within = _within(table, _held_out(table, table.group))
    if within is not None:
        yield Row(f"  {table.by} held out, ranked within each alone", round(within, 3), "AUC")
    yield _judged(table, table.features[:, 0], rng).row(f"  {table.first} alone, nothing learnt")
    if table.flattering:
        scores = [_held_out(table, _drawn(len(table.label), rng)) for _ in range(REPEATS)]
        yield _judged(table, np.mean(scores, axis=0), rng).row(
            "  random split, flattering", anchor=round(honest.auc, 3)
        )


def _held_out(table: Table, group: Ints) -> Floats:
    """Score of each row by a model that saw nothing of its group."""
    scores = np.empty(len(table.label))
    groups = np.unique(group)
    many = len(groups) > MAX_FOLDS
    fold_of = np.random.default_rng(0).integers(0, FOLDS, group.max() + 1) if many else np.arange(group.max() + 1)
    of = fold_of[group]
    for fold in np.unique(of):
        inside = of == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000, class_weight="balanced"))
        model.fit(table.features[~inside], table.label[~inside])
        scores[inside] = model.decision_function(table.features[inside])
    return scores


def _within(table: Table, scores: Floats) -> float | None:
    """Mean over the groups of the area within each; None where one has rows of one kind only."""
    aucs = []
    for group in np.unique(table.group):
        mine = table.group == group
        if not 0 < table.label[mine].sum() < mine.sum():
            return None
        aucs.append(roc_auc_score(table.label[mine], scores[mine]))
    return float(np.mean(aucs))


def _drawn(count: int, rng: np.random.Generator) -> Ints:
    return np.asarray(rng.permutation(np.arange(count) % FOLDS), np.int64)


def _judged(table: Table, scores: Floats, rng: np.random.Generator) -> Judged:
    auc = float(roc_auc_score(table.label, scores))
    blocks = np.unique(table.block)
    rows_of = {block: np.flatnonzero(table.block == block) for block in blocks}
    drawn: list[float] = []
    while len(drawn) < RESAMPLES:
        rows = np.concatenate([rows_of[block] for block in rng.choice(blocks, len(blocks))])
        if 0 < table.label[rows].sum() < len(rows):
            drawn.append(roc_auc_score(table.label[rows], scores[rows]))
    low, high = np.percentile(drawn, QUANTILES)
    return Judged(auc, float(low), float(high))


if __name__ == "__main__":
    from tests.bench.__main__ import main

    sys.exit(main(["style"]))
