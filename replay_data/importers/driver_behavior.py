"""driver-behavior (J. Ferreira Jr. et al., 2017): a phone's accelerometer in the Earth's frame, about 51 Hz, no speed.

Named is `acelerometro_terra.csv` of a trip's folder (m/s2, with gravity, z up); `giroscopio_terra.csv` (rad/s) and
`viagem.json` (start, zone) are read where they lie beside it. `aceleracaoLinear_terra.csv` lacks gravity: refused.

The horizontal axes point along the Earth's, not the car's, and turn against the car as it turns: what of an
acceleration is braking and what is turning cannot be told, and without a speed there is no trip either. What the device
finds in such a recording is impacts. The readings are kept for work on the raw signal; the note `frame` says `earth`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, Reading
from replay_data.importers.clock import LAST_MS, Clock
from replay_data.importers.readings import collected, in_order, reading_of
from replay_data.importers.table import Table, header_keys
from replay_data.importers.units import SAME, Unit

NAME: Final = "driver-behavior"
TITLE: Final = "driver-behavior phone IMU"
KEYS: Final = ["timestamp", "uptimenanos", "x", "y", "z"]
GYROSCOPE: Final = "giroscopio_terra.csv"
TRIP: Final = "viagem.json"
MAX_TRIP_BYTES: Final = 65_536
GRAVITY_MPS2: Final = (8.0, 12.0)  # what the median magnitude of an accelerometer in a car lies between
ROWS_FOR_GRAVITY: Final = 500
ACCEL: Final = [BY_NAME[f"accel_{axis}_mps2"] for axis in "xyz"]
GYRO: Final = [BY_NAME[f"gyro_{axis}_dps"] for axis in "xyz"]


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return header_keys(first_bytes) == KEYS


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read an accelerometer's file and what lies beside it. Raises RecordingError where that is not possible."""
    _require_gravity(path)
    table = _table(path)
    readings = collected(path, _samples(table, 0, gyro=False))
    zero_ms = table.clock.first_ms or 0
    beside = path.with_name(GYROSCOPE)
    if beside.is_file() and beside != path:
        gyroscope = _table(beside)
        readings += collected(beside, _samples(gyroscope, zero_ms, gyro=True))
        table.repairs.update(gyroscope.repairs)
    started_at_ms, utc_offset_min, phone = _trip(path.with_name(TRIP), zero_ms)
    ordered = in_order(readings, table.repairs)
    head = RecordingHead(
        source=NAME,
        original=table.original,
        started_at_ms=started_at_ms,
        utc_offset_min=utc_offset_min,
        repairs=dict(table.repairs),
        notes={"frame": "earth"} | ({"phone": phone} if phone else {}),
    )
    return head, ordered


def _table(path: Path) -> Table:
    return Table(path, Clock(_nanoseconds_ms), time_keys=("uptimenanos",))


def _nanoseconds_ms(cell: str) -> int:
    return int(cell) // 1_000_000


def _require_gravity(path: Path) -> None:
    rows = islice(_table(path).rows(), ROWS_FOR_GRAVITY)
    magnitudes = [math.dist((0, 0, 0), [_number(cell) for cell in row.cells[2:5]]) for row in rows]
    typical = median(magnitudes) if magnitudes else 0.0
    if not GRAVITY_MPS2[0] <= typical <= GRAVITY_MPS2[1]:
        found = f"no gravity in it (median {typical:.2f}): a gyroscope or linear acceleration"
        raise RecordingError(str(path), f"{found}; name acelerometro_terra.csv, {GYROSCOPE} beside it is read with it")


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return 0.0


def _samples(table: Table, zero_ms: int, *, gyro: bool) -> Iterator[Reading]:
    """Yield a table's samples; their times count from `zero_ms` of the phone's uptime, if that is not 0."""
    signals, unit = (GYRO, Unit(180 / math.pi)) if gyro else (ACCEL, SAME)
    for row in table.rows():
        t_ms = row.t_ms + ((table.clock.first_ms or 0) - zero_ms if zero_ms else 0)
        if t_ms >= 0:
            for signal, cell in zip(signals, row.cells[2:5], strict=True):
                yield reading_of(t_ms, signal, cell, table.repairs, unit)


def _trip(path: Path, zero_ms: int) -> tuple[int | None, int | None, str]:
    """Start at `zero_ms` of the phone's uptime, offset of local time, phone; None where the file does not tell."""
    try:
        with path.open("rb") as file:
            trip = json.loads(file.read(MAX_TRIP_BYTES))
        start = datetime.strptime(trip["start"], "%Y-%m-%d %H:%M:%S.%f%z")
        since_ms = zero_ms - int(trip["firstCollectionUptimeNanos"]) // 1_000_000
        started_at_ms = round(start.timestamp() * 1_000) + since_ms
        offset = start.utcoffset()
        phone = str(trip.get("smartphoneModel", ""))[:64].encode("utf-8", "replace").decode()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None, None, ""
    if offset is None or not 0 <= started_at_ms < LAST_MS:
        return None, None, phone
    return started_at_ms, round(offset.total_seconds() / 60), phone
