"""French motor third-party liability, the split of Wuthrich and Merz: rows, designs and the measure of the bench.

How the reference figures were made stands in ../shared/data/README.md; `deviance` is the mean Poisson deviance per
policy x 100.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.evaluate import poisson_deviance
from tests.bench.measure import SHARED

Floats = npt.NDArray[np.float64]

FILE: Final = "casdatasets/freMTPL2_wuthrich_merz_split.parquet"
NUMBERS: Final = ("VehPower", "VehAge", "DrivAge", "BonusMalus", "Density")
CATEGORIES: Final = ("VehBrand", "VehGas", "Region")
AGES: Final = (20, 25, 30, 40, 50, 70)  # upper ends; 41 to 50 is the reference
SMOOTHING: Final = 50.0  # policy years of the book's frequency beside a category's own


class Claims(NamedTuple):
    """Policies; all of shape (n,) but `x` (n, n_columns)."""

    rows: pl.DataFrame
    claims: Floats
    exposure: Floats

    @property
    def level(self) -> float:
        """Claims per policy year."""
        return float(self.claims.sum() / self.exposure.sum())

    def part(self, chosen: npt.NDArray[np.bool_]) -> Claims:
        """Some of the policies."""
        return Claims(self.rows.filter(chosen), self.claims[chosen], self.exposure[chosen])

    def deviance(self, frequency: Floats | float) -> float:
        """Mean Poisson deviance per policy x 100 of expected claims per policy year."""
        return poisson_deviance(self.claims, self.exposure * frequency)


def load() -> tuple[Claims, Claims]:
    """Policies to learn from and policies to test on: 610,206 and 67,801."""
    rows = pl.read_parquet(SHARED / FILE).with_columns(pl.col("Area", *CATEGORIES).cast(pl.String))
    everyone = Claims(rows, rows["ClaimNb"].cast(pl.Float64).to_numpy(), rows["Exposure"].to_numpy())
    test = rows["test"].to_numpy()
    return everyone.part(~test), everyone.part(test)


def area(rows: pl.DataFrame) -> Floats:
    """Area A to F as 1 to 6."""
    return np.array([" ABCDEF".index(letter) for letter in rows["Area"]], dtype=np.float64)


def glm_design(rows: pl.DataFrame, which: int) -> Floats:
    """Columns of GLM1, GLM2 or GLM3."""
    age = rows["DrivAge"].cast(pl.Float64).to_numpy()
    bonus = rows["BonusMalus"].cast(pl.Float64).clip(upper_bound=150).to_numpy()
    columns = [area(rows), bonus, np.log(rows["Density"].cast(pl.Float64).to_numpy())]
    columns += _dummies(rows["VehPower"].clip(upper_bound=9).to_list(), reference=4)
    columns += _dummies(np.digitize(rows["VehAge"].to_numpy(), [6, 13]).tolist(), reference=0)
    columns += _dummies(rows["VehBrand"].to_list(), reference="B1")
    columns += _dummies(rows["VehGas"].to_list(), reference=rows["VehGas"].min())
    columns += _dummies(rows["Region"].to_list(), reference="R24")
    if which == 1:
        columns += _dummies(np.digitize(age, AGES, right=True).tolist(), reference=AGES.index(50))
    else:
        columns += [age, np.log(age), age**2, age**3, age**4]
    if which == 3:
        columns += [bonus * age, bonus * age**2]
    return np.column_stack(columns)


def numeric(rows: pl.DataFrame, learn: Claims) -> Floats:
    """Numbers, area, and each category as the log of its smoothed claim frequency in `learn`."""
    columns = [rows[name].cast(pl.Float64).to_numpy() for name in NUMBERS] + [area(rows)]
    for name in CATEGORIES:
        totals = (
            learn.rows.select(name, n=pl.Series(learn.claims), t=pl.Series(learn.exposure))
            .group_by(name)
            .agg(pl.col("n", "t").sum())
            .select(name, log=((pl.col("n") + SMOOTHING * learn.level) / (pl.col("t") + SMOOTHING)).log())
        )
        columns.append(rows.select(name).join(totals, on=name, how="left", maintain_order="left")["log"].to_numpy())
    return np.column_stack(columns)


def coded(rows: pl.DataFrame) -> Floats:
    """Numbers, area, and each category as a number that means nothing: the last three columns are categories."""
    columns = [rows[name].cast(pl.Float64).to_numpy() for name in NUMBERS] + [area(rows)]
    columns += [_codes(rows[name].to_list()) for name in CATEGORIES]
    return np.column_stack(columns)


NAMES: Final = (*NUMBERS, "Area", *CATEGORIES)


def _codes(values: list[Any]) -> Floats:
    order = {value: code for code, value in enumerate(sorted(set(values)))}
    return np.array([order[value] for value in values], dtype=np.float64)


def _dummies(values: list[Any], reference: Any) -> list[Floats]:
    array = np.array(values)
    return [(array == value).astype(np.float64) for value in sorted(set(values)) if value != reference]
