"""Torque Pro track log CSV: the phone writes every channel that was chosen once per row, `-` where it has none.

Columns as the app's logs have them: `GPS Time, Device Time, Longitude, Latitude,GPS Speed (Meters/second), Horizontal
Dilution of Precision, Altitude, Bearing, G(x), ...`, then the channels with their units in brackets. `GPS Time` is
Java's `Fri May 22 07:00:26 EDT 2015` or `Mon Sep 22 10:30:00 GMT+03:00 2019`, `Device Time` `22-May-2015 07:00:25.730`,
both local. Sources: header and row of a log in the tests of a public reader (MpgFile, 2015), the OBD part of the
Taamneh et al. (2017) distracted-driving data set, and several public readers that agree.

The receiver's cells are read where `GPS Time` changed: between two fixes they are copies. A channel of the car may be a
copy as well, which the log does not tell; every row's value is taken. The phone's accelerometer is left out: one value
a row tells nothing of what was between.
"""

from __future__ import annotations

import re
from email.utils import parsedate_tz
from itertools import islice
from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers.clock import Clock, local_start, month_name_ms
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, header_keys

NAME: Final = "torque"
TITLE: Final = "Torque Pro CSV"
LATE_MS: Final = 5_000
FIX: Final = "gps time"
TIME: Final = "device time"
COLUMNS: Final = {
    "speed obd": "speed_kmh",
    "gps speed": "gnss_speed_kmh",
    "speed gps": "gnss_speed_kmh",
    "engine rpm": "rpm",
    "throttle position manifold": "throttle_pct",
    "throttle position": "throttle_pct",
    "engine load": "engine_load_pct",
    "mass air flow rate": "maf_gps",
    "intake manifold pressure": "map_kpa",
    "engine coolant temperature": "coolant_c",
    "intake air temperature": "intake_c",
    "ambient air temp": "ambient_c",
    "fuel level from engine ecu": "fuel_pct",
    "run time since engine start": "run_time_s",
    "distance travelled since codes cleared": "distance_since_clear_km",
    "voltage control module": "module_voltage_v",
    "voltage obd adapter": "adapter_voltage_v",
    "longitude": "longitude_deg",
    "latitude": "latitude_deg",
    "altitude": "altitude_m",
    "gps altitude": "altitude_m",
    "bearing": "gnss_course_deg",
    "gps bearing": "gnss_course_deg",
    "gps satellites": "gnss_satellites",
}
ROWS_FOR_ZONE: Final = 1_000
JAVA_DATE: Final = re.compile(r"(\w{3} \w{3} \d+ [\d:]+) (?:GMT|UTC)?(?:([-+]\d\d):?(\d\d)|([A-Z]{3,5})?) ?(\d{4})")
# Minutes east of UTC of abbreviations that mean one zone; RFC 2822 has those of North America.
ABBREVIATIONS: Final = {"WET": 0, "WEST": 60, "CET": 60, "CEST": 120, "EET": 120, "EEST": 180, "MSK": 180, "JST": 540}


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return {FIX, TIME} <= set(header_keys(first_bytes)[:2]) or header_keys(first_bytes)[:1] == [TIME]


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible."""
    table = _table(path)
    columns = table.columns(COLUMNS, speed_header="Speed (OBD)(km/h)", units=True)
    readings = sparse_readings(table, columns, fix_key=FIX)
    offset_min = _utc_offset_min(path)
    first_ms = table.clock.first_ms
    started_at_ms = None if offset_min is None or first_ms is None else first_ms - offset_min * 60_000
    head = RecordingHead(
        source=NAME,
        original=table.original,
        started_at_ms=started_at_ms,
        utc_offset_min=offset_min,
        repairs=dict(table.repairs),
        notes={} if started_at_ms is not None else local_start(first_ms),
    )
    return head, readings


def _table(path: Path) -> Table:
    return Table(path, Clock(month_name_ms, LATE_MS), time_keys=(TIME,))


def _utc_offset_min(path: Path) -> int | None:
    """Local time minus UTC, minutes, of the first row whose `GPS Time` tells a zone that is one."""
    table = _table(path)
    if FIX not in table.keys:
        return None
    position = table.keys.index(FIX)
    offsets = (offset_of(row.cells[position]) for row in islice(table.rows(), ROWS_FOR_ZONE))
    return next((offset for offset in offsets if offset is not None), None)


def offset_of(java_date: str) -> int | None:
    """Local time minus UTC, minutes, of a Java date; None where its abbreviation is none or means several zones."""
    match = JAVA_DATE.fullmatch(java_date.strip())
    if match is None:
        return None
    day, hours, minutes, abbreviation, year = match.groups()
    if hours is not None:
        return int(hours) * 60 + int(hours[0] + minutes)
    if abbreviation is None:
        return 0 if re.search("GMT|UTC", java_date) else None
    if abbreviation in ABBREVIATIONS:
        return ABBREVIATIONS[abbreviation]
    told = parsedate_tz(f"{day} {year} {abbreviation}")
    known = told is not None and told[9] is not None and abbreviation[0] in "ECMP" and abbreviation[1:] in {"ST", "DT"}
    return told[9] // 60 if known and told is not None and told[9] is not None else None
