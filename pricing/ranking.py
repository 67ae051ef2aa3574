"""How much better telematics ranks drivers than the tariff alone, on drivers the model has not seen."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing.evaluate import gini, poisson_deviance
from pricing.exposure import DAYS_PER_YEAR
from pricing.fit import fit, fold_of
from pricing.matrix import rateable, read_inputs
from pricing.plan import Plan
from pricing.tariff import Tariff

HELD_OUT: Final = 3  # one part of so many


@dataclass(frozen=True, slots=True)
class Ranking:
    """Measures on held-out drivers; Gini by the predicted yearly rate, against earned years.

    Attributes
    ----------
    gini_tariff, gini_telematics, gini_truth : float
        Of observed claims, ranked by the tariff, by tariff x relativity, and by the true rate (None: not known).
    sure_tariff, sure_telematics, sure_truth : float or None
        The same with true expected claims in place of observed ones: free of the luck of who had the claim.
    deviance_tariff, deviance_telematics : float
        Mean Poisson deviance x 100: `held_out_ranking` levels both to the claims of its training part,
        `ranking_afterwards` takes the tariff and the indicated relativity as they are.
    """

    drivers: int
    claims: int
    gini_tariff: float
    gini_telematics: float
    gini_truth: float | None
    sure_tariff: float | None
    sure_telematics: float | None
    sure_truth: float | None
    deviance_tariff: float
    deviance_telematics: float


def held_out_ranking(
    rows: pl.DataFrame, catalogue: Catalogue, plan: Plan, *, truth: str | None = None, threads: int = 1
) -> Ranking:
    """Train on two thirds of the drivers, rank the other third.

    Parameters
    ----------
    rows : polars.DataFrame
        `pricing.train.rating_rows`: features, claims, years, expected_claims.
    truth : str or None
        Column with true expected claims of the label window, in simulated books; no model sees it.
    """
    plan = dataclasses.replace(plan, credibility=dataclasses.replace(plan.credibility, accept_miscalibrated=True))
    enough = rows.filter(rateable(rows, plan.rateable))
    out = fold_of(tuple(enough["driver_id"].to_list()), HELD_OUT, plan.model.seed + 1) == 0
    unseen = enough.filter(out)
    model = fit(enough.filter(~out), catalogue, plan, Tariff("frequency", 1.0), threads=threads)
    relativity = model.rate(read_inputs(unseen, catalogue)).relativity
    claims, years, mu0 = (unseen[name].cast(pl.Float64).to_numpy() for name in ("claims", "years", "expected_claims"))
    true = None if truth is None else unseen[truth].to_numpy()
    by_tariff, by_telematics = mu0 / years, mu0 / years * relativity
    level = np.exp(model.level)
    calibrated = mu0 * level * np.exp(model.calibration.a) * relativity
    return Ranking(
        drivers=unseen.height,
        claims=int(claims.sum()),
        gini_tariff=gini(claims, years, by_tariff),
        gini_telematics=gini(claims, years, by_telematics),
        gini_truth=None if true is None else gini(claims, years, true / years),
        sure_tariff=None if true is None else gini(true, years, by_tariff),
        sure_telematics=None if true is None else gini(true, years, by_telematics),
        sure_truth=None if true is None else gini(true, years, true / years),
        deviance_tariff=poisson_deviance(claims, mu0 * level),
        deviance_telematics=poisson_deviance(claims, calibrated),
    )


def ranking_afterwards(factors: pl.DataFrame, claims: pl.DataFrame, truth: pl.DataFrame) -> Ranking:
    """Measure a rated book by what came after: claims in the rated periods, of drivers the model has not seen.

    Parameters
    ----------
    factors : polars.DataFrame
        The factor table.
    claims : polars.DataFrame
        policy_id, occurred_on; those outside a row's period are not counted.
    truth : polars.DataFrame
        driver_id, true_frequency (expected claims per policy year), of a simulated book.

    Returns
    -------
    Ranking
        Gini of observed claims NaN where there were none.
    """
    rated = factors.filter("rateable").join(truth.select("driver_id", "true_frequency"), on="driver_id")
    during = pl.col("occurred_on").is_between("period_start", "period_end", closed="left")
    counts = rated.join(claims, on="policy_id").filter(during).group_by("policy_id").agg(pl.len().alias("claims"))
    book = rated.join(counts, on="policy_id", how="left", maintain_order="left").with_columns(
        pl.col("claims").fill_null(0).cast(pl.Float64),
        days=(pl.col("period_end") - pl.col("period_start")).dt.total_days(),
    )
    names = ("claims", "days", "tariff_expected_claims", "indicated_relativity", "true_frequency")
    seen, days, mu0, relativity, frequency = (book[name].to_numpy() for name in names)
    years = days / DAYS_PER_YEAR
    by_tariff, by_telematics = mu0 / years, mu0 / years * relativity
    true = frequency * years
    return Ranking(
        drivers=book.height,
        claims=int(seen.sum()),
        gini_tariff=gini(seen, years, by_tariff) if seen.any() else math.nan,
        gini_telematics=gini(seen, years, by_telematics) if seen.any() else math.nan,
        gini_truth=gini(seen, years, frequency) if seen.any() else math.nan,
        sure_tariff=gini(true, years, by_tariff),
        sure_telematics=gini(true, years, by_telematics),
        sure_truth=gini(true, years, frequency),
        deviance_tariff=poisson_deviance(seen, mu0),
        deviance_telematics=poisson_deviance(seen, mu0 * relativity),
    )
