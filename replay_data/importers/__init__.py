"""Known formats of recorded trips. A format is a file of this folder and a row of FORMATS; docs/formats.md has each."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers import (
    bmw_can,
    candump,
    car_scanner,
    car_scanner_rows,
    drive_plotr,
    driver_behavior,
    foreign,
    gpx,
    ikhyd,
    kit_obd2,
    ndsbr,
    nmea_log,
    obd_fusion,
    polidriving,
    scene,
    sensor_log,
    torque,
    twizy_ev,
    ubirec,
)
from replay_data.importers.local_time import in_zone

SNIFF_BYTES: Final = 65_536
# A day of bus traffic is less. What is in memory is bounded by MAX_READINGS (readings.py).
MAX_FILE_BYTES: Final = 512 * 2**20


class Importer(Protocol):
    """What a format's module has."""

    @property
    def NAME(self) -> str:  # noqa: N802  a module's constant
        """Short name: `RecordingHead.source` of what it reads."""

    @property
    def TITLE(self) -> str:  # noqa: N802  a module's constant
        """Name that a user is told."""

    def sniff(self, first_bytes: bytes) -> bool:
        """Tell from a file's first bytes whether it is of this format."""

    def read(self, path: Path) -> tuple[RecordingHead, list[Reading]]:
        """Read a file that was recognised; readings strictly rising by time and signal number."""


FORMATS: Final[tuple[Importer, ...]] = (
    ubirec,
    kit_obd2,
    polidriving,
    car_scanner,
    car_scanner_rows,
    torque,
    obd_fusion,
    gpx,
    nmea_log,
    candump,
    ikhyd,
    ndsbr,
    twizy_ev,
    drive_plotr,
    driver_behavior,
    sensor_log,
    bmw_can,
    scene,
)


def load(path: Path | str, zone: str | None = None) -> tuple[RecordingHead, list[Reading]]:
    """Read a recording of any known format.

    Parameters
    ----------
    path : Path or str
    zone : str or None
        IANA name of where it was driven, for a file that does not tell.

    Returns
    -------
    head : RecordingHead
    readings : list of Reading
        Strictly rising by (t_ms, signal number), values in quanta: exactly what `write_recording` would keep.

    Raises
    ------
    RecordingError
        The file cannot be read or is of no known format; the message is one line that says why.
    """
    importer = recognise(path)
    if importer is None:
        raise RecordingError(str(path), _not_known(Path(path)))
    try:
        head, readings = importer.read(Path(path))
        return (head if zone is None else in_zone(head, zone)), readings
    except OSError as error:
        raise RecordingError(str(path), f"cannot be read: {error.strerror}") from error


def recognise(path: Path | str) -> Importer | None:
    """Tell the format of a file; None if it is of none that is known.

    Raises
    ------
    RecordingError
        The file is missing, empty, too large, not a file or may not be read.
    """
    first_bytes = _first_bytes(Path(path))
    return next((importer for importer in FORMATS if importer.sniff(first_bytes)), None)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise RecordingError(str(path), "is a folder; name the recordings in it")
    if path.exists() and not path.is_file():
        raise RecordingError(str(path), "is a pipe or a device, which is read only once; write it to a file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first_bytes = file.read(SNIFF_BYTES)
    except OSError as error:
        raise RecordingError(str(path), f"cannot be read: {error.strerror}") from error
    if not first_bytes:
        raise RecordingError(str(path), "is empty; copy or export it again")
    if size > MAX_FILE_BYTES:
        limit = f"{size / 2**20:,.0f} MB, over {MAX_FILE_BYTES // 2**20} MB"
        raise RecordingError(str(path), f"is {limit}; split it ('split -C 400m', with its header), a trip is enough")
    return first_bytes


def _not_known(path: Path) -> str:
    told = foreign.reason(_first_bytes(path))
    if told is not None:
        return told
    known = ", ".join(dict.fromkeys(importer.TITLE for importer in FORMATS))
    return f"is of no known format; known are: {known}"
