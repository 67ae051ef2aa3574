"""Car Scanner type CSV (`*_raw.csv` of POLIDriving): one signal a row as it arrived, all other cells empty."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers import polidriving
from replay_data.importers.clock import DayClock
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, column_key, header_cells
from replay_data.importers.units import split_unit

NAME: Final = "car-scanner"
TITLE: Final = "Car Scanner CSV"
LATE_MS: Final = 60_000
# Names of the app's channels, in English; units come from the header.
COLUMNS: Final = {
    "vehicle speed": "speed_kmh",
    "speed gps": "gnss_speed_kmh",
    "engine rpm": "rpm",
    "throttle position": "throttle_pct",
    "absolute throttle position": "throttle_pct",
    "calculated engine load value": "engine_load_pct",
    "maf air flow rate": "maf_gps",
    "engine coolant temperature": "coolant_c",
    "intake air temperature": "intake_c",
    "ambient air temperature": "ambient_c",
    "intake manifold absolute pressure": "map_kpa",
    "fuel level input": "fuel_pct",
    "time run with engine start": "run_time_s",
    "odometer": "odometer_km",
    "obd module voltage": "adapter_voltage_v",
    "control module voltage": "module_voltage_v",
    "altitude gps": "altitude_m",
    "latitude": "latitude_deg",
    "longitude": "longitude_deg",
    "longtitude": "longitude_deg",  # as the app spells it
}
MARKS: Final = {"vehicle speed", "engine rpm", "speed gps", "latitude", "longtitude"}


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    cells = header_cells(first_bytes)
    return [column_key(cell) for cell in cells[:1]] == ["time"] and len(MARKS & {_name(cell) for cell in cells}) >= 2


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible.

    The format tells neither date nor zone; they are known for a file that is named as POLIDriving names its logs.
    """
    table = Table(path, DayClock(LATE_MS))
    readings = sparse_readings(table, table.columns(COLUMNS, speed_header="Vehicle speed (km/h)", units=True))
    name = polidriving.file_name(path, table.clock.first_ms)
    head = RecordingHead(
        source=NAME,
        original=table.original,
        driver=name.driver,
        started_at_ms=name.started_at_ms,
        utc_offset_min=name.utc_offset_min,
        repairs=dict(table.repairs),
        notes={} if name.started_at_ms is None else {"zone": polidriving.ZONE},
    )
    return head, readings


def _name(cell: str) -> str:
    return column_key(split_unit(cell)[0])
