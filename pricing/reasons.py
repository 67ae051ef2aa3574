"""Why a factor is what it is: factor = B x base x product of all effects x adjustments.

An effect is exp(b Z x contribution) of one feature, times severity's where the plan includes it; contributions are
those of the rating tables and sum to the score.
`base` is what the mean driver of the reference book would have. The adjustments are the tier's step, own claims, the
profile's band and the renewal limit. Effects are told before the adjustments; where those act, `capped` and `limited`
say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue, Feature
from pricing.arrays import Bools, Floats, Ints
from pricing.contract.factors import MICRO, REASONS
from pricing.errors import ModelError
from pricing.matrix import Inputs
from pricing.model import Rated, RiskModel

EXACT: Final = 1e-9  # contributions have to sum to the log of the relativity
LEAST_LOG_EFFECT: Final = 5e-4  # an effect below 0.05 % is no reason
DIGITS: Final = 3  # of a value that is told


@dataclass(frozen=True, slots=True)
class Effects:
    """Multiplicative effects of some drivers, as logarithms.

    Attributes
    ----------
    log_base : numpy.ndarray, shape (n_rows,)
    logs : numpy.ndarray, shape (n_rows, n_features)
        base x product of a row's effects is the indicated relativity.
    """

    names: tuple[str, ...]
    log_base: Floats
    logs: Floats

    @property
    def base(self) -> Floats:
        """What the mean driver of the reference book has. Shape (n_rows,)."""
        return np.exp(self.log_base)

    @property
    def effects(self) -> Floats:
        """Shape (n_rows, n_features)."""
        return np.exp(self.logs)

    def only(self, chosen: Bools) -> Effects:
        """Same rows, with no effect where not chosen."""
        return Effects(self.names, self.log_base, np.where(chosen[:, None], self.logs, 0.0))


def effects(model: RiskModel, rated: Rated) -> Effects:
    """Split indicated relativities into one effect a feature.

    Raises
    ------
    ModelError
        If the contributions do not sum to the log of the relativity.
    """
    logs = model.log_effects(rated)
    error = np.abs(logs.sum(axis=1) - np.log(rated.relativity)).max(initial=0.0)
    if error > EXACT:
        raise ModelError(f"contributions miss the relativity by {error:g}: the rating tables are broken; train again")
    return Effects(model.tables.features, logs[:, -1], logs[:, :-1])


def top_reasons(split: Effects, inputs: Inputs, catalogue: Catalogue, language: str = "en") -> pl.DataFrame:
    """Tell the strongest effects of each driver, in the driver's own units.

    Returns
    -------
    polars.DataFrame
        reason_1 .. String, effect_1 .. Float64, null where there is no such effect; rows as in `split`.
    """
    by_name = {feature.name: feature for feature in catalogue.features}
    sizes = np.abs(split.logs, order="C")  # row by row, as they are looked through
    rows = np.arange(len(sizes))
    strongest = np.empty((REASONS, len(sizes)), np.int64)
    told = np.empty((REASONS, len(sizes)), np.bool_)
    for k in range(REASONS):
        strongest[k] = sizes.argmax(axis=1)  # the first of equals, so the order of the catalogue decides
        told[k] = sizes[rows, strongest[k]] >= LEAST_LOG_EFFECT
        sizes[rows, strongest[k]] = -1.0
    effects_told = np.round(np.where(told, np.exp(split.logs[rows, strongest]), np.nan), MICRO)
    texts: list[str | None] = [None]
    text = np.zeros(told.shape, np.int64)  # of each reason, in `texts`
    for column in np.unique(strongest[told]):
        own = np.nonzero(told & (strongest == column))
        different, which = _different(by_name[split.names[column]], inputs.values[own[1], column], language)
        text[own] = which + len(texts)
        texts += different
    known = pl.Series(texts, dtype=pl.String)
    return pl.DataFrame(
        {f"reason_{k}": known.gather(row) for k, row in enumerate(text, start=1)}
        | {f"effect_{k}": pl.Series(row).fill_nan(None) for k, row in enumerate(effects_told, start=1)}
    )


def tell_all(feature: Feature, values: Floats, language: str) -> list[str]:
    """Tell values of one feature."""
    texts, which = _different(feature, values, language)
    return [texts[k] for k in which]


def _different(feature: Feature, values: Floats, language: str) -> tuple[list[str], Ints]:
    """Texts of values that are told differently, and which of them tells each value."""
    rounded, which = np.unique(rounded_to_told(values), return_inverse=True)
    return [feature.tell(value, language) for value in rounded.tolist()], which


def rounded_to_told(values: Floats) -> Floats:
    """Values rounded to the digits that are told, so that alike values are equal; NaN stays."""
    known = np.where(np.isnan(values) | (values == 0), 1.0, np.abs(values))
    scale = 10.0 ** np.maximum(DIGITS - 1 - np.floor(np.log10(known)), 0.0)
    rounded: Floats = np.round(values * scale) / scale
    return rounded
