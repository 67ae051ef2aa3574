"""What scoring a book to factors costs, against the bare LightGBM prediction of the same rows on one thread.

A book is simulated, driven and learned from; then its drivers stand in it ten times, under other names, and the whole
book is scored and written: features of the window, relativities, balance, reasons, receipts, files.
"""

from __future__ import annotations

import logging
import tempfile
from datetime import date
from functools import partial
from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl
from tqdm import tqdm

from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from pricing.arrays import Floats
from pricing.model import RiskModel
from pricing.plan import load_plan
from pricing.score import score_book
from pricing.train import train
from replay_data.portfolio.book import simulate_book
from tests.bench.measure import Used, against, measured, used
from tests.bench.ranking import simulated_periods
from tests.bench.row import Row

SEED = 1
DRIVERS = 10_000
TIMES = 10
POLICIES = DRIVERS * TIMES
RATING_DATE = date(2025, 1, 1)
REPEATS = 3


def run() -> list[Row]:
    """Measure, prediction and scoring in turn."""
    catalogue = load_catalogue()
    book = simulate_book(SEED, DRIVERS, RATING_DATE)
    periods = simulated_periods(book)
    model = train(book.policies, book.claims, periods, catalogue, load_plan(), (RATING_DATE,))
    policies, periods = many(book.policies, "policy_id", "driver_id"), many(periods, "driver_id")
    rows = policies.filter(pl.col("start") == RATING_DATE).select("driver_id", rating_date=pl.lit(RATING_DATE))
    matrix = rating_features(periods, rows).select(model.frequency.boosted.features).to_numpy()
    logging.getLogger("pricing").setLevel(logging.ERROR)  # the model knows claims of after the rating date; we do too
    predicted, scored = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in tqdm(range(REPEATS), desc="score", unit="repeat", disable=None):
            predicted.append(prediction(model, matrix))
            found, took = used(partial(score_and_write, policies, periods, model, Path(folder)))
            if found != POLICIES:
                raise RuntimeError(f"{found} of {POLICIES} policies were scored")
            scored.append(took)
    return table(predicted, scored, model)


def table(predicted: list[Used], scored: list[Used], model: RiskModel) -> list[Row]:
    """Rows of the measurements."""
    predict_us, score_us = ([took.cpu_s / POLICIES * 1e6 for took in of] for of in (predicted, scored))
    wall_us = [took.wall_s / POLICIES * 1e6 for took in scored]
    goal = "under 10 x the bare predict"
    return [
        against("policies to factors, CPU", score_us, predict_us, "x predict", goal, lambda x: x < 10),
        measured("policies to factors, CPU", score_us, "us/policy", predict_us),
        measured(
            "policies to factors, wall", wall_us, "us/policy", [took.wall_s / POLICIES * 1e6 for took in predicted]
        ),
        Row("policies", POLICIES, "1"),
        Row("trees of the model", len(model.frequency.boosted.tree_features()), "1"),
    ]


def many(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Each row TIMES times, under other names."""
    return pl.concat(
        frame.with_columns(pl.format("{}-{}", pl.col(name), pl.lit(copy)).alias(name) for name in names)
        for copy in range(TIMES)
    )


def prediction(model: RiskModel, matrix: Floats) -> Used:
    """Predict with LightGBM alone, its model loaded and its matrix made before."""
    booster = lgb.Booster(model_str=model.frequency.boosted.text)
    contiguous = np.ascontiguousarray(matrix)
    return used(lambda: booster.predict(contiguous, raw_score=True, num_threads=1))[1]


def score_and_write(policies: pl.DataFrame, periods: pl.DataFrame, model: RiskModel, folder: Path) -> int:
    """Score the book and write its factors; how many there are."""
    scored = score_book(policies, periods, load_catalogue(), model, RATING_DATE)
    scored.save(folder)
    return scored.factors.height
