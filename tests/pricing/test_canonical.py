from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

from pricing.canonical import canonical
from pricing.shrink import GammaPrior

ROOT = Path(__file__).resolve().parents[2]
# What numpy calls the vector units that some machines have and others lack.
FEWER = "X86_V4 X86_V3 AVX512_ICL AVX512_SPR"
TRAINED = """
import dataclasses, json, sys
import numpy as np
import polars as pl
from pricing.fit import fit
from pricing.plan import load_plan
from pricing.tariff import Tariff
from tests.pricing.drivers import CATALOGUE, rating_rows, with_amounts

plan = load_plan()
model = dataclasses.replace(plan.model, severity=True, learning_rate=0.1, rounds=(0, 25, 50, 75, 100, 150), folds=3)
rows = with_amounts(rating_rows(16_000)).with_columns(pl.col(pl.Float64).round(9))  # these are made by exp as well
trained = fit(rows, CATALOGUE, dataclasses.replace(plan, model=model), Tariff("frequency", 1.0))
x = np.random.default_rng(0).random(100_000)
print(json.dumps([trained.model_id, trained.manifest()["files_sha256"], float(np.log(x).sum()).hex()]))
"""


def trained(without: str):
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINED],
        cwd=ROOT,
        env=os.environ | {"NPY_DISABLE_CPU_FEATURES": without},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    return json.loads(told.splitlines()[-1])


def test_a_machine_with_other_vector_units_trains_the_same_model():
    assert trained("")[:2] == trained(FEWER)[:2]


def test_floats_are_rounded_at_any_depth_and_all_else_stays():
    value = {"a": [1.0000000001234, (2, "x", None)], 0.1 + 0.2: GammaPrior(1 / 3, math.inf), "n": math.nan}
    rounded = canonical(value)
    assert rounded["a"] == [1.0, (2, "x", None)]
    assert rounded[0.3] == GammaPrior(0.333333333, math.inf)
    assert math.isnan(rounded["n"])
    assert str(canonical(-1e-12)) == "0.0"


def test_a_dataclass_stays_what_it_is():
    prior = GammaPrior(2.0, 3.0)
    assert canonical(prior) == prior
    assert dataclasses.is_dataclass(canonical(prior))
