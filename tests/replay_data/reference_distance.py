"""Distance of a recording by nothing but its speeds and their times, to hold against the device's path.

    python -m tests.replay_data.reference_distance FILES...

fresh   trapezoid over the fresh speed readings, gaps over 5 s not integrated: the reference
rows    the same over every row of a KIT file, stale copies as if they were read
low     fresh, each interval at the lower of its two speeds (a car that changed speed as late, or as soon, as it could)
high    fresh, each interval at the higher
gaps    what a straight line over the gaps would add, and how long they are in all
"""

from __future__ import annotations

import csv
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from device.contract.signals import Reading
from replay_data.importers import load, recognise

BRIDGE_MS = 5_000
KMH_MS_IN_KM = 3_600_000


class Distance(NamedTuple):
    """Distances in km; `gap_s` is the time that was not integrated."""

    fresh: float
    low: float
    high: float
    gaps: float
    gap_s: float


def distance(speeds: list[tuple[int, float]]) -> Distance:
    """Integrate (t_ms, km/h) pairs."""
    fresh = low = high = gaps = gap_s = 0.0  # km/h ms, but for gap_s
    for (t0, v0), (t1, v1) in pairwise(speeds):
        if t1 - t0 > BRIDGE_MS:
            gaps += (v0 + v1) / 2 * (t1 - t0)
            gap_s += (t1 - t0) / 1000
            continue
        fresh += (v0 + v1) / 2 * (t1 - t0)
        low += min(v0, v1) * (t1 - t0)
        high += max(v0, v1) * (t1 - t0)
    return Distance(fresh / KMH_MS_IN_KM, low / KMH_MS_IN_KM, high / KMH_MS_IN_KM, gaps / KMH_MS_IN_KM, gap_s)


def fresh_speeds(readings: list[Reading]) -> list[tuple[int, float]]:
    """Pairs of time and speed of the readings that hold a speed."""
    return [(r.t_ms, r.value) for r in readings if r.signal == "speed_kmh" and r.value is not None]


def row_speeds(path: Path, speed_header: str) -> list[tuple[int, float]]:
    """Pairs of time and speed of every row, read without the importer."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        time_cell, speed_cell = 0, header.index(speed_header)
        return [(day_ms(row[time_cell]), float(row[speed_cell])) for row in rows if row[speed_cell]]


def day_ms(cell: str) -> int:
    """Milliseconds since midnight of HH:MM:SS.fff."""
    hours, minutes, seconds = cell.split(":")
    return round((int(hours) * 3_600 + int(minutes) * 60 + float(seconds)) * 1000)


def main(names: list[str]) -> None:
    """Print the table."""
    print(f"{'file':52} {'fresh km':>9} {'rows km':>9} {'low':>8} {'high':>8} {'gaps km':>8} {'gap s':>6}")  # noqa: T201
    for name in names:
        path = Path(name)
        d = distance(fresh_speeds(load(path)[1]))
        importer = recognise(path)
        kit = importer is not None and importer.NAME == "kit-obd2"
        rows = f"{distance(row_speeds(path, 'Vehicle Speed Sensor [km/h]')).fresh:9.3f}" if kit else " " * 9
        print(f"{path.name:52} {d.fresh:9.3f} {rows} {d.low:8.3f} {d.high:8.3f} {d.gaps:8.3f} {d.gap_s:6.0f}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
