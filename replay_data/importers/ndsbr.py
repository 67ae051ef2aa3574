"""NDS-BR CSV (Brazilian naturalistic driving, Curitiba): 1 Hz, `;` between columns, decimal comma, `NPI` = not known.

One file holds the trips of a driver, one after the other. `SPD_KMH` is the receiver's speed, `LIMITE_VEL` the limit of
the street in km/h, `DAY_CORRIGIDO` and `PR` the local date and time. `ALTITUDE_FT` lost its decimal point and is left
out, and so is what no signal stands for (phone use, seat belt, street).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers.clock import DAY_MS, Clock, local_ms, started, time_of_day_ms
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, header_keys

NAME: Final = "ndsbr"
TITLE: Final = "NDS-BR CSV"
ZONE: Final = "America/Sao_Paulo"
TIME: Final = ("day_corrigido", "pr")
NOTHING: Final = frozenset({"", "NPI"})
COLUMNS: Final = {
    "spd_kmh": "gnss_speed_kmh",
    "heading": "gnss_course_deg",
    "lat": "latitude_deg",
    "long": "longitude_deg",
    "limite_vel": "limit_kmh",
}


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return {"driver", *TIME, "limite_vel"} <= set(header_keys(first_bytes))


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a driver's trips. Raises RecordingError where that is not possible."""
    table = _table(path)
    readings = sparse_readings(table, table.columns(COLUMNS, speed_header="SPD_KMH"))
    first_ms = table.clock.first_ms or 0
    day = date.fromordinal(date(1970, 1, 1).toordinal() + first_ms // DAY_MS)
    started_at_ms, utc_offset_min = started(day, first_ms % DAY_MS, ZONE)
    position = table.keys.index("driver")
    head = RecordingHead(
        source=NAME,
        original=table.original,
        driver=next((row.cells[position][:64] for row in _table(path).rows()), ""),
        started_at_ms=started_at_ms,
        utc_offset_min=utc_offset_min,
        repairs=dict(table.repairs),
        notes={"zone": ZONE},
    )
    return head, readings


def _table(path: Path) -> Table:
    return Table(path, Clock(_local_ms), time_keys=TIME, delimiter=";", decimal=",", nothing=NOTHING)


def _local_ms(cell: str) -> int:
    """Local ms since 1970, as if it were UTC, of D/M/YYYY HH:MM:SS."""
    try:
        told, at = cell.split()
        day, month, year = (int(part) for part in told.split("/"))
        return local_ms(date(year, month, day), time_of_day_ms(at))
    except ValueError:
        raise ValueError(f"{cell[:40]!r} is not a time D/M/YYYY HH:MM:SS") from None
