"""Amounts of claims against pure premiums, where the model includes severity."""

from __future__ import annotations

import numpy as np
import polars as pl

from pricing.arrays import Floats
from pricing.diagnostics.intervals import bootstrap
from pricing.diagnostics.lift import DECILES
from pricing.diagnostics.validated import LEAST_DRIVERS
from pricing.evaluate import quantile_groups


def amounts(validation: pl.DataFrame) -> pl.DataFrame | None:
    """Double lift of amounts: tenths of model over tariff, equal policy years in each.

    Parameters
    ----------
    validation : polars.DataFrame
        `pricing.validation.VALIDATION`.

    Returns
    -------
    pl.DataFrame or None
        group, drivers, paid_claims, amount, and amount over the tariff's and the model's pure premium (`ratio_tariff`,
        `ratio_model`, both brought to the book's total) with bootstrap intervals by driver. None without severity.
    """
    if validation["pure_premium"].null_count() or validation["claim_amount"].null_count():
        return None
    amount, years, relativity, paid = (
        validation[name].to_numpy() for name in ("claim_amount", "years", "indicated_relativity", "paid_claims")
    )
    tariff = (validation["mu0"] * validation["severity0"]).to_numpy()
    model = validation["pure_premium"].to_numpy()
    driver = validation["driver_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    most = max(1, min(DECILES, len(np.unique(driver)) // LEAST_DRIVERS))
    group = quantile_groups(relativity, years, most) - 1

    def ratios(weight: Floats) -> Floats:
        observed = np.bincount(group, weight * amount, most)
        total = observed.sum()
        found = []
        for expected in (tariff, model):
            sums = np.bincount(group, weight * expected, most)
            found.append(observed / sums * (sums.sum() / total))
        return np.array(found)

    told = ratios(np.ones(len(amount)))
    low, high = bootstrap(driver, ratios)
    columns = {"group": np.arange(most) + 1, "drivers": [len(np.unique(driver[group == k])) for k in range(most)]}
    columns |= {"paid_claims": np.bincount(group, paid, most), "amount": np.bincount(group, amount, most)}
    for k, name in enumerate(("ratio_tariff", "ratio_model")):
        columns |= {name: told[k], f"{name}_low": low[k], f"{name}_high": high[k]}
    return pl.DataFrame(columns)
