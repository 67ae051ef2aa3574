"""Does telematics rank held-out simulated drivers by their true risk better than the tariff alone? Ten books.

Each book is simulated, driven, derived and priced as a real one would be: motion -> trips and events -> driver
periods -> rating rows -> a model trained on two thirds of the drivers, which ranks the other third.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from tqdm import tqdm

from features.contract.catalogue import load_catalogue
from features.derive import derive
from features.periods import merge, sum_trips
from pricing.plan import Plan, load_plan
from pricing.ranking import Ranking, held_out_ranking
from pricing.train import rating_rows
from replay_data.portfolio.book import Book, simulate_book
from replay_data.portfolio.motion import motion_chunks
from tests.bench.row import Row

SEEDS = range(1, 11)
DRIVERS = 30_000  # about 1,300 claims in the label year
RATING_DATE = date(2025, 1, 1)


def run() -> list[Row]:
    """Measure all books."""
    return table(rankings(SEEDS, DRIVERS))


def rankings(seeds: Sequence[int], drivers: int) -> list[Ranking]:
    """Rank the held-out third of one simulated book a seed."""
    plan, catalogue = load_plan(), load_catalogue()
    return [
        held_out_ranking(simulated_rows(seed, drivers, plan), catalogue, plan, truth="true_claims")
        for seed in tqdm(seeds, desc="books", unit="book")
    ]


def simulated_rows(seed: int, drivers: int, plan: Plan) -> pl.DataFrame:
    """Rating rows of a simulated book, with `true_claims`: true frequency x years of the label window."""
    book = simulate_book(seed, drivers, RATING_DATE)
    rows, _ = rating_rows(book.policies, book.claims, simulated_periods(book), load_catalogue(), plan, (RATING_DATE,))
    truth = book.truth.select("driver_id", "true_frequency")
    joined = rows.join(truth, on="driver_id", how="left", maintain_order="left")
    return joined.with_columns(true_claims=pl.col("true_frequency") * pl.col("years"))


def simulated_periods(book: Book) -> pl.DataFrame:
    """Driver periods of a simulated book, from its motion."""
    term = book.policies.filter(pl.col("end") == book.rating_date).select("policy_id", "driver_id", "device_id")
    parts = []
    for heads, motion in motion_chunks(book):
        derived = derive(motion, heads)
        trips = heads.join(derived.summaries, on="trip_key").join(term, on="device_id")
        parts.append(sum_trips(trips.with_columns(complete=pl.lit(value=True)), derived.events))
    return merge(parts)


def table(found: Sequence[Ranking]) -> list[Row]:
    """One row a measure: mean over the books, half the range as spread."""

    def row(name: str, attribute: str, anchor: str | None = None, goal: str | None = None) -> Row:
        values = np.array([getattr(ranking, attribute) for ranking in found], dtype=float)
        anchors = np.array([getattr(ranking, anchor) for ranking in found], dtype=float) if anchor else None
        return Row(
            name,
            float(values.mean()),
            "Gini" if "gini" in attribute or "sure" in attribute else "1",
            float(np.ptp(values) / 2),
            None if anchors is None else float(anchors.mean()),
            goal,
            None if anchors is None else bool((values > anchors).all()),
        )

    better = "above the tariff in every book"
    return [
        row("claims of held-out drivers", "claims"),
        row("observed claims, by tariff", "gini_tariff"),
        row("observed claims, by tariff + telematics", "gini_telematics", "gini_tariff", better),
        row("observed claims, by truth", "gini_truth"),
        row("true risk, by tariff", "sure_tariff"),
        row("true risk, by tariff + telematics", "sure_telematics", "sure_tariff", better),
        row("true risk, by truth", "sure_truth"),
    ]
