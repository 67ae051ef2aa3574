"""Tables of lines beside tables of steps: nearness to a known truth, cliffs, and what scoring costs.

Books are hand-made (`tests/pricing/drivers.py`): risk rises smoothly with braking, night and distance. Loss is against
the true frequency of 20,000 other drivers, so that no luck of claims is in it. Cliffs and costs are those of the
reference model's tables, with their points and without.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pricing.between import LINE, STEP
from pricing.fit import fit
from pricing.matrix import read_inputs
from pricing.plan import load_plan
from pricing.tables import RatingTables
from pricing.tariff import Tariff
from tests.bench.measure import used
from tests.bench.row import Row
from tests.pricing.drivers import CATALOGUE, rating_rows
from tests.reference_model import reference_model

Floats = npt.NDArray[np.float64]

CACHE: Final = Path(".pytest_cache") / "d" / "reference-model"  # where the tests keep it
BOOKS: Final = 8
ROWS: Final = 12_000
UNSEEN: Final = 20_000
CHANGE: Final = 0.01
REPEATS: Final = 5


def run() -> list[Row]:
    """Train both forms on each book; then read the tables of the reference model both ways."""
    lines = reference_model(CACHE).model.tables
    return [*losses(), *cliffs(lines), *costs(lines)]


def losses() -> list[Row]:
    """Loss of each form against the truth, mean over books; the anchor is that of the other form."""
    unseen = rating_rows(UNSEEN, seed=99)
    inputs = read_inputs(unseen, CATALOGUE)
    truth, mu0 = (unseen[name].to_numpy() for name in ("true_claims", "expected_claims"))
    plan, found = load_plan(), list[list[float]]()
    for seed in tqdm(range(1, BOOKS + 1), desc="books", unit="book", disable=None):
        rows = rating_rows(ROWS, seed=seed)
        plans = [dataclasses.replace(plan, model=dataclasses.replace(plan.model, between=b)) for b in (STEP, LINE)]
        models = [fit(rows, CATALOGUE, one, Tariff("frequency", 1.0)) for one in plans]
        found.append([_loss(truth, mu0 * model.rate(inputs).relativity) for model in models])
    steps, lines = np.array(found).T
    lower = int((lines < steps).sum())
    return [
        Row("loss against the truth, tariff", _loss(truth, mu0), "1"),
        Row("loss against the truth, steps", steps.mean(), "1", np.ptp(steps) / 2),
        Row("loss against the truth, lines", lines.mean(), "1", np.ptp(lines) / 2, steps.mean()),
        Row(f"books of {BOOKS} where lines are nearer", lower, "1", None, None, "all", lower == BOOKS),
    ]


def _loss(truth: Floats, foretold: Floats) -> float:
    """Mean Poisson deviance of the true frequency, x 100, at its level."""
    mu = foretold * truth.sum() / foretold.sum()
    return float(200 * np.mean(truth * np.log(truth / mu) - (truth - mu)))


def cliffs(lines: RatingTables) -> list[Row]:
    """How far a score moves where one feature is lower by 1 %: the feature where it moves most."""
    x, steps = _drivers(lines, UNSEEN), lines.steps()
    moved = {LINE: 0.0, STEP: 0.0}
    for column in range(x.shape[1]):
        lower = x.copy()
        lower[:, column] *= 1 - CHANGE
        for form, tables in ((LINE, lines), (STEP, steps)):
            moved[form] = max(moved[form], float(np.abs(tables.score(lower) - tables.score(x)).max()))
    return [Row("largest change of the score for 1 % of a feature, lines", moved[LINE], "log", None, moved[STEP])]


def costs(lines: RatingTables) -> list[Row]:
    """CPU of scoring and of contributions, of lines; the anchor is that of steps."""
    x, steps, rows = _drivers(lines, 10 * UNSEEN), lines.steps(), list[Row]()
    for name in ("score", "contributions"):
        taken = [[used(lambda t=t, n=name: getattr(t, n)(x))[1].cpu_s for _ in range(REPEATS)] for t in (lines, steps)]  # type: ignore[misc]
        of_lines, of_steps = (np.array(cpu_s) / len(x) * 1e6 for cpu_s in taken)
        rows.append(Row(f"{name}, CPU a row", median(of_lines), "us", np.ptp(of_lines) / 2, median(of_steps)))
    return rows


def _drivers(tables: RatingTables, n: int) -> Floats:
    """Values spread over the points of each feature, some not known."""
    random = np.random.default_rng(1)
    columns = []
    for main in tables.mains:
        low, high = (main.points[0], main.points[-1]) if len(main.points) else (0.0, 1.0)
        columns.append(random.uniform(low, high, n))
    x = np.column_stack(columns)
    x[random.random(x.shape) < 0.01] = np.nan
    return x
