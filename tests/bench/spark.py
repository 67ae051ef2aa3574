"""A build on a Spark cluster of this machine (two workers of one core), against the same here.

Needs pyspark and Java: .venv-spark/bin/python -m tests.bench spark, after `make spark`. On one machine Spark cannot
win; what it adds to the same work is what a cluster has to earn back.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from tqdm import tqdm

from features.build import build
from features.engine import Engine, here
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from replay_data.portfolio.book import simulate_book
from simulated_lake import simulated_trips
from tests.bench.incremental import COPIES, in_month
from tests.bench.measure import against, measured
from tests.bench.row import Row
from tests.features.spark_cluster import Cluster, missing
from tests.ports import free_port

DRIVERS = 1_000
MONTHS = 12
REPEATS = 3


def run() -> list[Row]:
    """Measure, or say why not."""
    reason = missing()
    if reason is not None:
        sys.stderr.write(f"bench: spark: {reason}\n")
        return []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        trips, events = simulated_trips(simulate_book(1, DRIVERS, date(2026, 1, 1)), 0, DRIVERS)
        lake = Lake(root / "lake")
        for number in tqdm(range(1, MONTHS + 1), desc="months", disable=None):
            publish(lake, f"month-{number}", [in_month(trips, events, number)])
        (root / "spark").mkdir()
        with Cluster(root / "spark", free_port()) as cluster:
            return [*measure(lake, root, cluster.url), Row("trips", COPIES * MONTHS * trips.height, "1")]


def measure(lake: Lake, root: Path, url: str) -> list[Row]:
    """Builds in turn: here, and on the cluster with and without the time to connect to it."""
    from features.spark import spark_engine

    local, cold, warm = [], [], []
    for _ in tqdm(range(REPEATS), desc="builds", unit="repeat", disable=None):
        local.append(seconds(partial(whole, lake, root / "local", here)))
        began_s = time.perf_counter()
        with spark_engine(url) as engine:
            whole(lake, root / "cluster", engine)
            cold.append(time.perf_counter() - began_s)
            warm.append(seconds(partial(whole, lake, root / "cluster", engine)))
        same = [(root / where / "driver_measures.parquet").read_bytes() for where in ("local", "cluster")]
        if same[0] != same[1]:
            raise RuntimeError("the cluster wrote other bytes")
    return [
        measured("build here, wall", local, "s"),
        measured("build on the cluster, with connecting, wall", cold, "s", local),
        measured("build on the cluster, connected, wall", warm, "s", local),
        against("build on the cluster, connected, wall", warm, local, "x here"),
    ]


def whole(lake: Lake, out: Path, engine: Engine) -> None:
    """Build all."""
    build(lake, out, engine=engine, afresh=True)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of some work."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
