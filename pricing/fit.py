"""Fit the model on rating rows: folds by driver, rounds and kappa by out-of-fold deviance, then all rows.

Judgements:

1. Rows below the plan's `rateable` limits are not trained on: no factor will rest on so little driving.
2. Everything that is estimated from data before the boosting (event-rate priors, the level of the tariff, the mean
   score) is estimated inside each training fold.
3. A driver is in one fold, by a hash of the name: neither row order nor other drivers move anyone.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from features.contract.catalogue import Catalogue
from pricing import boosting, credibility, evaluate, tiers
from pricing.arrays import Bools, Floats, Ints
from pricing.distil import distil
from pricing.errors import ModelError
from pricing.matrix import Inputs, rateable, read_inputs
from pricing.model import QUANTILES, RiskModel
from pricing.plan import Plan
from pricing.shrink import GammaPrior
from pricing.tariff import Tariff

log = logging.getLogger(__name__)


def fit(rows: pl.DataFrame, catalogue: Catalogue, plan: Plan, fitted_tariff: Tariff, *, threads: int = 1) -> RiskModel:
    """Fit the model on rating rows (`rating_rows`).

    Raises
    ------
    ModelError
        If there are too few rows or claims, or the calibration slope is not acceptable.
    """
    enough = rateable(rows, plan.rateable)
    log.info("%d of %d rating rows hold enough driving and are trained on", int(enough.sum()), rows.height)
    sample = Sample.of(rows.filter(enough).sort("driver_id", "rating_date"), catalogue)
    if sample.claims.sum() < plan.model.folds:
        raise ModelError(
            f"{int(sample.claims.sum())} claims among {len(sample.claims)} rows with enough driving: too few to learn "
            "from; give more policies or months"
        )
    stages, expected = _out_of_fold(sample, plan, threads)
    best = int(np.argmin([evaluate.poisson_deviance(sample.claims, expected * np.exp(stage)) for stage in stages.T]))
    oof_score = stages[:, best]
    kappas = plan.credibility.kappa_km
    calibration = credibility.fit(sample.claims, expected, sample.inputs.exposure_km, oof_score, kappas)
    _judge(calibration, plan)
    z = credibility.credibility(sample.inputs.exposure_km, calibration.kappa_km)
    oof_relativity = np.exp(calibration.b * z * oof_score)
    cut = tiers.fit(sample.claims, expected, oof_relativity, plan.tiers)

    part = _fit_part(sample, plan, plan.model.rounds[best], threads)
    matrix = sample.inputs.matrix(part.priors)
    tables = distil(part.boosted, matrix, sample.mu0)
    raw = tables.score(matrix)
    s_bar = _mean(raw, sample.mu0)
    relativity = np.exp(calibration.b * z * (raw - s_bar))
    model = RiskModel(
        plan=plan,
        catalogue_version=catalogue.version,
        tariff=fitted_tariff,
        priors=part.priors,
        boosted=part.boosted,
        tables=tables,
        level=part.level,
        s_bar=s_bar,
        calibration=calibration,
        tiers=cut,
        reference=tuple(np.quantile(relativity, np.linspace(0, 1, QUANTILES + 1)).tolist()),
        diagnostics=_diagnostics(sample, plan, best, oof_relativity, calibration, cut),
    )
    model.check_certificate(catalogue)
    model.diagnostics["certificate"] = model.certificate(catalogue).to_dict()
    return model


@dataclass(frozen=True, slots=True)
class Sample:
    """Arrays of rating rows, each of shape (n_rows,)."""

    inputs: Inputs
    claims: Floats
    mu0: Floats
    years: Floats
    driver: tuple[str, ...]

    @classmethod
    def of(cls, rows: pl.DataFrame, catalogue: Catalogue) -> Sample:
        """Take the arrays out of rating rows."""
        claims, mu0, years = (rows[n].cast(pl.Float64).to_numpy() for n in ("claims", "expected_claims", "years"))
        return cls(read_inputs(rows, catalogue), claims, mu0, years, tuple(rows["driver_id"].to_list()))

    def rows(self, chosen: Bools) -> Sample:
        """Part of the rows."""
        driver = tuple(d for d, is_in in zip(self.driver, chosen, strict=True) if is_in)
        return Sample(self.inputs.rows(chosen), self.claims[chosen], self.mu0[chosen], self.years[chosen], driver)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one training part gives."""

    boosted: boosting.Boosted
    priors: dict[str, GammaPrior]
    level: float


