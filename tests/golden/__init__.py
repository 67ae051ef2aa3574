"""Golden files: what was once right and must stay. Their makers are modules of this folder.

A maker has `files() -> dict[str, bytes]`: names, relative to this folder, and the bytes they must have.
`test_golden.py` compares; `make golden` writes, on purpose, and the commit tells the physical difference.
A payload of an earlier wire version is no golden file in this sense: it is kept, never made again.
"""

from __future__ import annotations

import importlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MAKERS = ("downlink_v1", "replay", "wire_v1")


def files(maker: str) -> dict[str, bytes]:
    """The golden files as the code of today makes them."""
    made: dict[str, bytes] = importlib.import_module(f"tests.golden.{maker}").files()
    return made
