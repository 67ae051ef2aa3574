"""drive-plotr-nds (Parquet): 28 drives of one car in one table, 1 Hz, speed in mph.

`speed_source` tells whether a row's speed is the receiver's or the car's. `gps_heading_raw` is the course;
`gps_heading` was made continuous and passes 360. The accelerometer is left out: one value a second tells nothing of
what was between. Source of the columns: the help page of the R package driveplotr, `nds_data`.

Parquet is read by Polars, which the insurer's installation has and the car's has not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, Reading
from replay_data.importers.clock import Clock, utc_offset_min
from replay_data.importers.readings import MAX_READINGS, collected, in_order, number_reading, require_speed
from replay_data.importers.units import KMH_PER_MPH, SAME, Unit

NAME: Final = "drive-plotr-nds"
TITLE: Final = "drive-plotr-nds Parquet"
ZONE: Final = "America/Chicago"
MAGIC: Final = b"PAR1"
TIME: Final = "time_utc"
SPEED: Final = "speed_mph"
SOURCE: Final = "speed_source"
SPEED_OF: Final = {"gps": "gnss_speed_kmh", "obd": "speed_kmh"}
COLUMNS: Final = {
    "gps_lat": ("latitude_deg", SAME),
    "gps_long": ("longitude_deg", SAME),
    "gps_elevation": ("altitude_m", SAME),
    "gps_heading_raw": ("gnss_course_deg", SAME),
    "gps_hdop": ("gnss_hdop", SAME),
    "gps_sats": ("gnss_satellites", SAME),
    "engine_rpm": ("rpm", SAME),
    "engine_throttle": ("throttle_pct", SAME),
}
NEEDS_POLARS: Final = (
    "is Parquet, which needs Polars: pip install 'ubi[insurer]', or import it there with 'ubi replay import' and play "
    "the .ubirec here"
)


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is Parquet; whose columns they are, `read` finds."""
    return first_bytes.startswith(MAGIC)


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read the drives. Raises RecordingError where that is not possible."""
    clock = Clock(lambda cell: round(float(cell) * 1_000))
    readings = collected(path, _readings(_rows(path), clock))
    require_speed(path, readings, clock.repairs)
    ordered = in_order(readings, clock.repairs)
    head = RecordingHead(
        source=NAME,
        original=path.name.encode("utf-8", "replace").decode(),
        started_at_ms=clock.first_ms,
        utc_offset_min=utc_offset_min(clock.first_ms or 0, ZONE),
        repairs=dict(clock.repairs),
        notes={"zone": ZONE},
    )
    return head, ordered


def _readings(rows: Iterator[dict[str, Any]], clock: Clock) -> Iterator[Reading]:
    for row in rows:
        if row[TIME] is None or not math.isfinite(row[TIME]):
            clock.repairs["damaged_rows"] += 1
            continue
        t_ms = clock.read(str(row[TIME]))
        if row[SOURCE] in SPEED_OF:
            yield from _told(t_ms, SPEED_OF[row[SOURCE]], row[SPEED], Unit(KMH_PER_MPH), clock.repairs)
        for column, (name, unit) in COLUMNS.items():
            yield from _told(t_ms, name, row[column], unit, clock.repairs)


def _told(t_ms: int, name: str, value: float | None, unit: Unit, repairs: Counter[str]) -> Iterator[Reading]:
    if value is not None:
        yield number_reading(t_ms, BY_NAME[name], value * unit.factor + unit.offset, repairs)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import polars as pl  # noqa: PLC0415  the car's installation has none
    except ImportError:
        raise RecordingError(str(path), NEEDS_POLARS) from None
    wanted = [TIME, SPEED, SOURCE, *COLUMNS]
    try:
        table = pl.scan_parquet(path)
        missing = [column for column in wanted if column not in table.collect_schema().names()]
        if missing:
            known = f"is Parquet, but not of {NAME}: no column {missing[0]!r}"
            raise RecordingError(str(path), f"{known}; export another table as CSV of a known format")
        if table.select(pl.len()).collect().item() > MAX_READINGS:
            raise RecordingError(str(path), f"over {MAX_READINGS:,} rows; split the file, a trip is enough")
        return table.select(wanted).cast({c: pl.Float64 for c in wanted if c != SOURCE}).collect().iter_rows(named=True)
    except pl.exceptions.PolarsError as error:
        raise RecordingError(str(path), f"is damaged Parquet: {str(error).splitlines()[0]}") from error