def fold_of(drivers: tuple[str, ...], folds: int, seed: int) -> Ints:
    """Fold of each driver, by a hash of the name."""
    hashes = [hashlib.sha256(f"{seed}:{driver}".encode()).digest()[:8] for driver in drivers]
    return np.array([int.from_bytes(h, "little") % folds for h in hashes], dtype=np.int64)


def _out_of_fold(sample: Sample, plan: Plan, threads: int) -> tuple[Floats, Floats]:
    """Centred score after each number of rounds (n_rows, n_rounds), and expected claims before it (n_rows,)."""
    rounds = plan.model.rounds
    fold = fold_of(sample.driver, plan.model.folds, plan.model.seed)
    stages, expected = np.zeros((len(fold), len(rounds))), sample.mu0.copy()
    for k in tqdm(range(plan.model.folds), desc="folds", unit="fold", leave=False, disable=None):
        out, learn = fold == k, sample.rows(fold != k)
        if not out.any() or learn.claims.sum() == 0:
            raise ModelError(f"fold {k} has no driver to test or no claim to learn from: give more policies")
        part = _fit_part(learn, plan, rounds[-1], threads)
        seen = part.boosted.staged_scores(learn.inputs.matrix(part.priors), rounds)
        unseen = part.boosted.staged_scores(sample.inputs.rows(out).matrix(part.priors), rounds)
        stages[out] = unseen - np.array([_mean(stage, learn.mu0) for stage in seen.T])
        expected[out] = boosting.expected_claims(sample.mu0[out], part.level, np.zeros(int(out.sum())))
    return stages, expected


def _fit_part(sample: Sample, plan: Plan, rounds: int, threads: int) -> _Part:
    priors = sample.inputs.fit_priors()
    level = float(np.log(sample.claims.sum() / sample.mu0.sum()))
    boosted = boosting.fit(
        sample.inputs.matrix(priors),
        sample.claims,
        sample.mu0,
        level,
        features=sample.inputs.names,
        directions=sample.inputs.directions,
        rounds=rounds,
        plan=plan.model,
        threads=threads,
    )
    return _Part(boosted, priors, level)


def _mean(score: Floats, mu0: Floats) -> float:
    return float((score * mu0).sum() / mu0.sum())


def _judge(calibration: credibility.Calibration, plan: Plan) -> None:
    low, high = plan.credibility.slope_band
    text = f"slope b = {calibration.b:.3f}, 90 % interval [{calibration.b_low:.3f}, {calibration.b_high:.3f}]"
    if calibration.accepted(plan.credibility.slope_band):
        log.info("calibration out of fold: %s, kappa %g km", text, calibration.kappa_km)
        return
    message = f"calibration out of fold: {text} misses [{low:g}, {high:g}]"
    if not plan.credibility.accept_miscalibrated:
        raise ModelError(f"{message}; the score is off: more data, or accept it with credibility.accept_miscalibrated")
    log.warning("%s; accepted by the plan", message)


def _diagnostics(
    sample: Sample,
    plan: Plan,
    best: int,
    relativity: Floats,
    calibration: credibility.Calibration,
    cut: tiers.Tiers,
) -> dict[str, Any]:
    """Out-of-fold measures: every row is judged by a model that has not seen its driver."""
    rate = sample.mu0 / sample.years
    level = sample.claims.sum() / sample.mu0.sum()
    return {
        "rows": len(sample.claims),
        "claims": int(sample.claims.sum()),
        "years": float(sample.years.sum()),
        "claims_over_tariff": float(level),
        "rounds": plan.model.rounds[best],
        "deviance_tariff": evaluate.poisson_deviance(sample.claims, sample.mu0 * level),
        "deviance_telematics": calibration.deviance,
        "gini_tariff": evaluate.gini(sample.claims, sample.years, rate),
        "gini_telematics": evaluate.gini(sample.claims, sample.years, rate * relativity),
        "slope_accepted": calibration.accepted(plan.credibility.slope_band),
        "lift": [asdict(r) for r in evaluate.lift(cut.label(relativity), sample.claims, sample.mu0, relativity)],
    }
