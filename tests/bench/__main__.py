"""Run the benchmarks, or the one that is named; print each table and write bench-results/NAME.json."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import tests.bench
from tests.bench.row import Row

RESULTS = Path("bench-results")
NOT_BENCHMARKS = {
    "__main__",
    "drives",
    "fleet_cars",
    "fremtpl2",
    "imu_drives",
    "imu_rows",
    "labelled_drives",
    "measure",
    "big_lake",
    "other_tools",
    "outbox_drive",
    "paho_client",
    "peers",
    "publisher",
    "row",
    "small_claims",
    "style_data",
    "worker",
}


def main(wanted: list[str]) -> int:
    """Return 0 if all ran, whether or not goals were met; 2 for a name that is none."""
    names = sorted({module.name for module in pkgutil.iter_modules(tests.bench.__path__)} - NOT_BENCHMARKS)
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        sys.stderr.write(f"bench: there is no benchmark {unknown[0]!r}; there are: {', '.join(names) or 'none'}\n")
        return 2
    RESULTS.mkdir(exist_ok=True)
    for name in wanted or names:
        rows: list[Row] = importlib.import_module(f"tests.bench.{name}").run()
        (RESULTS / f"{name}.json").write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
        print(f"\n{name}\n{table(rows)}", flush=True)
    return 0


def table(rows: list[Row]) -> str:
    """Align rows in columns; an unknown value is a dash."""
    cells = [Row._fields, *(tuple(_cell(value) for value in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "NO"
        case float():
            return f"{value:.5g}"
        case _:
            return str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
