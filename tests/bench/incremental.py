"""What one more month costs a build that has the months before it, against building all; and memory as months add.

Each month has the same simulated trips under other names. Full and incremental builds take turns, each in a fresh
process on one thread; both write the same bytes, which is checked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from features.build import build
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from ingest.contract.tables import trip_key
from replay_data.portfolio.book import simulate_book
from simulated_lake import simulated_trips
from tests.bench.measure import in_child, judged, measured, memory_mb, used
from tests.bench.row import Row

DRIVERS = 500
COPIES = 6  # of each driver, so that a month has some 18,000 trips
MONTHS = (3, 6, 12)
REPEATS = 3
DAYS = 28
ONE_THREAD = {"POLARS_MAX_THREADS": "1"}
Tables = dict[str, pl.DataFrame]


def run() -> list[Row]:
    """Measure."""
    trips, events = simulated_trips(simulate_book(1, DRIVERS, date(2026, 1, 1)), 0, DRIVERS)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        lakes = Path(folder)
        for number in tqdm(range(1, max(MONTHS) + 1), desc="months", disable=None):
            publish(Lake(lakes / "lake"), f"month-{number}", [in_month(trips, events, number)])
            if number in {*MONTHS, *(months - 1 for months in MONTHS)}:
                shutil.copytree(lakes / "lake", lakes / f"lake-{number}")
        for months in MONTHS:
            rows += measure(lakes, months)
    return [*rows, Row("trips a month", COPIES * trips.height, "1")]


def in_month(trips: pl.DataFrame, events: pl.DataFrame, number: int) -> Tables:
    """The trips of a year moved into one month of 2025, COPIES of them, under names of their own."""
    first_ms = int(datetime(2025, number, 1, tzinfo=UTC).timestamp() * 1000)
    copies = [renamed({"trips": trips, "events": events}, f"-{copy}", f"{number:02x}") for copy in range(COPIES)]
    tables = {name: pl.concat(copy[name] for copy in copies) for name in ("trips", "events")}
    within = pl.col("start_ms") % (DAYS * 86_400_000)
    return tables | {"trips": tables["trips"].with_columns(start_ms=first_ms + within)}


def renamed(tables: Tables, device: str, stream: str) -> Tables:
    """The same trips, with something added to the names of their devices and streams."""
    old = tables["trips"]["trip_id"]
    new = [name.replace(":", f"{device}:{stream}", 1) for name in old]
    keys = pl.Series([trip_key(name) for name in new], dtype=pl.UInt64)
    names = pl.DataFrame({"trip_id": old, "new": new, "key": keys})
    return {
        name: frame.join(names, on="trip_id", maintain_order="left")
        .with_columns(pl.col("device_id") + device, trip_id="new", trip_key="key")
        .drop("new", "key")
        for name, frame in tables.items()
    }


def measure(lakes: Path, months: int) -> list[Row]:
    """Full and incremental builds of so many months, in turn."""
    full, more = [], []
    for _ in tqdm(range(REPEATS), desc=f"{months} months", unit="repeat", disable=None):
        full.append(in_child(__name__, lakes / f"lake-{months}", lakes / "full", env=ONE_THREAD))
        in_child(__name__, lakes / f"lake-{months - 1}", lakes / "more", env=ONE_THREAD)
        more.append(in_child(__name__, lakes / f"lake-{months}", lakes / "more", env=ONE_THREAD))
        if full[-1]["sha256"] != more[-1]["sha256"]:
            raise RuntimeError("an incremental build wrote other bytes than a full one")
        shutil.rmtree(lakes / "full")
        shutil.rmtree(lakes / "more")
    shares = [one["cpu_s"] / whole["cpu_s"] for one, whole in zip(more, full, strict=True)]
    parts = max(one["units_made"] for one in more)
    goal = f"about 1/{months} = {1 / months:.3f}"
    return [
        judged(f"the last of {months} months, CPU", shares, "x full", goal, lambda x: x <= 1.5 / months),
        measured(f"full, {months} months, CPU", [run["cpu_s"] for run in full], "s"),
        measured(f"full, {months} months, peak memory", [run["peak_mb"] for run in full], "MB"),
        Row(f"parts made for the last of {months} months", parts, "1"),
    ]


def main(lake: Path, out: Path) -> None:
    """Build in this process and tell what it took; what importing takes is not in it."""
    logging.disable(logging.WARNING)
    report, took = used(lambda: build(Lake(lake), out))
    told: dict[str, Any] = {"cpu_s": took.cpu_s, "peak_mb": memory_mb(), "units_made": report.units_made}
    digest = hashlib.sha256()
    for name in ("trips", "events", "driver_periods"):
        digest.update((out / f"{name}.parquet").read_bytes())
    sys.stdout.write(json.dumps(told | {"sha256": digest.hexdigest()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
