"""CAN log of the bmw-can-phone recordings (BMW M235i, Austin): the car's own speed in mph, about 12 Hz.

`Lateral Gs` and `Acceleration Gs` are the car's, of two decimals and without gravity: no raw accelerometer, left out.
The time is local and the zone is not told. A position is the receiver's last; a repeated one is no reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers.clock import Clock, iso_ms, local_start
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, header_keys

NAME: Final = "bmw-can"
TITLE: Final = "BMW CAN CSV"
COLUMNS: Final = {
    "speed": "speed_kmh",
    "engine rpm": "rpm",
    "throttle position": "throttle_pct",
    "latitude / y position": "latitude_deg",
    "longitude / x position": "longitude_deg",
}


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    keys = header_keys(first_bytes)
    return keys[:2] == ["time", "seconds"] and {"speed mph", "lateral gs"} <= set(keys)


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible."""
    table = Table(path, Clock(iso_ms))
    readings = sparse_readings(table, table.columns(COLUMNS, speed_header="Speed (MPH)", units=True))
    head = RecordingHead(
        source=NAME,
        original=table.original,
        vehicle="BMW M235i",
        repairs=dict(table.repairs),
        notes=local_start(table.clock.first_ms),
    )
    return head, readings
