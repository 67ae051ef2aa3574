"""Run the matrix and print it.

    python -m tests.chaos [--fault NAME ...] [--seeds N] [--cars N]

Prints fault x severity: how many cells moved, were flagged, stayed; writes bench-results/chaos.json with every cell.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Final

from tqdm import tqdm

from tests.chaos.matrix import CARS, FAULTS, SEEDS, Cell, Matrix, drives
from tests.reference_model import reference_model

CACHE: Final = Path(".pytest_cache") / "d" / "reference-model"  # where the tests keep it
RESULTS: Final = Path("bench-results") / "chaos.json"


def main(arguments: list[str]) -> int:
    """Return 0 if no cell moved without a flag, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--fault", nargs="+", choices=[fault.name for fault in FAULTS], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--cars", type=int, default=CARS)
    options = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if options.fault is None or fault.name in options.fault]
    logging.disable(logging.WARNING)  # the reference model says of each run that it is a diagnostic
    began_s, cells = time.process_time(), list[Cell]()
    with tempfile.TemporaryDirectory() as name:
        matrix = Matrix(drives(options.cars), reference_model(CACHE), Path(name))
        runs = [(fault, s, seed) for fault in chosen for s in range(3) for seed in range(options.seeds)]
        for run in tqdm(runs, unit="run", disable=None):
            cells += matrix.run(*run)
    print(table(cells))
    print(
        f"{len(cells)} cells, {options.cars} trips, {options.seeds} seeds, {time.process_time() - began_s:.0f} s of CPU"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    told = [cell._asdict() | {"new_flags": sorted(cell.new_flags), "verdict": cell.verdict} for cell in cells]
    RESULTS.write_text(json.dumps(told), encoding="utf-8")
    return int(any(cell.verdict == "moved" for cell in cells))


def table(cells: list[Cell]) -> str:
    """A line for each fault and severity."""
    title = "year: worst unflagged  alone: worst unflagged  all struck: median, worst  unflagged: worst  km: median"
    lines = [f"{'fault':<12}{'amount':>9}  {'unmoved':>7} {'flagged':>7} {'moved':>6}  {title}"]
    for fault in FAULTS:
        for severity, amount in enumerate(fault.amounts):
            mine = [cell for cell in cells if (cell.fault, cell.severity) == (fault.name, severity)]
            if not mine:
                continue
            count = Counter(cell.verdict for cell in mine)
            quiet = [cell for cell in mine if not cell.new_flags]
            struck = {cell.seed: abs(cell.struck) for cell in mine}.values()
            untold = max(abs(cell.quiet) for cell in mine)
            lines.append(
                f"{fault.name:<12}{amount:>9g}  {count['unmoved']:>7} {count['flagged']:>7} {count['moved']:>6}  "
                f"{max((abs(cell.year) for cell in quiet), default=0):>12.2%}"
                f"{max((abs(cell.alone or 0) for cell in quiet), default=0):>24.2%}"
                f"{median(struck):>22.2%} {max(struck):>7.2%} {untold:>17.2%} "
                f"{median(cell.km for cell in mine):>14.2%}  {fault.unit}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
