"""The boosted residual of the tariff: LightGBM, Poisson or gamma, trees of at most two features.

The only file that imports lightgbm, and the only one that knows the offset: the model is trained with
`init_score = offset(...)`, which LightGBM's predictions never contain; `expected` puts it back.

Same rows give the same text at any thread count: deterministic, column-wise histograms, fixed seed, no sampling of
rows or columns, every row seen when bins are made, leaves limited by expected claims and never by row counts.

A feature that was known of every training row has no branch for "not known": LightGBM would take 0 for it, the safest
value of most rates and shares. It gets the median of the training rows instead; what is filed, `unknown.py` decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np

from pricing.arrays import Floats
from pricing.canonical import DECIMALS
from pricing.errors import ModelError
from pricing.plan import ModelPlan

ALL_ROWS: Final = 2**31 - 1
ORDER_TWO: Final = 2  # depth that a tree of at most two features may have
ANY_DEPTH: Final = -1


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss of LightGBM.

    Attributes
    ----------
    hessian_per_claim : float
        Its second derivative a claim, so that the plan's limits mean claims whatever the loss.
    """

    name: str
    hessian_per_claim: float
    parameters: tuple[tuple[str, float], ...] = ()


# LightGBM's Poisson second derivative is exp(score + 0.7), its poisson_max_delta_step: so many times expected claims.
POISSON: Final = Objective("poisson", float(np.exp(0.7)))
# weight x amount / expected amount: a claim has 1, as its weight is the number of claims.
GAMMA: Final = Objective("gamma", 1.0)


def offset(base: Floats, level: float) -> Floats:
    """Log of what is expected before the score: log base + level, rounded: see `canonical`.

    Parameters
    ----------
    base : numpy.ndarray, shape (n_rows,)
        Expected by the tariff: claims (mu0), or the amount of a claim.
    level : float
        Log of observed over expected of the training rows.
    """
    return np.round(np.log(base) + level, DECIMALS)


def expected(base: Floats, level: float, score: Floats) -> Floats:
    """Expected with telematics: exp(offset + score)."""
    return np.exp(offset(base, level) + score)


@dataclass(frozen=True, slots=True)
class Boosted:
    """A trained model.

    Attributes
    ----------
    text : str
        LightGBM's, without the parameters that name threads and files.
    typical : tuple of float or None
        Median of each feature that was known of every training row, None of the others.
    """

    text: str
    features: tuple[str, ...]
    typical: tuple[float | None, ...]

    def score(self, x: Floats) -> Floats:
        """Raw score, the log of claims over the offset. Shape (n_rows, n_features) to (n_rows,)."""
        return self.staged_scores(x, (self._trees(),))[:, 0]

    def staged_scores(self, x: Floats, rounds: tuple[int, ...]) -> Floats:
        """Raw score after each of these (rising) numbers of trees. Shape (n_rows, n_rounds)."""
        stages = np.zeros((len(x), len(rounds)))
        trees = self._trees()
        if trees == 0 or len(x) == 0:
            return stages
        booster, x = self._booster(), self._filled(x)
        done = 0
        for k, wanted in enumerate(rounds):
            stages[:, k] = stages[:, k - 1] if k else 0.0
            more = min(wanted, trees) - done
            if more > 0:
                stages[:, k] += _predict(booster, x, start_iteration=done, num_iteration=more, raw_score=True)
                done += more
        return stages

    def tree_features(self) -> list[set[str]]:
        """Features of each tree."""
        splits = (line for line in self.text.splitlines() if line.startswith("split_feature="))
        return [{self.features[int(k)] for k in line.partition("=")[2].split()} for line in splits]

    def _filled(self, x: Floats) -> Floats:
        """Typical values in place of what is not known here and was always known in training."""
        typical = np.array([np.nan if value is None else value for value in self.typical])
        return np.where(np.isnan(x), typical, x)

    def _trees(self) -> int:
        return self.text.count("\nTree=")

    def _booster(self) -> lgb.Booster:
        try:
            return lgb.Booster(model_str=self.text)
        except lgb.basic.LightGBMError as error:
            raise ModelError(f"the model's text cannot be read: {error}") from error


def fit(
    x: Floats,
    observed: Floats,
    base: Floats,
    level: float,
    *,
    features: tuple[str, ...],
    directions: tuple[int, ...],
    rounds: int,
    plan: ModelPlan,
    objective: Objective = POISSON,
    weight: Floats | None = None,
    depth: int = ORDER_TWO,
    threads: int = 1,
) -> Boosted:
    """Train on rating rows, one a driver and rating date.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_rows, n_features)
        Features, NaN where not known.
    observed, base : numpy.ndarray, shape (n_rows,)
        Claims, or mean amount of a claim; and what the tariff expects of it.
    level : float
        See `offset`.
    features : tuple of str
        Names, in the order of the columns.
    directions : tuple of int
        1: the score never falls as the feature grows; -1: never rises; 0: free.
    rounds : int
        Number of trees.
    weight : numpy.ndarray, shape (n_rows,), optional
        Claims behind a mean amount.
    depth : int
        ANY_DEPTH gives trees that are no sum of tables: challengers, never filed.
    threads : int
        0: all cores. Changes nothing but the time taken; more than are free slows down.
    """
    parameters: dict[str, Any] = {
        "objective": objective.name,
        **dict(objective.parameters),
        "num_leaves": plan.leaves,
        "max_depth": depth,
        "learning_rate": plan.learning_rate,
        "lambda_l2": plan.l2 * objective.hessian_per_claim,
        "max_bin": plan.max_bin,
        "min_data_in_bin": 1,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": plan.min_leaf_claims * objective.hessian_per_claim,
        "bin_construct_sample_cnt": ALL_ROWS,
        "feature_pre_filter": False,
        "monotone_constraints": list(directions),
        "monotone_constraints_method": "basic",
        "boost_from_average": False,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": threads,
        "seed": plan.seed,
        "verbosity": -1,
    }
    data = lgb.Dataset(
        x, observed, weight=weight, init_score=offset(base, level), feature_name=list(features), params=parameters
    )
    booster = lgb.Booster(parameters, data)
    for _ in range(rounds):
        if booster.update():  # no split is left that the plan allows
            break
    typical = tuple(None if np.isnan(column).any() else float(np.median(column)) for column in x.T)
    return Boosted(booster.model_to_string().partition("\nparameters:\n")[0], features, typical)


def _predict(booster: lgb.Booster, x: Floats, **arguments: Any) -> Floats:
    # One thread: on a busy machine LightGBM's threads wait for each other far longer than the work takes.
    return np.asarray(booster.predict(x, num_threads=1, **arguments), dtype=np.float64)
