"""Two small sets of real claims: driving scores with a claim flag, and a panel of two years.

`fretelematic`: 1,177 drivers, 158 with a claim; 10 x 5-fold, stratified. Far too small to rank models by: the folds
scatter by 0.05.

`fremotor1`: 19,826 policies seen in 2003 and 2004, all covers counted. A Poisson tariff of the rating factors is fitted
on 2003 and foretells 2004, alone and with the policies' own claims of 2003 by `pricing.own_claims`, whose Var(Theta)
is estimated on other policies (2-fold). The reference (GLM 99.96, credibility 75.69) does not say which claims it
counted and does not come out again from this definition, so ratios of the two stand beside each other.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from glum import GeneralizedLinearRegressor
from scipy.stats import rankdata

from pricing import own_claims
from pricing.evaluate import poisson_deviance
from tests.bench.measure import SHARED
from tests.bench.row import Row

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FOLDS: Final = 5
REPEATS: Final = 10
RIDGE: Final = 1e-4
SCORES: Final = ("Drive_Score", "Time_Day", "Style_Score", "Corner_Score", "Acceleration_Score", "Braking_Score")
AMOUNTS: Final = ("Total_Night_Time", "Total_Time", "Total_Distance")
LEVELS: Final = ("Acceleration", "Brake", "Corner")
COVERS: Final = ("Damage", "Fire", "Other", "Theft", "TPL", "Windscreen")
FACTORS: Final = (
    *("DrivGender", "MaritalStatus", "PayFreq", "JobCode", "VehClass", "VehPower", "VehGas", "VehUsage"),
    *("Garage", "Area", "Region", "Channel", "Marketing"),
)


def run() -> list[Row]:
    """Both sets."""
    return [*telematics(), *panel()]


def telematics() -> list[Row]:
    """AUC of a logit on driving scores, beside distance alone."""
    rows = pl.read_parquet(SHARED / "casdatasets/fretelematic.parquet").with_columns(pl.col(pl.Categorical).cast(str))
    claim = (rows["Claim"] == "yes").cast(pl.Float64).to_numpy()
    level = [(rows[name] == "High").cast(pl.Float64).to_numpy() for name in LEVELS]
    driving = np.column_stack([*(rows[name].to_numpy() for name in (*SCORES, *AMOUNTS)), *level])
    distance = np.log(rows["Total_Distance"].to_numpy())[:, None]
    told = []
    for name, x, anchor in (("driving scores", driving, 0.604), ("distance alone", distance, 0.571)):
        auc, loss = zip(*_cross_validated(x, claim), strict=True)
        told.append(Row(f"fretelematic, AUC of a logit: {name}", float(np.mean(auc)), "1", float(np.std(auc)), anchor))
        told.append(Row(f"fretelematic, log-loss: {name}", float(np.mean(loss)), "1", float(np.std(loss))))
    return told


def _cross_validated(x: Floats, claim: Floats) -> list[tuple[float, float]]:
    """AUC and log-loss of each fold of each repeat."""
    told = []
    for repeat in range(REPEATS):
        fold = _stratified(claim, np.random.default_rng(repeat))
        for k in range(FOLDS):
            learn = fold != k
            mean, scale = x[learn].mean(axis=0), x[learn].std(axis=0)
            logit = GeneralizedLinearRegressor(family="binomial", alpha=RIDGE, l1_ratio=0)
            logit.fit((x[learn] - mean) / scale, claim[learn])
            chance, seen = logit.predict((x[~learn] - mean) / scale), claim[~learn]
            loss = -float(np.mean(seen * np.log(chance) + (1 - seen) * np.log(1 - chance)))
            told.append((_auc(seen, chance), loss))
    return told


def _stratified(claim: Floats, rng: np.random.Generator) -> Ints:
    fold = np.empty(len(claim), dtype=np.int64)
    for value in (0.0, 1.0):
        order = rng.permutation(np.flatnonzero(claim == value))
        fold[order] = np.arange(len(order)) % FOLDS
    return fold


def _auc(claim: Floats, chance: Floats) -> float:
    ones = claim.sum()
    return float((rankdata(chance)[claim == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(claim) - ones)))


def panel() -> list[Row]:
    """Deviance of the second year by the tariff, and with own claims of the first."""
    before, after = _years()
    levels = {name: sorted(before[name].unique())[1:] for name in FACTORS}
    claims = [rows.select(pl.sum_horizontal(COVERS)).to_series().to_numpy() for rows in (before, after)]
    tariff = GeneralizedLinearRegressor(family="poisson", alpha=RIDGE, l1_ratio=0, max_iter=300)
    tariff.fit(_design(before, levels), claims[0])
    expected = [np.asarray(tariff.predict(_design(rows, levels)), dtype=np.float64) for rows in (before, after)]
    half = np.array([zlib.crc32(policy.encode()) % 2 for policy in before["IDpol"]])
    theta = np.ones(len(half))
    variances = []
    for k in (0, 1):
        out = half == k
        found = own_claims.fit(claims[0][~out], expected[0][~out], claims[1][~out], expected[1][~out])
        theta[out] = found.theta(claims[0][out], expected[0][out])
        variances.append(found.variance)
    alone, credible = (poisson_deviance(claims[1], mu) for mu in (expected[1], expected[1] * theta))
    balance = float((expected[1] * theta).sum() / claims[1].sum())
    name = "fremotor1, deviance x 100 of 2004"
    return [
        Row(f"{name}: tariff", alone, "1"),
        Row(f"{name}: tariff x own claims of 2003", credible, "1"),
        Row("fremotor1, own claims over tariff alone", credible / alone, "1", None, 75.69 / 99.96),
        Row("fremotor1, expected over observed claims with own claims", balance, "1"),
        Row("fremotor1, Var(Theta)", float(np.mean(variances)), "1", float(np.ptp(variances) / 2), 3.7),
    ]


def _years() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Policies of both years, in one order."""
    folder = SHARED / "casdatasets"
    counts = pl.read_parquet(folder / "fremotor1freq0304a.parquet").with_columns(pl.col("IDpol").cast(pl.String))
    rows = pl.read_parquet(folder / "fremotor1prem0304a.parquet").with_columns(
        pl.col(FACTORS).cast(pl.String).fill_null("?"), pl.col("VehAge", "LicenceNb").fill_null(0.0)
    )
    rows = rows.unique(["IDpol", "Year"], keep="first", maintain_order=True).join(counts, on=["IDpol", "Year"])
    years = [rows.filter(pl.col("Year") == year) for year in (2003, 2004)]
    first, second = (a.join(b, on="IDpol", how="semi").sort("IDpol") for a, b in (years, years[::-1]))
    return first, second


def _design(rows: pl.DataFrame, levels: dict[str, list[str]]) -> Floats:
    age = rows["DrivAge"].to_numpy() / 10
    numbers = [age, age**2 / 10, *(rows[name].to_numpy() / 10 for name in ("BonusMalus", "VehAge", "LicenceNb"))]
    dummies = [(rows[name] == level).cast(pl.Float64).to_numpy() for name, known in levels.items() for level in known]
    return np.column_stack([*numbers, *dummies])
