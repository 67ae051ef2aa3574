"""Twins of the filed model, fitted in the same folds to be measured beside it, never filed.

- free of directions: what the catalogue's directions cost, and which of them the claims go against;
- free form: deeper trees, no sum of tables: what the filed form gives up to be readable;
- Tweedie: pure premium in one model, a check of frequency x severity where claims have amounts.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from pricing import boosting, severity
from pricing.arrays import Ints
from pricing.certificate import certify
from pricing.crossfit import Chosen, Form, choose, fit_part
from pricing.distil import distil
from pricing.errors import ModelError
from pricing.evaluate import gini, levelled, tweedie_deviance
from pricing.plan import ModelPlan
from pricing.sample import Goal, Sample

log = logging.getLogger(__name__)

FREE_LEAVES: Final = 12
DEAR: Final = 0.1  # share of the gain over the tariff that directions may cost before it is told as a warning
POWERS: Final = (1.1, 1.9)  # Tweedie: within these LightGBM's loss is sound


class _Twin(NamedTuple):
    form: str
    filed: bool
    chosen: Chosen


def twins(sample: Sample, fold: Ints, filed: Chosen, *, threads: int = 1) -> dict[str, pl.DataFrame]:
    """Fit the twins, and tell how each did out of fold.

    Parameters
    ----------
    fold : numpy.ndarray of int, shape (n_rows,)
        Those of the filed model.
    filed : Chosen
        The filed model's frequency.

    Returns
    -------
    dict of str to polars.DataFrame
        `forms`: deviance of each form, and the share of the free form's gain over the tariff that it keeps.
        `directions`: each feature held to a direction, and what the twin free of directions does there.
        `tweedie`: frequency x severity beside Tweedie; absent where claims have no amounts.
    """
    settings = dataclasses.replace(filed.settings, search=type(filed.settings.search)())
    held = sample.inputs.directions
    goal = sample.frequency()
    unheld = choose(sample, goal, fold, settings, Form((0,) * len(held)), threads=threads, told="free of directions")
    deep = dataclasses.replace(settings, leaves=FREE_LEAVES)
    free = choose(
        sample, goal, fold, deep, Form((0,) * len(held), boosting.ANY_DEPTH), threads=threads, told="free form"
    )
    found = [_Twin("filed", True, filed), _Twin("free of directions", False, unheld), _Twin("free form", False, free)]
    tables = {
        "forms": _forms(goal, found),
        "directions": _directions(sample, goal, unheld, threads),
    }
    _warn(tables["forms"], tables["directions"])
    try:
        amounts = sample.severity()
    except ModelError:
        return tables
    return tables | {"tweedie": _tweedie(sample, amounts, fold, settings, filed, threads)}


def _forms(goal: Goal, found: list[_Twin]) -> pl.DataFrame:
    tariff = goal.deviance(found[0].chosen.expected)
    most = tariff - found[-1].chosen.deviance
    rows = [{"form": "tariff", "filed": True, "trees": 0, "deviance": tariff, "gain": 0.0, "share_of_free_form": None}]
    for twin in found:
        gain = tariff - twin.chosen.deviance
        rows.append(
            {
                "form": twin.form,
                "filed": twin.filed,
                "trees": twin.chosen.rounds,
                "deviance": twin.chosen.deviance,
                "gain": gain,
                "share_of_free_form": gain / most if most > 0 else None,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _warn(forms: pl.DataFrame, directions: pl.DataFrame) -> None:
    """Tell where directions cost much, and which one the claims go against most."""
    gain = dict(forms.select("form", "gain").iter_rows())
    free = gain["free of directions"]
    if free > 0 and gain["filed"] < (1 - DEAR) * free and directions.height:
        worst = directions.sort("largest_step_against", descending=True).row(0, named=True)
        log.warning(
            "the catalogue's directions cost %.0f %% of the gain out of fold; claims go most against that of %s: "
            "look at it, and take the feature out of the model or its direction out of the catalogue",
            100 * (1 - gain["filed"] / free),
            worst["feature"],
        )


def _directions(sample: Sample, goal: Goal, unheld: Chosen, threads: int) -> pl.DataFrame:
    """Which directions the claims go against, and by how much at most."""
    priors = sample.inputs.fit_priors()
    x, names, held = sample.inputs.matrix(priors), sample.inputs.names, sample.inputs.directions
    part = fit_part(x, goal, names, unheld.settings, Form((0,) * len(held)), unheld.rounds, threads)
    tables = distil(part.boosted, x, sample.mu0)
    proofs = certify({"frequency": (tables, 1.0)}, held, "").proofs
    return pl.DataFrame(
        {
            "feature": [proof.feature for proof in proofs],
            "direction": [proof.direction for proof in proofs],
            "claims_agree_everywhere": [proof.holds for proof in proofs],
            "largest_step_against": [float(np.exp(-min(proof.least_change_1e12, 0) * 1e-12)) for proof in proofs],
            "at": [proof.at for proof in proofs],
        },
        schema_overrides={"at": pl.Float64},
    )


def _tweedie(
    sample: Sample, amounts: Goal, fold: Ints, settings: ModelPlan, filed: Chosen, threads: int
) -> pl.DataFrame:
    form, km = Form(sample.inputs.directions), sample.inputs.exposure_km
    by_claim = choose(sample, amounts, fold, settings, form, threads=threads, told="severity")
    found = severity.calibrate(amounts, by_claim.expected, km, by_claim.score, (0.0,))
    slope = found.b if by_claim.rounds and found.b_low > 0 else 0.0
    product = filed.expected * np.exp(filed.score) * by_claim.expected * np.exp(slope * by_claim.score)
    # In units of the mean paid claim, so that LightGBM's regularisation means claims.
    unit = float((amounts.weight * amounts.observed).sum() / amounts.weight.sum())
    observed = amounts.weight * amounts.observed / unit
    shape = 1.0 / severity.dispersion(amounts)
    power = float(np.clip((shape + 2.0) / (shape + 1.0), *POWERS))
    base = sample.mu0 * sample.tariff_severity
    base = base * (observed.sum() / base.sum())
    hessian = float((base ** (2.0 - power)).mean() / base.mean())
    objective = boosting.Objective("tweedie", hessian, (("tweedie_variance_power", power),))
    both = choose(
        sample,
        Goal(objective, observed, base, np.ones(len(base))),
        fold,
        settings,
        form,
        threads=threads,
        told="Tweedie",
    )
    ours, theirs = (levelled(mu, observed) for mu in (product, both.expected * np.exp(both.score)))
    ratio = theirs / ours
    low, high = np.quantile(ratio, [0.05, 0.95])
    return pl.DataFrame(
        {
            "power": [power],
            "trees_severity": [by_claim.rounds if slope else 0],
            "trees_tweedie": [both.rounds],
            "deviance_tariff": [tweedie_deviance(observed, base, power)],
            "deviance_frequency_x_severity": [tweedie_deviance(observed, ours, power)],
            "deviance_tweedie": [tweedie_deviance(observed, theirs, power)],
            "gini_frequency_x_severity": [gini(observed, sample.years, ours / sample.years)],
            "gini_tweedie": [gini(observed, sample.years, theirs / sample.years)],
            "correlation_of_logs": [float(np.corrcoef(np.log(ours), np.log(theirs))[0, 1])],
            "mean_absolute_log_ratio": [float(np.average(np.abs(np.log(ratio)), weights=base))],
            "ratio_5_percent": [float(low)],
            "ratio_95_percent": [float(high)],
        }
    )
