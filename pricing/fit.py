"""Fit the model on rating rows: folds by driver, settings and kappa by out-of-fold deviance, then all rows.

    out of fold: score -> calibration and credibility -> relativity -> tiers, validation
    all rows:    trees -> rating tables -> certificate

Rows below the plan's `rateable` limits are not trained on: no factor will rest on so little. How rows are cut
into folds, and what is chosen on them, stands in `crossfit.py`; what severity adds, in `severity.py`.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing import credibility, evaluate, severity, tiers
from pricing.arrays import Floats
from pricing.canonical import canonical
from pricing.component import Component
from pricing.credibility import Calibration
from pricing.crossfit import Chosen, Form, choose, filed_tables, fit_part, fold_of, mean_score
from pricing.errors import ModelError
from pricing.matrix import rateable
from pricing.model import QUANTILES, RiskModel
from pricing.plan import Plan
from pricing.sample import Goal, Sample
from pricing.tariff import Tariff
from pricing.validation import OutOfFold, validation

__all__ = ["Fitted", "fit", "fit_validated", "fold_of"]

log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """A model, the rows it was trained on, and what each was told out of fold (`validation.VALIDATION`), in one order.

    `sample` holds the rows as arrays, `chosen` what was settled for frequency.
    """

    model: RiskModel
    rows: pl.DataFrame
    validation: pl.DataFrame
    sample: Sample
    chosen: Chosen


def fit(rows: pl.DataFrame, catalogue: Catalogue, plan: Plan, fitted_tariff: Tariff, *, threads: int = 1) -> RiskModel:
    """Fit the model on rating rows, see `fit_validated`."""
    return fit_validated(rows, catalogue, plan, fitted_tariff, threads=threads).model


def fit_validated(
    rows: pl.DataFrame, catalogue: Catalogue, plan: Plan, fitted_tariff: Tariff, *, threads: int = 1
) -> Fitted:
    """Fit the model on rating rows (`pricing.train.rating_rows`), and say how it did out of fold.

    Raises
    ------
    ModelError
        If there are too few rows or claims, the calibration slope is not acceptable, or the plan includes severity
        and the claims came without amounts.
    """
    enough = rateable(rows, plan.rateable)
    log.info("%d of %d rating rows hold enough driving and are trained on", int(enough.sum()), rows.height)
    rows = rows.filter(enough).sort("driver_id", "rating_date")
    sample = Sample.of(rows, catalogue)
    if sample.claims.sum() < plan.model.folds:
        raise ModelError(
            f"{int(sample.claims.sum())} claims among {len(sample.claims)} rows with enough driving: too few to learn "
            "from; give more policies or months"
        )
    fold = fold_of(tuple(rows["driver_id"].to_list()), plan.model.folds, plan.model.seed)
    form, km, kappas = Form(sample.inputs.directions), sample.inputs.exposure_km, plan.credibility.kappa_km

    if plan.model.severity:
        sample.severity()  # refuses claims without amounts before the work, not after it
    goal = sample.frequency()
    chosen = choose(sample, goal, fold, plan.model, form, threads=threads)
    calibration = canonical(credibility.fit(goal.observed, chosen.expected, km, chosen.score, kappas))
    _judge("frequency", calibration, plan)
    learned = [_Learned("frequency", goal, chosen, calibration)]
    if plan.model.severity:
        learned.append(_severity(sample, fold, plan, form, threads))
    out_of_fold = [OutOfFold(part.chosen.score, part.chosen.expected, part.calibration) for part in learned]
    frame = validation(rows, sample, fold, out_of_fold[0], out_of_fold[1] if plan.model.severity else None)
    oof_relativity = frame["indicated_relativity"].to_numpy()
    cut = canonical(tiers.fit(*_tier_basis(sample, learned), oof_relativity, plan.tiers))

    priors = sample.inputs.fit_priors()
    matrix = sample.inputs.matrix(priors)
    components = [_component(part, matrix, sample, form, threads) for part in learned]
    relativity = np.exp(np.sum([part.log_relativity(matrix, km) for part in components], axis=0))
    model = RiskModel(
        plan=plan,
        catalogue_version=catalogue.version,
        tariff=fitted_tariff,
        priors=priors,
        frequency=components[0],
        severity=components[1] if plan.model.severity else None,
        tiers=cut,
        reference=canonical(tuple(np.quantile(relativity, np.linspace(0, 1, QUANTILES + 1)).tolist())),
        diagnostics=canonical(_diagnostics(sample, plan, learned, frame, cut)),
    )
    model.check_certificate(catalogue)
    model.diagnostics["certificate"] = model.certificate(catalogue).to_dict()
    return Fitted(model, rows, frame, sample, chosen)


class _Learned(NamedTuple):
    """What out-of-fold work has settled of one part."""

    name: str
    goal: Goal
    chosen: Chosen
    calibration: Calibration


def _severity(sample: Sample, fold: Any, plan: Plan, form: Form, threads: int) -> _Learned:
    goal = sample.severity()
    chosen = choose(sample, goal, fold, plan.model, form, threads=threads, told="severity")
    km, kappas = sample.inputs.exposure_km, plan.credibility.kappa_km
    found = canonical(severity.calibrate(goal, chosen.expected, km, chosen.score, kappas))
    if chosen.rounds and found.b_low <= 0:
        log.info("severity: slope b = %.3f is not clearly above 0; amounts are taken as equal", found.b)
        nothing = np.zeros_like(chosen.score)
        chosen = dataclasses.replace(chosen, rounds=0, score=nothing)
        found = canonical(severity.calibrate(goal, chosen.expected, km, nothing, kappas))
    _judge("severity", found, plan)
    return _Learned("severity", goal, chosen, found)


def _component(part: _Learned, matrix: Floats, sample: Sample, form: Form, threads: int) -> Component:
    """Train one part on all rows, and write it as tables."""
    chosen = part.chosen
    trained = fit_part(matrix, part.goal, sample.inputs.names, chosen.settings, form, chosen.rounds, threads)
    tables = filed_tables(trained.boosted, matrix, sample.mu0, chosen.settings)
    s_bar = mean_score(tables.score(matrix), sample.mu0)
    return Component(part.name, trained.boosted, tables, trained.level, s_bar, part.calibration)


def _tier_basis(sample: Sample, learned: list[_Learned]) -> tuple[Floats, Floats]:
    """What tiers are cut on: claims and expected claims; with severity amounts, in units of the mean amount a claim."""
    expected = learned[0].chosen.expected
    if len(learned) == 1 or sample.amount is None:
        return sample.claims, expected
    amounts: Floats = sample.amount * (sample.claims.sum() / sample.amount.sum())
    return amounts, evaluate.levelled(expected * learned[1].chosen.expected, amounts)


def _judge(name: str, calibration: Calibration, plan: Plan) -> None:
    low, high = plan.credibility.slope_band
    text = f"slope b = {calibration.b:.3f}, 90 % interval [{calibration.b_low:.3f}, {calibration.b_high:.3f}]"
    if calibration.accepted(plan.credibility.slope_band):
        log.info("calibration of %s out of fold: %s, kappa %g km", name, text, calibration.kappa_km)
        return
    message = f"calibration of {name} out of fold: {text} misses [{low:g}, {high:g}]"
    if not plan.credibility.accept_miscalibrated:
        raise ModelError(f"{message}; the score is off: more data, or accept it with credibility.accept_miscalibrated")
    log.warning("%s; accepted by the plan", message)


def _diagnostics(
    sample: Sample, plan: Plan, learned: list[_Learned], frame: pl.DataFrame, cut: tiers.Tiers
) -> dict[str, Any]:
    """Out-of-fold measures: every row is judged by a model that has not seen its driver."""
    frequency = learned[0]
    # The level of the tariff is of the training folds, as in the filing pack: what telematics adds is the difference.
    tariff = evaluate.levelled(frequency.chosen.expected, sample.claims)
    rate = tariff / sample.years
    relativity, indicated = (frame[name].to_numpy() for name in ("relativity", "indicated_relativity"))
    told = {
        "rows": len(sample.claims),
        "claims": int(sample.claims.sum()),
        "years": float(sample.years.sum()),
        "claims_over_tariff": float(sample.claims.sum() / sample.mu0.sum()),
        "rounds": frequency.chosen.rounds,
        "tried": {part.name: list(part.chosen.tried) for part in learned},
        "deviance_tariff": evaluate.poisson_deviance(sample.claims, tariff),
        "deviance_telematics": frequency.calibration.deviance,
        "gini_tariff": evaluate.gini(sample.claims, sample.years, rate),
        "gini_telematics": evaluate.gini(sample.claims, sample.years, rate * relativity),
        "slope_accepted": frequency.calibration.accepted(plan.credibility.slope_band),
        "lift": [asdict(r) for r in evaluate.lift(cut.label(indicated), sample.claims, sample.mu0, relativity)],
    }
    return told | {part.name: _of_severity(part, plan) for part in learned[1:]}


def _of_severity(part: _Learned, plan: Plan) -> dict[str, Any]:
    goal, found = part.goal, part.calibration
    return {
        "paid_claims": int(goal.weight.sum()),
        "mean_amount": float((goal.weight * goal.observed).sum() / goal.weight.sum()),
        "large_claim_cap": plan.model.large_claim_cap,
        "rounds": part.chosen.rounds,
        "deviance_tariff": goal.deviance(goal.base * np.exp(goal.level)),
        "deviance_telematics": found.deviance,
        "slope_accepted": found.accepted(plan.credibility.slope_band),
    }
