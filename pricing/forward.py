"""A test forward in time: learn from earlier claims, foretell later ones.

With several rating dates, the last one is foretold by those whose label windows had ended by then. With one, its label
window is cut in half: driving before it, claims of the first half to learn from, claims of the second to foretell.

Judgements:

1. The same drivers may stand on both sides, as they do in a renewal book. That no driver is judged by a model that has
   seen the driver's own claims is what the out-of-fold measures are for.
2. Settings, rounds, kappa and the slope are the model's own; trees, event-rate priors and levels are learned anew from
   the earlier claims alone.
3. Both predictors are brought to the level of the later claims before deviances are compared: how far the level moved
   is told beside them, as observed over foretold.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing import credibility, evaluate
from pricing.crossfit import Chosen, Form, filed_tables, fit_part, mean_score
from pricing.exposure import add_months
from pricing.matrix import rateable
from pricing.model import RiskModel
from pricing.sample import Sample

_LEAST_YEARS: Final = 1e-6  # what subtracting two sums of days may leave of none
LEAST_CLAIMS: Final = 50  # on either side: below, nothing would be told


def forward_test(
    early: pl.DataFrame,
    late: pl.DataFrame,
    how: str,
    catalogue: Catalogue,
    model: RiskModel,
    chosen: Chosen,
    *,
    threads: int = 1,
) -> pl.DataFrame:
    """Learn from some rating rows, foretell others.

    Parameters
    ----------
    early, late : polars.DataFrame
        Rating rows with features and labels.
    how : str
        Told in the table.
    chosen : Chosen
        Settings and rounds of frequency.

    Returns
    -------
    polars.DataFrame
        One row; without one where either side has too few claims.
    """
    sides = [rows.filter(rateable(rows, model.plan.rateable)) for rows in (early, late)]
    learn, test = (Sample.of(rows.sort("driver_id", "rating_date"), catalogue) for rows in sides)
    if min(learn.claims.sum(), test.claims.sum()) < LEAST_CLAIMS:
        return pl.DataFrame()
    priors = learn.inputs.fit_priors()
    x, names = learn.inputs.matrix(priors), learn.inputs.names
    form = Form(learn.inputs.directions)
    part = fit_part(x, learn.frequency(), names, chosen.settings, form, chosen.rounds, threads)
    filed = filed_tables(part.boosted, x, learn.mu0, chosen.settings)
    score = filed.score(test.inputs.matrix(priors)) - mean_score(filed.score(x), learn.mu0)
    found, km = model.calibration, test.inputs.exposure_km
    relativity = np.exp(found.b * credibility.credibility(km, found.kappa_km) * score)
    foretold = test.mu0 * np.exp(part.level) * relativity
    seen = credibility.fit(test.claims, test.mu0, km, score, (found.kappa_km,))
    by_tariff, claims = test.mu0 / test.years, test.claims
    return pl.DataFrame(
        {
            "how": [how],
            "rows_learned": [len(learn.claims)],
            "claims_learned": [int(learn.claims.sum())],
            "rows_foretold": [len(claims)],
            "claims_foretold": [int(claims.sum())],
            "observed_over_foretold": [float(claims.sum() / foretold.sum())],
            "deviance_tariff": [evaluate.poisson_deviance(claims, evaluate.levelled(test.mu0, claims))],
            "deviance_telematics": [evaluate.poisson_deviance(claims, evaluate.levelled(foretold, claims))],
            "gini_tariff": [evaluate.gini(claims, test.years, by_tariff)],
            "gini_telematics": [evaluate.gini(claims, test.years, by_tariff * relativity)],
            "slope": [seen.b],
            "slope_low": [seen.b_low],
            "slope_high": [seen.b_high],
        }
    )


def by_dates(rows: pl.DataFrame, label_months: int) -> tuple[pl.DataFrame, pl.DataFrame, str] | None:
    """Rows of earlier rating dates, rows of the last one, and how it is told; None where no label had ended by then."""
    dates: list[date] = sorted(rows["rating_date"].unique().to_list())
    before = [day for day in dates[:-1] if add_months(day, label_months) <= dates[-1]]
    if not before:
        return None
    told = f"learned from the rating dates {', '.join(map(str, before))}, foretold {dates[-1]}"
    return rows.filter(pl.col("rating_date").is_in(before)), rows.filter(pl.col("rating_date") == dates[-1]), told


def by_halves(rows: pl.DataFrame, first_half: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """The rows with the labels of the first half of their window, with those of the second, and how it is told.

    Parameters
    ----------
    first_half : polars.DataFrame
        driver_id, rating_date, claims, years, expected_claims of the first half.
    """
    keys, labels = ("driver_id", "rating_date"), ("claims", "years", "expected_claims")
    both = rows.join(first_half.select(*keys, *labels), on=list(keys), how="left", maintain_order="left", suffix="_1")
    early = both.with_columns(pl.col(f"{name}_1").fill_null(0).alias(name) for name in labels)
    late = both.with_columns((pl.col(name) - pl.col(f"{name}_1").fill_null(0)).alias(name) for name in labels)
    told = "learned from the claims of the first half of the label window, foretold those of the second"
    return early.filter(pl.col("years") > 0), late.filter(pl.col("years") > _LEAST_YEARS), told
