"""One box, two drivers, one policy: what mixing their driving does to the relativity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from features.periods import merge
from pricing.arrays import Floats
from pricing.matrix import read_inputs
from pricing.model import RiskModel
from replay_data.portfolio.book import Book
from tests.pricing.truth.world import RATING_DATE


class Shared(NamedTuple):
    """Pairs of drivers, each alone and with one box between them. Shape (n_pairs,) each.

    `mixed` is the relativity of the box that both use, month about.
    """

    first: Floats
    second: Floats
    mixed: Floats


def shared(model: RiskModel, book: Book, periods: pl.DataFrame, pairs: int) -> Shared:
    """Let drivers 2k and 2k + 1 share the box of the first: his even months, the other's odd ones."""
    drivers = book.drivers["driver_id"].to_list()[: 2 * pairs]
    owner = {driver: drivers[k - k % 2] for k, driver in enumerate(drivers)}
    turn = {driver: k % 2 for k, driver in enumerate(drivers)}
    own = periods.filter(pl.col("driver_id").is_in(drivers))
    apart = _relativity(model, own, drivers)
    taken = own.filter(pl.col("month").dt.month() % 2 == pl.col("driver_id").replace_strict(turn, return_dtype=pl.Int8))
    box = taken.with_columns(pl.col("driver_id").replace(owner), policy_id=pl.lit("shared"))
    mixed = _relativity(model, merge([box]), drivers[::2])
    alone, known = apart.reshape(-1, 2), ~np.isnan(mixed)
    return Shared(alone[known, 0], alone[known, 1], mixed[known])


def _relativity(model: RiskModel, periods: pl.DataFrame, drivers: list[str]) -> Floats:
    """Relativity of each driver, NaN without trips."""
    asked = pl.DataFrame({"driver_id": drivers, "rating_date": [RATING_DATE] * len(drivers)})
    rows = rating_features(periods, asked, 12, load_catalogue())
    found = model.rate(read_inputs(rows, load_catalogue())).relativity
    return np.where(rows["trips"].fill_null(0).to_numpy() > 0, found, np.nan)
