"""The book on a rating date: one row a policy and driver in force, with what is known of it before any driving."""

from __future__ import annotations

import logging
from datetime import date
from typing import Final

import polars as pl

from pricing import exposure, own_claims
from pricing.contract.factors import NANO
from pricing.errors import ModelError
from pricing.model import RiskModel

log = logging.getLogger(__name__)

KEYS: Final = ("policy_id", "driver_id")


def book_rows(
    policies: pl.DataFrame,
    model: RiskModel,
    day: date,
    previous: pl.DataFrame | None = None,
    claims: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row a policy and driver in force on a day.

    Parameters
    ----------
    policies, previous, claims : polars.DataFrame
        As `portfolio` reads them.

    Returns
    -------
    polars.DataFrame
        Sorted by (policy_id, driver_id): those, rating_date, start, end Date (of the period rated), expected_claims
        Float64, premium Float64 where policies have premiums, previous Float64 (null: none), past_claims Int64 and
        past_expected Float64 (0 where the model leaves own claims out).

    Raises
    ------
    ModelError
        If no policy is in force, or the plan needs what was not given.
    """
    pieces = exposure.earned(policies, day, model.plan.window.label_months)
    in_force = pieces.filter(pl.col("start") == day).select(*KEYS)
    if in_force.is_empty():
        raise ModelError(f"no policy covers the rating date {day}; give another --rating-date or newer policies")
    pieces = pieces.join(in_force, on=list(KEYS), how="semi")
    yearly = {"claims_per_year": "expected_claims"}
    if "premium_per_year" in pieces.columns:
        yearly["premium_per_year"] = "premium"
    elif model.plan.factor.balance == "premium":
        raise ModelError("factor.balance of the plan is premium, and the policies have no tariff_premium; add it")
    priced = pieces.with_columns(pl.Series("claims_per_year", model.tariff.claims_per_year(pieces)))
    book = exposure.total(priced, KEYS, yearly).with_columns(pl.lit(day).alias("rating_date"))
    # Balanced as published: short terms are so few claims that rounding afterwards would show in the written balance.
    book = book.with_columns(pl.col("expected_claims").round(NANO))
    return _with_history(_with_previous(book.sort(*KEYS), previous), policies, claims, model, day)


def _with_previous(book: pl.DataFrame, previous: pl.DataFrame | None) -> pl.DataFrame:
    if previous is None:
        return book.with_columns(pl.lit(None, dtype=pl.Float64).alias("previous"))
    by_driver = previous.group_by("driver_id").agg(pl.col("factor").max().alias("of_driver"))
    found = (
        book.join(previous.rename({"factor": "of_policy"}), on=list(KEYS), how="left", maintain_order="left")
        .join(by_driver, on="driver_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("of_policy", "of_driver").alias("previous"))
        .drop("of_policy", "of_driver")
    )
    known = found.height - found["previous"].null_count()
    log.info("%d of %d policies have a previous factor", known, found.height)
    if not known:
        log.warning("nobody of the book is in the previous factors, so no renewal limit acts: is it the right file?")
    return found


def _with_history(
    book: pl.DataFrame, policies: pl.DataFrame, claims: pl.DataFrame | None, model: RiskModel, day: date
) -> pl.DataFrame:
    if model.own_claims is None:
        return book.with_columns(past_claims=pl.lit(0, pl.Int64), past_expected=pl.lit(0.0))
    if claims is None:
        raise ModelError("the model counts a driver's own claims (credibility.own_claims): give --claims FILE as well")
    last = claims["occurred_on"].max()
    if isinstance(last, date) and exposure.add_months(last.replace(day=1), 1) < day.replace(day=1):
        log.warning("claims are known to %s only: from there to %s every driver counts as free of claims", last, day)
    months = model.plan.credibility.own_claims_months
    own = policies.join(book.select("driver_id").unique(), on="driver_id", how="semi")
    past = own_claims.history(own, claims, model.tariff, (day,), months)
    return book.join(past, on=["driver_id", "rating_date"], how="left", maintain_order="left").with_columns(
        pl.col("past_claims", "past_expected").fill_null(0)
    )
