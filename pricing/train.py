"""Train: rating rows from the past, claims after a rating date beside the driving before it."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from itertools import pairwise

import polars as pl

from features.contract.catalogue import Catalogue
from features.contract.window import rating_features
from pricing import exposure, tariff
from pricing.errors import ModelError
from pricing.fit import fit_validated
from pricing.model import RiskModel
from pricing.plan import Plan
from pricing.tariff import Tariff

log = logging.getLogger(__name__)

KEYS = ("driver_id", "rating_date")


def train(
    policies: pl.DataFrame,
    claims: pl.DataFrame,
    periods: pl.DataFrame,
    catalogue: Catalogue,
    plan: Plan,
    rating_dates: tuple[date, ...] = (),
    threads: int = 1,
) -> RiskModel:
    """Train a model on the claims after one or more rating dates and the driving before them.

    Parameters
    ----------
    policies, claims : polars.DataFrame
        As `portfolio` reads them.
    periods : polars.DataFrame
        driver_periods, `features.contract.periods`.
    rating_dates : tuple of date
        Empty: the latest whose label window ends with the last known claim, see `default_rating_date`.
    threads : int
        0: all cores. Changes nothing but the time taken; more than are free slows down.
    """
    dates = rating_dates or (default_rating_date(claims, plan),)
    log.info("rating dates: %s", ", ".join(str(day) for day in dates))
    label_end = exposure.add_months(max(dates), plan.window.label_months)
    if default_rating_date(claims, plan) < max(dates):
        log.warning("claims are known to %s only, labels reach to %s", claims["occurred_on"].max(), label_end)
    if any(exposure.add_months(a, plan.window.label_months) > b for a, b in pairwise(sorted(set(dates)))):
        log.warning("label windows overlap: their claims count more than once, and every interval comes out too narrow")
    rows, fitted = rating_rows(policies, claims, periods, catalogue, plan, dates)
    fit = fit_validated(rows, catalogue, plan, fitted, threads=threads)
    model = fit.model
    model.diagnostics["rating_dates"] = [str(day) for day in dates]
    model.diagnostics["label_end"] = str(label_end)
    return model


def default_rating_date(claims: pl.DataFrame, plan: Plan) -> date:
    """First of a month such that the month of the last claim ends the label window."""
    last = claims["occurred_on"].max()
    if not isinstance(last, date):
        raise ModelError("there are no claims: nothing can be learned; give claims, or another cover in the plan")
    month_after = (last.replace(day=28) + timedelta(days=4)).replace(day=1)
    return exposure.add_months(month_after, -plan.window.label_months)


def rating_rows(
    policies: pl.DataFrame,
    claims: pl.DataFrame,
    periods: pl.DataFrame,
    catalogue: Catalogue,
    plan: Plan,
    rating_dates: tuple[date, ...],
) -> tuple[pl.DataFrame, Tariff]:
    """Rating rows with labels and features, and the tariff fitted on the labels' year.

    Returns
    -------
    tuple
        Frame sorted by (driver_id, rating_date): claims Int64, years, expected_claims (mu0), where claims have amounts
        paid_claims Int64 and claim_amount Float64 (capped), and the columns of `rating_features`; and the tariff.
    """
    months = plan.window.label_months
    cut = [exposure.earned(policies, day, months) for day in sorted(set(rating_dates))]
    pieces = exposure.with_claims(pl.concat(cut), claims)
    if pieces.is_empty():
        raise ModelError(f"no policy covers {', '.join(map(str, rating_dates))}; give another --rating-date")
    unknown = claims.join(policies, on="policy_id", how="anti")
    if unknown.height:
        first = unknown["policy_id"][0]
        log.warning("%d claims name a policy that is not in the file, the first %s; not used", unknown.height, first)
    used, given = int(pieces["claims"].sum()), claims.height
    log.info("%d of %d claims fall into the label windows of %d pieces of policies", used, given, pieces.height)
    fitted = tariff.fit(pieces, plan.tariff)
    priced = pieces.with_columns(pl.Series("claims_per_year", fitted.claims_per_year(pieces)))
    earned = exposure.total(priced, KEYS, {"claims_per_year": "expected_claims"})
    labels = earned.select(*KEYS, "claims", "years", "expected_claims", *_amounts(earned))
    return rating_features(periods, labels, plan.window.feature_months, catalogue).sort(*KEYS), fitted


def _amounts(earned: pl.DataFrame) -> list[pl.Series]:
    """Paid claims and what they cost, where the claims tell."""
    if "claim_cents" not in earned.columns:
        return []
    return [earned["paid_claims"], pl.Series("claim_amount", earned["claim_cents"].to_numpy() / 100)]
