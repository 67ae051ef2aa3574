"""The project's own recordings, as one of the formats that can be played."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead, is_recording, open_recording
from device.contract.signals import Reading

NAME: Final = "ubirec"
TITLE: Final = "ubi recording"


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return is_recording(first_bytes)


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a recording whole. Raises RecordingError where that is not possible."""
    head, readings = open_recording(path)
    return head, list(readings)
