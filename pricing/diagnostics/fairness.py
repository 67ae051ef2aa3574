"""Fairness: groups of a protected attribute that no model has seen; what they claim, what they are asked, what tells.

Four answers for each attribute: actual over expected by group; mean relativity by group; how well the features and the
relativity tell the group (R2); and the relativity a discrimination-free price would give.

Discrimination-free price (Lindholm, Richman, Tsanakas and Wuethrich 2022): a model mu(x, d) is fitted with the
attribute d, so that x need not stand in for it; then the price is the mean over d with the shares of the whole book,
h(x) = sum_d mu(x, d) P(d), whoever the driver is. What the unaware price takes from a group beyond h is what its
features gave away about d.

Judgements:

1. Equal mean relativities are not the aim: groups may drive differently. A/E near 1 in every group says that no group
   pays for another; unaware over discrimination-free near 1 says that nobody pays for being in a group.
2. Groups of fewer than twenty drivers are joined to one, and left out if that is still too few.
3. The attribute enters here and nowhere else: neither the model nor the tariff fitted here may read it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from pricing.arrays import Floats, Ints
from pricing.diagnostics.lift import grouped
from pricing.diagnostics.validated import LEAST_DRIVERS, Validated

SMALL: Final = "(small groups)"
UNKNOWN: Final = "(not known)"
MOST_LEVELS: Final = 12  # a number with more values is cut into fifths
FIFTHS: Final = 5

# From a matrix with the attribute's columns at its end to log relativities of rows, by a model that has not seen them.
AwareScore = Callable[[Floats, list[Floats]], list[Floats]]


def protected_of(policies: pl.DataFrame, rows: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Protected attributes of each row's driver, as the policy says that covers the rating date.

    Parameters
    ----------
    policies : polars.DataFrame
        driver_id, start, end and any of the attributes.
    rows : polars.DataFrame
        driver_id, rating_date.
    names : tuple of str
        Of the plan (fairness.protected); those that the policies do not have are left out.

    Returns
    -------
    pl.DataFrame
        One column an attribute, in the rows' order; null where no policy says it.
    """
    known = [name for name in names if name in policies.columns]
    keyed = rows.select("driver_id", "rating_date").with_row_index("row")
    covering = keyed.join(policies.select("driver_id", "start", "end", *known), on="driver_id").filter(
        (pl.col("start") <= pl.col("rating_date")) & (pl.col("end").is_null() | (pl.col("end") > pl.col("rating_date")))
    )
    first = covering.sort("row", "start").unique("row", keep="first", maintain_order=True)
    return keyed.join(first.select("row", *known), on="row", how="left", maintain_order="left").select(known)


def groups_of(column: pl.Series, driver: Ints) -> pl.Series:
    """Group of each row as text: a level, a band of a number, `(not known)`, or `(small groups)`."""
    text = _bands(column) if column.dtype.is_numeric() and column.n_unique() > MOST_LEVELS else column.cast(pl.String)
    named = pl.DataFrame({"group": text.fill_null(UNKNOWN), "driver": driver})
    few = named.group_by("group").agg(pl.col("driver").n_unique()).filter(pl.col("driver") < LEAST_DRIVERS)["group"]
    return named["group"].replace(few, SMALL) if len(few) else named["group"]


def by_group(sample: Validated, group: pl.Series) -> pl.DataFrame:
    """Actual over expected and mean relativity by group; too small ones left out. `grouped`, with `group` as text."""
    names = group.unique().sort()
    code = group.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    table = grouped(sample, code).with_columns(pl.Series("group", [names[k] for k in range(len(names))]))
    return table.filter(pl.col("drivers") >= LEAST_DRIVERS)


def proxy(
    x: Floats, names: tuple[str, ...], relativity: Floats, group: pl.Series, fold: Ints
) -> dict[str, float | str]:
    """How well features and relativity tell the group.

    Returns
    -------
    dict
        r2_features (all of them, linear, out of fold), strongest and r2_strongest (one variable alone, in sample),
        r2_relativity (share of the variance of the log relativity that lies between groups). R2 of a group of many
        levels is the variance explained of their indicators, summed.
    """
    indicators = np.column_stack([(group == name).cast(pl.Float64).to_numpy() for name in group.unique().sort()])
    filled = _standard(x)
    alone = _r2_alone(indicators, filled)
    best = int(np.argmax(alone)) if alone else -1
    log = np.log(relativity)
    means = indicators @ ((indicators.T @ log) / np.maximum(indicators.sum(axis=0), 1))
    return {
        "r2_features": _r2(indicators, filled, fold),
        "strongest": names[best] if alone else "",
        "r2_strongest": alone[best] if alone else 0.0,
        "r2_relativity": float(means.var() / log.var()) if log.var() > 0 else 0.0,
    }


