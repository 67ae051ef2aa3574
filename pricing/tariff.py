"""Expected claims a year without telematics, mu0: the insurer's own, or a Poisson GLM on the tariff factors.

Beside it, where claims have amounts, what a claim costs by the tariff: premium over frequency where both are given, a
gamma GLM on the same factors where the tariff is fitted here. On the way to a price only this file imports glum: a
fitted tariff is plain tables, frozen in the model, applied without it.

Judgements:

1. `auto` takes tariff_frequency, else tariff_premium, else the GLM on the plan's `tariff.factors`.
2. A premium is turned into claims by one constant, claims over earned premium of the training year. It stands
   for frequency only as far as the premium is proportional to it.
3. The ridge of a GLM weighs as much as `RIDGE_CLAIMS` claims: it settles levels with next to no claims.
4. Levels, bands, sparse and missing values: `rating_table.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from pricing import rating_table
from pricing.arrays import Floats
from pricing.errors import ModelError
from pricing.exposure import DAYS_PER_YEAR
from pricing.plan import TariffPlan
from pricing.rating_table import RatingTable

RIDGE_CLAIMS: Final = 5.0
DECIMALS: Final = 9  # of what the solver found: its last bits depend on the machine
COLUMNS: Final = {"frequency": "tariff_frequency", "premium": "premium_per_year"}  # of `portfolio.read_policies`
_SOURCES: Final = {column: source for source, column in COLUMNS.items()}


@dataclass(frozen=True, slots=True)
class Tariff:
    """Yearly expected claims of a policy as `scale` x a column, or as tables of a GLM.

    Attributes
    ----------
    source : str
        frequency, premium or glm.
    severity_scale : float or None
        Mean amount of a paid claim; None where no amounts were given to a GLM.
    severity_tables : tuple of RatingTable
        Relativities of the amount.
    """

    source: str
    scale: float
    tables: tuple[RatingTable, ...] = ()
    severity_scale: float | None = None
    severity_tables: tuple[RatingTable, ...] = ()

    def claims_per_year(self, policies: pl.DataFrame) -> Floats:
        """Expected claims a year of each row.

        Returns
        -------
        numpy.ndarray, shape (n_rows,)

        Raises
        ------
        ModelError
            If a column that the model rests on is missing.
        """
        for name in [table.factor for table in self.tables] or [COLUMNS[self.source]]:
            if name not in policies.columns:
                raise ModelError(f"the model's tariff needs the column {_in_file(name)} in the policies; add it")
        if self.source != "glm":
            return np.asarray(self.scale * policies[COLUMNS[self.source]].to_numpy())
        return self.scale * np.exp(_log(self.tables, policies))

    def amount_per_claim(self, policies: pl.DataFrame) -> Floats | None:
        """What a claim costs by the tariff, up to a constant where premium and frequency tell it; None: not told.

        Returns
        -------
        numpy.ndarray, shape (n_rows,), or None
        """
        if self.severity_scale is not None:
            return self.severity_scale * np.exp(_log(self.severity_tables, policies))
        if self.source == "frequency" and COLUMNS["premium"] in policies.columns:
            return np.asarray(policies[COLUMNS["premium"]].to_numpy() / policies[COLUMNS["frequency"]].to_numpy())
        return None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Tariff:
        """Read the JSON form."""
        return cls(
            content["source"],
            content["scale"],
            tuple(map(rating_table.from_dict, content["tables"])),
            content.get("severity_scale"),
            tuple(map(rating_table.from_dict, content.get("severity_tables", ()))),
        )


def fit(pieces: pl.DataFrame, plan: TariffPlan) -> Tariff:
    """Fit a tariff on the pieces of a training year (`exposure.with_claims`).

    Raises
    ------
    ModelError
        If the policies bring nothing that a tariff can be made of.
    """
    source = plan.source if plan.source != "auto" else _first_available(pieces, plan)
    if source == "frequency":
        _require(pieces, COLUMNS[source])
        return Tariff("frequency", 1.0)
    claims = int(pieces["claims"].sum())
    if claims == 0:
        raise ModelError("no claim in the training year: a tariff cannot be fitted; bring tariff_frequency")
    if source == "premium":
        _require(pieces, COLUMNS[source])
        premiums = pieces.group_by(COLUMNS[source]).agg(pl.col("days").sum()).sort(COLUMNS[source])
        earned = (premiums[COLUMNS[source]].to_numpy() * premiums["days"].to_numpy()).sum() / DAYS_PER_YEAR
        return Tariff("premium", float(claims / earned))
    if not plan.factors:
        raise ModelError("tariff.factors of the plan is empty: name the columns that the GLM may use")
    for name in plan.factors:
        _require(pieces, name)
    return _fit_glm(pieces, plan)


def _log(tables: tuple[RatingTable, ...], policies: pl.DataFrame) -> Floats:
    total = np.zeros(policies.height)
    for table in tables:
        total += table.log_of(policies[table.factor])
    return total


def _fit_glm(pieces: pl.DataFrame, plan: TariffPlan) -> Tariff:
    factors = plan.factors
    days = pieces["days"].to_numpy()
    average = days * (float(pieces["claims"].sum()) / float(days.sum()))
    shells = [rating_table.levels_of(name, pieces[name], average, plan.min_level_claims) for name in factors]
    amounts = ["paid_claims", "claim_cents"] if "claim_cents" in pieces.columns else []
    coded = pieces.select("days", "claims", *amounts).with_columns(
        pl.Series(shell.factor, shell.codes(pieces[shell.factor])) for shell in shells
    )
    # One row a combination of levels: splitting a policy's rows changes nothing.
    cells = coded.group_by(*factors).agg(pl.col("days", "claims", *amounts).sum()).sort(*factors)
    years = cells["days"].to_numpy() / DAYS_PER_YEAR
    scale, tables = _solve("poisson", shells, cells, cells["claims"].to_numpy() / years, years, years.sum())
    tariff = Tariff("glm", scale, tables)
    if not amounts or not cells["paid_claims"].sum():
        return tariff
    paid = cells.filter(pl.col("paid_claims") > 0)
    count = paid["paid_claims"].to_numpy().astype(np.float64)
    mean = paid["claim_cents"].to_numpy() / 100 / count
    amount, severities = _solve("gamma", shells, paid, mean, count, count.sum())
    return replace(tariff, severity_scale=amount, severity_tables=severities)


def _solve(
    family: str, shells: list[RatingTable], cells: pl.DataFrame, y: Floats, weight: Floats, ridge_over: float
) -> tuple[float, tuple[RatingTable, ...]]:
    """Intercept and relativities of a GLM with log link on the levels of some factors."""
    from glum import GeneralizedLinearRegressor  # noqa: PLC0415 - a second to import; most tariffs are the insurer's

    design = np.hstack([np.eye(len(s.log_relativity) + 1)[cells[s.factor].to_numpy()][:, :-1] for s in shells])
    glm = GeneralizedLinearRegressor(
        family=family, link="log", alpha=RIDGE_CLAIMS / ridge_over, l1_ratio=0, gradient_tol=1e-10, max_iter=200
    )
    glm.fit(design, y, sample_weight=weight)
    ends = np.cumsum([0, *(len(shell.log_relativity) for shell in shells)])
    tables = tuple(
        replace(s, log_relativity=tuple(round(float(c), DECIMALS) for c in glm.coef_[low:high]))
        for s, (low, high) in zip(shells, pairwise(ends), strict=True)
    )
    return round(float(np.exp(glm.intercept_)), DECIMALS), tables


def _first_available(pieces: pl.DataFrame, plan: TariffPlan) -> str:
    for source, column in COLUMNS.items():
        if column in pieces.columns:
            return source
    if plan.factors:
        return "glm"
    raise ModelError(
        "the policies have neither tariff_frequency nor tariff_premium; add one of them, "
        "or name tariff factors in the plan (tariff.factors) for a GLM"
    )


def _require(pieces: pl.DataFrame, column: str) -> None:
    if column not in pieces.columns:
        raise ModelError(f"the plan's tariff needs the column {_in_file(column)} in the policies; add it")


def _in_file(column: str) -> str:
    """Name of a column in the policies as the insurer brings them."""
    return f"tariff_{source}" if (source := _SOURCES.get(column)) else column
