"""What deriving events and summaries costs for each motion row, against merely scanning the same Parquet columns.

Simulated motion, as sealing writes it, file by file on one thread, each repeat in a fresh process. Memory is told at
two sizes of the lake: it must not grow with it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from features.derive import HEADS, READS, derive
from ingest.contract.publish import conform, to_parquet
from replay_data.portfolio.book import simulate_book
from replay_data.portfolio.motion import motion_chunk
from tests.bench.measure import Used, against, in_child, judged, measured, memory_mb, used
from tests.bench.row import Row

FILES = 10
DRIVERS_PER_FILE = 500  # some 2 million rows
REPEATS = 3
SMALL = 2  # files of the smaller lake
ONE_THREAD = {"POLARS_MAX_THREADS": "1"}


def run() -> list[Row]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        write_motion(Path(folder))
        return rows(*measure(Path(folder)))


def write_motion(folder: Path) -> None:
    """Write files of motion, and of the heads of their trips."""
    book = simulate_book(1, FILES * DRIVERS_PER_FILE, date(2026, 1, 1))
    for number in tqdm(range(FILES), desc="simulate", unit="file", disable=None):
        heads, motion = motion_chunk(book, number * DRIVERS_PER_FILE, DRIVERS_PER_FILE)
        (folder / f"motion-{number}.parquet").write_bytes(to_parquet(conform("motion", motion)))
        (folder / f"heads-{number}.parquet").write_bytes(to_parquet(heads.select(HEADS.names())))


def measure(folder: Path) -> tuple[dict[str, list[dict[str, Any]]], float]:
    """Run scan and derivation in turn; the peak memory of a smaller lake."""

    def child(what: str, files: int) -> dict[str, Any]:
        return in_child(__name__, what, folder, files, env=ONE_THREAD)

    runs: dict[str, list[dict[str, Any]]] = {"scan": [], "derive": []}
    for _ in tqdm(range(REPEATS), desc="scan and derive", unit="repeat", disable=None):
        for what, of in runs.items():
            of.append(child(what, FILES))
    return runs, float(child("derive", SMALL)["peak_mb"])


def rows(runs: dict[str, list[dict[str, Any]]], small_mb: float) -> list[Row]:
    """Table of the measurements."""

    def each(what: str, key: str) -> list[float]:
        return [row[key] / row["rows"] * 1e9 for row in runs[what]]

    peaks_mb = [row["peak_mb"] for row in runs["derive"]]
    millions = runs["derive"][0]["rows"] / 1e6
    goal = "at most 3 x scan (stretch 2)"
    return [
        against("derive, CPU", each("derive", "cpu_s"), each("scan", "cpu_s"), "x scan", goal, lambda x: x <= 3),
        measured("derive, wall", each("derive", "wall_s"), "ns/row", each("scan", "wall_s")),
        measured("derive, CPU", each("derive", "cpu_s"), "ns/row", each("scan", "cpu_s")),
        judged(f"peak memory, {millions:.1f} M rows", peaks_mb, "MB", "under 512 MB", lambda mb: mb < 512),
        Row(f"peak memory, {millions * SMALL / FILES:.1f} M rows", small_mb, "MB"),
        Row("file size", runs["scan"][0]["bytes"] / runs["scan"][0]["rows"], "B/row"),
    ]


def main(what: str, folder: Path, files: int) -> None:
    """Scan or derive the first files and tell what it took. Parquet of the heads is read outside the measure."""
    numbers = range(files)
    motion = [folder / f"motion-{number}.parquet" for number in numbers]
    heads = [pl.read_parquet(folder / f"heads-{number}.parquet") for number in numbers]
    work = [scan(file) if what == "scan" else derivation(file, head) for file, head in zip(motion, heads, strict=True)]
    found, took = [], Used(0.0, 0.0)
    for one in work:
        count, more = used(one)
        found.append(count)
        took = Used(took.cpu_s + more.cpu_s, took.wall_s + more.wall_s)
    told = took._asdict() | {"rows": sum(found), "peak_mb": memory_mb(), "bytes": sum(f.stat().st_size for f in motion)}
    sys.stdout.write(json.dumps(told))


def scan(file: Path) -> Callable[[], int]:
    """Decode the columns that deriving reads; the fastest way of several that were tried."""
    return lambda: pl.scan_parquet(file).select(READS).collect().height


def derivation(file: Path, heads: pl.DataFrame) -> Callable[[], int]:
    """Derive all trips of a file."""
    return lambda: int(derive(pl.scan_parquet(file), heads).summaries["samples"].sum())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
