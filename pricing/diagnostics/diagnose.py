"""All diagnostics of a training, as aggregated tables."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing import reasons
from pricing.arrays import Floats
from pricing.diagnostics import fairness
from pricing.diagnostics.accuracy import accuracy
from pricing.diagnostics.amounts import amounts
from pricing.diagnostics.aware import aware_score
from pricing.diagnostics.bands import relativities, strength
from pricing.diagnostics.challengers import fit_challengers
from pricing.diagnostics.curves import curves
from pricing.diagnostics.lift import calibration, double_lift, lift
from pricing.diagnostics.reference import reference
from pricing.diagnostics.stability import stability
from pricing.diagnostics.uncertainty import uncertainty
from pricing.diagnostics.validated import Validated
from pricing.matrix import read_inputs
from pricing.model import RiskModel
from pricing.plan import Plan

TARIFF: Final = "tariff"
MODEL: Final = "tariff + telematics"
EXPOSURE: Final = ("exposure_km", "exposure_days", "trips")
DECIMALS: Final = 9


def diagnose(
    validation: pl.DataFrame,
    rows: pl.DataFrame,
    model: RiskModel,
    catalogue: Catalogue,
    plan: Plan,
    *,
    periods: pl.DataFrame | None = None,
    protected: pl.DataFrame | None = None,
    challengers: bool = False,
    threads: int = 1,
) -> dict[str, pl.DataFrame]:
    """Make every table of a training.

    Parameters
    ----------
    validation : polars.DataFrame
        `pricing.validation.VALIDATION`: one row a rating row, judged by a model that has not seen its driver.
    rows : polars.DataFrame
        The rating rows with their features, in the same order.
    periods : polars.DataFrame, optional
        driver_periods, for the uncertainty of one driver's relativity.
    protected : polars.DataFrame, optional
        One column a protected attribute, in the same order. Read here and nowhere else.
    challengers : bool
        Fit a GLM, and an EBM where interpret is installed, in the same folds: some minutes.

    Returns
    -------
    dict of str to polars.DataFrame
        Name of each table; every row sums up at least twenty drivers, none names one.
    """
    judged = Validated.of(validation)
    inputs = read_inputs(rows, catalogue)
    matrix = inputs.matrix(model.priors)
    rated = model.rate(inputs)
    told = reasons.effects(model, rated)
    level = judged.years * (judged.claims.sum() / judged.years.sum())
    predictors = {"one rate for all": level, TARIFF: judged.mu0, MODEL: judged.mu}
    ranked = {TARIFF: judged.mu0, MODEL: judged.mu}
    if challengers:
        against = fit_challengers(judged, matrix, inputs.names, threads)
        predictors |= against
        ranked |= against
    tables = {
        "accuracy": accuracy(judged, predictors),
        "curves": curves(judged, ranked),
        "lift": lift(judged),
        "double_lift": double_lift(judged),
        "calibration": calibration(judged),
        "relativities": relativities(judged, told.names, inputs.values, told.effects),
        "strength": strength(told.names, told.effects, judged.mu0),
        "stability": stability(
            judged,
            model.tiers.label(validation["indicated_relativity"].to_numpy()),
            rows["expected_claims"].cast(pl.Float64).to_numpy(),
        ),
        "reference": reference(_columns(rows, catalogue) | {"relativity": rated.relativity}),
    }
    of_amounts = amounts(validation)
    if of_amounts is not None:
        tables["amounts"] = of_amounts
    if periods is not None:
        tables["uncertainty"] = uncertainty(model, periods, rows, catalogue)
    if protected is not None and protected.width:
        rounds, bold = model.diagnostics["rounds"], model.frequency.strength(judged.exposure_km)
        score = aware_score(judged, inputs.names, inputs.directions, plan.model, rounds, bold, threads)
        tables |= _fairness(judged, matrix, inputs.names, protected, score)
    return {name: table.with_columns(pl.col(pl.Float64).round(DECIMALS)) for name, table in tables.items()}


def monitored(rows: pl.DataFrame, catalogue: Catalogue, relativity: Floats) -> dict[str, Floats]:
    """Columns of a book that `reference` has frozen: every feature, the exposure, and the relativity."""
    return _columns(rows, catalogue) | {"relativity": relativity}


def _columns(rows: pl.DataFrame, catalogue: Catalogue) -> dict[str, Floats]:
    names = [*(feature.name for feature in catalogue.features), *EXPOSURE]
    return {name: rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in names if name in rows.columns}


def _fairness(
    judged: Validated, matrix: Floats, names: tuple[str, ...], protected: pl.DataFrame, score: fairness.AwareScore
) -> dict[str, pl.DataFrame]:
    found: dict[str, list[pl.DataFrame]] = {"fairness_groups": [], "fairness_proxy": [], "fairness_free": []}
    for column in protected:
        group = fairness.groups_of(column, judged.driver)
        attribute = pl.lit(column.name).alias("attribute")
        told = fairness.proxy(matrix, names, judged.relativity, group, judged.fold)
        found["fairness_groups"].append(fairness.by_group(judged, group).select(attribute, pl.all()))
        found["fairness_proxy"].append(pl.DataFrame([told]).select(attribute, pl.all()))
        found["fairness_free"].append(
            fairness.discrimination_free(judged, matrix, group, score).select(attribute, pl.all())
        )
    return {name: pl.concat(parts) for name, parts in found.items()}
