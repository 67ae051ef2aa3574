"""The factor table, the one thing the insurer's policy system reads."""

from __future__ import annotations

from typing import Final

import polars as pl

REASONS: Final = 3
MICRO: Final = 6  # decimals of published factors, relativities and effects
NANO: Final = 9  # decimals of the score and of expected claims

# One row a policy and driver of the book, sorted by (policy_id, driver_id).
FACTORS: Final = pl.Schema(
    {
        "policy_id": pl.String,
        "driver_id": pl.String,
        "period_start": pl.Date,  # the rating date
        "period_end": pl.Date,  # first day on which the factor no longer holds
        "factor": pl.Float64,  # times the tariff premium
        "score": pl.Float64,  # 100 x (1 - quantile of indicated_relativity in the reference book); 100 is safest
        "tier": pl.Int32,  # 1 is best; null when not rateable
        "indicated_relativity": pl.Float64,  # expected claims over tariff claims, the reference book's mean is 1
        "own_claims": pl.Float64,  # theta of claims before the rating date; 1 where the plan leaves them to the tariff
        "credibility": pl.Float64,  # Z = km / (km + kappa); null when not rateable, as driving has no weight there
        "exposure_km": pl.Float64,  # recorded in the feature window
        "exposure_days": pl.Float64,  # first trip in the feature window to the rating date
        "trips": pl.Int64,
        "capped": pl.Boolean,  # the profile's band changed the factor
        "limited": pl.Boolean,  # the renewal limit changed the factor
        "rateable": pl.Boolean,
        "tariff_expected_claims": pl.Float64,  # mu0 of the period
        **{f"reason_{k}": pl.String for k in range(1, REASONS + 1)},
        **{f"effect_{k}": pl.Float64 for k in range(1, REASONS + 1)},  # multiplies the factor
        "plan_version": pl.String,
        "model_id": pl.String,
        "features_id": pl.String,
        "receipt": pl.String,
    }
)

# One row a customer, where five years of premiums and claims were given; sorted by driver_id.
CUSTOMERS: Final = pl.Schema(
    {
        "driver_id": pl.String,
        "rating_date": pl.Date,
        "since": pl.Date,  # first day with the insurer, no longer gap since
        "year": pl.Int64,  # with the insurer: 1 in the first
        "terms": pl.Int64,  # that premiums and claims are of
        "premiums": pl.Float64,
        "claims": pl.Float64,  # open ones included
        "retention": pl.Float64,  # the plan's coefficient of the year
        "value": pl.Float64,  # (premiums - claims) x retention
        "stars": pl.Int32,  # 5 .. 1; 0 below the plan's last limit
    }
)

# One row a row of FACTORS: what the receipt hashes besides the row itself, kept to rebuild it.
RECEIPTS: Final = pl.Schema(
    {
        "policy_id": pl.String,
        "driver_id": pl.String,
        "contents": pl.Int64,  # sum of the contents of all trips in the window: see DRIVER_PERIODS
        "features_sha256": pl.String,
        "previous_factor": pl.Float64,
        "past_claims": pl.Int64,  # of the driver before the rating date; 0 where own claims do not count
        "past_expected": pl.Float64,  # by the tariff in the same time
        "weight": pl.Float64,  # in the balance: expected claims or premium
        "receipt": pl.String,
    }
)
