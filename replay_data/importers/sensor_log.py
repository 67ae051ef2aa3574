"""Phone sensor logs: an IMU at 10 to 100 Hz and the phone's receiver, which every row repeats until its next fix.

SensorLog (iOS): `loggingTime(txt)`, `locationTimestamp_since1970(s)`, `locationSpeed(m/s)`,
`accelerometerAccelerationX(G)`, `gyroRotationX(rad/s)`. IKHYD's phone logs: `Timestamp`, `accelX(g)`, `gyroX(rad/s)`,
`Lat`, `Long`, `Speed(m/s)`; where they do not tell the time of a fix, one is read where its cells changed.

Both write Core Motion's acceleration, which is -1 g along an axis that points up at rest (CMAccelerometerData); the
signals are specific force, +1 g there, so its sign is turned. (On three drives at hand the rotation about "up" then has
the sign of the receiver's course rate, r = 0.78, 0.97, 0.97.) Times are local, without a zone; fixes of SensorLog tell
UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers.clock import Clock, iso_ms, local_start, month_name_ms
from replay_data.importers.sparse import sparse_readings
from replay_data.importers.table import Table, header_keys
from replay_data.importers.units import G_MPS2, Unit

NAME: Final = "sensor-log"
TITLE: Final = "phone sensor log CSV"
FIX_TIME: Final = "locationtimestamp_since1970 s"
FROM_CORE_MOTION: Final = Unit(-G_MPS2)
COLUMNS: Final = {
    "locationspeed": "gnss_speed_kmh",
    "locationlatitude": "latitude_deg",
    "locationlongitude": "longitude_deg",
    "locationaltitude": "altitude_m",
    "locationcourse": "gnss_course_deg",
    "accelerometeraccelerationx": "accel_x_mps2",
    "accelerometeraccelerationy": "accel_y_mps2",
    "accelerometeraccelerationz": "accel_z_mps2",
    "gyrorotationx": "gyro_x_dps",
    "gyrorotationy": "gyro_y_dps",
    "gyrorotationz": "gyro_z_dps",
    "speed": "gnss_speed_kmh",
    "lat": "latitude_deg",
    "long": "longitude_deg",
    "alt": "altitude_m",
    "accelx": "accel_x_mps2",
    "accely": "accel_y_mps2",
    "accelz": "accel_z_mps2",
    "gyrox": "gyro_x_dps",
    "gyroy": "gyro_y_dps",
    "gyroz": "gyro_z_dps",
}
QUARTER_MS: Final = 900_000  # offsets of zones are whole quarters of an hour
ROWS_FOR_ZONE: Final = 1_000


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    keys = header_keys(first_bytes)
    return keys[:1] == ["loggingtime txt"] or (keys[:1] == ["timestamp"] and {"accelx g", "speed m/s"} <= set(keys))


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a log. Raises RecordingError where that is not possible."""
    table = _table(path)
    columns = [
        column._replace(unit=FROM_CORE_MOTION) if column.signal.name.startswith("accel") else column
        for column in table.columns(COLUMNS, speed_header="locationSpeed(m/s)", units=True)
    ]
    readings = sparse_readings(table, columns, fix_key=FIX_TIME, fix_on_change=True)
    offset_min, first_ms = _utc_offset_min(path), table.clock.first_ms
    head = RecordingHead(
        source=NAME,
        original=table.original,
        started_at_ms=None if offset_min is None or first_ms is None else first_ms - offset_min * 60_000,
        utc_offset_min=offset_min,
        repairs=dict(table.repairs),
        notes=local_start(first_ms) if offset_min is None else {},
    )
    return head, readings


def _table(path: Path) -> Table:
    with path.open("rb") as file:
        is_sensor_log = file.read(16).startswith(b"loggingTime")
    return Table(path, Clock(iso_ms if is_sensor_log else month_name_ms))


def _utc_offset_min(path: Path) -> int | None:
    """Local time minus UTC, minutes: what a row's time is ahead of its fix, in whole quarters of an hour."""
    table = _table(path)
    if FIX_TIME not in table.keys:
        return None
    position = table.keys.index(FIX_TIME)
    for row in islice(table.rows(), ROWS_FOR_ZONE):
        try:
            fix = datetime.fromtimestamp(float(row.cells[position]), UTC)
        except (ValueError, OverflowError, OSError):
            continue
        ahead_ms = (table.clock.first_ms or 0) + row.t_ms - round(fix.timestamp() * 1_000)
        return round(ahead_ms / QUARTER_MS) * 15
    return None
