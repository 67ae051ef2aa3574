"""Train: rating rows from the past, claims after a rating date beside the driving before it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import polars as pl

from features.contract.catalogue import Catalogue
from features.contract.window import rating_features
from pricing import exposure, forward, own_claims, tariff
from pricing.canonical import canonical
from pricing.diagnostics import diagnose
from pricing.diagnostics.fairness import protected_of
from pricing.errors import ModelError
from pricing.fit import Fitted, fit_validated
from pricing.model import RiskModel
from pricing.plan import Plan
from pricing.tariff import Tariff
from pricing.twins import twins

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
    *,
    challengers: bool = False,
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
    challengers : bool
        Fit other forms in the same folds and tell how they did; several times the work.
    """
    dates = rating_dates or (default_rating_date(claims, plan),)
    log.info("rating dates: %s", ", ".join(str(day) for day in dates))
    label_end = exposure.add_months(max(dates), plan.window.label_months)
    if default_rating_date(claims, plan) < max(dates):
        log.warning("claims are known to %s only, labels reach to %s", claims["occurred_on"].max(), label_end)
    if any(exposure.add_months(a, plan.window.label_months) > b for a, b in pairwise(sorted(set(dates)))):
        log.warning("label windows overlap: their claims count more than once, and every interval comes out too narrow")
    rows, fitted = rating_rows(policies, claims, periods, catalogue, plan, dates)
    past = None
    if plan.credibility.own_claims:
        past = own_claims.history(policies, claims, fitted, dates, plan.credibility.own_claims_months)
        own_claims.check(rows, past)
    fit = fit_validated(rows, catalogue, plan, fitted, threads=threads)
    model = fit.model
    if past is not None:
        model = replace(model, own_claims=canonical(own_claims.learn(fit.validation, past)))
    model.diagnostics["rating_dates"] = [str(day) for day in dates]
    model.diagnostics["label_end"] = str(label_end)
    model.diagnosis.update(_forward(fit, rows, policies, claims, catalogue, threads))
    if challengers:
        fold = fit.validation["fold"].to_numpy()
        model.diagnosis.update(twins(fit.sample, fold, fit.chosen, threads=threads))
    model.diagnosis.update(
        diagnose(
            fit.validation,
            fit.rows,
            model,
            catalogue,
            plan,
            periods=periods,
            protected=protected_of(policies, fit.rows, plan.fairness.protected),
            challengers=challengers,
            threads=threads,
        )
    )
    return model


def _forward(
    fit: Fitted, rows: pl.DataFrame, policies: pl.DataFrame, claims: pl.DataFrame, catalogue: Catalogue, threads: int
) -> dict[str, pl.DataFrame]:
    """Test the model forward in time; nothing where the rows do not allow it."""
    months = fit.model.plan.window.label_months
    dates: list[date] = sorted(rows["rating_date"].unique().to_list())
    split = forward.by_dates(rows, months)
    if split is None:
        if len(dates) > 1 or months < 2:
            return {}
        first_half = _labelled(_pieces(policies, claims, dates, months // 2), fit.model.tariff)
        split = forward.by_halves(rows, first_half)
    early, late, told = split
    table = forward.forward_test(early, late, told, catalogue, fit.model, fit.chosen, threads=threads)
    return {} if table.is_empty() else {"forward": table}


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
        paid_claims Int64 and claim_amount Float64 (capped), tariff_severity Float64 where the tariff tells amounts, and
        the columns of `rating_features`; and the tariff.
    """
    pieces = _pieces(policies, claims, rating_dates, plan.window.label_months)
    if pieces.is_empty():
        raise ModelError(f"no policy covers {', '.join(map(str, rating_dates))}; give another --rating-date")
    unknown = claims.join(policies, on="policy_id", how="anti")
    if unknown.height:
        first = unknown["policy_id"][0]
        log.warning("%d claims name a policy that is not in the file, the first %s; not used", unknown.height, first)
    used, given = int(pieces["claims"].sum()), claims.height
    log.info("%d of %d claims fall into the label windows of %d pieces of policies", used, given, pieces.height)
    fitted = tariff.fit(pieces, plan.tariff)
    labels = _labelled(pieces, fitted)
    return rating_features(periods, labels, plan.window.feature_months, catalogue).sort(*KEYS), fitted


def _pieces(policies: pl.DataFrame, claims: pl.DataFrame, dates: Iterable[date], months: int) -> pl.DataFrame:
    """What policies earned in the months after each rating date, with their claims."""
    cut = [exposure.earned(policies, day, months) for day in sorted(set(dates))]
    return exposure.with_claims(pl.concat(cut), claims)


def _labelled(pieces: pl.DataFrame, fitted: Tariff) -> pl.DataFrame:
    """Labels of each driver and rating date; where claims have amounts, these and what the tariff expects of one."""
    yearly, per_year = {"claims_per_year": "expected_claims"}, fitted.claims_per_year(pieces)
    priced = pieces.with_columns(pl.Series("claims_per_year", per_year))
    per_claim = fitted.amount_per_claim(pieces) if "claim_cents" in pieces.columns else None
    if per_claim is not None:
        priced = priced.with_columns(pl.Series("cost_per_year", per_year * per_claim))
        yearly["cost_per_year"] = "expected_cost"
    earned = exposure.total(priced, KEYS, yearly)
    labels = earned.select(*KEYS, "claims", "years", "expected_claims")
    if "claim_cents" in earned.columns:
        amount = pl.Series("claim_amount", earned["claim_cents"].to_numpy() / 100)
        labels = labels.with_columns(earned["paid_claims"], amount)
    if per_claim is not None:
        labels = labels.with_columns(tariff_severity=earned["expected_cost"] / earned["expected_claims"])
    return labels
