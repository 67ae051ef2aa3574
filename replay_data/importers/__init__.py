"""Known formats of recorded trips. A format is a file of this folder and a row of FORMATS; docs/formats.md has each."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers import (
    candump,
    car_scanner,
    car_scanner_rows,
    gpx,
    kit_obd2,
    nmea_log,
    obd_fusion,
    polidriving,
    torque,
    ubirec,
)

SNIFF_BYTES: Final = 65_536


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
)


def load(path: Path | str) -> tuple[RecordingHead, list[Reading]]:
    """Read a recording of any known format.

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
        return importer.read(Path(path))
    except OSError as error:
        raise RecordingError(str(path), f"cannot be read: {error.strerror}") from error


def recognise(path: Path | str) -> Importer | None:
    """Tell the format of a file; None if it is of none that is known.

    Raises
    ------
    RecordingError
        The file is missing, empty, not a file or may not be read.
    """
    first_bytes = _first_bytes(Path(path))
    return next((importer for importer in FORMATS if importer.sniff(first_bytes)), None)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise RecordingError(str(path), "is a folder; name the recordings in it")
    try:
        with path.open("rb") as file:
            first_bytes = file.read(SNIFF_BYTES)
    except OSError as error:
        raise RecordingError(str(path), f"cannot be read: {error.strerror}") from error
    if not first_bytes:
        raise RecordingError(str(path), "is empty")
    return first_bytes


def _not_known(path: Path) -> str:
    first_bytes = _first_bytes(path)
    for delimiter in (";", "\t", "|"):
        with_commas = first_bytes.replace(delimiter.encode(), b",")
        for importer in FORMATS:
            if importer.sniff(with_commas):
                return f"looks like {importer.TITLE}, but with {delimiter!r} between the columns; save it with commas"
    known = ", ".join(importer.TITLE for importer in FORMATS)
    return f"is of no known format; known are: {known}"
