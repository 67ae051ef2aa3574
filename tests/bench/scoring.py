"""What scoring a book to factors costs, against the bare LightGBM prediction of as many rows on one thread.

A book is simulated, driven and learned from; then its drivers stand in it many times, under other names, in files as
`ubi features build` writes them. A fresh process scores the files to written factors, and tells the CPU time of each
step and its peak memory.

100,000 policies, or as many as UBI_BENCH_POLICIES says.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import wraps
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from tqdm import tqdm

from features.build import measures_parquet
from features.contract.catalogue import load_catalogue
from features.contract.driver_measures import DRIVER_MEASURES, FIRST_START, driver_measures
from features.contract.row_groups import joined
from ingest.contract import durable
from pricing import batch, reasons, score
from pricing.batch import score_to
from pricing.boosting import Boosted
from pricing.built import Measures
from pricing.model import RiskModel, load_model
from pricing.plan import load_plan
from pricing.portfolio import read_policies
from pricing.train import train
from replay_data.portfolio.book import simulate_book
from tests.bench.measure import Used, against, in_child, measured, memory_mb, used
from tests.bench.ranking import simulated_periods
from tests.bench.row import Row

SEED = 1
DRIVERS = 4_000
POLICIES = int(os.environ.get("UBI_BENCH_POLICIES", "100000"))
TIMES = POLICIES // DRIVERS
RATING_DATE = date(2025, 1, 1)
REPEATS = 3 if POLICIES <= 200_000 else 1
COPIES_AT_ONCE = 10
ONE_THREAD = {"POLARS_MAX_THREADS": "1"}
WITHIN_S = 60 + POLICIES / 1_000
# Step -> where its function is looked up, and the function; steps inside it not counted. `rest` is what none holds.
STEPS: Final[dict[str, tuple[Any, str]]] = {
    "reading driver measures": (Measures, "of_drivers"),
    "reading and judging policies": (sys.modules[__name__], "read_policies"),
    "their cover in the period": (batch, "book_rows"),
    "features of the window": (score, "priced_features"),
    "rows rated, beside what follows": (score, "rate"),
    "relativities": (RiskModel, "rate"),
    "effects": (reasons, "effects"),
    "reasons": (reasons, "top_reasons"),
    "hashes of features": (score, "row_hashes"),
    "B": (score, "balanced_base"),
    "sums of the book": (score.Totals, "of"),
    "rows finished, beside what follows": (score, "finish"),
    "receipts and CSV": (score, "receipts_and_csv"),
    "encoding Parquet": (batch, "_parquet"),
    "writing, and reading parts": (durable, "commit"),
}
OUTSIDE: Final = ("reading driver measures", "features of the window")  # of "features to written factors"


def run() -> list[Row]:
    """Measure, prediction and scoring in turn."""
    scored, predicted = [], []
    with tempfile.TemporaryDirectory(prefix="ubi-bench-") as name:
        folder = Path(name)
        prepare(folder)
        model = load_model(folder / "model")
        for _ in tqdm(range(REPEATS), desc="score", unit="repeat", disable=None):
            predicted.append(prediction(model.frequency.boosted))
            scored.append(in_child("tests.bench.scoring", folder, env=ONE_THREAD, within_s=WITHIN_S))
    if {run["policies"] for run in scored} != {TIMES * DRIVERS}:
        raise RuntimeError(f"not all of {TIMES * DRIVERS} policies were scored")
    return table(predicted, scored, len(model.frequency.boosted.tree_features()))


def table(predicted: list[Used], scored: list[dict[str, Any]], trees: int) -> list[Row]:
    """Rows of the measurements."""
    count = TIMES * DRIVERS
    predict_us = [took.cpu_s / count * 1e6 for took in predicted]
    whole_us = [run["cpu_s"] / count * 1e6 for run in scored]
    outside = [sum(run["steps"][step] for step in OUTSIDE) / count * 1e6 for run in scored]
    from_features = [whole - out for whole, out in zip(whole_us, outside, strict=True)]
    goal = "under 10 x the bare predict"
    steps = [*STEPS, "rest"]
    return [
        against("features to written factors, CPU", from_features, predict_us, "x predict", goal, lambda x: x < 10),
        against("driver measures to written factors, CPU", whole_us, predict_us, "x predict", goal, lambda x: x < 10),
        measured("bare predict, CPU", predict_us, "us/policy"),
        measured("driver measures to written factors, CPU", whole_us, "us/policy", predict_us),
        measured("driver measures to written factors, wall", [r["wall_s"] / count * 1e6 for r in scored], "us/policy"),
        *(
            measured(f"of which {step}", [r["steps"][step] / count * 1e6 for r in scored], "us/policy")
            for step in steps
        ),
        measured("memory, peak", [run["memory_mb"] for run in scored], "MB"),
        measured("memory before the policies are read", [run["before_mb"] for run in scored], "MB"),
        Row("policies", count, "1"),
        Row("driver periods a policy", scored[0]["periods"] / count, "1"),
        Row("trees of the model", trees, "1"),
    ]


def prepare(folder: Path) -> None:
    """Model, policies and driver measures as files."""
    book = simulate_book(SEED, DRIVERS, RATING_DATE)
    periods = simulated_periods(book)
    train(book.policies, book.claims, periods, load_catalogue(), load_plan(), (RATING_DATE,)).save(folder / "model")
    copies = range(TIMES)
    policies = pl.concat(renamed(book.policies, copy, "policy_id", "driver_id") for copy in copies)
    policies.write_parquet(folder / "policies.parquet")
    with (folder / "driver_measures.parquet").open("wb") as file:
        file.writelines(joined(measures_parquet(DRIVER_MEASURES.to_frame()), month_by_month(driver_measures(periods))))


def month_by_month(measures: pl.DataFrame) -> Iterator[bytes]:
    """Parts of driver_measures.parquet, sorted by month and driver; copy by copy is the order of the drivers."""
    for month in tqdm(measures["month"].unique().sort(), desc="prepare", unit="month", disable=None):
        own = measures.filter(pl.col("month") == month).sort("driver_id")
        for first in range(0, TIMES, COPIES_AT_ONCE):
            copies = range(first, min(first + COPIES_AT_ONCE, TIMES))
            yield measures_parquet(pl.concat(renamed(longer(own, copy), copy, "driver_id") for copy in copies))


def longer(measures: pl.DataFrame, copy: int) -> pl.DataFrame:
    """The same driving at a length of its own: copies of equal numbers would compress and decode as no book does."""
    numbers = [name for name, kind in DRIVER_MEASURES.items() if kind == pl.Int64 and name != FIRST_START]
    return measures.with_columns((pl.col(numbers) * (1 + copy / 1_000)).cast(pl.Int64))


def renamed(frame: pl.DataFrame, copy: int, *names: str) -> pl.DataFrame:
    """A copy of all rows, under names that no other copy has."""
    return frame.with_columns(pl.format("{}-{}", pl.lit(f"{copy:04d}"), pl.col(name)).alias(name) for name in names)


def prediction(boosted: Boosted) -> Used:
    """Predict as many rows with LightGBM alone, its model loaded and its matrix made before."""
    import lightgbm as lgb

    booster = lgb.Booster(model_str=boosted.text)
    rng = np.random.default_rng(SEED)
    typical = np.array([1.0 if value is None else value for value in boosted.typical])
    matrix = typical * rng.lognormal(0.0, 0.5, (TIMES * DRIVERS, len(boosted.features)))
    return used(lambda: booster.predict(matrix, raw_score=True, num_threads=1))[1]


def scored(folder: Path) -> dict[str, Any]:
    """Score the files of `prepare`; CPU time in all and of each step, wall time, memory."""
    steps = dict.fromkeys(STEPS, 0.0)
    for step, (owner, name) in STEPS.items():
        setattr(owner, name, _timed(getattr(owner, name), step, steps))
    catalogue, before_mb = load_catalogue(), memory_mb()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    measures = Measures.of(folder)
    policies = read_policies(folder / "policies.parquet")
    book = score_to(
        folder / "out", policies, measures, catalogue, load_model(folder / "model"), rating_date=RATING_DATE
    )
    took = time.process_time() - cpu_s
    return {
        "policies": book["totals"]["policies"],
        "periods": pl.scan_parquet(measures.file).select(pl.len()).collect().item(),
        "cpu_s": took,
        "wall_s": time.perf_counter() - wall_s,
        "steps": steps | {"rest": took - sum(steps.values())},
        "memory_mb": memory_mb(),
        "before_mb": before_mb,
    }


def _timed(function: Callable[..., Any], step: str, steps: dict[str, float]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*given: Any, **named: Any) -> Any:
        before = sum(steps.values())
        result, took = used(lambda: function(*given, **named))
        steps[step] += took.cpu_s - (sum(steps.values()) - before)
        return result

    return timed


if __name__ == "__main__":
    print(json.dumps(scored(Path(sys.argv[1]))))  # noqa: T201
