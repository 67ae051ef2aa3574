"""A scene (docs/scenes.md) as one of the formats that can be played: the trip that its steps describe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.scenario import read_scene

NAME: Final = "scene"
TITLE: Final = "scene of steps (TOML)"
MARK: Final = re.compile(rb"^\s*(scene\s*=|\[\[\s*step\s*\]\])", re.MULTILINE)


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return MARK.search(first_bytes) is not None


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Drive a scene. Raises RecordingError where that is not possible."""
    scene = read_scene(path)
    return scene.head, scene.readings()
