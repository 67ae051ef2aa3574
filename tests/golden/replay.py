"""Golden events, summaries and features of the project's own recorded trips.

Changed on purpose only (`make golden ARGS=replay`); `make diff BASE=golden` tells the difference in physical units.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.golden.snapshot import Row, snapshot

TRIPS: Final = Path(__file__).resolve().parents[2] / "replay_data" / "trips"
FOLDER: Final = Path(__file__).resolve().parent


def files() -> dict[str, bytes]:
    """Name -> content."""
    return {f"replay/{Path(name).stem}.json": _text(row).encode() for name, row in recordings().items()}


def recordings(paths: Iterable[Path] | None = None) -> dict[str, Row]:
    """What the code of today makes of recordings, by name as in `snapshot`; default: the project's own."""
    return _made(tuple(paths or sorted(TRIPS.iterdir())))


def references(names: Iterable[str]) -> dict[str, Row]:
    """What it made of them when the references were written; those without a reference are left out."""
    found = {name: FOLDER / "replay" / f"{Path(name).stem}.json" for name in names}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if path.exists()}


@cache
def _made(paths: tuple[Path, ...]) -> dict[str, Row]:
    made: dict[str, Row] = snapshot(paths, None)["recordings"]
    return made


def _text(row: Row) -> str:
    """JSON with a line for each trip, event and known feature: a change is a line of the commit's difference."""

    def told(value: Any) -> str:
        if isinstance(value, dict):
            known = ",".join(
                f"\n  {json.dumps(name)}: {json.dumps(one)}" for name, one in value.items() if one is not None
            )
            return "{" + known + "\n }"
        if isinstance(value, list):
            return "[" + ",".join(f"\n  {json.dumps(one)}" for one in value) + ("\n ]" if value else "]")
        return json.dumps(value)

    return "{\n" + ",\n".join(f' "{name}": {told(value)}' for name, value in row.items()) + "\n}\n"
