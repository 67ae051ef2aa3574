"""OBD Fusion CSV (`CSVLog_YYYYMMDD_HHMMSS.csv`, also OBDLink's and OBDwiz's): seconds since a start that line 1 tells.

    # StartTime = 12/07/2018 06:20:21.1830 PM
    Time (sec), Vehicle speed (MPH), Engine RPM (RPM), ...

The start is local, without a zone; month first, as in the logs that public readers were written for (they skip line 1,
take ` Engine RPM (RPM)` with its blank, and split the start at blanks into date, time, AM or PM). The file's name tells
the same second and cannot be misread, so it goes first. Units are those the user chose in the app and stand in the
header. A row has a value for every channel, refreshed or not, which the log does not tell; every row's is taken.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers.clock import Clock, local_start, seconds_ms
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import MAX_LINE_CHARS, Table, header_keys

NAME: Final = "obd-fusion"
TITLE: Final = "OBD Fusion CSV"
COLUMNS: Final = {
    "vehicle speed": "speed_kmh",
    "gps speed": "gnss_speed_kmh",
    "engine rpm": "rpm",
    "absolute throttle position": "throttle_pct",
    "calculated load value": "engine_load_pct",
    "calculated engine load": "engine_load_pct",
    "calculated engine load value": "engine_load_pct",
    "mass air flow rate": "maf_gps",
    "intake manifold absolute pressure": "map_kpa",
    "engine coolant temperature": "coolant_c",
    "intake air temperature": "intake_c",
    "ambient air temperature": "ambient_c",
    "fuel level input": "fuel_pct",
    "time since engine start": "run_time_s",
    "distance since diagnostic trouble codes cleared": "distance_since_clear_km",
    "odometer": "odometer_km",
    "control module voltage": "module_voltage_v",
    "accelerator pedal position d": "pedal_d_pct",
    "accelerator pedal position e": "pedal_e_pct",
    "latitude": "latitude_deg",
    "longitude": "longitude_deg",
    "altitude": "altitude_m",
    "bearing": "gnss_course_deg",
}
MARKS: Final = {"time sec", "time s"}
MAX_ABOVE: Final = 20
START: Final = re.compile(r"#\s*StartTime\s*=\s*(?P<day>[\d/.-]+)\s+(?P<at>[\d:.]+)\s*(?P<half>[AP]M)?", re.IGNORECASE)
FILE_NAME: Final = re.compile(r"CSVLog_(\d{8}_\d{6})", re.IGNORECASE)


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    above = _above(first_bytes)
    keys = header_keys(first_bytes, above + 1)
    return bool(MARKS & set(keys[:1])) and (above > 0 or any("vehicle speed" in key for key in keys))


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible."""
    with path.open("rb") as file:
        first_bytes = file.read(MAX_LINE_CHARS)
    table = Table(path, Clock(seconds_ms), above=_above(first_bytes))
    readings = sparse_readings(table, table.columns(COLUMNS, speed_header="Vehicle speed (km/h)", units=True))
    start_ms = _start_ms(path, first_bytes.decode("utf-8-sig", "replace"))
    head = RecordingHead(
        source=NAME,
        original=table.original,
        repairs=dict(table.repairs),
        notes=local_start(None if start_ms is None else start_ms + (table.clock.first_ms or 0)),
    )
    return head, readings


def _above(first_bytes: bytes) -> int:
    """Lines above the header: all begin with #."""
    lines = first_bytes.removeprefix(b"\xef\xbb\xbf").split(b"\n", MAX_ABOVE)
    return next((number for number, line in enumerate(lines) if not line.lstrip().startswith(b"#")), MAX_ABOVE)


def _start_ms(path: Path, text: str) -> int | None:
    """Local start, ms since 1970 as if it were UTC."""
    if match := FILE_NAME.match(path.name):
        return _parsed_ms(match[1], "%Y%m%d_%H%M%S")
    if match := START.search(text):
        half = match["half"] or ""
        at = match["at"].partition(".")[0]
        return _parsed_ms(f"{match['day']} {at} {half}".strip(), f"%m/%d/%Y {'%I:%M:%S %p' if half else '%H:%M:%S'}")
    return None


def _parsed_ms(text: str, form: str) -> int | None:
    try:
        told = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None
    return round(told.timestamp() * 1000)
