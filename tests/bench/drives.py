"""The recorded drives that benchmarks play: real ones where they are, the project's own always."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from replay_data.player import Recording, read_recording
from tests.bench import measure
from tests.bench.measure import ROOT

SHARED = measure.SHARED


class Drives(NamedTuple):
    """Recordings of one kind."""

    name: str
    files: list[Path]

    def read(self) -> list[Recording]:
        """Parse all of them."""
        return [read_recording(file) for file in self.files]


def recorded_drives() -> list[Drives]:
    """Kinds of recordings that are there. Of a POLIDriving drive the consolidated file, not its raw log."""
    kinds = [
        Drives("KIT", sorted(SHARED.glob("kit-obd2/*.csv"))),
        Drives("POLIDriving", sorted(SHARED.glob("polidriving/*_col.csv"))),
        Drives("own trips", sorted((ROOT / "replay_data" / "trips").glob("*.ubirec"))),
    ]
    return [kind for kind in kinds if kind.files]


def hours(recordings: list[Recording]) -> float:
    """Recorded time."""
    return sum(rec.readings[-1].t_ms - rec.readings[0].t_ms for rec in recordings) / 3_600_000
