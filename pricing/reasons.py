"""Why a factor is what it is: factor = B x base x product of all effects x adjustments.

An effect is exp(b Z x contribution) of one feature, times severity's where the plan includes it; contributions are
those of the rating tables and sum to the score.
`base` is what the mean driver of the reference book would have. The adjustments are the profile's band and the renewal
limit. Effects are told before the adjustments; where those act, `capped` and `limited` say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.contract.catalogue import Catalogue
from pricing.arrays import Bools, Floats
from pricing.contract.factors import REASONS
from pricing.errors import ModelError
from pricing.matrix import Inputs
from pricing.model import Rated, RiskModel

EXACT: Final = 1e-9  # contributions have to sum to the log of the relativity
LEAST_LOG_EFFECT: Final = 5e-4  # an effect below 0.05 % is no reason


@dataclass(frozen=True, slots=True)
class Effects:
    """Multiplicative effects of some drivers.

    Attributes
    ----------
    base : numpy.ndarray, shape (n_rows,)
    effects : numpy.ndarray, shape (n_rows, n_features)
        base x product of a row's effects is the indicated relativity.
    """

    names: tuple[str, ...]
    base: Floats
    effects: Floats

    def only(self, chosen: Bools) -> Effects:
        """Same rows, with no effect where not chosen."""
        return Effects(self.names, self.base, np.where(chosen[:, None], self.effects, 1.0))


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
    return Effects(model.tables.features, np.exp(logs[:, -1]), np.exp(logs[:, :-1]))


def top_reasons(
    split: Effects, inputs: Inputs, catalogue: Catalogue, language: str = "en"
) -> tuple[list[list[str | None]], Floats]:
    """Tell the strongest effects of each driver, in the driver's own units.

    Returns
    -------
    tuple
        Texts as `REASONS` lists of n_rows (None where there is no such effect), and their effects, shape
        (n_rows, REASONS), NaN where there is none.
    """
    by_name = {feature.name: feature for feature in catalogue.features}
    features = [by_name[name] for name in split.names]
    logs = np.abs(np.log(split.effects))
    order = np.argsort(-logs, axis=1, kind="stable")[:, :REASONS]
    strongest = np.full((len(order), REASONS), np.nan)
    texts: list[list[str | None]] = [[None] * len(order) for _ in range(REASONS)]
    for row, chosen in enumerate(order):
        for k, column in enumerate(chosen):
            if logs[row, column] >= LEAST_LOG_EFFECT:
                strongest[row, k] = split.effects[row, column]
                texts[k][row] = features[column].tell(float(inputs.values[row, column]), language)
    return texts, strongest
