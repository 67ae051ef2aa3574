"""Golden events and summaries of the project's own recorded trips: what the device path makes of each.

Changed on purpose only (`make golden ARGS=replay`); `make diff BASE=golden` tells the difference in physical units.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from replay_data.driven import messages_of, trips_of
from replay_data.recording import read_recording
from tests.golden.snapshot import Row, device_row

TRIPS: Final = Path(__file__).resolve().parents[2] / "replay_data" / "trips"
FOLDER: Final = Path(__file__).resolve().parent


def files() -> dict[str, bytes]:
    """Name -> content."""
    return {f"replay/{Path(name).stem}.json": _text(row).encode() for name, row in recordings().items()}


def recordings(paths: Iterable[Path] | None = None) -> dict[str, Row]:
    """What the device path makes of recordings, by name as in `snapshot`; default: the project's own."""
    return {"/".join(path.parts[-2:]): _row(path) for path in (paths or sorted(TRIPS.iterdir()))}


def references(names: Iterable[str]) -> dict[str, Row]:
    """What it made of them when the references were written; those without a reference are left out."""
    found = {name: FOLDER / "replay" / f"{Path(name).stem}.json" for name in names}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if path.exists()}


@cache
def _row(path: Path) -> Row:
    recording = read_recording(path, "golden")
    return device_row(recording, trips_of(messages_of(recording)))


def _text(row: Row) -> str:
    """JSON with a line for each trip and event, so that a change is a line of the commit's difference."""

    def told(value: Any) -> str:
        if not isinstance(value, list):
            return json.dumps(value)
        return "[" + ",".join(f"\n  {json.dumps(one)}" for one in value) + ("\n ]" if value else "]")

    return "{\n" + ",\n".join(f' "{name}": {told(value)}' for name, value in row.items()) + "\n}\n"
