"""Other models on the same features, in the same folds: a GLM (glum) and an EBM (interpret).

They are told beside the filed model and price nothing. Both have the tariff as offset, as the filed model has.

Judgements:

1. The GLM has each feature in at most five bands of equal tariff claims, and one for what is not known, all with one
   ridge: no hand has chosen its variables, so it is what a first GLM would be, not the best one.
2. The EBM has ten pairs, a fixed number of rounds and no inner bags, so that it takes minutes and not hours.
3. Both read event rates shrunk by the model's final priors. Priors are fitted on counts and see no claim, so no fold
   learns from its own labels.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import sparse
from tqdm import tqdm

from pricing.arrays import Floats
from pricing.diagnostics.bands import band_of, edges_of
from pricing.diagnostics.validated import Validated

log = logging.getLogger(__name__)

GLM: Final = "GLM on bands"
EBM: Final = "EBM"
GLM_BANDS: Final = 5
RIDGE_CLAIMS: Final = 20.0  # a band's coefficient is held back as by so many claims
EBM_PAIRS: Final = 10
EBM_BAGS: Final = 2
EBM_ROUNDS: Final = 400
SEED: Final = 20261

# (x, claims, mu0, x of the test rows, names, threads) to claims over mu0 of the test rows.
Relative = Callable[[Floats, Floats, Floats, Floats, tuple[str, ...], int], Floats]


def fit_challengers(judged: Validated, x: Floats, names: tuple[str, ...], threads: int = 1) -> dict[str, Floats]:
    """Expected claims of each row by every challenger that is installed, out of fold.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_rows, n_features)
        NaN where not known.
    """
    kinds: dict[str, Relative] = {GLM: _glm}
    if importlib.util.find_spec("interpret") is None:
        log.warning("the EBM is not fitted: interpret is not installed (pip install interpret-core)")
    else:
        kinds[EBM] = _ebm
    return {name: _out_of_fold(judged, x, names, kind, name, threads) for name, kind in kinds.items()}


def _out_of_fold(
    judged: Validated, x: Floats, names: tuple[str, ...], kind: Relative, told: str, threads: int
) -> Floats:
    expected = np.zeros(len(x))
    for k in tqdm(np.unique(judged.fold), desc=told, unit="fold", leave=False, disable=None):
        test = judged.fold == k
        relative = kind(x[~test], judged.claims[~test], judged.mu0[~test], x[test], names, threads)
        expected[test] = judged.mu0[test] * relative
    return expected


def _glm(x: Floats, claims: Floats, mu0: Floats, test: Floats, _names: tuple[str, ...], _threads: int) -> Floats:
    """Claims over mu0 of the test rows."""
    from glum import GeneralizedLinearRegressor  # noqa: PLC0415 - a second to import

    edges = [edges_of(column, mu0, GLM_BANDS) for column in x.T]

    def design(values: Floats) -> sparse.csc_matrix:
        """One column a band; the first band of each feature is the base."""
        codes = [band_of(column, cuts) for cuts, column in zip(edges, values.T, strict=True)]
        starts = np.cumsum([0, *(len(cuts) + 1 for cuts in edges)])
        at = np.concatenate(
            [np.where(code > 0, code - 1 + first, -1) for code, first in zip(codes, starts, strict=False)]
        )
        rows = np.tile(np.arange(len(values)), len(edges))
        on = at >= 0
        return sparse.csc_matrix((np.ones(int(on.sum())), (rows[on], at[on])), shape=(len(values), int(starts[-1])))

    glm = GeneralizedLinearRegressor(
        family="poisson", alpha=RIDGE_CLAIMS / len(x), l1_ratio=0, gradient_tol=1e-6, max_iter=100
    )
    glm.fit(design(x), claims, offset=np.log(mu0))
    return np.asarray(glm.predict(design(test)), dtype=np.float64)


def _ebm(x: Floats, claims: Floats, mu0: Floats, test: Floats, names: tuple[str, ...], threads: int) -> Floats:
    """Claims over mu0 of the test rows."""
    from interpret.glassbox import ExplainableBoostingRegressor  # noqa: PLC0415 - optional, and slow to import

    ebm = ExplainableBoostingRegressor(
        feature_names=list(names),
        objective="poisson_deviance",
        interactions=EBM_PAIRS,
        outer_bags=EBM_BAGS,
        max_rounds=EBM_ROUNDS,
        random_state=SEED,
        n_jobs=threads or -1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a library's own dependencies
        ebm.fit(x, claims, init_score=np.log(mu0))
        return np.asarray(ebm.predict(test), dtype=np.float64)
