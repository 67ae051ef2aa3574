"""Twizy CSV (electric car, Rabat): 1 Hz, the car's speed and the receiver's, the speed limit, and no RPM.

The logger wrote some dates wrong in mid-drive (`03/00/2000`) while its time of day ran on, so the time of day is the
clock and the date is the first row's that is one, month first. The files do not tell the zone; local time of where it
was driven is assumed. `Soc` is a battery's charge, which no signal stands for; `Temperature` is a weather service's.
"""

from __future__ import annotations

from datetime import date
from itertools import islice
from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers.clock import DayClock, started
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, header_keys

NAME: Final = "twizy-ev"
TITLE: Final = "Twizy EV CSV"
ZONE: Final = "Africa/Casablanca"
TIME: Final = ("time",)
ROWS_FOR_DATE: Final = 1_000
COLUMNS: Final = {
    "speed": "speed_kmh",
    "gpsspeed": "gnss_speed_kmh",
    "lat": "latitude_deg",
    "lon": "longitude_deg",
    "alt": "altitude_m",
    "speedlimit": "limit_kmh",
}


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return {"date", "time", "soc", "speed", "speedlimit"} <= set(header_keys(first_bytes))


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible."""
    table = Table(path, DayClock(), time_keys=TIME)
    readings = sparse_readings(table, table.columns(COLUMNS, speed_header="Speed"))
    started_at_ms, utc_offset_min = started(_day(path), table.clock.first_ms, ZONE)
    head = RecordingHead(
        source=NAME,
        original=table.original,
        vehicle="Renault Twizy",
        started_at_ms=started_at_ms,
        utc_offset_min=utc_offset_min,
        repairs=dict(table.repairs),
        notes={"zone": ZONE},
    )
    return head, readings


def _day(path: Path) -> date | None:
    table = Table(path, DayClock(), time_keys=TIME)
    position = table.keys.index("date")
    days = (_date(row.cells[position]) for row in islice(table.rows(), ROWS_FOR_DATE))
    return next((day for day in days if day is not None), None)


def _date(cell: str) -> date | None:
    try:
        month, day, year = (int(part) for part in cell.split("/"))
        return date(year, month, day)
    except (ValueError, OverflowError):
        return None
