"""What each variable does: actual over expected by band, out of fold, beside what the filed tables do there."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from pricing.arrays import Floats, Ints
from pricing.diagnostics.lift import grouped
from pricing.diagnostics.validated import LEAST_DRIVERS, Validated

BANDS: Final = 8
DRIVERS_A_BAND: Final = 5 * LEAST_DRIVERS
DIGITS: Final = 3  # significant ones of an edge: an edge is no driver's value


def relativities(sample: Validated, names: tuple[str, ...], values: Floats, effects: Floats) -> pl.DataFrame:
    """Judge each variable by band.

    Parameters
    ----------
    names : tuple of str
        Variables of the model.
    values : numpy.ndarray, shape (n_rows, n_variables)
        As observed; NaN where not known.
    effects : numpy.ndarray, shape (n_rows, n_variables)
        What the filed tables make of them: factors whose product, with the base, is the relativity.

    Returns
    -------
    pl.DataFrame
        variable, band (text), above, up_to (null: open), and the columns of `lift.grouped`; `effect` is the mean effect
        of the variable alone, by tariff claims. Bands hold equal tariff claims as far as ties allow;
        what is not known is a band of its own. Bands of fewer than twenty drivers are left out.
    """
    return pl.concat(
        [_variable(sample, name, values[:, k], effects[:, k]) for k, name in enumerate(names)], how="vertical"
    )


def strength(names: tuple[str, ...], effects: Floats, weight: Floats) -> pl.DataFrame:
    """How much each variable moves: spread of its effect over the book.

    Returns
    -------
    pl.DataFrame
        variable, spread (standard deviation of the log effect), effect_p05, effect_p95, share (of the sum of the
        variables' variances), strongest first.
    """
    logs = np.log(effects)
    share = weight / weight.sum()
    variance = share @ (logs - share @ logs) ** 2
    low, high = np.quantile(effects, [0.05, 0.95], axis=0)
    total = variance.sum()
    return pl.DataFrame(
        {
            "variable": names,
            "spread": np.sqrt(variance),
            "effect_p05": low,
            "effect_p95": high,
            "share": variance / total if total > 0 else variance,
        }
    ).sort("spread", "variable", descending=[True, False])


def edges_of(values: Floats, weight: Floats, bands: int) -> Floats:
    """Rounded edges between bands of about equal weight, inside the range of the known values."""
    known = ~np.isnan(values)
    x, w = values[known], weight[known]
    if x.size == 0:
        return np.array([])
    order = np.argsort(x, kind="stable")
    share = np.cumsum(w[order]) / w.sum()
    at = np.searchsorted(share, np.arange(1, bands) / bands)
    rounded = np.array([_rounded(float(edge)) for edge in x[order][np.minimum(at, x.size - 1)]])
    inside: Floats = np.unique(rounded[(rounded >= x.min()) & (rounded < x.max())])
    return inside


def band_of(values: Floats, edges: Floats) -> Ints:
    """Band of each value, 0 .. n for n edges, (edge, edge]; n + 1 where not known."""
    band = np.searchsorted(edges, values, side="left")
    return np.where(np.isnan(values), len(edges) + 1, band).astype(np.int64)


def band_name(edges: Floats, band: int) -> str:
    """Tell a band."""
    if band > len(edges):
        return "not known"
    if len(edges) == 0:
        return "all"
    if band == 0:
        return f"up to {edges[0]:g}"
    return f"above {edges[-1]:g}" if band == len(edges) else f"{edges[band - 1]:g} to {edges[band]:g}"


def _variable(sample: Validated, name: str, values: Floats, effect: Floats) -> pl.DataFrame:
    bands = max(1, min(BANDS, sample.drivers() // DRIVERS_A_BAND))
    edges = edges_of(values, sample.mu0, bands)
    band = band_of(values, edges)
    table = grouped(sample, band)
    present = table["group"].to_list()
    weight = np.bincount(band, sample.mu0, len(edges) + 2)[present]
    mean_effect = np.bincount(band, sample.mu0 * effect, len(edges) + 2)[present] / weight
    columns: dict[str, Any] = {
        "variable": [name] * table.height,
        "band": [band_name(edges, k) for k in present],
        "above": [float(edges[k - 1]) if 0 < k <= len(edges) else None for k in present],
        "up_to": [float(edges[k]) if k < len(edges) else None for k in present],
    }
    shown = pl.DataFrame(columns, schema_overrides={"above": pl.Float64, "up_to": pl.Float64})
    shown = shown.hstack(table).with_columns(pl.Series("effect", mean_effect))
    return shown.filter(pl.col("drivers") >= LEAST_DRIVERS)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
