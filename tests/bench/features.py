"""What deriving events and summaries costs for each motion row, against merely scanning the same Parquet columns.

A sealed lake of simulated motion (UBI_BENCH_ROWS, 100 million unless set), files of two million rows at a time on one
thread, each repeat in a fresh process, scan and derivation in turn. At 1, 10 and 100 million rows: neither CPU of a row
nor memory may grow with the lake. On a part of it beside pandas and window SQL, which do less.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import DURATION_CLASSES, ONSET_BANDS, PEAK_BINS
from features.derive import HEADS, READS, Derived, derive
from ingest.contract import tables
from ingest.contract.lake import Lake, read_files
from tests.bench import big_lake
from tests.bench.measure import Used, against, in_child, judged, measured, memory_mb, used
from tests.bench.other_tools import Sums, by_duckdb, by_pandas
from tests.bench.row import Row

ROWS = int(os.environ.get("UBI_BENCH_ROWS", "100_000_000"))
REPEATS = 3
AT_ONCE = 2_000_000  # rows of a call
OTHERS_ROWS = 1_000_000  # for pandas and SQL
ONE_THREAD = {"POLARS_MAX_THREADS": "1"}
BRAKING = KIND_NUMBERS["harsh_braking"]
Told = dict[str, Any]


def run() -> list[Row]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        lake = big_lake.write(Path(folder) / "lake", ROWS)
        sizes = [rows for rows in (1_000_000, 10_000_000, ROWS) if rows <= ROWS]
        found = [(rows, measure(lake.root, rows)) for rows in tqdm(sizes, desc="sizes", disable=None)]
        return [row for rows, runs in found for row in of_size(rows, runs)] + beside_others(lake.root)


def measure(lake: Path, rows: int) -> dict[str, list[Told]]:
    """Scan and derive the files of so many rows, in turn."""
    runs: dict[str, list[Told]] = {"scan": [], "derive": []}
    for _ in range(REPEATS):
        for what, of in runs.items():
            of.append(in_child(__name__, what, lake, rows, env=ONE_THREAD))
    return runs


def of_size(rows: int, runs: dict[str, list[Told]]) -> list[Row]:
    """Rows of one size of the lake."""
    name = f"{runs['scan'][0]['rows'] / 1e6:.1f} M rows"
    scan, ours = (each(runs[what], "cpu_s") for what in ("scan", "derive"))
    peaks_mb = [told["peak_mb"] for told in runs["derive"]]
    return [
        against(f"derive, CPU, {name}", ours, scan, "x scan", "at most 3 x scan (stretch 2)", lambda x: x <= 3),
        measured(f"derive, CPU, {name}", ours, "ns/row", scan),
        measured(f"derive, wall, {name}", each(runs["derive"], "wall_s"), "ns/row", each(runs["scan"], "wall_s")),
        judged(f"derive, peak memory, {name}", peaks_mb, "MB", "under 512 MB", lambda mb: mb < 512),
        Row(f"file size, {name}", runs["scan"][0]["bytes"] / runs["scan"][0]["rows"], "B/row"),
    ]


def beside_others(lake: Path) -> list[Row]:
    """pandas and DuckDB on a part of the lake; all three must find the same."""
    tools = ("scan", "derive", "duckdb", "pandas")
    runs = {
        tool: [in_child(__name__, tool, lake, OTHERS_ROWS, env=ONE_THREAD) for _ in range(REPEATS)] for tool in tools
    }
    if not runs["derive"][0]["sums"] == runs["duckdb"][0]["sums"] == runs["pandas"][0]["sums"]:
        raise RuntimeError(f"not the same: {[(tool, of[0]['sums']) for tool, of in runs.items()]}")
    scan = each(runs["scan"], "cpu_s")
    return [
        row
        for tool in tools[2:]
        for row in (
            against(f"{tool}, part of it, CPU", each(runs[tool], "cpu_s"), scan, "x scan"),
            against(f"{tool}, part of it, CPU", each(runs[tool], "cpu_s"), each(runs["derive"], "cpu_s"), "x derive"),
        )
    ]


def each(runs: Sequence[Told], key: str) -> list[float]:
    """Of a motion row, in ns."""
    return [told[key] / told["rows"] * 1e9 for told in runs]


def main(what: str, root: Path, rows: int) -> None:
    """Work on the first files of a lake and tell what it took; trips are read outside the measure."""
    took, sums, counted, size = Used(0.0, 0.0), (0, 0, 0, 0), 0, 0
    for files, trips in pieces(Lake(root), rows):
        heads = read_files(trips, tables.TRIPS).select(HEADS.names())
        found, more = used(TOOLS[what](files, heads))
        took = Used(took.cpu_s + more.cpu_s, took.wall_s + more.wall_s)
        sums = tuple(a + b for a, b in zip(sums, found[1], strict=True)) if found[1] else sums  # type: ignore[assignment]
        counted += found[0]
        size += sum(file.stat().st_size for file in files)
    told = took._asdict() | {"rows": counted, "peak_mb": memory_mb(), "bytes": size, "sums": sums}
    sys.stdout.write(json.dumps(told))


def pieces(lake: Lake, rows: int) -> list[tuple[list[Path], list[Path]]]:
    """Motion and trip files of the first groups that have so many rows, together as many groups as have AT_ONCE."""
    out: list[tuple[list[Path], list[Path]]] = []
    full = 0
    for group in lake.manifest().groups:
        if rows <= 0:
            break
        if not out or full >= AT_ONCE:
            out.append(([], []))
            full = 0
        of_group = sum(file.rows for file in group.files if file.table == "motion")
        for name, files in zip(("motion", "trips"), out[-1], strict=True):
            files += [lake.sealed / file.path for file in group.files if file.table == name]
        full += of_group
        rows -= of_group
    return out


Work = Callable[[], tuple[int, Sums | None]]


def scan(files: list[Path], _heads: pl.DataFrame) -> Work:
    """Decode the columns that deriving reads; the fastest way of several that were tried."""
    return lambda: (pl.scan_parquet(files).select(READS).collect().height, None)


def derivation(files: list[Path], heads: pl.DataFrame) -> Work:
    """Derive all trips of some files."""

    def work() -> tuple[int, Sums]:
        derived = derive(pl.scan_parquet(files), heads)
        return int(derived.summaries["samples"].sum()), sums_of(derived)

    return work


def sums_of(derived: Derived) -> Sums:
    """What the other tools find, too."""
    heatmap = derived.summaries["va_ms"].explode(empty_as_null=False).struct.field("value")
    swings = derived.summaries["excursions"].explode(empty_as_null=False).struct.unnest()
    braking = pl.col("key") // (ONSET_BANDS * DURATION_CLASSES * PEAK_BINS) == BRAKING
    brakings = swings.filter(braking)["value"].sum()
    return int(derived.summaries["distance_mm"].sum()), int(heatmap.sum()), heatmap.len(), int(brakings)


def other(tool: Callable[[list[Path]], Sums]) -> Callable[[list[Path], pl.DataFrame], Work]:
    """The same by another tool."""

    def worked(files: list[Path], _heads: pl.DataFrame) -> Work:
        rows = pl.scan_parquet(files).select(pl.len()).collect().item()
        return lambda: (rows, tool(files))

    return worked


TOOLS = {"scan": scan, "derive": derivation, "duckdb": other(by_duckdb), "pandas": other(by_pandas)}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
