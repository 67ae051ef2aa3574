"""Frozen shares of each feature and the score in the training rows, and how far another book has moved (PSI).

PSI = sum over bins of (share now - share then) x ln(share now / share then). Without any shift it is not 0 but about
chi-squared with (bins - 1) degrees of freedom, times (1 / rows now + 1 / rows then): `noise` is its 99 % quantile, and
a PSI below it says nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
from scipy.stats import chi2

from pricing.arrays import Floats
from pricing.diagnostics.bands import band_name, band_of, edges_of
from pricing.diagnostics.validated import LEAST_DRIVERS

BINS: Final = 10
LEAST_SHARE: Final = 1e-4  # an empty bin has no logarithm
NOISE_QUANTILE: Final = 0.99


def reference(columns: dict[str, Floats]) -> pl.DataFrame:
    """Shares of rows by bin.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray, shape (n_rows,)
        Feature or score; NaN where not known.

    Returns
    -------
    pl.DataFrame
        name, bin, band (text), up_to (null: open, or not known), share, rows (of the whole), mean (of the known).
        Bins hold about a tenth of the rows; the last of each is "not known".
    """
    return pl.concat([_bins(name, values) for name, values in columns.items()])


def shift(frozen: pl.DataFrame, columns: dict[str, Floats]) -> pl.DataFrame:
    """Tell how far the columns of another book have moved.

    Parameters
    ----------
    frozen : polars.DataFrame
        What `reference` made in training.

    Returns
    -------
    pl.DataFrame
        name, psi, noise, mean_then, mean_now, unknown_then, unknown_now, rows_now; names that both know.
    """
    rows = []
    for (name,), bins in frozen.group_by("name", maintain_order=True):
        if name in columns:
            rows.append({"name": name} | _moved(bins, columns[str(name)]))
    return pl.DataFrame(rows, schema=_SHIFT)


_SHIFT: Final = pl.Schema(
    {
        "name": pl.String,
        "psi": pl.Float64,
        "noise": pl.Float64,
        "mean_then": pl.Float64,
        "mean_now": pl.Float64,
        "unknown_then": pl.Float64,
        "unknown_now": pl.Float64,
        "rows_now": pl.Int64,
    }
)


def _bins(name: str, values: Floats) -> pl.DataFrame:
    most = max(1, min(BINS, len(values) // LEAST_DRIVERS))
    edges = edges_of(values, np.ones(len(values)), most)
    count = np.bincount(band_of(values, edges), minlength=len(edges) + 2)
    up_to: list[float | None] = [*(float(e) for e in edges), None, None]
    return pl.DataFrame(
        {
            "name": [name] * len(count),
            "bin": range(len(count)),
            "band": [band_name(edges, k) for k in range(len(count))],
            "up_to": pl.Series(up_to, dtype=pl.Float64),
            "share": count / len(values),
            "rows": [len(values)] * len(count),
            "mean": pl.Series([_mean(values)] * len(count), dtype=pl.Float64),
        }
    )


def _moved(bins: pl.DataFrame, values: Floats) -> dict[str, Any]:
    edges = bins["up_to"].drop_nulls().to_numpy()
    then = bins["share"].to_numpy()
    n = len(values)
    now = np.bincount(band_of(values, edges), minlength=len(then)) / n
    a, e = np.maximum(now, LEAST_SHARE), np.maximum(then, LEAST_SHARE)
    used = int((np.maximum(now, then) > 0).sum())
    noise = chi2.ppf(NOISE_QUANTILE, used - 1) * (1 / n + 1 / int(bins["rows"][0])) if used > 1 else 0.0
    return {
        "psi": float(((a - e) * np.log(a / e)).sum()),
        "noise": float(noise),
        "mean_then": bins["mean"][0],
        "mean_now": _mean(values),
        "unknown_then": float(then[-1]),
        "unknown_now": float(now[-1]),
        "rows_now": n,
    }


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
