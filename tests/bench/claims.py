"""The risk model on real claims: freMTPL2, out of sample, beside the published GLMs on the same split.

The filed form is the product's own: `pricing.boosting.fit` with at most two features a tree, scored by its rating
tables. Free form is LightGBM with deep trees, averaged over seeds. Rounds are chosen on a fifth of the learning part;
nothing is chosen on the test part, which is looked at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from glum import GeneralizedLinearRegressor
from tqdm import tqdm

from pricing import boosting
from pricing.distil import distil
from pricing.evaluate import gini
from pricing.plan import load_plan
from tests.bench.fremtpl2 import NAMES, Claims, coded, glm_design, load, numeric
from tests.bench.measure import Used, used
from tests.bench.row import Row

Floats = npt.NDArray[np.float64]

PUBLISHED: Final = {"null": 25.445, "GLM1": 24.146, "GLM2": 24.113, "GLM3": 24.102}
PLAN: Final = dataclasses.replace(load_plan().model, learning_rate=0.1)
FILED_ROUNDS: Final = tuple(range(250, 3_001, 250))
FREE_ROUNDS: Final = tuple(range(100, 1_001, 100))
SEEDS: Final = 5
CHECK_SHARE: Final = 5  # every fifth policy chooses the rounds
THREADS: Final = 2
FREE: Final[dict[str, Any]] = {
    "objective": "poisson",
    "learning_rate": 0.03,
    "num_leaves": 48,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.6,
    "bagging_freq": 1,
    "lambda_l2": 10,
    "cat_smooth": 50,
    "cat_l2": 50,
    "boost_from_average": False,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": THREADS,
    "verbosity": -1,
}


def run() -> list[Row]:
    """Fit every form on the learning part and judge it on the test part."""
    learn, test = load()
    found: dict[str, tuple[Floats | float, Used]] = {"null": (learn.level, Used(0.0, 0.0))}
    forms: dict[str, Callable[[], Floats]] = {f"GLM{k}": lambda k=k: glm(learn, test, k) for k in (1, 2, 3)}  # type: ignore[misc]
    forms |= {"order 2, tables": lambda: filed(learn, test), "free form": lambda: free(learn, test)}
    for name, form in tqdm(forms.items(), desc="claims", unit="model", disable=None):
        found[name] = used(form)
    deviance = {name: test.deviance(frequency) for name, (frequency, _) in found.items()}
    rows = [
        Row(f"deviance x 100, {name}", value, "1", None, PUBLISHED.get(name), *_judged(name, value))
        for name, value in deviance.items()
    ]
    gain = {name: deviance["GLM3"] - deviance[name] for name in ("order 2, tables", "free form")}
    kept = gain["order 2, tables"] / gain["free form"]
    rows.append(Row("boosting gain over GLM3 that order 2 keeps", kept, "1", None, 0.89, "above 0.89", kept > 0.89))
    for name, (frequency, took) in found.items():
        if name != "null":
            balance = float((test.exposure * frequency).sum() / test.claims.sum())
            rows.append(Row(f"expected over observed claims, {name}", balance, "1"))
            rows.append(Row(f"Gini, {name}", gini(test.claims, test.exposure, np.asarray(frequency)), "1"))
            rows.append(Row(f"CPU of training, {name}", took.cpu_s, "s"))
    return rows


def _judged(name: str, value: float) -> tuple[str | None, bool | None]:
    goals = {"order 2, tables": 23.613, "free form": 23.543}
    if name in goals:
        return f"below {goals[name]}", value < goals[name]
    published = PUBLISHED[name]
    return "as published to 0.001", abs(value - published) <= 0.001


def glm(learn: Claims, test: Claims, which: int) -> Floats:
    """Claims per year of the test policies by GLM1, GLM2 or GLM3."""
    x, of_test = glm_design(learn.rows, which), glm_design(test.rows, which)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    model = GeneralizedLinearRegressor(family="poisson", alpha=0, fit_intercept=True, gradient_tol=1e-7, max_iter=300)
    model.fit((x - mean) / scale, learn.claims / learn.exposure, sample_weight=learn.exposure)
    return np.asarray(model.predict((of_test - mean) / scale), dtype=np.float64)


def filed(learn: Claims, test: Claims) -> Floats:
    """Claims per year of the test policies by the product's own model: trees of two features, as tables."""
    early, late = _split(learn)
    trees = _order_two(early, FILED_ROUNDS[-1])
    stages = trees.staged_scores(numeric(late.rows, early), FILED_ROUNDS)
    best = int(np.argmin([late.deviance(early.level * np.exp(stage)) for stage in stages.T]))
    trees = _order_two(learn, FILED_ROUNDS[best])
    tables = distil(trees, numeric(learn.rows, learn), learn.exposure)
    return learn.level * np.exp(tables.score(numeric(test.rows, learn)))


def _order_two(learn: Claims, rounds: int) -> boosting.Boosted:
    return boosting.fit(
        numeric(learn.rows, learn),
        learn.claims,
        learn.exposure,
        float(np.log(learn.level)),
        features=NAMES,
        directions=(0,) * len(NAMES),
        rounds=rounds,
        plan=PLAN,
        threads=THREADS,
    )


def free(learn: Claims, test: Claims) -> Floats:
    """Claims per year of the test policies by deep trees, the mean of the scores of several seeds."""
    early, late = _split(learn)
    booster = _deep(early, FREE_ROUNDS[-1], seed=0)
    x = coded(late.rows)
    stages = [booster.predict(x, raw_score=True, num_iteration=rounds) for rounds in FREE_ROUNDS]
    best = FREE_ROUNDS[int(np.argmin([late.deviance(early.level * np.exp(np.asarray(s))) for s in stages]))]
    x = coded(test.rows)
    scores = [np.asarray(_deep(learn, best, seed).predict(x, raw_score=True)) for seed in range(1, SEEDS + 1)]
    return np.asarray(learn.level * np.exp(np.mean(scores, axis=0)), dtype=np.float64)


def _deep(learn: Claims, rounds: int, seed: int) -> lgb.Booster:
    data = lgb.Dataset(
        coded(learn.rows),
        learn.claims,
        init_score=np.log(learn.exposure * learn.level),
        categorical_feature=[NAMES.index(name) for name in ("VehBrand", "VehGas", "Region")],
    )
    return lgb.train(FREE | {"seed": seed}, data, rounds)


def _split(learn: Claims) -> tuple[Claims, Claims]:
    late = np.arange(len(learn.claims)) % CHECK_SHARE == 0
    return learn.part(~late), learn.part(late)
