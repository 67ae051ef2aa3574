"""Car Scanner CSV by rows (`YYYY-MM-DD HH-MM-SS.csv`): one reading a row, semicolons between.

    "SECONDS";"PID";"VALUE";"UNITS";"LATITUDE";"LONGTITUDE";
    "30189.243321";"Vehicle speed";"54";"km/h";"40.9135431";"29.2909024";

Each row is a reading at its own time. `SECONDS` has a zero of its own (often midnight), the file's name tells the local
start, nothing the zone. Latitude and longitude stand on every row, 0 before the first fix. Source: published samples
and format notes of four public readers. The app names channels in its own language; English names are known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, Reading
from replay_data.importers.car_scanner import COLUMNS
from replay_data.importers.clock import Clock, day_in, local_ms, local_start, seconds_ms, time_of_day_ms
from replay_data.importers.readings import SPEEDS, collected, in_order, reading_of
from replay_data.importers.table import Table, column_key, header_keys
from replay_data.importers.units import conversion

NAME: Final = "car-scanner"
TITLE: Final = "Car Scanner CSV by rows"
LATE_MS: Final = 60_000
FILE_NAME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ _](\d\d-\d\d-\d\d)")
CHANNELS_TOLD: Final = 5


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return header_keys(first_bytes)[:4] == ["seconds", "pid", "value", "units"]


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible."""
    table = Table(path, Clock(seconds_ms, LATE_MS), delimiter=";")
    unknown: Counter[str] = Counter()
    readings = in_order(collected(path, _readings(table, unknown)), table.repairs)
    if not any(reading.signal in SPEEDS and reading.value is not None for reading in readings):
        found = ", ".join(repr(name) for name, _ in unknown.most_common(CHANNELS_TOLD))
        fault = f"no channel 'Vehicle speed' or 'Speed (GPS)' (found: {found}); set the app to English and record both"
        raise RecordingError(str(path), fault)
    head = RecordingHead(
        source=NAME,
        original=table.original,
        repairs=dict(table.repairs),
        notes=local_start(_named_ms(path)),
    )
    return head, readings


def _named_ms(path: Path) -> int | None:
    """Local start that the file's name tells, ms since 1970 as if it were UTC."""
    match = FILE_NAME.match(path.name)
    day = day_in(match[1]) if match else None
    if match is None or day is None:
        return None
    try:
        return local_ms(day, time_of_day_ms(match[2].replace("-", ":")))
    except ValueError:
        return None


def _readings(table: Table, unknown: Counter[str]) -> Iterator[Reading]:
    with_place = table.keys[4:6] in (["latitude", "longtitude"], ["latitude", "longitude"])
    before: list[str] = []
    for row in table.rows():
        _, channel, value, told = (cell.strip() for cell in row.cells[:4])
        signal = BY_NAME.get(COLUMNS.get(column_key(channel), ""))
        unit = conversion(signal, told) if signal else None
        if signal is None:
            unknown[channel[:80]] += 1
        elif unit is None:
            table.repairs[f"unknown_unit_{signal.name}"] += 1
        elif value not in table.nothing:
            yield reading_of(row.t_ms, signal, value, table.repairs, unit)
        if with_place and row.cells[4:6] != before:
            before = row.cells[4:6]
            fix = [
                reading_of(row.t_ms, BY_NAME[name], cell.strip(), table.repairs)
                for name, cell in zip(("latitude_deg", "longitude_deg"), before, strict=True)
            ]
            if all(reading.value is not None for reading in fix) and any(reading.value for reading in fix):
                yield from fix
