"""Scores of rows by a model that has not seen their driver, and the choice among a few declared settings.

Judgements:

1. Everything that is estimated from data before the boosting (event-rate priors, the level of the tariff, the mean
   score) is estimated inside each training fold.
2. A driver is in one fold, by a hash of the name: neither row order nor other drivers move anyone.
3. Settings and rounds are chosen by out-of-fold deviance, all that was tried is told (`Chosen.tried`). 0 rounds are a
   valid choice: no effect found.
4. Everything is judged in the form that is filed: tables of each fold's own trees (`filed_tables`). The number of
   rounds alone is chosen on the trees, whose scores at every number cost one pass; if the filed form is then no better
   than none, it is 0.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from pricing import boosting
from pricing.arrays import Floats, Ints
from pricing.canonical import canonical
from pricing.distil import distil
from pricing.errors import ModelError
from pricing.plan import ModelPlan
from pricing.sample import Goal, Sample
from pricing.shrink import GammaPrior
from pricing.tables import RatingTables
from pricing.unknown import mean_where_unknown


@dataclass(frozen=True, slots=True)
class Form:
    """How trees may grow: directions held to, and depth."""

    directions: tuple[int, ...]
    depth: int = boosting.ORDER_TWO


@dataclass(frozen=True, slots=True)
class Part:
    """What one training part gives for one goal."""

    boosted: boosting.Boosted
    level: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best of the settings that were tried, out of fold.

    Attributes
    ----------
    score : numpy.ndarray, shape (n_rows,)
        Centred score of each row by a model that has not seen its driver.
    expected : numpy.ndarray, shape (n_rows,)
        Expected before the score: the tariff's, at the level of the row's training fold.
    tried : tuple of dict
        Settings with their best rounds and the deviance there.
    """

    settings: ModelPlan
    rounds: int
    score: Floats
    expected: Floats
    deviance: float
    tried: tuple[dict[str, Any], ...]


def choose(
    sample: Sample, goal: Goal, fold: Ints, plan: ModelPlan, form: Form, *, threads: int = 1, told: str = "folds"
) -> Chosen:
    """Try every setting of the plan's search, and every number of rounds, out of fold.

    Parameters
    ----------
    fold : numpy.ndarray of int, shape (n_rows,)
        `fold_of` each row's driver.
    told : str
        Name of the progress bar.
    """
    best: Chosen | None = None
    tried: list[dict[str, Any]] = []
    for settings in settings_of(plan):
        rounds, score, expected = _out_of_fold(sample, goal, fold, settings, form, threads, told)
        deviance = goal.deviance(expected * np.exp(score))
        named = {name: getattr(settings, name) for name in ("learning_rate", "leaves", "min_leaf_claims", "l2")}
        tried.append(named | {"rounds": rounds, "deviance": deviance})
        if best is None or deviance < best.deviance:
            best = Chosen(settings, rounds, score, expected, deviance, ())
    if best is None:
        raise ModelError("model.search of the plan leaves nothing to try")
    return dataclasses.replace(best, tried=tuple(tried))


def settings_of(plan: ModelPlan) -> list[ModelPlan]:
    """Every combination of the plan's search; a key without values keeps the model's own."""
    grid = {f.name: getattr(plan.search, f.name) or (getattr(plan, f.name),) for f in dataclasses.fields(plan.search)}
    return [dataclasses.replace(plan, **dict(zip(grid, values, strict=True))) for values in product(*grid.values())]


def fold_of(drivers: tuple[str, ...], folds: int, seed: int) -> Ints:
    """Fold of each driver, by a hash of the name."""
    hashes = [hashlib.sha256(f"{seed}:{driver}".encode()).digest()[:8] for driver in drivers]
    return np.array([int.from_bytes(h, "little") % folds for h in hashes], dtype=np.int64)


def fit_part(
    x: Floats, goal: Goal, names: tuple[str, ...], settings: ModelPlan, form: Form, rounds: int, threads: int = 1
) -> Part:
    """Train on the rows that say something. `x` has shape (n_rows, n_features), event rates shrunk."""
    told = goal.told
    seen = goal.rows(told)
    boosted = boosting.fit(
        x[told],
        seen.observed,
        seen.base,
        seen.level,
        features=names,
        directions=form.directions,
        rounds=rounds,
        plan=settings,
        objective=seen.objective,
        weight=None if (seen.weight == 1).all() else seen.weight,
        depth=form.depth,
        threads=threads,
    )
    return Part(boosted, seen.level)


def mean_score(score: Floats, mu0: Floats) -> float:
    """Mean over a book, weighted by expected claims."""
    return canonical(float((score * mu0).sum() / mu0.sum()))


def filed_tables(
    boosted: boosting.Boosted, x: Floats, mu0: Floats, settings: ModelPlan, rounds: int | None = None
) -> RatingTables:
    """Tables that are filed of an ensemble, or of its first rounds.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_rows, n_features)
        Rows it was trained on.
    mu0 : numpy.ndarray, shape (n_rows,)
        Their expected claims.
    """
    learned = distil(boosted, x, mu0, settings.between, rounds=rounds)
    return mean_where_unknown(learned, float(mu0.sum()), settings.min_leaf_claims)


class _Fold(NamedTuple):
    """What was learned without one fold."""

    boosted: boosting.Boosted
    priors: dict[str, GammaPrior]


def _out_of_fold(
    sample: Sample, goal: Goal, fold: Ints, settings: ModelPlan, form: Form, threads: int, told: str
) -> tuple[int, Floats, Floats]:
    """Best number of rounds, centred score after them (n_rows,), and expected before it (n_rows,)."""
    rounds, names = settings.rounds, sample.inputs.names
    stages, expected = np.zeros((len(fold), len(rounds))), goal.base.copy()
    parts: list[_Fold] = []
    for k in tqdm(range(settings.folds), desc=told, unit="fold", leave=False, disable=None):
        out, learn = fold == k, fold != k
        learned = goal.rows(learn)
        if not out.any() or (learned.weight * learned.observed).sum() == 0:
            raise ModelError(f"fold {k} has no driver to test or no claim to learn from: give more policies")
        priors = sample.inputs.rows(learn).fit_priors()
        x = sample.inputs.matrix(priors)
        part = fit_part(x[learn], learned, names, settings, form, rounds[-1], threads)
        parts.append(_Fold(part.boosted, priors))
        middle = [mean_score(stage, sample.mu0[learn]) for stage in part.boosted.staged_scores(x[learn], rounds).T]
        stages[out] = part.boosted.staged_scores(x[out], rounds) - np.array(middle)
        expected[out] = boosting.expected(goal.base[out], part.level, np.zeros(int(out.sum())))
    best = rounds[int(np.argmin([goal.deviance(expected * np.exp(stage)) for stage in stages.T]))]
    score = np.zeros(len(fold))
    for k, (trees, priors) in enumerate(parts):
        out, x = fold == k, sample.inputs.matrix(priors)
        if form.depth == boosting.ORDER_TWO:
            filed = filed_tables(trees, x[~out], sample.mu0[~out], settings, best).score(x)
        else:  # no sum of tables: a challenger, never filed
            filed = trees.staged_scores(x, (best,))[:, 0]
        score[out] = filed[out] - mean_score(filed[~out], sample.mu0[~out])
    if rounds[0] == 0 and goal.deviance(expected * np.exp(score)) > goal.deviance(expected):
        return 0, np.zeros(len(fold)), expected
    return best, score, expected
