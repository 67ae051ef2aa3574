"""What is not known costs what it costs on average, unless enough drivers of whom it was not known taught otherwise.

Trees that saw few unknown values, or none, put them wherever it cost nothing in training: that is no price. The median
is none either. Rates are skewed, and the medians of all features together are a driver calmer than most: in the
reference model's book (tests/reference_model.py) a driver of whom nothing was known paid 0.79, where the book has a
median of 0.89 and a mean of 1.05. Whoever hid his driving had a discount.

So the bin "not known" of a feature is the mean, where fewer expected claims than a leaf needs were behind it: 0 in its
main effect and in all of its pairs, which are told against the mean of the training rows. What known values score, and
the directions that were proven of them, stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pricing.arrays import Ints
from pricing.tables import Main, Pair, RatingTables


def mean_where_unknown(tables: RatingTables, claims: float, least_claims: float) -> RatingTables:
    """Take the mean effect for what is not known, where too few claims taught another.

    Parameters
    ----------
    tables : RatingTables
    claims : float
        Expected claims of the rows that the tables were trained on.
    least_claims : float
        From so many expected claims of rows of which a feature was not known, what was learned of them stands.
    """
    untaught = {main.feature for main in tables.mains if main.share[-1] == 0 or claims * main.share[-1] < least_claims}
    return replace(
        tables,
        mains=tuple(_main(main) if main.feature in untaught else main for main in tables.mains),
        pairs=tuple(_pair(pair, untaught) for pair in tables.pairs),
    )


def _main(main: Main) -> Main:
    return replace(main, effect=_zero_last(main.effect))


def _pair(pair: Pair, untaught: set[str]) -> Pair:
    effect = pair.effect
    if pair.first in untaught:
        effect = _zero_last(effect)
    if pair.second in untaught:
        effect = _zero_last(effect.T).T
    return replace(pair, effect=effect)


def _zero_last(effect: Ints) -> Ints:
    """The same without what its last bin says."""
    settled: Ints = effect.copy()
    settled[-1] = np.int64(0)
    return settled
