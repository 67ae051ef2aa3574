"""Other libraries on the rows of `fremtpl2`: each fits on the learning part and gives claims per year of the test part.

`pip install 'ubi[peers]'` brings them; one that is not installed is told and left out. All count threads alike, all are
used as their documentation says for counts with exposure, tuned lightly (the rounds of the boosters on a fifth of the
learning part, as ours), and none has seen the test part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tests.bench.fremtpl2 import CATEGORIES, NAMES, Claims, coded

Floats = npt.NDArray[np.float64]
Peer = Callable[[Claims, Claims], Floats]

THREADS: Final = 1  # more wait for each other on a machine that others use, and their waiting counts as work
CHECK_SHARE: Final = 5  # every fifth policy chooses the rounds
EARLY_STOP: Final = 50
_CATEGORICAL: Final = [NAMES.index(name) for name in CATEGORIES]


def xgboost(learn: Claims, test: Claims) -> Floats:
    """Histograms, categories as such, base margin log exposure."""
    import xgboost as xgb

    kinds = ["c" if k in _CATEGORICAL else "q" for k in range(len(NAMES))]

    def matrix(part: Claims) -> Any:
        margin = np.log(part.exposure * learn.level)
        return xgb.DMatrix(
            coded(part.rows), part.claims, base_margin=margin, feature_types=kinds, enable_categorical=True
        )

    settings = {
        "objective": "count:poisson",
        "tree_method": "hist",
        "learning_rate": 0.05,
        "max_depth": 6,
        "min_child_weight": 20,
        "subsample": 0.7,
        "colsample_bytree": 0.6,
        "reg_lambda": 10,
        "nthread": THREADS,
        "seed": 1,
    }
    early, late = split(learn)
    stopped = xgb.train(
        settings,
        matrix(early),
        1_500,
        evals=[(matrix(late), "late")],
        early_stopping_rounds=EARLY_STOP,
        verbose_eval=False,
    )
    booster = xgb.train(settings, matrix(learn), stopped.best_iteration + 1)
    return np.asarray(booster.predict(matrix(test)) / test.exposure, dtype=np.float64)


def catboost(learn: Claims, test: Claims) -> Floats:
    """Categories as such, baseline log exposure."""
    from catboost import CatBoostRegressor, Pool

    def pool(part: Claims) -> Any:
        baseline = np.log(part.exposure * learn.level)
        return Pool(_rows(part), part.claims, cat_features=_CATEGORICAL, baseline=baseline)

    settings: dict[str, Any] = {
        "loss_function": "Poisson",
        "learning_rate": 0.15,
        "depth": 6,
        "l2_leaf_reg": 10,
        "random_seed": 1,
        "thread_count": THREADS,
        "allow_writing_files": False,
        "verbose": False,
    }
    early, late = split(learn)
    stopped = CatBoostRegressor(iterations=400, early_stopping_rounds=EARLY_STOP, **settings)
    stopped.fit(pool(early), eval_set=pool(late))
    model = CatBoostRegressor(iterations=stopped.tree_count_, **settings).fit(pool(learn))
    score = model.predict(pool(test), prediction_type="RawFormulaVal")
    return np.asarray(np.exp(score) / test.exposure, dtype=np.float64)


def ebm(learn: Claims, test: Claims) -> Floats:
    """Explainable boosting machine with ten pairs: additive tables, as our filed form."""
    from interpret.glassbox import ExplainableBoostingRegressor

    kinds = ["nominal" if name in CATEGORIES else "continuous" for name in NAMES]
    model = ExplainableBoostingRegressor(
        feature_names=list(NAMES),
        feature_types=kinds,
        objective="poisson_deviance",
        interactions=10,
        outer_bags=4,
        n_jobs=1,  # more are processes of their own, whose time would not be seen
        random_state=1,
    )
    frequency = learn.claims / learn.exposure
    model.fit(_rows(learn), frequency, sample_weight=learn.exposure)
    return np.asarray(model.predict(_rows(test)), dtype=np.float64)


PEERS: Final[dict[str, Peer]] = {"XGBoost": xgboost, "CatBoost": catboost, "EBM": ebm}


def split(learn: Claims) -> tuple[Claims, Claims]:
    """Four fifths to learn from, and a fifth to choose the rounds on."""
    late = np.arange(len(learn.claims)) % CHECK_SHARE == 0
    return learn.part(~late), learn.part(late)


def _rows(part: Claims) -> Any:
    """Numbers as floats and categories as text, in one array of objects."""
    values = coded(part.rows).astype(object)
    for k, name in zip(_CATEGORICAL, CATEGORIES, strict=True):
        values[:, k] = part.rows[name].to_numpy()
    return values
