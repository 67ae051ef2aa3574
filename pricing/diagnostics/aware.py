"""The filed model's form fitted again with a protected attribute in it, inside the same folds: for fairness alone."""

from __future__ import annotations

import numpy as np

from pricing import boosting
from pricing.arrays import Floats
from pricing.crossfit import filed_tables, mean_score
from pricing.diagnostics.fairness import AwareScore
from pricing.diagnostics.validated import Validated
from pricing.plan import ModelPlan


def aware_score(
    judged: Validated,
    names: tuple[str, ...],
    directions: tuple[int, ...],
    plan: ModelPlan,
    rounds: int,
    strength: Floats,
    threads: int = 1,
) -> AwareScore:
    """Make the function that `fairness.discrimination_free` needs: b Z (s - s_bar) of a fold's own trees, as filed.

    Parameters
    ----------
    names, directions : tuple
        Of the model's variables; the attribute's columns follow them, free of any direction.
    rounds : int
        Trees of the filed model.
    strength : numpy.ndarray, shape (n_rows,)
        Of the filed model, b Z: without it bolder relativities would be laid to the attribute.
    """

    def score(x: Floats, variants: list[Floats]) -> list[Floats]:
        more = x.shape[1] - len(names)
        found = [np.zeros(len(x)) for _ in variants]
        for k in np.unique(judged.fold):
            learn, test = judged.fold != k, judged.fold == k
            claims, mu0 = judged.claims[learn], judged.mu0[learn]
            level = float(np.log(claims.sum() / mu0.sum()))
            fitted = boosting.fit(
                x[learn],
                claims,
                mu0,
                level,
                features=(*names, *(f"attribute_{i}" for i in range(more))),
                directions=(*directions, *(0 for _ in range(more))),
                rounds=max(rounds, 1),
                plan=plan,
                threads=threads,
            )
            filed = filed_tables(fitted, x[learn], mu0, plan)
            middle = mean_score(filed.score(x[learn]), mu0)
            for own, variant in zip(found, variants, strict=True):
                own[test] = strength[test] * (filed.score(variant[test]) - middle)
        return found

    return score
