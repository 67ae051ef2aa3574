"""Car Scanner type CSV (`*_raw.csv` of POLIDriving): one signal a row as it arrived, all other cells empty."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers import polidriving
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, header_keys

NAME: Final = "car-scanner"
TITLE: Final = "Car Scanner CSV"
LATE_MS: Final = 60_000
# By the unit as well: a column in mph or degrees F has another key and is not taken for km/h or degrees C.
COLUMNS: Final = {
    "vehicle speed km/h": "speed_kmh",
    "speed gps km/h": "gnss_speed_kmh",
    "engine rpm rpm": "rpm",
    "throttle position %": "throttle_pct",
    "calculated engine load value %": "engine_load_pct",
    "engine coolant temperature": "coolant_c",  # its unit is the one character for degrees Celsius, not ASCII
    "engine coolant temperature c": "coolant_c",
    "intake air temperature": "intake_c",
    "intake air temperature c": "intake_c",
    "intake manifold absolute pressure kpa": "map_kpa",
    "obd module voltage v": "module_voltage_v",
    "altitude gps m": "altitude_m",
    "latitude": "latitude_deg",
    "longitude": "longitude_deg",
    "longtitude": "longitude_deg",  # as the app spells it
}
MARKS: Final = {"vehicle speed km/h", "engine rpm rpm", "speed gps km/h", "vehicle speed mph", "latitude", "longtitude"}


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    keys = header_keys(first_bytes)
    return keys[:1] == ["time"] and len(MARKS & set(keys)) >= 2


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible.

    The format tells neither date nor zone; they are known for a file that is named as POLIDriving names its logs.
    """
    table = Table(path, LATE_MS)
    readings = sparse_readings(table, table.columns(COLUMNS, speed_header="Vehicle speed (km/h)"))
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