def discrimination_free(sample: Validated, x: Floats, group: pl.Series, aware: AwareScore) -> pl.DataFrame:
    """Unaware, best-estimate (aware) and discrimination-free relativity by group.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_rows, n_variables)
    aware : callable
        `(x_with_attribute, [variants]) -> [log relativity of each variant]`: fits inside folds on the first matrix, and
        scores each variant of it out of fold.

    Returns
    -------
    pl.DataFrame
        group, drivers, unaware, aware, discrimination_free (mean relativities by tariff claims, each brought to the
        same total), ratio (unaware over discrimination-free).
    """
    names = group.unique().sort().to_list()
    indicators = np.column_stack([(group == name).cast(pl.Float64).to_numpy() for name in names])[:, 1:]
    share = np.array([sample.mu0[(group == name).to_numpy()].sum() for name in names]) / sample.mu0.sum()
    as_if = [np.hstack([x, np.tile(row, (len(x), 1))]) for row in np.eye(len(names))[:, 1:]]
    observed, *each = aware(np.hstack([x, indicators]), [np.hstack([x, indicators]), *as_if])
    free = sum(p * np.exp(score) for p, score in zip(share, each, strict=True))
    kinds = {"unaware": sample.relativity, "aware": np.exp(observed), "discrimination_free": np.asarray(free)}
    levelled = {name: values * (sample.mu0.sum() / (sample.mu0 @ values)) for name, values in kinds.items()}
    rows = []
    for name in names:
        at = (group == name).to_numpy()
        drivers = len(np.unique(sample.driver[at]))
        if drivers < LEAST_DRIVERS:
            continue
        means = {kind: float(sample.mu0[at] @ values[at] / sample.mu0[at].sum()) for kind, values in levelled.items()}
        ratio = means["unaware"] / means["discrimination_free"]
        rows.append({"group": name, "drivers": drivers} | means | {"ratio": ratio})
    return pl.DataFrame(rows)


def _bands(column: pl.Series) -> pl.Series:
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.arange(1, FIFTHS) / FIFTHS)) if known.size else np.array([])
    names = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
    names = [f"up to {edges[0]:g}", *names, f"above {edges[-1]:g}"] if len(edges) else ["all"]
    band = np.searchsorted(edges, np.nan_to_num(values), side="left")
    return pl.Series([None if np.isnan(v) else names[k] for v, k in zip(values, band, strict=True)], dtype=pl.String)


def _standard(x: Floats) -> Floats:
    """Columns with mean 0 and deviation 1; what is not known stands at the mean, beside a column that says so."""
    unknown = np.isnan(x)
    mean = np.where(unknown.all(axis=0), 0.0, np.nanmean(np.where(unknown.all(axis=0), 0.0, x), axis=0))
    filled = np.where(unknown, mean, x) - mean
    spread = filled.std(axis=0)
    scaled: Floats = filled / np.where(spread > 0, spread, 1.0)
    return scaled


def _r2_alone(y: Floats, x: Floats) -> list[float]:
    """R2 of each column alone (of mean 0), on the rows themselves: one coefficient hardly overfits."""
    centred = y - y.mean(axis=0)
    total = float((centred**2).sum())
    explained = ((x.T @ centred) ** 2).sum(axis=1) / np.maximum((x**2).sum(axis=0), 1e-300)
    return [float(part / total) if total > 0 else 0.0 for part in explained]


def _r2(y: Floats, x: Floats, fold: Ints) -> float:
    """R2 out of fold of a linear regression with an intercept; below 0 counts as 0."""
    residual = total = 0.0
    for k in np.unique(fold):
        learn, test = fold != k, fold == k
        mean = y[learn].mean(axis=0)
        a = np.column_stack([np.ones(int(learn.sum())), x[learn]])
        coefficients = np.linalg.lstsq(a, y[learn], rcond=None)[0]
        predicted = np.column_stack([np.ones(int(test.sum())), x[test]]) @ coefficients
        residual += float(((y[test] - predicted) ** 2).sum())
        total += float(((y[test] - mean) ** 2).sum())
    return max(0.0, 1.0 - residual / total) if total > 0 else 0.0
