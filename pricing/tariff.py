"""Expected claims a year without telematics, mu0: the insurer's own, or a Poisson GLM on the tariff factors.

The only file that imports glum. A fitted tariff is plain tables, frozen in the model, applied without glum.

Judgements:

1. `auto` takes tariff_frequency, else tariff_premium, else the GLM on the plan's `tariff.factors`.
2. A premium is turned into claims by one constant, claims over earned premium of the training year. It stands
   for frequency only as far as the premium is proportional to it.
3. A numeric factor is cut into fifths of its distinct values (rows may be split at will); text is a level each. An
   unknown or missing level has relativity 1, the average.
4. The ridge of the GLM weighs as much as `RIDGE_CLAIMS` claims: it settles levels with next to no claims.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from pricing.arrays import Floats, Ints
from pricing.errors import ModelError
from pricing.exposure import DAYS_PER_YEAR
from pricing.plan import TariffPlan

RIDGE_CLAIMS: Final = 5.0
BANDS: Final = 5
DECIMALS: Final = 9  # of what the solver found: its last bits depend on the machine
COLUMNS: Final = {"frequency": "tariff_frequency", "premium": "premium_per_year"}  # of `portfolio.read_policies`
_SOURCES: Final = {column: source for source, column in COLUMNS.items()}
_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class RatingTable:
    """Relativities of one tariff factor: by text level, or by band between numeric edges (a band is [low, high))."""

    factor: str
    levels: tuple[str, ...]
    edges: tuple[float, ...] | None
    log_relativity: tuple[float, ...]

    def codes(self, column: pl.Series) -> Ints:
        """Index of each value's level; -1 where it is unknown."""
        if self.edges is None:
            index = {level: code for code, level in enumerate(self.levels)}
            return np.array([index.get(value, _UNKNOWN) for value in column.cast(pl.String)], dtype=np.int64)
        values = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        bands = np.searchsorted(np.asarray(self.edges), values, side="right")
        return np.where(np.isnan(values), _UNKNOWN, bands).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Tariff:
    """Yearly expected claims of a policy as `scale` x a column, or as tables of a GLM."""

    source: str  # frequency | premium | glm
    scale: float
    tables: tuple[RatingTable, ...] = ()

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
        log_claims = np.zeros(policies.height)
        for table in self.tables:
            log_claims += np.append(table.log_relativity, 0.0)[table.codes(policies[table.factor])]
        return self.scale * np.exp(log_claims)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Tariff:
        """Read the JSON form."""
        tables = tuple(
            RatingTable(
                table["factor"],
                tuple(table["levels"]),
                None if table["edges"] is None else tuple(table["edges"]),
                tuple(table["log_relativity"]),
            )
            for table in content["tables"]
        )
        return cls(content["source"], content["scale"], tables)


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
    return _fit_glm(pieces, plan.factors)


def _fit_glm(pieces: pl.DataFrame, factors: tuple[str, ...]) -> Tariff:
    from glum import GeneralizedLinearRegressor  # noqa: PLC0415 - a second to import; most tariffs are the insurer's

    shells = [_shell(name, pieces[name]) for name in factors]
    coded = pieces.select("days", "claims").with_columns(
        pl.Series(shell.factor, shell.codes(pieces[shell.factor])) for shell in shells
    )
    # One row a combination of levels: splitting a policy's rows changes nothing.
    cells = coded.group_by(*factors).agg(pl.col("days", "claims").sum()).sort(*factors)
    years = cells["days"].to_numpy() / DAYS_PER_YEAR
    design = np.hstack([np.eye(len(s.log_relativity) + 1)[cells[s.factor].to_numpy()][:, :-1] for s in shells])
    glm = GeneralizedLinearRegressor(
        family="poisson", alpha=RIDGE_CLAIMS / years.sum(), l1_ratio=0, gradient_tol=1e-10, max_iter=200
    )
    glm.fit(design, cells["claims"].to_numpy() / years, sample_weight=years)
    ends = np.cumsum([0, *(len(shell.log_relativity) for shell in shells)])
    tables = tuple(
        RatingTable(s.factor, s.levels, s.edges, tuple(round(float(c), DECIMALS) for c in glm.coef_[low:high]))
        for s, (low, high) in zip(shells, pairwise(ends), strict=True)
    )
    return Tariff("glm", round(float(np.exp(glm.intercept_)), DECIMALS), tables)


def _shell(factor: str, column: pl.Series) -> RatingTable:
    """Levels or bands of a factor, relativities still 1. A CSV's numbers arrive as text."""
    numbers = column.cast(pl.Float64, strict=False)
    if numbers.null_count() == column.null_count() and column.dtype != pl.Boolean:
        known = np.unique(numbers.drop_nulls().to_numpy())
        inner = np.arange(1, BANDS) / BANDS
        edges = tuple(float(e) for e in np.unique(np.quantile(known, inner))) if known.size else ()
        bounds = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
        levels = tuple(f"[{low}, {high})" for low, high in pairwise(bounds))
        return RatingTable(factor, levels, edges, (0.0,) * len(levels))
    levels = tuple(sorted(column.cast(pl.String).drop_nulls().unique().to_list()))
    return RatingTable(factor, levels, None, (0.0,) * len(levels))


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
