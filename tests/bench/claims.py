"""The risk model on real claims: freMTPL2, out of sample, beside the published GLMs and other libraries in one run.

The filed form is the product's own: `pricing.boosting.fit` with at most two features a tree, scored by its rating
tables, as steps and with lines between points: the same trees. Free form is LightGBM with deep trees, the mean of the
scores of several. Rounds are chosen on a fifth of the learning part. So were the settings of the free form, 32
configurations in all; nothing is chosen on the test part, which is looked at once.

Two small sets follow, see `small_claims`. `pip install 'ubi[peers]'` brings the other libraries; a missing one is told.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from glum import GeneralizedLinearRegressor
from tqdm import tqdm

from pricing import boosting
from pricing.between import LINE, STEP
from pricing.distil import distil
from pricing.evaluate import gini
from pricing.plan import load_plan
from tests.bench import small_claims
from tests.bench.fremtpl2 import CATEGORIES, NAMES, Claims, coded, glm_design, load, numeric
from tests.bench.measure import Used, used
from tests.bench.peers import PEERS, THREADS, split
from tests.bench.row import Row

Floats = npt.NDArray[np.float64]

PUBLISHED: Final = {"null": 25.445, "GLM1": 24.146, "GLM2": 24.113, "GLM3": 24.102}
MEASURED: Final = {"XGBoost": 23.558, "CatBoost": 23.631, "EBM": 23.636}  # by others, lightly tuned
FILED: Final = {"order 2, tables of lines": LINE, "order 2, tables of steps": STEP}
GOALS: Final = dict.fromkeys(FILED, 23.613) | {"free form": 23.543}
PLAN: Final = dataclasses.replace(load_plan().model, learning_rate=0.1)
FILED_ROUNDS: Final = tuple(range(250, 3_001, 250))
FREE_ROUNDS: Final = tuple(range(100, 1_001, 100))
SEEDS: Final = {True: 3, False: 1}  # of trees that see categories as such, and their frequencies: the scores' mean
FREE: Final[dict[str, Any]] = {
    "objective": "poisson",
    "learning_rate": 0.03,
    "num_leaves": 32,
    "min_data_in_leaf": 10,
    "min_sum_hessian_in_leaf": 10,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10,
    "cat_smooth": 50,
    "cat_l2": 50,
    "max_cat_threshold": 64,
    "max_cat_to_onehot": 1,
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
    trees = cache(lambda: order_two(learn))
    forms |= {name: lambda between=between: filed(trees(), learn, test, between) for name, between in FILED.items()}  # type: ignore[misc]
    forms |= {"free form": lambda: free(learn, test)}
    forms |= {name: lambda peer=peer: peer(learn, test) for name, peer in PEERS.items()}  # type: ignore[misc]
    for name, form in tqdm(forms.items(), desc="claims", unit="model", disable=None):
        try:
            found[name] = used(form)
            tqdm.write(f"{name}: deviance x 100 {test.deviance(found[name][0]):.3f}", file=sys.stderr)
        except ModuleNotFoundError as error:
            sys.stderr.write(f"bench: {name} left out: {error.name} is not installed (pip install 'ubi[peers]')\n")
    deviance = {name: test.deviance(frequency) for name, (frequency, _) in found.items()}
    rows = [
        Row(f"deviance x 100, {name}", value, "1", None, (PUBLISHED | MEASURED).get(name), *_judged(name, value))
        for name, value in deviance.items()
    ]
    gain = {name: deviance["GLM3"] - deviance[name] for name in GOALS}
    for name in FILED:
        kept = gain[name] / gain["free form"]
        rows.append(Row(f"boosting gain over GLM3 kept, {name}", kept, "1", None, 0.89, "above 0.89", kept > 0.89))
    for name, (frequency, took) in found.items():
        if name != "null":
            rows.extend(_told(name, np.asarray(frequency), took, test))
    return [*rows, *small_claims.run()]


def _judged(name: str, value: float) -> tuple[str | None, bool | None]:
    if name in GOALS:
        return f"below {GOALS[name]}", value < GOALS[name]
    if name in PUBLISHED:
        return "as published to 0.001", abs(value - PUBLISHED[name]) <= 0.001
    return None, None


def _told(name: str, frequency: Floats, took: Used, test: Claims) -> list[Row]:
    balance = float((test.exposure * frequency).sum() / test.claims.sum())
    within = abs(balance - 1) <= 0.01
    return [
        Row(f"expected over observed claims, {name}", balance, "1", None, None, "within 1 %", within),
        Row(f"Gini, {name}", gini(test.claims, test.exposure, frequency), "1"),
        Row(f"CPU of training with its choices, {name}", took.cpu_s, "s"),
    ]


def glm(learn: Claims, test: Claims, which: int) -> Floats:
    """Claims per year of the test policies by GLM1, GLM2 or GLM3."""
    x, of_test = glm_design(learn.rows, which), glm_design(test.rows, which)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    model = GeneralizedLinearRegressor(family="poisson", alpha=0, fit_intercept=True, gradient_tol=1e-7, max_iter=300)
    model.fit((x - mean) / scale, learn.claims / learn.exposure, sample_weight=learn.exposure)
    return np.asarray(model.predict((of_test - mean) / scale), dtype=np.float64)


def order_two(learn: Claims) -> boosting.Boosted:
    """Trees of at most two features, their number chosen on a fifth."""
    early, late = split(learn)
    trees = _order_two(early, FILED_ROUNDS[-1])
    stages = trees.staged_scores(numeric(late.rows, early), FILED_ROUNDS)
    best = int(np.argmin([late.deviance(early.level * np.exp(stage)) for stage in stages.T]))
    return _order_two(learn, FILED_ROUNDS[best])


def filed(trees: boosting.Boosted, learn: Claims, test: Claims, between: str) -> Floats:
    """Claims per year of the test policies by the product's own model: trees of two features, as tables."""
    tables = distil(trees, numeric(learn.rows, learn), learn.exposure, between)
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
    """Claims per year of the test policies by deep trees, the mean of the scores of several."""
    early, late = split(learn)
    scores = []
    for by_code in (True, False):
        booster, x = _deep(early, FREE_ROUNDS[-1], 0, by_code=by_code), _columns(late, early, by_code=by_code)
        stages = [booster.predict(x, raw_score=True, num_iteration=rounds) for rounds in FREE_ROUNDS]
        best = FREE_ROUNDS[int(np.argmin([late.deviance(early.level * np.exp(np.asarray(s))) for s in stages]))]
        x = _columns(test, learn, by_code=by_code)
        boosters = (_deep(learn, best, seed, by_code=by_code) for seed in range(1, SEEDS[by_code] + 1))
        scores += [np.asarray(booster.predict(x, raw_score=True)) for booster in boosters]
    return np.asarray(learn.level * np.exp(np.mean(scores, axis=0)), dtype=np.float64)


def _deep(learn: Claims, rounds: int, seed: int, *, by_code: bool) -> lgb.Booster:
    data = lgb.Dataset(
        _columns(learn, learn, by_code=by_code),
        learn.claims,
        init_score=np.log(learn.exposure * learn.level),
        categorical_feature=[NAMES.index(name) for name in CATEGORIES] if by_code else [],
    )
    return lgb.train(FREE | {"seed": seed}, data, rounds)


def _columns(part: Claims, learn: Claims, *, by_code: bool) -> Floats:
    """Categories as such, or as their frequencies in the learning part."""
    return coded(part.rows) if by_code else numeric(part.rows, learn)
