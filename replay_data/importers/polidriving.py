"""POLIDriving consolidated CSV (EPN Quito, `name_YYYYMMDD_HHMMSS_col.csv`): one row a second, null = not read.

Found in the data: the speed of a second is the LARGEST of the app's readings in it (all 5,840 of the drive that stands
beside its raw log), so its distance is up to 1 % long: 96.34 km against 95.71 km raw.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers.clock import DayClock, day_in, started, time_of_day_ms
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, header_keys

NAME: Final = "polidriving"
TITLE: Final = "POLIDriving consolidated CSV"
ZONE: Final = "America/Guayaquil"
LATE_MS: Final = 60_000
COLUMNS: Final = {
    "speed": "speed_kmh",
    "rpm": "rpm",
    "throttle_position": "throttle_pct",
    "engine_temperature": "coolant_c",
    "system_voltage": "module_voltage_v",
    "engine_load_value": "engine_load_pct",
    "altitude": "altitude_m",
    "latitude": "latitude_deg",
    "longitude": "longitude_deg",
}
FILE_NAME: Final = re.compile(
    r"(?P<driver>[^_]+)_(?P<day>\d{8})_(?P<hh>\d\d)(?P<mm>\d\d)(?P<ss>\d\d)_(col|raw)", re.ASCII
)


class FileName(NamedTuple):
    """What a POLIDriving file name tells; `started_at_ms` and `utc_offset_min` as in RecordingHead."""

    driver: str
    started_at_ms: int | None
    utc_offset_min: int | None


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    keys = header_keys(first_bytes)
    return keys[:1] == ["time"] and {"id_vehicle", "id_driver"} <= set(keys)


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible."""
    table = Table(path, DayClock(LATE_MS))
    readings = sparse_readings(table, table.columns(COLUMNS, speed_header="speed"))
    name = file_name(path, table.clock.first_ms)
    head = RecordingHead(
        source=NAME,
        original=table.original,
        vehicle=_vehicle(path),
        driver=name.driver,
        started_at_ms=name.started_at_ms,
        utc_offset_min=name.utc_offset_min,
        repairs=dict(table.repairs),
        notes={"zone": ZONE},
    )
    return head, readings


def file_name(path: Path, first_ms: int | None) -> FileName:
    """Driver and start of a drive from its file name; the name's time tells on which side of midnight row one is."""
    match = FILE_NAME.match(path.name)
    day = day_in(match["day"]) if match else None
    if match is None or day is None or first_ms is None:
        return FileName("", None, None)
    try:
        named_ms = time_of_day_ms(f"{match['hh']}:{match['mm']}:{match['ss']}")
    except ValueError:
        named_ms = first_ms
    if first_ms < named_ms - 43_200_000:
        day += timedelta(days=1)
    return FileName(match["driver"], *started(day, first_ms, ZONE))


def _vehicle(path: Path) -> str:
    table = Table(path, DayClock(LATE_MS))
    position = table.keys.index("id_vehicle")
    return next((f"POLIDriving vehicle {row.cells[position]}" for row in table.rows() if row.cells[position]), "")
